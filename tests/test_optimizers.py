"""Update rules against torch.optim, in float64."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import vmap

from hclm_runner.optimizers import SGD, Adam

STEPS, P = 50, 12
SGD_OPTIONS = [
    {"lr": 0.05, "momentum": 0.0, "weight_decay": 0.0},
    {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0},
    {"lr": 0.03, "momentum": 0.0, "weight_decay": 0.1},
    {"lr": 0.03, "momentum": 0.7, "weight_decay": 0.3},
]
ADAM_OPTIONS = [
    {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    {"lr": 0.1, "beta1": 0.5, "beta2": 0.7, "eps": 1e-3},
    {"lr": 0.1, "beta1": 0.0, "beta2": 0.0, "eps": 1e-1},
]


def quadratic(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return A > 0, b and a start of 1/2 theta A theta - b theta."""
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((P, P))
    return tuple(torch.from_numpy(x) for x in (M @ M.T / P + 0.1 * np.eye(P), rng.standard_normal(P), rng.random(P)))


def path(rule: SGD | Adam, seed: int) -> Tensor:
    A, b, theta = quadratic(seed)
    memory, thetas = rule.init(theta), []
    for _ in range(STEPS):
        theta, memory = rule.update(theta, A @ theta - b, memory)
        thetas.append(theta)
    return torch.stack(thetas)


def path_of_torch(optimizer: type, seed: int, **options) -> Tensor:
    A, b, start = quadratic(seed)
    theta = torch.nn.Parameter(start.clone())
    stepper, thetas = optimizer([theta], **options), []
    for _ in range(STEPS):
        theta.grad = A @ theta.detach() - b
        stepper.step()
        thetas.append(theta.detach().clone())
    return torch.stack(thetas)


def error(mine: Tensor, torchs: Tensor) -> float:
    return ((mine - torchs).abs().max() / torchs.abs().max()).item()


def as_tensors(options: dict[str, float]) -> dict[str, Tensor]:
    return {key: torch.tensor(value, dtype=torch.float64) for key, value in options.items()}


@pytest.mark.parametrize("given_as", [as_tensors, dict])
@pytest.mark.parametrize("options", SGD_OPTIONS)
def test_sgd_equals_torch(options, given_as):
    torchs = path_of_torch(torch.optim.SGD, 0, **options)
    assert (torchs[-1] - torchs[0]).norm() > 0.1  # it went somewhere
    assert error(path(SGD(**given_as(options)), 0), torchs) < 1e-12


@pytest.mark.parametrize("given_as", [as_tensors, dict])
@pytest.mark.parametrize("options", ADAM_OPTIONS)
def test_adam_equals_torch(options, given_as):
    torchs = path_of_torch(
        torch.optim.Adam, 0, lr=options["lr"], betas=(options["beta1"], options["beta2"]), eps=options["eps"]
    )
    assert (torchs[-1] - torchs[0]).norm() > 0.1
    assert error(path(Adam(**given_as(options)), 0), torchs) < 1e-12


def test_sgd_without_momentum_is_the_linear_map_of_gradient_descent():
    A, b, start = (x.numpy() for x in quadratic(1))
    lr, weight_decay = 0.05, 0.2
    decayed = A + weight_decay * np.eye(P)
    optimum = np.linalg.solve(decayed, b)
    expected = optimum + np.linalg.matrix_power(np.eye(P) - lr * decayed, STEPS) @ (start - optimum)
    rule = SGD(**as_tensors({"lr": lr, "momentum": 0.0, "weight_decay": weight_decay}))
    np.testing.assert_allclose(path(rule, 1)[-1].numpy(), expected, rtol=1e-11)


def test_first_step_of_adam_has_length_lr_in_every_coordinate():
    theta, g = torch.zeros(4, dtype=torch.float64), torch.tensor([1e-3, -2.0, 30.0, -1e5], dtype=torch.float64)
    rule = Adam(lr=0.01, beta1=0.9, beta2=0.999, eps=1e-12)
    moved, _ = rule.update(theta, g, rule.init(theta))
    np.testing.assert_allclose(moved.numpy(), -0.01 * np.sign(g.numpy()), rtol=1e-8)


@pytest.mark.parametrize(("rule", "options"), [(SGD, SGD_OPTIONS), (Adam, ADAM_OPTIONS)])
def test_runs_with_options_of_their_own_step_side_by_side_as_each_alone(rule, options):
    runs = range(len(options))
    own = {key: torch.tensor([o[key] for o in options], dtype=torch.float64) for key in options[0]}
    A, b, theta = (torch.stack(parts) for parts in zip(*(quadratic(k) for k in runs), strict=True))

    def update(own, theta, g, memory):
        return rule(**own).update(theta, g, memory)

    memory = vmap(lambda own, theta: rule(**own).init(theta))(own, theta)
    for _ in range(STEPS):
        theta, memory = vmap(update)(own, theta, (A @ theta.unsqueeze(-1)).squeeze(-1) - b, memory)
    for k in runs:
        assert error(theta[k], path(rule(**as_tensors(options[k])), k)[-1]) < 1e-12


@pytest.mark.parametrize("rule", [partial(SGD, **SGD_OPTIONS[3]), partial(Adam, **ADAM_OPTIONS[0])])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_update_keeps_the_dtype_and_changes_nothing_in_place(rule, dtype):
    theta, g = torch.ones(3, dtype=dtype), torch.full((3,), 2.0, dtype=dtype)
    memory = rule().init(theta)
    before = {key: value.clone() for key, value in memory.items()}
    moved, after = rule().update(theta, g, memory)
    assert moved.dtype == dtype
    assert all(value.dtype == dtype for value in after.values())
    assert torch.equal(theta, torch.ones(3, dtype=dtype))
    assert all(torch.equal(memory[key], before[key]) for key in before)
    assert not torch.equal(moved, theta)
