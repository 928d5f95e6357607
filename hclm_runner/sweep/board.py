"""What a person sees of a sweep: what it will do, its progress, how it ended."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hclm_runner.sweep.plan import Plan
from hclm_runner.terminal import first, say

INTERRUPTED = 130


@dataclass
class Result:
    """How a sweep ended."""

    finished: int = 0
    diverged: list[str] = field(default_factory=list)
    failed: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> titles of the runs."""
    warned: dict[str, list[str]] = field(default_factory=dict)
    """Warning -> titles of the runs."""
    stopped: str | None = None
    """Why it ended before all was tried; None if it did not."""
    interrupted: bool = False

    @property
    def code(self) -> int:
        """The exit code: 130 interrupted, 1 if a run has no result or diverged, else 0."""
        return INTERRUPTED if self.interrupted else int(bool(self.diverged or self.failed or self.stopped))


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


def announce(plan: Plan, folder: Path) -> None:
    """Say what a sweep is about to do."""
    if plan.bundles:
        where = f"{plan.workers} process{'es' if plan.workers > 1 else ''} on {plan.device}"
        say(f"{folder}/: {plan.runs} runs to train in {len(plan.bundles)} bundles, {where}; {plan.stored} in the store")


def dry_run(plan: Plan, folder: Path) -> None:
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
    about = f"about {max(plan.seconds, 1):.0f} s and {max(plan.gigabytes, 0.1):.1f} GiB without the programs' own"
    console.print(f"{plan.runs} runs would train in {len(plan.bundles)} bundles, {plan.workers} at a time: {about}.")


def refusals(refused: Mapping[str, list[str]]) -> None:
    """Name the jobs that could not be composed."""
    for reason, jobs in refused.items():
        say(f"error: {reason} ({len(jobs)} job{'s' if len(jobs) > 1 else ''}, the first: {jobs[0]})")


def sweep_summary(plan: Plan, result: Result, folder: Path, seconds: float) -> None:
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
    for warning, titles in result.warned.items():
        say(f"warning: {warning}: {first(titles, 5)}")
    if result.stopped:
        say(f"error: {result.stopped}")
    if result.finished:
        console.print(f"{result.finished / seconds:.1f} runs/s, {seconds:.1f} s")
    console.print(f'  pandas.read_parquet("{folder}/records")', markup=False)


def _some(reason: str, titles: Sequence[str]) -> None:
    say(f"error: {reason}: {first(titles, 5)}")
