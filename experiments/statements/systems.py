"""What the statements on the motion of theta are checked on: the project's own energy of a small task.

On the full training set, without noise, in float64. E = L + lam S + omega Omega + rho D, gE = grad E, F = ||gS||; theta
moves by gradient descent, theta' = theta - eta gE, or by its flow, dtheta/dt = -gE.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hclm_runner.config import RunConfig, configure
from hclm_runner.physics.energy import asymmetric_cost, group_sparsity
from hclm_runner.training.batch import gradients
from hclm_runner.training.problem import Problem, draw_task, flatten

SURROGATES = ("logdet", "variance", "softmax")

MARKS = dict(zip(SURROGATES, "os^", strict=True))
"""How each surrogate is marked in a figure."""

Scalar = Callable[[Tensor], Tensor]
"""A function of theta [p]."""
Array = NDArray[np.float64]


@cache
def config(*overrides: str) -> RunConfig:
    """Return a small reference task in float64, its optimiser plain gradient descent."""
    sizes = ("classes=3", "signal=4", "nuisance=2", "train=48", "feedback=16", "test=16")
    small = [f"task.{size}" for size in sizes]
    return configure("dtype=float64", "device=cpu", "optimizer.momentum=0.0", *small, *overrides)


def smooth(features: int, classes: int) -> nn.Module:
    """Return a network without ReLU: Theorem 1 needs a gradient that is Lipschitz, which no kink allows."""
    encoder = nn.Sequential(nn.Linear(features, 8), nn.Tanh(), nn.Linear(8, 4))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(4, classes)})


def linear(features: int, classes: int) -> nn.Module:
    """Return a linear encoder whose Z are the logits: S is quadratic in theta for `variance`, and gL is bounded."""
    return nn.ModuleDict({"encoder": nn.Linear(features, classes), "head": nn.Identity()})


class System:
    """One run without noise: the parts of its energy as functions of theta [p], and the project's own step."""

    def __init__(self, *overrides: str, model: Callable[[int, int], nn.Module] = smooth) -> None:
        """Draw the data and the weights of the run from its seed."""
        self.config = config(*overrides)
        task = draw_task(self.config)
        assert task.classes is not None
        self.x, self.y = (torch.as_tensor(part) for part in task.train)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            module = model(self.x.shape[1], task.classes).double()
        self.problem, self.theta = Problem(self.config, module, task), flatten(module)
        self.classes: int = task.classes
        self.numbers = _first(self.problem.numbers([self.config], torch.float64, "cpu"))

    def entropy(self, theta: Tensor) -> Tensor:
        """Entropy of the training set, nats."""
        return self.problem.entropy(self._encode(theta), self.numbers)

    def loss(self, theta: Tensor) -> Tensor:
        """Loss on the training set, nats: the energy without its other terms."""
        return self.energy(theta, 0.0, omega=0.0, rho=0.0)

    def structure(self, theta: Tensor) -> Tensor:
        """Structural penalty."""
        return group_sparsity(self.problem.parameters(theta))

    def risk(self, theta: Tensor) -> Tensor:
        """Decision risk."""
        logits = self.problem.read(self.problem.parameters(theta), self._encode(theta))
        return asymmetric_cost(logits, self.y, **self.config.risk.options)

    def energy(self, theta: Tensor, lam: float | Tensor, **weights: float) -> Tensor:
        """Energy, Eq 2; `weights` replace the run's omega and rho."""
        xi = self.x.new_zeros(len(self.x), 1)
        return self.problem.energy(theta, self.x, self.y, xi, number(lam), self.numbers | weights)

    def step(self, theta: Tensor, g: Tensor, eta: float) -> Tensor:
        """Return theta after one step of the project's optimiser."""
        numbers = self.numbers | {"optimizer": self.numbers["optimizer"] | {"lr": number(eta)}}
        still = torch.zeros_like(g)
        return self.problem.update(theta, (g, still, still), number(0.0), self.problem.start(theta, numbers), numbers)[
            0
        ]

    def at(self, lam: float | Tensor) -> Scalar:
        """Return theta -> E at this lam."""
        return lambda theta: self.energy(theta, lam)

    def _encode(self, theta: Tensor) -> Tensor:
        return self.problem.encode(self.problem.parameters(theta), self.x)


def number(value: float | Tensor) -> Tensor:
    """Return a scalar of float64."""
    return torch.as_tensor(value, dtype=torch.float64)


def largest(values: Iterable[float]) -> float:
    """Return the largest of the values; NaN if one is NaN, which Python's own max may pass over."""
    return float(np.max(list(values)))


def slope(x: Array, y: Array) -> float:
    """Return the least-squares slope of y against x."""
    x = x - x.mean()
    return float(x @ y / (x @ x))


def _first(numbers: Any) -> Any:
    """Return the numbers of the first run of a batch."""
    return {key: _first(value) for key, value in numbers.items()} if isinstance(numbers, dict) else numbers[0]


def value_and_grad(f: Scalar, theta: Tensor) -> tuple[float, Tensor]:
    """Return f(theta), and grad f(theta) [p] as the trainer takes it."""
    theta = theta.detach().requires_grad_()
    value = f(theta)
    return float(value.detach()), gradients(theta, value)[0]


def grad(f: Scalar, theta: Tensor) -> Tensor:
    """Return grad f(theta), [p]."""
    return value_and_grad(f, theta)[1]
