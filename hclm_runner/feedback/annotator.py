"""The annotator who judges a split that is never trained on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import NonNegative, Probability, Whole


@part("feedback", "annotator", version=1)
@dataclass(frozen=True)
class Annotator:
    """Reports once an epoch the utility and the critique c = confidence - accuracy of a split never trained on.

    What is reported at epoch t of a true value x is  s x_{t - delay} + bias + drift t + noise xi_t,  with s = -1 with
    probability flip, else 1, and xi ~ N(0, 1) independent for utility and critique; both share s, and both
    are missing (NaN) together, with probability 1 - observe and while t < delay.

    w is the price of over-confidence in the utility. It prices the audit reward too, which has none of the faults.
    """

    w: NonNegative
    noise: NonNegative
    flip: Probability
    delay: Whole
    observe: Probability
    bias: float
    drift: float

    def report(self, utilities: Tensor, critiques: Tensor, epoch: int, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reported utility and critique, two scalars, NaN where the report is missing.

        Args:
            utilities: True utility by epoch, [epochs + 1]; entries after `epoch` are not read.
            critiques: True critique by epoch, [epochs + 1].
            epoch: The epoch t of the report.
            draws: The epoch's random numbers, [4]: two standard normals, then two uniforms (flip, observe).
        """
        seen = torch.as_tensor(epoch - self.delay, device=draws.device).long()
        missing = (seen < 0) | (draws[3] >= self.observe)
        sign = torch.where(draws[2] < self.flip, -1.0, 1.0)
        index = seen.clamp(min=0).unsqueeze(-1)

        def reported(truth: Tensor, xi: Tensor) -> Tensor:
            value = sign * truth.gather(-1, index).squeeze(-1) + self.bias + self.drift * epoch + self.noise * xi
            return torch.where(missing, torch.nan, value)

        return reported(utilities, draws[0]), reported(critiques, draws[1])
