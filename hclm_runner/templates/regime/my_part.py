"""A law of my own. Its fields are its options."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hclm_runner.ranges import Probability
from hclm_runner.regimes import Law, Seen, State


@dataclass(frozen=True)
class MyPart(Law):
    """The price of entropy fades: lam_t = lam0 keep^(t + 1), t the epoch.

    A law is elementwise: the same code serves one run (0-d tensors) and many (vectors). Its options are tensors too.
    """

    uses_feedback: ClassVar[bool] = False
    """Whether it reads `seen.utility` or `seen.critique`, the annotator's reports."""

    keep: Probability = 0.9
    """Share of lam that is kept each epoch."""

    def init(self, lam0: Tensor, reference: Tensor) -> State:
        """Return the state before epoch 0; a law may add tensors of its own to it."""
        nothing = torch.full_like(lam0, torch.nan)
        return {"lam": lam0, "setpoint": nothing, "feedback": nothing}

    def update(self, state: State, seen: Seen) -> State:
        """Return the state after an epoch: `lam` is in force during the next one."""
        return {**state, "lam": state["lam"] * self.keep}
