"""The verdicts of a store: its claims.json, which the report and a comparison read, and its claims.parquet.

claims.json has the keys `store`, `resamples`, `confidence`, `against` (the surrogate and regime that the generic claims
compare with, null for the usual ones), `claims` (the paper's), `generic` (of any surrogate and law) and `lacking` (a
line for each claim that could not be judged). A judged claim has its task, id, figure and says, its verdict and
sentence, the value, low, high and n of the part that decided, its parts, and `decided`, which of them that is. A part
has text, value, low, high, n, unit, p, sense, bound, verdict and ruling, what was claimed and whether it is so. In any
two stores, claims of equal id are the same claim. claims.parquet has a row for each part.
"""

import json
import math
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from experiments import grid
from experiments.claims.claim import Claim
from experiments.claims.judge import Verdict, ruling
from experiments.estimate import CONFIDENCE, Estimate
from hclm_runner import store
from hclm_runner.refusal import ConfigError

SYMBOLS = {"SUPPORTED": "✓", "REFUTED": "✗", "INCONCLUSIVE": "?", "COLLAPSE": "⊘"}
"""Verdict -> the sign that is shown with it."""

ClaimRow = dict[str, Any]
"""A judged claim as claims.json has it."""


class Record(NamedTuple):
    """What was judged of a store."""

    claims: list[ClaimRow]
    """The paper's, in its order, task by task."""
    generic: list[ClaimRow]
    lacking: list[str]
    """What could not be judged, and what it lacks."""


def row(task: str, claim: Claim, verdict: Verdict) -> ClaimRow:
    """Return a judged claim as claims.json has it."""
    parts = [
        {"text": part.text}
        | part.estimate.as_dict()
        | {"unit": part.unit, "p": None if math.isnan(part.p) else part.p}
        | {"sense": part.sense, "bound": part.bound, "verdict": part.verdict, "ruling": ruling(part)}
        for part in verdict.parts
    ]
    said = {"task": task, "id": claim.id, "figure": claim.figure, "says": claim.says}
    found = {"verdict": verdict.verdict, "sentence": verdict.sentence} | verdict.estimate.as_dict()
    return said | found | {"decided": verdict.decided, "parts": parts}


def write(record: Record, source: str, resamples: int, against: Sequence[str] | None = None) -> list[Path]:
    """Write claims.json and claims.parquet into the store; return their paths.

    Args:
        record: What was judged.
        source: The store.
        resamples: Of the bootstrap.
        against: The surrogate and regime that the generic claims compare with, if not the usual ones.
    """
    folder = grid.locate(source)
    head = {"store": source, "resamples": resamples, "confidence": CONFIDENCE, "against": against}
    text = json.dumps(head | record._asdict(), indent=1, allow_nan=False)
    rows = [
        {"table": table}
        | {key: claim[key] for key in ("task", "id", "figure", "says", "sentence")}
        | {"claim_verdict": claim["verdict"]}
        | part
        for table in ("claims", "generic")
        for claim in getattr(record, table)
        for part in claim["parts"]
    ]
    frame = pd.DataFrame(rows).astype({"figure": "Int64"} | dict.fromkeys(("value", "low", "high", "p"), "float64"))
    paths = [folder / "claims.json", folder / "claims.parquet"]
    store.atomically(paths[0], lambda path: Path(path).write_text(text))
    store.atomically(paths[1], partial(frame.to_parquet, index=False))
    return paths


def load(source: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return what claims.json says of a store, at least `claims` and `generic`; None if it was not judged yet.

    Raises:
        ConfigError: If there is no store, or its claims.json is not what `write` writes.
    """
    path = grid.locate(source) / "claims.json"
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        for claim in (*found["claims"], *found["generic"]):
            for part in (claim, *claim["parts"]):
                Estimate.of_dict(part)  # a KeyError where there is none
            claim["parts"][claim["decided"]]["ruling"]
    except (ValueError, KeyError, TypeError) as error:
        wanted = f"what {command(source)} writes, got {error!r}"
        raise ConfigError("claims.json", str(path), wanted) from None
    return found


def command(source: str | os.PathLike[str]) -> str:
    """Return the command that judges the claims of a store."""
    return f"python -m experiments claims {os.fspath(source)}"
