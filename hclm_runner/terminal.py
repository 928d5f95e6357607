"""What a person at a terminal sees: progress, summaries, the paths of what was written."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress import track as rich_track
from rich.table import Table
from rich.text import Text

from hclm_runner.analysis import LATE, effectiveness, final
from hclm_runner.config import ConfigError, RunConfig

if TYPE_CHECKING:
    from hclm_runner.sweep.engine import Result
    from hclm_runner.sweep.plan import Plan

T = TypeVar("T")
Row = Mapping[str, "np.ndarray[tuple[int], np.dtype[np.float64]]"]


@contextmanager
def progress_line(epochs: int) -> Iterator[Callable[[int, Row], None]]:
    """Yield a callback for `train` that keeps one line up to date; silent where the output is not a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("epoch {task.completed:>4.0f}/{task.total:.0f}"),
        BarColumn(24),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        line = bar.add_task("preparing the data", total=epochs)

        def show(epoch: int, row: Row) -> None:
            loss, entropy, lam = (row[key][0] for key in ("train_loss", "entropy", "lam"))
            bar.update(line, completed=epoch, description=f"loss {loss:.3f}  entropy {entropy:.3f}  lam {lam:.3g}")

        yield show


def say(message: str) -> None:
    """Print a line to standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(message, markup=False)


def track(jobs: Sequence[T], what: str) -> Iterable[T]:
    """Yield from a sequence, with a bar if that takes long and the output is a terminal."""
    console = Console(stderr=True)
    return rich_track(jobs, what, console=console, transient=True, disable=not console.is_terminal)


class SweepProgress:
    """The bar of a sweep: runs done, runs a second, time left, failures; plain lines where there is no terminal."""

    def __init__(self, runs: int) -> None:
        """Start at 0 of `runs`."""
        self.console = Console(stderr=True, soft_wrap=True, highlight=False)
        columns = (BarColumn(24), TextColumn("{task.description}"), TimeRemainingColumn(compact=True))
        plain = not self.console.is_terminal
        self.bar = Progress(*columns, console=self.console, transient=True, disable=plain)
        self.runs, self.started, self.done = runs, time.perf_counter(), 0
        self.task = self.bar.add_task(f"0/{runs} runs", total=runs)

    def __enter__(self) -> "SweepProgress":
        """Show the bar."""
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self.bar.stop()

    def advance(self, runs: float) -> None:
        """Note that a part of the work of so many runs is done."""
        self.bar.advance(self.task, runs)

    def settle(self, finished: int, failed: int) -> None:
        """Note how many runs have ended so far."""
        if finished + failed == self.done:
            return
        self.done = finished + failed
        rate = self.done / (time.perf_counter() - self.started)
        text = f"{self.done}/{self.runs} runs  {rate:.1f} runs/s  {failed} without a result"
        self.bar.update(self.task, description=text)
        if not self.console.is_terminal:
            self.console.print(text)


def announce(plan: "Plan", folder: Path) -> None:
    """Say what a sweep is about to do."""
    if plan.bundles:
        how = f"{plan.workers} process{'es' if plan.workers > 1 else ''} on {plan.device}"
        say(f"{folder}/: {plan.runs} runs to train in {len(plan.bundles)} bundles, {how}; {plan.stored} in the store")


def dry_run(plan: "Plan", folder: Path) -> None:
    """Print what a sweep would do."""
    console = Console(soft_wrap=True, highlight=False)
    table = Table(title=f"{folder}/: {plan.stored + plan.runs} runs, {plan.stored} in the store", title_justify="left")
    table.add_column("key")
    table.add_column("values", justify="right")
    table.add_column("which")
    for key, values in plan.axes.items():
        shown = ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "")
        table.add_row(key, str(len(values)), shown)
    console.print(table)
    by_shape = Counter((b[0].surrogate.name, b[0].regime.name, b[0].task.name, len(b)) for b in plan.bundles)
    for (surrogate, regime, task, size), count in by_shape.items():
        console.print(f"  {count} bundle{'s' if count > 1 else ''} of {size}: {surrogate} / {regime} / {task}")
    about = f"about {max(plan.seconds, 1):.0f} s and {max(plan.gigabytes, 0.1):.1f} GiB beside the programs' own"
    console.print(f"{plan.runs} runs would train in {len(plan.bundles)} bundles, {plan.workers} at a time: {about}.")


def set_aside(paths: Sequence[Path]) -> None:
    """Name the shards that cannot be trusted."""
    for path in paths:
        say(f"set aside, unreadable, incomplete or of another version: {path}")


def refusals(refused: Mapping[str, list[str]]) -> None:
    """Name the jobs that could not be composed."""
    for reason, jobs in refused.items():
        say(f"error: {reason} ({len(jobs)} job{'s' if len(jobs) > 1 else ''}, the first: {jobs[0]})")


def sweep_summary(plan: "Plan", result: "Result", folder: Path, seconds: float) -> None:
    """Print how a sweep ended, and the line of pandas that loads its table."""
    console = Console(soft_wrap=True, highlight=False)
    failed = {reason: titles for reason, titles in result.failed.items() if titles}
    table = Table(title=f"{folder}/", title_justify="left")
    table.add_column("runs")
    table.add_column("", justify="right")
    table.add_row("finished", str(result.finished))
    table.add_row("reused from the store", str(plan.stored))
    table.add_row("diverged", str(len(result.diverged)))
    table.add_row("failed", str(sum(map(len, failed.values()))))
    left = plan.runs - result.finished - len(result.diverged) - sum(map(len, failed.values()))
    if left > 0:
        table.add_row("not reached", str(left))
    console.print(table)
    for reason, titles in (("diverged", result.diverged), ("diverged, in the store", plan.diverged)):
        if titles:
            _some(reason, titles)
    for reason, titles in failed.items():
        _some(reason, titles)
    if result.finished:
        console.print(f"{result.finished / seconds:.1f} runs/s, {seconds:.1f} s")
    console.print(f'  pandas.read_parquet("{folder}/records")', markup=False)


def _some(reason: str, titles: Sequence[str]) -> None:
    say(f"error: {reason}: {first(titles, 5)}")


def first(titles: Sequence[str], most: int) -> str:
    """Return the first few titles, and how many more there are."""
    return "; ".join(titles[:most]) + (f"; and {len(titles) - most} more" if len(titles) > most else "")


@contextmanager
def refusing(out: Path | None) -> Iterator[None]:
    """Exit with 2 and one line on standard error if what the command was asked for, or its file `out`, is refused."""
    try:
        yield
    except ConfigError as error:
        reason = str(error)
    except OSError as error:
        reason = str(error if out is None else ConfigError("--out", out, f"a file that can be written, got {error}"))
    else:
        return
    print(f"error: {reason}", file=sys.stderr)
    sys.exit(2)


def summary(config: RunConfig, records: pd.DataFrame, paths: Sequence[Path], headline: str) -> None:
    """Print the summary of one finished run to standard output: a table, then the paths of what was written."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(headline)
    if len(records) > 1:
        console.print(_table(config, records))
    for path in paths:
        console.print(f"  {path}", markup=False)


def _table(config: RunConfig, records: pd.DataFrame) -> Table:
    last, judged = final(records), effectiveness(records)
    target = f" (set point {last['setpoint']:.3f})" if pd.notna(last["setpoint"]) else " (no set point)"
    nats = " nats" if pd.notna(last["reward"]) else ""  # a squared error is in the units of its target
    verdict = f"{'yes' if judged.effective else 'no'} (lam F/||grad L|| >= 0.05 in {judged.share:.0%} of epochs)"
    shown = {
        "test loss": f"{last['test_loss']:.4f}{nats}",
        "gap, test - train": f"{last['gap']:.4f}{nats}",
        "entropy S": f"{last['entropy']:.4f} nats{target}",
        "lam": f"{last['lam']:.4g}",
        "force ||grad S||": f"{last['force']:.4g}",
        "effective, Definition 1": verdict,
        "reward": f"{last['reward']:.4f}" if pd.notna(last["reward"]) else "undefined without classes",
    }
    table = Table(title=Text(config.title), title_justify="left")
    table.add_column("quantity")
    table.add_column(f"mean of the last {min(LATE, len(records) - 1)} epochs")
    for quantity, value in shown.items():
        table.add_row(quantity, value)
    return table
