"""What is measured of one run at the end of an epoch (section 3 of the paper), in the paper's symbols."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


def forces(gS: Tensor, gL: Tensor, noisy_gL: Tensor, encoder: Tensor) -> dict[str, Tensor]:
    """Return the force columns from gradients [p]; `pushes` has those that depend on lam.

    - force: F = ||gS||_2, the Euclidean information force; force_squared: F^2, no column; loss_force: ||gL||_2.
    - alignment: cos(gS, gL) on the encoder's parameters, the ones S reaches.
    - injection: -<gS, gL>, one side of dS/dt under gradient flow (Theorem 2).
    - noisy_injection: -<gS, E_xi gL>, of the loss that training descends, with the channel's noise.
    - critical_lam: noisy_injection / F^2, where it and dissipation balance (Proposition 2); negative when the loss
      itself lowers entropy.

    Inner products are taken in float64: F^2 underflows in float32 long before F does. A ratio whose denominator is
    exactly 0 is undefined and comes back NaN, a null in the records.

    Args:
        gS: grad S, [p].
        gL: grad L, [p], without noise.
        noisy_gL: E_xi grad L, [p].
        encoder: Which parameters are the encoder's, [p]: 1 or 0.
    """
    gS, gL, noisy_gL = gS.double(), gL.double(), noisy_gL.double()
    SS, LL, SL, injected = (gS * gS).sum(), (gL * gL).sum(), (gS * gL).sum(), -(gS * noisy_gL).sum()
    F, loss_force, at_encoder = SS.sqrt(), LL.sqrt(), (encoder * gL).norm()
    return {
        "force": F,
        "force_squared": SS,
        "loss_force": loss_force,
        "alignment": ratio(SL, F * at_encoder),
        "injection": -SL,
        "noisy_injection": injected,
        "critical_lam": ratio(injected, SS),
    }


def pushes(row: Mapping[str, Tensor], lam: Tensor) -> dict[str, Tensor]:
    """Return what lam makes of the `forces` of a row.

    force_ratio: lam F / ||gL||, scale-free; dissipation: lam F^2, the other side of Theorem 2.
    """
    lam = lam.double()
    return {
        "force_ratio": ratio(lam * row["force"], row["loss_force"]),
        "dissipation": lam * row["force_squared"],
    }


def balance(
    dS: Tensor, gS: tuple[Tensor, Tensor], moves: tuple[Tensor, Tensor, Tensor], lam: Tensor, encoder: Tensor
) -> dict[str, Tensor]:
    """Return what an epoch did to S, nats: the two sides of Theorem 2 as they act in training.

    With D_L, D_S and D_O the moves of theta that the loss, the entropy term and all else made in the epoch, and g the
    mean of grad S at its two ends: injected = <g, D_L>, dissipated = -<g, D_S>, other = <g, D_O>, and

        S_t - S_{t-1} = injected - dissipated + other + closure,

    closure the error of the trapezoidal rule. (The columns injection and dissipation do not add up to a change of S:
    they see neither the noise, nor the minibatches, nor the optimiser's memory.)

    - balancing_lam: lam injected / dissipated, where the two would balance.
    - share: ||D_S|| / ||D_L|| on the encoder's parameters, by which Definition 1 is judged; S reaches no other.

    Args:
        dS: S_t - S_{t-1}.
        gS: grad S at both ends of the epoch, [p] each.
        moves: D_L, D_S and D_O, [p] each.
        lam: The coefficient in force during the epoch.
        encoder: Which parameters are the encoder's, [p]: 1 or 0.
    """
    g = (gS[0].double() + gS[1].double()) / 2
    D_L, D_S, D_O = (move.double() for move in moves)
    injected, dissipated, other = (g * D_L).sum(), -(g * D_S).sum(), (g * D_O).sum()
    return {
        "injected": injected,
        "dissipated": dissipated,
        "other": other,
        "closure": dS - (injected - dissipated + other),
        "balancing_lam": ratio(lam * injected, dissipated),
        "share": ratio((encoder * D_S).norm(), (encoder * D_L).norm()),
    }


DECISIONS = ("accuracy", "confidence", "ece", "brier", "worst_class_accuracy")

BINS = 15
"""Of the expected calibration error."""


def decisions(logits: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Return what the predictions of a batch are worth, each a scalar; p = softmax(logits).

    - accuracy: share of samples whose largest logit is the label's.
    - confidence: mean of the largest p.
    - ece: expected calibration error, sum over bins of (size / B) |accuracy - confidence|. Of the samples in order of
      confidence, bin j of 15 takes the ranks from j B / 15 to (j + 1) B / 15: bins of equal mass (Nguyen & O'Connor
      2015, arXiv:1508.05154). With fewer than 15 samples some bins are empty.
    - brier: mean of sum_k (p_k - [k = y])^2, in [0, 2] (Brier 1950).
    - worst_class_accuracy: least accuracy on the samples of one class, over the classes that occur.

    Args:
        logits: [B, K].
        y: Class labels, [B], int64.
    """
    B, K = logits.shape
    weights = (logits - logits.amax(-1, keepdim=True)).exp()
    top = weights.sum(-1).reciprocal()  # the largest p, whose weight is 1
    right = logits.argmax(-1) == y
    # Whether a sample is right stands in the last bit of its confidence: whole numbers sort twice as fast as floats
    # with their places. Of equal confidences the wrong come first.
    whole = torch.int32 if logits.dtype == torch.float32 else torch.int64
    ordered = ((top.view(whole) & ~1) | right.to(whole)).sort().values
    excess = ((ordered & 1).to(logits.dtype) - ordered.view(logits.dtype)).cumsum(0)
    edges = torch.arange(BINS + 1, device=y.device) * B // BINS
    excess = torch.cat([excess.new_zeros(1), excess])[edges].diff()
    p_y = weights.gather(-1, y[:, None]).squeeze(-1) * top
    own = (y[:, None] == torch.arange(K, device=y.device)).to(logits.dtype)
    right, size = right.to(logits.dtype), own.sum(0)
    return {
        "accuracy": right.mean(),
        "confidence": top.mean(),
        "ece": excess.abs().sum() / B,
        "brier": (weights.square().sum(-1) * top.square() - 2 * p_y + 1).mean(),
        "worst_class_accuracy": torch.where(size > 0, (right[:, None] * own).sum(0) / size.clamp(min=1), 1.0).amin(),
    }


COLDEST, HOTTEST = 1e-3, 1e3
"""Bounds of a temperature: labels that are all predicted have no best one, nor has chance."""


def temperature(logits: Tensor, y: Tensor) -> Tensor:
    """Return the T > 0 with the least mean cross-entropy of logits / T (Guo et al. 2017, arXiv:1706.04599).

    That is convex in b = 1 / T, with the slope mean_i(sum_k p_ik z_ik - z_iy): its zero by Newton's method in log b, a
    step that leaves the bracket replaced by a bisection. Both bounds are tried first: a zero beyond one ends there.

    Args:
        logits: z, [B, K], float64.
        y: Class labels, [B], int64.
    """
    z = (logits - logits.amax(-1, keepdim=True)).T.contiguous()  # [K, B]: sums over few classes are fast that way
    true = z.gather(0, y[None])[0]
    low = torch.full_like(true[0], -np.log(HOTTEST))
    high = torch.full_like(true[0], -np.log(COLDEST))
    at = high
    for step in range(40):
        weights = (at.exp() * z).exp()
        weighted, total = weights * z, weights.sum(0)
        mean = weighted.sum(0) / total
        slope, curvature = (mean - true).mean(), ((weighted * z).sum(0) / total - mean.square()).mean()
        low, high = torch.where(slope > 0, low, at), torch.where(slope > 0, at, high)
        newton = at - slope / (at.exp() * curvature)
        inside = (newton >= low) & (newton <= high)
        at = low if step == 0 else torch.where(inside & (step > 1), newton, (low + high) / 2)
    return (-at).exp()


def geometry(Z: Tensor, sigma: Tensor) -> dict[str, Tensor]:
    """Return how much room the representation takes, whatever the surrogate, from Sigma's eigenvalues s_j.

    - effective_rank: exp of the entropy of the normalised s_j (Roy & Vetterli 2007), in [1, min(B - 1, d)]. A
      representation collapsed to one point has Sigma = 0 and uses no direction: 0.
    - logdet_rate: sum_j 1/2 log(1 + s_j / sigma^2), nats: the log-det surrogate at eps = sigma^2, hence the rate of the
      channel Z + sigma xi. It says in one unit what surrogates of different scales did to Z. NaN where sigma is 0.

    Args:
        Z: Representations, [B, d]; both are NaN if one of its numbers is not finite.
        sigma: Of the channel, scalar.
    """
    Z = Z.double() - Z[0].double()  # equal rows become exactly 0, which their rounded mean is not
    centred = Z - Z.mean(0)
    Sigma = centred.T @ centred / Z.shape[0]
    # eigvalsh raises on non-finite input, for all runs vectorised together: hand it zeros instead, and answer NaN.
    finite = Sigma.isfinite().all()
    eigenvalues = torch.linalg.eigvalsh(torch.where(finite, Sigma, 0.0)).clamp(min=0)
    total = eigenvalues.sum()
    q = eigenvalues / torch.where(total > 0, total, 1.0)
    rank = torch.where(total > 0, torch.special.entr(q).sum().exp(), 0.0)
    floor = sigma.double().square()
    rate = torch.where(floor > 0, (eigenvalues / torch.where(floor > 0, floor, 1.0)).log1p().sum() / 2, torch.nan)
    measured = {"effective_rank": rank, "logdet_rate": rate}
    return {name: torch.where(finite, value, torch.nan) for name, value in measured.items()}


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return a quotient, NaN where its denominator is exactly 0."""
    defined = denominator != 0
    return torch.where(defined, numerator / torch.where(defined, denominator, 1.0), torch.nan)
