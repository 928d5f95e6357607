"""A thermostat under examination: a test signal on what it sets, and a late reading."""

from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch
from annotated_types import Ge, Le
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import Count
from hclm_runner.regimes.base import Seen, clip
from hclm_runner.regimes.rl_thermostat import RLThermostat
from hclm_runner.regimes.thermostat import ThermostatState

Delay = Annotated[int, Ge(0), Le(1000)]
"""Epochs; so many readings are kept for each run."""


class ExcitedState(ThermostatState):
    """The state of a thermostat under examination."""

    readings: Tensor
    """What is held, at this epoch and those before it, the newest last; nats, [..., longest delay + 1]."""
    sign: Tensor
    """Of the signal: -1 or 1; 0 in warm-up."""


@part("regime", "excited", version=1)
@dataclass(frozen=True)
class Excited(RLThermostat):
    """A thermostat under examination: to learn what it controls, and at which delay and gain it becomes unstable.

    It is an `RLThermostat`, with alpha = 0 a `Thermostat`, but for two things. It reads S_{t - delay} in place of S_t
    (S_0 while t < delay). And from t = warmup on there is a pseudo-random signal s_t = amplitude b_t, b_t = 1 or -1::

        b_t   = the sign of xi_t                            every `period` epochs, from t = warmup on; else b_{t-1}
        lam_t = clip(exp(u + s_t), lam_min, lam_max)        excites="lam", u what the law sets
        S_ref = kappa R exp(m + s_t)                        excites="setpoint"

    Such a signal has power at all frequencies below 1 / (2 period) an epoch (Ljung 1999, System Identification, 13.3).
    Two runs of one seed whose amplitudes have opposite signs share data, noise and b: half the difference of
    their logarithms is the response to the signal, without what both have in common.
    """

    delay: Delay
    excites: Literal["lam", "setpoint"]
    amplitude: float
    period: Count

    def init(self, lam0: Tensor, reference: Tensor) -> ExcitedState:
        """Return the state before epoch 0; see `Thermostat.init`."""
        longest = int(torch.as_tensor(self.delay).max())
        readings = lam0.new_full((*lam0.shape, longest + 1), torch.nan)
        return {**super().init(lam0, reference), "readings": readings, "sign": torch.zeros_like(lam0)}

    def update(self, state: ThermostatState, seen: Seen) -> ExcitedState:
        """Return the state after seeing epoch t: read, sign the signal, then what an `RLThermostat` does."""
        before = cast("ExcitedState", state)
        newest = (seen.entropy if self.holds == "entropy" else seen.logdet_rate).unsqueeze(-1)
        readings = torch.cat([before["readings"][..., 1:], newest], -1)
        readings = torch.where(readings.isnan(), newest, readings)
        place = torch.as_tensor(readings.shape[-1] - 1 - self.delay, device=readings.device).long()
        read = readings.gather(-1, place.expand(seen.entropy.shape).unsqueeze(-1)).squeeze(-1)

        turn = self._active(seen) & torch.as_tensor((seen.epoch - self.warmup) % self.period == 0)
        sign = torch.where(turn, torch.where(seen.xi < 0, -1.0, 1.0), before["sign"])
        push = (self.amplitude * sign).exp()

        base = state["base"] * push if self.excites == "setpoint" else state["base"]
        after = super().update({**state, "base": base}, seen._replace(entropy=read, logdet_rate=read))
        lam = after["lam"]
        if self.excites == "lam":
            lam = torch.where(sign == 0, lam, clip(lam * push, self.lam_min, self.lam_max))
        return {**after, "base": state["base"], "lam": lam, "readings": readings, "sign": sign}
