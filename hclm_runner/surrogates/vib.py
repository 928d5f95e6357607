"""The rate of the variational information bottleneck."""

import torch
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import Positive


@part("surrogate", "vib", version=1)
def vib(Z: Tensor, *, eps: Positive) -> Tensor:
    """Rate of the variational bottleneck, S = mean_i KL(N(z_i, eps I) || N(0, I)).

    = 1/2 mean_i sum_j (z_ij^2 + eps - 1 - log eps), an upper bound on I(X; Zn) in nats where eps = sigma^2 (Alemi et
    al. 2017, arXiv:1612.00410, with the prior N(0, I)). There the encoder learns the variance of its noise; here
    it is that of the channel Zn = Z + sigma xi, which is fixed (Eq 1). With L of the noisy representation, L + lam S is
    their objective, and lam their beta.

    Args:
        Z: Representations, the means z_i, [B, d].
        eps: Variance of the channel's noise.

    Returns:
        Scalar in nats, a mean over the batch.
    """
    of_noise = torch.as_tensor(eps, dtype=Z.dtype, device=Z.device)
    return (Z.square() + (of_noise - 1 - of_noise.log())).sum(-1).mean() / 2
