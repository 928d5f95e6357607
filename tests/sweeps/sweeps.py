"""What the tests of sweeps share: a small grid, its table, and a driver in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from hclm_runner import store

SMALL = ["task.train=32", "task.feedback=32", "task.test=32", "batch_size=16", "epochs=3"]
GRID = ["-m", "surrogate=logdet,softmax", "regime=fixed,thermostat", "lam=0,0.1", "seed=range(2)", *SMALL]
"""16 runs of four shapes."""


def table(folder: Path | str = "outputs/default") -> pd.DataFrame:
    """Return the records of a store in one order, whatever its shards."""
    records, _ = store.load(Path(folder))
    return records.sort_values(["run_id", "epoch"], ignore_index=True)


def spawn(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start `python -m hclm_runner ARGS` in a folder, as the leader of a group of processes."""
    command = [sys.executable, "-m", "hclm_runner", *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
