"""Is it feedback at all? Each controlled run beside its placebo, whose lam or feedback is that of another run.

    python -m experiments placebos STORE

A twin is a run of the store again, the same seeds and the same configuration, but for one thing:

- yoked: its lam_t is that which the law set in a run of another seed. lam moves as it did, and answers to nothing.
- mean_matched: its lam is constant, the mean over time of that run's. shuffled: that run's lam_t in random order.
- yoked_feedback, of a law that uses feedback: the law is at work, and what it hears was said of the other run.
- no_feedback, of such a law too: it hears nothing, so `rl_thermostat` is a thermostat.

The other run has the same law and base lam, and the next training seed on the same data set where the store has one
(experiment=paper_full), else the next data set. So a law controls if its runs are better than their yoked twins
("control"), and feedback helps if they are better than those with yoked feedback ("feedback"). That they are better
than the others says that the path of lam ("path"), or that of the set point ("setpoint"), is worth something, whoever
drew it. Better is a lower gap, temperature-scaled test loss or Brier score, a higher accuracy or reward, by 5% of the
twin's; no law hears of the test split, and none of the Brier score. Values are means over base lam; comparisons are
paired, over data sets. A lower value in runs that have collapsed, compared with their twins, is COLLAPSE.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from rich.console import Console

from experiments import grid
from experiments.claims import judge, record
from experiments.claims.claim import CELL, MARGIN, VIEWS, collapsed, guessing_loss, scored
from experiments.claims.judge import Part, quotient_part
from experiments.claims.statistics import Array
from hclm_runner import parts, store
from hclm_runner.config import EXECUTION, labels
from hclm_runner.parts import ROOMS
from hclm_runner.refusal import ConfigError

if TYPE_CHECKING:
    from hclm_runner.config import RunConfig


class Placebo(NamedTuple):
    """What a twin has in place of its own."""

    group: str
    option: str
    of_feedback: bool
    """Whether it is a placebo of the feedback, and so for laws that use it; else of the law, for those that do not."""
    claim: str
    sets: Mapping[str, float] | None = None
    """Options of it in place of another run."""


PLACEBOS = {
    "yoked": Placebo("regime", "yoked", of_feedback=False, claim="control"),
    "mean_matched": Placebo("regime", "mean_matched", of_feedback=False, claim="path"),
    "shuffled": Placebo("regime", "shuffled", of_feedback=False, claim="path"),
    "yoked_feedback": Placebo("feedback", "yoked", of_feedback=True, claim="feedback"),
    "no_feedback": Placebo("feedback", "clean", of_feedback=True, claim="setpoint", sets={"observe": 0.0}),
}
OUTCOMES = {"gap": "<", "test_scaled_loss": "<", "test_brier": "<", "test_accuracy": ">", "reward": ">"}
"""Column -> where a run is better than its twin."""
SUFFIX, FILE = "_placebos", "placebos.json"
"""Of the name of a store of twins, and what is judged of them."""
NEEDED = sorted({*OUTCOMES, *CELL, "feedback_loss"})
SEEDS = ["data_seed", "seed"]


class Pairs(NamedTuple):
    """The runs of one method, and their twins of one placebo."""

    method: Mapping[str, str]
    """Its surrogate, its law, and its context."""
    placebo: str
    real: NDArray[np.str_]
    """Run ids, [lam, seeds]: the data sets one after the other, each with as many training seeds."""
    twins: "list[RunConfig]"
    """In the order of `real`."""
    draws: int
    """Training seeds of each data set."""


# --- the twins ------------------------------------------------------------------------------------------------------


def pairs(runs: pd.DataFrame, source: str, only: Iterable[str] = PLACEBOS) -> list[Pairs]:
    """Return each controlled method of a store with its placebos.

    Args:
        runs: Of the store.
        source: Its name, or its path.
        only: Which placebos.

    Raises:
        ConfigError: If no law of it moves lam, a method lacks runs, or none of another seed finished.
    """
    found = []
    runs = runs.assign(config=[json.loads(text) for text in runs["config"]])
    for label, own in runs[runs["status"].isin(store.DONE)].groupby("label", sort=False):
        config = own["config"].iloc[0]
        law = parts.find("regime", config["regime"]["_target_"])
        if law is None or config["regime"]["_target_"] in ("fixed", "replay"):
            continue
        hears = bool(getattr(law, "uses_feedback", False))
        if hears and config["feedback"]["_target_"] == "replay":
            continue
        table = _table(own, str(label), source)
        surrogate, regime = own["surrogate"].iloc[0], own["regime"].iloc[0]
        context = str(label).removeprefix(f"{surrogate} / {regime} / ")
        method = {"surrogate": surrogate, "law": regime, "context": context}
        draws = len(table.columns) // own["data_seed"].nunique()
        configs, repeated = dict(zip(own["run_id"], own["config"], strict=True)), others(own, source)
        for name in only:
            if PLACEBOS[name].of_feedback == hears:
                twins = [
                    twin(configs[run_id], run_id, PLACEBOS[name], source, repeated[run_id])
                    for run_id in table.to_numpy().ravel()
                ]
                found.append(Pairs(method, name, table.to_numpy(str), twins, draws))
    if not found:
        raise ConfigError("store", source, f"runs under a law that moves lam, of which {', '.join(only)} is a placebo")
    return found


def _table(own: pd.DataFrame, label: str, source: str) -> pd.DataFrame:
    """Return the run ids of a method, base lam by (data_seed, seed); refuse one with holes."""
    table = own.pivot_table(index="lam0", columns=SEEDS, values="run_id", aggfunc="first")
    if table.isna().any(axis=None):
        raise ConfigError("store", source, f"the same seeds at each base lam of {label}")
    if len(set(own.drop_duplicates(SEEDS).groupby("data_seed").size())) > 1:
        raise ConfigError("store", source, f"as many seeds of each data_seed of {label}")
    return table


def others(runs: pd.DataFrame, source: str) -> dict[str, str]:
    """Return for each run of a method the run that its twin repeats: the next that finished, at the same base lam.

    Args:
        runs: Of the method, those with a result.
        source: Their store.

    Raises:
        ConfigError: If there is none.
    """
    found = {}
    for lam, own in runs.groupby("lam0"):
        places = sorted(zip(own["data_seed"], own["seed"], own["run_id"], own["status"], strict=True))
        for place in places:
            alike = [other for other in places if other != place and other[-1] == "finished"]
            same_data = [other for other in alike if other[0] == place[0]]
            if not alike:
                raise ConfigError("store", source, f"two seeds that finished of {own['label'].iloc[0]}, lam0 {lam:g}")
            candidates = same_data or alike
            found[place[2]] = next((other for other in candidates if other > place), candidates[0])[2]
    return found


def twin(config: Mapping[str, Any], run_id: str, placebo: Placebo, source: str, other: str) -> "RunConfig":
    """Return the twin of a stored run: one that repeats another, unless the placebo says what it has instead.

    Raises:
        ConfigError: If the stored configuration is another run today.
    """
    from hclm_runner.config import RunConfig

    own = RunConfig.model_validate(_today(config))
    if own.run_id != run_id:
        raise ConfigError("store", source, f"runs of today's parts, but {run_id} is another run today")
    usual = labels.shipped_options(placebo.group, placebo.option, own.sigma)
    kept = {key: value for key, value in config[placebo.group].items() if key == "w"}  # which prices the reward
    sets = {"store": source, "run": other} if placebo.sets is None else placebo.sets
    return RunConfig.model_validate({**dict(own), placebo.group: {**usual, **kept, **sets}})


def _today(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored configuration, with the defaults of what came after it, and of how a run executes."""
    usual = _usual() | {key: value for key, value in config.items() if key not in EXECUTION}
    of_parts = {group: labels.shipped_options(group, usual[group]["name"], usual["sigma"]) for group in ROOMS}
    return usual | {group: {**of_parts[group], **usual[group]} for group in ROOMS}


@cache
def _usual() -> dict[str, Any]:
    from hclm_runner import configure

    return configure().as_dict()


def trained(found: Sequence[Pairs], name: str, overrides: Sequence[str] = ()) -> pd.DataFrame | None:
    """Train what a store lacks of the twins, and return their records; None after a dry run.

    Args:
        found: The pairs.
        name: The store of the twins.
        overrides: Of keys that say how runs execute.

    Raises:
        ConfigError: If an override is of another key, or runs have no result.
    """
    from hclm_runner import configure

    for key in (text.partition("=")[0] for text in overrides):
        if key.partition(".")[0] not in EXECUTION or key == "name":
            raise ConfigError(key, None, "no value: the runs are those of the store")
    asked = configure(*overrides)
    how = {key: getattr(asked, key) for key in EXECUTION}
    configs = [config.model_copy(update=how) for pair in found for config in pair.twins]
    results = grid.trained(configs, name)
    return None if results is None else results[0]


# --- what is asked of them ------------------------------------------------------------------------------------------


def measured(records: pd.DataFrame, ids: NDArray[np.str_]) -> xr.Dataset:
    """Return the columns that are judged, over lam0, seed and epoch; ids [lam, seeds]."""
    table = records.set_index(["run_id", "epoch"])[NEEDED].to_xarray().reindex(run_id=ids.ravel())
    epochs = table["epoch"].to_numpy()
    shape = (*ids.shape, len(epochs))
    columns = {name: (("lam0", "seed", "epoch"), table[name].to_numpy().reshape(shape)) for name in NEEDED}
    return xr.Dataset(columns, {"epoch": epochs})


def compared(real: xr.Dataset, twins: xr.Dataset, view: str, outcome: str, chance_loss: float) -> Part:
    """Return the part about an outcome of runs, relative to their twins, means over base lam.

    Args:
        real: The runs, over lam0, seed and epoch.
        twins: Theirs.
        view: When they are judged.
        outcome: Which column.
        chance_loss: log K, nats.
    """
    sense = OUTCOMES[outcome]
    finals = [VIEWS[view](runs) for runs in (real, twins)]
    values = np.stack([[scored(runs, name).mean(0) for name in (outcome, *CELL)] for runs in finals])

    def by_collapse(values: Array) -> NDArray[np.bool_]:
        mine, other = values.mean(-1)
        return collapsed(mine[1:], other[1:], chance_loss) & (mine[0] < other[0])

    (a, *_), (b, *_) = values
    facts = {"collapse": by_collapse, "cells": values} if sense == "<" else {}  # nothing learnt raises no reward
    text = f"{outcome.replace('_', ' ')} relative to the placebo"
    return quotient_part(text, a - b, b, sense, MARGIN if sense == ">" else -MARGIN, **facts)


def judged(pair: Pairs, real: pd.DataFrame, twins: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """Judge one placebo of a method, as placebos.json has it.

    Raises:
        ConfigError: If the task has no classes.
    """
    chance_loss = guessing_loss(pair.twins[0])
    ids = np.array([config.run_id for config in pair.twins]).reshape(pair.real.shape)
    runs, placebos = measured(real, pair.real), measured(twins, ids)
    for view in VIEWS:
        for outcome in OUTCOMES:
            part = compared(runs, placebos, view, outcome, chance_loss)._replace(draws=pair.draws)
            found = judge.judge([part])
            (row,) = found.parts
            said: dict[str, Any] = {
                **pair.method,
                "placebo": pair.placebo,
                "claim": PLACEBOS[pair.placebo].claim,
                "view": view,
            }
            said |= {"outcome": outcome, "verdict": found.verdict, "sense": row.sense, "bound": row.bound}
            yield said | row.estimate.as_dict() | {"sentence": found.sentence, "shown": row.effect}


# --- the command ----------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, judge, write placebos.json, and print what came out.

    Raises:
        ConfigError: If a store or a run of it is missing, or a twin has no result.
    """
    parser = argparse.ArgumentParser(
        prog="python -m experiments placebos",
        description="Is it feedback? Trains a twin of each controlled run of a store, whose lam or feedback is that of "
        "another run, and judges which is better.",
    )
    parser.add_argument("store", help="a store with runs of thermostats: its name under outputs/, or its path")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="how runs execute, as sweep.dry_run=true")
    parser.add_argument(
        "--only", default=",".join(PLACEBOS), help=f"some of {', '.join(PLACEBOS)}, with commas between"
    )
    parser.add_argument("--name", help="the store of the twins, outputs/NAME/ (default: STORE_placebos)")
    given = parser.parse_intermixed_args(arguments)
    only = given.only.split(",")
    if unknown := [name for name in only if name not in PLACEBOS]:
        parser.error(f"argument --only: expected some of {', '.join(PLACEBOS)}, got {', '.join(unknown)}")
    source = grid.locate(given.store)
    records, runs = store.load(source)
    grid.check_version(given.store, runs)
    found = pairs(runs, given.store, only)
    name = given.name or f"{source.name}{SUFFIX}"
    twins = trained(found, name, given.overrides)
    if twins is None:
        return
    rows = [row for pair in found for row in judged(pair, records, twins)]
    crossed = all(pair.draws > 1 for pair in found)
    path = store.OUTPUTS / name / FILE
    written = json.dumps({"store": given.store, "same_data": crossed, "rows": rows}, indent=1, allow_nan=False)
    store.atomically(path, lambda temporary: Path(temporary).write_text(written))
    show(rows, crossed=crossed)
    print(f"  {path}")


class Table(NamedTuple):
    """How a method compares with its placebos."""

    method: str
    placebos: list[str]
    rows: dict[str, list[tuple[str, str]]]
    """Outcome and view in words -> the verdict and the effect of each placebo."""


def tables(rows: Iterable[Mapping[str, Any]]) -> list[Table]:
    """Return what was judged as a table for each method."""
    found = []
    for method, own in groupby(rows, key=lambda row: (row["surrogate"], row["law"], row["context"])):
        names, cells = dict[str, None](), dict[str, list[tuple[str, str]]]()
        for row in own:
            names[row["placebo"]] = None
            text = f"{row['outcome'].replace('_', ' ')}, {row['view']}"
            cells.setdefault(text, []).append((row["verdict"], row["shown"]))
        found.append(Table(" / ".join(method), list(names), cells))
    return found


def of_store(folder: Path) -> list[Table]:
    """Return what was judged of a store, in the store of its twins that has the usual name; nothing if it was not."""
    path = folder.with_name(f"{folder.name}{SUFFIX}") / FILE
    return tables(json.loads(path.read_text())["rows"]) if path.exists() else []


def show(rows: Sequence[Mapping[str, Any]], *, crossed: bool) -> None:
    """Print for each method how it compares with its placebos, and how many verdicts each claim has."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    data = "the same data set" if crossed else "another data set, for each has one training seed"
    console.print(f"a run relative to its twin; what a twin repeats is a run of {data}")
    for table in tables(rows):
        console.print(table.method)
        lines = [["better than", *table.placebos]]
        for text, cells in table.rows.items():
            lines.append([text, *(f"{record.SYMBOLS[verdict]} {shown}" for verdict, shown in cells)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            console.print("  " + "  ".join(map(str.ljust, line, widths)).rstrip())
    for claim in dict.fromkeys(placebo.claim for placebo in PLACEBOS.values()):
        verdicts = [row["verdict"] for row in rows if row["claim"] == claim]
        counts = [f"{verdicts.count(verdict)} {verdict}" for verdict in record.SYMBOLS if verdict in verdicts]
        if counts:
            console.print(f"{claim}: {', '.join(counts)}")
