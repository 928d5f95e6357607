"""Stores of runs that were never trained: the numbers are drawn, so what must be found in them is known."""

import json
from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from experiments.grid import REGIMES, SURROGATES
from hclm_runner import store
from hclm_runner.config import RunConfig, configure
from hclm_runner.records import COLUMNS, Records, describe

EPOCHS = 12
LAMS = (0.0, 0.1, 1.0)


def draw(run: RunConfig) -> dict[str, np.ndarray]:
    """Return a run's columns, [epochs + 1]: of many magnitudes, with zeros and NaN where real ones have them."""
    place = [SURROGATES.index(run.surrogate.name), REGIMES.index(run.regime.name), round(1000 * run.lam), run.seed]
    rng = np.random.default_rng(place)
    shape = run.epochs + 1
    columns = {name: rng.normal(size=shape).cumsum() for name in COLUMNS}
    columns["train_loss"] = np.exp(-3 * columns["train_loss"])
    columns["dissipation"] = run.lam * np.exp(columns["dissipation"])
    if run.regime.name == "fixed":
        columns |= dict.fromkeys(("setpoint", "feedback"), np.full(shape, np.nan))
    return columns


def write(
    folder: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3),
    overrides: Sequence[str] = (),
    change: Callable[[RunConfig, dict[str, np.ndarray]], object] = lambda *_: None,
    diverged: Collection[tuple[str, str, float, int]] = (),
) -> Path:
    """Write a store of the paper's surrogates and regimes and return its folder.

    Args:
        folder: Where.
        seeds: Its seeds.
        overrides: Of the configuration, as at the command line.
        change: Called with each run and its columns, which it may change.
        diverged: Places (surrogate, regime, lam0, seed) of runs that diverge in epoch 3.
    """
    runs = [
        base.model_copy(update={"lam": lam, "seed": seed})
        for base in _bases(tuple(overrides))
        for lam in LAMS
        for seed in seeds
    ]
    drawn = [draw(run) for run in runs]
    for run, columns in zip(runs, drawn, strict=True):
        change(run, columns)
    ended = [3 if (run.surrogate.name, run.regime.name, run.lam, run.seed) in diverged else -1 for run in runs]
    columns = {name: np.stack([each[name] for each in drawn]) for name in COLUMNS}
    records = Records(runs, columns, np.array(ended))
    store.prepare(folder)
    store.write(folder, records.frame(), describe(records, "cpu", 60.0))
    return folder


@cache
def _bases(overrides: tuple[str, ...]) -> list[RunConfig]:
    """Return a run of each surrogate and regime; cached, because to compose one takes long."""
    by_surrogate = [configure(f"surrogate={name}", f"epochs={EPOCHS}", *overrides) for name in SURROGATES]
    laws = [configure(f"regime={name}", *overrides).regime for name in REGIMES]
    return [base.model_copy(update={"regime": law}) for base in by_surrogate for law in laws]


def claim(id: str = "22", verdict: str = "SUPPORTED", **facts: Any) -> dict[str, Any]:
    """Return a judged claim, as `python -m experiments claims` writes it."""
    estimate = {"value": 0.25, "low": 0.125, "high": 0.5, "n": 4}
    part = (
        {"text": "late slope"}
        | estimate
        | {
            "p": 0.0004,
            "sense": ">",
            "bound": 0.0,
            "verdict": verdict,
            "ruling": "claimed > 0 nats, and it is so",
            "unit": "nats",
            "holm": 0.0004,
            "method": "exact sign flips",
            "collapsed": 0.0,
            "structural": "",
        }
    )
    figure = int(id) if id.isdigit() else None
    words = {"says": f"what the paper says of {id}", "sentence": f"What was found of {id}."}
    said = {"task": "gaussian_mixture", "id": id, "figure": figure, "verdict": verdict}
    found = (
        {"verdict": verdict, "sentence": words["sentence"]} | estimate | {"p": 0.0004, "parts": [part], "decided": 0}
    )
    reading = {"reading": "literal", "view": "end", "words": words["says"]} | found
    return said | words | found | {"structural": "", "survives_bh": True, "readings": [reading]} | facts


def judge(folder: Path, *claims: dict[str, Any], generic: Sequence[dict[str, Any]] = ()) -> None:
    """Write a store's claims.json: the paper's claims, and those of any surrogate and law."""
    head = {"store": str(folder), "resamples": 100, "confidence": 0.95, "against": None}
    lists = {"claims": claims, "generic": generic, "lacking": []}
    (folder / "claims.json").write_text(json.dumps(head | lists))
