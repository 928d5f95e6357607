"""The arms of the paper's claims, and parts that several of them share."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from experiments import grid
from experiments.claims.claim import MARGIN, Data
from experiments.claims.judge import Part, mean_part, quotient_part
from experiments.claims.statistics import WORST, Array, late, sd_ratio, spike, spread, where_whole

A, B, C = grid.REGIMES
"""fixed, thermostat and rl_thermostat."""
SOFTMAX, VARIANCE, LOGDET = grid.SURROGATES

FORGETS = (
    "a law with integral action forgets the base lam: with regime.ki=0 the range under it is 96% of that under fixed"
)
"""Why a law's indifference to the base lam cannot fail; the range is of log-det's test loss."""
MOVES = "a law that integrates an error stands still only where that is exactly zero"
OFF_BOUNDS = "a law with anti-windup rests at a bound of lam only where its set point cannot be reached"


def option(d: Data, name: str) -> float:
    """Return an option of the thermostat."""
    return float(d.grid.attrs["config"]["regime thermostat"][name])


def words(column: str) -> str:
    """Return a column's name as a text has it."""
    return column.replace("_", " ")


def middle(d: Data) -> int:
    """Return the index of the median base lam above 0, the lower of two."""
    return d.grid.sizes["lam0"] // 2


# --- of final values ------------------------------------------------------------------------------------------------


def pair(d: Data, surrogate: str, column: str, ours: str, theirs: str) -> Array:
    """Return the final values of a column under two regimes, [2, lam, runs]."""
    return np.stack([d.final(surrogate, regime, column) for regime in (ours, theirs)])


def compared(
    d: Data, surrogate: str, column: str, ours: str, theirs: str, sense: str, bound: float | None = None
) -> Part:
    """Return the part that one regime's mean over lam is lower, or higher, than another's: by a margin or bound."""
    text = f"{words(column)}, {ours} relative to {theirs}, mean over lam"
    v = pair(d, surrogate, column, ours, theirs)
    beyond = MARGIN if sense == ">" else -MARGIN
    return quotient_part(text, (v[0] - v[1]).mean(0), v[1, 0], sense, beyond if bound is None else bound, unit="%")


def changed(column: str, values: Array, at: Any, where: str, sense: str, bound: float, **facts: Any) -> Part:
    """Return the part about the mean of a column at some lam, relative to that at lam = 0; values [lam, runs]."""
    over = np.atleast_2d(values[at]).mean(0) - values[0]
    return quotient_part(f"{words(column)} at {where}, relative to lam = 0", over, values[0], sense, bound, **facts)


def steadier_over_seeds(d: Data, surrogate: str, column: str, ours: str, theirs: str) -> Part:
    """Return the part that a column varies less within a data set under one regime than under another."""
    text = f"standard deviation over training seeds of {words(column)}, {ours} over {theirs}"
    v = pair(d, surrogate, column, ours, theirs)
    return Part(text, v, partial(sd_ratio, draws=d.draws), "<", 1 - MARGIN, unit="×")


def steadier_over_lam(d: Data, surrogate: str, regime: str, bound: float) -> Part:
    """Return the part that test loss depends less on the base lam than under the fixed law, by a factor."""
    text = f"range over lam of test loss, {regime} over fixed"
    v = pair(d, surrogate, "test_loss", regime, A)
    return Part(text, v, spread, "<", bound, unit="×", structural=FORGETS)


# --- of trajectories ------------------------------------------------------------------------------------------------


def read_off(
    d: Data, surrogate: str, regime: str, column: str, reduce: Callable[[Array], Array], worst: float
) -> Array:
    """Return what is read off the trajectories of a column, [lam, runs]; the worst value of a run that diverged."""
    diverged = d.path(surrogate, regime, "train_loss")[..., -1] == WORST
    return np.where(diverged, worst, reduce(d.path(surrogate, regime, column)))


def steadier_over_epochs(d: Data, surrogate: str, column: str, ours: str, theirs: str) -> Part:
    """Return the part that a column varies less over the late epochs of a run under one regime than under another."""
    text = f"late standard deviation over epochs of {words(column)}, {ours} over {theirs}"
    sd, other = (read_off(d, surrogate, r, column, lambda path: late(path).std(-1), WORST) for r in (ours, theirs))
    return quotient_part(text, sd.mean(0), other.mean(0), "<", 1 - MARGIN, unit="×")


def spikes(d: Data, surrogate: str, regime: str) -> Array:
    """Return the late maximum of the force over its late median, [lam, runs]."""
    return read_off(d, surrogate, regime, "force", spike, WORST)


def bounded(regime: str, values: Array, **facts: Any) -> Part:
    """Return the part that the force has no late spikes; values as `spikes` has them. Its bound is a ratio already."""
    return mean_part(f"late maximum of the force over its late median, {regime}", values, "<", 1.5, unit="×", **facts)


def after_warmup(d: Data, path: Array) -> Array:
    """Return the epochs after the warm-up; NaN if there are fewer than two, from which nothing can be said."""
    after = path[..., int(option(d, "warmup")) + 1 :]
    return after if after.shape[-1] > 1 else np.full_like(path, np.nan)


def adaptive(d: Data, surrogate: str, regime: str, reduce: Callable[[Array], Array]) -> Array:
    """Return what is read off lam after the warm-up, [lam, runs]; a run that diverged stood still at the bound, 0."""
    return read_off(d, surrogate, regime, "lam", lambda path: reduce(after_warmup(d, path)), 0)


def inside(d: Data, surrogate: str, regime: str) -> Array:
    """Return the share of late epochs with lam strictly inside its bounds, [lam, runs]; 0 of a run that diverged."""
    low, high = option(d, "lam_min"), option(d, "lam_max")

    def share(path: Array) -> Array:
        lam = late(path)
        return where_whole(lam, ((lam > low * (1 + 1e-9)) & (lam < high * (1 - 1e-9))).mean(-1))

    return read_off(d, surrogate, regime, "lam", share, 0)
