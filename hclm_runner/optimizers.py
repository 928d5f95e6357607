"""Update rules for the flat parameter vector theta [p] of one run: `init` the memory, `update` theta."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hclm_runner.ranges import Decay, NonNegative, Positive

Memory = dict[str, Tensor]


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


def _axpy(y: Tensor, a: float | Tensor, x: Tensor) -> Tensor:
    """Return y + a x in one pass over memory: written out, the update would be a third of a step's time."""
    return torch.addcmul(y, x, torch.as_tensor(a, dtype=y.dtype, device=y.device))
