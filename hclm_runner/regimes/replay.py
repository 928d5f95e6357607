"""A placebo: the coefficient of a stored run."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import Folder, Replayed
from hclm_runner.regimes.base import Law, Seen, State


@part("regime", "replay", version=1)
@dataclass(frozen=True)
class Replay(Law):
    """Repeats the lam_t of a stored run, whatever S does: what a controller without feedback would have done.

    The order is that of the run ("kept": a yoked control), its mean over time ("mean"), or random ("shuffled"), drawn
    from the run's own stream. Which is the same data as in the stored run, or the same seed, is for the user to choose;
    a run that is replayed to its own seed is that run again.
    """

    uses_feedback: ClassVar[bool] = False
    replays: ClassVar[str] = "lam"

    store: Folder
    run: Replayed
    order: Literal["kept", "mean", "shuffled"]

    def init(self, lam0: Tensor, reference: Tensor) -> State:  # noqa: ARG002 - a law without a set point
        """Return the state at lam0, which is in force in no epoch."""
        nothing = torch.full_like(lam0, torch.nan)
        return {"lam": lam0, "setpoint": nothing, "feedback": nothing}

    def update(self, state: State, seen: Seen) -> State:
        """Return the state with the lam that the stored run had after epoch t."""
        return {**state, "lam": torch.as_tensor(self.run)[..., seen.epoch]}
