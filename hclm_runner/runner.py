"""One run, end to end: look in the store, train, write, show."""

import sys
import time
import traceback
from functools import partial
from pathlib import Path

from hclm_runner import callbacks, parameters, remote, store, terminal
from hclm_runner.callbacks import Callbacks
from hclm_runner.checkpoints import Checkpoint, Unfinished
from hclm_runner.config import RunConfig
from hclm_runner.records import Records, describe
from hclm_runner.refusal import ERRORS, ConfigError
from hclm_runner.sweeps import board
from hclm_runner.sweeps.plan import find_device, free_memory, make_plan, repays, size_of


def run(config: RunConfig) -> int:
    """Train one run unless its store has it, write its records and picture, print its summary.

    With sweep.dry_run=true it only says what it would do, as a sweep does.

    Returns:
        The exit code: 0, or 1 for a run that diverged.

    Raises:
        ConfigError: If the configuration asks for what this machine or this task does not have.
    """
    folder, follow = store.OUTPUTS / config.name, callbacks.load(config.callbacks)
    if config.sweep.dry_run:
        remote.refresh(folder)
        board.dry_run(make_plan({config.run_id: config}, store.index(folder, []), config), folder)
        return 0
    code = _reuse(config, folder)
    if code is None:
        device = find_device(config.device)
        with store.locked(folder, terminal.say) as aside:
            terminal.set_aside([*aside, *store.claim(folder, [config])])
            code = _reuse(config, folder)  # another command may have trained it while this one waited
            if code is None:
                code = _train(config, folder, device, follow)
    return code


def _reuse(config: RunConfig, folder: Path) -> int | None:
    """Show what the store has of the run and return the exit code, None if that is not what is asked for."""
    known, run_id = store.find(folder, config.run_id), config.run_id
    if known is None or not store.answers(config, known["status"], store.parameters_of(folder, run_id).exists()):
        return None
    status = str(known["status"])
    named = f"{run_id} ({config.title}), {status}"
    headline = f"Already in the store as {named}; nothing was trained. force=true trains it again."
    paths = sorted(path for path in folder.rglob("*") if path.stem == run_id) or [folder / "records"]
    terminal.summary(store.read_records(folder, run_id), paths, headline)
    return 0 if status == "finished" else 1


def _train(config: RunConfig, folder: Path, device: str, follow: Callbacks) -> int:
    """Train the run, write it to the store, which is locked, show it, and return the exit code."""
    # Here, because a run that the store has needs neither.
    import torch

    from hclm_runner import picture
    from hclm_runner.training.trainer import train

    torch.set_num_threads(1)  # the kernels of one small run are too short to share
    start, size, free = time.perf_counter(), size_of(config, device), free_memory(device)
    if size.bytes > free:
        terminal.say(f"warning: the run may take {size.bytes / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free")
    compiled = repays(size, size.seconds) if config.compile == "auto" else config.compile
    unfinished = Unfinished(folder, {config.run_id: config}, partial(store.index, folder, []), device, terminal.say)
    checkpoint = Checkpoint(folder, config.checkpoint_every, device, terminal.say)
    with terminal.progress_line(config.epochs) as show:

        def progress(epoch: int, measured: terminal.Row) -> None:
            show(epoch, measured)
            follow([config], epoch, measured)

        try:
            trained = train([config], device=device, compile=compiled, progress=progress, checkpoint=checkpoint)
        except ERRORS as error:
            refused = isinstance(error, ConfigError)
            if not refused or error.__cause__:  # an error in the code of a part, whose traceback is worth keeping
                nothing, status = Records.empty(config), "refused" if refused else "failed"
                trace = traceback.format_exc()
                store.write(folder, nothing.frame(), describe(nothing, device, 0.0, status=status, error=trace))
            raise
    seconds = time.perf_counter() - start
    records = trained.frame()
    described = describe(trained, device, seconds)
    saved = parameters.save(folder, trained)
    paths = store.write(folder, records, described) + saved
    unfinished.drop([config.run_id])
    if len(records) > 1:
        paths += picture.save(picture.draw(records, config.title), folder / "figures" / config.run_id)
    diverged = trained.diverged[0] >= 0
    ended = "diverged" if diverged else "finished"
    headline = f"Run {config.run_id} ({config.title}) {ended} in {seconds:.1f} s on {device}."
    terminal.summary(records, paths, headline)
    for warning in described["warnings"].dropna():
        terminal.say(f"warning: {warning}")
    if diverged:
        print(f"error: the run diverged: {trained.causes[0]}", file=sys.stderr)
    return int(diverged)
