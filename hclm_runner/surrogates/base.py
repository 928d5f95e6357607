"""What an entropy surrogate S(Z) is: a scalar function of a batch of representations, for one run, in nats.

Covariances are Sigma = (1/B) sum_i (z_i - zbar)(z_i - zbar)^T: divided by B, not B - 1. The energy is minimised, so a
positive lam removes entropy; VICReg, MCR2 and SimDINO maximise the same log-det rate, because they use it against
collapse, where the paper uses it for dissipation.
"""

from typing import Any, Protocol

from torch import Tensor


class Surrogate(Protocol):
    """A function of Z; its keyword-only parameters are its options."""

    def __call__(self, Z: Tensor, **options: Any) -> Tensor:
        """Return S(Z), a scalar in nats, of representations Z [B, d]; differentiable in Z."""


PROMISES: dict[str, frozenset[str]] = {
    "logdet": frozenset({"order", "gradient", "translation", "orthogonal", "correlation"}),
    "logdet_blockwise": frozenset({"order", "gradient", "translation", "correlation"}),
    "logdet_lowrank": frozenset({"order", "translation"}),
    "logdet_stochastic": frozenset({"translation"}),
    "variance": frozenset({"order", "gradient", "translation", "orthogonal", "diagonal"}),
    "softmax": frozenset({"order", "gradient", "row_shift", "bounded_by_log_d", "vanishing_force"}),
    "vib": frozenset({"order", "gradient", "orthogonal", "diagonal"}),
}
"""What each surrogate promises, besides S >= 0. Tests check that each promise is kept, and that each promise a
surrogate does not make is one it breaks.

- order: S is indifferent to the order of the batch.
- gradient: the force is the gradient of S itself, not an approximation of it.
- translation: S(Z + 1 c^T) = S(Z) for any c in R^d.
- orthogonal: S(Z Q) = S(Z) for any orthogonal Q.
- correlation: S is smaller for correlated columns of Z than for uncorrelated ones of equal variances (Hadamard); of
  logdet_blockwise where they are in one block.
- diagonal: of Sigma, S depends on the diagonal only.
- row_shift: S is unchanged when each row of Z is shifted by a constant of its own.
- bounded_by_log_d: S <= log d.
- vanishing_force: along a ray t Z, barring ties within a row, both grad S and |Z| |grad S| -> 0 as t -> 0 and as
  t -> infinity. (The log-det's force falls as 1/t, so that |Z| |grad S| does not vanish.)
"""
