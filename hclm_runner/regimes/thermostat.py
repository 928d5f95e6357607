"""A coefficient that holds the entropy at a set point."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NotRequired

import torch
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import NonNegative, Positive, Weight, Whole
from hclm_runner.refusal import ConfigError
from hclm_runner.regimes.base import Law, Seen, State, clip


class ThermostatState(State):
    """The state of a thermostat, in the symbols of its law; m, mu, a and b are there if its set point moves."""

    start: Tensor
    """log lam0'."""
    base: Tensor
    """kappa R."""
    y: Tensor
    I: Tensor  # noqa: E741 - the integral of the law
    m: NotRequired[Tensor]
    mu: NotRequired[Tensor]
    a: NotRequired[Tensor]
    b: NotRequired[Tensor]


@part("regime", "thermostat", version=1)
@dataclass(frozen=True)
class Thermostat(Law):
    """Holds S at a set point: a proportional-integral law on the logarithms of S and lam.

    With holds="logdet_rate" it holds the rate of the channel Z + sigma xi instead, below S, which is in the same unit
    whatever the surrogate: then surrogates are compared at equal information.

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

    uses_feedback: ClassVar[bool] = False

    kappa: Positive
    holds: Literal["entropy", "logdet_rate"]
    setpoint: Positive | None
    lam_min: Positive
    lam_max: Positive
    warmup: Whole
    smoothing: Weight
    kp: Positive
    ki: NonNegative
    anti_windup: NonNegative

    @classmethod
    def check(cls, **options: Any) -> None:
        """Refuse bounds in the wrong order."""
        if options["lam_min"] >= options["lam_max"]:
            raise ConfigError("lam_min", options["lam_min"], f"less than regime.lam_max={options['lam_max']}")

    def init(self, lam0: Tensor, reference: Tensor) -> ThermostatState:
        """Return the state before epoch 0.

        Args:
            lam0: Base coefficient; one outside the bounds is brought to the nearer of them.
            reference: log K, nats; not used where `setpoint` is given.

        Raises:
            ConfigError: If there is neither a `setpoint` nor a reference.
        """
        if self.setpoint is None and reference.isnan().any():
            wanted = "the entropy to hold, in nats: a regression task has no log K"
            raise ConfigError("regime.setpoint", "null", wanted)
        start = self._bound(lam0)
        zero = torch.zeros_like(lam0)
        R = reference if self.setpoint is None else torch.as_tensor(self.setpoint, dtype=lam0.dtype, device=lam0.device)
        S_ref = self.kappa * R
        return {
            "lam": start,
            "setpoint": S_ref,
            "feedback": torch.full_like(lam0, torch.nan),
            "start": start.log(),
            "base": S_ref,
            "y": torch.full_like(lam0, torch.nan),
            "I": zero,
        }

    def update(self, state: ThermostatState, seen: Seen) -> ThermostatState:
        """Return the state after seeing epoch t."""
        return self._hold(state, seen, state["base"])

    def _hold(self, state: ThermostatState, seen: Seen, S_ref: Tensor) -> ThermostatState:
        S = seen.entropy if self.holds == "entropy" else seen.logdet_rate
        y = state["y"] + self.smoothing * (S - state["y"])
        y = torch.where(state["y"].isnan(), S, y)
        # A surrogate at or below 0 is as far under the set point as e can say.
        e = (y / S_ref).clamp(min=1e-30).log().clamp(-1, 1)
        active = self._active(seen)
        v = state["start"] + self.kp * e + state["I"]
        bounded = self._bound(v.exp())
        u = bounded.log()
        integral = state["I"] + self.ki * e + self._back_calculation() * (u - v)
        return state | {
            "lam": torch.where(active, bounded, state["lam"]),
            "setpoint": S_ref,
            "y": y,
            "I": torch.where(active, integral, -self.kp * e),
        }

    def _back_calculation(self) -> Tensor:
        # Beyond 1 the correction overshoots, and lam would leave its bound by itself.
        return torch.as_tensor(self.anti_windup * (self.ki / self.kp), dtype=torch.float64).clamp(max=1)

    def _active(self, seen: Seen) -> Tensor:
        return torch.as_tensor(seen.epoch >= self.warmup, device=seen.entropy.device)

    def _bound(self, lam: Tensor) -> Tensor:
        # One clip, in lam: exp(log(bound)) may round to the wrong side of the bound.
        return clip(lam, self.lam_min, self.lam_max)
