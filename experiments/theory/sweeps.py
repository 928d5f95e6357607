"""Runs of a store over something that its sweep varied: what the studies on real runs are functions of.

Imports neither torch nor hydra.
"""

import json
import math
import os
from typing import Any

import pandas as pd
import xarray as xr

from experiments import grid
from hclm_runner import store
from hclm_runner.config import SCHEMA_VERSION, ConfigError
from hclm_runner.records import COLUMNS


def over(source: str | os.PathLike[str], **axes: str) -> xr.Dataset:
    """Return what a store's runs measured, over `axes` and over surrogate, lam0, seed and epoch.

    Args:
        source: The store, by its name under outputs/ or by its path.
        axes: Dimension -> the key of the configuration that varies along it, as in n="task.train"; a list becomes its
            first entry.

    Returns:
        A variable for each measured column, NaN from the epoch at which a run diverged and where it is undefined.
        Its attribute `config` is the configuration of one of the runs: what all have in common but the axes.

    Raises:
        ConfigError: If there is no such store, another version of this package wrote it, or runs are missing.
    """
    records, runs = _finished(source)
    configs = [json.loads(text) for text in runs["config"]]
    names = ["surrogate", "lam0", "seed"]
    values = {name: [_value(config, key) for config in configs] for name, key in axes.items()}
    labels = runs[["run_id", *names]].assign(**values)
    dimensions = [*axes, *names]
    if (full := math.prod(labels[name].nunique() for name in dimensions)) != len(labels):
        wanted = f"one run of each of {' x '.join(dimensions)}, {full} in all, got {len(labels)}"
        raise ConfigError("store", os.fspath(source), wanted)
    table = records[["run_id", "epoch", *COLUMNS]].merge(labels, on="run_id")
    return table.set_index([*dimensions, "epoch"])[list(COLUMNS)].to_xarray().assign_attrs(config=configs[0])


def configs(source: str | os.PathLike[str], key: str) -> dict[Any, dict[str, Any]]:
    """Return value of a key -> the configuration of one of the runs that have it.

    Raises:
        ConfigError: As `over`.
    """
    found = [json.loads(text) for text in _finished(source)[1]["config"]]
    return {_value(config, key): config for config in found}


def _finished(source: str | os.PathLike[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    records, runs = store.load(grid.locate(source))
    runs = runs[runs["status"].isin(store.DONE)]
    if strange := set(runs["schema"]) - {SCHEMA_VERSION}:
        wanted = f"records of version {SCHEMA_VERSION}, got {strange}; the sweep's command again sets those aside"
        raise ConfigError("store", os.fspath(source), wanted)
    return records, runs


def _value(config: dict[str, Any], key: str) -> Any:
    """Return the value at a dotted key."""
    value: Any = config
    for part in key.split("."):
        value = value[part]
    return value[0] if isinstance(value, list) else value
