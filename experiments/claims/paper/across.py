"""The paper's claims across surrogates and runs."""

from functools import partial

import numpy as np
import pandas as pd

from experiments.claims.claim import MARGIN, Data, claim
from experiments.claims.judge import Part
from experiments.claims.paper.cells import guard, standing
from experiments.claims.paper.parts import LOGDET, SOFTMAX, VARIANCE, A, B, C, words
from experiments.claims.statistics import Array, at_same_lam, mean_of_seeds


def _stronger(d: Data, column: str) -> list[Part]:
    """Geometric surrogates exert more force than softmax at the same fixed lam."""
    statistic, parts = partial(at_same_lam, mean_of_seeds), []
    for geometric in (LOGDET, VARIANCE):
        arms = [(geometric, A), (SOFTMAX, A)]
        v = np.stack([d.final(*arm, column)[1:] for arm in arms])
        text = f"{words(column)} of {geometric} over softmax, same lam"
        facts = guard(d, arms, v, statistic, 1 + MARGIN, slice(1, None))
        parts.append(Part(text, v, statistic, ">", 1 + MARGIN, unit="×", **facts))
    return parts


def _ranks(values: Array) -> Array:
    """Return the ranks of values among all of them, about 0 and within 1."""
    ranks = pd.Series(values.ravel()).rank().to_numpy().reshape(values.shape)
    return np.asarray((2 * ranks - values.size - 1) / max(values.size, 1))


def _correlation(v: Array) -> Array:
    """Return the correlation of x and y over cells and runs; v [5, ..., runs], each run's mean x, y, xx, yy and xy."""
    x, y, xx, yy, xy = v.mean(-1)
    return np.asarray((xy - x * y) / np.sqrt((xx - x * x) * (yy - y * y)))


def _goes_with(d: Data, column: str, sense: str) -> list[Part]:
    """Over runs of a surrogate, a deeper collapse of the force goes with a lower gap (or a higher reward).

    The rank correlation of log(F_max / F_final) with the column, over base lam and regimes, without the cells that
    collapsed. Ranks are those among all runs, in the resamples too. Lam moves both: it is the treatment, and not
    partialled out. A correlation is of no unit, so there is nothing to take a margin of: its bound is 0.
    """
    parts = []
    for surrogate in (LOGDET, VARIANCE):
        cells = []
        for regime in (A, B, C):
            peak, end = d.path(surrogate, regime, "force").max(-1), d.final(surrogate, regime, "force")
            fallen = np.log(peak / np.maximum(end, 1e-300))
            v = np.stack([fallen, d.final(surrogate, regime, column)])
            cells.append(v[:, standing(d, surrogate, regime)])
        x, y = (_ranks(each) for each in np.concatenate(cells, 1))
        sample = np.stack([each.sum(0) / max(len(each), 1) for each in (x, y, x * x, y * y, x * y)])
        text = f"rank correlation of the fall of force with {column}, {surrogate}"
        unsettled = "" if x.size else f"{surrogate} collapses in every cell"
        parts.append(Part(text, sample, _correlation, sense, 0, unsettled=unsettled))
    return parts


@claim("X1 raw", None, "geometric surrogates exert more force than softmax (raw)")
def x1_raw(d: Data) -> list[Part]:
    """By the raw force, which also ranks surrogates by their scaling."""
    return _stronger(d, "force")


@claim(
    "X1 ratio",
    None,
    "geometric surrogates exert more force than softmax (lam F / |grad L|)",
    (
        "in the share of the update, which does not grow as the loss's gradient vanishes",
        lambda d: _stronger(d, "share"),
    ),
)
def x1_ratio(d: Data) -> list[Part]:
    """By lam F / |grad L|, which is free of the surrogate's scale."""
    return _stronger(d, "force_ratio")


@claim("X2", None, "the collapse of the force goes with the contraction of the gap")
def x2(d: Data) -> list[Part]:
    """A deeper fall of the force goes with a lower gap."""
    return _goes_with(d, "gap", "<")


@claim("X3", None, "the collapse of the force goes with a higher reward")
def x3(d: Data) -> list[Part]:
    """A deeper fall of the force goes with a higher reward."""
    return _goes_with(d, "reward", ">")
