"""Adam."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hclm_runner.optimizers.base import Memory
from hclm_runner.parts import part
from hclm_runner.ranges import Decay, Positive


@part("optimizer", "adam", version=1)
@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1), as torch.optim.Adam has it.

    m' = beta1 m + (1 - beta1) g;  v' = beta2 v + (1 - beta2) g^2;  theta' = theta - lr mhat / (sqrt(vhat) + eps),
    with mhat = m' / (1 - beta1^t) and vhat = v' / (1 - beta2^t) at step t = 1, 2, ...
    """

    lr: Positive
    beta1: Decay
    beta2: Decay
    eps: Positive

    def init(self, theta: Tensor) -> Memory:
        """Return the memory before the first step: m = v = 0, t = 0."""
        return {"m": torch.zeros_like(theta), "v": torch.zeros_like(theta), "t": theta.new_zeros(())}

    def update(self, theta: Tensor, g: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Return theta and memory after one step along the gradient g [p]."""
        t = memory["t"] + 1
        m = self.beta1 * memory["m"] + (1 - self.beta1) * g
        v = self.beta2 * memory["v"] + (1 - self.beta2) * g.square()
        mhat, vhat = m / (1 - self.beta1**t), v / (1 - self.beta2**t)
        return theta - self.lr * mhat / (vhat.sqrt() + self.eps), {"m": m, "v": v, "t": t}

    def split(self, theta: Tensor, parts: Tensor, velocities: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the moves and the first moments of parts of the gradient, under the second moment that they share."""
        moments = self.beta1 * velocities + (1 - self.beta1) * parts
        mhat, vhat = moments / (1 - self.beta1 ** memory["t"]), memory["v"] / (1 - self.beta2 ** memory["t"])
        return -self.lr * mhat / (vhat.sqrt() + self.eps), moments
