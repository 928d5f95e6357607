"""A sweep on the workers of a dask scheduler: each bundle is a task, and what it has trained is a file of the store.

The command waits, as a local one does. A future says that a task has ended, and the store what came of it. A bundle
whose worker dies runs again elsewhere, as often as the scheduler allows; one that still kills its workers is halved.
"""

import logging
import pickle
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hclm_runner import store
from hclm_runner.config import RunConfig
from hclm_runner.records import redacted, without_result
from hclm_runner.refusal import ConfigError, one_line
from hclm_runner.shards import shard_name
from hclm_runner.sweeps import board, task
from hclm_runner.sweeps.board import Result
from hclm_runner.sweeps.plan import Plan
from hclm_runner.terminal import say

PATIENCE = 10
"""Seconds in which a scheduler answers."""

AT_ONCE = 1000
"""Tasks that a scheduler is given at a time: it holds about a kilobyte of each run."""

LATE = (0, 1, 2, 4, 8, 15, 30)
"""Seconds to wait, one after the other, for a file that another machine has written: a shared disk may show it late."""


def room(address: str) -> tuple[int, float]:
    """Return how many bundles the workers of a scheduler train at once, and the bytes that one of these may take.

    Raises:
        ConfigError: If there is no scheduler, or distributed is not installed.
    """
    with _connected(address) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        slots = sum(worker["nthreads"] for worker in workers)
        shares = [worker["memory_limit"] / worker["nthreads"] for worker in workers if worker["memory_limit"]]
    return slots, min(shares, default=float("inf")) / 2


def train(plan: Plan, folder: Path, address: str, result: Result) -> None:
    """Train the bundles of a plan on the workers of a scheduler, and note in `result` how they end.

    Raises:
        ConfigError: As `room`.
        OSError: If what has ended cannot be written.
    """
    from hclm_runner.sweeps.engine import stoppable

    with _connected(address) as client, board.SweepProgress(result.runs) as progress, stoppable() as stop:
        progress.advance(result.without_result)  # those that are refused already
        driver = _Driver(plan, folder, client, progress, result)
        store.prepare(folder / store.CLUSTER)
        store.forget(folder, driver.open)  # how an earlier attempt of theirs ended
        if not client.nthreads():
            say(f"no workers yet at {address}: bundles wait for one")
        while (driver.queue or driver.sent) and not stop() and not result.stopped:
            driver.step()
            time.sleep(0.1)
        result.interrupted = stop()
        client.cancel(list(driver.sent))  # of those that train, the next command takes in what they hand in
        driver.note()


class _Driver:
    """Keeps a scheduler supplied with bundles."""

    def __init__(self, plan: Plan, folder: Path, client: Any, progress: board.SweepProgress, result: Result) -> None:
        self.folder, self.client, self.progress, self.result = folder, client, progress, result
        self.queue = deque(plan.bundles)
        self.sent: dict[Any, list[RunConfig]] = {}
        self.open = {run.run_id: run.title for bundle in plan.bundles for run in bundle}
        """Run id -> title, of those of which there is no word yet."""

    def step(self) -> None:
        """Submit what there is room for, and see what has ended."""
        while self.queue and len(self.sent) < AT_ONCE:
            bundle = self.queue.popleft()
            self.sent[self._submit(bundle)] = bundle
        for future in [future for future in self.sent if future.status != "pending"]:
            self._end(future, self.sent.pop(future))

    def note(self) -> None:
        """Take in what tasks have handed in."""
        store.take_in(self.folder)
        ended = store.ended(self.folder, self.open)
        self.result.note(ended, self.open)
        for run_id in ended["run_id"]:
            del self.open[run_id]
        self.progress.advance(len(ended))
        self.progress.settle(self.result.finished, self.result.without_result)

    def _submit(self, bundle: list[RunConfig]) -> Any:
        """Submit a bundle under a name that follows from it: a task that outlived a command is not begun again."""
        work = (self.folder.resolve(), bundle, [redacted(word) for word in sys.orig_argv], self.folder.resolve())
        key = f"hclm-{shard_name([str(work[0]), *(run.run_id for run in bundle)])}"
        return self.client.submit(task.apart, str(Path.cwd()), pickle.dumps(work), key=key)

    def _end(self, future: Any, bundle: Sequence[RunConfig]) -> None:
        """See what a task that has ended leaves: runs with an end, halves to be tried, a reason to stop."""
        from distributed import KilledWorker

        error = future.exception() if future.status == "error" else None
        for pause in LATE if future.status == "finished" else LATE[:1]:
            time.sleep(pause)
            self.note()
            left = [run for run in bundle if run.run_id in self.open]
            if not left:
                return
        if future.status == "finished":
            self.result.stopped = f"a worker has trained, but {self.folder}/ has no word of it: is it on a shared disk?"
        elif error is None:
            self.result.stopped = (
                "the scheduler is gone; what was written stays, and the same command goes on from there"
            )
        elif not isinstance(error, KilledWorker | task.DiedError):
            self.result.stopped = f"a worker cannot train: {one_line(error)}"
        else:
            why = str(error) if isinstance(error, task.DiedError) else "it has killed its workers"
            if len(left) == 1:
                store.write(self.folder, *without_result(left[0], "dask", "failed", why))
                self.note()
                return
            say(f"a bundle of {len(left)} runs: {why}; trying its halves")
            middle = len(left) // 2
            self.queue.extendleft([left[middle:], left[:middle]])


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Yield a client of a scheduler."""
    try:
        from distributed import Client
    except ImportError as error:
        wanted = "distributed to be installed: pip install 'hclm-runner[dask]'"
        raise ConfigError("sweep.on", "dask", wanted) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # we say it ourselves
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            "cluster.address", address, f"a dask scheduler that answers, got {one_line(error)}"
        ) from error
    with client:
        yield client
