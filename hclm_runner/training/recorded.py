"""Functions of tensors, recorded as the operations of torch that they are."""

import warnings
from collections.abc import Callable, Sequence
from operator import getitem
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

from hclm_runner.refusal import one_line

Result = TypeVar("Result")
Function = Callable[..., Result]

CALLS = 50
"""From so many a recording repays what it takes: three more calls, and a tenth of a second."""


class Compiler:
    """Compiles recordings, if it was asked to, until it cannot: that is said, and the others are not tried."""

    def __init__(self, asked: bool) -> None:
        """Compile if it was asked for."""
        self.works, self.used = asked, False

    def __call__(self, module: GraphModule, inputs: Sequence[Tensor]) -> Function[Any]:
        """Return what does the same as a recording of these inputs: a program, or the recording itself."""
        if not self.works:
            return module
        try:
            from hclm_runner.training.compiler import compiled

            program = compiled(module, inputs)
        except Exception as error:  # noqa: BLE001 - there is no compiler, or it cannot do a user's own part
            self.works = False
            warnings.warn(f"torch cannot compile here, so what is left is not: {one_line(error)}", stacklevel=2)
            return module
        self.used = True
        return program


def recorded(function: Function[Result], calls: int, compile: Compiler) -> Function[Result]:
    """Return a function of nests of tensors that does the same in less time, where it is called so often.

    Its first call, with tensors of some shapes, strides and types, is recorded: one after the other, the operations of
    torch below Python, vmap and autograd. They are the same kernels on the same numbers, so what they return is
    bit-equal; the time between them is gone. What is then compiled is few kernels in place of many, and agrees to
    rounding.

    What cannot be recorded, or does not do the same to other numbers, runs as it is.
    """
    if calls < CALLS and not compile.works:
        return function
    known: dict[Any, Function[Result]] = {}

    def run(*nests: Any) -> Result:
        layout = tuple((tensor.shape, tensor.stride(), tensor.dtype) for tensor in tree_leaves(nests))
        if layout not in known:
            known[layout] = _record(function, nests, compile)
        return known[layout](*nests)

    return run


def _record(function: Function[Result], nests: tuple[Any, ...], compile: Compiler) -> Function[Result]:
    inputs = tree_leaves(nests)
    recorder = _Recorder(inputs)
    try:
        with recorder:
            found = function(*nests)
    except Exception:  # noqa: BLE001 - whatever a user's own part does that has no record
        return function
    module = recorder.write(found)
    others = tree_map(lambda x: 1.25 * x if x.is_floating_point() else x, nests)
    with torch.no_grad():
        again = module(*tree_leaves(others))
    if not all(map(_equal, tree_leaves(again), tree_leaves(function(*others)))):
        return function
    kernels = compile(module, inputs)

    @torch.no_grad()
    def play(*nests: Any) -> Result:
        result: Result = kernels(*tree_leaves(nests))
        return result

    return play


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), rtol=0, atol=0, equal_nan=True)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes each operation, while it is on, in a graph."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph, self.constants = Graph(), dict[str, Tensor]()
        self.nodes = WeakTensorKeyDictionary()
        for i, tensor in enumerate(inputs):
            self.nodes[tensor] = self.graph.placeholder(f"input_{i}")

    @classmethod
    def _should_skip_dynamo(cls) -> bool:  # else torch imports its compiler, for more than a second
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.detach.default:  # nothing to do, where there are no gradients
            self.nodes[found] = self.node(*args)
            return found
        node = self.graph.call_function(func, *tree_map_only(Tensor, self.node, (args, kwargs or {})))
        if isinstance(found, Tensor):
            self.nodes[found] = node
        else:
            for i, one in enumerate(found):  # a number is none: it would be a constant of the recording
                self.nodes[one] = self.graph.call_function(getitem, (node, i))
        return found

    def node(self, tensor: Tensor) -> Node:
        """Return the node of a tensor: one that no operation returned is a constant."""
        if tensor not in self.nodes:
            name = f"constant_{len(self.constants)}"
            self.constants[name] = tensor
            self.nodes[tensor] = self.graph.create_node("get_attr", name)
        node: Node = self.nodes[tensor]
        return node

    def write(self, found: Any) -> GraphModule:
        """Return a function of the inputs that does what was noted, without what `found` does not follow from."""
        self.graph.output(tree_map(self.node, found))
        self.graph.eliminate_dead_code()
        return GraphModule(self.constants, self.graph)
