"""One configuration, end to end: look in the store, train, write, show."""

import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import torch

from hclm_runner import picture, store, terminal
from hclm_runner.config import SCHEMA_VERSION, ConfigError, RunConfig
from hclm_runner.trainer import Records, train

FINISHED, DIVERGED = "finished", "diverged"


def run(config: RunConfig) -> int:
    """Train one run unless its store has it, write its records and picture, print its summary.

    Returns:
        The exit code: 0, or 1 for a run that diverged.

    Raises:
        ConfigError: If the configuration asks for what this machine or this task does not have.
    """
    folder, identity = store.OUTPUTS / config.name, config.run_id
    description = None if config.force else store.find(folder, identity)
    if description is not None:
        paths = [
            path for kind in ("records", "runs", "figures") for path in sorted((folder / kind).glob(f"{identity}.*"))
        ]
        there = f"Already in the store as {identity} ({description['status']})"
        headline = f"{there}; nothing was trained. force=true trains it again."
        terminal.summary(config, store.read_records(folder, identity), paths, headline)
        return 0 if description["status"] == FINISHED else 1

    device = _device(config)
    store.prepare(folder)
    torch.set_num_threads(1)  # the kernels of one small run are too short to share
    start = time.perf_counter()
    with terminal.progress_line(config.epochs) as show:
        trained = train([config], device=device, compile=config.compile is True, progress=show)
    seconds = time.perf_counter() - start

    records = trained.frame()
    described = describe(config, trained, device, seconds)
    paths = store.write(folder, records, described)
    if len(records) > 1:
        paths += picture.save(picture.draw(records, config.title), folder / "figures" / identity)
    description = described.iloc[0]
    headline = f"Run {identity} {description['status']} in {seconds:.1f} s on {device}."
    terminal.summary(config, records, paths, headline)
    if description["status"] == DIVERGED:
        epoch = trained.diverged[0]
        print(f"error: the run diverged at epoch {epoch}; a smaller optimizer.lr may help", file=sys.stderr)
        return 1
    return 0


def describe(config: RunConfig, trained: Records, device: str, seconds: float) -> pd.DataFrame:
    """Return the one row of runs/ for a run: what it was, how it ended, and where it came from."""
    diverged = int(trained.diverged[0])
    versions = {
        name: importlib.metadata.version(name)
        for name in ("torch", "numpy", "pandas", "pyarrow", "hydra-core", "omegaconf")
    }
    return pd.DataFrame(
        {
            "run_id": [config.run_id],
            "status": [DIVERGED if diverged >= 0 else FINISHED],
            "diverged_epoch": pd.array([diverged if diverged >= 0 else None], dtype="Int64"),
            "surrogate": [config.surrogate.name],
            "regime": [config.regime.name],
            "task": [config.task.name],
            "lam0": [config.lam],
            "seed": [config.seed],
            "config": [json.dumps(config.as_dict())],
            "command": [shlex.join(sys.orig_argv)],
            "commit": [_commit()],
            "versions": [json.dumps({"python": platform.python_version()} | versions)],
            "device": [device if device == "cpu" else torch.cuda.get_device_name(device)],
            "wall_time": [seconds],
            "schema": [SCHEMA_VERSION],
        }
    )


def _device(config: RunConfig) -> str:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device", "cuda", "a machine with a CUDA device, or device=auto or cpu")
    return "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"


def _commit() -> str | None:
    """Return the commit this package runs from, with "+changes" where files differ from it; None outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}+changes" if changes else head
