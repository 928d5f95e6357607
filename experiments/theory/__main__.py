"""Run the gates and draw their figures: python -m experiments.theory [--slow] [--only TEXT] [--out DIR]."""

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

from experiments.theory import dynamics, fokker_planck, information, memory
from experiments.theory.gate import run
from hclm_runner import store, terminal

MODULES = (dynamics, information, fokker_planck, memory)
FIGURES = (dynamics.draw, information.draw, fokker_planck.draw, memory.draw)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the gates, print their table, write gates.json, draw the figures unless only some gates are asked for.

    Exits with 1 if a gate fails, 2 if none is asked for.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.theory", description="Check the paper's theorems.")
    parser.add_argument("--slow", action="store_true", help="the slow gates too")
    parser.add_argument("--only", default="", metavar="TEXT", help="the gates whose statement contains TEXT")
    parser.add_argument("--out", type=Path, default=store.OUTPUTS / "theory", help="folder of gates.json")
    given = parser.parse_args(arguments)
    named = [gate for module in MODULES for gate in module.GATES if given.only.lower() in gate.statement.lower()]
    gates = [gate for gate in named if given.slow or not gate.slow]
    if not gates:
        reason = "those are slow: --slow runs them" if named else "no statement contains that"
        print(f"error: --only {given.only}: {reason}", file=sys.stderr)
        sys.exit(2)
    torch.set_num_threads(1)  # the tensors are too small to share
    rows = [run(gate) for gate in terminal.track(gates, "checking the theorems")]
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "gates.json"
    text = json.dumps([{key: _plain(value) for key, value in row.items()} for row in rows], indent=1)
    store.atomically(path, lambda temporary: Path(temporary).write_text(text))
    _show(rows)
    for draw in terminal.track(() if given.only else FIGURES, "drawing"):
        print("\n".join(f"  {drawn}" for drawn in draw(given.out)))
    left = sum(gate.slow for gate in named) if not given.slow else 0
    print(f"  {path}" + (f"  ({left} slow, with --slow)" if left else ""))
    sys.exit(not all(row["passes"] for row in rows))


def _plain(value: Any) -> Any:
    """Return a value that JSON has: no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show(rows: Sequence[dict[str, Any]]) -> None:
    failed = [row["statement"] for row in rows if not row["passes"]]
    title = f"{len(rows) - len(failed)} of {len(rows)} gates pass" + (f"; FAIL: {', '.join(failed)}" if failed else "")
    table = Table(title=title, show_lines=True)
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


if __name__ == "__main__":
    main()
