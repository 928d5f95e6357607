"""What a store shows before any claim: what early stopping does at lam = 0, what it leaves to others, Definition 1."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments import grid
from experiments.claims.claim import CELL, Data
from experiments.claims.intervals import ALPHA, holm, sign_flips
from experiments.claims.statistics import Array
from experiments.estimate import Estimate

FIXED = grid.REGIMES[0]
SHOWN = ("test_loss", "test_scaled_loss", "test_accuracy", "test_ece")
"""Columns that are shown of a cell, as means over runs."""
CHOOSE = ("feedback_loss", "feedback_scaled_loss")
"""Columns that cells are chosen by."""
CANDIDATES = np.round(np.arange(0.05, 2, 0.05), 2)
"""Values of f_min that are tried."""


class Cell(NamedTuple):
    """The runs of one surrogate, law and base lam."""

    surrogate: str
    regime: str
    lam: float
    shown: dict[str, float]
    """Column of `SHOWN` and `CHOOSE` -> mean over runs."""
    collapsed: bool
    loss: Estimate
    """Test loss less that of lam = 0 stopped early, nats, paired over data sets."""
    accuracy: Estimate
    """The same of the test accuracy."""
    p: float
    """That `loss` is 0, uncorrected."""


def cell(d: Data, surrogate: str, regime: str, lam: int) -> Cell:
    """Return what a cell reaches in a view, compared with lam = 0 stopped early.

    Args:
        d: The runs, in the view.
        surrogate: Its name.
        regime: Its name.
        lam: Index of the base lam.
    """

    def mean(column: str, at: int = lam, law: str = regime) -> float:
        return float(d.final(surrogate, law, column)[at].mean())

    (loss, p), (accuracy, _) = (
        difference(d, d.final(surrogate, regime, column)[lam], _stopped(d, column))
        for column in ("test_loss", "test_accuracy")
    )
    zero = np.array([mean(column, 0, FIXED) for column in CELL])
    collapsed = bool(d.collapsed(np.array([mean(column) for column in CELL]), zero))
    shown = {column: mean(column) for column in (*SHOWN, *CHOOSE)}
    base = float(d.grid["lam0"][lam])
    return Cell(surrogate, regime, base, shown, collapsed, loss, accuracy, p)


def best(d: Data, by: str = "feedback_loss") -> list[Cell]:
    """Return each surrogate and law at the base lam where a column of the feedback split is least, in a view.

    Args:
        d: The runs, in the view.
        by: The column; its mean over runs.
    """
    return [
        cell(d, surrogate, regime, int(d.final(surrogate, regime, by).mean(-1).argmin()))
        for surrogate in grid.SURROGATES
        for regime in grid.REGIMES
    ]


def first(cells: Sequence[Cell], by: str = "feedback_loss") -> Cell:
    """Return the cell with the least mean of a column."""
    return min(cells, key=lambda one: one.shown[by])


def lower(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells whose test loss is below that of lam = 0 stopped early, at 5% after Holm's correction."""
    corrected = holm([one.p for one in cells])
    return [one for one, p in zip(cells, corrected, strict=True) if one.loss.value < 0 and p <= ALPHA]


def beyond_temperature(d: Data, one: Cell, column: str) -> Estimate:
    """Return a column of a cell at the end less the loss of lam = 0 with a fitted temperature, nats."""
    end, lam = d.at("end"), int(np.flatnonzero(d.grid["lam0"] == one.lam)[0])
    scaled = end.final(grid.SURROGATES[0], FIXED, "test_scaled_loss")[0]
    return difference(d, end.final(one.surrogate, one.regime, column)[lam], scaled)[0]


def difference(d: Data, ours: Array, theirs: Array) -> tuple[Estimate, float]:
    """Return the mean of ours less theirs, [runs] each, by sign flips of data sets; and the p-value of 0."""
    each = (ours - theirs).reshape(-1, d.draws).mean(-1)
    low, high, p = sign_flips(each, np.ones_like(each), 0.0)
    return Estimate(float(each.mean()), low, high, len(each)), p


def effective(d: Data, f_min: float) -> dict[str, float]:
    """Return by Definition 1 the share of each surrogate's fixed runs at lam > 0 that are effective."""
    runs = d.grid[["share", "train_loss"]].sel(regime=FIXED, lam0=d.grid["lam0"] > 0)
    effective = grid.effective(runs, f_min)
    return {surrogate: float(effective.sel(surrogate=surrogate).mean()) for surrogate in grid.SURROGATES}


def separating(d: Data) -> float:
    """Return the f_min at which the softmax entropy and the surrogates of geometry differ most."""

    def apart(f_min: float) -> float:
        softmax, *geometry = effective(d, f_min).values()
        return min(geometry) - softmax

    return float(max(CANDIDATES, key=apart))


def _stopped(d: Data, column: str) -> Array:
    """Return the values of lam = 0 at the chosen epoch, [runs]; there all surrogates are one."""
    runs = d.grid.sel(lam0=[0.0], surrogate=[grid.SURROGATES[0]], regime=[FIXED])
    return Data.of(runs, d.source).at("chosen").final(grid.SURROGATES[0], FIXED, column)[0]
