"""CUDA graphs of recordings: of small runs, a GPU has done an operation before it is told of the next one."""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from operator import getitem
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.passes.split_module import split_module
from torch.utils._pytree import tree_map_only

from hclm_runner.refusal import one_line
from hclm_runner.training.recorded import agree

LIBRARY = "linalg", "cholesky", "triangular"
"""In the names of operations of which some wait for the GPU, as eigenvalues do: no graph takes these."""

WAITS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
"""torch's marks of others that may wait."""

FEW = 8
"""Operations: for less, a graph does not repay that it copies what it reads and what it returns."""

TOLERANCE = 1e-3
"""Of the largest number: in a graph a library may take another kernel, which adds up in another order."""


@torch.no_grad()
def captured(module: GraphModule, inputs: Sequence[Tensor], others: Sequence[Tensor]) -> Callable[..., Any]:
    """Return what does the same as a recording of these inputs, as CUDA graphs.

    With others in place of the inputs they have to return what the recording does. If they do not, or a graph cannot be
    captured, the recording is returned, and it is said why.
    """
    try:
        with torch.cuda.stream(torch.cuda.current_stream()):  # a capture that fails leaves another one current
            graphs = _graphs(module)
            graphs(*inputs)
            same = agree(graphs(*others), module(*others), TOLERANCE)
        reason = "" if same else "they return other numbers than the operations that are in them"
    except Exception as error:  # noqa: BLE001 - a driver, a library, or an operation of a user's own part
        reason = one_line(error)
    if reason:
        warnings.warn(f"no CUDA graphs here, so a GPU waits for each operation: {reason}", stacklevel=2)
    return module if reason else graphs


def _graphs(module: GraphModule) -> GraphModule:
    """Return a recording in parts: graphs, each captured at its first call, and between them what may wait."""
    part, parts = 0, dict[Node, int]()  # even: a graph; odd: what may wait
    for node in module.graph.nodes:
        if node.op == "call_function":
            if node.target is not getitem:  # which stays with what returned the tuple
                part = part | 1 if _waits(node) else part + part % 2
            parts[node] = part
    split = split_module(module, None, parts.__getitem__)  # type: ignore[arg-type]
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    for number, operations in Counter(parts.values()).items():
        if number % 2 == 0 and operations >= FEW:
            name = f"submod_{number}"
            setattr(split, name, _Graph(split.get_submodule(name), stream))
    return split


def _waits(node: Node) -> bool:
    name = str(node.target)
    of_library = any(each in name for each in LIBRARY) and "norm" not in name
    return of_library or not WAITS.isdisjoint(getattr(node.target, "tags", ()))


class _Graph(nn.Module):
    """A part of a recording as one graph, with memory of its own that it reads and writes."""

    def __init__(self, part: nn.Module, stream: torch.cuda.Stream) -> None:
        super().__init__()
        self.part, self.stream, self.graph = part, stream, torch.cuda.CUDAGraph()
        self.read, self.written = list[Tensor](), None

    def forward(self, *tensors: Tensor) -> Any:
        if not self.read:
            self.capture(tensors)
        torch._foreach_copy_(self.read, tensors)
        self.graph.replay()
        return tree_map_only(Tensor, torch.clone, self.written)  # the next replay writes over it

    def capture(self, tensors: tuple[Tensor, ...]) -> None:
        self.read = [tensor.clone() for tensor in tensors]
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            self.part(*self.read)  # libraries start, and choose their kernels: they cannot while a graph is captured
        torch.cuda.current_stream().wait_stream(self.stream)
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.written = self.part(*self.read)
