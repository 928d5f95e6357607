"""A store's runs as the paper's grid: one labelled array a column, over surrogate, regime, lam0, seed and epoch.

What figures, claims and the report are functions of. Imports neither torch nor hydra.
"""

import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import stdtrit

from hclm_runner import store
from hclm_runner.analysis import LATE
from hclm_runner.config import EXECUTION, SCHEMA_VERSION
from hclm_runner.records import COLUMNS
from hclm_runner.refusal import ConfigError
from hclm_runner.terminal import first

SURROGATES = ("softmax", "variance", "logdet")
REGIMES = ("fixed", "thermostat", "rl_thermostat")
AXES = ["surrogate", "regime", "lam0", "seed"]


def load(source: str | os.PathLike[str]) -> dict[str, xr.Dataset]:
    """Return task -> grid of a store, given by its name under outputs/ or by its path.

    A grid has a variable for each measured column, with the dimensions surrogate, regime, lam0, seed and epoch, and NaN
    where there is no such run, where it diverged and where a quantity is undefined. Its attributes are `missing` (the
    runs without a result that a full product would have, in words), `diverged` (those that diverged) and `config` (what
    all its runs share).

    Raises:
        ConfigError: If there is no store, another version of this package wrote it, none of its runs has a
            result, or runs of equal place in the grid were configured differently.
    """
    records, runs = store.load(locate(source))
    runs = runs[runs["status"].isin(store.DONE)]
    check_version(source, runs)
    if runs.empty:
        raise ConfigError("store", os.fspath(source), "finished runs")
    return {
        str(task): _grid(records[records["run_id"].isin(own["run_id"])], own, f"{os.fspath(source)}, {task}")
        for task, own in runs.groupby("task")
    }


def check_version(source: str | os.PathLike[str], runs: pd.DataFrame) -> None:
    """Refuse the runs of a store that another version of this package wrote.

    Raises:
        ConfigError: If there are any.
    """
    if strange := set(runs["schema"]) - {SCHEMA_VERSION}:
        wanted = f"records of version {SCHEMA_VERSION}, got {strange}; the sweep's command again sets those aside"
        raise ConfigError("store", os.fspath(source), wanted)


def locate(source: str | os.PathLike[str]) -> Path:
    """Return the folder of a store.

    Raises:
        ConfigError: If there is none.
    """
    try:
        return store.locate(source)
    except FileNotFoundError as error:
        raise ConfigError("store", os.fspath(source), f"a store of runs, got {error.strerror}") from None


def only(grids: dict[str, xr.Dataset], task: str | None) -> xr.Dataset:
    """Return the grid of a task; of the only one there is, if none is named.

    Raises:
        ConfigError: If it is not there, or not said which.
    """
    if task is None and len(grids) == 1:
        return next(iter(grids.values()))
    if task not in grids:
        raise ConfigError("task", task, f"one of {', '.join(grids)}")
    return grids[task]


def final(grid: xr.Dataset) -> xr.Dataset:
    """Return each run's final values, the mean of its last 5 epochs; NaN for a run that did not reach the end."""
    late = grid.isel(epoch=slice(-LATE, None))
    return late.mean("epoch").where(late["train_loss"].notnull().all("epoch"))  # noqa: PD004 - xarray


def interval(values: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the mean over seeds and half the width of its 95% t interval, which is NaN for fewer than two seeds."""
    n = values.count("seed")
    return values.mean("seed"), stdtrit(n - 1, 0.975) * values.std("seed", ddof=1) / np.sqrt(n)


def complete(grid: xr.Dataset) -> xr.Dataset:
    """Return the grid.

    Raises:
        ConfigError: If runs are missing, naming them.
    """
    if missing := grid.attrs["missing"]:
        raise ConfigError("store", None, f"every run of the grid, but {len(missing)} are missing: {first(missing, 8)}")
    return grid


def require(runs: xr.Dataset, source: str, **axes: Iterable[Any]) -> xr.Dataset:
    """Return the runs at these places of these axes, with `missing` and `diverged` narrowed to them.

    Raises:
        ConfigError: If the grid lacks a place, naming it.
    """
    wanted = {axis: list(places) for axis, places in axes.items()}
    lacking = {axis: [place for place in places if place not in runs[axis]] for axis, places in wanted.items()}
    if lacks := [f"{axis} {', '.join(map(str, places))}" for axis, places in lacking.items() if places]:
        raise ConfigError("store", source, f"runs of {' and of '.join(lacks)}")
    chosen = runs.sel(wanted)
    here = set(_titles(itertools.product(*(chosen[axis].to_numpy().tolist() for axis in AXES))))
    facts = {name: [title for title in runs.attrs[name] if title in here] for name in ("missing", "diverged")}
    return chosen.assign_attrs(facts)


def _grid(records: pd.DataFrame, runs: pd.DataFrame, where: str) -> xr.Dataset:
    shared = _shared([json.loads(text) for text in runs["config"]], where)
    grid = records.set_index([*AXES, "epoch"])[list(COLUMNS)].to_xarray()
    lams, seeds = (sorted(set(runs[key])) for key in ("lam0", "seed"))
    have = set(runs[AXES].itertuples(index=False, name=None))
    surrogates, regimes = (
        sorted(set(runs[key]), key=lambda name: (ours.index(name) if name in ours else len(ours), name))
        for key, ours in (("surrogate", SURROGATES), ("regime", REGIMES))
    )
    missing = [place for place in itertools.product(surrogates, regimes, lams, seeds) if place not in have]
    diverged = runs.loc[runs["status"] == "diverged", AXES].itertuples(index=False, name=None)
    facts = {"missing": _titles(missing), "diverged": _titles(diverged), "config": shared}
    epochs = range(shared["epochs"] + 1)  # all of them, even if every run diverged before the end
    places = {"surrogate": surrogates, "regime": regimes, "lam0": lams, "seed": seeds, "epoch": epochs}
    return grid.reindex(places).assign_attrs(facts)


def _titles(places: Iterable[tuple[Any, ...]]) -> list[str]:
    return [f"{surrogate} / {regime}, lam0 {lam:g}, seed {seed}" for surrogate, regime, lam, seed in places]


def _shared(configs: list[dict[str, Any]], where: str) -> dict[str, Any]:
    """Return what the runs have in common beside their place in the grid; refuse runs that differ in more."""
    shared: dict[str, str] = {}
    for config in configs:
        for key, value in config.items():
            if key in {*EXECUTION, "lam", "seed"}:
                continue
            name = f"{key} {value['name']}" if key in ("surrogate", "regime") else key
            text = json.dumps(value)
            if shared.setdefault(name, text) != text:
                wanted = f"runs of one configuration, but {name} is both {shared[name]} and {text}"
                raise ConfigError("store", where, f"{wanted}; give each a store of its own (name=...)")
    return {name: json.loads(text) for name, text in shared.items()}
