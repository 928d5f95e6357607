"""Cells, the runs of one surrogate, regime and base lam: which is validated, which collapsed, and what these decide."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments import grid
from experiments.claims.claim import Data
from experiments.claims.judge import Part
from experiments.claims.statistics import Array

Arm = tuple[str, str]
"""A surrogate and a regime."""


def measured(
    d: Data, surrogate: str, regimes: Sequence[str], column: str, values: Array | None = None, lams: Any = slice(None)
) -> Array:
    """Return what a choice among cells reads, [5, 1 + cells, runs].

    The rows are a column, its criterion (`Data.criterion`) and what tells a collapse (`Data.cells`). The first cell is
    that under fixed at lam = 0, which others are compared with; those to choose from follow.

    Args:
        d: The runs.
        surrogate: One of the grid's.
        regimes: Whose cells can be chosen.
        column: Named in the records.
        values: [cells, runs] in place of the column's final values, but not of the first cell's.
        lams: The base lam that can be chosen, as an index.
    """

    def rows(regime: str) -> Array:
        own = [d.final(surrogate, regime, column), d.criterion(surrogate, regime, column)]
        return np.concatenate([own, d.cells(surrogate, regime)])

    v = np.concatenate([rows(grid.REGIMES[0])[:, :1], *(rows(regime)[:, lams] for regime in regimes)], axis=1)
    if values is not None:
        v[0, 1:] = values
    return v


CHOICE = slice(2)
"""The rows of what was `measured` that a choice needs; the others are read where a collapse is judged."""


def means(v: Array) -> tuple[Array, Array]:
    """Return the means over runs of rows that were `measured`: [rows, ...] at lam = 0, and [rows, cells, ...]."""
    m = v.mean(-1)
    return m[:, 0], m[:, 1:]


def validated(m: Array) -> Array:
    """Return the means of the cell whose criterion is the least, [rows, ...]; m [rows, cells, ...]."""
    return np.take_along_axis(m, m[1].argmin(0)[None, None], 1)[:, 0]


def validated_collapsed(d: Data, v: Array) -> NDArray[np.bool_]:
    """Return whether the validated cell has collapsed; v as `measured` has it."""
    zero, m = means(v)
    return d.collapsed(validated(m)[2:], zero[2:])


def standing(d: Data, surrogate: str, regime: str) -> NDArray[np.int64]:
    """Return the base lam whose cell has not collapsed, as indices; judged once, by the means over all runs."""
    zero = d.cells(surrogate, grid.REGIMES[0]).mean(-1)[:, :1]
    return np.flatnonzero(~d.collapsed(d.cells(surrogate, regime).mean(-1), zero))


def over_standing(
    d: Data, *, parts: Callable[[Data, Any], list[Part]], surrogate: str, regime: str = grid.REGIMES[0]
) -> list[Part]:
    """Return parts over the base lam whose cell has not collapsed; not settled if there is none."""
    lams = standing(d, surrogate, regime)
    if lams.size:
        return parts(d, lams)
    why = f"{surrogate} under {regime} collapses at every lam"
    return [part._replace(unsettled=why) for part in parts(d, slice(None))]


def guard(
    d: Data,
    arms: Sequence[Arm],
    values: Array,
    statistic: Callable[[Array], Array],
    bound: float,
    lams: Any = slice(None),
) -> dict[str, Any]:
    """Return `collapse` and `cells` of a part that collapsed cells may decide.

    They decide it in a resample where the effect without them is on the other side of the bound, or undefined.

    Args:
        d: The runs.
        arms: Surrogate and regime of each row of the values.
        values: [arms, lam, runs].
        statistic: Reduces values [arms, lam, ..., runs] to the effect; skips cells that are NaN.
        bound: Of the part.
        lams: The base lam of the values, as an index.
    """
    zero = np.stack([d.cells(surrogate, grid.REGIMES[0])[:, :1] for surrogate, _ in arms], 1)
    cells = np.concatenate([zero, np.stack([d.cells(*arm)[:, lams] for arm in arms], 1)], 2)  # [3, arms, 1 + lam, runs]
    both = np.concatenate([np.pad(values, [(0, 0), (1, 0), (0, 0)])[None], cells])

    def collapse(v: Array) -> NDArray[np.bool_]:
        m = v[1:].mean(-1)
        gone = d.collapsed(m[:, :, 1:], m[:, :, :1])
        effect = statistic(v[0, :, 1:])
        rest = statistic(np.where(gone[..., None], np.nan, v[0, :, 1:]))
        return np.asarray(~np.isfinite(rest) | ((effect > bound) != (rest > bound)))

    return {"collapse": collapse, "cells": both}
