"""Gradient ascent on log lam, as for the temperature of soft actor-critic."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import Positive
from hclm_runner.regimes.base import Seen
from hclm_runner.regimes.setpoint import SetPoint


@part("regime", "dual", version=1)
@dataclass(frozen=True)
class Dual(SetPoint):
    """Holds S at a set point by dual ascent: lam is the multiplier of the constraint S <= S_ref.

    The step is that of the temperature of soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905, section 5), on the
    logarithm; the violation is relative to S_ref, so that `eta` means the same for every surrogate::

        log lam <- log lam + eta (y - S_ref) / S_ref

    S_ref, y, the bounds and the warm-up are those of `SetPoint`. The clip to the bounds projects lam itself, so nothing
    winds up.
    """

    eta: Positive

    def _move(self, state: Any, seen: Seen, active: Tensor) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        return state["lam"] * (self.eta * (state["y"] / state["setpoint"] - 1)).exp(), {}
