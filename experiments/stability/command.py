"""The command: train what is missing, identify, predict, compare; write stability.json and the figure, print tables."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console

from experiments import grid
from experiments.stability import design, findings
from experiments.stability.design import Place
from experiments.stability.figure import draw
from hclm_runner import store
from hclm_runner.picture import save

MEASURED = ["lam", "entropy", "setpoint", "feedback", "train_loss"]
"""The columns that are read."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for.

    Raises:
        ConfigError: If a run is refused or has no result.
    """
    parser = argparse.ArgumentParser(
        prog="python -m experiments stability",
        description="At which gain and delay does the loop of a thermostat become unstable? Identifies the plant, "
        "predicts the boundary, and measures it. The same command again trains only what is missing.",
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of every run, as in sweep.dry_run=true")
    parser.add_argument(
        "--seeds", type=int, default=design.SEEDS, help="runs of each cell of the maps (default: %(default)s)"
    )
    parser.add_argument("--resamples", type=int, default=200, help="of the seeds, for intervals (default: %(default)s)")
    parser.add_argument("--name", default="stability", help="the store, outputs/NAME/ (default: stability)")
    given = parser.parse_intermixed_args(arguments)
    for name, least in (("seeds", 2), ("resamples", 20)):
        if getattr(given, name) < least:
            parser.error(f"argument --{name}: expected {least} or more, got {getattr(given, name)}")
    runs = design.runs(given.seeds, given.overrides)
    traces = trained(runs, given.name)
    if traces is None:
        return
    found = judged(traces, law_of(runs), given.resamples)
    folder = store.OUTPUTS / given.name
    written = json.dumps(found, indent=1, allow_nan=False)
    store.atomically(folder / "stability.json", lambda path: Path(path).write_text(written))
    paths = [folder / "stability.json", *save(draw(found), folder / "stability", ("png", "pdf"))]
    show(found, paths)


def trained(runs: Sequence[design.Run], name: str) -> dict[str, dict[Place, xr.Dataset]] | None:
    """Train what a store lacks of the runs, and return what they measured by part and place; None after a dry run.

    Raises:
        ConfigError: If runs have no result.
    """
    results = grid.trained([run.config for run in runs], name)
    if results is None:
        return None
    table = results[0].set_index(["run_id", "epoch"])[MEASURED].to_xarray()
    rows: dict[str, dict[Place, list[design.Run]]] = {}
    for run in runs:
        rows.setdefault(run.part, {}).setdefault(run.place, []).append(run)
    return {
        part: {
            place: table.sel(run_id=[run.config.run_id for run in own])
            .rename(run_id="seed")
            .assign_coords(seed=[run.seed for run in own])
            for place, own in of_part.items()
        }
        for part, of_part in rows.items()
    }


def law_of(runs: Sequence[design.Run]) -> findings.Law:
    """Return the options of the laws in the loops, as the runs of the set point's signal have them."""
    options = next(run.config.regime.options for run in runs if run.part == "setpoint")
    return findings.Law(**{name: options[name] for name in findings.Law._fields})


def judged(traces: findings.Traces, law: findings.Law, resamples: int) -> dict[str, Any]:
    """Return what stability.json has."""
    plants = findings.known(traces, law, resamples)
    inner, outer = findings.inner_cells(traces, plants, law), findings.outer_cells(traces, plants, law)
    maps = {"inner": inner}
    for noise in design.NOISES:
        maps[f"outer, noise {noise:g}"] = [cell for cell in outer if cell["noise"] == noise]
    return {
        "law": law._asdict(),
        "plants": list(findings.plant_rows(plants, law)),
        "inner": inner,
        "outer": outer,
        "agreement": [row for words, cells in maps.items() for row in findings.agreement(cells, words)],
        "control_work": list(findings.work_rows(traces)),
    }


def show(found: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """Print the plants with their margins, where the prediction is right, and the work of each law."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    gains = ", ".join(f"{name} {found['law'][name]:g}" for name in ("kp", "ki", "smoothing", "alpha"))
    tables = {
        f"Plants, and the margins of the loops at {gains}": _plants(found["plants"]),
        "Is a cell of the map stable or not? How often the prediction is right": _agreement(found["agreement"]),
        "Theorem 1: what the controller adds to the budget": _work(found["control_work"]),
    }
    for title, rows in tables.items():
        console.print(title)
        widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(rows[0]))]
        for row in rows:
            console.print("  " + "  ".join(map(str.ljust, row, widths)).rstrip())
    for path in paths:
        console.print(f"  {path}")


Rows = list[list[str]]
"""The head first; a row that ends early has nothing more to say."""

NUMBERS = ("gain", "time_constant", "gain_margin", "phase_margin", "delay_margin")
"""What is printed of a plant; epochs and degrees."""


def _plants(found: Sequence[Mapping[str, Any]]) -> Rows:
    rows = [["plant", "surrogate", "optimiser", "phase", "fit", *(name.replace("_", " ") for name in NUMBERS)]]
    for row in found:
        own = row["found"]
        fit = "no working point" if own is None else "–" if own["fit"] is None else f"{own['fit']:.2f}"
        numbers = [_interval(own[name]) for name in NUMBERS] if own else []
        rows.append([findings.SAID[row["part"]], row["surrogate"], row["optimizer"], row["phase"], fit, *numbers])
    return rows


def _agreement(found: Sequence[Mapping[str, Any]]) -> Rows:
    counts = ("missed", "false_alarms")
    rows = [
        ["map", "optimiser", "cells", "right", "missed", "false alarms", "one guess", "critical gain, times measured"]
    ]
    for row in found:
        head = [row["map"], row["optimizer"], str(row["cells"])]
        if not row["cells"]:
            rows.append([*head, "no prediction"])
            continue
        numbers = [_interval(row["right"]), *(str(row[name]) for name in counts), f"{row['one_guess']:.2f}"]
        rows.append([*head, *numbers, _interval(row["factor"]) if row["factor"] else "–"])
    return rows


def _work(found: Sequence[Mapping[str, Any]]) -> Rows:
    rows = [["surrogate", "law", "work (nats)", "fall of the energy (nats)"]]
    return rows + [
        [row["surrogate"], row["law"], *(_interval(row[name]) for name in ("work", "fall"))] for row in found
    ]


def _interval(row: Mapping[str, Any]) -> str:
    """Return a value and the ends of its interval; what is infinite or undefined is a dash."""
    value, low, high = ("–" if row[name] is None else f"{row[name]:.3g}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
