"""A stand-in for a GPU, on a machine without one: another device, whose tensors torch does not mix with those of the CPU.

Its arithmetic is the CPU's, so what it computes is bit-equal. Its graphs are as CUDA's: they read and write the memory
that was there when they were captured, compute nothing while they are, and have no operation that waits.

To be imported once, in a process of its own, before torch computes: it gives torch a device, "standin", and takes the
place of torch.cuda's graphs.
"""

from collections import Counter
from contextlib import nullcontext
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

backend_registration._setup_privateuseone_for_python_backend("standin")
torch.get_device_module("standin").get_amp_supported_dtype = list  # asked for where activations are computed again

aten = torch.ops.aten
WAITS = {
    aten._linalg_eigh.default,
    aten._local_scalar_dense.default,
    aten.linalg_cholesky_ex.default,
    aten.linalg_qr.default,
    aten.nonzero.default,
}
"""What CUDA cannot capture, or is not known to."""

counts = Counter[str]()
capturing: list["Graph"] = []


class OnGpu(Tensor):
    """A tensor of the device; `memory` is what it is on the CPU."""

    memory: Tensor

    @staticmethod
    def __new__(cls, memory: Tensor) -> "OnGpu":
        size, strides, dtype = memory.size(), memory.stride(), memory.dtype
        new = Tensor._make_wrapper_subclass(cls, size, strides=strides, dtype=dtype, device=torch.device("standin", 0))
        new.memory = memory
        return new

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.memory.untyped_storage()

    def tolist(self) -> Any:
        return self.memory.tolist()


class Gpu(TorchDispatchMode):
    """While it is on, there is the device."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    on_cpu = [each for each in given if not isinstance(each, OnGpu)]
    if func is aten._efficientzerotensor.default:
        func = aten.zeros.default
    asked = kwargs.get("device")
    here = torch.device(asked).type == "standin" if asked is not None else len(on_cpu) < len(given)
    if len(on_cpu) == len(given) and not here:
        return func(*args, **kwargs)
    copies = func in {aten.copy_.default, aten._to_copy.default}
    if any(each.dim() > 0 for each in on_cpu) and not copies and len(on_cpu) < len(given):
        raise RuntimeError(f"{func}: tensors on two devices, {[(type(each).__name__, *each.shape) for each in given]}")
    if capturing and (func in WAITS or (copies and (on_cpu or not here))):
        raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
    args, kwargs = tree_map_only(OnGpu, lambda each: each.memory, (args, kwargs))
    if asked is not None:
        kwargs = {key: value for key, value in kwargs.items() if key != "device"}
    found = func(*args, **kwargs)
    if capturing:
        capturing[-1].operations.append((func, args, kwargs, found))
    if not here:
        return tree_map_only(Tensor, torch.clone, found)
    known = {id(each.memory): each for each in given if isinstance(each, OnGpu)}
    return tree_map_only(Tensor, lambda each: known[id(each)] if id(each) in known else OnGpu(each), found)


class Graph:
    def __init__(self) -> None:
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def replay(self) -> None:
        counts["replays"] += 1
        for func, args, kwargs, found in self.operations:
            for old, new in zip(tree_leaves(found), tree_leaves(func(*args, **kwargs)), strict=True):
                if old is not new:
                    old.copy_(new)


class Capture:
    def __init__(self, graph: Graph, stream: object) -> None:
        self.graph = graph

    def __enter__(self) -> None:
        capturing.append(self.graph)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        capturing.pop()
        counts["graphs"] += kind is None
        for _, args, kwargs, found in self.graph.operations:  # nothing was computed: what they return is not there yet
            read = {_address(each) for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
            for made in tree_leaves(found):
                if made is not None and _address(made) not in read and made.is_floating_point():
                    made.fill_(torch.nan)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class Stream:
    def wait_stream(self, other: object) -> None:
        pass


def _on_the_cpu_first(function: Any) -> Any:
    """Return torch.tensor or torch.as_tensor, which make what they return where no mode sees it."""

    def made(data: Any, *, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        return function(data, dtype=dtype) if device is None else function(data, dtype=dtype).to(device)

    return made


torch.tensor, torch.as_tensor = _on_the_cpu_first(torch.tensor), _on_the_cpu_first(torch.as_tensor)
torch.cuda.CUDAGraph, torch.cuda.graph, torch.cuda.Stream, torch.cuda.current_stream = Graph, Capture, Stream, Stream
torch.cuda.stream = nullcontext
