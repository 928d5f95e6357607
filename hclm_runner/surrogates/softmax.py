"""The softmax entropy of the representation's rows."""

import torch
from torch import Tensor

from hclm_runner.parts import part


@part("surrogate", "softmax", version=1)
def softmax(Z: Tensor) -> Tensor:
    """Softmax entropy S = mean_i H(softmax(z_i)), natural log, 0 <= S <= log d.

    Args:
        Z: Representations, [B, d]; each row is read as d logits.

    Returns:
        Scalar in nats, a mean over the batch.
    """
    log_p = torch.log_softmax(Z, dim=-1)
    return -(log_p.exp() * log_p).sum(-1).mean()
