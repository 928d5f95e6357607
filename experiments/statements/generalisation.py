"""The gap of real runs and the right side of Theorem 3 over the training-set size n: which is larger, how each grows.

The gap is that of the 0-1 loss, test error - training error: it is bounded in an interval of length 1, which is what
s = 1/2 in sqrt(2 s^2 (S + b)/n) presumes; a cross-entropy is not bounded. S is `logdet_rate`, the log-det rate at
eps = sigma^2, whatever the surrogate: Assumption 3 makes it a bound on I(X; Zn), with b = 0. The expression is a
diagnostic, not a bound (`theorem_3.memoriser`), so the memoriser's gap and expression are returned with the runs'.

Chosen before any outcome was seen, for the store of the experiment `samples`:
- Final values are means of the last 5 epochs. A cell is a surrogate, a lam and an n. In a cell that the gap exceeds the
  expression is said of the means over seeds, and *clearly* if the 95% t interval of the difference is above 0; a
  negative gap exceeds nothing. At lam = 0 the three surrogates' runs are the same runs, and are counted once.
- S ~ n^g: g is the least-squares slope of log S on log n, over all n, of each seed by itself, then mean and 95% t
  interval over seeds, the independent unit; intervals are not adjusted for their number. A seed enters if the quantity
  is positive at every n, and the estimate's n says how many do. Corollary 1 needs g < 1. The expression then goes as
  n^((g - 1)/2), which is what the gap's own exponent is compared with.
- Epochs and batch size are the same at every n, so more samples are also more steps: g is one of this protocol.
"""

from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial import KDTree

from experiments import grid
from experiments.estimate import Estimate, of_seeds
from experiments.statements.assumption_3 import rate

Array = NDArray[np.float64]

HALF = 0.5
"""s of the 0-1 loss: bounded in an interval of length 1, it is sub-Gaussian with s = 1/2 (Hoeffding)."""

QUANTITIES = ("entropy", "logdet_rate", "gap", "expression")
"""Whose growth over n is measured: S of the run's own surrogate, the log-det rate, and the two sides of Theorem 3."""

# --- The expression, and a learner that it fails ----------------------------------------------------------------------


def expression(S: Any, n: Any) -> Any:
    """Return the right side of Theorem 3 and Corollary 1, sqrt(2 s^2 (S + b)/n), for the 0-1 loss; S in nats.

    b is what Assumption 3 leaves open, 0 at eps = sigma^2.
    """
    return np.sqrt(2 * HALF**2 * S / n)


def memorise(n: int, *, learned: bool = True) -> tuple[Array, Array]:
    """Return gap and expression of a nearest neighbour memoriser on twenty samples of n, each [20].

    Labels are fair coins, and the encoder sends x to +-2 sigma by the label of its nearest neighbour in the sample, or,
    unless `learned`, in another one; the head reads the sign.
    """
    rng, sigma = np.random.default_rng(0), 1.0
    gaps, expressions = [], []
    for _ in range(20):
        x, x_test, x_other = rng.standard_normal((3, n, 5))
        y, y_test, y_other = rng.integers(2, size=(3, n))
        memory, answers = (x, y) if learned else (x_other, y_other)
        tree = KDTree(memory)
        Z, Z_test = (2 * sigma * (2.0 * answers[tree.query(points)[1]] - 1) for points in (x, x_test))
        gaps.append(np.mean((Z_test > 0) != y_test) - np.mean((Z > 0) != y))
        expressions.append(expression(rate(Z[:, None], sigma**2), n))
    return np.array(gaps), np.array(expressions)


# --- Real runs --------------------------------------------------------------------------------------------------------


class Cell(NamedTuple):
    """The runs of one surrogate, lam and n."""

    n: int
    surrogate: str
    lam0: float
    gap: Estimate
    expression: Estimate
    above: bool
    """Whether the gap's mean is above the expression's."""
    clearly_above: bool
    """Whether the whole interval of their paired difference is above 0."""
    runs: int
    runs_above: int


class Growth(NamedTuple):
    """How a quantity grows with n, at one surrogate and lam."""

    quantity: str
    surrogate: str
    lam0: float
    exponent: Estimate
    """Its n is the number of seeds of which the quantity is positive at every n."""


class OverSamples(NamedTuple):
    """What the runs over n say of Theorem 3."""

    cells: list[Cell]
    growth: list[Growth]
    memoriser: list[tuple[int, float, float]]
    """n, and the memoriser's gap and expression there: what the diagnostic misses."""

    @property
    def counts(self) -> dict[str, int]:
        """Of distinct cells and runs, and of those where the gap is above: at lam = 0 one surrogate stands for all."""
        distinct = [cell for cell in self.cells if cell.lam0 > 0 or cell.surrogate == self.cells[0].surrogate]
        return {
            "cells": len(distinct),
            "cells_above": sum(cell.above for cell in distinct),
            "cells_clearly_above": sum(cell.clearly_above for cell in distinct),
            "runs": sum(cell.runs for cell in distinct),
            "runs_above": sum(cell.runs_above for cell in distinct),
        }

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {
            "cells": [_plain(cell) for cell in self.cells],
            "counts": self.counts,
            "growth": [_plain(growth) for growth in self.growth],
            "memoriser": [{"n": n, "gap": gap, "expression": expression} for n, gap, expression in self.memoriser],
        }


def study(samples: xr.Dataset) -> OverSamples:
    """Return the gap and the paper's expression over n, and how each grows.

    Args:
        samples: The runs over n, as `sweeps.over("samples", n="task.train")` returns them.
    """
    measured = final_values(samples)
    places = [measured[name].to_numpy().tolist() for name in ("surrogate", "lam0")]
    sizes = measured["n"].to_numpy().tolist()
    return OverSamples(
        cells=[
            _cell(measured.sel(surrogate=surrogate, lam0=lam0, n=n)) for surrogate, lam0, n in product(*places, sizes)
        ],
        growth=[
            Growth(quantity, surrogate, lam0, of_seeds(exponent(own.sel(surrogate=surrogate, lam0=lam0))).item())
            for quantity, own in ((quantity, measured[quantity]) for quantity in QUANTITIES)
            for surrogate, lam0 in product(*places)
        ],
        memoriser=[_memorised(n) for n in sizes],
    )


def final_values(samples: xr.Dataset) -> xr.Dataset:
    """Return each run's final gap, expression, `entropy` and `logdet_rate`, over n, surrogate, lam0 and seed."""
    final = grid.final(samples)
    rate = final["logdet_rate"]
    gap = final["train_accuracy"] - final["test_accuracy"]
    return final[["entropy", "logdet_rate"]].assign(gap=gap, expression=expression(rate, rate["n"]))


def exponent(values: xr.DataArray) -> xr.DataArray:
    """Return the least-squares slope of log values on log n, along n; NaN where a value is not positive."""
    x = np.log(values["n"])
    x = x - x.mean()
    return (np.log(values.where(values > 0)) * x).sum("n", skipna=False) / (x**2).sum()


def _cell(own: xr.Dataset) -> Cell:
    gap, printed = own["gap"], own["expression"]
    excess = of_seeds(gap - printed).item()
    return Cell(
        n=own["n"].item(),
        surrogate=own["surrogate"].item(),
        lam0=own["lam0"].item(),
        gap=of_seeds(gap).item(),
        expression=of_seeds(printed).item(),
        above=excess.value > 0,
        clearly_above=excess.low > 0,
        runs=int(gap.count()),
        runs_above=int((gap > printed).sum()),
    )


def _plain(row: Cell | Growth) -> dict[str, Any]:
    return {key: value.as_dict() if isinstance(value, Estimate) else value for key, value in row._asdict().items()}


@cache
def _memorised(n: int) -> tuple[int, float, float]:
    gaps, expressions = memorise(n)
    return n, float(gaps.mean()), float(expressions.mean())
