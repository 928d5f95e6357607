"""What runs measured, as frames: the rows of records/ and of runs/. Imports no torch."""

import importlib.metadata
import json
import math
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hclm_runner import __version__
from hclm_runner.cautions import cautions
from hclm_runner.config import EXECUTION, SCHEMA_VERSION, RunConfig

ON_REQUEST = (
    *("metric_force", "curvature", "coupling", "smoothness"),
    *("step_time", "step_drift", "step_entropy", "step_energy"),
)
"""Null unless metric_force or premises asks for them, and then measured at every measure_every-th epoch."""

SPLITS = ("train", "feedback", "test")

JUDGED = ("loss", "accuracy", "ece", "brier", "worst_class_accuracy")
"""What a run is judged by, on each split and at each epoch."""

AT_ENDS = ("temperature", *(f"{split}_scaled_loss" for split in SPLITS))
"""Null but at the chosen epoch and at the last one."""

BALANCE = ("injected", "dissipated", "other", "closure", "balancing_lam", "share")
"""What the epoch that ends at a row did to S; null at epoch 0."""

COLUMNS = (
    *("lam", *(f"{split}_{name}" for name in JUDGED for split in SPLITS), "gap", "entropy", "effective_rank"),
    *("logdet_rate", "force", "loss_force", "force_ratio", "alignment", "injection", "dissipation"),
    *("noisy_injection", "critical_lam", *BALANCE, "setpoint", "feedback", "feedback_utility", "reward"),
    *(*AT_ENDS, *ON_REQUEST),
)
"""What is measured at each epoch; docs/records.md has a line on each."""


SHOWN = 12
"""How many runs `Records` shows."""


class Network(NamedTuple):
    """What the networks of a batch have in common."""

    input_shape: tuple[int, ...]
    """Of a sample."""
    outputs: int
    vocabulary: int | None
    """Of tokens; None where samples are none."""
    layout: Sequence[tuple[str, tuple[int, ...]]]
    """Name and shape of each parameter, in the order of theta."""


class Records(NamedTuple):
    """What a batch of R runs measured: what `train` returns."""

    runs: Sequence[RunConfig]
    """[R], as they were given."""
    columns: dict[str, NDArray[np.float64]]
    """Name -> [R, epochs + 1]; NaN where undefined, and from the epoch at which a run diverged."""
    diverged: NDArray[np.int64]
    """[R], the first epoch at which a vital number was not finite; -1 where all were."""
    causes: Sequence[str | None] = ()
    """[R], what was not finite first, and where: None where all was; empty if no run diverged."""
    theta: NDArray[np.floating[Any]] | None = None
    """[R, p], the parameters at the end, in the order of the model's `parameters()`; None where they were not kept.

    `torch.nn.utils.vector_to_parameters(torch.from_numpy(records.theta[0]), model.parameters())` puts those of the
    first run into a network. A store keeps them with save_parameters=true.
    """
    network: Network | None = None
    compiled: bool = False
    """Whether steps or measurements were compiled: numbers then agree to rounding with those that were not."""

    def __repr__(self) -> str:
        """Return a line on the batch, then each run's id with its settings; of many runs the first few."""
        epochs, parameters = self.columns["lam"].shape[1] - 1, "no" if self.theta is None else self.theta.shape[1]
        runs = "1 run" if len(self.runs) == 1 else f"{len(self.runs)} runs"
        head = f"{runs}, {epochs} epochs, {parameters} parameters each; .frame() has a row per epoch"
        ends = [f", diverged at epoch {at}" if at >= 0 else "" for at in self.diverged]
        lines = [f"  {run.run_id}  {run.title}{end}" for run, end in zip(self.runs, ends, strict=True)]
        more = [f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        return "\n".join([head, *lines[:SHOWN], *more])

    def frame(self) -> pd.DataFrame:
        """Return one row per run and epoch, with the labels of the run; a run that diverged ends before that epoch."""
        epochs = np.arange(self.columns["lam"].shape[1])
        kept = (self.diverged[:, None] < 0) | (epochs < self.diverged[:, None])
        labels = {name: np.repeat(values, kept.sum(1)) for name, values in _labels(self.runs).items()}
        measured = {name: values[kept] for name, values in self.columns.items()}
        return pd.DataFrame(labels | {"epoch": np.broadcast_to(epochs, kept.shape)[kept]} | measured)

    def parameters(self, place: int) -> dict[str, NDArray[np.floating[Any]]]:
        """Return the parameters of the run in this place by name, each of its shape.

        Raises:
            ValueError: If they were not kept.
        """
        if self.theta is None or self.network is None:
            raise ValueError("these records have no parameters")
        ends = np.cumsum([math.prod(shape) for _, shape in self.network.layout])
        parts = np.split(self.theta[place], ends[:-1])
        return {name: part.reshape(shape) for (name, shape), part in zip(self.network.layout, parts, strict=True)}

    @classmethod
    def empty(cls, run: RunConfig) -> "Records":
        """Return the records of a run that measured nothing."""
        return cls([run], dict.fromkeys(COLUMNS, np.full((1, 1), np.nan)), np.zeros(1, dtype=np.int64))


def describe(
    records: Records, device: str, seconds: float, *, status: str | None = None, error: str | None = None
) -> pd.DataFrame:
    """Return a row of runs/ for each run: what it was, how it ended, and where it came from.

    Args:
        records: The batch.
        device: Where it trained.
        seconds: How long the batch took; a run's wall time is its share.
        status: How it ended, where that is not "finished" or "diverged".
        error: Why it has no result; of runs that diverged, the records say it.
    """
    diverged = records.diverged
    ended = np.where(diverged >= 0, "diverged", "finished") if status is None else status
    epochs = records.columns["lam"].shape[1]
    facts = {
        "status": ended,
        "diverged_epoch": pd.array([int(at) if at >= 0 and status is None else None for at in diverged], dtype="Int64"),
        "error": pd.array(
            [error] * len(diverged) if error else records.causes or [None] * len(diverged), dtype="string"
        ),
        "rows": np.where(diverged >= 0, diverged, epochs),
        "warnings": pd.array([None] * len(diverged) if status else _warnings(records), dtype="string"),
        "config": [json.dumps({k: v for k, v in run.as_dict().items() if k != "cluster"}) for run in records.runs],
        "code": [json.dumps(run.code()) for run in records.runs],
        "command": shlex.join(map(redacted, sys.orig_argv)),
        "commit": pd.array([_commit()] * len(diverged), dtype="string"),
        "versions": json.dumps(_versions()),
        "device": device,
        "compiled": records.compiled,
        "wall_time": seconds / len(diverged),
        "schema": SCHEMA_VERSION,
    }
    return pd.DataFrame(_labels(records.runs) | facts)


def without_result(run: RunConfig, device: str, status: str, error: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of records/, none, and of runs/ of a run that measured nothing."""
    nothing = Records.empty(run)
    return nothing.frame(), describe(nothing, device, 0.0, status=status, error=error)


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's settings, key -> value: of a group its name, and each option; a list as JSON."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if key in {*EXECUTION, "lam"}:
            continue
        own = (
            {key: value} if not isinstance(value, Mapping) else {f"{key}.{name}": each for name, each in value.items()}
        )
        found |= {name: json.dumps(each) if isinstance(each, list | dict) else each for name, each in own.items()}
    return {key.removesuffix(".name"): value for key, value in found.items() if not key.endswith("._target_")}


def redacted(word: str) -> str:
    """Return a word of a command line without its secrets: passwords in addresses, and values of keys that say so.

    Example:
        >>> redacted("storage=postgresql://me:pass@host/db"), redacted("cluster.setup=[export API_KEY=x1]")
        ('storage=postgresql://***@host/db', 'cluster.setup=[export API_KEY=***]')
    """
    word = re.sub(r"://[^/@\s]+@", "://***@", word)
    return re.sub(r"(?i)(\w*(?:token|secret|passw|credential|api_?key)\w*\s*[=:]\s*)[^\s,\]}]+", r"\1***", word)


def _warnings(records: Records) -> list[str | None]:
    measured = ({name: values[i] for name, values in records.columns.items()} for i in range(len(records.runs)))
    return ["; ".join(cautions(run, row)) or None for run, row in zip(records.runs, measured, strict=True)]


def _labels(runs: Sequence[RunConfig]) -> dict[str, NDArray[np.generic]]:
    return {
        "run_id": np.array([run.run_id for run in runs]),
        "label": np.array([run.label for run in runs]),
        **{group: np.array([run.label_of(group) for run in runs]) for group in ("surrogate", "regime", "task")},
        "lam0": np.array([run.lam for run in runs]),
        "data_seed": np.array([run.drawn_from for run in runs]),
        "seed": np.array([run.seed for run in runs]),
    }


@cache
def _versions() -> dict[str, str]:
    packages = ("torch", "numpy", "pandas", "pyarrow", "hydra-core", "omegaconf")
    ours = {"python": platform.python_version(), "hclm_runner": __version__}
    return ours | {name: importlib.metadata.version(name) for name in packages}


@cache
def _commit() -> str | None:
    """Return the commit this package runs from, with "+changes" where files differ; None outside a checkout of it."""
    folder = Path(__file__).parent
    git = ["git", "-C", str(folder)]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=True)
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}+changes" if changes else head
