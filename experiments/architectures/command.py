"""Train what is missing, judge every network on every task, draw, and print the matrix."""

import argparse
from collections.abc import Sequence

from rich.console import Console

from experiments import grid
from experiments.architectures import design, figure, page, results
from experiments.claims import command as claims
from experiments.claims import record
from experiments.claims.judge import RESAMPLES
from hclm_runner import store

TRIALS = "_tuning"
"""After a store's name: that of the trials of the learning rates."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for.

    Raises:
        ConfigError: If an override is refused, a run has no result, or the store has other runs.
    """
    parser = argparse.ArgumentParser(
        prog="python -m experiments architectures",
        description="Do force collapse and entropy balance persist in convolutional networks and transformers? "
        "Trains what is missing, judges the claims of each network and task, and draws.",
    )
    add = parser.add_argument
    add("overrides", nargs="*", metavar="KEY=VALUE", help="of every run, as in sweep.dry_run=true or device=cuda")
    add("--whole", action="store_true", help="all of the data, 8 lam and 10 seeds: for a GPU")
    add("--root", metavar="FOLDER", help="of Fashion-MNIST's files (default: where its Debian package puts them)")
    add("--resamples", type=int, default=RESAMPLES, help="of the bootstrap (default: %(default)s)")
    add("--name", help=f"the store, outputs/NAME/ (default: {results.NAME}, or {results.NAME}_whole)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--tune", action="store_true", help="only try each learning rate at lam = 0, on other seeds")
    which.add_argument("--page", action="store_true", help="only write docs/architectures.md from what was judged")
    given = parser.parse_intermixed_args(arguments)
    if given.resamples < 100:
        parser.error(f"argument --resamples: expected 100 or more, got {given.resamples}")
    name = given.name or results.NAME + ("_whole" if given.whole else "")
    if given.page:
        for path in page.write(name, name + TRIALS):
            print(f"  {path}")
        return
    design.check(given.overrides)
    rows, lacking = design.there(root=given.root)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for task, why in lacking.items():
        console.print(f"left out, {task}: {why}")
    size = design.WHOLE if given.whole else design.SMALL
    if given.tune:
        trained = grid.trained(design.trials(rows, given.overrides, given.root), name + TRIALS)
        if trained is not None:
            results.write(results.tried(*trained), store.OUTPUTS / (name + TRIALS))
            console.print(page.rates(results.tried(*trained)))
        return
    if grid.trained(design.runs(size, rows, given.overrides, given.root), name) is None:
        console.print(design.outlook(rows))
        return
    judged = claims.judge(name, given.resamples)
    record.write(judged, name, given.resamples)
    grids = grid.load(name)
    found = results.build(grids, judged, name)
    path = results.write(found, store.OUTPUTS / name)
    for line in (*found["summary"], path, *figure.write(grids, path.parent, name)):
        console.print(f"  {line}")
