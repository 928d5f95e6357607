"""What is exported: chosen runs of a store, or their means over seeds, each as a tracker shows one run."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from experiments import grid
from experiments.estimate import of_seeds
from hclm_runner import store, terminal
from hclm_runner.config.words import suggest
from hclm_runner.records import COLUMNS, settings
from hclm_runner.refusal import ConfigError

TAGS = ("run_id", "label", "status", "warnings", "commit", "device", "versions", "command")
"""The columns of runs/ that are exported as tags."""


class Series(NamedTuple):
    """What a tracker shows as one run: a run of the store, or the mean of runs that differ in their seeds alone."""

    id: str
    """The run's `run_id`; of a mean, a hash of those of its runs."""
    title: str
    parameters: dict[str, Any]
    """Its settings, each under its key at the command line; a mean has no seed."""
    tags: dict[str, str]
    metrics: pd.DataFrame
    """Epoch -> the measured columns; NaN where undefined. A mean has c, c_low and c_high for a column c."""


class Chosen(NamedTuple):
    """The runs of a store that were asked for."""

    records: pd.DataFrame
    runs: list[dict[str, Any]]
    """The rows of runs/, each with its `settings`: key -> value, as at the command line."""

    def ended(self, *statuses: str) -> list[dict[str, Any]]:
        """Return the runs of these statuses."""
        return [run for run in self.runs if run["status"] in statuses]


def choose(source: str | os.PathLike[str], where: Sequence[str]) -> Chosen:
    """Return the runs of a store of which every KEY=VALUE holds; KEY=A,B holds of both values.

    Raises:
        ConfigError: If there is no store, another version wrote it, a key or value is not there, or no run is left.
    """
    records, runs = store.load(grid.locate(source))
    grid.check_version(source, runs)
    rows: list[dict[str, Any]] = []
    for row in runs.sort_values(["label", "lam0", "seed"]).to_dict("records"):
        config = json.loads(row["config"])
        own = {"lam": config["lam"]} | settings(config)
        rows.append({str(key): value for key, value in row.items()} | {"settings": own})
    conditions = [_condition(text, rows) for text in where]
    left = [row for row in rows if all(holds(row) for holds in conditions)]
    if not left:
        raise ConfigError("--where", " ".join(where), f"what some run has, but none of {len(rows)} has all of it")
    return Chosen(records, left)


def _condition(condition: str, rows: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], bool]:
    """Return of which runs a KEY=VALUE holds.

    Raises:
        ConfigError: If it is none, or holds of no run.
    """
    key, equals, text = condition.partition("=")
    if not equals:
        raise ConfigError("--where", condition, "KEY=VALUE, as in lam=0.1")
    known = [*dict.fromkeys(key for row in rows for key in row["settings"]), "run_id", "status"]
    if key not in known:
        raise ConfigError("--where", condition, f"a known key{suggest(key, known)}; keys: {', '.join(known)}")

    def values(row: Mapping[str, Any]) -> list[Any]:
        """A part by its name, logdet, and by its label, logdet(eps=2)."""
        return [each[key] for each in (row["settings"], row) if key in each]

    def holds(row: Mapping[str, Any]) -> bool:
        return any(_equal(value, wanted) for value in values(row) for wanted in (text, *text.split(",")))

    if not any(map(holds, rows)):
        found = [*dict.fromkeys(str(value) for row in rows for value in values(row))]
        raise ConfigError("--where", condition, f"a value that a run has: {terminal.first(found, 12)}")
    return holds


def _equal(value: Any, text: str) -> bool:
    try:
        return float(value) == float(text)
    except (TypeError, ValueError):
        return text in (str(value), json.dumps(value))


def each_run(chosen: Chosen, source: str, columns: Sequence[str]) -> list[Series]:
    """Return the series of each run that has a result; one that diverged ends before the epoch at which it did."""
    measured = {run_id: rows.set_index("epoch") for run_id, rows in chosen.records.groupby("run_id")}
    series = []
    for run in chosen.ended(*store.DONE):
        if run["run_id"] in measured:  # one that diverged before it was measured has no rows
            metrics = measured[run["run_id"]][list(columns)].sort_index()
            tags = {name: str(run[name]) for name in TAGS if not pd.isna(run[name])} | {"store": source}
            series.append(Series(run["run_id"], title(run), run["settings"], tags, _defined(metrics)))
    return series


def mean_over_seeds(chosen: Chosen, source: str, columns: Sequence[str]) -> list[Series]:
    """Return the mean of the finished runs that differ in their seeds alone, with its 95% interval (Student's t)."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in chosen.ended("finished"):
        same = {"label": run["label"], "settings": _but_seed(run["settings"])}
        groups.setdefault(json.dumps(same), []).append(run)
    series = []
    for runs in groups.values():
        ids, label = sorted(run["run_id"] for run in runs), runs[0]["label"]
        rows = chosen.records[chosen.records["run_id"].isin(ids)].set_index(["seed", "epoch"])
        mean = of_seeds(rows[list(columns)].to_xarray().to_dataarray("column"))
        ends = {"": mean.value, "_low": mean.low, "_high": mean.high}
        metrics = pd.concat([part.to_pandas().T.add_suffix(end) for end, part in ends.items()], axis=1)
        seeds = ", ".join(str(run["seed"]) for run in runs)
        tags = {"label": label, "seeds": seeds, "store": source}
        named = f"{label}, lam0 {runs[0]['lam0']:g}, mean over {len(runs)} seed{'s' if len(runs) > 1 else ''}"
        own = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
        series.append(Series(own, named, _but_seed(runs[0]["settings"]), tags, _defined(metrics)))
    return series


def title(run: Mapping[str, Any]) -> str:
    """Return what a person would call a run."""
    return f"{run['label']}, lam0 {run['lam0']:g}, seed {run['seed']}"


def _but_seed(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "seed"}


def _defined(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that have a value at some epoch."""
    return metrics.dropna(axis=1, how="all")


def check_columns(names: Sequence[str]) -> Sequence[str]:
    """Return the names; all that is measured for none.

    Raises:
        ConfigError: If one is not measured.
    """
    for name in names:
        if name not in COLUMNS:
            raise ConfigError("--columns", name, f"what is measured{suggest(name, COLUMNS)}: {', '.join(COLUMNS)}")
    return names or COLUMNS
