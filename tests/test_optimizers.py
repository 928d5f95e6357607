"""Update rules against torch.optim, in float64."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import vmap

from hclm_runner import ConfigError, configure, train
from hclm_runner.optimizers import SAM, SGD, Adam
from hclm_runner.optimizers.schedule import share

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


# --- where the gradient is taken ------------------------------------------------------------------------------------


def path_of_two_passes(adaptive: bool, rho: float, seed: int, **options) -> Tensor:
    """SAM as it is usually written for torch: climb along the gradient, take it there, step back, and step by SGD."""
    A, b, start = quadratic(seed)
    p = torch.nn.Parameter(start.clone())
    base, thetas = torch.optim.SGD([p], **options), []
    for _ in range(STEPS):
        g = A @ p.detach() - b
        norm = ((p.detach().abs() if adaptive else 1.0) * g).norm(p=2)
        climb = (p.detach().square() if adaptive else 1.0) * g * (rho / (norm + 1e-12))
        p.grad = A @ (p.detach() + climb) - b
        base.step()
        thetas.append(p.detach().clone())
    return torch.stack(thetas)


@pytest.mark.parametrize("adaptive", [False, True])
def test_sam_equals_the_two_passes_on_top_of_torchs_sgd(adaptive):
    options = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}
    expected = path_of_two_passes(adaptive, 0.3, 1, **options)
    A, b, theta = quadratic(1)
    rule = SAM(**as_tensors(options | {"rho": 0.3}), adaptive=adaptive)
    memory, thetas = rule.init(theta), []
    for _ in range(STEPS):
        there = rule.ahead(theta, A @ theta - b)
        theta, memory = rule.update(theta, A @ there - b, memory)
        thetas.append(theta)
    # Theirs has 1e-12 in the norm, which is about 1 here; the map contracts, so that nothing is amplified.
    assert error(torch.stack(thetas), expected) < 1e-10
    plain = path_of_two_passes(adaptive, 0.0, 1, **options)
    assert error(plain, expected) > 1e-3, "the climb matters"


def test_sam_climbs_by_rho_and_asam_by_rho_of_the_relative_change():
    theta, g = normal_pair()
    climb = SAM(0.1, 0.0, 0.0, 0.3, adaptive=False).ahead(theta, g) - theta
    assert climb.norm().item() == pytest.approx(0.3, rel=1e-13)
    relative = (SAM(0.1, 0.0, 0.0, 0.3, adaptive=True).ahead(theta, g) - theta) / theta.abs()
    assert relative.norm().item() == pytest.approx(0.3, rel=1e-13)


def test_asam_does_not_see_the_scale_of_the_weights():
    """Weights c times as large have gradients c times as small: the relative climb is the same."""
    theta, g = normal_pair()
    c = torch.tensor(10.0) ** torch.linspace(-2, 2, P, dtype=torch.float64)
    rule = SAM(0.1, 0.0, 0.0, 0.3, adaptive=True)
    torch.testing.assert_close(rule.ahead(c * theta, g / c), c * rule.ahead(theta, g), rtol=1e-13, atol=0)
    assert not torch.allclose(SAM(0.1, 0.0, 0.0, 0.3, adaptive=False).ahead(c * theta, g / c), c * theta, rtol=1e-6)


@pytest.mark.parametrize("adaptive", [False, True])
def test_where_the_gradient_is_zero_there_is_no_climb(adaptive):
    theta, _ = normal_pair()
    assert torch.equal(SAM(0.1, 0.0, 0.0, 0.3, adaptive=adaptive).ahead(theta, torch.zeros_like(theta)), theta)


class Short(SGD):
    """A rule of a user's own that looks at a part of theta alone."""

    def ahead(self, theta: Tensor, g: Tensor) -> Tensor:
        return theta[:1] + g[:1]


def test_a_rule_that_looks_where_theta_cannot_be_is_refused_by_name():
    options = ["optimizer.lr=0.1", "optimizer.momentum=0.0", "optimizer.weight_decay=0.0", "task.train=64"]
    with pytest.raises(ConfigError, match=rf"optimizer._target_={__name__}.Short: .*got .*ahead of shape \[1\]"):
        train(configure(f"optimizer={__name__}.Short", *options))


def normal_pair() -> tuple[Tensor, Tensor]:
    return tuple(torch.from_numpy(np.random.default_rng(3).standard_normal((2, P))))


# --- what each part of the gradient does ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"), [*((SGD, each) for each in SGD_OPTIONS), *((Adam, each) for each in ADAM_OPTIONS)]
)
def test_the_moves_of_all_parts_are_the_step(kind, options):
    rule = kind(**options)
    theta, gradients = given(0)
    memory, velocities = rule.init(theta), [torch.zeros_like(theta)] * 2
    for g, other in zip(gradients, gradients.flip(0), strict=True):
        parts = 0.3 * other, g - 0.3 * other
        decay = getattr(rule, "weight_decay", 0.0) * theta
        moved, memory = rule.update(theta, g - decay, memory)  # what the rule adds itself is no part
        moves, velocities = zip(
            *(rule.split(*each, memory) for each in zip(parts, velocities, strict=True)), strict=True
        )
        largest = max(*(move.abs().max() for move in moves), theta.abs().max())
        assert (sum(moves) - (moved - theta)).abs().max() <= TOLERANCE * largest
        assert moves[0].abs().max() > 0
        theta = moved


@pytest.mark.parametrize("warmup", [0, 3])
def test_a_cosine_after_its_warmup_is_torchs(warmup):
    stepper = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(stepper, T_max=12 - warmup)
    for epoch in range(warmup + 1, 13):
        assert share("cosine", warmup, epoch, 12) == pytest.approx(torchs.get_last_lr()[0], rel=1e-12)
        stepper.step()
        torchs.step()
    assert share("cosine", warmup, 13, 12) == share("cosine", warmup, 12, 12) > 0
    assert [share("constant", warmup, epoch, 12) for epoch in (1, warmup + 1, 12)] == [1 / (warmup + 1), 1, 1]


def test_a_schedule_needs_a_rate_and_a_warmup_an_end():
    with pytest.raises(ConfigError, match="schedule_warmup=5: expected less than epochs=5"):
        configure("schedule_warmup=5", "epochs=5")
    with pytest.raises(ConfigError, match="schedule=cosine: expected constant: the optimiser Still has no lr, a float"):
        configure(f"optimizer={__name__}.Still", "schedule=cosine")


class Still:
    """No rate at all."""
