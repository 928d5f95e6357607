"""The command line of stores: python -m hclm_runner.sweeps <verb> <store>."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from hclm_runner import store, terminal
from hclm_runner.refusal import ConfigError
from hclm_runner.sweeps import board, compact, slurm, status, watch


class Verb(NamedTuple):
    """A command."""

    run: Callable[[Path], int]
    """Of the folder of a store; returns the exit code."""
    says: str


def _status(folder: Path) -> int:
    status.show(status.read(folder), folder)
    return 0


def _compact(folder: Path) -> int:
    before, after = compact.compact(folder)
    print(f"{folder}/: {before} shards, now {after}")
    return 0


def _collect(folder: Path) -> int:
    with store.locked(folder, terminal.say) as aside:
        terminal.set_aside(aside)
    return _status(folder)


def _wait(folder: Path) -> int:
    slurm.wait(folder)
    _collect(folder)
    found = status.read(folder)
    return int(bool(found.open) or (found.runs["status"] != "finished").any())


def _cancel(folder: Path) -> int:
    arrays = slurm.cancel(folder)
    print(f"{folder}/: {board.counted(arrays, 'array')} of tasks cancelled")
    return 0


VERBS = {
    "status": Verb(_status, "say how many runs are done, running, pending, dead and failed"),
    "watch": Verb(
        watch.watch, "show it as it fills: runs, rate, failures, curves of what came last; ends with it, or by Ctrl-C"
    ),
    "wait": Verb(
        _wait, "return once the cluster has none of its bundles in the queue; exit with 0 if all runs are finished"
    ),
    "collect": Verb(_collect, "take in what tasks on a cluster have trained by now"),
    "cancel": Verb(_cancel, "take its bundles out of the cluster's queue; what they have trained stays"),
    "compact": Verb(_compact, "merge many small files into few large ones, while sweeps write and figures read"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb on a store, and return the exit code: 0, or 2 with one line if it is refused."""
    given = argparse.ArgumentParser(prog="python -m hclm_runner.sweeps", description="What is in a store.")
    verbs = given.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        verbs.add_parser(name, help=verb.says, description=verb.says).add_argument(
            "store", help="its name under outputs/, or its path"
        )
    wanted = given.parse_args(arguments)
    try:
        return VERBS[wanted.verb].run(store.locate(wanted.store))
    except KeyboardInterrupt:  # of `wait`
        print("interrupted; what is queued goes on", file=sys.stderr)
        return 130
    except (ConfigError, OSError) as error:
        said = f"error: {error}"
        if isinstance(error, FileNotFoundError) and error.filename == wanted.store:
            said = f"error: store={wanted.store}: expected a store of runs, got {error.strerror}"
        print(said, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
