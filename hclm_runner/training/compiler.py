"""torch's compiler, for a recording: imported where it is asked for, as it takes torch two seconds."""

import copy
import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch._inductor.compile_fx  # noqa: F401 - which else is imported where the first recording is compiled
from torch import Tensor
from torch._inductor import config, standalone_compile
from torch.fx import GraphModule
from torch.utils._pytree import tree_flatten, tree_unflatten

config.compile_threads = 1  # processes of torch's own, which all others would wait for: each program is one file
config.cpp.vec_isa_ok = (
    True  # what the processor says it can do: else torch builds and loads a test of each, for seconds
)
logging.getLogger("torch._inductor").setLevel(logging.ERROR)  # else it says which operations it leaves to torch


def compiled(module: GraphModule, inputs: Sequence[Tensor]) -> Callable[..., Any]:
    """Return a function of tensors that does the same as a recording in few kernels, one program with its loops in C++.

    It is for tensors of these shapes, strides and types alone. What was compiled before is read from torch's cache, the
    folder that TORCHINDUCTOR_CACHE_DIR names: it has to be that of the same graph, torch, compiler and processor.
    """
    graph = copy.deepcopy(module.graph)
    output = graph.output_node()
    leaves, nest = tree_flatten(output.args[0])
    output.args = (tuple(leaves),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's, of itself
        kernels = standalone_compile(
            GraphModule(module, graph),
            list(inputs),
            dynamic_shapes="from_example_inputs",
            options={"config_patches": {"cpp_wrapper": True}},
        )
    return lambda *tensors: tree_unflatten(kernels(*tensors), nest)
