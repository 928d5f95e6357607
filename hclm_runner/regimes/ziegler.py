"""The clipped multiplicative law by which a language model's KL penalty is set."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import Positive
from hclm_runner.refusal import ConfigError
from hclm_runner.regimes.base import Seen, clip
from hclm_runner.regimes.setpoint import SetPoint


@part("regime", "ziegler", version=1)
@dataclass(frozen=True)
class Ziegler(SetPoint):
    """Holds S at a set point as adaptive-KL fine-tuning holds the KL divergence.

    Ziegler et al. 2019 (arXiv 1909.08593), section 2.2; S stands for the divergence, `gain` for K_beta and
    `limit` for 0.2::

        e    = clip(y / S_ref - 1, -limit, limit)
        lam <- lam (1 + gain e)

    S_ref, y, the bounds and the warm-up are those of `SetPoint`. A gain of 1 / limit or more is refused: one epoch far
    below the set point would make lam zero or negative.
    """

    gain: Positive
    limit: Positive

    @classmethod
    def check(cls, **options: Any) -> None:
        """Refuse bounds in the wrong order, and a gain by which lam could turn negative."""
        super().check(**options)
        if options["gain"] * options["limit"] >= 1:
            wanted = (
                f"less than 1 / regime.limit={1 / options['limit']:g}: lam would turn negative far below the set point"
            )
            raise ConfigError("gain", options["gain"], wanted)

    def _move(self, state: Any, seen: Seen, active: Tensor) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ARG002
        e = clip(state["y"] / state["setpoint"] - 1, -self.limit, self.limit)
        return state["lam"] * (1 + self.gain * e), {}
