"""The log-det rate of the representation (Eq 3)."""

import torch
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import Positive


@part("surrogate", "logdet", version=1)
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
    centred = Z.double()
    centred = centred - centred.mean(0)
    gram = centred.T @ centred if d <= B else centred @ centred.T
    identity = torch.eye(min(B, d), dtype=gram.dtype, device=Z.device)
    # cholesky_ex reports failure instead of raising: one run's overflow must not stop the runs vectorised with it.
    factor, info = torch.linalg.cholesky_ex(identity + gram / (B * eps))
    S = factor.diagonal().log().sum()
    return torch.where(info == 0, S, torch.nan).to(Z.dtype)
