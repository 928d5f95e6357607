"""What the laws that hold the entropy at a set point share: the set point, the measurement, the bounds, the warm-up."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from hclm_runner.ranges import Positive, Weight, Whole
from hclm_runner.refusal import ConfigError
from hclm_runner.regimes.base import Law, Seen, State, clip


class Measured(State):
    """The state of a law with a set point, in the symbols of the laws."""

    base: Tensor
    """kappa R."""
    y: Tensor


@dataclass(frozen=True)
class SetPoint(Law):
    """A law that moves lam so that S stays at a set point; which law, its subclass says.

    With holds="logdet_rate" it holds the rate of the channel Z + sigma xi instead, below S, which is in the same unit
    whatever the surrogate: then surrogates are compared at equal information.

    At the end of each epoch::

        S_ref = kappa R                              R = log K for K classes, or `setpoint`
        y    <- y + smoothing (S - y)                y = S at epoch 0
        lam_t = clip(law, lam_min, lam_max)          in force during epoch t + 1

    and lam_t = lam0' = clip(lam0, lam_min, lam_max) at the epochs t < warmup.
    """

    uses_feedback: ClassVar[bool] = False

    kappa: Positive
    holds: Literal["entropy", "logdet_rate"]
    setpoint: Positive | None
    lam_min: Positive
    lam_max: Positive
    warmup: Whole
    smoothing: Weight

    @classmethod
    def check(cls, **options: Any) -> None:
        """Refuse bounds in the wrong order."""
        if options["lam_min"] >= options["lam_max"]:
            raise ConfigError("lam_min", options["lam_min"], f"less than regime.lam_max={options['lam_max']}")

    def init(self, lam0: Tensor, reference: Tensor) -> Any:
        """Return the state before epoch 0.

        Args:
            lam0: Base coefficient; one outside the bounds is brought to the nearer of them.
            reference: log K, nats; not used where `setpoint` is given.

        Raises:
            ConfigError: If there is neither a `setpoint` nor a reference.
        """
        if self.setpoint is None and reference.isnan().any():
            wanted = "the entropy to hold, in nats: a regression has no log K, nor has a task that labels tokens"
            raise ConfigError("regime.setpoint", "null", wanted)
        R = reference if self.setpoint is None else torch.as_tensor(self.setpoint, dtype=lam0.dtype, device=lam0.device)
        S_ref, nothing = self.kappa * R, torch.full_like(lam0, torch.nan)
        return {"lam": self._bound(lam0), "setpoint": S_ref, "feedback": nothing, "base": S_ref, "y": nothing}

    def update(self, state: Any, seen: Seen) -> Any:
        """Return the state after seeing epoch t."""
        return self._hold(state, seen, state["base"])

    def _hold(self, state: Any, seen: Seen, S_ref: Tensor) -> Any:
        S = seen.entropy if self.holds == "entropy" else seen.logdet_rate
        y = state["y"] + self.smoothing * (S - state["y"])
        state = {**state, "setpoint": S_ref, "y": torch.where(state["y"].isnan(), S, y)}
        active = self._active(seen)
        lam, memory = self._move(state, seen, active)
        return {**state, **memory, "lam": torch.where(active, self._bound(lam), state["lam"])}

    @abstractmethod
    def _move(self, state: Any, seen: Seen, active: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return lam_t before the clip, from the new y and S_ref and the lam in force, and what else the law keeps.

        Until `active` lam_t is not used, and what the law keeps is what it has to begin with.
        """

    def _active(self, seen: Seen) -> Tensor:
        return torch.as_tensor(seen.epoch >= self.warmup, device=seen.entropy.device)

    def _bound(self, lam: Tensor) -> Tensor:
        # One clip, in lam: exp(log(bound)) may round to the wrong side of the bound.
        return clip(lam, self.lam_min, self.lam_max)
