"""The command that writes the page of a store."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.report.page import LIMIT, build
from hclm_runner import store, terminal


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page that the command line asks for.

    Raises:
        ConfigError: If there is no such store, or it was not judged yet.
        OSError: If the page cannot be written.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments report", description="A store as one HTML page.")
    parser.add_argument("store", nargs="?", default="paper", help="name under outputs/, or path (default: paper)")
    parser.add_argument("--tasks", metavar="STORE", help="a store of several tasks, for the matrix of claims and tasks")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: report.html in the store")
    given = parser.parse_args(arguments)
    page = build(given.store, given.tasks)
    path = given.out or store.locate(given.store) / "report.html"
    store.atomically(path, lambda temporary: Path(temporary).write_text(page))
    if len(page.encode()) > LIMIT:
        terminal.say(f"the page is larger than {LIMIT / 1e6:g} MB: its figures are")
    print(f"  {path}  {len(page.encode()) / 1e6:.1f} MB")
