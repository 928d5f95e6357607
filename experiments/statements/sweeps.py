"""Runs of a store over something that its sweep varied: what the statements are asked of on real runs.

Imports neither torch nor hydra.
"""

import copy
import itertools
import json
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from experiments import grid
from hclm_runner import store
from hclm_runner.config import EXECUTION
from hclm_runner.records import COLUMNS
from hclm_runner.refusal import ConfigError
from hclm_runner.terminal import first


def over(source: str | os.PathLike[str], **axes: str) -> xr.Dataset:
    """Return what a store's runs measured, over `axes` and over surrogate, lam0, seed and epoch.

    A store that did not change is read once in a process: several statements are asked of the same runs.

    Args:
        source: The store, by its name under outputs/ or by its path.
        axes: Dimension -> the key of the configuration that varies along it, as in n="task.train"; a list becomes its
            first entry. Along the name of a group, as in "optimizer.name", all its options may vary.

    Returns:
        A variable for each measured column, NaN from the epoch at which a run diverged and where it is undefined. Its
        attribute `configs` has for each axis value -> the configuration of one of its runs.

    Raises:
        ConfigError: If there is no such store, it cannot be read, another version of this package wrote it, runs are
            missing, failed or were refused, or they differ in more than the axes.
    """
    where = grid.locate(source).resolve()
    shards = tuple((path, path.stat().st_mtime_ns) for path in sorted(where.glob("*/*.parquet")))
    return _over(os.fspath(source), where, shards, **axes).copy()


@lru_cache(maxsize=4)
def _over(source: str, where: Path, shards: object, **axes: str) -> xr.Dataset:  # noqa: ARG001 - what was read
    """Return what `over` does, of a store at a folder that has these shards."""
    records, tried = _read(source, where)
    dimensions = [*axes, "surrogate", "lam0", "seed"]
    tried = tried.assign(config=[json.loads(text) for text in tried["config"]])
    names = [config["surrogate"]["name"] for config in tried["config"]]
    tried = tried.assign(surrogate=grid.shortest(tried["surrogate"].tolist(), names))
    tried = tried.assign(**{name: [_value(config, key) for config in tried["config"]] for name, key in axes.items()})
    runs = tried[tried["status"].isin(store.DONE)]
    _complete(source, tried[dimensions], runs[dimensions])
    configs = runs["config"].tolist()
    if len({json.dumps(_without(config, axes.values())) for config in configs}) > 1:
        wanted = f"runs that differ in {', '.join([*axes.values(), 'surrogate', 'lam', 'seed'])} alone"
        raise ConfigError("store", source, wanted)
    table = records[["run_id", "epoch", *COLUMNS]].merge(runs[["run_id", *dimensions]], on="run_id")
    found = table.set_index([*dimensions, "epoch"])[list(COLUMNS)].to_xarray()
    return found.assign_attrs(configs={name: dict(zip(runs[name], configs, strict=True)) for name in axes})


def require(runs: xr.Dataset, source: str, **places: Iterable[Any]) -> None:
    """Refuse the runs of a store that lack some of these values of a dimension, or that have fewer than 4 seeds.

    Raises:
        ConfigError: Naming what is missing.
    """
    for name, wanted in places.items():
        if missing := [value for value in wanted if value not in runs[name]]:
            raise ConfigError("store", source, f"runs at {name} = {', '.join(map(str, missing))} too")
    if runs.sizes["seed"] < 4:
        raise ConfigError("store", source, f"runs of at least 4 seeds, for intervals, got {runs.sizes['seed']}")


def _complete(source: str, tried: pd.DataFrame, done: pd.DataFrame) -> None:
    """Refuse a store without exactly one result for each combination of the values that were tried, naming what lacks.

    Args:
        source: The store.
        tried: The places of all its runs, a column for each dimension.
        done: Those of the runs with a result.
    """
    names = [str(name) for name in tried]
    every = list(itertools.product(*(sorted(tried[name].unique()) for name in names)))
    have, failed = (set(each.itertuples(index=False, name=None)) for each in (done, tried))
    titles = [
        ", ".join(f"{name} {value}" for name, value in zip(names, place, strict=True))
        + (" (tried, without a result)" if place in failed else "")
        for place in every
        if place not in have
    ]
    wanted = f"one run of each of {' x '.join(names)}, {len(every)} in all"
    if titles:
        raise ConfigError("store", source, f"{wanted}, but {len(titles)} are missing: {first(titles, 3)}")
    if len(done) > len(every):
        raise ConfigError("store", source, f"{wanted}, got {len(done)}")


def _read(source: str, where: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the records of a store and all its runs, those without a result too; there is at least one with."""
    try:
        records, runs = store.load(where)
    except (OSError, ValueError) as error:  # a torn file is pyarrow's ValueError
        raise ConfigError("store", source, f"records that can be read, got {error}") from error
    grid.check_version(source, runs)
    done = runs[runs["status"].isin(store.DONE)]
    if done.empty:
        raise ConfigError("store", source, f"finished runs, got {len(runs)} without a result")
    rows = records.groupby("run_id").size().reindex(done["run_id"], fill_value=0)
    if lacking := int((rows.to_numpy() != done["rows"].to_numpy()).sum()):
        raise ConfigError("store", source, f"the records of every run, but {lacking} lack theirs")
    return records, runs


def _value(config: Mapping[str, Any], key: str) -> Any:
    """Return the value at a dotted key."""
    value: Any = config
    for part in key.split("."):
        value = value[part]
    return value[0] if isinstance(value, list) else value


def _without(config: Mapping[str, Any], keys: Any) -> dict[str, Any]:
    """Return a configuration without what may vary: these keys, of "group.name" the group, and how it executed."""
    rest = copy.deepcopy({key: value for key, value in config.items() if key not in {*EXECUTION, "lam", "seed"}})
    for group, _, option in (key.partition(".") for key in (*keys, "surrogate.name")):
        if option == "name":
            rest.pop(group)
        else:
            rest[group].pop(option)
    return rest
