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
    written = tuple(sorted(path.stat().st_mtime_ns for path in (folder / "runs").glob("*.parquet")))
    statuses = _statuses(folder, written)
    if run not in statuses:
        some = f"one of {where}, as {first(list(statuses), 3)}" if statuses else f"a run of {where}, which has none"
        raise ConfigError(f"{group}.run", run, some)
    if (status := statuses[run]) != "finished":
        raise ConfigError(f"{group}.run", run, f"a run that finished, got one with status {status}")
    found = _traces(folder, written, column)[run]
    if np.isnan(found).all():
        raise ConfigError(f"{group}.run", run, f"a run with {column} in its records, got one without")
    return found


@lru_cache(maxsize=4)
def _statuses(folder: Path, written: tuple[int, ...]) -> dict[str, str]:  # noqa: ARG001 - what was read once is stale
    """Return run id -> status, of the runs of a store as it is when these of its files were written."""
    runs = store.index(folder, [])
    return dict(zip(runs["run_id"], runs["status"], strict=True))


@lru_cache(maxsize=4)
def _traces(folder: Path, written: tuple[int, ...], column: str) -> dict[str, tuple[float, ...]]:  # noqa: ARG001
    """Return run id -> a column by epoch."""
    records = pd.read_parquet(folder / "records", columns=["run_id", "epoch", column])
    ordered = records.drop_duplicates(["run_id", "epoch"]).sort_values("epoch")
    return {str(run): tuple(own) for run, own in ordered.groupby("run_id")[column]}
