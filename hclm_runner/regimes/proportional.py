"""ControlVAE's law: a sigmoid of the error, and its integral."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import NonNegative, Positive
from hclm_runner.refusal import ConfigError
from hclm_runner.regimes.base import Seen
from hclm_runner.regimes.setpoint import Measured, SetPoint


class ProportionalState(Measured):
    """The state of the law."""

    I: Tensor  # noqa: E741 - the integral of the law


@part("regime", "proportional", version=1)
@dataclass(frozen=True)
class Proportional(SetPoint):
    """Holds S at a set point by ControlVAE's non-linear proportional-integral law (Shao et al. 2020, arXiv 2004.05988).

    Their Equation 8 and Algorithm 1, with S for the KL divergence and lam for beta; e in nats::

        e = y - S_ref
        v = lam_min + kp / (1 + exp(-e)) + I         lam_t = clip(v, lam_min, lam_max)
        I <- I + ki e                                unless v is out of bounds, and this pushes it further out

    v uses I as it was before the update. S_ref, y, the bounds and the warm-up are those of `SetPoint`. Two things are
    ours. The paper begins at I = 0; here I follows lam0' - lam_min - kp / (1 + exp(-e)) until the law takes over, so
    that it starts from lam0' without a bump. And the paper stops I while v is out of bounds whatever the sign of e,
    which may leave lam at a bound for good.

    The proportional term spans kp, so a kp as wide as the bounds is refused: lam would jump from bound to bound.
    """

    kp: Positive
    ki: NonNegative

    @classmethod
    def check(cls, **options: Any) -> None:
        """Refuse bounds in the wrong order, and a proportional term as wide as they are."""
        super().check(**options)
        low, high = options["lam_min"], options["lam_max"]
        if options["kp"] >= high - low:
            raise ConfigError("kp", options["kp"], f"less than regime.lam_max - regime.lam_min={high - low:g}")

    def init(self, lam0: Tensor, reference: Tensor) -> ProportionalState:
        """Return the state before epoch 0; see `SetPoint.init`."""
        state: Measured = super().init(lam0, reference)
        return {**state, "I": state["lam"] - self.lam_min - self.kp / 2}

    def _move(self, state: ProportionalState, seen: Seen, active: Tensor) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        e = state["y"] - state["setpoint"]
        P = self.lam_min + self.kp * e.sigmoid()
        v = P + state["I"]
        outwards = ((v > self.lam_max) & (e > 0)) | ((v < self.lam_min) & (e < 0))
        integral = torch.where(outwards, state["I"], state["I"] + self.ki * e)
        return v, {"I": torch.where(active, integral, state["lam"] - P)}
