"""A surrogate of my own. Its keyword-only parameters are its options."""

import torch
from torch import Tensor

from hclm_runner.ranges import Positive


def my_part(Z: Tensor, *, width: Positive = 2.0) -> Tensor:
    """Quadratic Renyi entropy of a Gaussian kernel density on Z, nats, up to a constant.

    S = -log( (1/B^2) sum_ij exp(-|z_i - z_j|^2 / (4 width^2)) ), so 0 <= S <= log B.

    Args:
        Z: Representations, [B, d].
        width: Standard deviation of the kernel, in units of Z.

    Returns:
        Scalar in nats. It is called inside torch.func.vmap: no .item(), no `if` on a tensor's value.
    """
    squared = (Z[:, None] - Z[None]).square().sum(-1)
    return -torch.exp(-squared / (4 * width**2)).mean().log()
