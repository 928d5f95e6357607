"""The energy and its parts: closed forms, reference implementations, gradients where a norm has none."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import vmap

from hclm_runner.physics.energy import (
    asymmetric_cost,
    confidence_penalty,
    cross_entropy,
    group_sparsity,
    label_smoothing,
    spectral,
    squared_error,
    total,
)

pytestmark = pytest.mark.kernels


def normal(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def labels(seed: int, B: int, K: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(K, size=B))


def scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def check_gradient(f: Callable[[Tensor], Tensor], x: Tensor, h: float = 1e-6) -> None:
    """Hold autograd to central differences: off by h^2 from the third derivative, and by rounding / h, about 1e-9."""
    steps = h * torch.eye(x.numel(), dtype=torch.float64).reshape(-1, *x.shape)
    expected = [(f(x + step) - f(x - step)).item() / (2 * h) for step in steps]
    x = x.clone().requires_grad_()
    (got,) = torch.autograd.grad(f(x), x)
    np.testing.assert_allclose(got.flatten().numpy(), expected, rtol=1e-7, atol=1e-8)
    assert got.abs().max() > 1e-3  # so the comparison can tell


# --- total ----------------------------------------------------------------------------------------------------------


def test_total_is_the_weighted_sum():
    assert total(scalar(1.0), scalar(4.0), scalar(0.125), scalar(2.0)).item() == 1 + 0.5 + 2
    assert total(scalar(1.0), scalar(4.0), scalar(0.125)).item() == 1.5


def test_total_at_zero_lam_is_the_loss_bit_for_bit_and_has_its_gradient():
    theta = normal(0, 6).requires_grad_()
    L, S = (theta**2).sum() / 3, (theta**4).sum()
    E = total(L, S, scalar(0.0))
    assert E.item() == L.item()
    (gE,) = torch.autograd.grad(E, theta, retain_graph=True)
    (gL,) = torch.autograd.grad(L, theta)
    assert torch.equal(gE, gL)


def test_total_gradient_is_the_weighted_sum_of_gradients():
    theta = normal(0, 6).requires_grad_()
    parts = [(theta**k).sum() for k in (2, 3, 4, 5)]
    E = total(parts[0], parts[1], scalar(0.3), 0.7 * parts[2] + 1.1 * parts[3])
    (g,) = torch.autograd.grad(E, theta)
    t = theta.detach().numpy()
    np.testing.assert_allclose(g.numpy(), 2 * t + 0.3 * 3 * t**2 + 0.7 * 4 * t**3 + 1.1 * 5 * t**4, rtol=1e-13)


# --- predictive losses ----------------------------------------------------------------------------------------------


def rounding(logits: Tensor) -> tuple[float, float]:
    """Return what rounding may do to a mean cross-entropy of `logits` [B, K], and to an entry of its gradient, absolute.

    With u the unit roundoff and M = max |logit|: a loss z_max - z_y + log sum exp(z - z_max) is at most 2 M + log K, and
    each of the about B + K + 8 operations that lead to the mean rounds it by at most u of that. The gradient is
    (exp(z - logsumexp(z)) - 1[y]) / B. The condition number of exp is its argument: logsumexp(z), rounded once, is off
    by u (M + log K), and so is p <= 1. At M = 1e4 in float32 that is 6e-4: no bound free of M can hold.
    """
    (B, K), u = logits.shape, torch.finfo(logits.dtype).eps / 2
    M = logits.abs().max().item()
    return u * (B + K + 8) * (2 * M + np.log(K)), u * (2 * M + np.log(K) + K + 8) / B


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(seed=st.integers(0, 2**31), B=st.integers(1, 9), K=st.integers(2, 6), scale=st.floats(-4, 4))
@example(seed=1788, B=1, K=3, scale=4.0)  # float32 is off by 3e-4 in the gradient
@settings(max_examples=60, deadline=None)
def test_cross_entropy_and_its_gradient_equal_torch(dtype, seed, B, K, scale):
    logits, y = (10**scale * normal(seed, B, K)).to(dtype).requires_grad_(), labels(seed, B, K)
    exact = logits.detach().double().requires_grad_()
    mine, torchs = cross_entropy(logits, y), torch.nn.functional.cross_entropy(exact, y)
    assert mine.dtype == dtype
    of_value, of_gradient = rounding(logits.detach())
    assert mine.item() == pytest.approx(torchs.item(), rel=0, abs=of_value)
    (got,), (expected,) = torch.autograd.grad(mine, logits), torch.autograd.grad(torchs, exact)
    np.testing.assert_allclose(got.double().numpy(), expected.numpy(), rtol=0, atol=of_gradient)


def test_cross_entropy_of_no_information_is_log_k():
    assert cross_entropy(torch.full((3, 7), 5.0, dtype=torch.float64), labels(0, 3, 7)).item() == pytest.approx(
        np.log(7), rel=1e-15
    )


def test_cross_entropy_of_given_probabilities():
    p, y = np.random.default_rng(0).dirichlet(np.ones(4), size=6), labels(1, 6, 4)
    expected = -np.mean([np.log(p[i, y[i]]) for i in range(6)])
    assert cross_entropy(torch.from_numpy(np.log(p)) + 3, y).item() == pytest.approx(expected, rel=1e-13)


def test_squared_error_averages_over_batch_and_components():
    prediction, y = normal(0, 5, 3), normal(1, 5, 3)
    expected = sum((a - b) ** 2 for a, b in zip(prediction.flatten().tolist(), y.flatten().tolist(), strict=True)) / 15
    assert squared_error(prediction, y).item() == pytest.approx(expected, rel=1e-13)
    assert squared_error(y, y).item() == 0


# --- structural penalty ---------------------------------------------------------------------------------------------


def network(seed: int) -> dict[str, Tensor]:
    return {
        "encoder.0.weight": normal(seed, 4, 3),
        "encoder.0.bias": normal(seed + 1, 4),
        "head.weight": normal(seed + 2, 2, 4),
        "head.bias": normal(seed + 3, 2),
    }


def penalty_by_rows(parameters: dict[str, Tensor]) -> float:
    rows = [row.numpy().ravel() for W in parameters.values() if W.dim() > 1 for row in W.detach()]
    return sum(np.sqrt(row.size) * np.linalg.norm(row) for row in rows)


def test_group_sparsity_sums_row_norms_weighted_by_root_fan_in():
    assert group_sparsity({"W": torch.tensor([[3.0, 4.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0]])}).item() == 2 * 5 + 2 * 2
    assert group_sparsity(network(0)).item() == pytest.approx(penalty_by_rows(network(0)), rel=1e-13)
    convolution = {"weight": normal(1, 3, 2, 2, 2)}
    assert group_sparsity(convolution).item() == pytest.approx(penalty_by_rows(convolution), rel=1e-13)


def test_group_sparsity_leaves_biases_free_and_is_homogeneous():
    parameters = network(0)
    other_biases = {k: v + 10 if k.endswith("bias") else v for k, v in parameters.items()}
    assert group_sparsity(other_biases).item() == group_sparsity(parameters).item()
    scaled = {k: -3 * v for k, v in parameters.items()}
    assert group_sparsity(scaled).item() == pytest.approx(3 * group_sparsity(parameters).item(), rel=1e-14)


def test_group_sparsity_groups_by_unit_and_not_by_input():
    W = normal(0, 4, 3)
    Q, _ = torch.linalg.qr(normal(1, 3, 3))
    assert group_sparsity({"W": W @ Q}).item() == pytest.approx(group_sparsity({"W": W}).item(), rel=1e-13)
    Q, _ = torch.linalg.qr(normal(1, 4, 4))
    assert group_sparsity({"W": Q @ W}).item() != pytest.approx(group_sparsity({"W": W}).item(), rel=1e-3)


def test_group_sparsity_gradient_is_the_unit_vector_and_zero_at_a_zero_row():
    W = normal(0, 4, 3)
    W[1] = 0
    W.requires_grad_()
    (g,) = torch.autograd.grad(group_sparsity({"W": W}), W)
    w = W.detach().numpy()
    expected = [np.zeros(3) if i == 1 else np.sqrt(3) * w[i] / np.linalg.norm(w[i]) for i in range(4)]
    np.testing.assert_allclose(g.numpy(), np.array(expected), rtol=1e-13)
    zeros = torch.zeros(4, 3, requires_grad=True)
    assert group_sparsity({"W": zeros}).item() == 0
    assert torch.autograd.grad(group_sparsity({"W": zeros}), zeros)[0].abs().max() == 0


def test_group_sparsity_gradient_equals_central_differences():
    parameters = network(0)
    for name in ("encoder.0.weight", "head.weight"):
        check_gradient(lambda W, name=name: group_sparsity(parameters | {name: W}), parameters[name])


def test_spectral_is_half_the_sum_of_squared_spectral_norms_and_leaves_biases_free():
    parameters = network(0)
    norms = [np.linalg.norm(parameters[name].numpy(), 2) for name in ("encoder.0.weight", "head.weight")]
    assert spectral(parameters).item() == pytest.approx(sum(norm**2 for norm in norms) / 2, rel=1e-13)
    convolution = {"W": normal(4, 5, 2, 3)}
    expected = np.linalg.norm(convolution["W"].numpy().reshape(5, 6), 2) ** 2 / 2
    assert spectral(convolution).item() == pytest.approx(expected, rel=1e-13)


def test_spectral_gradient_is_of_rank_one_along_the_leading_singular_vectors():
    for shape in ((4, 6), (6, 4)):
        W = normal(0, *shape).requires_grad_()
        (g,) = torch.autograd.grad(spectral({"W": W}), W)
        u, s, v = np.linalg.svd(W.detach().numpy())
        # Relative errors of eigenvectors are those of the entries, about 1e-16, over the relative gap of s^2, above 0.1.
        np.testing.assert_allclose(g.numpy(), s[0] * np.outer(u[:, 0], v[0]), rtol=0, atol=1e-13 * s[0])


def test_spectral_of_a_run_that_broke_is_nan_and_leaves_its_neighbour_alone():
    W = normal(0, 2, 4, 6)
    W[0, 1, 2] = torch.nan
    values = vmap(lambda w: spectral({"W": w}))(W)
    assert values[0].isnan()
    assert values[1].item() == pytest.approx(spectral({"W": W[1]}).item(), rel=1e-13)


# --- decision risk --------------------------------------------------------------------------------------------------


def risk_by_hand(logits: Tensor, y: Tensor, critical_class: int, miss_cost: float) -> float:
    z = logits.numpy()
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    cost = [miss_cost if k == critical_class else 1 for k in y.tolist()]
    return float(np.mean([c * (1 - p[i, k]) for i, (c, k) in enumerate(zip(cost, y.tolist(), strict=True))]))


@given(
    seed=st.integers(0, 2**31),
    K=st.integers(2, 5),
    critical_class=st.integers(0, 1),
    miss_cost=st.sampled_from([0.0, 0.5, 1.0, 20.0]),
)
@settings(max_examples=40, deadline=None)
def test_asymmetric_cost_closed_form(seed, K, critical_class, miss_cost):
    logits, y = 3 * normal(seed, 8, K), labels(seed, 8, K)
    D = asymmetric_cost(logits, y, critical_class=critical_class, miss_cost=miss_cost)
    assert D.dtype == torch.float64
    assert D.item() == pytest.approx(risk_by_hand(logits, y, critical_class, miss_cost), rel=1e-12, abs=1e-15)


def test_asymmetric_cost_keeps_a_cost_that_float32_cannot_hold():
    logits, y = normal(0, 8, 2), labels(0, 8, 2)
    D = asymmetric_cost(logits, y, critical_class=1, miss_cost=0.1)
    assert D.item() == pytest.approx(risk_by_hand(logits, y, 1, 0.1), rel=1e-12)


def test_asymmetric_cost_reduces_to_the_probability_of_a_mistake():
    logits, y = normal(0, 9, 3), labels(0, 9, 3)
    p_true = torch.softmax(logits, 1)[range(9), y]
    for critical_class in range(3):
        D = asymmetric_cost(logits, y, critical_class=critical_class, miss_cost=1.0)
        assert D.item() == pytest.approx(1 - p_true.mean().item(), rel=1e-14)


def test_asymmetric_cost_charges_only_misses_of_the_critical_class():
    # Certain decisions: sample 0 misses the critical class 1, sample 1 raises a false alarm, the others are right.
    logits = 1e4 * torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    y = torch.tensor([1, 0, 0, 1])
    assert asymmetric_cost(logits, y, critical_class=1, miss_cost=20.0).item() == (20 + 1) / 4


def test_asymmetric_cost_gradient_equals_central_differences():
    y = labels(0, 6, 3)
    check_gradient(lambda z: asymmetric_cost(z, y, critical_class=1, miss_cost=4.0), normal(0, 6, 3))


@pytest.mark.parametrize("epsilon", [0.1, 0.7])
@given(seed=st.integers(0, 2**31), B=st.integers(1, 9), K=st.integers(2, 6))
@settings(max_examples=30, deadline=None)
def test_label_smoothing_at_rho_is_torchs_at_that_epsilon(epsilon, seed, B, K):
    logits, y = 3 * normal(seed, B, K), labels(seed, B, K)
    smoothed = total(cross_entropy(logits, y), scalar(0.0), scalar(0.0), epsilon * label_smoothing(logits, y))
    expected = torch.nn.functional.cross_entropy(logits, y, label_smoothing=epsilon)
    assert smoothed.item() == pytest.approx(expected.item(), rel=1e-12, abs=1e-13)


def test_confidence_penalty_is_minus_the_mean_entropy_of_the_predictions():
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=6)
    expected = (p * np.log(p)).sum(1).mean()
    y = labels(0, 6, 4)
    assert confidence_penalty(torch.from_numpy(np.log(p)) + 3, y).item() == pytest.approx(expected, rel=1e-13)
    chance, certain = torch.zeros(6, 4, dtype=torch.float64), 1e4 * torch.eye(4, dtype=torch.float64)
    assert confidence_penalty(chance, y).item() == pytest.approx(-np.log(4), rel=1e-15)
    assert confidence_penalty(certain, y[:4]).item() == 0


@pytest.mark.parametrize("risk", [label_smoothing, confidence_penalty])
def test_the_gradient_of_a_risk_equals_central_differences(risk):
    check_gradient(lambda z: risk(z, labels(0, 6, 3)), normal(0, 6, 3))


def test_terms_are_the_same_for_many_runs_at_once():
    logits, y, W = normal(0, 3, 6, 4), torch.stack([labels(k, 6, 4) for k in range(3)]), normal(1, 3, 5, 2)
    costs = torch.tensor([0.1, 1.0, 30.0], dtype=torch.float64)
    risks = vmap(lambda z, y, c: asymmetric_cost(z, y, critical_class=2, miss_cost=c))(logits, y, costs)
    losses, penalties = vmap(cross_entropy)(logits, y), vmap(lambda w: group_sparsity({"W": w}))(W)
    for k in range(3):
        assert risks[k].item() == pytest.approx(risk_by_hand(logits[k], y[k], 2, costs[k].item()), rel=1e-12)
        assert losses[k].item() == pytest.approx(torch.nn.functional.cross_entropy(logits[k], y[k]).item(), rel=1e-12)
        assert penalties[k].item() == pytest.approx(penalty_by_rows({"W": W[k]}), rel=1e-12)
