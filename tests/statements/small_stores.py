"""Stores of runs that were never trained, in miniature: each column counts 0, 1, 2 ... over seeds and epochs."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hclm_runner.config import configure
from hclm_runner.records import COLUMNS, Records, describe
from hclm_runner.store import prepare, write

SMALL = ("epochs=3", "task.train=64")


def store_of(folder: Path, *overrides: Iterable[str], seeds: Iterable[int] = range(4)) -> Path:
    """Write a run for each list of overrides and each seed, and return the folder."""
    prepare(folder)
    for given in overrides:
        one = configure(*SMALL, *given)
        runs = [one.model_copy(update={"seed": seed}) for seed in seeds]
        table = {name: np.arange(4.0 * len(runs)).reshape(-1, 4) for name in COLUMNS}
        records = Records(runs, table, np.full(len(runs), -1))
        write(folder, records.frame(), describe(records, "cpu", 1.0))
    return folder
