"""Train many runs: plan bundles, supervise a process for each, write what comes back, say what happened."""

import multiprocessing
import os
import signal
import sys
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from hclm_runner import callbacks, parameters, remote, store, terminal
from hclm_runner.callbacks import Callbacks
from hclm_runner.checkpoints import Checkpoint, Unfinished
from hclm_runner.config import RunConfig, explain
from hclm_runner.config.compose import Composer
from hclm_runner.config.grid import Grid
from hclm_runner.config.schema import DaskOptions
from hclm_runner.parts import ROOMS
from hclm_runner.records import Records, describe, without_result
from hclm_runner.refusal import ERRORS, ConfigError, one_line, out_of_memory
from hclm_runner.sweeps import board, sharing, status
from hclm_runner.sweeps.board import Result
from hclm_runner.sweeps.plan import Plan, find_device, make_plan
from hclm_runner.sweeps.sharing import Driver

ENVIRONMENT = {
    # glibc keeps the memory of a tensor for the next one, and does not return it to the system: a fifth of the time.
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    # On pages of 2 MiB, where the system lets a program choose: with those of 4 KiB, finding addresses takes a fifth.
    "GLIBC_TUNABLES": ":".join(filter(None, ["glibc.malloc.hugetlb=1", os.environ.get("GLIBC_TUNABLES")])),
    # A thread that waits for another leaves its core to the rest of the machine: up to six times, where others work.
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Of the processes that train."""

CHECKED = 10_000
"""Of so many jobs that are put together from parts, one is composed Hydra's own way too."""

MANY = 2000
"""Jobs of which it is likely that `compile=auto` compiles them: their processes come from a server that can."""

Write = Callable[[pd.DataFrame, pd.DataFrame], object]


def sweep(composer: Composer, jobs: Sequence[Sequence[str]]) -> tuple[int, list[RunConfig]]:
    """Compose the jobs of a multirun and train what their store lacks; return the exit code, and the runs.

    A job that cannot be composed is named at the end, with the runs of the first store, and is none of the runs.
    """
    options = composer.master.get("sweep") or {}
    if options.get("on") == "local" and not options.get("dry_run"):
        # Even if nothing is missing: that is known only once all is composed.
        compiled = composer.master.get("compile")
        start_server(compile=compiled is True or (compiled == "auto" and len(jobs) >= MANY))
    grid, configs, composed = Grid(composer), list[RunConfig](), list[Sequence[str]]()
    refused: dict[str, list[str]] = {}
    for overrides in terminal.track(jobs, "composing"):
        try:
            configs.append(grid(overrides))
            composed.append(overrides)
        except ConfigError as error:
            refused.setdefault(str(error), []).append(" ".join(overrides))
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            refused.setdefault(str(explain(error, overrides)), []).append(" ".join(overrides))
    if configs:
        grid.check(composed, max(configs[0].sweep.verify, grid.put_together // CHECKED))
    codes: list[int] = []
    stores: dict[str, list[RunConfig]] = {}
    for config in configs:
        stores.setdefault(config.name, []).append(config)
    for runs in stores.values():
        codes.append(execute(runs, None if codes else refused))
    if not codes:
        board.refusals(refused)
    return max(codes, default=board.REFUSED), configs


def execute(configs: Sequence[RunConfig], refused: Mapping[str, list[str]] | None = None) -> int:
    """Train the runs of one store that it does not have, write them, and print the summary; return the exit code.

    Args:
        configs: The runs.
        refused: Reason -> jobs, of those that were to run with them.
    """
    refused = dict(refused or {})
    folder, options = store.OUTPUTS / configs[0].name, configs[0].sweep
    follow = callbacks.load(configs[0].callbacks)
    unique = {config.run_id: config for config in configs}
    if options.dry_run:
        remote.refresh(folder)
        plan = make_plan(unique, store.index(folder, []), configs[0])
        board.dry_run(plan, folder)
        board.refusals(refused)
        return board.REFUSED if refused else 0
    with store.locked(folder, terminal.say) as aside:
        terminal.set_aside([*aside, *store.claim(folder, configs)])
        if options.on == "slurm":
            from hclm_runner.sweeps import slurm

            return slurm.send(folder, unique, configs[0], refused)
        known = store.index(folder, [])
        cluster = configs[0].cluster
        address = cluster.address if options.on == "dask" and isinstance(cluster, DaskOptions) else None
        device = "auto" if address else find_device(configs[0].device)
        unfinished = Unfinished(folder, unique, lambda: known, device, terminal.say)
        plan = make_plan(unique, known, configs[0], {} if configs[0].force else unfinished.of)
        board.announce(plan, folder, address or plan.device)
        result = Result(plan.runs + sum(map(len, refused.values())), refused=refused)
        started = time.perf_counter()
        if plan.bundles:
            try:
                if address:
                    from hclm_runner.sweeps import dask

                    with status.planned(folder, plan):
                        dask.train(plan, folder, address, result)
                else:
                    joined = sharing.joined(folder, unique, plan, options.bundle)
                    with joined as (plan, driver), status.planned(folder, plan):
                        write = partial(store.write, folder, known={*known["run_id"]})
                        train(plan, folder, write, unfinished, follow, result, driver)
                        if driver:
                            driver.account(result)
            except OSError as error:
                result.stopped = f"the store cannot be written: {error.strerror or error}"
        board.sweep_summary(plan, result, folder, time.perf_counter() - started)
    return max(result.code, int(bool(plan.diverged)))


def train(
    plan: Plan,
    folder: Path,
    write: Write,
    unfinished: Unfinished,
    follow: Callbacks,
    result: Result,
    driver: Driver | None = None,
) -> None:
    """Train the bundles of a plan in processes of this machine, and note in `result` how they end.

    Args:
        plan: What there is to train.
        folder: In whose plan/ it is noted that a bundle begins.
        write: Takes the records and descriptions of each bundle that has ended.
        unfinished: The checkpoints of the store, where parameters stand too.
        follow: The callbacks.
        result: How it ended.
        driver: This command among those that train the plan; None if it is the only one.

    Raises:
        OSError: If what has ended cannot be written.
    """
    start_server(compile=any(map(plan.compiles, plan.bundles)))
    with board.SweepProgress(result.runs) as progress, stoppable() as stop:
        progress.advance(result.without_result)  # those that are refused already
        try:
            _Supervisor(plan, folder, write, unfinished, progress, follow, result, stop, driver).run()
        except _StartError as error:
            result.stopped = f"a process cannot be started: {error}"


class _StartError(Exception):
    """The system refuses a process."""


class _Supervisor:
    """Keeps `plan.workers` processes busy, each with one bundle; the parent alone writes.

    A bundle that fails as a whole, for memory, by an exception or a signal, is halved until the run at fault is alone.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        write: Write,
        unfinished: Unfinished,
        progress: board.SweepProgress,
        follow: Callbacks,
        result: Result,
        stop: Callable[[], bool],
        driver: Driver | None,
    ) -> None:
        self.plan, self.folder, self.write, self.result, self.stop = plan, folder, write, result, stop
        self.progress, self.follow, self.unfinished, self.driver = progress, follow, unfinished, driver
        self.queue = deque(plan.bundles)
        self.active: dict[Connection, tuple[BaseProcess, list[RunConfig], float]] = {}
        self.said = set[str]()

    def run(self) -> None:
        try:
            while (self.queue or self.active) and not self.stop():
                if self.driver:
                    self.driver.beat()
                while self.queue and len(self.active) < self.plan.workers and (runs := self._next()):
                    self._start(runs)
                for connection in wait(list(self.active), timeout=0.2):
                    assert isinstance(connection, Connection)
                    self._receive(connection)
            self.result.interrupted = self.stop()
            while self.stop() and (ready := wait(list(self.active), timeout=0)):  # what is finished is written
                for connection in ready:
                    assert isinstance(connection, Connection)
                    self._receive(connection)
        finally:
            for process, *_ in self.active.values():
                process.kill()

    def _next(self) -> list[RunConfig]:
        """Return the bundle to train now; [] if other machines train what is left."""
        return self.driver.take(self.queue) if self.driver else self.queue.popleft()

    def _start(self, runs: list[RunConfig]) -> None:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        compiled = self.plan.compiles(runs)
        work = (theirs, runs, self.unfinished.folder, self.plan.device, compiled, self.plan.threads)
        process = _context().Process(target=_train_bundle, args=work, daemon=True)
        status.begin(self.folder, runs)
        try:
            with _without_main():
                process.start()
        except (OSError, EOFError) as error:  # EOFError: the server of processes was refused the fork
            raise _StartError(one_line(error)) from error
        theirs.close()
        self.active[ours] = process, runs, time.perf_counter()

    def _receive(self, connection: Connection) -> None:
        process, runs, started = self.active[connection]
        try:
            kind, *content = connection.recv()
        except (EOFError, OSError):  # OSError: it died while it sent
            process.join()
            kind, content = "failed", [f"its process died ({_exit(process.exitcode)})", None]
        if kind == "said":
            if content[0] not in self.said:  # many bundles may have the same to say
                self.said.add(content[0])
                terminal.say(*content)
            return
        if kind == "epoch":
            self.progress.advance(len(runs) / (runs[0].epochs + 1))
            if content and not self.stop():  # a slow callback must not hold up Ctrl-C
                self.follow(runs, *content)
            return
        del self.active[connection]
        connection.close()
        process.join()
        if kind == "done":
            self._write(Records(runs, *content), time.perf_counter() - started)
        elif len(runs) > 1:
            terminal.say(f"a bundle of {len(runs)} runs: {content[0]}; trying its halves")
            middle = len(runs) // 2
            self.queue.extendleft([runs[middle:], runs[:middle]])
        else:
            self._fail(runs[0], "failed" if kind == "memory" else kind, *content)
        self.progress.settle(self.result.finished, self.result.without_result)

    def _write(self, records: Records, seconds: float) -> None:
        frame = records.frame()
        described = describe(records, self.plan.device, seconds)
        parameters.save(self.unfinished.folder, records)
        self._hand_over(records.runs, frame, described)
        self.unfinished.drop([run.run_id for run in records.runs])
        self.result.note(described, {run.run_id: run.title for run in records.runs})

    def _hand_over(self, runs: Sequence[RunConfig], frame: pd.DataFrame, described: pd.DataFrame) -> None:
        self.write(frame, described)
        if self.driver:
            self.driver.ended(runs)

    def _fail(self, run: RunConfig, status: str, reason: str, trace: str | None) -> None:
        records, described = without_result(run, self.plan.device, status, trace or reason)
        self._hand_over([run], records, described)
        self.result.note(described, {run.run_id: run.title}, reason)


def _train_bundle(
    connection: Connection, runs: list[RunConfig], folder: Path, device: str, compile: bool, threads: int
) -> None:
    """Train one bundle in a process of its own, and send what came of it; the parent decides what that means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent alone answers it
    import torch

    from hclm_runner.training.trainer import train

    torch.set_num_threads(threads)
    warnings.showwarning = lambda message, *_, **__: connection.send(("said", f"warning: {message}"))
    try:
        for choice in (getattr(runs[0], group) for group in ROOMS):
            choice.check_unchanged()
        followed = bool(runs[0].callbacks)  # which the parent calls: in one process, and never two at once

        def progress(*row: Any) -> None:
            connection.send(("epoch", *(row if followed else ())))

        checkpoint = Checkpoint(folder, runs[0].checkpoint_every, device, lambda line: connection.send(("said", line)))
        trained = train(runs, device=device, compile=compile, progress=progress, checkpoint=checkpoint)
        kept = (trained.theta, trained.network) if any(run.save_parameters for run in runs) else (None, None)
        connection.send(("done", trained.columns, trained.diverged, trained.causes, *kept, trained.compiled))
    except BrokenPipeError:
        return  # the parent is gone, and with it the reason to go on
    except ConfigError as error:
        connection.send(("refused", str(error), traceback.format_exc() if error.__cause__ else None))
    except ERRORS as error:  # whatever it is, the parent records it
        kind = "memory" if out_of_memory(error) else "failed"
        connection.send((kind, one_line(error), traceback.format_exc()))


def _context(compile: bool = False) -> Any:
    """Return how processes start: from a server that has torch already, where the system can fork."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    compiler = ["hclm_runner.training.compiler"] if compile else []
    context.set_forkserver_preload(["hclm_runner.training.trainer", "hclm_runner.sweeps.engine", *compiler])
    return context


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the program from multiprocessing, which would run a user's script again in each process that it starts."""
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


def start_server(compile: bool = False) -> None:
    """Start the server of processes, which takes the seconds of importing torch, while the parent composes.

    To `compile`, it imports torch's compiler too, for some more seconds, once for all processes.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        _context(compile)
        from multiprocessing import forkserver

        given = {name: os.environ.get(name) for name in ENVIRONMENT}
        os.environ.update(ENVIRONMENT)
        forkserver.ensure_running()
        for name, value in given.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _exit(code: int | None) -> str:
    return f"signal {-code}, {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Yield whether Ctrl-C was pressed; pressed twice, it raises KeyboardInterrupt as ever."""
    pressed: list[int] = []
    usual = signal.getsignal(signal.SIGINT)

    def press(number: int, _: object) -> None:
        pressed.append(number)
        terminal.say("stopping: writing what is finished; Ctrl-C again stops at once")
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, usual)
