"""What the theorems assume, on functions whose derivatives are known, and as columns of runs."""

import math

import pytest
import torch

from hclm_runner.config import configure
from hclm_runner.physics.premises import LANCZOS, force_premise, next_step, smoothness
from hclm_runner.records import ON_REQUEST
from hclm_runner.refusal import ConfigError
from hclm_runner.training.trainer import train

pytestmark = pytest.mark.kernels

SMALL = ["epochs=4", "task.train=64", "task.feedback=16", "task.test=16", "model.hidden=[5]", "model.representation=3"]


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def quadratic(A):
    return lambda theta: (theta * (theta @ A)).sum(-1) / 2


THETA = normal(0, 3, 6)
A, B = (M @ M.T - 3 * torch.eye(6, dtype=torch.float64) for M in (normal(1, 6, 6), normal(2, 6, 6)))


def test_of_a_quadratic_the_premise_of_proposition_3_is_a_matrix_product():
    found = force_premise(quadratic(A), quadratic(B), THETA)
    for r, theta in enumerate(THETA):
        gS, gL = A @ theta, B @ theta
        assert found["curvature"][r].item() == pytest.approx((gS @ A @ gS / (gS @ gS)).item(), rel=1e-12)
        assert found["coupling"][r].item() == pytest.approx(((gS @ A @ gL).abs() / gS.norm()).item(), rel=1e-12)


def test_the_logarithm_of_a_radius_pushes_outwards_harder_the_further_in():
    # S = log r: F = 1/r along the radius, H = -1/r^2 along it. So curvature is -F^2.
    found = force_premise(lambda theta: theta.square().sum(-1).log() / 2, quadratic(B), THETA)
    torch.testing.assert_close(found["curvature"], -1 / THETA.square().sum(1), rtol=1e-12, atol=0)


def test_where_there_is_no_force_the_premise_is_undefined():
    flat = force_premise(lambda theta: theta.new_zeros(len(theta)), quadratic(B), THETA)
    assert all(value.isnan().all() for value in flat.values())
    linear = force_premise(lambda theta: theta.sum(1), quadratic(B), THETA)
    assert (linear["curvature"] == 0).all()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("p", [1, 2, LANCZOS - 1, LANCZOS + 1, 300])
def test_smoothness_is_the_largest_eigenvalue_by_size(p, sign):
    # One eigenvalue apart from a crowd, as in a network; it may be the negative one.
    values = torch.linspace(-1, 1, p, dtype=torch.float64)
    values[-1] = 1.5 * sign
    Q = torch.linalg.qr(normal(p, p, p))[0]
    found = smoothness(quadratic(Q @ torch.diag(values) @ Q.T), normal(1, 2, p))
    torch.testing.assert_close(found, torch.full((2,), 1.5, dtype=torch.float64), rtol=1e-6, atol=0)


def test_smoothness_survives_an_exhausted_space_and_a_run_that_is_not_finite():
    rank_one = torch.zeros(40, 40, dtype=torch.float64)
    rank_one[3, 3] = 2.0
    theta = normal(0, 3, 40)
    theta[1] = math.nan
    found = smoothness(lambda t: quadratic(rank_one)(t) + 0 * t.pow(3).sum(1), theta)
    assert found[1].isnan()
    torch.testing.assert_close(found[[0, 2]], torch.full((2,), 2.0, dtype=torch.float64), rtol=1e-9, atol=0)
    assert (smoothness(lambda t: t.sum(1), normal(0, 2, 5)) == 0).all()


def test_a_step_of_gradient_descent_takes_the_time_of_its_learning_rate():
    moved = THETA - 0.03 * THETA @ B
    found = next_step(quadratic(B), quadratic(A), THETA, moved)
    torch.testing.assert_close(found["step_time"], torch.full((3,), 0.03, dtype=torch.float64), rtol=1e-12, atol=0)
    # S is quadratic, so that its change less the first order is Delta^T A Delta / 2.
    torch.testing.assert_close(found["step_entropy"] - found["step_drift"], quadratic(A)(moved - THETA))
    torch.testing.assert_close(found["step_energy"], quadratic(B)(moved) - quadratic(B)(THETA))
    aside = next_step(quadratic(torch.eye(2, dtype=torch.float64)), quadratic(torch.eye(2, dtype=torch.float64)),
                      torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([[1.0, 0.5]], dtype=torch.float64))  # fmt: skip
    assert aside["step_time"].item() == aside["step_drift"].item() == 0
    assert aside["step_entropy"].item() == 0.125


@pytest.mark.parametrize("surrogate", ["logdet", "softmax"])
def test_they_stand_where_they_were_asked_for(surrogate):
    asked = ["premises=true", "measure_every=3", f"surrogate={surrogate}", *SMALL]
    runs = [configure(f"lam={lam}", f"seed={seed}", *asked) for lam, seed in ((0.1, 0), (1.0, 1), (0.0, 2))]
    fused = train(runs).columns
    columns = [name for name in ON_REQUEST if name != "metric_force"]
    for name in columns:
        assert [[math.isfinite(x) for x in row] for row in fused[name]] == [[True, False, False, True, True]] * 3


def test_without_noise_momentum_or_minibatches_the_entropy_balance_closes():
    # Theorem 2 with the true step: what is left is second order in lr. Noise alone opens it again.
    quiet = ["sigma=0", "surrogate.eps=1.0", "optimizer.momentum=0", "batch_size=64", "dtype=float64"]
    still, noisy = (
        train([configure(*SMALL, "premises=true", "measure_every=1", "optimizer.lr=0.001", *options)]).columns
        for options in (quiet, [*quiet, "sigma=1.0"])
    )

    def closure(columns):
        balance = columns["step_time"] * (columns["injection"] - columns["dissipation"])
        return (abs(columns["step_entropy"] - balance) / abs(columns["step_entropy"])).max()

    assert still["step_time"] == pytest.approx(0.001, rel=1e-9)
    assert closure(still) < 0.01
    assert closure(noisy) > 0.1


def margin(Z: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.multi_margin_loss(Z, torch.zeros(len(Z), dtype=torch.int64, device=Z.device))


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of vmap, for that function
def test_a_surrogate_that_cannot_be_differentiated_twice_is_refused_only_where_that_is_asked():
    surrogate = [f"surrogate={__name__}.margin", *SMALL]
    assert train([configure(surrogate)]).diverged[0] == -1
    with pytest.raises(ConfigError, match=r"premises=True: expected .* second derivatives"):
        train([configure(*surrogate, "premises=true")])


def test_they_change_nothing_else_and_count_only_when_asked_for():
    plain, asked = configure(*SMALL), configure("premises=true", *SMALL)
    rows = [train([run]).columns for run in (plain, asked)]
    assert all((rows[0][name] == rows[1][name]).all() for name in ("test_loss", "force", "lam"))
    assert plain.run_id == configure("measure_every=7", *SMALL).run_id != asked.run_id
    assert asked.run_id != configure("premises=true", "measure_every=7", *SMALL).run_id
    assert asked.run_id == configure("premises=true", "metric_damping=7.0", *SMALL).run_id
