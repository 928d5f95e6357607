"""Grids that were never run, of any surrogates and regimes, and stores on the disk that hold them."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from experiments import grid
from hclm_runner import store
from hclm_runner.config import SCHEMA_VERSION
from hclm_runner.records import COLUMNS

LAMS, SEEDS, EPOCHS = [0.0, 0.1, 3.0], [0, 1, 2], 12
BOUNDS = {"lam_min": 0.001, "lam_max": 10.0}
LAWS: Mapping[str, Mapping[str, Any]] = {
    "fixed": {},
    "thermostat": {"kappa": 0.5, "setpoint": None, **BOUNDS},
    "rl_thermostat": {"kappa": 0.5, "setpoint": None, **BOUNDS, "lam_max": 20.0},
    "my_law": {"gain": 3.0},
}
PROVENANCE = {"commit": "0123abc", "versions": "{}", "device": "cpu"}
Place = tuple[str, str, float, int]


def made_up(
    surrogates: Sequence[str] = grid.SURROGATES,
    regimes: Sequence[str] = grid.REGIMES,
    lams: Sequence[float] = LAMS,
    seeds: Sequence[int] = SEEDS,
) -> xr.Dataset:
    """Return a grid as `grid.load` gives it: each run's own level in each column, drifting over epochs."""
    rng = np.random.default_rng(0)
    values = (list(surrogates), list(regimes), list(lams), list(seeds), range(EPOCHS + 1))
    axes = dict(zip([*grid.AXES, "epoch"], values, strict=True))
    shape = [len(each) for each in values]
    runs = xr.Dataset({name: (list(axes), rng.uniform(1, 2, shape)) for name in COLUMNS}, axes)
    runs["force"] *= 10.0 ** -runs["lam0"]  # three decades
    runs["lam"] = xr.where(runs["regime"] == "fixed", runs["lam0"], runs["lam"]).transpose(*axes)
    runs["share"] *= runs["lam"]
    runs["setpoint"] = xr.where(runs["regime"] == "fixed", np.nan, runs["setpoint"] * 0 + 0.5 * np.log(4))
    runs["setpoint"] = runs["setpoint"].transpose(*axes)
    shared = {"epochs": EPOCHS} | {f"regime {name}": {"name": name, **LAWS.get(name, {})} for name in regimes}
    runs = runs.assign_coords(data_seed=("seed", list(seeds)))
    return runs.assign_attrs(missing=[], unfinished=[], diverged=[], config=shared)


def without(runs: xr.Dataset, **place: Any) -> xr.Dataset:
    """Return a grid of which these runs were never tried: `write` leaves them out."""
    runs = runs.copy(deep=True)
    for name in runs:
        runs[name].loc[place] = np.nan
    return runs


def write(
    path: Path, runs: xr.Dataset, *, task: str = "gaussian_mixture", failed: Collection[Place] = (), **config: Any
) -> Path:
    """Write the runs of a grid that have a first epoch, as a store at `path`, and return that.

    Args:
        path: Where; there may be a store already.
        runs: The grid.
        task: The task of all of them.
        failed: Places of runs that have failed, and have no records; they need not be places of the grid.
        config: What their configurations say besides.
    """
    records = runs.to_dataframe().reset_index()
    records["run_id"] = task + records[grid.AXES].astype(str).agg("/".join, axis=1)
    there = records.loc[(records["epoch"] == 0) & records["train_loss"].notna(), "run_id"]
    records = records[records["run_id"].isin(there) & ~records[grid.AXES].apply(tuple, axis=1).isin(failed)]
    ended = records.groupby("run_id", sort=False)[grid.AXES].first().reset_index().assign(status="finished")
    died = pd.DataFrame(failed, columns=grid.AXES).assign(status="failed")
    died["run_id"] = [f"{task}, failed, {place}" for place in failed]
    described = pd.concat([each for each in (ended, died) if len(each)], ignore_index=True)
    configs = [
        {
            "surrogate": {"name": surrogate},
            "regime": {"name": regime, **LAWS.get(regime, {})},
            "task": {"name": task},
            "epochs": EPOCHS,
        }
        | config
        for surrogate, regime in zip(described["surrogate"], described["regime"], strict=True)
    ]
    described["data_seed"] = described["seed"]
    rows = np.where(described["status"] == "finished", EPOCHS + 1, 0)
    described = described.assign(task=task, code="{}", rows=rows, schema=SCHEMA_VERSION, **PROVENANCE)
    records, described = (
        each.assign(task=task, label=each["surrogate"] + " / " + each["regime"] + f" / {task}", data_seed=each["seed"])
        for each in (records, described)
    )
    store.prepare(path)
    store.write(path, records, described.assign(config=[json.dumps(each) for each in configs]))
    return path
