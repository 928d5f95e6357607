"""The command that judges the claims of a store."""

import argparse
import itertools
from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from experiments import grid
from experiments.claims import equal_rate, generic, paper, record
from experiments.claims.claim import VIEWS, Claim, Data
from experiments.claims.intervals import ALPHA
from experiments.claims.judge import REFUTED, RESAMPLES, SUPPORTED, effect
from experiments.estimate import CONFIDENCE, Estimate
from hclm_runner import terminal
from hclm_runner.refusal import ConfigError


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge the claims on a store, task by task; print the verdicts, write claims.json and claims.parquet.

    Raises:
        ConfigError: If nothing can be judged.
    """
    parser = argparse.ArgumentParser(
        prog="python -m experiments claims",
        description="Judge the paper's claims on a store that has its grid, and those of any surrogate and law.",
    )
    parser.add_argument("store", nargs="?", default="paper", help="name under outputs/, or path (default: paper)")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help=f"of the bootstrap (default: {RESAMPLES})")
    parser.add_argument(
        "--against",
        nargs=2,
        metavar=("SURROGATE", "REGIME"),
        help="compare every surrogate and law with this one (default: the same surrogate under fixed)",
    )
    given = parser.parse_args(arguments)
    if given.resamples < 100:
        parser.error(f"argument --resamples: expected 100 or more, got {given.resamples}")
    against = generic.Method(*given.against) if given.against else None
    found = judge(given.store, given.resamples, against)
    paths = record.write(found, given.store, given.resamples, given.against)
    show("the paper's claims", "the paper says", found.claims)
    show("claims of any surrogate and law", "", found.generic)
    for line in [*found.lacking, *map(str, paths)]:
        Console(soft_wrap=True, highlight=False, markup=False).print(f"  {line}")


def judge(source: str, resamples: int = RESAMPLES, against: generic.Method | None = None) -> record.Record:
    """Judge the paper's claims and those of any surrogate and law on each task of a store.

    Args:
        source: Name under outputs/, or path.
        resamples: Of the bootstrap.
        against: What the claims of any surrogate and law compare with, if not as usual.

    Raises:
        ConfigError: If there is no such store or comparator in it, or nothing of it can be judged.
    """
    grids = grid.load(source)
    there = [method for runs in grids.values() for method in generic.methods(runs)]
    if against is not None and against not in there:
        raise ConfigError("--against", against, f"one of {', '.join(map(str, dict.fromkeys(there)))}")
    found = record.Record([], [], [])
    for task, runs in grids.items():
        try:
            data = paper.read(runs, source)
        except ConfigError as error:
            found.lacking.append(f"{task}: the paper's claims are not judged: {error}")
        else:
            _judge(paper.CLAIMS, data, task, resamples, found.claims, found.lacking)
        data = Data.of(runs, source)
        general = [*generic.of_grid(runs, against), *equal_rate.of_grid(runs)]
        _judge(general, data, task, resamples, found.generic, found.lacking)
    if not found.claims and not found.generic:
        raise ConfigError("store", source, f"runs that a claim can be judged on; {terminal.first(found.lacking, 3)}")
    return found


def _judge(
    claims: Sequence[Claim], data: Data, task: str, resamples: int, rows: list[record.ClaimRow], lacking: list[str]
) -> None:
    """Judge claims on a task, in each reading and view: each is a row, or a line that says what it lacks."""
    views = {view: data.at(view) for view in VIEWS}
    own = []
    for claim in terminal.track(claims, f"judging, {task}"):
        ways = itertools.product(claim.readings, claim.views)
        try:
            judged = {(reading, view): claim.judged(views[view], resamples, reading) for reading, view in ways}
        except ConfigError as error:
            lacking.append(f"{task}: not judged, {claim.says}: {error}")
        else:
            own.append(record.row(task, claim, judged))
    record.mark_survivors(own)
    rows += own


def show(title: str, says: str, claims: Sequence[record.ClaimRow]) -> None:
    """Print the verdicts of each task, a line for each claim; where a terminal is too narrow, a line is cut short.

    Args:
        title: What the claims are.
        says: The head of the column of their words; empty if their names say it all.
        claims: Judged, of any number of tasks.
    """
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for task in dict.fromkeys(claim["task"] for claim in claims):
        own = [claim for claim in claims if claim["task"] == task]
        heading = f"{task}, {title}: {tally(own)}"
        rows = [
            ("verdict", "claim", f"effect [{CONFIDENCE:.0%} interval]", says),
            *(_cells(claim, says) for claim in own),
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        for line in (heading, *lines):
            cut = console.is_terminal and len(line) > console.width
            console.print(f"{line[: console.width - 1]}…" if cut else line)


def tally(claims: Sequence[record.ClaimRow]) -> str:
    """Return how many claims have each verdict, how many of them are no evidence, and how many stand together."""
    counts = Counter(claim["verdict"] for claim in claims)
    structural = sum(bool(claim["structural"]) for claim in claims if claim["verdict"] == SUPPORTED)
    apart = {SUPPORTED: f" ({structural} of them structural)" if structural else ""}
    verdicts = [f"{counts[verdict]} {verdict}{apart.get(verdict, '')}" for verdict in record.SYMBOLS if counts[verdict]]
    decided = counts[SUPPORTED] + counts[REFUTED]
    survive = sum(claim["survives_bh"] for claim in claims)
    return f"{', '.join(verdicts)}; {survive} of {decided} decided survive Benjamini-Hochberg at {ALPHA:.0%}"


def _cells(claim: record.ClaimRow, says: str) -> tuple[str, str, str, str]:
    """Return the cells of a claim's line."""
    part = claim["parts"][claim["decided"]]
    verdict = f"{record.SYMBOLS[claim['verdict']]} {claim['verdict']}"
    return verdict, claim["id"], effect(Estimate.of_dict(part), part["unit"]), claim["says"] if says else ""
