"""The command of the multiverse: train what is missing of the universes, judge them, draw them, and print the table."""

import argparse
from collections.abc import Callable, Sequence

from rich.console import Console

from experiments.claims.claim import VIEWS
from experiments.claims.judge import RESAMPLES
from experiments.multiverse import figure, results, train
from experiments.multiverse.design import Design
from experiments.multiverse.section import section
from hclm_runner import configure
from hclm_runner.sweeps.board import counted

NAME = "multiverse"


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for.

    Raises:
        ConfigError: If there is nothing to judge, or the name is none of a store.
        OSError: If the disk refuses.
    """
    parser = argparse.ArgumentParser(
        prog="python -m experiments multiverse",
        description="Judge every claim of the paper in many plausible reconstructions of its experiment. The same "
        "command again trains only what is missing; more universes leave the earlier ones as they are.",
    )
    add = parser.add_argument
    add("store", nargs="?", default=NAME, help=f"a name under outputs/ (default: {NAME})")
    add("--universes", type=_at_least(0), default=64, metavar="N", help="Sobol points over the settings (default: 64)")
    add(
        "--questions",
        type=_at_least(0),
        default=16,
        metavar="N",
        help="and over settings and data together (default: 16)",
    )
    add(
        "--seeds",
        type=_at_least(1),
        default=Design().seeds,
        metavar="N",
        help="of each universe (default: %(default)s)",
    )
    add(
        "--resamples",
        type=_at_least(100),
        default=RESAMPLES,
        metavar="N",
        help="of the bootstrap (default: %(default)s)",
    )
    add("--reading", choices=("literal", "charitable"), default="literal", help="of the claims (default: literal)")
    add("--view", choices=tuple(VIEWS), default="end", help="when runs are judged: at the end, or the chosen epoch")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--dry-run", action="store_true", help="say what would be trained, and how long it would take")
    which.add_argument("--judge-only", action="store_true", help="train nothing: judge and draw what is there")
    given = parser.parse_args(arguments)
    if not given.judge_only:
        name, design = configure(name=given.store).name, Design(seeds=given.seeds)
        found = train.members(design, design.universes(given.universes, given.questions), name)
        if given.dry_run:
            train.announce(found)
            return
        train.train(design, found, name)
    show(given.store, given.resamples, (given.reading, given.view))


def show(source: str, resamples: int, way: tuple[str, str]) -> None:
    """Judge and draw a multiverse, and print its table."""
    folder = results.locate(source)
    found = results.build(folder, resamples, way)
    path = results.write(found, folder)
    figure.write(found, folder)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    shown = section(source)
    assert shown, path
    rows = [shown.head, *shown.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(shown.head))]
    order = [0, 2, 4, 5, 6, 1]  # the paper's words last, as they are long; other readings are in multiverse.json
    for row in rows:
        console.print("  ".join(row[i].ljust(widths[i]) for i in order).rstrip())
    console.print(f"\n{shown.note}")
    if found["untrained"]:
        console.print(f"{counted(found['untrained'], 'universe')} not trained yet, and left out of all counts")
    for universe in found["universes"]:
        if universe["failed"]:
            console.print(f"failed: universe {universe['id']} ({universe['title']}): {universe['failed']}")
    for claim in found["claims"]:
        for why, number in claim["failed"].items():
            console.print(f"failed: claim {claim['id']} in {counted(number, 'universe')}: {why}")
    console.print(f"  {path}\n  {folder / figure.FOLDER}/")


def _at_least(least: int) -> Callable[[str], int]:
    """Return what reads a whole number of an option."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of {least} or more, got {text}")
        return int(text)

    return read
