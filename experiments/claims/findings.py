"""What a store shows before any claim: what early stopping does at lam = 0, what it leaves to others, Definition 1."""

from typing import NamedTuple

import numpy as np

from experiments import grid
from experiments.claims.claim import CELL, Data
from experiments.claims.intervals import ALPHA, holm, sign_flips
from experiments.claims.statistics import Array
from experiments.estimate import Estimate
from hclm_runner.analysis import SHARE

FIXED = grid.REGIMES[0]
SHOWN = ("test_loss", "test_scaled_loss", "test_accuracy", "test_ece")
"""Columns that are shown of a cell, as means over runs."""
CANDIDATES = np.round(np.arange(0.05, 2, 0.05), 2)
"""Values of f_min that are tried."""


class Cell(NamedTuple):
    """The runs of one surrogate, law and base lam."""

    surrogate: str
    regime: str
    lam: float
    shown: dict[str, float]
    """Column of `SHOWN` -> mean over runs."""
    feedback_loss: float
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

    loss, p = difference(d, _runs(d, surrogate, regime, lam, "test_loss"), _stopped(d, "test_loss"))
    accuracy, _ = difference(d, _runs(d, surrogate, regime, lam, "test_accuracy"), _stopped(d, "test_accuracy"))
    zero = np.array([mean(column, 0, FIXED) for column in CELL])
    collapsed = bool(d.collapsed(np.array([mean(column) for column in CELL]), zero))
    shown = {column: mean(column) for column in SHOWN}
    base = float(d.grid["lam0"][lam])
    return Cell(surrogate, regime, base, shown, mean("feedback_loss"), collapsed, loss, accuracy, p)


def best(d: Data) -> list[Cell]:
    """Return each surrogate and law at the base lam of least mean feedback loss in a view."""
    return [
        cell(d, surrogate, regime, int(d.final(surrogate, regime, "feedback_loss").mean(-1).argmin()))
        for surrogate in grid.SURROGATES
        for regime in grid.REGIMES
    ]


def remains(cells: list[Cell]) -> tuple[list[Cell], list[Cell]]:
    """Return the cells whose test loss is lower than that of lam = 0 stopped early, and those of which it is not shown.

    At 5% after Holm's correction over all of them.
    """
    corrected = holm([one.p for one in cells])
    lower = [one.loss.value < 0 and p <= ALPHA for one, p in zip(cells, corrected, strict=True)]
    return (
        [one for one, is_lower in zip(cells, lower, strict=True) if is_lower],
        [one for one, is_lower in zip(cells, lower, strict=True) if not is_lower],
    )


def beyond_temperature(d: Data, one: Cell) -> Estimate:
    """Return a cell's test loss at the end less that of lam = 0 with one fitted temperature, nats."""
    end, lam = d.at("end"), int(np.flatnonzero(d.grid["lam0"] == one.lam)[0])
    scaled = _runs(end, grid.SURROGATES[0], FIXED, 0, "test_scaled_loss")
    return difference(d, _runs(end, one.surrogate, one.regime, lam, "test_loss"), scaled)[0]


def difference(d: Data, ours: Array, theirs: Array) -> tuple[Estimate, float]:
    """Return the mean of ours less theirs, [runs] each, by sign flips of data sets; and the p-value of no difference."""
    each = (ours - theirs).reshape(-1, d.draws).mean(-1)
    low, high, p = sign_flips(each, np.ones_like(each), 0.0)
    return Estimate(float(each.mean()), low, high, len(each)), p


def effective(d: Data, f_min: float) -> dict[str, float]:
    """Return by Definition 1 the share of each surrogate's fixed runs at lam > 0 that are effective.

    A run is if ||D_S|| / ||D_L|| is f_min or more in a quarter of its epochs; an undefined one does not count.
    """
    runs = d.grid["share"].sel(regime=FIXED).isel(epoch=slice(1, None))
    runs = runs.sel(lam0=runs["lam0"] > 0)
    often = (runs >= f_min).mean("epoch") >= SHARE
    return {surrogate: float(often.sel(surrogate=surrogate).mean()) for surrogate in grid.SURROGATES}


def separating(d: Data) -> float:
    """Return the f_min at which the softmax entropy and the surrogates of geometry differ most."""

    def apart(f_min: float) -> float:
        softmax, *geometry = effective(d, f_min).values()
        return min(geometry) - softmax

    return float(max(CANDIDATES, key=apart))


def _runs(d: Data, surrogate: str, regime: str, lam: int, column: str) -> Array:
    """Return the final values of a cell's runs, [runs]."""
    return d.final(surrogate, regime, column)[lam]


def _stopped(d: Data, column: str) -> Array:
    """Return the values of lam = 0 at the chosen epoch, [runs]; there all surrogates are one."""
    return _runs(d.at("chosen"), grid.SURROGATES[0], FIXED, 0, column)
