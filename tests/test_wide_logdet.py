"""The log-det of wide representations: bounds that hold, values against float64 Cholesky, forces that point the same way."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad, vmap

from hclm_runner.config import configure
from hclm_runner.refusal import ConfigError
from hclm_runner.surrogates import logdet, logdet_blockwise, logdet_lowrank, logdet_stochastic
from hclm_runner.training.trainer import train

EPS = 0.5


def decaying(seed: int, B: int, d: int, power: float = 1.0) -> Tensor:
    """Return a batch whose Sigma has eigenvalues of about 10 j^-2power, in a random basis."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.standard_normal((d, d)))
    return torch.from_numpy(rng.standard_normal((B, d)) * (10**0.5 * np.arange(1, d + 1.0) ** -power) @ basis.T)


def exact(Z: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the terms 1/2 log(1 + s_j/eps), the largest first, and eigenvectors, by numpy's eigh."""
    z = Z.double().numpy()
    s, v = np.linalg.eigh(np.cov(z.T, bias=True).reshape(z.shape[1], -1))
    return 0.5 * np.log1p(np.maximum(s, 0) / EPS)[::-1], v[:, ::-1]


def cosine(a: Tensor, b: Tensor) -> float:
    return torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()


def any_batch(least: int):
    """Draw the size B x d of a batch of at least so many samples, its spectrum, and a number of blocks or directions."""
    return given(
        B=st.integers(least, 12), d=st.integers(1, 12), number=st.integers(1, 12), seed=st.integers(0, 2**31),
        scale=st.floats(-3, 3), power=st.floats(0, 3),
    )  # fmt: skip


@any_batch(least=1)
@settings(max_examples=40, deadline=None)
def test_the_bounds_hold_for_any_batch(B, d, number, seed, scale, power):
    Z = 10**scale * decaying(seed, B, d, power)
    S = logdet(Z, eps=EPS).item()
    # A log det is off by the rounding of up to 12 x 12 entries, times the condition of I + Sigma/eps.
    room = 144 * np.finfo(float).eps * (1 + Z.numpy().var(0).sum() / EPS)
    assert logdet_lowrank(Z, eps=EPS, rank=number).item() <= S + room
    assert logdet_blockwise(Z, eps=EPS, blocks=min(number, d)).item() >= S - room
    hadamard = 0.5 * np.log1p(Z.numpy().var(0) / EPS).sum()
    assert logdet_blockwise(Z, eps=EPS, blocks=min(number, d)).item() <= hadamard + room


@any_batch(least=2)
@settings(max_examples=25, deadline=None)
def test_the_force_of_a_bound_never_points_against_that_of_the_log_det(B, d, number, seed, scale, power):
    # With A = I + Sigma/eps and M that of the bound, the inner product is a trace of products of two matrices >= 0.
    Z = 10**scale * decaying(seed, B, d, power)
    exact = grad(lambda Z: logdet(Z, eps=EPS))(Z)
    for of, more in ((logdet_blockwise, {"blocks": min(number, d)}), (logdet_lowrank, {"rank": number})):
        force = grad(lambda Z, of=of, more=more: of(Z, eps=EPS, **more))(Z)
        assert cosine(force, exact) > 0, of.__name__  # of these spectra at least 1e-4, far above rounding


@pytest.mark.parametrize(("B", "d"), [(20, 7), (7, 20)])
def test_each_is_the_log_det_where_it_leaves_nothing_out(B, d):
    Z = decaying(0, B, d)
    S, force = logdet(Z, eps=EPS), grad(lambda Z: logdet(Z, eps=EPS))(Z)
    full = {
        "blockwise": lambda Z: logdet_blockwise(Z, eps=EPS, blocks=1),
        "lowrank": lambda Z: logdet_lowrank(Z, eps=EPS, rank=7),
        "stochastic": lambda Z: logdet_stochastic(Z, eps=EPS, rank=7, probes=1, steps=3),
    }
    for name, of in full.items():
        torch.testing.assert_close(of(Z), S, rtol=1e-10, atol=0, msg=name)
        torch.testing.assert_close(grad(of)(Z), force, rtol=1e-8, atol=1e-10, msg=name)


def test_blocks_are_those_of_the_covariance():
    Z = decaying(1, 40, 10)
    Sigma = np.cov(Z.numpy().T, bias=True)
    blocks = [Sigma[a:b, a:b] for a, b in ((0, 4), (4, 7), (7, 10))]  # as equal as 10 allows
    expected = sum(0.5 * np.linalg.slogdet(np.eye(len(block)) + block / EPS)[1] for block in blocks)
    assert logdet_blockwise(Z, eps=EPS, blocks=3).item() == pytest.approx(expected, rel=1e-12)


def test_low_rank_is_the_sum_of_the_largest_terms_and_its_force_that_of_their_directions():
    Z = decaying(2, 100, 60)
    terms, v = exact(Z)
    found, k = logdet_lowrank(Z, eps=EPS, rank=10).item(), 10
    assert terms[:k].sum() * (1 - 0.01) <= found <= terms[:k].sum() + 1e-12, "three iterations find it to 1%"
    z = Z.numpy() - Z.numpy().mean(0)
    s = EPS * np.expm1(2 * terms[:k])
    expected = torch.from_numpy(z @ (v[:, :k] / (s + EPS)) @ v[:, :k].T / len(z))
    assert cosine(grad(lambda Z: logdet_lowrank(Z, eps=EPS, rank=k))(Z), expected) > 0.95


def orders(Z: Tensor, number: int) -> list[Tensor]:
    rng = np.random.default_rng(0)
    return [torch.from_numpy(rng.permutation(len(Z))) for _ in range(number)]


@pytest.mark.parametrize(("B", "d"), [(100, 60), (60, 100)])
def test_the_estimate_and_its_force_are_right_on_average_over_the_order_of_the_batch(B, d):
    Z = decaying(3, B, d, 0.5)
    S, force = logdet(Z, eps=EPS).item(), grad(lambda Z: logdet(Z, eps=EPS))(Z)
    options = {"eps": EPS, "rank": 8, "probes": 2, "steps": 12}
    values, forces = [], []
    for order in orders(Z, 100):
        values.append(logdet_stochastic(Z[order], **options).item())
        forces.append(grad(lambda Z: logdet_stochastic(Z, **options))(Z[order])[order.argsort()])
    assert abs(np.mean(values) - S) < 4 * np.std(values, ddof=1) / len(values) ** 0.5
    assert np.std(values) < 0.15 * S
    along = np.array([((one * force).sum() / force.square().sum()).item() for one in forces])
    assert abs(along.mean() - 1) < 4 * along.std(ddof=1) / len(along) ** 0.5, "the force, and noise across it"
    assert along.min() > 0.5, "each pushes the right way"
    assert cosine(torch.stack(forces).mean(0), force) > 4 * np.mean([cosine(one, force) for one in forces])


def test_more_probes_and_a_larger_rank_are_nearer():
    Z = decaying(4, 120, 80, 0.5)
    S = logdet(Z, eps=EPS).item()

    def spread(**options: int) -> float:
        given = {"rank": 4, "probes": 1, "steps": 12} | options
        return np.sqrt(np.mean([(logdet_stochastic(Z[o], eps=EPS, **given).item() - S) ** 2 for o in orders(Z, 40)]))

    few = spread()
    assert spread(probes=16) < few / 2.5, "a quarter, but for the luck of 40"
    assert spread(rank=60) < few / 4


@pytest.mark.parametrize("size", [0.0, 1e-8, 1e4])
def test_lanczos_survives_a_space_that_is_used_up(size):
    Z = size * torch.ones(6, 4, dtype=torch.float64) * torch.tensor([1.0, 2, 1, 2, 1, 2], dtype=torch.float64)[:, None]
    of = lambda Z: logdet_stochastic(Z, eps=EPS, rank=1, probes=2, steps=6)  # noqa: E731
    assert of(Z).item() == pytest.approx(logdet(Z, eps=EPS).item(), rel=1e-8, abs=1e-12)
    assert grad(of)(Z).isfinite().all()


def test_vectorised_over_runs_each_has_its_own_eps():
    Z, eps = torch.stack([decaying(seed, 20, 12) for seed in range(3)]), torch.tensor([0.1, 1.0, 10.0])
    for of, more in ((logdet_blockwise, {"blocks": 5}), (logdet_lowrank, {"rank": 3}),
                     (logdet_stochastic, {"rank": 3, "probes": 2, "steps": 5})):  # fmt: skip
        together = vmap(lambda Z, eps, of=of, more=more: of(Z, eps=eps, **more))(Z, eps.double())
        alone = [of(each, eps=float(e), **more) for each, e in zip(Z, eps, strict=True)]
        torch.testing.assert_close(together, torch.stack(alone), rtol=1e-7, atol=0)  # eps from float32


def test_runs_train_with_them_and_too_many_blocks_are_refused():
    small = ["task.train=32", "task.feedback=16", "task.test=16", "batch_size=16", "epochs=2"]
    for name in ("logdet_blockwise", "logdet_lowrank", "logdet_stochastic"):
        records = train(configure(*small, f"surrogate={name}", "regime=thermostat"))
        assert np.isfinite(records.columns["entropy"]).all()
        assert records.diverged[0] < 0
    with pytest.raises(ConfigError, match=r"surrogate\.blocks=17: expected at most the width of Z, 16"):
        train(configure(*small, "surrogate=logdet_blockwise", "surrogate.blocks=17"))
