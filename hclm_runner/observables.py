"""What is measured of one run at the end of an epoch (section 3 of the paper), in the paper's symbols."""

import torch
from torch import Tensor


def forces(gS: Tensor, gL: Tensor, lam: Tensor) -> dict[str, Tensor]:
    """Return the force columns from gS = grad S, gL = grad L and the coefficient in force, [p], [p] and scalar.

    - force: F = ||gS||_2, the Euclidean information force; loss_force: ||gL||_2.
    - force_ratio: lam F / ||gL||, scale-free; alignment: cos(gS, gL).
    - injection: -<gS, gL>, and dissipation: lam F^2: the two sides of dS/dt under gradient flow (Theorem 2).
    - critical_lam: -<gS, gL> / F^2, where the two balance (Proposition 2); negative when the loss itself lowers
      entropy.

    Inner products are taken in float64: F^2 underflows in float32 long before F does. A ratio whose denominator is
    exactly 0 is undefined and comes back NaN, a null in the records.
    """
    gS, gL, lam = gS.double(), gL.double(), lam.double()
    SS, LL, SL = (gS * gS).sum(), (gL * gL).sum(), (gS * gL).sum()
    F, loss_force = SS.sqrt(), LL.sqrt()
    return {
        "force": F,
        "loss_force": loss_force,
        "force_ratio": _ratio(lam * F, loss_force),
        "alignment": _ratio(SL, F * loss_force),
        "injection": -SL,
        "dissipation": lam * SS,
        "critical_lam": _ratio(-SL, SS),
    }


def accuracy(logits: Tensor, y: Tensor) -> Tensor:
    """Share of samples whose largest logit is the label's; logits [B, K], y [B]."""
    return (logits.argmax(-1) == y).to(logits.dtype).mean()


def confidence(logits: Tensor) -> Tensor:
    """Mean over the batch of the largest predicted probability; logits [B, K]."""
    return (logits.amax(-1) - logits.logsumexp(-1)).exp().mean()


def effective_rank(Z: Tensor) -> Tensor:
    """Effective rank of Z [B, d]: exp of the entropy of Sigma's normalised eigenvalues (Roy & Vetterli 2007).

    It lies in [1, min(B - 1, d)]. A representation collapsed to one point has Sigma = 0 and uses no direction:
    0. NaN if Z holds a non-finite number.
    """
    Z = Z.double() - Z[0].double()  # equal rows become exactly 0, which their rounded mean is not
    centred = Z - Z.mean(0)
    Sigma = centred.T @ centred / Z.shape[0]
    # eigvalsh raises on non-finite input, for all runs vectorised together: hand it zeros instead, and answer NaN.
    finite = Sigma.isfinite().all()
    eigenvalues = torch.linalg.eigvalsh(torch.where(finite, Sigma, 0.0)).clamp(min=0)
    total = eigenvalues.sum()
    q = eigenvalues / torch.where(total > 0, total, 1.0)
    rank = torch.special.entr(q).sum().exp()
    return torch.where(finite, torch.where(total > 0, rank, 0.0), torch.nan)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    defined = denominator != 0
    return torch.where(defined, numerator / torch.where(defined, denominator, 1.0), torch.nan)
