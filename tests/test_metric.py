"""The metric force of Eq 5: closed forms, a dense solve, what it is invariant under, and that neighbours do not matter."""

import pytest
import torch
from torch.autograd.functional import jacobian
from torch.func import vmap

from hclm_runner.config import configure
from hclm_runner.physics.energy import cross_entropy, squared_error
from hclm_runner.physics.metric import force, gauss_newton
from hclm_runner.training.trainer import train

pytestmark = pytest.mark.kernels

SMALL = ["epochs=4", "task.train=64", "task.feedback=16", "task.test=16", "model.hidden=[5]", "model.representation=3"]


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """A tanh layer of 3 units and a linear one of 4 outputs; x [n, 2], theta [18]."""
    return torch.tanh(x @ theta[:6].view(2, 3)) @ theta[6:].view(3, 4)


X, Y = normal(0, 40, 2), torch.arange(40) % 4
THETA, GS = normal(1, 18), normal(2, 18)


def loss(out: torch.Tensor) -> torch.Tensor:
    return cross_entropy(out, Y)


def dense() -> torch.Tensor:
    return vmap(lambda v: gauss_newton(lambda t: network(t, X), loss, THETA, v))(torch.eye(18, dtype=torch.float64))


def test_with_cross_entropy_gauss_newton_is_the_fisher_matrix():
    p = torch.softmax(network(THETA, X), -1)
    log_p = jacobian(lambda t: torch.log_softmax(network(t, X), -1), THETA)  # [n, K, p]
    fisher = torch.einsum("nk,nki,nkj->ij", p, log_p, log_p) / len(X)
    torch.testing.assert_close(dense(), fisher, rtol=1e-12, atol=1e-14)


def test_with_squared_error_it_is_the_jacobians_gram_matrix():
    target = normal(3, 40, 4)
    J = jacobian(lambda t: network(t, X), THETA).reshape(-1, 18)
    v = normal(4, 18)
    Gv = gauss_newton(lambda t: network(t, X), lambda out: squared_error(out, target), THETA, v)
    torch.testing.assert_close(Gv, 2 / len(J) * J.T @ (J @ v), rtol=1e-12, atol=1e-14)


def test_conjugate_gradients_agree_with_a_dense_solve():
    G = dense()
    for damping in (1e-4, 1e-2, 1.0):
        damped = G + damping * torch.eye(18, dtype=torch.float64)
        expected = (GS @ torch.linalg.solve(damped, GS)).sqrt()
        got = force(GS[None], lambda V: V @ G, torch.tensor([damping], dtype=torch.float64))
        assert got.item() == pytest.approx(expected.item(), rel=1e-7), damping


def test_in_the_identity_metric_it_is_the_euclidean_force():
    zero = torch.zeros(1, dtype=torch.float64)
    assert force(GS[None], lambda V: V, zero).item() == pytest.approx(GS.norm().item(), rel=1e-14)
    assert force(GS[None], torch.zeros_like, zero + 1).item() == pytest.approx(GS.norm().item(), rel=1e-14)


def test_undamped_it_survives_a_linear_reparametrisation_and_the_euclidean_force_does_not():
    # theta = A phi: grad S becomes A^T gS and G becomes A^T G A. Full rank, so that delta = 0 is allowed.
    G = dense() + 0.05 * torch.eye(18, dtype=torch.float64)
    A = torch.eye(18, dtype=torch.float64) + 0.3 * normal(5, 18, 18)
    zero = torch.zeros(1, dtype=torch.float64)
    here = force(GS[None], lambda V: V @ G, zero)
    there = force((A.T @ GS)[None], lambda V: V @ (A.T @ G @ A), zero)
    assert there.item() == pytest.approx(here.item(), rel=1e-6)
    assert (A.T @ GS).norm().item() != pytest.approx(GS.norm().item(), rel=0.05)
    damped = [force(g[None], lambda V, M=M: V @ M, zero + 1) for g, M in ((GS, G), (A.T @ GS, A.T @ G @ A))]
    assert damped[0].item() != pytest.approx(damped[1].item(), rel=0.05), "delta I is not invariant"


def test_what_cannot_be_solved_is_nan_and_a_zero_force_is_zero():
    zero = torch.zeros(1, dtype=torch.float64)
    singular = torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert force(torch.ones(1, 2, dtype=torch.float64), lambda V: V @ singular, zero).isnan()
    assert force(torch.zeros(1, 2, dtype=torch.float64), lambda V: V @ singular, zero).item() == 0
    both = torch.tensor([[1.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    assert force(both, lambda V: V @ singular, torch.zeros(2, dtype=torch.float64)).isnan().tolist() == [True, False]


def test_it_stands_where_it_was_asked_for():
    runs = [
        configure("metric_force=ggn", "measure_every=3", f"metric_damping={damping}", f"seed={seed}", *SMALL)
        for damping, seed in ((0.01, 0), (1.0, 1), (0.1, 2))
    ]
    fused = train(runs).columns["metric_force"]
    assert [[bool(x) for x in row] for row in fused == fused] == [[True, False, False, True, True]] * 3  # noqa: PLR0124


def test_it_changes_nothing_else_and_its_options_count_only_when_it_is_asked_for():
    plain, asked = configure(*SMALL), configure("metric_force=fisher", *SMALL)
    rows = [train([run]).columns for run in (plain, asked)]
    assert all((rows[0][name] == rows[1][name]).all() for name in ("test_loss", "force", "lam"))
    assert plain.run_id == configure("measure_every=7", "metric_damping=2.0", *SMALL).run_id != asked.run_id
    assert asked.run_id != configure("metric_force=fisher", "measure_every=7", *SMALL).run_id
