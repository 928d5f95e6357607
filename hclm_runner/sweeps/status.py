"""What the files of a store say of its sweeps: what they have planned, what trains, what is done. Imports no torch.

plan/ has a file for each sweep that set out to train, a list of bundles, each a list of run ids: local.json of the last
one on this machine, and one for each array of tasks on a cluster, of the array's name. <shard>.began beside them, or in
cluster/plan/, says that a bundle has begun; <shard> is what the shard of its runs will be called.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from hclm_runner.sweeps import board, queue, sharing
from hclm_runner.sweeps.plan import Plan

ENDED = ("finished", "diverged", "failed", "refused")
OPEN = ("pending", "dead", "queued", "running")
"""What a run is that has not ended: only planned; begun and gone without a result; in a cluster's queue; training."""

SHOWN = ("label", "lam0", "seed", "error")
"""Of runs/, what `show` prints."""


class Status(NamedTuple):
    """How far the sweeps of a store are."""

    runs: pd.DataFrame
    """What has ended: `SHOWN`, run_id and status of runs/."""
    open: Mapping[str, str]
    """Run id -> one of `OPEN`, of those that are planned and have not ended."""
    writing: bool
    """Whether a command holds the store."""

    @property
    def counts(self) -> dict[str, int]:
        """Return how many runs there are of each kind."""
        found = Counter([*self.runs["status"], *self.open.values()])
        return {kind: found[kind] for kind in (*ENDED, *reversed(OPEN))}


@contextmanager
def planned(folder: Path, plan: Plan) -> Iterator[None]:
    """Write down what a sweep on this machine is about to train; afterwards none of it is in progress."""
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


def read_plans(folder: Path) -> dict[str, list[list[str]]]:
    """Return name -> bundles of run ids."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((folder / "plan").glob("[!.]*.json"))}


def begin(folder: Path, runs: Sequence[RunConfig]) -> None:
    """Note that a bundle begins, and in which task of a cluster."""
    mark = mark_of(folder, [run.run_id for run in runs])
    mark.parent.mkdir(parents=True, exist_ok=True)
    array, number = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    mark.write_text(f"{array}_{number}" if array else os.environ.get("SLURM_JOB_ID", ""))


def mark_of(folder: Path, ids: Sequence[str]) -> Path:
    """Return the file that says that a bundle has begun."""
    return folder / "plan" / f"{shard_name(ids)}.began"


def _forget(folder: Path) -> None:
    for mark in (folder / "plan").glob("*.began"):
        mark.unlink(missing_ok=True)


def read(folder: Path) -> Status:
    """Return how far the sweeps of a store are.

    A bundle of this machine that has begun and not ended is dead unless a command holds the store. One of a cluster is
    what squeue says; where there is no squeue, it counts as running once it has begun. One of a store at a URL is
    running if its driver is heard of in the seconds that this takes.
    """
    plans = read_plans(folder)
    # The queue before the files: what leaves it meanwhile has its shard there.
    tasks = queue.tasks() if plans.keys() - {"local"} else None
    taken, handed = (store.index(at, SHOWN) for at in (folder, folder / store.CLUSTER))
    runs = pd.concat([frame for frame in (taken, handed) if len(frame)] or [taken])
    runs = runs.drop_duplicates("run_id", keep="last", ignore_index=True)
    writing, ended = held(folder), set(runs["run_id"])
    found: dict[str, str] = {}

    def note(bundle: Sequence[str], kind: str) -> None:
        for run_id in bundle:
            if run_id not in ended and OPEN.index(kind) >= OPEN.index(found.get(run_id, "pending")):
                found[run_id] = kind

    for name, bundles in plans.items():
        for number, bundle in enumerate(bundles):
            if name == "local":
                kind = ("running" if writing else "dead") if mark_of(folder, bundle).exists() else "pending"
            elif tasks and (name, number) in tasks:
                kind = "running" if tasks[name, number] != "PD" else "queued"
            else:
                began = mark_of(folder / store.CLUSTER, bundle).exists()
                kind = ("running" if tasks is None else "dead") if began else "pending"
            note(bundle, kind)
    for bundle, kind in sharing.standing(folder):
        note(bundle, kind)
    return Status(runs, found, writing)


def held(folder: Path) -> bool:
    """Return whether a command holds a store for writing."""
    path = folder / ".lock"
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
        if count or kind in ("finished", "failed", "running", "pending"):
            table.add_row(kind, str(count))
    console.print(table)
    if found.writing:
        console.print("A command is writing to it.")
    board.without_result(found.runs)
