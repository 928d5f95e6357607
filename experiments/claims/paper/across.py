"""The paper's claims across surrogates and runs."""

from functools import partial

import numpy as np
from scipy import stats

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


def _rank_correlation(v: Array) -> Array:
    """Return Spearman's correlation over cells and runs of v[0] and v[1]; v [2, cells, ..., runs]."""
    flat = np.moveaxis(v, 1, -1).reshape(2, *v.shape[2:-1], -1)
    x, y = stats.rankdata(flat, axis=-1) - (flat.shape[-1] + 1) / 2
    return np.asarray((x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1)))


def _goes_with(d: Data, column: str, sense: str) -> list[Part]:
    """Over runs of a surrogate, a deeper collapse of the force goes with a lower gap (or a higher reward).

    The rank correlation of log(F_max / F_final) with the column, over base lam and regimes, without the cells that
    collapsed. Lam moves both: it is the treatment, and not partialled out. A correlation is of no unit, so there is
    nothing to take a margin of: its bound is 0.
    """
    parts = []
    for surrogate in (LOGDET, VARIANCE):
        cells = []
        for regime in (A, B, C):
            peak, end = d.path(surrogate, regime, "force").max(-1), d.final(surrogate, regime, "force")
            fallen = np.log(peak / np.maximum(end, 1e-300))
            v = np.stack([fallen, d.final(surrogate, regime, column)])
            cells.append(v[:, standing(d, surrogate, regime)])
        text = f"rank correlation of the fall of force with {column}, {surrogate}"
        parts.append(Part(text, np.concatenate(cells, 1), _rank_correlation, sense, 0))
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
