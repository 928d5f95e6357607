"""Claims of any surrogate under any law, so that a user's own is judged as the paper's are.

A cell is a surrogate under a law (a regime), with all its base lam and seeds. Four claims are made of it:

- It is *effective* by Definition 1: more than half of its runs at a base lam > 0 are. A run is effective if
  lam F / ||grad L|| >= 0.05 in a quarter of the epochs 1..T, as in hclm_runner.effectiveness; an undefined ratio does
  not count.
- It *collapses*: at a base lam > 0, the worst in each resample, the mean training loss is above 90% of log K, or the
  mean test loss above 105% of that at lam = 0. So "does not collapse" is this claim refuted.
- It *lowers the validated test loss*: at its validated base lam the mean test loss is lower than the comparator's by 5%
  of the comparator's. The comparator is one base lam of a cell, or a cell at its own validated lam. If the training
  loss at the validated lam is within 10% of log K then nothing was learnt, and the verdict is COLLAPSE.
- It is *steadier over lam* than another cell: the range over base lam of the mean test loss is the smaller one, over
  the base lam that both have.

Means are over seeds; two cells are compared over the seeds that both have, so that each comparison is paired. A cell of
which runs are missing is refused. Each claim has one part, so p-values are not corrected for how many claims there are.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr

from experiments import grid
from experiments.claims.claim import MARGIN, NEAR_CHANCE, Claim, Data
from experiments.claims.judge import Part
from experiments.claims.statistics import Array, at_validated, mean, relative, spread, where_whole, whole
from hclm_runner.refusal import ConfigError

F_MIN, SHARE = 0.05, 0.25
"""Definition 1: the least force ratio, and the least share of epochs that have it."""


class Cell(NamedTuple):
    """A surrogate under a law."""

    surrogate: str
    regime: str
    lam0: float | None = None
    """Of a comparator: the one base lam that counts. None: all of them, or the validated one."""

    @property
    def label(self) -> str:
        """Its name in the id of a claim."""
        return f"{self.surrogate} / {self.regime}"

    def __str__(self) -> str:
        """Return its name in a sentence."""
        at = "" if self.lam0 is None else f" at lam = {self.lam0:g}"
        return f"{self.surrogate} under {self.regime}{at}"


def cells(runs: xr.Dataset) -> list[Cell]:
    """Return the cells of a grid that have any run."""
    there = runs["train_loss"].notnull().any(("lam0", "seed", "epoch"))
    return [
        Cell(surrogate, regime)
        for surrogate in runs["surrogate"].values.tolist()
        for regime in runs["regime"].values.tolist()
        if there.sel(surrogate=surrogate, regime=regime)
    ]


def of_grid(runs: xr.Dataset, against: Cell | None = None) -> list[Claim]:
    """Return the claims of every cell of a grid.

    Args:
        runs: The grid.
        against: What each cell is compared with, other than itself. None: its surrogate under `fixed`, at lam = 0 for
            the validated test loss.
    """
    claims = []
    for cell in cells(runs):
        fixed = cell._replace(regime="fixed")
        claims += [effective(cell), collapses(cell, fixed._replace(lam0=0.0))]
        if against != cell:
            claims.append(lowers_test_loss(cell, against or fixed._replace(lam0=0.0)))
        if (other := against or fixed) != cell:
            claims.append(steadier(cell, other))
    return claims


def effective(cell: Cell) -> Claim:
    """Return the claim that more than half of a cell's runs at lam > 0 are effective by Definition 1."""

    def parts(d: Data) -> list[Part]:
        runs = _above_zero(d, cell)
        ratios = _array(runs["force_ratio"])
        share = (ratios[..., 1:] >= F_MIN).mean(-1)
        sample = where_whole(_array(runs["train_loss"]), share >= SHARE)
        return [Part("share of runs at lam > 0 that are effective by Definition 1", sample, mean, ">", 0.5)]

    return Claim(f"{cell.label}: effective", None, f"{cell} is effective by Definition 1", parts)


def collapses(cell: Cell, zero: Cell) -> Claim:
    """Return the claim that a cell collapses at one lam > 0 or more; `zero` is the comparator without the surrogate."""

    def parts(d: Data) -> list[Part]:
        ours, theirs = _paired(grid.final(_above_zero(d, cell)), grid.final(_runs(d, zero)))
        n, log_K = ours.sizes["lam0"], d.chance_loss
        v = np.stack([_both(ours[column], theirs[column]) for column in ("train_loss", "test_loss")])

        def excess(v: Array) -> Array:
            train, test = v.mean(-1)
            return np.maximum(train[:n] / (NEAR_CHANCE * log_K), test[:n] / ((1 + MARGIN) * test[n]))

        worst = int(excess(v[..., whole(v)]).argmax())
        at = f"the worst lam > 0 ({float(ours['lam0'][worst]):g})"
        text = f"the larger of training loss over 90% of log K and test loss over 105% of that at lam = 0, at {at}"
        return [Part(text, v, lambda v: excess(v).max(0), ">", 1)]

    return Claim(f"{cell.label}: collapses", None, f"{cell} collapses at one lam or more", parts)


def lowers_test_loss(cell: Cell, against: Cell) -> Claim:
    """Return the claim that a cell's validated test loss is lower than a comparator's."""

    def parts(d: Data) -> list[Part]:
        ours, theirs = _paired(grid.final(_runs(d, cell)), grid.final(_runs(d, against)))
        if cell.label == against.label and ours["lam0"].equals(theirs["lam0"]):
            raise ConfigError("store", d.source, f"runs of {cell} at another base lam")
        n = ours.sizes["lam0"]
        columns = ("test_loss", "feedback_loss", "train_loss")
        v = np.stack([_both(ours[column], theirs[column]) for column in columns])

        def lowered(v: Array) -> Array:
            test, feedback, _ = v.mean(-1)
            return relative(at_validated(test[:n], feedback[:n]), at_validated(test[n:], feedback[n:]))

        there = v[..., whole(v)]
        _, feedback, train = there[:, :n].mean(-1)
        text = f"test loss at the validated lam, relative to {against}"
        try:
            collapsed = bool(at_validated(train, feedback) >= NEAR_CHANCE * d.chance_loss and lowered(there) < -MARGIN)
        except ConfigError:
            text, collapsed = f"{text} (whether it collapsed is not known, for want of log K)", False
        return [Part(text, v, lowered, "<", -MARGIN, collapsed)]

    says = f"{cell} lowers the validated test loss, relative to {against}"
    return Claim(f"{cell.label}: test loss", None, says, parts)


def steadier(cell: Cell, against: Cell) -> Claim:
    """Return the claim that a cell's test loss depends less on the base lam than another cell's."""

    def parts(d: Data) -> list[Part]:
        ours, theirs = xr.align(*_paired(grid.final(_runs(d, cell)), grid.final(_runs(d, against))), join="inner")
        if ours.sizes["lam0"] < 2:
            raise ConfigError("store", d.source, f"two base lam or more that {cell} and {against} both have")
        v = np.stack([_array(each["test_loss"]) for each in (ours, theirs)])
        return [Part(f"range over lam of test loss, over that of {against}", v, spread, "<", 1)]

    says = f"{cell} is steadier over lam than {against}"
    return Claim(f"{cell.label}: steadier", None, says, parts)


def _runs(d: Data, cell: Cell) -> xr.Dataset:
    """Return the runs of a cell at its own base lam and seeds, [lam0, seed, epoch].

    Raises:
        ConfigError: If it has none, or some of them are missing.
    """
    runs = grid.require(d.grid, d.source, surrogate=[cell.surrogate], regime=[cell.regime])
    there = runs["train_loss"].notnull().any(("surrogate", "regime", "epoch"))
    lams, seeds = (there[axis].to_numpy()[there.any(other)] for axis, other in (("lam0", "seed"), ("seed", "lam0")))
    if cell.lam0 is not None:
        lams = lams[lams == cell.lam0]
    if not len(lams):
        raise ConfigError("store", d.source, f"runs of {cell}")
    return grid.complete(grid.require(runs, d.source, lam0=lams, seed=seeds)).squeeze(("surrogate", "regime"))


def _above_zero(d: Data, cell: Cell) -> xr.Dataset:
    runs = _runs(d, cell)
    if not (above := runs["lam0"].to_numpy() > 0).any():
        raise ConfigError("store", d.source, f"runs of {cell} at a base lam above 0")
    return runs.isel(lam0=above)


def _paired(ours: xr.Dataset, theirs: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Return both at the seeds that both have."""
    a, b = xr.align(ours, theirs, join="inner", exclude="lam0")
    return a, b


def _both(ours: xr.DataArray, theirs: xr.DataArray) -> Array:
    """Return the values of ours, then those of theirs, [lam, seed]."""
    return np.concatenate([_array(ours), _array(theirs)])


def _array(values: xr.DataArray) -> Array:
    return values.transpose("lam0", "seed", ...).to_numpy()
