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
        "force_ratio": ratio(lam * F, loss_force),
        "alignment": ratio(SL, F * loss_force),
        "injection": -SL,
        "dissipation": lam * SS,
        "critical_lam": ratio(-SL, SS),
    }


def accuracy(logits: Tensor, y: Tensor) -> Tensor:
    """Share of samples whose largest logit is the label's; logits [B, K], y [B]."""
    return (logits.argmax(-1) == y).to(logits.dtype).mean()


def confidence(logits: Tensor) -> Tensor:
    """Mean over the batch of the largest predicted probability; logits [B, K]."""
    return (logits - logits.amax(-1, keepdim=True)).exp().sum(-1).reciprocal().mean()


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
