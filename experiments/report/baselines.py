"""What an entropy term is worth against what costs nothing: stopping early, and a temperature fitted afterwards.

All is read from the runs of one store. The lam of a surrogate and law is the one of least loss on the feedback split,
judged as the test loss is: at the end, at the end and with a fitted temperature, or at the chosen epoch.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from experiments import grid
from experiments.estimate import Estimate, of_seeds

WAYS = {
    "end": ("at the end", "loss"),
    "scaled": ("at the end, with a fitted temperature", "scaled_loss"),
    "chosen": ("at the chosen epoch", "loss"),
}
"""When a run is judged -> in words, and by which loss."""


class Cell(NamedTuple):
    """The runs of one surrogate, law and base lam."""

    lam: float
    loss: Estimate
    """Mean test loss, over data sets."""
    accuracy: float
    change: Estimate
    """The test loss less that at lam = 0 stopped early, paired over data sets."""


class Row(NamedTuple):
    """A surrogate under a law at its best lam; or no entropy term at all."""

    name: str
    cells: Mapping[str, Cell | None]
    """Way -> the best cell; None where no cell has every run, or the loss is not defined."""


def rows(runs: xr.Dataset) -> list[Row]:
    """Return the baseline without a term, then each surrogate and law of a grid; nothing without runs at lam = 0."""
    if "fixed" not in runs["regime"] or 0 not in runs["lam0"]:
        return []
    values = {
        "end": grid.final(runs),
        "scaled": runs.isel(epoch=-1).drop_vars("epoch"),
        "chosen": grid.chosen(runs),
    }
    without = {"surrogate": runs["surrogate"][:1].item(), "regime": "fixed"}
    early = values["chosen"]["test_loss"].sel(without | {"lam0": 0.0})
    if not early.notnull().all():
        return []

    def row(name: str, place: Mapping[str, str], lams: xr.DataArray) -> Row:
        own = {way: each.sel({**place, "lam0": lams}) for way, each in values.items()}
        return Row(name, {way: _best(each, WAYS[way][1], early) for way, each in own.items()})

    lams = runs["lam0"]
    found = [row("no entropy term (lam = 0)", without, lams[lams == 0])]
    for surrogate in runs["surrogate"].to_numpy().tolist():
        for regime in runs["regime"].to_numpy().tolist():
            own = lams[lams > 0] if regime == "fixed" else lams
            each = row(f"{surrogate} under {regime}", {"surrogate": surrogate, "regime": regime}, own)
            found += [each] if any(each.cells.values()) else []
    return found


def _best(values: xr.Dataset, loss: str, early: xr.DataArray) -> Cell | None:
    """Return the cell of least feedback loss among those whose runs all have one."""
    criterion = values[f"feedback_{loss}"].mean("seed", skipna=False).fillna(np.inf)
    if not np.isfinite(criterion).any():
        return None
    cell = values.isel(lam0=int(criterion.argmin("lam0")))

    def over_data_sets(each: xr.DataArray) -> Estimate:
        return of_seeds(grid.units(each.to_dataset(name="it"))["it"]).item()

    test = cell[f"test_{loss}"]
    accuracy = float(cell["test_accuracy"].mean("seed"))
    return Cell(float(cell["lam0"]), over_data_sets(test), accuracy, over_data_sets(test - early))


def sentence(table: Sequence[Row]) -> str:
    """Return what stopping early is worth next to the best surrogate and law, in words, from a table of `rows`."""
    without, *methods = (row.cells for row in table)
    words = {way: f"{cell.loss.value:.3g}" for way, cell in without.items() if cell}
    said = f"Without an entropy term the test loss is {words['chosen']} at the epoch that the feedback split chooses"
    said += f", and {words['end']} at the end of training" if "end" in words else ""
    best = [cell.loss.value for cells in methods if (cell := cells["end"])]
    said += (
        f"; the best of the surrogates and laws, each at its best lam, has {min(best):.3g} at the end" if best else ""
    )
    return f"{said}."
