"""A placebo: what the annotator of a stored run reported."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import Folder, NonNegative, Replayed


@part("feedback", "replay", version=1)
@dataclass(frozen=True)
class Replay:
    """Reports what was reported to the law of a stored run: feedback about other decisions than this run's.

    The report is the utility or the critique, whichever that law used, and serves as both; so the law that hears it
    should have the same policy. It is missing where it was missing there.

    w is the price of over-confidence in the audit reward, as of `Annotator`.
    """

    replays: ClassVar[str] = "feedback"

    store: Folder
    run: Replayed
    w: NonNegative

    def report(self, utilities: Tensor, critiques: Tensor, epoch: int, draws: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the stored report twice, two scalars; see `Annotator.report`."""
        report = torch.as_tensor(self.run)[..., epoch]
        return report, report
