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


pytestmark = pytest.mark.kernels

ROUNDING = 2.0**-53
"""Of float64, relative."""
TOLERANCE = STEPS * 16 * ROUNDING
"""Of paths along given gradients, relative to the largest step and start: a step rounds about a dozen times, memories decay, so
that what is lost adds up over the steps and is never amplified. (Along the gradients of a function it is: by up to lr times its
curvature over Adam's eps at each step.)"""


def quadratic(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return A > 0, b and a start of 1/2 theta A theta - b theta."""
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((P, P))
    return tuple(torch.from_numpy(x) for x in (M @ M.T / P + 0.1 * np.eye(P), rng.standard_normal(P), rng.random(P)))


def given(seed: int) -> tuple[Tensor, Tensor]:
    """Return a start [P] and the gradients of so many steps [STEPS, P], of sizes from 1e-3 to 1e3."""
    rng = np.random.default_rng(seed)
    gradients = rng.standard_normal((STEPS, P)) * 10.0 ** rng.uniform(-3, 3, (STEPS, P))
    return torch.from_numpy(rng.random(P)), torch.from_numpy(gradients)


def path(rule: SGD | Adam, seed: int) -> Tensor:
    theta, gradients = given(seed)
    memory, thetas = rule.init(theta), []
    for g in gradients:
        theta, memory = rule.update(theta, g, memory)
        thetas.append(theta)
    return torch.stack(thetas)


def path_of_torch(optimizer: type, seed: int, **options) -> Tensor:
    start, gradients = given(seed)
    theta = torch.nn.Parameter(start.clone())
    stepper, thetas = optimizer([theta], **options), []
    for g in gradients:
        theta.grad = g.clone()
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
    assert error(path(SGD(**given_as(options)), 0), torchs) < TOLERANCE


@pytest.mark.parametrize("given_as", [as_tensors, dict])
@pytest.mark.parametrize("options", ADAM_OPTIONS)
def test_adam_equals_torch(options, given_as):
    torchs = path_of_torch(
        torch.optim.Adam, 0, lr=options["lr"], betas=(options["beta1"], options["beta2"]), eps=options["eps"]
    )
    assert (torchs[-1] - torchs[0]).norm() > 0.01
    assert error(path(Adam(**given_as(options)), 0), torchs) < TOLERANCE


def test_sgd_without_momentum_is_the_linear_map_of_gradient_descent():
    A, b, theta = quadratic(1)
    lr, weight_decay = 0.05, 0.2
    decayed = A.numpy() + weight_decay * np.eye(P)
    optimum = np.linalg.solve(decayed, b.numpy())
    expected = optimum + np.linalg.matrix_power(np.eye(P) - lr * decayed, STEPS) @ (theta.numpy() - optimum)
    rule = SGD(**as_tensors({"lr": lr, "momentum": 0.0, "weight_decay": weight_decay}))
    memory = rule.init(theta)
    for _ in range(STEPS):
        theta, memory = rule.update(theta, A @ theta - b, memory)
    # The map contracts: what a step loses in P products is not amplified; the solve loses the condition number of A, below 100.
    np.testing.assert_allclose(
        theta.numpy(), expected, rtol=0, atol=(STEPS * P + 100) * ROUNDING * np.abs(expected).max()
    )


def test_first_step_of_adam_has_length_lr_in_every_coordinate():
    theta, g = torch.zeros(4, dtype=torch.float64), torch.tensor([1e-3, -2.0, 30.0, -1e5], dtype=torch.float64)
    rule = Adam(lr=0.01, beta1=0.9, beta2=0.999, eps=1e-12)
    moved, _ = rule.update(theta, g, rule.init(theta))
    np.testing.assert_allclose(moved.numpy(), -0.01 * np.sign(g.numpy()), rtol=1e-8)


@pytest.mark.parametrize(("rule", "options"), [(SGD, SGD_OPTIONS), (Adam, ADAM_OPTIONS)])
def test_runs_with_options_of_their_own_step_side_by_side_as_each_alone(rule, options):
    runs = range(len(options))
    own = {key: torch.tensor([o[key] for o in options], dtype=torch.float64) for key in options[0]}
    theta, gradients = (torch.stack(parts) for parts in zip(*(given(k) for k in runs), strict=True))

    def update(own, theta, g, memory):
        return rule(**own).update(theta, g, memory)

    memory = vmap(lambda own, theta: rule(**own).init(theta))(own, theta)
    for t in range(STEPS):
        theta, memory = vmap(update)(own, theta, gradients[:, t], memory)
    for k in runs:
        assert error(theta[k], path(rule(**as_tensors(options[k])), k)[-1]) < TOLERANCE


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


# --- what each part of the gradient does ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"), [*((SGD, each) for each in SGD_OPTIONS), *((Adam, each) for each in ADAM_OPTIONS)]
)
def test_the_moves_of_all_parts_are_the_step(kind, options):
    rule = kind(**options)
    theta, gradients = given(0)
    parts = torch.stack(
        [0.3 * gradients, 0.5 * gradients.flip(0), gradients - 0.3 * gradients - 0.5 * gradients.flip(0)], 1
    )
    memory, velocities = rule.init(theta), torch.zeros(3, P, dtype=torch.float64)
    for each in parts:
        moved, memory = rule.update(theta, each.sum(0), memory)
        moves, velocities = rule.split(theta, each, velocities, memory)
        step = moved - theta
        assert (moves.sum(0) - step).abs().max() <= TOLERANCE * max(moves.abs().max(), theta.abs().max())
        theta = moved
    assert moves[1].abs().max() > 0


def test_weight_decay_is_what_the_rule_adds_to_the_last_part():
    rule = SGD(lr=0.1, momentum=0.5, weight_decay=0.2)
    theta, nothing = torch.ones(P, dtype=torch.float64), torch.zeros(2, P, dtype=torch.float64)
    _, memory = rule.update(theta, nothing[0], rule.init(theta))
    moves, velocities = rule.split(theta, nothing, nothing, memory)
    assert torch.equal(velocities, torch.stack([nothing[0], 0.2 * theta]))
    assert torch.equal(moves, -0.1 * velocities)
