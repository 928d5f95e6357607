"""What the files of a store say of its sweep: what it has planned, what trains, what is done. Imports no torch.

plan/local.json has what the last sweep set out to train: a list of bundles, each a list of run ids. plan/<shard>.began
says that a bundle has begun; <shard> is what the shard of its runs will be called.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from filelock import FileLock, Timeout
from rich.console import Console
from rich.table import Table

from hclm_runner import store
from hclm_runner.config import RunConfig
from hclm_runner.shards import shard_name
from hclm_runner.sweeps import board
from hclm_runner.sweeps.plan import Plan

ENDED = ("finished", "diverged", "failed", "refused")


class Status(NamedTuple):
    """How far the sweep of a store is."""

    runs: pd.DataFrame
    """What has ended, as in runs/."""
    running: int
    """Runs of bundles that have begun."""
    pending: int
    """Runs that are planned, and have neither ended nor begun."""
    writing: bool
    """Whether a command holds the store."""

    @property
    def counts(self) -> dict[str, int]:
        """Return how many runs there are of each kind."""
        ended = self.runs["status"].value_counts()
        return {kind: int(ended.get(kind, 0)) for kind in ENDED} | {"running": self.running, "pending": self.pending}


@contextmanager
def planned(folder: Path, plan: Plan) -> Iterator[None]:
    """Write down what a sweep is about to train; afterwards none of it is in progress."""
    _forget(folder)
    write_plan(folder, "local", plan.bundles)
    try:
        yield
    finally:
        _forget(folder)


def write_plan(folder: Path, name: str, bundles: Sequence[Sequence[RunConfig]]) -> None:
    """Write plan/<name>.json."""
    (folder / "plan").mkdir(exist_ok=True)
    text = json.dumps([[run.run_id for run in bundle] for bundle in bundles])
    store.atomically(folder / "plan" / f"{name}.json", lambda path: Path(path).write_text(text))


def begin(folder: Path, runs: Sequence[RunConfig]) -> None:
    """Note that a bundle begins."""
    _mark(folder, [run.run_id for run in runs]).touch()


def _mark(folder: Path, ids: Sequence[str]) -> Path:
    return folder / "plan" / f"{shard_name(ids)}.began"


def _forget(folder: Path) -> None:
    for mark in (folder / "plan").glob("*.began"):
        mark.unlink(missing_ok=True)


def read(folder: Path) -> Status:
    """Return how far the sweep of a store is.

    What has begun and not ended counts as running while a command holds the store, and else as pending: it was killed.
    """
    runs, writing = store.index(folder), _held(folder / ".lock")
    path, ended = folder / "plan" / "local.json", set(runs["run_id"])
    bundles = json.loads(path.read_text()) if path.exists() else []
    left = {_mark(folder, bundle): sum(run_id not in ended for run_id in bundle) for bundle in bundles}
    running = sum(number for mark, number in left.items() if number and writing and mark.exists())
    return Status(runs, running, sum(left.values()) - running, writing)


def _held(path: Path) -> bool:
    """Return whether a process holds a lock."""
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # of a store that may only be read
        return False
    lock.release()
    return False


def show(found: Status, folder: Path) -> None:
    """Print how far the sweep of a store is, and which runs have no result."""
    console = Console(soft_wrap=True, highlight=False)
    table = Table(title=f"{folder}/", title_justify="left")
    table.add_column("runs")
    table.add_column("", justify="right")
    for kind, count in found.counts.items():
        table.add_row(kind, str(count))
    console.print(table)
    if found.writing:
        console.print("A command is writing to it.")
    board.without_result(found.runs)
