"""What is measured of a run: identities of the theory, closed forms, and the edges of floating point."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import vmap

from hclm_runner.physics import observables
from hclm_runner.physics.energy import cross_entropy, squared_error
from hclm_runner.physics.observables import balance, decisions, geometry, temperature
from hclm_runner.surrogates import logdet, softmax, variance

pytestmark = pytest.mark.kernels


def effective_rank(Z: torch.Tensor) -> torch.Tensor:
    return geometry(Z, torch.tensor(1.0))["effective_rank"]


def normal(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def vector(*values: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype)


def scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


# --- forces ---------------------------------------------------------------------------------------------------------


def forces(gS: Tensor, gL: Tensor, lam: Tensor) -> dict[str, Tensor]:
    """Without noise, and with nothing but an encoder."""
    row = observables.forces(gS, gL, gL, torch.ones_like(gS))
    return row | observables.pushes(row, lam)


def test_noise_and_the_encoder_are_told_apart():
    row = observables.forces(vector(3, 4, 0), vector(1, 1, 9), vector(-2, 0, 5), vector(1, 1, 0))
    assert row["injection"] == -7
    assert row["noisy_injection"] == 6
    assert row["critical_lam"] == 6 / 25  # of the loss that training descends
    assert row["alignment"].item() == pytest.approx(7 / (5 * 2**0.5), rel=1e-15)  # not diluted by the head's gradient


def test_forces_of_two_vectors_by_hand():
    row = forces(vector(3, 0, 4), vector(0, 5, -12), scalar(0.5))
    assert {key: value.item() for key, value in row.items()} == {
        "force": 5,
        "force_squared": 25,
        "loss_force": 13,
        "force_ratio": 2.5 / 13,
        "alignment": -48 / 65,
        "injection": 48,
        "dissipation": 12.5,
        "noisy_injection": 48,
        "critical_lam": 48 / 25,
    }


@given(seed=st.integers(0, 2**31), p=st.integers(1, 20), lam=st.floats(0, 10))
@settings(max_examples=40, deadline=None)
def test_columns_hang_together(seed, p, lam):
    gS, gL = normal(seed, p), normal(seed + 1, p)
    row = {key: value.item() for key, value in forces(gS, gL, scalar(lam)).items()}
    s, loss = gS.numpy(), gL.numpy()
    assert row["force"] == pytest.approx(np.linalg.norm(s), rel=1e-13)
    assert row["loss_force"] == pytest.approx(np.linalg.norm(loss), rel=1e-13)
    assert row["injection"] == pytest.approx(-np.dot(s, loss), rel=1e-9, abs=1e-12)
    assert row["dissipation"] == pytest.approx(lam * row["force"] ** 2, rel=1e-12)
    assert row["alignment"] == pytest.approx(-row["injection"] / row["force"] / row["loss_force"], rel=1e-12)
    assert abs(row["alignment"]) <= 1 + 1e-12
    assert row["force_ratio"] * row["loss_force"] == pytest.approx(lam * row["force"], rel=1e-12)
    # Proposition 2: at lam = critical_lam, dS/dt = -<gS, gL + lam gS> = 0; at lam it is injection less dissipation.
    rate = -np.dot(s, loss + lam * s)
    assert rate == pytest.approx(row["injection"] - row["dissipation"], rel=1e-9, abs=1e-9)
    balanced = -np.dot(s, loss + row["critical_lam"] * s)
    assert abs(balanced) <= 1e-12 * row["force"] * (row["loss_force"] + abs(row["critical_lam"]) * row["force"])


@given(seed=st.integers(0, 2**31), a=st.floats(-3, 3), b=st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_columns_scale_with_the_units_of_surrogate_and_loss(seed, a, b):
    a, b, lam = 10**a, 10**b, scalar(0.3)
    gS, gL = normal(seed, 6), normal(seed + 1, 6)
    scaled, plain = forces(a * gS, b * gL, lam), forces(gS, gL, lam)
    powers = {
        "force": a,
        "loss_force": b,
        "force_ratio": a / b,
        "alignment": 1,
        "injection": a * b,
        "dissipation": a**2,
        "noisy_injection": a * b,
        "critical_lam": b / a,
    }
    for key, factor in powers.items():
        assert scaled[key].item() == pytest.approx(factor * plain[key].item(), rel=1e-9, abs=1e-12 * factor), key


@pytest.mark.parametrize(
    ("gS", "gL", "undefined"),
    [
        (vector(0, 0), vector(1, 2), {"alignment", "critical_lam"}),
        (vector(1, 2), vector(0, 0), {"alignment", "force_ratio"}),
        (vector(0, 0), vector(0, 0), {"alignment", "critical_lam", "force_ratio"}),
    ],
)
def test_a_zero_force_is_a_number_and_its_ratios_are_undefined(gS, gL, undefined):
    row = forces(gS, gL, scalar(0.5))
    assert {key for key, value in row.items() if value.isnan()} == undefined
    assert row["force"] == gS.norm()
    assert row["loss_force"] == gL.norm()
    assert row["injection"] == 0


def test_float32_forces_whose_square_underflows_are_right():
    gS, gL = vector(3e-25, -4e-25, dtype=torch.float32), vector(1.0, 2.0, dtype=torch.float32)
    assert (gS * gS).sum() == 0  # the contrast
    row = forces(gS, gL, torch.tensor(2.0))
    assert all(value.dtype == torch.float64 for value in row.values())
    assert row["force"].item() == pytest.approx(5e-25, rel=1e-6, abs=0)
    assert row["force_ratio"].item() == pytest.approx(1e-24 / 5**0.5, rel=1e-6, abs=0)
    assert row["alignment"].item() == pytest.approx(-1 / 5**0.5, rel=1e-6, abs=0)
    assert row["dissipation"].item() == pytest.approx(5e-49, rel=1e-6, abs=0)
    assert row["critical_lam"].item() == pytest.approx(2e24, rel=1e-6, abs=0)


def test_forces_of_many_runs_are_those_of_each():
    gS, gL, lam = normal(0, 5, 7), normal(1, 5, 7), vector(0, 0.1, 1, 2, 10)
    gS[3] = 0
    together = vmap(forces)(gS, gL, lam)
    for k in range(5):
        for key, value in forces(gS[k], gL[k], lam[k]).items():
            torch.testing.assert_close(together[key][k], value, rtol=1e-13, atol=0, equal_nan=True)


# --- forces of a model ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("surrogate", [logdet, variance])
def test_critical_lam_of_a_linear_gaussian_model_has_its_closed_form(surrogate):
    B, k, d, m, eps = 40, 4, 3, 2, 0.6
    X, Y, W, A = normal(0, B, k), normal(1, B, m), normal(2, d, k), normal(3, m, d)
    x, y, w, a = (t.numpy() for t in (X, Y, W, A))

    # By hand: Z = X W^T, prediction Z A^T, L the mean over B m squares.
    Sx = np.cov(x.T, bias=True)
    gS = w @ Sx / eps if surrogate is variance else np.linalg.solve(w @ Sx @ w.T + eps * np.eye(d), w @ Sx)
    residual = x @ w.T @ a.T - y
    gL_W, gL_A = 2 / (B * m) * a.T @ residual.T @ x, 2 / (B * m) * residual.T @ x @ w.T
    inner = (gS * gL_W).sum()  # S does not reach A

    theta = torch.cat([W.flatten(), A.flatten()]).requires_grad_()
    W, A = theta[: d * k].view(d, k), theta[d * k :].view(m, d)
    Z = X @ W.T
    gL_auto, gS_auto = (
        torch.autograd.grad(value, theta, retain_graph=True)[0]
        for value in (squared_error(Z @ A.T, Y), surrogate(Z, eps=eps))
    )
    row = forces(gS_auto, gL_auto, scalar(0.2))
    assert row["force"].item() == pytest.approx(np.linalg.norm(gS), rel=1e-11)
    assert row["loss_force"].item() == pytest.approx(np.sqrt((gL_W**2).sum() + (gL_A**2).sum()), rel=1e-11)
    assert row["injection"].item() == pytest.approx(-inner, rel=1e-10)
    assert row["critical_lam"].item() == pytest.approx(-inner / (gS**2).sum(), rel=1e-10)


@pytest.mark.parametrize("surrogate", [lambda Z: logdet(Z, eps=0.5), lambda Z: variance(Z, eps=0.5), softmax])
def test_entropy_stands_still_at_critical_lam_and_moves_to_either_side_of_it(surrogate):
    """Proposition 2, measured: S along the flow of E = L + lam S, by a central difference in time."""
    x, y = normal(0, 20, 4), normal(1, 20, 2)

    def values(theta: Tensor) -> tuple[Tensor, Tensor]:
        Z = torch.tanh(x @ theta[:12].view(4, 3))
        return squared_error(Z @ theta[12:].view(3, 2), y), surrogate(Z)

    theta = normal(2, 18).requires_grad_()
    gL, gS = (torch.autograd.grad(value, theta, retain_graph=True)[0] for value in values(theta))
    row = {key: value.item() for key, value in forces(gS, gL, scalar(1.0)).items()}

    def rate(lam: float, h: float = 1e-4) -> float:
        step = h * (gL + lam * gS)
        with torch.no_grad():
            return ((values(theta - step)[1] - values(theta + step)[1]) / (2 * h)).item()

    critical = row["critical_lam"]
    assert rate(0) == pytest.approx(row["injection"], rel=1e-5)
    assert rate(1) == pytest.approx(row["injection"] - row["dissipation"], rel=1e-5)
    assert abs(rate(critical)) < 1e-5 * abs(rate(0))
    assert rate(critical - 0.1) > 0 > rate(critical + 0.1)


# --- decisions ------------------------------------------------------------------------------------------------------


def accuracy(logits: Tensor, y: Tensor) -> Tensor:
    return decisions(logits, y)["accuracy"]


def confidence(logits: Tensor) -> Tensor:
    return decisions(logits, torch.zeros(len(logits), dtype=torch.int64))["confidence"]


def test_decisions_by_hand():
    p = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]], dtype=torch.float64)
    row = decisions(p.log(), torch.tensor([0, 1, 1, 0]))
    assert row["brier"].item() == pytest.approx(2 * (0.1**2 + 0.6**2 + 0.3**2 + 0.8**2) / 4, rel=1e-12)
    assert row["worst_class_accuracy"].item() == 0.5
    # With four samples each bin has one at most, so the error is the mean |right - confidence|.
    assert row["ece"].item() == pytest.approx((0.1 + 0.6 + 0.3 + 0.8) / 4, rel=1e-12)


def test_calibration_error_of_a_calibrated_predictor_is_that_of_chance_and_of_a_sure_one_is_its_error():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 60_000)
    y = torch.from_numpy((rng.random(60_000) > p).astype(np.int64))
    logits = torch.from_numpy(np.log(np.stack([p, 1 - p], 1)))
    assert decisions(logits, y)["ece"] < 0.01  # 4000 a bin: |error| of 0.006 on average
    sure = decisions(1e9 * logits, y)
    assert sure["ece"].item() == pytest.approx(1 - sure["accuracy"].item(), abs=1e-6)


def test_a_class_that_does_not_occur_is_not_the_worst():
    logits = torch.eye(3, dtype=torch.float64)
    assert decisions(logits[:2], torch.tensor([0, 1]))["worst_class_accuracy"] == 1
    assert decisions(logits[:2], torch.tensor([0, 2]))["worst_class_accuracy"] == 0


@given(seed=st.integers(0, 2**31), scale=st.floats(0.05, 20))
@settings(max_examples=20, deadline=None)
def test_temperature_minimises_the_loss_and_scales_with_the_logits(seed, scale):
    y = torch.from_numpy(np.random.default_rng(seed).integers(0, 3, 40))
    logits = normal(seed, 40, 3) + 2 * torch.nn.functional.one_hot(y, 3)
    logits[:4] = -logits[:4]  # so that some are missed, and T is inside its bounds
    T = temperature(logits, y)
    least = cross_entropy(logits / T, y)
    assert least <= cross_entropy(logits, y)
    assert all(least < cross_entropy(logits / (T * off), y) for off in (0.9, 1.1))
    assert temperature(scale * logits, y).item() == pytest.approx(scale * T.item(), rel=1e-9)


def test_temperature_of_labels_that_are_all_predicted_or_all_missed_is_at_a_bound():
    logits = torch.tensor([[3.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    assert temperature(logits, torch.tensor([0, 1])).item() == pytest.approx(1e-3)
    assert temperature(logits, torch.tensor([1, 0])).item() == pytest.approx(1e3)


# --- the balance of an epoch ----------------------------------------------------------------------------------------


def test_balance_of_a_quadratic_closes_exactly():
    """The trapezoidal rule is exact for a quadratic S, however long and crooked the way."""
    A, start = normal(0, 5, 5), normal(1, 5)
    A = A @ A.T
    D_L, D_S, D_O = (normal(seed, 5) for seed in (2, 3, 4))
    end = start + D_L + D_S + D_O
    S = [(theta @ A @ theta).item() / 2 for theta in (start, end)]
    encoder = vector(1, 1, 1, 0, 0)
    row = balance(scalar(S[1] - S[0]), (A @ start, A @ end), (D_L, D_S, D_O), scalar(0.3), encoder)
    assert abs(row["closure"].item()) < 1e-12 * abs(S[1])
    assert row["injected"].item() == pytest.approx((A @ (start + end) / 2 @ D_L).item(), rel=1e-12)
    assert row["share"].item() == pytest.approx((D_S[:3].norm() / D_L[:3].norm()).item(), rel=1e-12)
    expected = 0.3 * row["injected"].item() / row["dissipated"].item()
    assert row["balancing_lam"].item() == pytest.approx(expected, rel=1e-12)


def test_accuracy_and_confidence_by_hand():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3], [0.4, 0.35, 0.25]])
    logits = torch.from_numpy(np.log(p)) + vector(0, 5, -3, 100).unsqueeze(1)
    assert accuracy(logits, torch.tensor([0, 1, 1, 2])).item() == 0.5
    assert confidence(logits).item() == pytest.approx((0.7 + 0.6 + 0.5 + 0.4) / 4, rel=1e-13)


@given(seed=st.integers(0, 2**31), B=st.integers(1, 9), K=st.integers(2, 6), scale=st.floats(-3, 6))
@settings(max_examples=40, deadline=None)
def test_confidence_is_a_largest_probability(seed, B, K, scale):
    logits = 10**scale * normal(seed, B, K)
    assert 1 / K - 1e-12 <= confidence(logits).item() <= 1 + 1e-12
    expected = torch.softmax(logits, -1).amax(-1).mean().item()
    assert confidence(logits).item() == pytest.approx(expected, rel=1e-10)


# --- effective rank -------------------------------------------------------------------------------------------------


def with_spectrum(seed: int, B: int, d: int, eigenvalues: np.ndarray) -> Tensor:
    """Return Z [B, d], off the origin, whose Sigma has the eigenvalues given."""
    rng = np.random.default_rng(seed)
    r = len(eigenvalues)
    centred = rng.standard_normal((B, r))
    u, _ = np.linalg.qr(centred - centred.mean(0))
    v, _ = np.linalg.qr(rng.standard_normal((d, r)))
    return torch.from_numpy(u * np.sqrt(B * eigenvalues) @ v.T + rng.standard_normal(d))


@given(seed=st.integers(0, 2**31), weights=st.lists(st.floats(1e-3, 1), min_size=1, max_size=5), scale=st.floats(-3, 3))
@settings(max_examples=40, deadline=None)
def test_effective_rank_is_the_exponential_of_the_spectrums_entropy(seed, weights, scale):
    q = np.array(weights) / np.sum(weights)
    for B, d in ((12, 6), (7, 9)):
        Z = with_spectrum(seed, B, d, 10**scale * q)
        assert effective_rank(Z).item() == pytest.approx(np.prod(q**-q), rel=1e-8)


def test_effective_rank_of_one_direction_and_of_all_equally():
    assert effective_rank(with_spectrum(0, 9, 4, np.array([3.0]))).item() == pytest.approx(1, abs=1e-9)
    assert effective_rank(with_spectrum(0, 9, 4, np.full(4, 3.0))).item() == pytest.approx(4, rel=1e-12)
    assert effective_rank(torch.cat([torch.eye(5), -torch.eye(5)])).item() == pytest.approx(5, rel=1e-12)


@given(
    seed=st.integers(0, 2**31),
    B=st.integers(2, 9),
    d=st.integers(1, 9),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=60, deadline=None)
def test_effective_rank_has_bounds_and_ignores_rotation_translation_and_scale(seed, B, d, dtype):
    Z = (normal(seed, B, d) * torch.arange(1, d + 1)).to(dtype)
    rank = effective_rank(Z).item()
    # Centring takes one of the B directions.
    assert 1 - 1e-9 <= rank <= min(B - 1, d) + 1e-6
    Q, _ = torch.linalg.qr(normal(seed + 1, d, d))
    moved = 1e-3 * Z @ Q.to(dtype) + normal(seed + 2, d).to(dtype) * 1e-3
    assert effective_rank(moved).item() == pytest.approx(rank, rel=1e-5 if dtype == torch.float32 else 1e-9)


# The mean of equal rows rounds: it is not the row, for 0.1 and 123.456.
@pytest.mark.parametrize("value", [0.0, 0.5, 0.1, 123.456])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_effective_rank_of_a_collapsed_batch_is_zero(value, dtype):
    assert effective_rank(torch.full((7, 4), value, dtype=dtype)).item() == 0


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_effective_rank_of_a_broken_run_is_nan_and_does_not_disturb_its_neighbours(bad):
    healthy = normal(0, 8, 3).float()
    broken = healthy.clone()
    broken[2, 1] = bad
    assert effective_rank(broken).isnan()
    ranks = vmap(effective_rank)(torch.stack([broken, healthy, torch.zeros(8, 3), broken]))
    assert ranks.isnan().tolist() == [True, False, False, True]
    assert torch.equal(ranks[1], vmap(effective_rank)(healthy[None])[0])
    assert ranks[2] == 0


@pytest.mark.parametrize("sigma", [0.1, 1.0, 3.0])
def test_the_log_det_rate_is_the_log_det_surrogate_at_the_channels_noise(sigma):
    for B, d in ((12, 6), (7, 9)):
        Z = normal(3, B, d)
        rate = geometry(Z, torch.tensor(sigma, dtype=torch.float64))["logdet_rate"].item()
        assert rate == pytest.approx(logdet(Z, eps=sigma**2).item(), rel=1e-12)


def test_the_log_det_rate_is_zero_when_collapsed_and_undefined_without_noise():
    assert geometry(torch.full((7, 4), 0.1), torch.tensor(1.0))["logdet_rate"].item() == 0
    assert geometry(normal(0, 7, 4), torch.tensor(0.0))["logdet_rate"].isnan()
