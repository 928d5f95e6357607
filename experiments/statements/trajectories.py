"""Runs that the statements on the motion of theta are asked of, and what such a statement comes to on them.

The runs are those of the experiments `premises` (plain gradient descent, momentum and Adam; minibatches and noise) and
`descent` (full batches, no noise: what the theorems are about). What is counted was chosen before these runs were
trained, but for two counts that a review changed afterwards: that of forces inside at the start was added, and the
share of runs that keep Theorem 1's bound stands where the largest quotient did.

A run's number is a share or a quotient over its measured epochs. A seed's is the mean over regimes and lam, and the
interval is Student's t over the seeds. A seed of which a run diverged has no part in it.

Imports neither torch nor hydra.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import grid
from experiments.estimate import Estimate, of_seeds
from experiments.statements import sweeps
from experiments.statements.base import Found, Table
from hclm_runner.picture import BLUE, GREY, KINDS, ORANGE, STYLE, save
from hclm_runner.refusal import ConfigError

SWEEPS = ("premises", "descent")
"""The experiments, whose stores have their names."""

VARIED = {"optimizer": "optimizer.name", "regime": "regime.name"}
"""What the experiments vary apart from surrogate, lam and seed."""

OPTIMIZERS = {"descent": "full batch", "plain": "plain", "sgd": "momentum", "adam": "Adam"}
"""In the order in which the theorems' assumptions are given up."""
COLOURS = {"descent": "black", "plain": BLUE, "sgd": ORANGE, "adam": GREY}
LINES = {"fixed": "-", "thermostat": "--"}
LAMS = (0.03, 0.3)
"""The base lam that the figures show; the last one where they show one."""

PLACES = {"regime": list(LINES), "lam0": LAMS, "surrogate": ["logdet"]}
"""What each store must have; together they must have all of `OPTIMIZERS` and the paper's surrogates."""

Measure = Callable[[xr.Dataset], Mapping[str, xr.DataArray]]
"""What is counted: runs -> its numbers by name, each over optimizer, regime, surrogate, lam0 and seed."""


def study(
    stem: Path,
    statement: str,
    measure: Measure,
    note: str,
    draw: Callable[[xr.Dataset], Figure],
    caption: str,
    of_runs: Collection[str] = (),
) -> Found:
    """Return what the runs say of a statement, and write its figure.

    Args:
        stem: Of the figure's files.
        statement: Its name.
        measure: What is counted.
        note: What the numbers are.
        draw: Returns the figure.
        caption: What it shows.
        of_runs: The numbers that some runs of a seed do not have; see `estimates`.

    Raises:
        ConfigError: As of `load`.
    """
    runs = load(*SWEEPS)
    rows = estimates(runs, measure, of_runs)
    names = [name for name, value in rows[0].items() if isinstance(value, Estimate)]
    cells = [
        [row["optimizer"], row["surrogate"], str(row["seeds"]), *(f"{row[name]:±.2f}" for name in names)]
        for row in rows
    ]
    table = Table(f"{statement} on runs", note, ("optimiser", "surrogate", "seeds", *names), cells)
    numbers = [
        {key: value.as_dict() if isinstance(value, Estimate) else value for key, value in row.items()} for row in rows
    ]
    with mpl.rc_context(STYLE):
        paths = save(draw(runs), stem, KINDS)
    return Found(numbers, [table], {stem.name: caption}, paths)


def load(*sources: str) -> xr.Dataset:
    """Return the runs of the stores, over optimizer, regime, surrogate, lam0, seed and epoch.

    `plain` on full batches is called `descent`. Coordinates along optimizer: `lr`, for heavy balls lr / (1 - momentum),
    NaN for Adam; `steps`, in an epoch.

    Raises:
        ConfigError: If a store is not there, not whole, was trained without premises=true or with an Omega or a D.
    """
    parts = []
    for source in sources:
        runs = sweeps.over(source, **VARIED)
        configs = [runs.attrs["configs"]["optimizer"][name] for name in runs["optimizer"].to_numpy()]
        if not configs[0]["premises"] or configs[0]["omega"] or configs[0]["rho"]:
            raise ConfigError("store", source, "runs with premises=true, omega=0 and rho=0")
        sweeps.require(runs, source, **PLACES)
        rules = [config["optimizer"] for config in configs]
        lr = [rule["lr"] / (1 - rule["momentum"]) if "momentum" in rule else np.nan for rule in rules]
        steps = [config["task"]["train"] // config["batch_size"] for config in configs]
        full = zip(runs["optimizer"].to_numpy().tolist(), steps, strict=True)
        names = ["descent" if (name, count) == ("plain", 1) else name for name, count in full]
        parts.append(runs.assign_coords(optimizer=names, lr=("optimizer", lr), steps=("optimizer", steps)))
    every = xr.concat(parts, "optimizer", join="outer", combine_attrs="drop")
    sweeps.require(every, ", ".join(sources), optimizer=OPTIMIZERS, surrogate=grid.SURROGATES)
    order = {"optimizer": OPTIMIZERS, "surrogate": grid.SURROGATES}
    return every.sel({name: _ordered(every[name].to_numpy(), first) for name, first in order.items()})


def _ordered(names: Iterable[str], first: Collection[str]) -> list[str]:
    """Return the names that are known in their own order, then the others by the alphabet."""
    names = list(names)
    return [*(name for name in first if name in names), *sorted(set(names) - set(first))]


def estimates(runs: xr.Dataset, measure: Measure, of_runs: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return a row for each optimiser and surrogate that was run: `optimizer`, `surrogate`, `seeds` and its Estimates.

    `seeds` are those that enter the intervals: a seed does if none of its runs diverged.

    Args:
        runs: As `load` gives them.
        measure: What is counted.
        of_runs: The numbers that some runs of a seed do not have: of these an Estimate is the share of the n runs that
            have one, without an interval.
    """
    numbers = measure(runs)
    rows = []
    for optimizer in runs["optimizer"].to_numpy().tolist():
        for surrogate in runs["surrogate"].to_numpy().tolist():
            place = {"optimizer": optimizer, "surrogate": surrogate}
            ended = runs["train_loss"].sel(place).isel(epoch=-1).notnull().all(["regime", "lam0"])
            own = {name: value.sel(place) for name, value in numbers.items()}
            if any(value.notnull().any() for value in own.values()):
                row = {name: _estimate(value.where(ended), name in of_runs) for name, value in own.items()}
                rows.append({**place, "seeds": int(ended.sum()), **row})
    return rows


def _estimate(values: xr.DataArray, of_runs: bool) -> Estimate:
    """Return what the runs of one optimiser and surrogate come to, over regime, lam0 and seed."""
    if of_runs:
        return Estimate(values.mean().item(), np.nan, np.nan, values.count().item())
    return of_seeds(values.mean(["regime", "lam0"])).item()


def measured(runs: xr.Dataset) -> xr.Dataset:
    """Return the epochs at which the columns on request were measured."""
    there = runs["smoothness"].notnull().any([name for name in runs["smoothness"].dims if name != "epoch"])
    return runs.isel(epoch=there.to_numpy())


def share(what: xr.DataArray, defined: xr.DataArray) -> xr.DataArray:
    """Return the share of the epochs with a defined value at which something holds."""
    return what.where(defined.notnull()).mean("epoch")


def band(axes: Axes, values: xr.DataArray, colour: str, line: str, label: str = "") -> None:
    """Plot the mean over seeds with its 95% interval over epochs."""
    mean = of_seeds(values)
    epoch = values["epoch"].to_numpy()
    axes.fill_between(epoch, mean.low, mean.high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(epoch, mean.value, color=colour, linestyle=line, linewidth=1, label=label)
