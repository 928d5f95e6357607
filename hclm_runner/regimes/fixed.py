"""A coefficient that does not move."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.regimes.base import Law, Seen, State


@part("regime", "fixed", version=1)
@dataclass(frozen=True)
class Fixed(Law):
    """The paper's Fixed Hybrid: lam_t = lam0, which may be 0."""

    uses_feedback: ClassVar[bool] = False

    def init(self, lam0: Tensor, reference: Tensor) -> State:  # noqa: ARG002 - a law without a set point
        """Return the state at lam0; the reference is for laws with a set point."""
        nothing = torch.full_like(lam0, torch.nan)
        return {"lam": lam0, "setpoint": nothing, "feedback": nothing}

    def update(self, state: State, seen: Seen) -> State:  # noqa: ARG002 - lam does not move
        """Return the state as it was."""
        return state
