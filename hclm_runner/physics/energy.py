"""The energy E = L + lam S + omega Omega + rho D (Eq 2) and its parts other than S, for one run."""

from collections.abc import Mapping

import torch
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import NonNegative, Whole


def total(L: Tensor, S: Tensor, lam: Tensor, rest: Tensor | float = 0.0) -> Tensor:
    """Return E = L + lam S + omega Omega + rho D (Eq 2), a scalar in nats.

    Args:
        L: Predictive loss, scalar.
        S: Entropy surrogate, scalar.
        lam: Entropy coefficient >= 0; positive removes entropy.
        rest: omega Omega + rho D, scalar.
    """
    return L + lam * S + rest


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy -mean_i log softmax(logits_i)[y_i], in nats.

    Args:
        logits: [B, K], or [B, T, K] of tokens: the mean is over all B T.
        y: Class labels, [B] or [B, T], int64.
    """
    # By logsumexp: with the few classes of a small task, torch's log_softmax is three times slower.
    return (logits.logsumexp(-1) - logits.gather(-1, y.unsqueeze(-1)).squeeze(-1)).mean()


def squared_error(prediction: Tensor, y: Tensor) -> Tensor:
    """Mean squared error, a mean over the batch and the target's components.

    Args:
        prediction: [B, m].
        y: Targets, [B, m].
    """
    return (prediction - y).square().mean()


@part("structure", "group_sparsity", version=1)
def group_sparsity(parameters: Mapping[str, Tensor]) -> Tensor:
    """Structural penalty Omega: group lasso over the incoming weights of each unit (Yuan & Lin 2006).

    Omega = sum over weights W [m, k] (dimensions after the first count as one) and rows w of W of sqrt(k) ||w||_2.
    A row is a unit's fan-in, so a row at zero is a unit switched off. Biases are free; the subgradient at w = 0 is 0.

    Args:
        parameters: Name -> tensor, of encoder and head.

    Returns:
        Scalar, in units of the weights.
    """
    rows = [W.flatten(1) for W in parameters.values() if W.dim() >= 2]
    return torch.stack([row.shape[1] ** 0.5 * _norm(row).sum() for row in rows]).sum()


@part("structure", "spectral", version=1)
def spectral(parameters: Mapping[str, Tensor]) -> Tensor:
    """Structural penalty Omega: spectral norm regularisation (Yoshida & Miyato 2017, arXiv:1705.10941).

    Omega = 1/2 sum over weights W [m, k] (dimensions after the first count as one) of sigma_1(W)^2, the largest
    singular value squared; biases are free. It is exact: the largest eigenvalue of the smaller Gram matrix, where the
    paper takes a step of the power method. (A max-norm would have to be projected on after each step; a penalty needs
    nothing that the energy has not.)

    Args:
        parameters: Name -> tensor, of encoder and head.

    Returns:
        Scalar, in squared units of the weights; NaN if one of them is not finite.
    """
    return torch.stack([_squared_norm(W.flatten(1)) for W in parameters.values() if W.dim() >= 2]).sum() / 2


@part("risk", "asymmetric_cost", version=1)
def asymmetric_cost(logits: Tensor, y: Tensor, *, critical_class: Whole, miss_cost: NonNegative) -> Tensor:
    """Decision risk D: expected cost of drawing the decision from the predicted probabilities.

    D = mean_i c(y_i) (1 - p_i[y_i]), with c = miss_cost where y_i is the critical class and 1 elsewhere: missing the
    critical class (a malignant tumour, say) costs `miss_cost` times any other mistake.

    Args:
        logits: [B, K].
        y: Class labels, [B], int64.
        critical_class: The class that must not be missed, 0 <= critical_class < K.
        miss_cost: Cost of missing it, in units of an ordinary mistake.

    Returns:
        Scalar, a mean over the batch, in units of one ordinary mistake.

    Raises:
        ValueError: If there is no such class.
    """
    if critical_class >= logits.shape[-1]:
        raise ValueError(f"critical_class={critical_class} of {logits.shape[-1]} classes, counted from 0")
    p_true = torch.softmax(logits, dim=-1).gather(-1, y.unsqueeze(-1)).squeeze(-1)
    cost = 1 + (miss_cost - 1) * (y == critical_class).to(logits.dtype)
    return (cost * (1 - p_true)).mean()


@part("risk", "label_smoothing", version=1)
def label_smoothing(logits: Tensor, y: Tensor) -> Tensor:
    """Decision risk D with which rho is the epsilon of label smoothing (Szegedy et al. 2016, arXiv:1512.00567).

    D = mean_i(-1/K sum_k log p_ik + log p_i[y_i]), so that L + rho D = (1 - rho) L + rho times the cross-entropy of
    uniform labels, L that of the labels. It may be negative.

    Args:
        logits: [B, K].
        y: Class labels, [B], int64.

    Returns:
        Scalar in nats, a mean over the batch.
    """
    return (logits.gather(-1, y.unsqueeze(-1)).squeeze(-1) - logits.mean(-1)).mean()


@part("risk", "confidence_penalty", version=1)
def confidence_penalty(logits: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001 - what a risk is called with
    """Decision risk D = -mean_i H(p_i), the penalty of certain predictions (Pereyra et al. 2017, arXiv:1701.06548).

    Of the sign opposite to the surrogate `softmax`, and on the logits: what that lowers, this raises. -log K <= D <= 0.

    Args:
        logits: [B, K].
        y: Class labels, [B], int64; not looked at.

    Returns:
        Scalar in nats, a mean over the batch.
    """
    log_p = torch.log_softmax(logits, dim=-1)
    return (log_p.exp() * log_p).sum(-1).mean()


def _squared_norm(W: Tensor) -> Tensor:
    gram = W @ W.mT if W.shape[0] <= W.shape[1] else W.mT @ W
    # eigvalsh raises on non-finite input, for all runs vectorised together: hand it zeros instead, and answer NaN.
    finite = gram.isfinite().all()
    largest = torch.linalg.eigvalsh(torch.where(finite, gram, 0.0))[-1]
    return torch.where(finite, largest, torch.nan)


def _norm(rows: Tensor) -> Tensor:
    squared = rows.square().sum(-1)
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1.0).sqrt(), 0.0)
