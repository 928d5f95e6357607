"""The command that writes the page of a store."""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from experiments.report.page import LIMIT, build
from experiments.report.serve import HERE, server
from hclm_runner import store, terminal


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page that the command line asks for.

    Raises:
        ConfigError: If there is no such store, or it was not judged yet.
        OSError: If the page cannot be written, or the port is taken.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments report", description="A store as one HTML page.")
    parser.add_argument("store", nargs="?", default="paper", help="name under outputs/, or path (default: paper)")
    parser.add_argument("--tasks", metavar="STORE", help="a store of several tasks, for the matrix of claims and tasks")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: report.html in the store")
    parser.add_argument(
        "--serve", type=_port, metavar="PORT", help="no file: show it at http://127.0.0.1:PORT as runs come"
    )
    given = parser.parse_args(arguments)
    if given.serve:
        _serve(given.store, given.tasks, given.serve)
        return
    page = build(given.store, given.tasks)
    path = given.out or store.locate(given.store) / "report.html"
    store.atomically(path, lambda temporary: Path(temporary).write_text(page))
    if len(page.encode()) > LIMIT:
        terminal.say(f"the page is larger than {LIMIT / 1e6:g} MB: its figures are")
    print(f"  {path}  {len(page.encode()) / 1e6:.1f} MB")


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text}: expected a port, 1 to 65535")
    return int(text)


def _serve(source: str, tasks: str | None, port: int) -> None:
    """Show the page until Ctrl-C."""
    with server(store.locate(source), partial(build, source, tasks), port) as shown:
        print(f"  http://{HERE}:{port}  (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):
            shown.serve_forever()
