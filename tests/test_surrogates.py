"""Entropy surrogates: the promises they declare, closed forms, and numbers that float32 would lose."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad, vmap

from hclm_runner.surrogates import (
    PROMISES,
    logdet,
    logdet_blockwise,
    logdet_lowrank,
    logdet_stochastic,
    softmax,
    variance,
    vib,
)

EPS = 0.7
SURROGATES: dict[str, Callable[[Tensor], Tensor]] = {
    "logdet": partial(logdet, eps=EPS),
    "logdet_blockwise": lambda Z: logdet_blockwise(Z, eps=EPS, blocks=min(2, Z.shape[1])),
    "logdet_lowrank": partial(logdet_lowrank, eps=EPS, rank=2),
    "logdet_stochastic": partial(logdet_stochastic, eps=EPS, rank=1, probes=1, steps=4),
    "variance": partial(variance, eps=EPS),
    "softmax": softmax,
    "vib": partial(vib, eps=EPS),
}
COLLAPSED = {"softmax": np.log(3), "vib": 1.5 * (EPS - 1 - np.log(EPS))}
"""What a surrogate is where Z = 0, if that is not 0; of d = 3."""
each_surrogate = pytest.mark.parametrize("name", SURROGATES)
a_few = settings(max_examples=30, deadline=None)


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(dtype)


def spectrum(Z: Tensor) -> np.ndarray:
    """Eigenvalues of Sigma from the singular values of Z, which squares no condition number."""
    z = Z.double().numpy()
    return np.linalg.svd(z - z.mean(0), compute_uv=False) ** 2 / len(z)


def logdet_of_spectrum(Z: Tensor, eps: float) -> float:
    return 0.5 * np.log1p(spectrum(Z) / eps).sum()


# --- promises -------------------------------------------------------------------------------------------------------
# A check returns the breach of a promise on one random batch: about 0 where kept, of order one where broken.


def _correlated(seed: int) -> Tensor:
    """Return a batch of 12 whose d = 3 columns share a common factor."""
    return normal(seed, 12, 3) + 2 * normal(seed + 1, 12, 1) + normal(seed + 2, 3)


def _decorrelated(Z: Tensor) -> Tensor:
    """Return a batch with Z's mean and variances, whose Sigma has nothing off the diagonal."""
    z = Z.numpy()
    mean, Sigma = z.mean(0), np.cov(z.T, bias=True)
    white = (z - mean) @ np.linalg.inv(np.linalg.cholesky(Sigma)).T
    result = white * np.sqrt(np.diag(Sigma)) + mean
    np.testing.assert_allclose(np.cov(result.T, bias=True), np.diag(np.diag(Sigma)), atol=1e-10)
    return torch.from_numpy(result)


def _change(S: Callable[[Tensor], Tensor], Z: Tensor, moved: Tensor) -> float:
    return abs(S(moved) - S(Z)).item() / (1 + S(Z).item())


def order(S: Callable[[Tensor], Tensor], seed: int) -> float:
    Z = normal(seed, 8, 5)
    return _change(S, Z, Z[torch.from_numpy(np.random.default_rng(seed).permutation(8))])


def gradient(S: Callable[[Tensor], Tensor], seed: int) -> float:
    """The slope of S along its force, by a central difference of the fourth order, against the force's norm."""
    Z, h = normal(seed, 8, 5), 1e-3
    force = grad(S)(Z)
    along = force / force.norm()
    near, far = ((S(Z + step * along) - S(Z - step * along)) / (2 * step) for step in (h, 2 * h))
    return abs((4 * near - far) / 3 - force.norm()).item()


def translation(S: Callable[[Tensor], Tensor], seed: int) -> float:
    Z = normal(seed, 8, 5)
    return _change(S, Z, Z + 3 * normal(seed + 1, 5))


def orthogonal(S: Callable[[Tensor], Tensor], seed: int) -> float:
    Z = 2 * normal(seed, 8, 5) * torch.arange(1, 6)
    Q, _ = torch.linalg.qr(normal(seed + 1, 5, 5))
    return _change(S, Z, Z @ Q)


def correlation(S: Callable[[Tensor], Tensor], seed: int) -> float:
    """Hadamard: removing the correlations at equal variances must raise S, here by at least 1e-3 nats."""
    Z = _correlated(seed)
    return max(0.0, 1e-3 - (S(_decorrelated(Z)) - S(Z)).item())


def diagonal(S: Callable[[Tensor], Tensor], seed: int) -> float:
    Z = _correlated(seed)
    return _change(S, Z, _decorrelated(Z))


def row_shift(S: Callable[[Tensor], Tensor], seed: int) -> float:
    Z = normal(seed, 8, 5)
    return _change(S, Z, Z + 3 * normal(seed + 1, 8, 1))


def bounded_by_log_d(S: Callable[[Tensor], Tensor], seed: int) -> float:
    return max(max(0.0, S(size * normal(seed, 8, 5)).item() - np.log(5)) for size in (1e-3, 1.0, 1e3))


def vanishing_force(S: Callable[[Tensor], Tensor], seed: int) -> float:
    """The gradient, and the change of S for a relative change of Z, at both ends of scale.

    Without the second part log-det would keep the promise too: its gradient falls, if only as 1/|Z|.
    """
    Z = normal(seed, 8, 5)
    ends = [size * Z for size in (1e-9, 1e9)]
    return max(grad(S)(end).norm().item() * max(1.0, end.norm().item()) for end in ends)


CHECKS = {
    check.__name__: check
    for check in (
        order,
        gradient,
        translation,
        orthogonal,
        correlation,
        diagonal,
        row_shift,
        bounded_by_log_d,
        vanishing_force,
    )
}
DECLARED = [(name, promise) for name in PROMISES for promise in CHECKS if promise in PROMISES[name]]
UNDECLARED = [(name, promise) for name in PROMISES for promise in CHECKS if promise not in PROMISES[name]]


def test_every_surrogate_and_every_promise_has_a_check():
    assert set(PROMISES) == set(SURROGATES)
    assert frozenset().union(*PROMISES.values()) == set(CHECKS)


@pytest.mark.parametrize(("name", "promise"), DECLARED)
@given(seed=st.integers(0, 2**31))
@a_few
def test_declared_promise_is_kept(name, promise, seed):
    assert CHECKS[promise](SURROGATES[name], seed) < 3e-8


@pytest.mark.parametrize(("name", "promise"), UNDECLARED)
def test_undeclared_promise_is_broken(name, promise):
    assert max(CHECKS[promise](SURROGATES[name], seed) for seed in range(10)) > 9e-4


def test_log_det_force_falls_as_one_over_size_and_softmax_force_exponentially():
    Z = normal(0, 8, 5)
    singular = np.linalg.svd((Z - Z.mean(0)).numpy(), compute_uv=False)
    for size in (1e3, 1e5):
        # grad -> Zc (Zc^T Zc)^-1 / size
        assert size * grad(SURROGATES["logdet"])(size * Z).norm().item() == pytest.approx(
            np.sqrt((singular**-2.0).sum()), rel=1e-4
        )
        assert size * grad(softmax)(size * Z).norm() < 1e-6
        assert grad(SURROGATES["variance"])(size * Z).norm().item() == pytest.approx(
            size * np.linalg.norm(singular) / (8 * EPS)
        )


@st.composite
def batches(draw, dtypes=(torch.float32, torch.float64)) -> Tensor:
    """Draw batches wide and tall, of any rank, mean and scale."""
    B, d, rank = (draw(st.integers(1, 9)) for _ in range(3))
    seed, scale = draw(st.integers(0, 2**31)), 10 ** draw(st.floats(-6, 3))
    offset = draw(st.sampled_from([0.0, 1.0]))
    Z = scale * (normal(seed, B, rank) @ normal(seed + 1, rank, d) + offset * normal(seed + 2, d))
    return Z.to(draw(st.sampled_from(dtypes)))


@each_surrogate
@given(Z=batches())
@settings(max_examples=80, deadline=None)
def test_surrogate_is_never_negative_and_ignores_the_order_of_the_batch_where_it_promises_that(name, Z):
    S = SURROGATES[name](Z)
    assert S.shape == ()
    assert S.dtype == Z.dtype
    assert S >= 0
    if "order" not in PROMISES[name]:
        return
    shuffled = SURROGATES[name](Z[torch.from_numpy(np.random.default_rng(0).permutation(len(Z)))])
    # Softmax near 0 and variance of nearly equal rows are differences of larger numbers.
    rtol = 1e-4 if Z.dtype == torch.float32 else 1e-9
    torch.testing.assert_close(shuffled, S, rtol=rtol, atol=rtol**2 + 1e-10)


@given(Z=batches(), eps=st.floats(1e-3, 1e3))
@settings(max_examples=80, deadline=None)
def test_log_det_is_at_most_variance(Z, eps):
    # To rounding: of float32, and of 1 + Sigma/eps in float64.
    assert logdet(Z, eps=eps) <= variance(Z, eps=eps) * (1 + 1e-5) + 1e-14


def test_log_det_and_variance_agree_to_first_order():
    for size in (1e-2, 1e-3):
        Z = size * normal(0, 9, 4)
        ratio = (1 - logdet(Z, eps=EPS) / variance(Z, eps=EPS)).item()
        # second order of 1/2 log(1 + x) = x/2 - x^2/4
        assert ratio == pytest.approx(0.5 * (spectrum(Z) ** 2).sum() / spectrum(Z).sum() / EPS, rel=1e-2)


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("B", "d"), [(20, 4), (6, 6), (5, 12), (2, 30), (1, 3)])
def test_log_det_equals_slogdet_of_the_d_by_d_matrix(B, d):
    Z = normal(B, B, d) @ normal(d, d, d) + 5
    Sigma = np.cov(Z.numpy().T, bias=True) if B > 1 else np.zeros((d, d))
    sign, value = np.linalg.slogdet(np.eye(d) + Sigma / EPS)
    assert sign == 1
    assert logdet(Z, eps=EPS).item() == pytest.approx(value / 2, rel=1e-11, abs=1e-14)


def test_log_det_divides_by_the_batch_and_not_by_one_less():
    Z = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    assert logdet(Z, eps=1.0).item() == pytest.approx(np.log(2) / 2, rel=1e-15)
    assert variance(Z, eps=1.0).item() == 0.5


def test_variance_equals_the_mean_squared_distance_between_pairs():
    z = normal(3, 7, 4).numpy()
    pairs = ((z[:, None] - z[None]) ** 2).sum(-1).mean()  # twice the trace of Sigma
    assert variance(torch.from_numpy(z), eps=EPS).item() == pytest.approx(pairs / (4 * EPS), rel=1e-13)


def test_softmax_closed_forms():
    d = 6
    assert softmax(torch.full((4, d), 3.0, dtype=torch.float64)).item() == pytest.approx(np.log(d), rel=1e-15)
    p = np.random.default_rng(0).dirichlet(np.ones(d), size=5)
    expected = -(p * np.log(p)).sum(1).mean()
    assert softmax(torch.from_numpy(np.log(p))).item() == pytest.approx(expected, rel=1e-13)
    certain = 1e4 * torch.eye(d)
    assert softmax(certain).item() == 0
    assert grad(softmax)(certain).abs().max() == 0


@pytest.mark.parametrize("eps", [1e-3, 1.0, 30.0])
def test_vib_equals_torchs_divergence_of_the_channel_from_its_prior(eps):
    Z = 2 * normal(0, 7, 4)
    channel, prior = torch.distributions.Normal(Z, eps**0.5), torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(channel, prior).sum(-1).mean()
    assert vib(Z, eps=eps).item() == pytest.approx(expected.item(), rel=1e-13)


def test_vib_bounds_the_information_that_the_log_det_rate_measures():
    """Of a Gaussian Z, I(X; Zn) is the log-det rate; the bound is tight where Zn itself is the prior."""
    for seed in range(20):
        Z = normal(seed, 12, 3) * torch.rand(3, dtype=torch.float64) * 2 + normal(seed + 1, 3) / 2
        assert vib(Z, eps=EPS) >= logdet(Z, eps=EPS)
    white = _whitened(normal(0, 12, 3)) * (1 - EPS) ** 0.5
    assert vib(white, eps=EPS).item() == pytest.approx(logdet(white, eps=EPS).item(), rel=1e-12)


def _whitened(Z: Tensor) -> Tensor:
    """Return a batch of mean 0 and Sigma = I."""
    u, _, v = torch.linalg.svd(Z - Z.mean(0), full_matrices=False)
    return len(Z) ** 0.5 * u @ v


@pytest.mark.parametrize(("B", "d", "k"), [(30, 3, 5), (30, 5, 3), (6, 9, 4)])
def test_linear_gaussian_encoder_has_the_closed_form_values_and_forces(B, d, k):
    X, W = normal(0, B, k) @ normal(1, k, k) + 1, normal(2, d, k)
    x, w = X.numpy(), W.numpy()
    Sx = np.cov(x.T, bias=True)
    Sigma = w @ Sx @ w.T

    def of(S: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda W: S(X @ W.T, eps=EPS)

    assert of(logdet)(W).item() == pytest.approx(0.5 * np.linalg.slogdet(np.eye(d) + Sigma / EPS)[1], rel=1e-11)
    assert of(variance)(W).item() == pytest.approx(np.trace(Sigma) / (2 * EPS), rel=1e-12)
    gW = np.linalg.solve(Sigma + EPS * np.eye(d), w @ Sx)
    np.testing.assert_allclose(grad(of(logdet))(W).numpy(), gW, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(grad(of(variance))(W).numpy(), w @ Sx / EPS, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in SURROGATES if "gradient" in PROMISES[name]])
@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (4, 4)])
def test_gradients_match_finite_differences(name, shape):
    assert torch.autograd.gradcheck(SURROGATES[name], normal(1, *shape).requires_grad_())


# --- numbers that float32 loses -------------------------------------------------------------------------------------


def nearly_singular(seed: int) -> Tensor:
    """Return float32 [64, 8] with two of eight directions a thousand times shorter than the others, and a mean."""
    Z = normal(seed, 64, 6) @ normal(seed + 1, 6, 8) + 1e-3 * normal(seed + 2, 64, 8) + 3
    return Z.float()


def logdet_in_float32(Z: Tensor, eps: float) -> Tensor:
    """The form of Eq 3 that first comes to mind."""
    centred = Z - Z.mean(0)
    d = Z.shape[1]
    return torch.logdet(centred.T @ centred / len(Z) + eps * torch.eye(d)) / 2 - d / 2 * np.log(eps)


@pytest.mark.parametrize("eps", [1e-10, 1e-8])
def test_log_det_stays_accurate_where_a_float32_determinant_loses_its_sign(eps):
    lost, wrong = 0, 0.0
    for seed in range(20):
        Z = nearly_singular(seed)
        reference = logdet_of_spectrum(Z, eps)
        S = logdet(Z, eps=eps)
        assert S.dtype == torch.float32
        assert S.item() == pytest.approx(reference, rel=1e-6)
        assert grad(partial(logdet, eps=eps))(Z).isfinite().all()
        naive = logdet_in_float32(Z, eps).item()
        lost += np.isnan(naive)
        wrong = max(wrong, abs(naive / reference - 1) if np.isfinite(naive) else 0)
    # The contrast: what the Cholesky in float64 is for.
    assert lost >= 1
    assert wrong > 1e-3


@pytest.mark.parametrize(("B", "d"), [(64, 5), (5, 9)])
def test_log_det_of_a_singular_sigma_is_accurate_up_to_1e12_times_eps(B, d):
    Z = normal(0, B, 3) @ normal(1, 3, d)
    for ratio in (1e4, 1e8, 1e12):
        eps = spectrum(Z).max() / ratio
        assert logdet(Z, eps=eps).item() == pytest.approx(logdet_of_spectrum(Z, eps), rel=1e-5)


@pytest.mark.parametrize(("B", "d"), [(64, 5), (5, 9)])
@pytest.mark.parametrize("ratio", [1e15, 1e16, 1e17])
def test_log_det_beyond_float64_is_nan_rather_than_wrong(B, d, ratio):
    for seed in range(8):
        Z = normal(seed, B, 3) @ normal(seed + 1, 3, d)
        eps = spectrum(Z).max() / ratio
        value = logdet(Z, eps=eps).item()
        assert np.isnan(value) or value == pytest.approx(logdet_of_spectrum(Z, eps), rel=0.1)


@pytest.mark.parametrize(("B", "d"), [(64, 8), (8, 64)])
def test_log_det_force_is_accurate_for_nearly_singular_batches(B, d):
    Z, eps = (normal(0, B, 4) @ normal(1, 4, d) + 1e-2 * normal(2, B, d)).float(), 1e-6
    u, s, v = np.linalg.svd(Z.double().numpy() - Z.double().numpy().mean(0), full_matrices=False)
    expected = (u * (s / B / (s**2 / B + eps))) @ v
    np.testing.assert_allclose(grad(partial(logdet, eps=eps))(Z).numpy(), expected, atol=1e-4 * np.abs(expected).max())


@each_surrogate
def test_collapsed_batch_has_a_finite_value_and_no_nan_gradient(name):
    Z = torch.zeros(6, 3)
    S = SURROGATES[name](Z)
    assert S.item() == pytest.approx(COLLAPSED.get(name, 0))
    assert grad(SURROGATES[name])(Z).abs().max() < 1e-8


# --- non-finite input -----------------------------------------------------------------------------------------------


@each_surrogate
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("shape", [(6, 3), (3, 6)])
def test_non_finite_input_has_no_finite_value_and_does_not_disturb_a_run_beside_it(name, bad, shape):
    S = SURROGATES[name]
    healthy = normal(0, *shape, dtype=torch.float32)
    broken = healthy.clone()
    broken[1, 2] = bad
    assert not S(broken).isfinite()

    def value_and_gradient(Z: Tensor) -> tuple[Tensor, Tensor]:
        Z = Z.clone().requires_grad_()
        values = vmap(S)(Z)
        return values.detach(), torch.autograd.grad(values.sum(), Z)[0]

    alone, alone_gradient = value_and_gradient(healthy[None])
    values, gradients = value_and_gradient(torch.stack([broken, healthy, broken]))
    assert torch.equal(values[1], alone[0])
    assert torch.equal(gradients[1], alone_gradient[0])
    assert gradients[1].isfinite().all()
    assert not values[[0, 2]].isfinite().any()
    torch.testing.assert_close(values[1], S(healthy))
