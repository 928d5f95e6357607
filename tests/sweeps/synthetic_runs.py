"""Runs that nobody trained: their configurations, and records made up for them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hclm_runner import store
from hclm_runner.config import RunConfig, configure
from hclm_runner.records import COLUMNS, Records, describe


def configs(seeds: int, *overrides: str) -> list[RunConfig]:
    base = configure("epochs=3", *overrides)
    return [base.model_copy(update={"seed": seed}) for seed in range(seeds)]


def described(runs: Sequence[RunConfig], status: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of the runs: their epochs count up in each column, or there are no rows."""
    if status:
        records = Records.empty(runs[0])
    else:
        values = np.add.outer([run.seed for run in runs], np.arange(4) / 10)
        records = Records(runs, dict.fromkeys(COLUMNS, values), np.full(len(runs), -1))
    error = f"it {status}" if status else None
    return records.frame(), describe(records, "cpu", 1.0, status=status, error=error)


def write(folder: Path, runs: Sequence[RunConfig], status: str | None = None) -> None:
    """Write a shard of the runs into a store."""
    store.prepare(folder)
    store.write(folder, *described(runs, status))
