"""Control laws for the entropy coefficient lam_t: `init` the state, `update` it once an epoch.

A law's state is a dictionary of tensors that always holds `lam` (the coefficient in force during the next epoch),
`setpoint` (its target for S, NaN where it has none) and `told` (the feedback reported to it, NaN where there was none).
Laws are elementwise, so one run is a 0-d tensor and many runs are a vector. They see numbers only: no gradient
reaches theta through them.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from hclm_runner.ranges import NonNegative, Positive, Probability, Weight, Whole

State = dict[str, Tensor]


class Seen(NamedTuple):
    """What a law sees at the end of epoch t (epoch 0 is before training)."""

    epoch: int
    entropy: Tensor
    """S on the training set, nats."""
    utility: Tensor
    """The annotator's scalar, NaN where missing."""
    critique: Tensor
    """The annotator's critique confidence - accuracy, NaN where missing."""
    xi: Tensor
    """A standard normal draw, for policies that explore."""


@dataclass(frozen=True)
class Fixed:
    """The paper's Fixed Hybrid: lam_t = lam0, which may be 0."""

    hears_feedback: ClassVar[bool] = False

    def init(self, lam0: Tensor, reference: Tensor) -> State:  # noqa: ARG002 - a law without a set point
        """Return the state at lam0; the reference is for laws with a set point."""
        nothing = torch.full_like(lam0, torch.nan)
        return {"lam": lam0, "setpoint": nothing, "told": nothing}

    def update(self, state: State, seen: Seen) -> State:  # noqa: ARG002 - it looks at nothing
        """Return the state as it was."""
        return state


@dataclass(frozen=True)
class Thermostat:
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

    hears_feedback: ClassVar[bool] = False

    kappa: Positive
    setpoint: Positive | None
    lam_min: Positive
    lam_max: Positive
    warmup: Whole
    smoothing: Weight
    kp: Positive
    ki: NonNegative
    anti_windup: NonNegative

    def init(self, lam0: Tensor, reference: Tensor) -> State:
        """Return the state before epoch 0.

        Args:
            lam0: Base coefficient; one outside the bounds is brought to the nearer of them.
            reference: log K, nats; not used where `setpoint` is given.
        """
        start = self._bound(lam0)
        zero = torch.zeros_like(lam0)
        R = reference if self.setpoint is None else torch.as_tensor(self.setpoint, dtype=lam0.dtype, device=lam0.device)
        S_ref = self.kappa * R
        return {
            "lam": start,
            "setpoint": S_ref,
            "told": torch.full_like(lam0, torch.nan),
            "start": start.log(),
            "base": S_ref,
            "y": torch.full_like(lam0, torch.nan),
            "I": zero,
        }

    def update(self, state: State, seen: Seen) -> State:
        """Return the state after seeing epoch t."""
        return self._hold(state, seen, state["base"])

    def _hold(self, state: State, seen: Seen, S_ref: Tensor) -> State:
        y = state["y"] + self.smoothing * (seen.entropy - state["y"])
        y = torch.where(state["y"].isnan(), seen.entropy, y)
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
        return _clip(lam, self.lam_min, self.lam_max)


@dataclass(frozen=True)
class RLThermostat(Thermostat):
    """A thermostat whose set point is moved by feedback: S_ref = kappa R exp(m), m = 0 at first.

    At the end of each epoch t >= warmup at which feedback arrives (else all of this holds still), first m moves, then
    the thermostat holds S at the new set point:

    - policy "critique": m <- clip(m - alpha (c_t - c0), m_min, m_max), c_t the critique of over-confidence.
    - policy "reinforce", from the scalar utility r_t alone (Williams 1992, doi 10.1007/BF00992696): a Gaussian policy
      a = mu + explore xi with m = clip(a, m_min, m_max), and mu = a = 0 at first. The reward is credited to the action
      in force: mu <- clip(mu + alpha (r_t - b) (a - mu) / explore^2, m_min, m_max), then b <- b + baseline (r_t - b),
      then a new a is drawn about the new mu. The baseline b starts at the first r_t heard, which so moves nothing. Late
      feedback is credited to the wrong action: `feedback.delay` is a fault this policy cannot see through.

    The set point may move at t = warmup already, so lam may take a step there that a plain thermostat's does not.
    """

    hears_feedback: ClassVar[bool] = True

    policy: Literal["critique", "reinforce"]
    alpha: NonNegative
    c0: float
    m_min: float
    m_max: float
    explore: Positive
    baseline: Probability

    def init(self, lam0: Tensor, reference: Tensor) -> State:
        """Return the state before epoch 0; see `Thermostat.init`."""
        zero, nothing = torch.zeros_like(lam0), torch.full_like(lam0, torch.nan)
        return super().init(lam0, reference) | {"m": zero, "mu": zero, "a": zero, "b": nothing}

    def update(self, state: State, seen: Seen) -> State:
        """Return the state after seeing epoch t: move the set point, then hold S at it."""
        if self.policy == "critique":
            told, moved = seen.critique, self._criticise(state, seen.critique)
        else:
            told, moved = seen.utility, self._reinforce(state, seen.utility, seen.xi)
        heard = self._active(seen) & ~told.isnan()
        moved = {key: torch.where(heard, value, state[key]) for key, value in moved.items()}
        state = state | moved | {"told": told}
        return self._hold(state, seen, state["base"] * state["m"].exp())

    def _criticise(self, state: State, c: Tensor) -> State:
        return {"m": self._range(state["m"] - self.alpha * (c - self.c0))}

    def _reinforce(self, state: State, r: Tensor, xi: Tensor) -> State:
        b = torch.where(state["b"].isnan(), r, state["b"])
        score = (state["a"] - state["mu"]) / self.explore**2
        mu = self._range(state["mu"] + self.alpha * (r - b) * score)
        a = mu + self.explore * xi
        return {"mu": mu, "a": a, "m": self._range(a), "b": b + self.baseline * (r - b)}

    def _range(self, m: Tensor) -> Tensor:
        return _clip(m, self.m_min, self.m_max)


def _clip(value: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Return value in [low, high]; torch.clamp takes bounds that are both numbers or both tensors, and of its dtype."""
    return torch.clamp(
        value, *(torch.as_tensor(bound, dtype=value.dtype, device=value.device) for bound in (low, high))
    )
