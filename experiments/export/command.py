"""The command that hands runs of a store to another tool.

python -m experiments export paper --to tensorboard --where surrogate=logdet lam=0,0.1 --mean seed
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from experiments import grid
from experiments.export.series import check_columns, choose, each_run, mean_over_seeds, title
from experiments.export.trackers import TRACKERS
from hclm_runner import store
from hclm_runner.refusal import ConfigError
from hclm_runner.terminal import first


def export(options: argparse.Namespace) -> None:
    """Write the chosen runs, and say how many there are, which were left out, and where they are.

    Raises:
        ConfigError: If the store, a condition, a column or the tracker is not there, or no run has a result.
        OSError: If the disk refuses.
    """
    columns = check_columns(options.columns)
    folder = grid.locate(options.store)
    chosen = choose(options.store, options.where)
    make = mean_over_seeds if options.mean else each_run
    series = make(chosen, folder.name, columns)
    if not series:
        wanted = f"runs {'that finished' if options.mean else 'with a result'}, got {len(chosen.runs)} without"
        raise ConfigError("store", options.store, wanted)
    where = TRACKERS[options.to].write(series, options.out, folder)
    print(f"{len(series)} {'mean' if options.mean else 'run'}{'s' if len(series) > 1 else ''} exported to {where}")
    diverged = chosen.ended("diverged")
    _say("diverged: not in a mean" if options.mean else "diverged: exported up to there", diverged)
    _say("without a result: not exported", [run for run in chosen.runs if run["status"] not in store.DONE])


def _say(what: str, runs: Sequence[Mapping[str, Any]]) -> None:
    """Name the runs of which it is true."""
    if runs:
        print(f"{len(runs)} run{'s' if len(runs) > 1 else ''} {what}: {first([title(run) for run in runs], 5)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Export what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments export",
        description="Hand runs of a store to MLflow, TensorBoard or what reads CSV: their settings as parameters, the "
        " measured columns as metrics, the epoch as step.",
    )
    add = parser.add_argument
    add("store", help="its name under outputs/, or its path")
    add("--to", required=True, choices=[*TRACKERS], help="the tool")
    add(
        "--where",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="only runs with these settings, as in surrogate=logdet lam=0,0.1 (default: all)",
    )
    add("--mean", choices=["seed"], help="in place of runs, their means over seeds with 95%% intervals")
    add("--columns", nargs="+", default=[], metavar="NAME", help="which measured columns (default: all)")
    places = "; ".join(f"{name}: {tracker.says}" for name, tracker in TRACKERS.items())
    add("--out", default="", help=f"where to. {places}")
    export(parser.parse_args(arguments))
