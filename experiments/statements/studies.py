"""The statements on real runs: python -m experiments theory [--only NAME ...] [--out DIR].

Reads the stores of the sweeps that the statements name, and writes tables and figures for each statement, and all
numbers as studies.json. `make theory` trains what those stores lack, and then does this.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from experiments.statements import STATEMENTS
from experiments.statements.base import Table
from hclm_runner import store


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask the statements of the runs, print their tables, write studies.json and the figures.

    Raises:
        ConfigError: If a store is not there or lacks what a statement needs.
        OSError: If the disk refuses.
    """
    asked = {name: statement.on_runs for name, statement in STATEMENTS.items() if statement.on_runs}
    parser = argparse.ArgumentParser(prog="python -m experiments theory", description="The statements on real runs.")
    parser.add_argument("--only", nargs="+", choices=asked, default=list(asked), help="which (default: all)")
    parser.add_argument("--out", type=Path, default=store.OUTPUTS / "theory", metavar="DIR", help="where to write")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the tensors are too small to share
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "studies.json"
    found = _known(path)
    paths: list[Path] = []
    for name in given.only:
        one = asked[name](given.out)
        tables = [table._asdict() for table in one.tables]
        found[name] = {"numbers": one.numbers, "tables": tables, "figures": one.figures}
        paths += one.paths
        for table in one.tables:
            show(table)
    text = json.dumps({name: found[name] for name in asked if name in found}, indent=1, allow_nan=False)
    store.atomically(path, lambda temporary: Path(temporary).write_text(text))
    print("\n".join(f"  {each}" for each in (*paths, path)))


def show(table: Table) -> None:
    """Print a table, its cells without spaces about ±: ten columns then fit in 80 characters."""
    rich = RichTable(title=table.title, caption=table.note, box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for name in table.head:
        rich.add_column(name, overflow="fold")
    for row in table.rows:
        rich.add_row(*(cell.replace(" ± ", "±") for cell in row))
    Console(highlight=False, markup=False).print(rich)


def _known(path: Path) -> dict[str, Any]:
    """Return what other statements found before; nothing of a file that is torn."""
    try:
        known: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return known
