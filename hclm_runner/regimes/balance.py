"""The coefficient at which injection and dissipation balance, and a pull towards the set point."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import Positive
from hclm_runner.regimes.base import Seen
from hclm_runner.regimes.setpoint import SetPoint


@part("regime", "balance", version=1)
@dataclass(frozen=True)
class Balance(SetPoint):
    """Holds S at a set point by Proposition 2, turned into a law.

    Under gradient flow dS/dt = (critical_lam - lam) F^2 (Theorem 2 and Proposition 2, with the loss that training
    descends), so that with ::

        lam_t = critical_lam_t + k (y - S_ref) / F_t^2

    S approaches the set point as dS/dt = -k (S - S_ref): k is a rate, per unit of learning rate times steps. A sampled
    law wants k times that time in an epoch well below 1; momentum lengthens the time by 1 / (1 - momentum).

    critical_lam and F are those of the epoch (`hclm_runner.physics.observables.forces`); where F = 0 nothing can be
    balanced, and lam stays. S_ref, y, the bounds and the warm-up are those of `SetPoint`. It is the surrogate's own
    force that moves S, so the law holds S alone, not the log-det rate.
    """

    holds: Literal["entropy"]
    k: Positive

    def _move(self, state: Any, seen: Seen, active: Tensor) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        lam = seen.critical_lam + self.k * (state["y"] - state["setpoint"]) / seen.force**2
        return torch.where(lam.isnan(), state["lam"], lam), {}
