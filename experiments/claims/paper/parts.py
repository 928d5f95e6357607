"""The arms of the paper's claims, and parts that several of them share."""

import numpy as np

from experiments import grid
from experiments.claims.claim import MARGIN, Data
from experiments.claims.judge import Part
from experiments.claims.statistics import Array, difference, late, mean, sd_ratio, spike, spread, where_whole

A, B, C = grid.REGIMES
"""fixed, thermostat and rl_thermostat."""
SOFTMAX, VARIANCE, LOGDET = grid.SURROGATES


def option(d: Data, name: str) -> float:
    """Return an option of the thermostat."""
    return float(d.grid.attrs["config"]["regime thermostat"][name])


def words(column: str) -> str:
    """Return a column's name as a text has it."""
    return column.replace("_", " ")


def pair(d: Data, surrogate: str, column: str, ours: str, theirs: str) -> Array:
    """Return the final values of a column under two regimes, [2, lam, seed]."""
    return np.stack([d.final(surrogate, regime, column) for regime in (ours, theirs)])


def compared(d: Data, surrogate: str, column: str, ours: str, theirs: str, sense: str) -> Part:
    """Return the part that one regime's mean over lam is lower, or higher, than another's by the margin."""
    text = f"{words(column)}, {ours} relative to {theirs}, mean over lam"
    bound = MARGIN if sense == ">" else -MARGIN
    return Part(text, pair(d, surrogate, column, ours, theirs), difference, sense, bound)


def steadier_over_seeds(d: Data, surrogate: str, column: str, ours: str, theirs: str) -> Part:
    """Return the part that a column varies less over seeds under one regime than under another."""
    text = f"standard deviation over seeds of {words(column)}, {ours} over {theirs}"
    return Part(text, pair(d, surrogate, column, ours, theirs), sd_ratio, "<", 1, unit="×")


def steadier_over_lam(d: Data, surrogate: str, regime: str, bound: float) -> Part:
    """Return the part that test loss depends less on the base lam than under the fixed law, by a factor."""
    text = f"range over lam of test loss, {regime} over fixed"
    return Part(text, pair(d, surrogate, "test_loss", regime, A), spread, "<", bound, unit="×")


def bounded(d: Data, surrogate: str, regime: str) -> Part:
    """Return the part that the force has no late spikes."""
    text = f"late maximum of the force over its late median, {regime}"
    return Part(text, spike(d.path(surrogate, regime, "force")), mean, "<", 1.5, unit="×")


def after_warmup(d: Data, path: Array) -> Array:
    """Return the epochs after the warm-up; NaN if there are fewer than two, from which nothing can be said."""
    after = path[..., int(option(d, "warmup")) + 1 :]
    return after if after.shape[-1] > 1 else np.full_like(path, np.nan)


def inside(d: Data, surrogate: str, regime: str) -> Array:
    """Return the share of late epochs with lam strictly inside its bounds, [lam, seed]."""
    lam = late(d.path(surrogate, regime, "lam"))
    low, high = option(d, "lam_min"), option(d, "lam_max")
    return where_whole(lam, ((lam > low * (1 + 1e-9)) & (lam < high * (1 - 1e-9))).mean(-1))
