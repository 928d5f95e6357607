"""How series are written: as CSV, as TensorBoard's event files, as runs of MLflow."""

import math
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from experiments.export.series import Series
from hclm_runner import store
from hclm_runner.refusal import ConfigError
from hclm_runner.terminal import track

MOST = 1000
"""Metrics that MLflow takes in one call."""


class Tracker(NamedTuple):
    """A tool that shows runs."""

    write: Callable[[Sequence[Series], str, Path], str]
    """Writes series, given what --out says ("" for the usual place) and the store's folder; returns where they are."""
    says: str
    """What --out is."""


def to_csv(series: Sequence[Series], out: str, folder: Path) -> str:
    """Write records.csv, a row for each series and epoch, and runs.csv, a row for each series."""
    target = Path(out) if out else folder / "csv"
    target.mkdir(parents=True, exist_ok=True)
    records = pd.concat([each.metrics.reset_index().assign(id=each.id) for each in track(series, "exporting")])
    records.insert(0, "id", records.pop("id"))
    runs = pd.DataFrame([{"id": each.id, "title": each.title} | each.parameters | each.tags for each in series])
    for name, frame in (("records", records), ("runs", runs)):
        store.atomically(target / f"{name}.csv", partial(frame.to_csv, index=False))
    return f"{target}/"


def to_tensorboard(series: Sequence[Series], out: str, folder: Path) -> str:
    """Write a folder of event files for each series, in place of the one that it had; its settings as hparams."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise _missing("tensorboard", error) from error

    target = Path(out) if out else folder / "tensorboard"
    for each in track(series, "exporting"):
        name = re.sub(r"[^\w.=-]+", "_", each.title)[:150]
        final = target / f"{name}_{each.id[:8]}"
        half = target / f".{final.name}"  # a folder that is killed half-way is written anew
        shutil.rmtree(half, ignore_errors=True)
        writer, now = EventFileWriter(str(half)), time.time()
        hparams = {
            key: value if isinstance(value, bool | int | float) else str(value)
            for key, value in each.parameters.items()
        }
        writer.add_event(Event(wall_time=now, summary=hparams_pb(hparams, trial_id=each.id)))
        for epoch, row in _rows(each):
            values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items()]
            writer.add_event(Event(wall_time=now, step=epoch, summary=Summary(value=values)))
        writer.close()
        shutil.rmtree(final, ignore_errors=True)
        half.rename(final)
    return f"{target}/; tensorboard --logdir {target} shows them"


def to_mlflow(series: Sequence[Series], out: str, folder: Path) -> str:
    """Write a run for each series that has none yet, into the experiment that has the store's name."""
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise _missing("mlflow", error) from error

    try:
        client = mlflow.MlflowClient(out or None)
        found = client.get_experiment_by_name(folder.name)
        experiment = found.experiment_id if found else client.create_experiment(folder.name)
        there = _there(client, experiment)
        new = [each for each in series if each.id not in there]
        for each in track(new, "exporting"):
            _log(client, experiment, each)
    except MlflowException as error:
        raise ConfigError(
            "--out", out or None, f"an MLflow that takes runs, got {' '.join(str(error).split())}"
        ) from error
    before = f" ({len(series) - len(new)} of them were there before)" if len(new) < len(series) else ""
    uri = client.tracking_uri
    return f"MLflow's experiment {folder.name} at {uri}{before}; mlflow ui --backend-store-uri {uri} shows them"


def _there(client: Any, experiment: str) -> set[str]:
    """Return the ids of the series that an experiment has; what was killed half-way is deleted."""
    there, token = set(), None
    while True:
        page = client.search_runs([experiment], max_results=MOST, page_token=token)
        for run in page:
            if run.info.status == "FINISHED":
                there.add(run.data.tags.get("id"))
            elif "id" in run.data.tags:
                client.delete_run(run.info.run_id)
        token = page.token
        if not token:
            return there


def _log(client: Any, experiment: str, series: Series) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)  # milliseconds
    run = client.create_run(experiment, start_time=now, tags=series.tags | {"id": series.id}, run_name=series.title)
    params = [Param(key, str(value)) for key, value in series.parameters.items()]
    metrics = [Metric(name, value, now, epoch) for epoch, row in _rows(series) for name, value in row.items()]
    for start in range(0, max(len(metrics), 1), MOST):
        client.log_batch(run.info.run_id, metrics[start : start + MOST], params if start == 0 else [])
    client.set_terminated(run.info.run_id)


def _rows(series: Series) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the epochs, each with the columns that are defined there."""
    for epoch, row in series.metrics.to_dict("index").items():
        yield int(str(epoch)), {str(name): value for name, value in row.items() if not math.isnan(value)}


def _missing(extra: str, error: ImportError) -> ConfigError:
    return ConfigError("--to", extra, f"its own library; pip install 'hclm-runner[{extra}]' brings it ({error})")


TRACKERS = {
    "csv": Tracker(to_csv, "a folder (default: STORE/csv)"),
    "tensorboard": Tracker(to_tensorboard, "a folder (default: STORE/tensorboard)"),
    "mlflow": Tracker(to_mlflow, "MLflow's tracking URI (default: MLflow's own, MLFLOW_TRACKING_URI)"),
}
