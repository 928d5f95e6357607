"""torch's compiler, for a recording: imported where it is asked for, as it takes torch two seconds."""

import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch._inductor.compile_fx  # noqa: F401 - which else is imported where the first recording is compiled
from torch import Tensor
from torch._inductor import standalone_compile
from torch.fx import GraphModule
from torch.utils._pytree import tree_flatten, tree_unflatten

OPTIONS = {
    # All loops in one file of C++, with what calls them: it takes two thirds of the time to compile, and less to run.
    "cpp_wrapper": True,
    # Then there is nothing to share with processes of torch's own, which would have to start first.
    "compile_threads": 1,
    # What the processor says it can do is true: else torch builds and loads a test of each set of instructions.
    "cpp.vec_isa_ok": True,
}


def compiled(module: GraphModule, inputs: Sequence[Tensor]) -> Callable[..., Any]:
    """Return a function of tensors that does the same as a recording in few kernels, one program with its loops in C++.

    It is for tensors of these shapes, strides and types alone. What was compiled before is read from torch's cache, the
    folder that TORCHINDUCTOR_CACHE_DIR names: it has to be that of the same graph, torch, compiler and processor.
    """
    graph = copy.deepcopy(module.graph)
    output = graph.output_node()
    leaves, nest = tree_flatten(output.args[0])
    output.args = (tuple(leaves),)
    options = {"config_patches": OPTIONS}
    with _quiet():
        kernels = standalone_compile(
            GraphModule(module, graph), [*inputs], dynamic_shapes="from_example_inputs", options=options
        )
    return lambda *tensors: tree_unflatten(kernels(*tensors), nest)


@contextmanager
def _quiet() -> Iterator[None]:
    """Have torch not say which operations it leaves as they are, nor what it will change in itself."""
    logger = logging.getLogger("torch._inductor")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
