"""A sweep on a SLURM cluster: each bundle is a task of a job array, and what a task has trained is a file of the store.

Nothing here waits, and nothing is remembered but in files. plan/<array>.json, written before the array is submitted,
has its bundles; a task says that it begins, trains, and hands its shards in (`task.work`). The next command takes them
in. A bundle that began, is no longer queued and has not ended has died: its runs are submitted again in halves, and one
that died alone has failed. submitit submits; its own files are not read.
"""

import io
import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from hclm_runner import store
from hclm_runner.config import RunConfig
from hclm_runner.config.schema import SlurmOptions
from hclm_runner.objects import url_of
from hclm_runner.records import redacted, without_result
from hclm_runner.sweeps import board, queue, status, task
from hclm_runner.sweeps.board import counted
from hclm_runner.sweeps.plan import make_plan, stored
from hclm_runner.terminal import say


class Sent(NamedTuple):
    """The runs of earlier commands that have not ended."""

    away: set[str]
    """Those in the queue, or training."""
    halves: list[list[RunConfig]]
    """What is left of bundles that died, in smaller ones."""
    died: list[RunConfig]
    """Those that died alone."""


def send(folder: Path, configs: Mapping[str, RunConfig], first: RunConfig, refused: Mapping[str, list[str]]) -> int:
    """Submit what a store lacks and no queue has, say how far the sweep is, and return the exit code.

    Args:
        folder: The store, locked.
        configs: The runs by run_id.
        first: The options of all.
        refused: Reason -> jobs that have no configuration.

    Raises:
        ConfigError: If something is missing and there is no cluster, or it refuses: with its own words.
    """
    tasks = queue.tasks()
    store.take_in(folder)  # once more: of a task that has left the queue by then, all that it has trained
    if len(stored(configs, store.index(folder, []))) < len(configs):
        if tasks is None:
            raise queue.absent("squeue")
        _check_installed()
        _send_missing(folder, configs, first, tasks)
    if tasks is not None:
        _clear(folder, tasks)
    found = status.read(folder)
    status.show(found._replace(writing=False), folder)
    if found.open:
        say(f"to wait for them: python -m hclm_runner.sweeps wait {url_of(folder) or folder.name}")
    board.refusals(refused)
    if refused:
        return board.REFUSED
    ended = found.runs[found.runs["run_id"].isin(configs)]
    return int((ended["status"] != "finished").any())


def _send_missing(
    folder: Path, configs: Mapping[str, RunConfig], first: RunConfig, tasks: Mapping[tuple[str, int], str]
) -> None:
    """Record the runs that died alone, and submit those that the store lacks and no queue has."""
    sent = _sent(folder, configs, tasks)
    for run in sent.died:
        _fail(folder, run)
    elsewhere = sent.away | {run.run_id for run in sent.died}
    here = {run_id: run for run_id, run in configs.items() if run_id not in elsewhere}
    plan = make_plan(here, store.index(folder, []), first, apart=sent.halves)
    assert isinstance(first.cluster, SlurmOptions)
    room = queue.room(first.cluster.queued, len(tasks))
    _submit(folder, plan.bundles[:room], first.cluster)
    if waiting := len(plan.bundles[room:]):
        say(f"{counted(waiting, 'bundle')} more than the queue takes: the same command submits them later")


def _check_installed() -> None:
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise queue.refusal("submitit to be installed: pip install 'hclm-runner[slurm]'") from error


def _sent(folder: Path, configs: Mapping[str, RunConfig], tasks: Mapping[tuple[str, int], str]) -> Sent:
    """Return what became of the bundles that earlier commands submitted."""
    ended = set(store.index(folder, [])["run_id"])
    plans = {name: bundles for name, bundles in status.read_plans(folder).items() if name != "local"}
    bundles = [(bundle, (name, number) in tasks) for name, own in plans.items() for number, bundle in enumerate(own)]
    away = {run_id for bundle, queued in bundles if queued for run_id in bundle} - ended
    halves, died, seen = [], [], set(away)
    for bundle, queued in sorted(bundles, key=lambda each: len(each[0])):  # the last attempt of a run is the smallest
        left = [configs[run_id] for run_id in bundle if run_id in configs and run_id not in ended | seen]
        if queued or not left or not status.mark_of(folder / store.CLUSTER, bundle).exists():
            continue
        seen |= {run.run_id for run in left}
        if len(bundle) == 1:
            died += left
        else:
            say(f"a bundle of {counted(len(bundle), 'run')}: {_last_words(folder, bundle)}; trying its halves")
            middle = len(left) // 2
            halves += [half for half in (left[:middle], left[middle:]) if half]
    return Sent(away, halves, died)


def _last_words(folder: Path, bundle: Sequence[str]) -> str:
    """Return why a task ended without a result, as far as its log says."""
    mark, logs = status.mark_of(folder / store.CLUSTER, bundle), folder / store.CLUSTER / "slurm"
    task = mark.read_text()
    log = next(iter(sorted(logs.glob(f"{task}_*_log.out"))), None) if task else None
    lines = queue.words(log.read_text(errors="replace")).split("; ") if log else []
    return f"task {task} ended without a result" + (f" ({lines[-1]})" if lines else "")


def _fail(folder: Path, run: RunConfig) -> None:
    """Record a run that ended its task, alone."""
    store.write(folder, *without_result(run, "slurm", "failed", _last_words(folder, [run.run_id])))


def _submit(folder: Path, bundles: Sequence[list[RunConfig]], asked: SlurmOptions) -> None:
    """Submit bundles, in arrays of the size that the cluster takes.

    Raises:
        ConfigError: If the cluster refuses the first array; a later one is left to the next command.
    """
    from submitit.core.utils import FailedJobError

    size = queue.largest_array()
    for start in range(0, len(bundles), size):
        own, name = bundles[start : start + size], f"hclm-{uuid4().hex[:12]}"
        runs = [run.run_id for bundle in own for run in bundle]
        for bundle in own:
            status.mark_of(folder / store.CLUSTER, [run.run_id for run in bundle]).unlink(missing_ok=True)
        status.write_plan(folder, name, own)
        try:
            _submit_array(folder, own, asked, name)
        except FailedJobError as error:
            (folder / "plan" / f"{name}.json").unlink()
            said = f"a job that the cluster takes, got: {queue.words(str(error))}"
            if start == 0:
                raise queue.refusal(said) from error
            say(f"{counted(len(bundles) - start, 'bundle')} left to the next command: expected {said}")
            return
        store.forget(folder, runs)  # how an earlier attempt of theirs ended
        say(f"{folder}/: {counted(len(runs), 'run')} submitted in {counted(len(own), 'task')} of the array {name}")


def _submit_array(folder: Path, bundles: Sequence[list[RunConfig]], asked: SlurmOptions, name: str) -> None:
    import submitit

    inbox = (folder / store.CLUSTER).resolve()
    store.prepare(inbox)
    extra = (option.removeprefix("--").partition("=") for option in asked.extra)
    executor = submitit.SlurmExecutor(folder=inbox / "slurm")
    executor.update_parameters(
        job_name=name,
        partition=asked.partition,
        account=asked.account,
        qos=asked.qos,
        time=asked.minutes,
        mem=None if asked.memory is None else f"{round(asked.memory * 1024)}M",
        cpus_per_task=asked.cpus,
        gpus_per_node=asked.gpus or None,
        array_parallelism=asked.parallel,
        setup=asked.setup,
        additional_parameters={key: value if equals else True for key, equals, value in extra},
        use_srun=False,
        stderr_to_stdout=True,
        wckey=None,
    )
    command = [redacted(word) for word in sys.orig_argv]
    try:
        with redirect_stderr(io.StringIO()), executor.batch():  # sbatch's words come with the error
            for bundle in bundles:
                runs = [run.model_copy(update={"cluster": None}) for run in bundle]  # of which no task has need
                executor.submit(task.work, inbox.parent, runs, command, inbox, min(2, asked.cpus))
    finally:
        for script in (inbox / "slurm").glob("*.sh"):  # the cluster has it; `setup` may have what is secret
            script.unlink()


def _clear(folder: Path, before: Mapping[tuple[str, int], str]) -> None:
    """Remove plans of which nothing is left, and the files of submitit that no task will read."""
    plans, ended = status.read_plans(folder), set(store.index(folder, [])["run_id"])
    tasks = (queue.tasks() or {}).keys() | before.keys()
    queued = {name for name, _ in tasks}
    again = {run_id for name in plans.keys() & queued for bundle in plans[name] for run_id in bundle}
    for name in plans.keys() - queued - {"local"}:
        if {run_id for bundle in plans[name] for run_id in bundle} <= ended | again:
            (folder / "plan" / f"{name}.json").unlink()
    if not plans.keys() & queued:
        for file in (folder / store.CLUSTER / "slurm").glob("*.*"):
            if file.suffix == ".pkl":
                file.unlink()


def wait(folder: Path) -> None:
    """Return once no bundle of a store is in the queue; ask it ever more rarely, once in half a minute at last.

    Raises:
        ConfigError: If there is no cluster, or it does not answer.
    """
    for pause in itertools.chain((1, 2, 4, 8, 16), itertools.repeat(30)):
        tasks = queue.tasks()
        if tasks is None:
            raise queue.absent("squeue")
        if not {name for name, _ in tasks} & status.read_plans(folder).keys():
            return
        time.sleep(pause)


def cancel(folder: Path) -> int:
    """Take all bundles of a store out of the queue, and return how many arrays that were."""
    names = [name for name in status.read_plans(folder) if name != "local"]
    if names:
        queue.ask("scancel", "--me", f"--name={','.join(names)}")
    for name in names:
        (folder / "plan" / f"{name}.json").unlink()
    return len(names)
