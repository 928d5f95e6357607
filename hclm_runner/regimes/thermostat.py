"""A coefficient that holds the entropy at a set point."""

from dataclasses import dataclass
from typing import NotRequired

import torch
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import NonNegative, Positive
from hclm_runner.regimes.base import Seen
from hclm_runner.regimes.setpoint import Measured, SetPoint


class ThermostatState(Measured):
    """The state of a thermostat, in the symbols of its law; m, mu, a and b are there if its set point moves."""

    start: Tensor
    """log lam0'."""
    I: Tensor  # noqa: E741 - the integral of the law
    m: NotRequired[Tensor]
    mu: NotRequired[Tensor]
    a: NotRequired[Tensor]
    b: NotRequired[Tensor]


@part("regime", "thermostat", version=1)
@dataclass(frozen=True)
class Thermostat(SetPoint):
    """Holds S at a set point: a proportional-integral law on the logarithms of S and lam.

    With lam0' = clip(lam0, lam_min, lam_max), at the end of each epoch t >= warmup::

        S_ref = kappa R                              R = log K for K classes, or `setpoint`
        y    <- y + smoothing (S - y)                at every epoch from 0 on, y = S at epoch 0
        e     = clip(log(y / S_ref), -1, 1)          -1 where y <= 0
        v     = log lam0' + kp e + I
        u     = clip(v, log lam_min, log lam_max)
        I    <- I + ki e + min(anti_windup ki / kp, 1) (u - v)
        lam_t = exp(u)                               in force during epoch t + 1

    v uses I as it was before the update. Until then lam_t = lam0' and I follows -kp e (I = 0 if warmup = 0), so that
    the law takes over without a bump: its first output differs from lam0' only by what e moved in the last epoch. The
    last term of I is back-calculation: while u is at a bound it bleeds the integral, so the law leaves the bound
    as soon as e turns.
    """

    kp: Positive
    ki: NonNegative
    anti_windup: NonNegative

    def init(self, lam0: Tensor, reference: Tensor) -> ThermostatState:
        """Return the state before epoch 0; see `SetPoint.init`."""
        state: ThermostatState = super().init(lam0, reference)
        return state | {"start": state["lam"].log(), "I": torch.zeros_like(lam0)}

    def _move(self, state: ThermostatState, seen: Seen, active: Tensor) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        # A surrogate at or below 0 is as far under the set point as e can say.
        e = (state["y"] / state["setpoint"]).clamp(min=1e-30).log().clamp(-1, 1)
        v = state["start"] + self.kp * e + state["I"]
        bounded = self._bound(v.exp())
        integral = state["I"] + self.ki * e + self._back_calculation() * (bounded.log() - v)
        return bounded, {"I": torch.where(active, integral, -self.kp * e)}

    def _back_calculation(self) -> Tensor:
        # Beyond 1 the correction overshoots, and lam would leave its bound by itself.
        return torch.as_tensor(self.anti_windup * (self.ki / self.kp), dtype=torch.float64).clamp(max=1)
