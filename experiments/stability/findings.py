"""What the runs say: the plants and their margins, the maps beside their prediction, the work of each law.

Imports neither torch nor hydra.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy.stats import binomtest

from experiments.estimate import of_seeds
from experiments.stability import margins, response
from experiments.stability.design import MAPPED, Place
from experiments.stability.identify import Array, Identified, Plant, identify, interval
from experiments.stability.margins import Loop, Margins
from experiments.statements.theorem_1_on_runs import control_work, energy

Traces = Mapping[str, Mapping[Place, xr.Dataset]]
"""Part -> place -> what was measured of its runs, over seed and epoch."""

SAID = {"lam": "log lam to log S", "setpoint": "log S_ref to critique"}
"""Part -> from what its plant leads to what."""


USED = 0.5
"""The fit (`Identified.fit`) from which on a plant predicts: half of the answer of other seeds is foretold."""


class Law(NamedTuple):
    """The options of the laws in the loops, as the runs had them."""

    kp: float
    ki: float
    smoothing: float
    alpha: float
    warmup: int


class Known(NamedTuple):
    """What was identified of one plant, in one phase of training."""

    part: str
    surrogate: str
    optimizer: str
    phase: str
    at_bound: float
    """Share of the epochs with lam at a bound: there is no working point where that is most of them."""
    found: Identified | None


def phases(epochs: int, warmup: int) -> dict[str, slice]:
    """Return the rows of each phase of training: the first half after warm-up, and the second."""
    return {"early": slice(warmup, epochs // 2 + 1), "late": slice(epochs // 2, epochs + 1)}


def known(traces: Traces, law: Law, resamples: int) -> list[Known]:
    """Return the plants, from half the difference of runs whose signals are mirrored."""
    plants = []
    for part in SAID:
        pairs: dict[Place, dict[int, xr.Dataset]] = {}
        for place, runs in traces[part].items():
            pairs.setdefault(place[:-1], {})[place[-1][1]] = runs
        for place, pair in pairs.items():
            at = dict(place)
            for phase, rows in phases(len(pair[1]["epoch"]) - 1, law.warmup).items():
                sides = {sign: _signal(part, runs.isel(epoch=rows)) for sign, runs in pair.items()}
                u, y = ((sides[1][i] - sides[-1][i]) / 2 for i in range(2))
                whole = np.isfinite(u).all(1) & np.isfinite(y).all(1)
                at_bound = float(np.mean([_at_bound(runs.isel(epoch=rows)) for runs in pair.values()]))
                usable = at_bound < 0.5 and whole.sum() >= 3
                found = identify(u[whole], y[whole], resamples) if usable else None
                plants.append(Known(part, at["surrogate"], at["optimizer"], phase, at_bound, found))
    return plants


def _signal(part: str, runs: xr.Dataset) -> tuple[Array, Array]:
    """Return u and y of a part's plant, [seeds, epochs]."""
    table = {
        name: runs[name].transpose("seed", "epoch").to_numpy() for name in ("lam", "entropy", "setpoint", "feedback")
    }
    if part == "lam":
        return np.log(table["lam"]), np.log(np.maximum(table["entropy"], 1e-300))
    return np.log(table["setpoint"]), table["feedback"]


def _at_bound(runs: xr.Dataset) -> float:
    """Return the share of epochs at which lam stays what it was: under a signal it does at a bound alone."""
    lam = runs["lam"].transpose("seed", "epoch").to_numpy()
    return float((np.diff(lam, axis=1) == 0).mean())


def closed(part: str, law: Law) -> Callable[[Plant], Loop]:
    """Return what closes a part's loop round its plant, at the law's own gains."""
    if part == "lam":
        return lambda plant: margins.thermostat(plant, law.kp, law.ki, law.smoothing)
    return lambda plant: margins.outer(plant, law.alpha)


def plant_rows(plants: Sequence[Known], law: Law) -> Iterator[dict[str, Any]]:
    """Yield for each plant its coefficients, and its margins at the law's own gains; null where there is none."""
    for one in plants:
        row: dict[str, Any] = one._asdict() | {"found": None}
        if one.found is None:
            yield row
            continue
        plant, close = one.found.plant, closed(one.part, law)
        numbers: dict[str, Callable[[Plant], float]] = {
            "gain": lambda plant: plant.gain,
            "time_constant": lambda plant: plant.time_constant,
            **{f"{name}_margin": partial(_margin, close, name) for name in Margins._fields},
        }
        of_plant = {
            "order": one.found.order._asdict(),
            "a": plant.a.tolist(),
            "b": plant.b.tolist(),
            "fit": _finite(one.found.fit),
        }
        measured = {name: _between(number, one.found) for name, number in numbers.items()}
        yield row | {"found": of_plant | {"poles": [[pole.real, pole.imag] for pole in plant.poles]} | measured}


def _margin(close: Callable[[Plant], Loop], name: str, plant: Plant) -> float:
    """Return a margin of the loop round a plant; 0 of one that is not stable."""
    found = margins.margins(close(plant))
    return 0.0 if found is None else float(getattr(found, name))


def _between(number: Callable[[Plant], float], found: Identified) -> dict[str, float | None]:
    """Return a function of the plant with its interval over resampled seeds; what is infinite is None."""
    low, high = interval(map(number, found.resampled))
    return {name: _finite(value) for name, value in (("value", number(found.plant)), ("low", low), ("high", high))}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


# --- the maps -------------------------------------------------------------------------------------------------------


def predicted(plants: Sequence[Known], part: str, optimizer: str, close: Callable[[Plant], Loop]) -> Array | None:
    """Return the critical gain of a loop round the plants of all phases, then that of each resample: [1 + resamples].

    A run goes through all phases, and a limit cycle that begins in one does not end of itself: so the least counts.
    None if a phase has no plant, or one whose fit is less than `USED`.
    """
    found = [one.found for one in plants if (one.part, one.surrogate, one.optimizer) == (part, MAPPED, optimizer)]
    if not found or any(one is None or one.fit < USED for one in found):
        return None
    each = [[margins.critical_gain(close(plant)) for plant in (one.plant, *one.resampled)] for one in found if one]
    return np.min(np.array(each), axis=0)


def inner_cells(traces: Traces, plants: Sequence[Known], law: Law) -> list[dict[str, Any]]:
    """Return the map of the inner loop: kp for each optimiser, ki / kp and delay."""

    def close(at: Mapping[str, Any]) -> Callable[[Plant], Loop]:
        return lambda plant: margins.thermostat(plant, 1.0, at["ratio"], law.smoothing, at["delay"])

    return _cells(traces["inner"], plants, "lam", close, "lam", law)


def outer_cells(traces: Traces, plants: Sequence[Known], law: Law) -> list[dict[str, Any]]:
    """Return the map of the outer loop: alpha for each optimiser, noise and delay of the feedback."""

    def close(at: Mapping[str, Any]) -> Callable[[Plant], Loop]:
        return lambda plant: margins.outer(plant, 1.0, at["delay"])

    return _cells(traces["outer"], plants, "setpoint", close, "setpoint", law)


def _cells(
    runs: Mapping[Place, xr.Dataset],
    plants: Sequence[Known],
    part: str,
    close: Callable[[Mapping[str, Any]], Callable[[Plant], Loop]],
    moved: str,
    law: Law,
) -> list[dict[str, Any]]:
    """Return what was measured of each cell, beside what was predicted for it."""
    boundaries: dict[Place, Array | None] = {}
    cells = []
    for place, dataset in runs.items():
        at, own = dict(place), dataset.transpose("seed", "epoch")
        if place[:-1] not in boundaries:  # the gain is the last of a place
            boundaries[place[:-1]] = predicted(plants, part, at["optimizer"], close(at))
        boundary = boundaries[place[:-1]]
        swings = response.swing(np.log(own[moved].to_numpy()))
        e = np.log(np.maximum(own["entropy"].to_numpy(), 1e-300) / own["setpoint"].to_numpy())
        settled = response.settling(e)
        unstable = bool((swings > response.UNSTABLE).mean() >= 0.5)
        cell = at | {
            "seeds": len(swings),
            "swing": _finite(float(np.median(swings))),
            "share_unstable": float((swings > response.UNSTABLE).mean()),
            "unstable": unstable,
            "settled": int(np.isfinite(settled).sum()),
            "settling": _finite(float(np.median(settled[np.isfinite(settled)])))
            if np.isfinite(settled).any()
            else None,
            "overshoot": _finite(float(np.median(response.overshoot(e, law.warmup)))),
            "critical": None,
            "predicted_unstable": None,
            "right": None,
        }
        if boundary is not None:
            low, high = interval(boundary[1:])
            critical = {"value": _finite(boundary[0]), "low": _finite(low), "high": _finite(high)}
            beyond = bool(at["gain"] >= boundary[0])
            cell |= {"critical": critical, "predicted_unstable": beyond, "right": beyond == unstable}
        cells.append(cell)
    return cells


def agreement(cells: Sequence[Mapping[str, Any]], words: str) -> Iterator[dict[str, Any]]:
    """Yield for each optimiser, and for all, in how many cells the prediction is right, with Wilson's 95% interval.

    No cell had a part in the prediction. Beside it: how many unstable cells it calls stable (missed), and stable ones
    unstable (false alarms); what the better one of the guesses "all stable" and "all unstable" would get; and by what
    factor the predicted critical gain is off where the map has the measured one: geometric mean, least and largest.
    """
    for optimizer in (*dict.fromkeys(cell["optimizer"] for cell in cells), "all"):
        own = [cell for cell in cells if optimizer in (cell["optimizer"], "all") and cell["right"] is not None]
        if not own:
            yield {"map": words, "optimizer": optimizer, "cells": 0}
            continue
        right, unstable = (sum(cell[name] for cell in own) for name in ("right", "unstable"))
        low, high = binomtest(right, len(own)).proportion_ci(method="wilson")
        off = list(factors(own))
        factor = {"value": float(np.exp(np.mean(np.log(off)))), "low": min(off), "high": max(off)} if off else None
        yield {
            "map": words,
            "optimizer": optimizer,
            "cells": len(own),
            "right": {"value": right / len(own), "low": float(low), "high": float(high)},
            "missed": sum(cell["unstable"] and not cell["right"] for cell in own),
            "false_alarms": sum(not cell["unstable"] and not cell["right"] for cell in own),
            "one_guess": max(unstable, len(own) - unstable) / len(own),
            "factor": factor,
        }


def factors(cells: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    """Yield the predicted critical gain over the measured one, wherever the map has that.

    Measured is the geometric middle of the first gain that is unstable and the one before it.
    """
    columns: dict[Place, list[Mapping[str, Any]]] = {}
    for cell in cells:
        key = tuple((name, cell[name]) for name in ("optimizer", "ratio", "noise", "delay") if name in cell)
        columns.setdefault(key, []).append(cell)
    for column in columns.values():
        ordered = sorted(column, key=lambda cell: float(cell["gain"]))
        first = next((i for i, cell in enumerate(ordered) if cell["unstable"]), 0)
        critical = ordered[0]["critical"]["value"]
        if first > 0 and critical:
            yield critical / math.sqrt(ordered[first - 1]["gain"] * ordered[first]["gain"])


# --- Theorem 1 ------------------------------------------------------------------------------------------------------


def work_rows(traces: Traces) -> Iterator[dict[str, Any]]:
    """Yield for each surrogate and law the work of the controller that Theorem 1 needs beside the fall of the energy.

    W = sum over epochs of (lam_{t+1} - lam_t)^+ S_{t+1}, and E_0 - E_T, with E_T at the lam in force until then; nats,
    means over seeds with Student's t interval.
    """
    for place, runs in traces["laws"].items():
        work = control_work(runs).isel(epoch=-1)
        fall = energy(runs).isel(epoch=0) - (runs["train_loss"] + runs["lam"].shift(epoch=1) * runs["entropy"]).isel(
            epoch=-1
        )
        estimates = {"work": of_seeds(work), "fall": of_seeds(fall)}
        yield dict(place) | {name: value.item().as_dict() for name, value in estimates.items()}
