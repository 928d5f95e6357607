"""A store's runs as a grid: one labelled array a column, over surrogate, regime, lam0, seed and epoch.

What figures, claims, comparisons and the report are functions of. Whatever surrogates and regimes a store has are
there, a user's own as well as the paper's. Imports neither torch nor hydra.
"""

import itertools
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from hclm_runner import store
from hclm_runner.analysis import F_MIN, LATE, SHARE
from hclm_runner.config import EXECUTION, PLACE, SCHEMA_VERSION, RunConfig
from hclm_runner.records import AT_ENDS, COLUMNS
from hclm_runner.refusal import ConfigError
from hclm_runner.terminal import first

SURROGATES = ("softmax", "variance", "logdet")
"""The paper's, in its order; so are the regimes."""
REGIMES = ("fixed", "thermostat", "rl_thermostat")
AXES = ["surrogate", "regime", "lam0", "seed"]


def load(source: str | os.PathLike[str]) -> dict[str, xr.Dataset]:
    """Return task -> grid of a store, given by its name under outputs/ or by its path.

    Where runs of one task differ in more than surrogate, regime, lam0 and seed, there is a grid for each such context,
    as in "digits, optimizer=adam". A surrogate, a regime and a task go by their name where the store has only one of
    that name, and else by their label, as in "renyi(width=5)".

    Where seed and data_seed are crossed, the axis `seed` has each pair of them, as in "1 of data_seed 3": the data sets
    one after the other, each with as many seeds. Its second coordinate is `data_seed`; see `units`.

    A grid has a variable for each measured column, with the dimensions surrogate, regime, lam0, seed and epoch, and NaN
    where there is no such run, where it diverged and where a quantity is undefined. An axis has every value that any
    run of the task has: the paper's surrogates and regimes first and in its order, then others in alphabetical order.

    Its attributes are, of runs in words: `missing`, the places of the full product of the axes without a result;
    `unfinished`, those of them that were tried, and failed or were refused; `diverged`, those that diverged, which is a
    result. And `config`, what all its runs share.

    Raises:
        ConfigError: If there is no store, it cannot be read, another version of this package wrote it, none of its runs
            has a result, runs of equal place in the grid were configured differently, or some data sets have more seeds
            than others.
    """
    folder = locate(source)
    try:
        records, runs = store.load(folder)
    except ValueError as error:  # a torn file is pyarrow's ValueError
        raise ConfigError("store", os.fspath(source), f"records that can be read, got {_one_line(error)}") from error
    check_version(source, runs)
    if not runs["status"].isin(store.DONE).any():
        raise ConfigError("store", os.fspath(source), f"finished runs, got {len(runs)} without a result")
    runs = _named(runs)
    named = ["surrogate", "regime", "seed"]
    records = records.drop(columns=named).merge(runs[["run_id", *named]], on="run_id")
    return {
        str(task): _grid(records[records["run_id"].isin(own["run_id"])], own, f"{os.fspath(source)}, {task}")
        for task, own in runs.groupby("task")
    }


def _named(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a store's runs with `surrogate`, `regime` and `task` as a grid has them, and `config` and `code` read."""
    configs = [json.loads(text) for text in runs["config"]]
    labels: dict[str, list[str]] = {group: runs[group].tolist() for group in ("surrogate", "regime")}
    rows = zip(*labels.values(), runs["label"], strict=True)
    labels["task"] = [label.removeprefix(f"{surrogate} / {regime} / ") for surrogate, regime, label in rows]
    shown = {group: shortest(own, [config[group]["name"] for config in configs]) for group, own in labels.items()}
    if (runs["data_seed"] != runs["seed"]).any():
        pairs = runs[["seed", "data_seed"]].itertuples(index=False, name=None)
        shown["seed"] = [f"{seed} of data_seed {data}" for seed, data in pairs]
    return runs.assign(**shown, config=configs, code=[json.loads(text) for text in runs["code"]])


def shortest(labels: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return each label; instead of one its name, where no other label has that name."""
    ambiguous = {name for name, one in pd.Series(labels).groupby(list(names)).unique().items() if len(one) > 1}
    return [label if name in ambiguous else name for label, name in zip(labels, names, strict=True)]


def trained(configs: Sequence[RunConfig], name: str) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Train what a store lacks of the runs, and return their records and descriptions; None after a dry run.

    Raises:
        ConfigError: If runs have no result.
    """
    from hclm_runner import sweep

    records, described = sweep(configs, name=name)
    if configs[0].sweep.dry_run:
        return None
    if lacking := described.loc[~described["status"].isin(store.DONE), "run_id"].tolist():
        raise ConfigError("store", name, f"a result of every run, but {len(lacking)} have none: {first(lacking, 3)}")
    return records, described


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
    """Return each run's final values, the mean of its last 5 epochs; NaN for a run that did not reach the end.

    A temperature and the losses at it are those of the last epoch: they have no value at most others.
    """
    late = grid.isel(epoch=slice(-LATE, None))
    last = {name: late[name].isel(epoch=-1, drop=True) for name in AT_ENDS if name in late}
    return late.mean("epoch").assign(last).where(late["train_loss"].notnull().all("epoch"))  # noqa: PD004 - xarray


def chosen(grid: xr.Dataset) -> xr.Dataset:
    """Return each run's values at its chosen epoch, the first of least feedback loss among 1..T: where one would stop.

    A run that diverged has them too, from before that; NaN for a run without an epoch.
    """
    trained = grid.isel(epoch=slice(1, None))
    loss = trained["feedback_loss"].fillna(np.inf)
    return trained.isel(epoch=loss.argmin("epoch")).drop_vars("epoch").where(np.isfinite(loss.min("epoch")))


def effective(grid: xr.Dataset, f_min: float = F_MIN) -> xr.DataArray:
    """Return which runs are effective by Definition 1: ||D_S|| / ||D_L|| >= f_min in a quarter of the epochs 1..T.

    An undefined share does not count, and a run that diverged is not effective.

    Args:
        grid: With `share` and `train_loss`, at all epochs.
        f_min: The least share of the moves that counts.
    """
    often = (grid["share"].isel(epoch=slice(1, None)) >= f_min).mean("epoch")
    return (often >= SHARE) & grid["train_loss"].notnull().all("epoch")  # noqa: PD004 - xarray


def units(grid: xr.Dataset) -> xr.Dataset:
    """Return a grid with one entry of `seed` for each data set, the mean over its seeds: what repeats independently."""
    if len(np.unique(grid["data_seed"])) == grid.sizes["seed"]:
        return grid
    return grid.groupby("data_seed").mean(skipna=False).rename(data_seed="seed")


def complete(grid: xr.Dataset) -> xr.Dataset:
    """Return the grid.

    Raises:
        ConfigError: If runs are missing, naming them.
    """
    if missing := grid.attrs["missing"]:
        raise ConfigError("store", None, f"every run of the grid, but {len(missing)} are missing: {first(missing, 8)}")
    return grid


def require(runs: xr.Dataset, source: str | os.PathLike[str], **axes: Iterable[Any]) -> xr.Dataset:
    """Return the runs of a store's grid at these values of these axes.

    Example:
        >>> require(runs, "my_store", surrogate=["softmax", "logdet"], regime=["fixed"])  # doctest: +SKIP

    Along the axes that are not named, values at which none of these runs was tried are left out: a base lam at which
    only another surrogate ran does not count as missing here. `missing`, `unfinished` and `diverged` are narrowed too.

    Raises:
        ConfigError: If the grid lacks a value, naming all that it lacks.
    """
    wanted = {axis: list(values) for axis, values in axes.items()}
    lacking = {axis: [value for value in values if value not in runs[axis]] for axis, values in wanted.items()}
    if any(lacking.values()):
        words = (f"{axis} {', '.join(map(str, values))}" for axis, values in lacking.items() if values)
        raise ConfigError("store", os.fspath(source), f"runs of {' and of '.join(words)} too")
    chosen = runs.sel(wanted)
    never = set(runs.attrs["missing"]) - set(runs.attrs["unfinished"])
    shape = [chosen.sizes[axis] for axis in AXES]
    tried = np.array([title not in never for title in _titles(_places(chosen))]).reshape(shape)
    others = {axis: tuple(j for j in range(len(AXES)) if j != i) for i, axis in enumerate(AXES) if axis not in wanted}
    chosen = chosen.isel({axis: tried.any(those) for axis, those in others.items()})
    here = set(_titles(_places(chosen)))
    facts = ("missing", "unfinished", "diverged")
    return chosen.assign_attrs({fact: [title for title in runs.attrs[fact] if title in here] for fact in facts})


def _grid(records: pd.DataFrame, runs: pd.DataFrame, where: str) -> xr.Dataset:
    done = runs[runs["status"].isin(store.DONE)]
    shared = _shared(runs if done.empty else done, where)
    if (twice := done.duplicated(AXES)).any():
        (title, *_) = _titles(done.loc[twice, AXES].itertuples(index=False, name=None))
        wanted = f"one run of each place, but {title} ran again after a module of your own had changed"
        raise ConfigError("store", where, f"{wanted}; give each a store of its own (name=...)")
    seeds = runs[["data_seed", "seed"]].drop_duplicates().sort_values(["data_seed", "seed"], key=_natural)
    if len(set(seeds.groupby("data_seed").size())) > 1:
        raise ConfigError("store", where, f"as many seeds of each data_seed, got {', '.join(seeds['seed'])}")
    places = {
        "surrogate": _in_order(runs["surrogate"], SURROGATES),
        "regime": _in_order(runs["regime"], REGIMES),
        "lam0": sorted(set(runs["lam0"])),
        "seed": seeds["seed"].tolist(),
        "epoch": range(shared["epochs"] + 1),  # all of them, even if every run diverged before the end
    }
    grid = records.set_index([*AXES, "epoch"])[list(COLUMNS)].to_xarray().reindex(places)
    have, tried = (set(each[AXES].itertuples(index=False, name=None)) for each in (done, runs))
    grid = grid.assign_coords(data_seed=("seed", seeds["data_seed"].to_numpy()))
    missing = [place for place in _places(grid) if place not in have]
    diverged = runs.loc[runs["status"] == "diverged", AXES].itertuples(index=False, name=None)
    return grid.assign_attrs(
        missing=_titles(missing),
        unfinished=_titles(place for place in missing if place in tried),
        diverged=_titles(diverged),
        config=shared,
    )


def _natural(column: pd.Series) -> pd.Series:
    """Return what a column is sorted by: of "1 of data_seed 3" its first number."""
    return column if pd.api.types.is_integer_dtype(column) else column.str.split(" ").str[0].astype(int)


def _places(grid: xr.Dataset) -> list[tuple[Any, ...]]:
    """Return every (surrogate, regime, lam0, seed) of a grid's axes."""
    return list(itertools.product(*(grid[axis].to_numpy().tolist() for axis in AXES)))


def _in_order(names: Iterable[str], ours: Sequence[str]) -> list[str]:
    """Return each name once, the paper's first and in its order, then others in alphabetical order."""
    return sorted(set(names), key=lambda name: (ours.index(name) if name in ours else len(ours), name))


def _titles(places: Iterable[tuple[Any, ...]]) -> list[str]:
    return [f"{surrogate} / {regime}, lam0 {lam:g}, seed {seed}" for surrogate, regime, lam, seed in places]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _shared(runs: pd.DataFrame, where: str) -> dict[str, Any]:
    """Return what the runs have in common apart from their place in the grid; refuse runs that differ in more."""
    shared: dict[str, tuple[Any, Any]] = {}
    for run in runs.to_dict("records"):
        for key, value in run["config"].items():
            if key in {*EXECUTION, "lam", "seed", "data_seed"}:
                continue
            name = f"{key} {run[key]}" if key in ("surrogate", "regime") else key
            both = _without_place(value), run["code"].get(key)
            known = shared.setdefault(name, both)
            if known[0] != both[0]:
                wanted = (
                    f"runs of one configuration, but {name} is both {json.dumps(known[0])} and {json.dumps(both[0])}"
                )
                raise ConfigError("store", where, f"{wanted}; give each a store of its own (name=...)")
            if known != both:
                wanted = f"runs of one code, but that of {name} changed between them"
                raise ConfigError("store", where, f"{wanted}; give each a store of its own (name=...)")
    return {name: value for name, (value, _) in shared.items()}


def _without_place(value: Any) -> Any:
    """Return a setting; of a part that repeats a stored run without which: that is data, as a seed is."""
    if not isinstance(value, dict) or value.get("_target_") != "replay":
        return value
    return {option: each for option, each in value.items() if option not in PLACE}
