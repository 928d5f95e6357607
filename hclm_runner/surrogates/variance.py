"""The variance of the representation (Eq 4)."""

from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import Positive


@part("surrogate", "variance", version=1)
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
