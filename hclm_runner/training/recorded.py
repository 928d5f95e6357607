"""Functions of tensors, recorded as the operations of torch that they are."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_leaves, tree_map

Result = TypeVar("Result")
Function = Callable[..., Result]

CALLS = 200
"""From so many a recording repays the time that it takes, a quarter of a second for a step."""

CALLS_AT_FIRST = 2000
"""The same in a process that has not imported what recording needs: more than a second, once."""


def pays(calls: int) -> bool:
    """Return whether a recording repays its own time in so many calls; what is returned does not depend on it."""
    return calls >= (CALLS if "torch._dynamo" in sys.modules else CALLS_AT_FIRST)


def recorded(function: Function[Result], *, compile: bool) -> Function[Result]:
    """Return a function of nests of tensors that does the same in less time.

    Its first call, with tensors of some shapes, is recorded: one after the other, the operations of torch below Python,
    vmap and autograd. They are the same kernels on the same numbers, so what they return is bit-equal; the time
    between them is gone. To `compile`, torch.compile then makes few kernels of the many; these agree to rounding.

    What cannot be recorded, or does not do the same to other numbers, runs as it is.
    """
    known: dict[tuple[torch.Size, ...], Function[Result]] = {}

    def run(*nests: Any) -> Result:
        shapes = tuple(tensor.shape for tensor in tree_leaves(nests))
        if shapes not in known:
            known[shapes] = _record(function, nests, compile)
        return known[shapes](*nests)

    return run


def _record(function: Function[Result], nests: tuple[Any, ...], compile: bool) -> Function[Result]:
    def given(*nests: Any) -> Result:  # make_fx counts parameters, and those of a vectorised method it miscounts
        return function(*nests)

    try:
        graph = make_fx(given)(*nests)
    except Exception:  # noqa: BLE001 - whatever a user's own part does that has no record
        return function
    graph.graph.eliminate_dead_code()
    graph.recompile()
    play = torch.no_grad()(graph)
    others = tree_map(lambda x: 1.25 * x if x.is_floating_point() else x, nests)
    if not all(map(_equal, tree_leaves(play(*others)), tree_leaves(function(*others)))):
        return function
    return torch.no_grad()(torch.compile(graph, dynamic=False)) if compile else play


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
