"""One bundle on another machine: what a task of SLURM, or of a dask scheduler, does there.

It trains as a sweep of one bundle on its machine does, and hands its shards in.
"""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

from hclm_runner import callbacks, store
from hclm_runner.checkpoints import Unfinished
from hclm_runner.config import RunConfig
from hclm_runner.sweeps.board import Result
from hclm_runner.sweeps.plan import Plan, find_device


class DiedError(RuntimeError):
    """A task was killed."""


def work(folder: Path, runs: list[RunConfig], command: list[str], marks: Path, threads: int = 1) -> None:
    """Train one bundle.

    Args:
        folder: The store.
        runs: The bundle.
        command: What the person has typed, for the records.
        marks: In whose plan/ it is noted that the bundle begins.
        threads: Of a process that trains on a CPU.

    Raises:
        RuntimeError: If it had to stop before all runs were tried.
    """
    from hclm_runner.sweeps.engine import start_server, train
    from hclm_runner.sweeps.plan import size_of

    # It imports torch, as this process does for the two lines that follow.
    start_server(compile=runs[0].compile is True)
    sys.orig_argv = command
    first, device = runs[0], find_device(runs[0].device)
    sizes = {first.shape_key: size_of(first, device)}
    plan = Plan({}, 0, [], [runs], sizes, 1, threads if device == "cpu" else 1, device)
    result = Result(plan.runs)
    own = {run.run_id: run for run in runs}
    unfinished = Unfinished(
        folder, own, partial(store.index, folder, []), device, lambda _: None
    )  # of other tasks there are more
    train(plan, marks, partial(store.hand_in, folder), unfinished, callbacks.load(first.callbacks), result)
    if result.stopped or result.interrupted:
        raise RuntimeError(result.stopped or "interrupted")


def apart(here: str, task: bytes) -> None:
    """Do the work of a task in a process of its own: where threads do it, they get no signals.

    Args:
        here: The folder of the command.
        task: What `work` takes, pickled.

    Raises:
        DiedError: If that process was killed.
        RuntimeError: If it ended without having done it: with its last words.
    """
    command = [sys.executable, "-m", "hclm_runner.sweeps.task"]
    done = subprocess.run(command, cwd=here, input=task, stderr=subprocess.PIPE, check=False)
    if done.returncode < 0:
        raise DiedError(f"its process died (signal {-done.returncode}, {signal.Signals(-done.returncode).name})")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise RuntimeError(said[-1] if said else f"exit code {done.returncode}")


def _outlive(parent: int) -> None:
    """End this process once its parent is gone: another worker has its bundle then."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_outlive, args=[os.getppid()], daemon=True).start()
    work(*pickle.load(sys.stdin.buffer))
