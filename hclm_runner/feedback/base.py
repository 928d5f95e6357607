"""What feedback is: an audit utility, and an annotator who reports it with the faults of an annotator (one run)."""

from typing import Protocol

from torch import Tensor


class Annotator(Protocol):
    """A frozen dataclass whose fields are its options; a field `w` prices over-confidence in the audit reward too."""

    def report(self, utilities: Tensor, critiques: Tensor, epoch: int, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reported utility and critique, two scalars, NaN where the report is missing.

        Args:
            utilities: True utility by epoch, [epochs + 1]; entries after `epoch` are not to be read.
            critiques: True critique, confidence - accuracy, by epoch, [epochs + 1].
            epoch: The epoch t of the report.
            draws: The epoch's random numbers, [4]: two standard normals, then two uniforms.
        """


def utility(accuracy: Tensor, confidence: Tensor, w: float | Tensor = 1.0) -> Tensor:
    """Being right, minus being surer than right: accuracy - w max(confidence - accuracy, 0), in [-1, 1] for w = 1."""
    return accuracy - w * (confidence - accuracy).clamp(min=0)
