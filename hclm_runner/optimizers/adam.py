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
        memory = {"m": m, "v": v, "t": t}
        return theta + self._move(m, memory), memory

    def split(self, part: Tensor, velocity: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return the move and the first moment of a part of the gradient, under the second moment that all share."""
        m = self.beta1 * velocity + (1 - self.beta1) * part
        return self._move(m, memory), m

    def _move(self, m: Tensor, memory: Memory) -> Tensor:
        t = memory["t"]
        mhat, vhat = m / (1 - self.beta1**t), memory["v"] / (1 - self.beta2**t)
        return -self.lr * mhat / (vhat.sqrt() + self.eps)
