"""Entropy surrogates S(Z) of the paper (Eqs 3, 4 and the softmax entropy), for one run, in nats.

A surrogate is a function ``S(Z, *, options) -> scalar`` of a batch of representations Z [B, d]. Covariances are
Sigma = (1/B) sum_i (z_i - zbar)(z_i - zbar)^T: divided by B, not B - 1. The energy is minimised, so a positive lam
removes entropy; VICReg, MCR2 and SimDINO maximise the same log-det rate, because they use it against collapse, where
the paper uses it for dissipation.
"""

import torch
from torch import Tensor

from hclm_runner.ranges import Positive

PROMISES: dict[str, frozenset[str]] = {
    "logdet": frozenset({"translation", "orthogonal", "correlation"}),
    "variance": frozenset({"translation", "orthogonal", "diagonal"}),
    "softmax": frozenset({"row_shift", "bounded_by_log_d", "vanishing_force"}),
}
"""What each surrogate promises, beside S >= 0 and indifference to the order of the batch. Tests check that each
promise is kept, and that each promise a surrogate does not make is one it breaks.

- translation: S(Z + 1 c^T) = S(Z) for any c in R^d.
- orthogonal: S(Z Q) = S(Z) for any orthogonal Q.
- correlation: S is smaller for correlated columns of Z than for uncorrelated ones of equal variances (Hadamard).
- diagonal: S depends on the diagonal of Sigma only.
- row_shift: S is unchanged when each row of Z is shifted by a constant of its own.
- bounded_by_log_d: S <= log d.
- vanishing_force: along a ray t Z, barring ties within a row, both grad S and |Z| |grad S| -> 0 as t -> 0 and as
  t -> infinity. (The log-det's force falls as 1/t, so that |Z| |grad S| does not vanish.)
"""


def logdet(Z: Tensor, *, eps: Positive) -> Tensor:
    """Log-det rate S = 1/2 log det(I + Sigma/eps) (Eq 3).

    With eps = sigma^2 it is the rate of the Gaussian channel Zn = Z + sigma xi, an upper bound on I(X; Zn) in nats with
    equality for a Gaussian Z (Assumption 3). Computed by Cholesky on the smaller of the d x d and B x B Gram forms,
    which share their non-zero eigenvalues (Sylvester's determinant identity), in float64: forming Sigma squares the
    condition number of Z.

    Args:
        Z: Representations, [B, d].
        eps: Noise floor, in the squared units of Z.

    Returns:
        Scalar in nats, dtype of Z. NaN if Z holds a non-finite number, or if Sigma is singular and ||Sigma||/eps beyond
        float64 (1e16).
    """
    B, d = Z.shape
    centred = Z.double() - Z.double().mean(0)
    gram = centred.T @ centred if d <= B else centred @ centred.T
    identity = torch.eye(min(B, d), dtype=gram.dtype, device=Z.device)
    # cholesky_ex reports failure instead of raising: one run's overflow must not stop the runs vectorised beside it.
    factor, info = torch.linalg.cholesky_ex(identity + gram / (B * eps))
    S = factor.diagonal().log().sum()
    return torch.where(info == 0, S, torch.nan).to(Z.dtype)


def variance(Z: Tensor, *, eps: Positive) -> Tensor:
    """Variance surrogate S = tr(Sigma) / (2 eps) (Eq 4).

    The first-order form of `logdet` in Sigma/eps, so logdet <= variance, and both are in nats.

    Args:
        Z: Representations, [B, d].
        eps: Noise floor, in the squared units of Z.

    Returns:
        Scalar in nats.
    """
    return (Z - Z.mean(0)).square().mean(0).sum() / (2 * eps)


def softmax(Z: Tensor) -> Tensor:
    """Softmax entropy S = mean_i H(softmax(z_i)), natural log, 0 <= S <= log d.

    Args:
        Z: Representations, [B, d]; each row is read as d logits.

    Returns:
        Scalar in nats, a mean over the batch.
    """
    log_p = torch.log_softmax(Z, dim=-1)
    return -(log_p.exp() * log_p).sum(-1).mean()
