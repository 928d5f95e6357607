"""Gradient descent, plain or with momentum."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hclm_runner.optimizers.base import Memory
from hclm_runner.parts import part
from hclm_runner.ranges import Decay, NonNegative, Positive


@part("optimizer", "sgd", version=1)
@dataclass(frozen=True)
class SGD:
    """Gradient descent with heavy-ball momentum, as torch.optim.SGD has it.

    v' = momentum v + (g + weight_decay theta);  theta' = theta - lr v'
    """

    lr: Positive
    momentum: Decay
    weight_decay: NonNegative

    def init(self, theta: Tensor) -> Memory:
        """Return the memory before the first step: v = 0."""
        return {"v": torch.zeros_like(theta)}

    def update(self, theta: Tensor, g: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Return theta and memory after one step along the gradient g [p]."""
        v = _axpy(_axpy(g, self.weight_decay, theta), self.momentum, memory["v"])
        return _axpy(theta, -self.lr, v), {"v": v}

    def split(self, theta: Tensor, parts: Tensor, velocities: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the moves and the velocities of parts of the gradient; the last has the weight decay."""
        decay = torch.cat([torch.zeros_like(parts[:-1]), (self.weight_decay * theta)[None]])
        velocities = _axpy(parts + decay, self.momentum, velocities)
        return -self.lr * velocities, velocities


def _axpy(y: Tensor, a: float | Tensor, x: Tensor) -> Tensor:
    """Return y + a x in one pass over memory: written out, the update would be a third of a step's time."""
    return torch.addcmul(y, x, torch.as_tensor(a, dtype=y.dtype, device=y.device))
