"""A thermostat whose set point follows the annotator."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import NonNegative, Positive, Probability
from hclm_runner.refusal import ConfigError
from hclm_runner.regimes.base import Seen, clip
from hclm_runner.regimes.thermostat import Thermostat, ThermostatState


@part("regime", "rl_thermostat", version=1)
@dataclass(frozen=True)
class RLThermostat(Thermostat):
    """A thermostat whose set point is moved by feedback: S_ref = kappa R exp(m), m = 0 at first.

    At the end of each epoch t >= warmup at which feedback arrives (else all of this stays as it is), first m moves,
    then the thermostat holds S at the new set point:

    - policy "critique": m <- clip(m - alpha (c_t - c0), m_min, m_max), c_t the critique of over-confidence.
    - policy "reinforce", from the scalar utility r_t alone (Williams 1992, doi 10.1007/BF00992696): a Gaussian policy
      a = mu + explore xi with m = clip(a, m_min, m_max), and mu = a = 0 at first. The reward is credited to the action
      in force: mu <- clip(mu + alpha (r_t - b) (a - mu) / explore^2, m_min, m_max), then b <- b + baseline (r_t - b),
      then a new a is drawn about the new mu. The baseline b starts at the first r_t that arrives, which so
      moves nothing. Late feedback is credited to the wrong action: `feedback.delay` is a fault that this policy cannot
      see through.

    The set point may move at t = warmup already, so lam may take a step there that a plain thermostat's does not.
    """

    uses_feedback: ClassVar[bool] = True

    policy: Literal["critique", "reinforce"]
    alpha: NonNegative
    c0: float
    m_min: float
    m_max: float
    explore: Positive
    baseline: Probability

    @classmethod
    def check(cls, **options: Any) -> None:
        """Refuse bounds in the wrong order, and a range of m that does not hold its start."""
        super().check(**options)
        low, high = options["m_min"], options["m_max"]
        if low >= high:
            raise ConfigError("m_min", low, f"less than regime.m_max={high}")
        if not low <= 0 <= high:
            raise ConfigError("m_min", low, f"m_min <= 0 <= m_max={high}: m starts at 0")

    def init(self, lam0: Tensor, reference: Tensor) -> ThermostatState:
        """Return the state before epoch 0; see `Thermostat.init`."""
        zero, nothing = torch.zeros_like(lam0), torch.full_like(lam0, torch.nan)
        return super().init(lam0, reference) | {"m": zero, "mu": zero, "a": zero, "b": nothing}

    def update(self, state: ThermostatState, seen: Seen) -> ThermostatState:
        """Return the state after seeing epoch t: move the set point, then hold S at it."""
        if self.policy == "critique":
            feedback, moved = seen.critique, self._criticise(state, seen.critique)
        else:
            feedback, moved = seen.utility, self._reinforce(state, seen.utility, seen.xi)
        arrived = self._active(seen) & ~feedback.isnan()
        moved = {key: torch.where(arrived, value, state[key]) for key, value in moved.items()}  # type: ignore[literal-required]
        state = cast("ThermostatState", {**state, **moved, "feedback": feedback})
        held: ThermostatState = self._hold(state, seen, state["base"] * state["m"].exp())
        return held

    def _criticise(self, state: ThermostatState, c: Tensor) -> dict[str, Tensor]:
        return {"m": self._range(state["m"] - self.alpha * (c - self.c0))}

    def _reinforce(self, state: ThermostatState, r: Tensor, xi: Tensor) -> dict[str, Tensor]:
        b = torch.where(state["b"].isnan(), r, state["b"])
        score = (state["a"] - state["mu"]) / self.explore**2
        mu = self._range(state["mu"] + self.alpha * (r - b) * score)
        a = mu + self.explore * xi
        return {"mu": mu, "a": a, "m": self._range(a), "b": b + self.baseline * (r - b)}

    def _range(self, m: Tensor) -> Tensor:
        return clip(m, self.m_min, self.m_max)
