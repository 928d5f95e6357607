"""The nu-PI law for Lagrange multipliers."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import NonNegative, Positive
from hclm_runner.regimes.base import Seen
from hclm_runner.regimes.setpoint import Measured, SetPoint


class NuPIState(Measured):
    """The state of the law."""

    xi: Tensor
    """The error's moving average, nats; NaN before epoch 0."""


@part("regime", "nupi", version=1)
@dataclass(frozen=True)
class NuPI(SetPoint):
    """Holds S at a set point by the nu-PI update of a multiplier (Sohrabi et al. 2024, arXiv 2406.04558, Algorithm 1).

    lam is the multiplier of the constraint S <= S_ref, and e its violation in nats::

        e    = y - S_ref
        xi' <- nu xi + (1 - nu) e                    at every epoch from 0 on, xi' = e at epoch 0
        lam <- lam + ki e + kp (xi' - xi)

    S_ref, y, the bounds and the warm-up are those of `SetPoint`; the clip to the bounds projects lam itself, so nothing
    winds up. kp = 0 is gradient ascent on lam; nu < 0 is momentum.
    """

    kp: NonNegative
    ki: Positive
    nu: Annotated[float, Gt(-1), Lt(1)]

    def init(self, lam0: Tensor, reference: Tensor) -> NuPIState:
        """Return the state before epoch 0; see `SetPoint.init`."""
        state: Measured = super().init(lam0, reference)
        return {**state, "xi": torch.full_like(lam0, torch.nan)}

    def _move(self, state: NuPIState, seen: Seen, active: Tensor) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        e = state["y"] - state["setpoint"]
        before = torch.where(state["xi"].isnan(), e, state["xi"])
        xi = self.nu * before + (1 - self.nu) * e
        return state["lam"] + self.ki * e + self.kp * (xi - before), {"xi": xi}
