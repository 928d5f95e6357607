"""What a part repeats of a stored run, in place of what it would find out itself: a placebo. Imports no torch."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hclm_runner import store
from hclm_runner.refusal import ConfigError
from hclm_runner.terminal import first

Trace = NDArray[np.float64]


def kept(trace: Trace, rng: np.random.Generator) -> Trace:  # noqa: ARG001 - one form for all
    """Return it as it was."""
    return trace


def mean(trace: Trace, rng: np.random.Generator) -> Trace:  # noqa: ARG001
    """Return its mean over time at every epoch: of the values that were in force, so without the last."""
    return np.full_like(trace, trace[:-1].mean())


def shuffled(trace: Trace, rng: np.random.Generator) -> Trace:
    """Return the values that were in force in random order; the last, which never was, stays."""
    return np.append(rng.permutation(trace[:-1]), trace[-1])


ORDERS = {"kept": kept, "mean": mean, "shuffled": shuffled}
"""In which order a trace [epochs + 1] is repeated."""


def read(group: str, column: str, options: Mapping[str, Any]) -> tuple[float, ...]:
    """Return a column of a stored run by epoch.

    Args:
        group: Of the part that repeats it, as messages name it.
        column: Of the records.
        options: Of the part: `store`, a name under outputs/ or a path, and `run`, a run id.

    Raises:
        ConfigError: If there is no such store, it has no such run, or none with a result; the run diverged; or nothing
            was recorded in the column.
    """
    where, run = options["store"], options["run"]
    try:
        folder = store.locate(where)
    except FileNotFoundError as error:
        raise ConfigError(f"{group}.store", where, f"a store of runs, got {error.strerror}") from None
    described, traces = _columns(folder, _written(folder))
    if run not in described.index:
        some = f"one of {where}, as {first(described.index.tolist(), 3)}" if len(described) else f"a run of {where}"
        raise ConfigError(f"{group}.run", run, some)
    if (status := described["status"][run]) != "finished":
        raise ConfigError(f"{group}.run", run, f"a run that finished, got one with status {status}")
    found: tuple[float, ...] = traces[column][run]
    if np.isnan(found).all():
        raise ConfigError(f"{group}.run", run, f"a run with {column} in its records, got one without")
    return found


def _written(folder: Path) -> tuple[int, ...]:
    """Return what changes when a store is written to."""
    return tuple(sorted(path.stat().st_mtime_ns for path in (folder / "runs").glob("*.parquet")))


@lru_cache(maxsize=4)
def _columns(folder: Path, written: tuple[int, ...]) -> tuple[pd.DataFrame, dict[str, pd.Series]]:  # noqa: ARG001
    """Return the runs of a store by id, and of each column that a part repeats run id -> its values by epoch."""
    records = pd.read_parquet(folder / "records", columns=["run_id", "epoch", *COLUMNS]).sort_values("epoch")
    by_run = records.groupby("run_id")
    return store.index(folder).set_index("run_id"), {name: by_run[name].agg(tuple) for name in COLUMNS}


COLUMNS = ("lam", "feedback")
"""What the parts of this package repeat."""
