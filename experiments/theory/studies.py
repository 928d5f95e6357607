"""The theorems on real runs: python -m experiments.theory.studies [--only NAME ...] [--out DIR].

    make theory

Reads the stores of the experiments premises, descent, samples and width, trains on supersamples for the bound by f-CMI,
and writes a table and a figure for each study, and all numbers as studies.json.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import xarray as xr
from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from experiments.theory import generalisation, scaling, sweeps, trajectories
from hclm_runner import store, terminal

Row = Mapping[str, Any]


class Table(NamedTuple):
    """What a study found, in words and numbers: for the terminal and for the report."""

    title: str
    note: str
    """What its columns are."""
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Found(NamedTuple):
    """What a study found."""

    numbers: Any
    """As JSON has them."""
    tables: Sequence[Table]
    figures: Mapping[str, str]
    """Stem of its files -> what a figure shows."""
    paths: Sequence[Path]
    """Of those files."""


NOTES = {
    "Proposition 3": "Share of epochs with mu = gS^T H gS / F^2 > 0; of runs where it is throughout; and of those, of "
    "runs whose force is below C / (lam mu) before training and at its end.",
    "Theorem 1": "Shares of epochs; then of runs that keep the bound on min ||gE||^2, with the controller's work and "
    "as printed. Adam has no lr.",
    "Theorem 2": "What the balance misses of a step's change of S, root mean square over that of the change; of it, "
    "the part of the step's length and of its direction. Late in training: the change of S that the balance says, and "
    "that came, over what dissipation alone would have done.",
    "Corollary 1": "Exponents over n = 64 to 2048. It needs that of logdet_rate below 1.",
    "Theorem 3": "n = 64. A bound's floor is what it reads of coins that know nothing.",
    "Proposition 4": "I ~ s^a, D ~ s^b, R ~ (I/D)^-kappa predict alpha = kappa (a - b), on even seeds; measured on odd "
    "ones.",
}
"""Statement -> what the columns of its table are."""


def follow(out: Path) -> Found:
    """Theorems 1 and 2 and Proposition 3 along runs."""
    runs = trajectories.load("premises", "descent")
    rows = trajectories.rows(runs)
    tables = []
    for statement in trajectories.STATEMENTS:
        own = [row for row in rows if row["statement"] == statement]
        names = [name for name in own[0] if name not in ("statement", "optimizer", "surrogate", "seeds")]
        cells = [
            [row["optimizer"], row["surrogate"], str(row["seeds"]), *(number(row[name]) for name in names)]
            for row in own
        ]
        heads = ("optimiser", "surrogate", "seeds", *names)
        tables.append(Table(f"{statement} on runs", NOTES[statement], heads, cells))
    return Found(rows, tables, trajectories.CAPTIONS, trajectories.draw(runs, out))


def generalise(out: Path) -> Found:
    """Theorem 3 and Corollary 1: the expression beside the gap, and a bound that holds."""
    samples = _samples()
    over_n, conditional = generalisation.study(samples), generalisation.conditional_information()
    growth: dict[tuple[str, float], dict[str, Row]] = {}
    for row in over_n["growth"]:
        growth.setdefault((row["surrogate"], row["lam0"]), {})[row["quantity"]] = row
    quantities = list(dict.fromkeys(row["quantity"] for row in over_n["growth"]))
    grown = [
        [surrogate, f"{lam:g}", *(number(own[name], "exponent") for name in quantities)]
        for (surrogate, lam), own in growth.items()
    ]
    count = over_n["counts"]
    above = f"the gap is above the expression in {count['runs_above']} of {count['runs']} runs"
    columns = ("gap", "f_bound", "f_floor", "e_bound", "e_floor", "expression")
    bounds = [[row["surrogate"], f"{row['lam0']:g}", *(number(row, name) for name in columns)] for row in conditional]
    heads = [name.replace("_", ", ").replace("f,", "f-CMI,").replace("e,", "e-CMI,") for name in columns]
    tables = (
        Table(f"Corollary 1 on runs: {above}", NOTES["Corollary 1"], ("surrogate", "lam", *quantities), grown),
        Table(
            "Theorem 3 on runs: the 0-1 gap and what bounds it",
            NOTES["Theorem 3"],
            ("surrogate", "lam", *heads),
            bounds,
        ),
    )
    caption = {
        "generalisation": "Theorem 3, Corollary 1: the 0-1 gap beside the paper's expression and bounds by f-CMI"
    }
    drawn = generalisation.draw(over_n, conditional, out)
    return Found({"over_n": over_n, "conditional": conditional}, tables, caption, drawn)


def scale(out: Path) -> Found:
    """Proposition 4: the exponent that the rates predict, and the one measured."""
    samples, width = _samples(), sweeps.over("width", width="model.hidden")
    sweeps.require("width", width, {"width": [scaling.REFERENCE["width"]], "lam0": [scaling.SHOWN[1]]})
    rows = scaling.study(samples, width)
    names = ("a", "b", "kappa", "predicted", "measured")
    heads = ("surrogate", "lam", "a", "b", "kappa", "predicted", "measured", "")
    tables = []
    for axis in dict.fromkeys(row["axis"] for row in rows):
        cells = [
            [row["surrogate"], f"{row['lam']:g}", *(number(row[name]) for name in names), row["verdict"]]
            for row in rows
            if row["axis"] == axis
        ]
        tables.append(Table(f"Proposition 4 on runs, over {axis}", NOTES["Proposition 4"], heads, cells))
    caption = {"scaling": "Proposition 4: rates and excess risk over training-set size and width"}
    return Found(rows, tables, caption, scaling.draw(rows, out))


def _samples() -> xr.Dataset:
    samples = sweeps.over("samples", n="task.train")
    sweeps.require("samples", samples, {"n": [scaling.REFERENCE["n"]], "lam0": [0, scaling.SHOWN[1]]})
    return samples


STUDIES: dict[str, Callable[[Path], Found]] = {"trajectories": follow, "generalisation": generalise, "scaling": scale}


def number(found: Row | None, name: str = "value") -> str:
    """Return a number and half the width of its interval, as in 0.63±0.05; a dash where it is undefined."""
    if found is None or found[name] is None:
        return "–"
    prefix = "" if name == "value" else f"{name}_"
    value, low, high = (found.get(key) for key in (name, f"{prefix}low", f"{prefix}high"))
    return f"{value:.2g}" if low is None or high is None else f"{value:.2f}±{(high - low) / 2:.2f}"


def show(table: Table) -> None:
    """Print a table."""
    rich = RichTable(title=table.title, caption=table.note, box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for name in table.head:
        rich.add_column(name, overflow="fold")
    for row in table.rows:
        rich.add_row(*row)
    Console(highlight=False, markup=False).print(rich)


def _known(path: Path) -> dict[str, Any]:
    """Return what other studies found before; nothing of a file that is torn."""
    try:
        known: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return known


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the studies, print their tables, write studies.json and the figures; exit with 2 where that is refused."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.theory.studies", description="The theorems on real runs."
    )
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=list(STUDIES), help="which (default: all)")
    parser.add_argument("--out", type=Path, default=store.OUTPUTS / "theory", metavar="DIR", help="where to write")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the tensors are too small to share
    path = given.out / "studies.json"
    with terminal.refusing(given.out):
        given.out.mkdir(parents=True, exist_ok=True)
        found = _known(path)
        paths: list[Path] = []
        for name in given.only:
            one = STUDIES[name](given.out)
            tables = [table._asdict() for table in one.tables]
            found[name] = {"numbers": one.numbers, "tables": tables, "figures": one.figures}
            paths += one.paths
            for table in one.tables:
                show(table)
        text = json.dumps({name: found[name] for name in STUDIES if name in found}, indent=1, allow_nan=False)
        store.atomically(path, lambda temporary: Path(temporary).write_text(text))
    print("\n".join(f"  {each}" for each in (*paths, path)))


if __name__ == "__main__":
    main()
