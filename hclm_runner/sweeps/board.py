"""What a person sees of a sweep: what it will do, its progress, how it ended."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hclm_runner.sweeps.plan import Plan
from hclm_runner.terminal import first, say

REFUSED = 2
INTERRUPTED = 130


@dataclass
class Result:
    """How a sweep ended."""

    runs: int = 0
    """How many there were to train or to refuse."""
    finished: int = 0
    elsewhere: int = 0
    """How many other machines have finished meanwhile."""
    diverged: list[str] = field(default_factory=list)
    failed: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> titles of the runs."""
    warned: dict[str, list[str]] = field(default_factory=dict)
    """Warning -> titles of the runs."""
    refused: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> titles of the runs, or the overrides of those that have no configuration."""
    stopped: str | None = None
    """Why it ended before all was tried; None if it did not."""
    interrupted: bool = False

    def note(self, described: pd.DataFrame, titles: Mapping[str, str], reason: str | None = None) -> None:
        """Note how runs have ended.

        Args:
            described: Their rows of runs/.
            titles: Run id -> title.
            reason: Why they have no result; the last line of their error unless given.
        """
        self.finished += int((described["status"] == "finished").sum())
        for row in described.to_dict("records"):
            title = titles[row["run_id"]]
            if pd.notna(row["warnings"]):
                self.warned.setdefault(row["warnings"], []).append(title)
            if row["status"] == "diverged":
                self.diverged.append(f"{title} ({row['error']})")
            elif row["status"] != "finished":
                reasons = self.refused if row["status"] == "refused" else self.failed
                reasons.setdefault(reason or row["error"].strip().splitlines()[-1], []).append(title)

    @property
    def code(self) -> int:
        """The exit code: 130 interrupted, 2 if a run was refused, 1 if one has no result or diverged, else 0."""
        if self.interrupted:
            return INTERRUPTED
        if self.refused:
            return REFUSED
        return int(bool(self.diverged or self.failed or self.stopped))

    @property
    def without_result(self) -> int:
        """How many runs have ended without being finished."""
        return len(self.diverged) + sum(map(len, (*self.failed.values(), *self.refused.values())))

    @property
    def not_reached(self) -> int:
        """How many runs were not tried."""
        return self.runs - self.finished - self.elsewhere - self.without_result


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


def announce(plan: Plan, folder: Path, place: str) -> None:
    """Say what a sweep is about to do, and at which place."""
    if plan.bundles:
        where = f"{counted(plan.workers, 'process', 'processes')} on {place}"
        work = f"{counted(plan.runs, 'run')} to train in {counted(len(plan.bundles), 'bundle')}"
        compiled = ", compiled first" if any(map(plan.compiles, plan.bundles)) else ""
        say(f"{folder}/: {work}, {where}{compiled}; {plan.stored} in the store")


def dry_run(plan: Plan, folder: Path) -> None:
    """Print what a sweep would do."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{folder}/: {counted(plan.stored + plan.runs, 'run')}, {plan.stored} in the store")
    table = Table()
    table.add_column("key")
    table.add_column("values", justify="right")
    table.add_column("which")
    for key, values in plan.axes.items():
        shown = ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "")
        table.add_row(key, str(len(values)), shown)
    if plan.axes:
        console.print(table)
    by_shape = Counter(
        (b[0].surrogate.name, b[0].regime.name, b[0].task.name, plan.compiles(b), len(b)) for b in plan.bundles
    )
    for (*names, compiled, size), count in by_shape.items():
        console.print(f"  {counted(count, 'bundle')} of {size}: {' / '.join(names)}" + ", compiled" * compiled)
    about = f"about {max(plan.seconds, 1):.0f} s and {max(plan.gigabytes, 0.1):.1f} GiB without the programs' own"
    work = f"{counted(plan.runs, 'run')} would train in {counted(len(plan.bundles), 'bundle')}"
    console.print(f"{work}, {plan.workers} at a time: {about}.")


def refusals(refused: Mapping[str, list[str]]) -> None:
    """Name the runs that were refused."""
    for reason, runs in refused.items():
        say(f"error: {reason} ({counted(len(runs), 'run')}, the first: {runs[0]})")


def sweep_summary(plan: Plan, result: Result, folder: Path, seconds: float) -> None:
    """Print how a sweep ended, and the line of pandas that loads its table."""
    console = Console(soft_wrap=True, highlight=False)
    table = Table(title=f"{folder}/", title_justify="left")
    table.add_column("runs")
    table.add_column("", justify="right")
    table.add_row("finished", str(result.finished))
    if result.elsewhere:
        table.add_row("finished by other machines", str(result.elsewhere))
    table.add_row("reused from the store", str(plan.stored))
    table.add_row("diverged", str(len(result.diverged)))
    table.add_row("failed", str(sum(map(len, result.failed.values()))))
    table.add_row("refused", str(sum(map(len, result.refused.values()))))
    if result.not_reached > 0:
        table.add_row("not reached", str(result.not_reached))
    console.print(table)
    for reason, titles in (("diverged", result.diverged), ("diverged, in the store", plan.diverged)):
        if titles:
            _some(reason, titles)
    for reason, titles in result.failed.items():
        _some(reason, titles)
    for warning, titles in result.warned.items():
        say(f"warning: {warning}: {first(titles, 5)}")
    refusals(result.refused)
    if result.stopped:
        say(f"error: {result.stopped}")
    if result.finished:
        console.print(f"{result.finished / seconds:.1f} runs/s, {seconds:.1f} s")
    console.print(f'  pandas.read_parquet("{folder}/records")', markup=False)


def without_result(runs: pd.DataFrame) -> None:
    """Name the runs of a store, rows of its runs/, that have no result or diverged, by reason."""
    reasons: dict[str, list[str]] = {}
    for row in runs[runs["status"] != "finished"].to_dict("records"):
        why = "" if pd.isna(row["error"]) else f": {row['error'].strip().splitlines()[-1]}"
        title = f"{row['label']}, lam0 {row['lam0']:g}, seed {row['seed']}"
        reasons.setdefault(f"{row['status']}{why}", []).append(title)
    for reason, titles in reasons.items():
        _some(reason, titles)


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number of things in words: 1 run, 2 runs."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _some(reason: str, titles: Sequence[str]) -> None:
    say(f"error: {reason}: {first(titles, 5)}")
