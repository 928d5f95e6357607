"""Functions of tensors, recorded as the operations of torch that they are."""

import warnings
from collections import Counter
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

aten = torch.ops.aten
Result = TypeVar("Result")
Function = Callable[..., Result]

INTO = {
    aten.add.Tensor: (aten.add.out, "out"),
    aten.sub.Tensor: (aten.sub.out, "out"),
    aten.mul.Tensor: (aten.mul.out, "out"),
    aten.div.Tensor: (aten.div.out, "out"),
    aten.addcmul.default: (aten.addcmul.out, "out"),
    aten.neg.default: (aten.neg.out, "out"),
    aten.exp.default: (aten.exp.out, "out"),
    aten.tanh.default: (aten.tanh.out, "out"),
    aten.where.self: (aten.where.self_out, "out"),
    aten.tanh_backward.default: (aten.tanh_backward.grad_input, "grad_input"),
    aten.threshold_backward.default: (aten.threshold_backward.grad_input, "grad_input"),
}
"""What is done to each number by itself -> the same kernel, and the name of the memory that it is given to write to."""

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
            warnings.warn(f"torch cannot compile here, so the rest trains uncompiled: {one_line(error)}", stacklevel=2)
            return module
        self.used = True
        return program


def recorded(function: Function[Result], calls: int, compile: Compiler) -> Function[Result]:
    """Return a function of nests of tensors that does the same in less time, where it is called so often.

    Its first call, with tensors of some shapes, strides and types, is recorded: one after the other, the operations of
    torch below Python, vmap and autograd. They are the same kernels on the same numbers, so what they return is
    bit-equal; the time between them is gone. What is then compiled is few kernels in place of many, and agrees to
    rounding. On a GPU it is captured as CUDA graphs instead.

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
    changed = tree_map(lambda x: 1.25 * x if x.is_floating_point() else x, nests)
    others = tree_leaves(changed)
    try:
        with recorder:
            found = function(*nests)
        module = recorder.write(found, reuse=not compile.works)
        with torch.no_grad():
            again = module(*others)
    except Exception:  # noqa: BLE001 - whatever a user's own part does that has no record
        return function
    if not agree(again, function(*changed)):
        return function
    if inputs[0].device.type == "cpu":
        kernels = compile(module, inputs)
    else:
        from hclm_runner.training.graphs import captured

        kernels = captured(module, inputs, others)

    @torch.no_grad()
    def play(*nests: Any) -> Result:
        result: Result = kernels(*tree_leaves(nests))
        return result

    return play


def agree(found: Any, expected: Any, tolerance: float = 0.0) -> bool:
    """Return whether nests of tensors are equal, or differ by no more than so much of the largest number of each."""

    def close(a: Tensor, b: Tensor) -> bool:
        a, b = a.double(), b.double()
        largest = float(b.nan_to_num(0, 0, 0).abs().max()) if tolerance and b.numel() else 0.0
        return torch.allclose(a, b, rtol=0, atol=tolerance * largest, equal_nan=True)

    return all(map(close, tree_leaves(found), tree_leaves(expected)))


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes each operation, while it is on, in a graph."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph, self.constants = Graph(), dict[str, Tensor]()
        self.nodes = WeakTensorKeyDictionary()
        self.memory, self.layout = dict[Node, Node](), dict[Node, Any]()
        """Whose memory a tensor lies in, its own or that of the one it is a view of; its shape, strides and type."""
        for i, tensor in enumerate(inputs):
            self.nodes[tensor] = self.graph.placeholder(f"input_{i}")

    @classmethod
    def _should_skip_dynamo(cls) -> bool:  # else torch imports its compiler, for more than a second
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func is aten.detach.default:  # nothing to do, where there are no gradients
            self.nodes[found] = self.node(*args)
            return found
        if func.name() == "aten::_to_copy" and args[0] not in self.nodes:  # a constant, on the device that needs it
            return found
        node = self.graph.call_function(func, *tree_map_only(Tensor, self.node, (args, kwargs or {})))
        given = [tensor for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)]
        if isinstance(found, Tensor):
            self.note(found, node, given)
        else:
            for i, one in enumerate(found):  # a number is no tensor: it would be a constant of the recording
                if one is not None:  # as a gradient is that nobody asked for
                    self.note(one, self.graph.call_function(getitem, (node, i)), given)
        return found

    def note(self, tensor: Tensor, node: Node, given: Sequence[Tensor]) -> None:
        """Note that a node returned a tensor, made from those that were given."""
        own = tensor.untyped_storage().data_ptr()
        shared = (self.node(one) for one in given if one.untyped_storage().data_ptr() == own)
        self.nodes[tensor], self.memory[node] = node, next(shared, node)
        self.layout[node] = tensor.shape, tensor.stride(), tensor.dtype

    def node(self, tensor: Tensor) -> Node:
        """Return the node of a tensor: one that no operation returned is a constant."""
        if tensor not in self.nodes:
            name = f"constant_{len(self.constants)}"
            self.constants[name] = tensor
            self.nodes[tensor] = self.graph.create_node("get_attr", name)
        node: Node = self.nodes[tensor]
        return node

    def write(self, found: Any, *, reuse: bool) -> GraphModule:
        """Return a function of the inputs that does what was noted, without what `found` does not follow from."""
        self.graph.output(tree_map(self.node, found))
        self.graph.eliminate_dead_code()
        if reuse:
            self.reuse()
        return GraphModule(self.constants, self.graph)

    def reuse(self) -> None:
        """Have operations write over an input that nothing reads after them: the same bits, in fewer passes."""
        place = {node: i for i, node in enumerate(self.graph.nodes)}
        last = Counter[Node]()  # where a memory is read last
        for node in place:
            last[self.owner(node)] = max([last[self.owner(node)], *(place[user] for user in node.users)])
        for node, here in place.items():
            inputs = node.all_input_nodes if node.target in INTO else []
            over = next((old for old in inputs if last[self.owner(old)] == here and self.fits(node, old)), None)
            if over is not None:
                node.target, name = INTO[node.target]
                node.kwargs = {**node.kwargs, name: over}
                last[self.owner(over)], self.memory[node] = last[node], over

    def owner(self, node: Node) -> Node:
        """Return the node whose memory a node's tensor lies in."""
        while (of := self.memory.get(node, node)) is not node:
            node = of
        return node

    def fits(self, node: Node, old: Node) -> bool:
        """Return whether a node's result can be written over an input: that was made here, and lies as the result."""
        owners = [self.owner(each) for each in node.all_input_nodes]
        made, own = self.owner(old).op == "call_function", self.layout.get(old) == self.layout[node]
        return made and own and owners.count(self.owner(old)) == 1  # two views of one memory may overlap
