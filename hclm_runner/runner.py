"""One run, end to end: look in the store, train, write, show."""

import sys
import time
from pathlib import Path

import torch

from hclm_runner import callbacks, picture, store, terminal
from hclm_runner.callbacks import Callbacks
from hclm_runner.config import RunConfig
from hclm_runner.records import describe
from hclm_runner.sweep.plan import compiles, find_device, size_of
from hclm_runner.training.trainer import train


def run(config: RunConfig) -> int:
    """Train one run unless its store has it, write its records and picture, print its summary.

    Returns:
        The exit code: 0, or 1 for a run that diverged.

    Raises:
        ConfigError: If the configuration asks for what this machine or this task does not have.
    """
    folder, follow = store.OUTPUTS / config.name, callbacks.load(config.callbacks)
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
    """Show what the store has of the run and return the exit code, None if it has nothing or force=true."""
    known = None if config.force else store.find(folder, config.run_id)
    if known is None:
        return None
    run_id, status = config.run_id, known["status"]
    headline = f"Already in the store as {run_id} ({status}); nothing was trained. force=true trains it again."
    paths = sorted(path for path in folder.rglob("*") if path.stem == run_id) or [folder / "records"]
    terminal.summary(config, store.read_records(folder, run_id), paths, headline)
    return 0 if status == "finished" else 1


def _train(config: RunConfig, folder: Path, device: str, follow: Callbacks) -> int:
    """Train the run, write it to the store, which is locked, show it, and return the exit code."""
    torch.set_num_threads(1)  # the kernels of one small run are too short to share
    start = time.perf_counter()
    with terminal.progress_line(config.epochs) as show:

        def progress(epoch: int, measured: terminal.Row) -> None:
            show(epoch, measured)
            follow([config], epoch, measured)

        seconds = size_of(config).seconds if config.compile == "auto" else 0.0
        trained = train([config], device=device, compile=compiles(config, seconds), progress=progress)
    seconds = time.perf_counter() - start
    records = trained.frame()
    described = describe(trained, device, seconds)
    paths = store.write(folder, records, described)
    if len(records) > 1:
        paths += picture.save(picture.draw(records, config.title), folder / "figures" / config.run_id)
    diverged = trained.diverged[0] >= 0
    headline = f"Run {config.run_id} {'diverged' if diverged else 'finished'} in {seconds:.1f} s on {device}."
    terminal.summary(config, records, paths, headline)
    for warning in described["warnings"].dropna():
        terminal.say(f"warning: {warning}")
    if diverged:
        reason = f"the run diverged at epoch {trained.diverged[0]}; a smaller optimizer.lr may help"
        print(f"error: {reason}", file=sys.stderr)
    return int(diverged)
