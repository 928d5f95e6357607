"""An update rule of my own. Its fields are its options."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hclm_runner.optimizers import Memory
from hclm_runner.ranges import Decay, Positive


@dataclass(frozen=True)
class MyPart:
    """Gradient descent with Nesterov's momentum, as torch.optim.SGD(nesterov=True) has it.

    v' = momentum v + g;  theta' = theta - lr (g + momentum v')
    """

    lr: Positive = 0.05
    """Step size."""

    momentum: Decay = 0.9
    """Share of the velocity v that is kept."""

    def init(self, theta: Tensor) -> Memory:
        """Return the memory before the first step, for the parameters theta [p] of one run."""
        return {"v": torch.zeros_like(theta)}

    def update(self, theta: Tensor, g: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Return theta and memory after one step along the gradient g [p]; nothing is changed in place."""
        v = self.momentum * memory["v"] + g
        return theta - self.lr * (g + self.momentum * v), {"v": v}

    def split(self, part: Tensor, velocity: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return the move of theta that a part of the gradient made in the step, and that part's velocity.

        With it the balance of entropy is measured. A rule that is not linear in the gradients leaves it out.
        """
        velocity = self.momentum * velocity + part
        return -self.lr * (part + self.momentum * velocity), velocity
