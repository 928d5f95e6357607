"""Two stores compared: what a change did to the final values and to the verdicts.

    python -m experiments compare paper outputs/adam --out outputs/adam/compared.json

Compared is whatever surrogates, regimes, base lam and seeds both have; what only one of them has is named. Differences
are B - A of final values (means of the last 5 epochs), paired over surrogate, regime, lam0 and seed: a seed has the
same data, weights and batches in both stores. A seed's difference is its mean over lam0; the interval is Student's t
over seeds: a bootstrap of the mean of ten seeds or fewer is too narrow, and that of equal stores undefined.

Imports neither torch nor hydra.
"""

import argparse
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from rich import box
from rich.console import Console
from rich.table import Column, Table

from experiments import grid
from experiments.claims import record
from experiments.estimate import CONFIDENCE, Estimate, of_seeds
from hclm_runner import store, terminal
from hclm_runner.refusal import ConfigError

GROUPS = ("surrogate", "regime")
COLUMNS = ("test_loss", "gap", "reward", "entropy", "share")
PROVENANCE = ("commit", "versions", "device")
SHOWN = 6
"""How many single runs are named before the rest are counted."""


class Difference(NamedTuple):
    """What changed in one column of one surrogate under one regime, over the runs that both stores have."""

    surrogate: str
    regime: str
    column: str
    a: float
    """The mean over the paired runs of A; b, of B."""
    b: float
    change: Estimate
    """B - A, its n the number of seeds."""
    runs: int
    """How many are paired."""

    @property
    def distinct(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.change.holds(0)

    def as_dict(self, task: str) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"task": task} | self._asdict() | {"change": self.change.as_dict(), "distinct": self.distinct}


def compare(a: str, b: str) -> dict[str, Any]:
    """Return what differs between two stores, as JSON has it.

    Keys: `configuration` (of what differs: key, a, b); `values_only_in_a` and `values_only_in_b` (tasks, surrogates,
    regimes, base lam and seeds that one store alone has, in words); `only_in_a` and `only_in_b` (runs with a final
    value in one store alone, in words); `differences` (a row for each task, surrogate, regime and column, with the
    fields of `Difference`); `undefined` (columns without a value in any paired run of a surrogate and regime, in
    words); `unjudged` (the stores without verdicts); `flips` (claims whose verdicts differ, where both have them) and
    `judged_in_one` (how many claims only one of them has).

    Raises:
        ConfigError: If a store is not there, or the two have no task or no run in common.
    """
    grids_a, grids_b = grid.load(a), grid.load(b)
    pairs = _tasks(list(grids_a), list(grids_b))
    judged_a, judged_b = record.load(a), record.load(b)
    found: dict[str, Any] = {"a": a, "b": b, "confidence": CONFIDENCE, "configuration": provenance(a, b)}
    found |= {"values_only_in_a": [f"task {task}" for task in grids_a if task not in pairs]}
    found |= {"values_only_in_b": [f"task {task}" for task in grids_b if task not in pairs.values()]}
    found |= {"only_in_a": [], "only_in_b": [], "differences": [], "undefined": []}
    for task_a, task_b in pairs.items():
        one, two, task = grids_a[task_a], grids_b[task_b], _both(task_a, task_b)
        where = f"{task}: " if len(pairs) > 1 else ""
        found["configuration"] += configuration(one.attrs["config"], two.attrs["config"])
        for side, this, other in (("a", one, two), ("b", two, one)):
            found[f"values_only_in_{side}"] += [where + value for value in values_only(this, other)]
            found[f"only_in_{side}"] += [where + title for title in only(this, other)]
        rows, undefined = paired(grid.final(one), grid.final(two))
        found["differences"] += [row.as_dict(task) for row in rows]
        found["undefined"] += [where + words for words in undefined]
    if not found["differences"]:
        raise ConfigError("store", b, f"runs of the same surrogate, regime, lam and seed as in {a}")
    found["unjudged"] = [source for source, judged in ((a, judged_a), (b, judged_b)) if judged is None]
    claims_a, claims_b = (
        [] if judged is None else [*judged["claims"], *judged["generic"]] for judged in (judged_a, judged_b)
    )
    found["flips"], found["judged_in_one"] = flips(claims_a, claims_b, pairs)
    return found


def configuration(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the keys in which two grids' configurations differ; a surrogate or regime that one lacks is no key."""
    shared = sorted(a.keys() & b.keys())
    flat_a, flat_b = ({key: text for name in shared for key, text in _flat(name, side[name])} for side in (a, b))
    return [
        {"key": key, "a": flat_a.get(key), "b": flat_b.get(key)}
        for key in sorted(flat_a.keys() | flat_b.keys())
        if flat_a.get(key) != flat_b.get(key)
    ]


def provenance(a: str, b: str) -> list[dict[str, Any]]:
    """Return where the runs of two stores come from, where that differs: commit, versions, device."""
    runs_a, runs_b = store.load(a)[1], store.load(b)[1]
    rows = ({"key": key, "a": _distinct(runs_a[key]), "b": _distinct(runs_b[key])} for key in PROVENANCE)
    return [row for row in rows if row["a"] != row["b"]]


def values_only(one: xr.Dataset, other: xr.Dataset) -> list[str]:
    """Return the surrogates, regimes, base lam and seeds that one grid alone has, in words."""
    return [
        f"{axis} {value:g}" if axis == "lam0" else f"{axis} {value}"
        for axis in grid.AXES
        for value in one[axis].to_numpy().tolist()
        if value not in other[axis]
    ]


def only(one: xr.Dataset, other: xr.Dataset) -> list[str]:
    """Return the runs with a final value in one grid alone, in words; those that diverged in the other say so."""
    have, lack = (_places(each) for each in (one, other))
    diverged = set(other.attrs["diverged"])
    places = sorted(have - lack)
    titles = (f"{surrogate} / {regime}, lam0 {lam:g}, seed {seed}" for surrogate, regime, lam, seed in places)
    return [f"{title} (diverged in the other)" if title in diverged else title for title in titles]


def paired(a: xr.Dataset, b: xr.Dataset) -> tuple[list[Difference], list[str]]:
    """Return the mean of B - A of final values for each surrogate, regime and column, over the runs both stores have.

    And, in words, the columns that are undefined in all runs that a surrogate and regime has in both.
    """
    rows, undefined = [], []
    one, two = (side.transpose(*grid.AXES) for side in xr.align(a, b, join="inner"))
    for column, surrogate, regime in itertools.product(COLUMNS, *(one[axis].to_numpy().tolist() for axis in GROUPS)):
        before, after = (side[column].sel(surrogate=surrogate, regime=regime).to_numpy() for side in (one, two))
        change = after - before  # [lam0, seed]
        both = np.isfinite(change)
        if both.any():
            by_seed = xr.DataArray(np.nanmean(change[:, both.any(0)], axis=0), dims="seed")
            estimate = of_seeds(by_seed).item()
            means = float(before[both].mean()), float(after[both].mean())
            rows.append(Difference(surrogate, regime, column, *means, estimate, int(both.sum())))
        elif all(_ended(side).sel(surrogate=surrogate, regime=regime).any() for side in (one, two)):
            undefined.append(f"{column} of {surrogate} / {regime}")
    return rows, undefined


def flips(
    a: list[record.ClaimRow], b: list[record.ClaimRow], tasks: Mapping[str, str]
) -> tuple[list[dict[str, Any]], int]:
    """Return the claims that both stores judged, and not alike, and how many only one of them judged.

    `tasks` says which task of A is which of B.
    """
    judged = {(claim["task"], claim["id"]): claim for claim in b}
    rows, common = [], 0
    for claim in a:
        other = judged.get((tasks.get(claim["task"], ""), claim["id"]))
        if other is None:
            continue
        common += 1
        if other["verdict"] != claim["verdict"]:
            rows.append(
                {"task": _both(claim["task"], other["task"]), "id": claim["id"], "says": claim["says"]}
                | {"a": claim["verdict"], "b": other["verdict"]}
                | {"sentence_a": claim["sentence"], "sentence_b": other["sentence"]}
            )
    return rows, len(a) + len(b) - 2 * common


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print a comparison."""
    console.print(f"A = {found['a']}, B = {found['b']}", markup=False)
    if found["configuration"]:
        console.print(_table("Configuration that differs", ("key", "A", "B"), map(_texts, found["configuration"])))
    else:
        console.print("Configuration, commit, versions and device are the same.")
    _show_one_sided(found, console)
    rows = found["differences"]
    table = _table("Final values, paired", ("", "A", "B", "B - A", f"{CONFIDENCE:.0%} interval", "seeds"))
    for (task, column), own in itertools.groupby(rows, key=itemgetter("task", "column")):
        table.add_section()
        table.add_row(column if len({row["task"] for row in rows}) == 1 else f"{column}, {task}", style="bold")
        for row in own:
            table.add_row(*_difference(row), style=None if row["distinct"] else "dim")
    console.print(table)
    chance, distinct = (1 - CONFIDENCE) * len(rows), sum(row["distinct"] for row in rows)
    console.print(f"* the interval leaves out 0: {distinct} of {len(rows)}; where nothing differs, {chance:.0f} would.")
    if found["unjudged"]:
        commands = " and ".join(map(record.command, found["unjudged"]))
        console.print(f"Verdicts are not compared; first: {commands}", markup=False)
    elif found["flips"]:
        flipped = ([flip["task"], flip["id"], flip["says"], flip["a"], flip["b"]] for flip in found["flips"])
        console.print(_table("Verdicts that differ", ("task", "claim", "the paper says", "A", "B"), flipped))
    else:
        console.print("No verdict differs.")
    if found["judged_in_one"] and not found["unjudged"]:
        console.print(f"{found['judged_in_one']} claims were judged in one of the stores alone.")


def _show_one_sided(found: Mapping[str, Any], console: Console) -> None:
    """Print what cannot be compared, because one store lacks it or it has no value."""
    for side in "ab":
        if values := found[f"values_only_in_{side}"]:
            console.print(f"Only {side.upper()} has {terminal.first(values, SHOWN)}.", markup=False)
        if titles := found[f"only_in_{side}"]:
            some = terminal.first(titles, SHOWN)
            console.print(f"{len(titles)} runs are only in {side.upper()}: {some}", markup=False)
    if undefined := found["undefined"]:
        console.print(f"Without a value in any paired run: {terminal.first(undefined, SHOWN)}", markup=False)


def _difference(row: Mapping[str, Any]) -> list[str]:
    change = Estimate.of_dict(row["change"])
    within = "one seed" if change.n < 2 else f"[{change.low:+.3g}, {change.high:+.3g}]"
    value = f"{change.value:+.3g}{' *' if row['distinct'] else '  '}"
    where = f"  {row['surrogate']} / {row['regime']}"
    return [where, f"{row['a']:>7.3f}", f"{row['b']:>7.3f}", value, within, f"{change.n:>5}"]


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]] = ()) -> Table:
    columns = (Column(name, overflow="fold") for name in head)  # a hash cut short says nothing
    table = Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    return table


def _texts(row: Mapping[str, Any]) -> list[str]:
    return [row["key"], *("(none)" if row[side] is None else str(row[side]) for side in "ab")]


def _tasks(a: list[str], b: list[str]) -> dict[str, str]:
    """Return which task of A is compared with which of B: the same, or the only ones, if the task is what changed."""
    if len(a) == len(b) == 1:
        return {a[0]: b[0]}
    if shared := {task: task for task in a if task in b}:
        return shared
    raise ConfigError("store", None, f"two stores with a task in common, got {', '.join(a)} and {', '.join(b)}")


def _both(a: str, b: str) -> str:
    return a if a == b else f"{a} / {b}"


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of a configuration."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    else:
        yield name, value


def _distinct(column: pd.Series) -> str:
    return ", ".join(sorted({str(value) for value in column}))


def _ended(final: xr.Dataset) -> xr.DataArray:
    """Return which runs have final values."""
    return final["train_loss"].notnull()  # noqa: PD004 - xarray


def _places(one: xr.Dataset) -> set[tuple[Any, ...]]:
    """Return (surrogate, regime, lam0, seed) of the runs with a final value."""
    there = _ended(grid.final(one)).stack(run=grid.AXES)  # noqa: PD013 - xarray's, which has no melt
    return {tuple(place) for place in there[there].indexes["run"]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare two stores as the command line says.

    Raises:
        ConfigError: If they cannot be compared.
        OSError: If the file cannot be written.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments compare", description="Two stores compared, B - A.")
    parser.add_argument("a", metavar="A", help="a store: its name under outputs/, or its path")
    parser.add_argument("b", metavar="B", help="the store with the change")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the same as JSON")
    given = parser.parse_args(arguments)
    console = Console(highlight=False)
    found = compare(given.a, given.b)
    show(found, console)
    if given.out:
        text = json.dumps(found, indent=1, allow_nan=False)
        store.atomically(given.out, lambda path: Path(path).write_text(text))
        console.print(f"  {given.out}", markup=False)
