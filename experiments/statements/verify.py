"""Run the gates and draw their figures: python -m experiments verify [--slow] [--only TEXT] [--out DIR]."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from experiments.statements import STATEMENTS
from experiments.statements.base import Gate, Statement, run, title
from hclm_runner import store, terminal
from hclm_runner.refusal import ConfigError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the gates, print their table, write gates.json, draw the figures unless only some gates are asked for.

    Exits with 1 if a gate fails.

    Raises:
        ConfigError: If no gate is asked for.
        OSError: If the disk refuses.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments verify", description="Check the paper's theorems.")
    parser.add_argument("--slow", action="store_true", help="the slow gates too")
    only = "the gates of a statement's module, as in proposition_2, or those whose title contains TEXT"
    parser.add_argument("--only", default="", metavar="TEXT", help=only)
    parser.add_argument("--out", type=Path, default=store.OUTPUTS / "theory", help="folder of gates.json")
    given = parser.parse_args(arguments)
    named = gates(given.only)
    chosen = [each for each in named if given.slow or not each[-1].slow]
    if not chosen:
        raise ConfigError("--only", given.only, "gates that are not slow; --slow runs those too")
    torch.set_num_threads(1)  # the tensors are too small to share
    given.out.mkdir(parents=True, exist_ok=True)
    rows = [
        run(statement, gate) | {"figure": name if statement.draw else ""}
        for name, statement, gate in terminal.track(chosen, "checking the theorems")
    ]
    path = given.out / "gates.json"
    text = json.dumps([{key: _plain(value) for key, value in row.items()} for row in rows], indent=1)
    store.atomically(path, lambda temporary: Path(temporary).write_text(text))
    _show(rows)
    figures = [statement.draw for statement in STATEMENTS.values() if statement.draw]
    for draw in terminal.track([] if given.only else figures, "drawing"):
        print("\n".join(f"  {drawn}" for drawn in draw(given.out)))
    left = len(named) - len(chosen)
    print(f"  {path}" + (f"  ({left} slow, with --slow)" if left else ""))
    if not all(row["passes"] for row in rows):
        sys.exit(1)


def gates(only: str) -> list[tuple[str, Statement, Gate]]:
    """Return the gates of the module `only`, or whose title contains that text: module, statement and gate.

    Raises:
        ConfigError: If there are none.
    """
    named = [
        (name, statement, gate)
        for name, statement in STATEMENTS.items()
        for gate in statement.gates
        if only == name or only.lower() in title(statement, gate).lower()
    ]
    if not named:
        texts = ", ".join(each.name for each in STATEMENTS.values())
        raise ConfigError("--only", only, f"a module of experiments/statements, or text in one of {texts}")
    return named


def _plain(value: Any) -> Any:
    """Return a value that JSON has: no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show(rows: Sequence[dict[str, Any]]) -> None:
    failed = [row["statement"] for row in rows if not row["passes"]]
    heading = f"{len(rows) - len(failed)} of {len(rows)} gates pass" + (
        f"; FAIL: {', '.join(failed)}" if failed else ""
    )
    table = Table(title=heading, show_lines=True)
    for name in ("statement", "measured", "value", "tolerance", "control, which must fail", "s", ""):
        table.add_column(name, justify="right" if name in ("value", "tolerance", "s") else "left")
    for row in rows:
        control = row["control"] + ("" if row["control_fails"] else " - PASSES")
        numbers = (f"{row['value']:.2g}", f"{row['tolerance']:.2g}")
        verdict = "pass" if row["passes"] else "FAIL"
        table.add_row(
            f"{row['statement']}: {row['says']}", row["measured"], *numbers, control, f"{row['seconds']:.1f}", verdict
        )
    Console(highlight=False, markup=False).print(table)
