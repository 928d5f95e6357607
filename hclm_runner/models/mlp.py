"""A network with a linear representation."""

import itertools
import math
from typing import Literal

import torch
from torch import Tensor, nn

from hclm_runner.parts import part
from hclm_runner.ranges import Count


class Linear(nn.Linear):
    """nn.Linear, its bias added in place: vectorised over runs, torch's own makes another pass over memory for it."""

    def forward(self, input: Tensor) -> Tensor:
        """Return input W^T + b, [B, out_features]."""
        return (input @ self.weight.mT).add_(self.bias)


class Tanh(nn.Module):
    """tanh; where no gradient is taken, as 1 - 2 / (1 + exp 2x): half the time, where MKL's own tanh is slow (AMD).

    That form is off by up to 2e-7 in float32, whatever x is. torch.sigmoid would be faster still, but its last bit
    depends on an entry's place in memory, and so on a run's neighbours.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return tanh(input), of its shape; it may take the place of `input` in memory."""
        if torch.is_grad_enabled():
            return torch.tanh(input)
        return input.mul_(2).exp_().add_(1).reciprocal_().mul_(-2).add_(1)


ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": Tanh, "relu": nn.ReLU, "gelu": nn.GELU}


@part("model", "mlp", version=1)
def mlp(
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    hidden: list[Count],
    representation: Count,
    activation: Literal["tanh", "relu", "gelu"],
) -> nn.Module:
    """Network into a linear representation, read by a ReLU and a linear head.

    Encoder: features -> hidden... (each activated) -> representation (linear). Head: ReLU -> outputs. An image is
        flattened first. Weights and biases start as torch's `nn.Linear` has them, U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
    """
    widths = [math.prod(input_shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()] if len(input_shape) > 1 else []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
    encoder = nn.Sequential(*layers, Linear(widths[-1], representation))
    head = nn.Sequential(nn.ReLU(), Linear(representation, outputs))
    return nn.ModuleDict({"encoder": encoder, "head": head})
