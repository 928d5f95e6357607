"""An annotator of my own. Its fields are its options."""

from dataclasses import dataclass

from torch import Tensor

from hclm_runner.ranges import NonNegative, Positive


@dataclass(frozen=True)
class MyPart:
    """Reports in grades: the utility and the critique, each rounded to the nearest multiple of `grade`."""

    w: NonNegative = 1.0
    """Price of over-confidence in the utility and in the audit reward."""

    grade: Positive = 0.25
    """Distance between two grades."""

    def report(self, utilities: Tensor, critiques: Tensor, epoch: int, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reported utility and critique, two scalars; NaN is a missing report.

        Args:
            utilities: True utility by epoch, [epochs + 1]; entries after `epoch` are not to be read.
            critiques: True critique, confidence - accuracy, by epoch, [epochs + 1].
            epoch: The epoch of the report.
            draws: The epoch's random numbers, [4]: two standard normals, then two uniforms.
        """
        return self._graded(utilities[epoch]), self._graded(critiques[epoch])

    def _graded(self, value: Tensor) -> Tensor:
        return (value / self.grade).round() * self.grade
