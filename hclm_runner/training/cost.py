"""What a sample takes on its way through a network: asked of the network, which reads a few of them."""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hclm_runner.training.batch import tensors
from hclm_runner.training.problem import Problem

PIECE = 2**22
"""Floats, of one run, that the layers return for the samples that are measured at one time: 16 MiB in float32. It does
not follow the free memory, else the last bit of a result would."""


LARGE = 2**21
"""Floats that the layers return for a minibatch of a run that trains by itself: 8 MiB in float32, more than the cache
of a core. Vectorised, such runs drive each other out of it. On a CPU: GPUs were not measured."""


class Cost(NamedTuple):
    """What a sample takes: its floats, those that the layers of each part return, and products of a weight and a float.

    The products are those of a layer's weights with what it reads; attention's of tokens with tokens are left out.
    """

    x: float
    encoder: float
    head: float
    products: float

    @property
    def floats(self) -> float:
        """All floats."""
        return self.x + self.encoder + self.head


def of_sample(problem: Problem) -> Cost:
    """Return what a sample takes."""
    x, floats, products = _samples(problem, 2), {"encoder": 0, "head": 0}, 0

    def note(part: str, layer: nn.Module, _: Any, output: Any) -> None:
        nonlocal products
        returned = output if isinstance(output, tuple | list) else [output]
        numbers = sum(each.numel() for each in returned if isinstance(each, Tensor))
        floats[part] += numbers
        if not isinstance(layer, nn.Embedding):  # which looks up, and multiplies nothing
            products += numbers * sum(p[0].numel() for p in layer.parameters(recurse=False) if p.dim() > 1)

    layers = [(part, module) for part in floats for module in problem.model.get_submodule(part).modules()]
    hooks = [layer.register_forward_hook(partial(note, part)) for part, layer in layers if not any(layer.children())]
    try:
        parameters = dict(problem.model.named_parameters())
        problem.read(parameters, problem.encode(parameters, x))
    finally:
        for hook in hooks:
            hook.remove()
    return Cost(x.numel() / len(x), floats["encoder"] / len(x), floats["head"] / len(x), products / len(x))


def largest_piece(problem: Problem, cost: Cost) -> int:
    """Return how many samples of that cost are measured at one time, at least 2; all, where they see each other."""
    parameters, x = dict(problem.model.named_parameters()), _samples(problem, 4)

    def given(x: Tensor) -> Tensor:
        Z = problem.encode(parameters, x)
        return torch.cat([Z.flatten(1), problem.read(parameters, Z).flatten(1)], dim=1)

    with torch.no_grad():
        whole, halves = given(x), torch.cat([given(half) for half in x.tensor_split(2)])
    alone = torch.allclose(whole, halves, rtol=1e-3, atol=1e-5, equal_nan=True)
    most = max(len(x) for x, _ in problem.task.splits().values())
    return min(most, max(2, int(PIECE / cost.floats))) if alone else most


def trains_alone(cost: Cost, batch_size: int, device: str) -> bool:
    """Return whether runs of that cost train one after the other, and not vectorised.

    That follows from what a run is, and never from how many there are, else its last bits would.
    """
    return device == "cpu" and cost.floats * batch_size >= LARGE


def _samples(problem: Problem, number: int) -> Tensor:
    """Return the first samples of the training split, as the network reads them, [number, ...]."""
    x, y = problem.task.train
    return tensors(problem.task, (x[:number], y[:number]), next(problem.model.parameters()).dtype)[0]
