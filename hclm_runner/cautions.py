"""What makes a finished run suspicious: its numbers are right, but it hardly tests what it was meant to test."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hclm_runner.config import RunConfig
from hclm_runner.parts import part_of

SETTLED = 5
"""Epochs for which lam does not move when a law has it at a bound."""


def cautions(run: RunConfig, measured: Mapping[str, NDArray[np.float64]]) -> list[str]:
    """Return what a user should know about a run, a sentence each.

    Args:
        run: Its configuration.
        measured: Column -> [epochs + 1]; NaN where undefined, and from the epoch at which it diverged.
    """
    found, law = [], run.regime.load()
    if part_of(law) and run.regime.options.get("warmup", -1) >= run.epochs:
        found.append("regime.warmup is as long as the run: lam never moves")
    if getattr(law, "uses_feedback", False) and run.feedback.options.get("delay", 0) >= run.epochs:
        found.append("feedback.delay is as long as the run: no report arrives in it")
    force = measured["force"][np.isfinite(measured["force"])]
    if force.size and not force.any():
        found.append("the surrogate exerts no force: its gradient is 0 in every epoch; is Z detached in it?")
    if side := _out_of_reach(measured):
        found.append(f"the set point is out of reach: S is {side} it in every epoch, and lam stands at its bound")
    return found


def _out_of_reach(measured: Mapping[str, NDArray[np.float64]]) -> str | None:
    """Return on which side of its set point S stayed while lam came to rest; None if S reached it, or there is none."""
    S, target, lam = (measured[name] for name in ("entropy", "setpoint", "lam"))
    there = np.isfinite(S) & np.isfinite(target)
    if there.sum() <= 2 * SETTLED or np.ptp(lam[there][-SETTLED:]) > 0:
        return None
    away = S[there] - target[there]
    return "above" if (away > 0).all() else "below" if (away < 0).all() else None
