"""The verdicts of a store: its claims.json, which the report and a comparison read, and its claims.parquet.

claims.json has the keys `store`, `resamples`, `confidence`, `against` (the surrogate and regime that the generic claims
compare with, null for the usual ones), `claims` (the paper's), `generic` (of any surrogate and law) and `lacking` (a
line for each claim that could not be judged).

A judged claim has its task, id, figure and says; the verdict of its literal reading at the end of training, with
sentence, value, low, high and n of the part that decided, p, parts, and `decided`, which of them that is; `structural`,
why it cannot fail, if that is so; `survives_bh`, whether the verdict survives Benjamini-Hochberg over the claims of the
task; and `readings`. A reading has `reading` (literal or charitable), `view` (end or chosen), its words, and the same
facts of its verdict. A part has text, value, low, high, n, unit, p, `holm` (p corrected over the parts), method,
`collapsed` (the share of resamples in which a collapse decides it), sense, bound, structural, verdict and ruling, what
was claimed and whether it is so. In any two stores, claims of equal id are the same claim.

claims.parquet has a row for each part of each reading.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from experiments import grid
from experiments.claims.claim import VIEWS, Claim
from experiments.claims.intervals import benjamini_hochberg
from experiments.claims.judge import REFUTED, SUPPORTED, Verdict, ruling
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


def row(task: str, claim: Claim, judged: Mapping[tuple[str, str], Verdict]) -> ClaimRow:
    """Return a judged claim as claims.json has it; `mark_survivors` completes it.

    Args:
        task: Of its runs.
        claim: The claim.
        judged: (reading, view) -> verdict; the first is that of the claim.
    """
    readings = [
        {"reading": reading, "view": view, "words": claim.readings[reading].words} | _found(verdict)
        for (reading, view), verdict in judged.items()
    ]
    said = {"task": task, "id": claim.id, "figure": claim.figure, "says": claim.says}
    headline = next(iter(judged.values()))
    found = _found(headline) | {"sentence": f"{headline.sentence}{_at_the_chosen_epoch(judged)}"}
    return said | found | {"structural": headline.structural, "readings": readings}


def _found(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as claims.json has it."""
    parts = [
        {"text": part.text}
        | part.estimate.as_dict()
        | {"unit": part.unit, "p": _number(part.p), "holm": _number(part.holm), "method": part.method}
        | {"collapsed": part.collapsed, "sense": part.sense, "bound": part.bound, "structural": part.structural}
        | {"verdict": part.verdict, "ruling": ruling(part)}
        for part in verdict.parts
    ]
    found = {"verdict": verdict.verdict, "sentence": verdict.sentence} | verdict.estimate.as_dict()
    return found | {"p": _number(verdict.p), "decided": verdict.decided, "parts": parts}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _at_the_chosen_epoch(judged: Mapping[tuple[str, str], Verdict]) -> str:
    """Return the sentence that the literal reading is supported in one view only; nothing if that is not so."""
    end, chosen = (judged.get(("literal", view)) for view in VIEWS)
    if end is None or chosen is None or (end.verdict == SUPPORTED) == (chosen.verdict == SUPPORTED):
        return ""
    where = " This is shown only at the last epochs: at" if end.verdict == SUPPORTED else " At"
    return f"{where} the epoch that the feedback split chooses, the verdict is {chosen.verdict}."


def matrix(claims: Sequence[ClaimRow], elsewhere: Sequence[ClaimRow] = ()) -> dict[str, Any]:
    """Return the verdicts of each claim on each task; where both lists judge a task, the first counts.

    Returns:
        `tasks`; `rows` of a claim's id, its words and its verdict on each task, None where it was not judged; and
        `supported`, how many claims each task supports.
    """
    judged = {(claim["id"], claim["task"]): claim["verdict"] for claim in (*elsewhere, *claims)}
    tasks = list(dict.fromkeys(claim["task"] for claim in (*claims, *elsewhere)))
    says = {claim["id"]: claim["says"] for claim in (*elsewhere, *claims)}
    rows = [(claim, text, [judged.get((claim, task)) for task in tasks]) for claim, text in says.items()]
    supported = [sum(verdict == "SUPPORTED" for (_, on), verdict in judged.items() if on == task) for task in tasks]
    return {"tasks": tasks, "rows": rows, "supported": supported}


def mark_survivors(claims: Sequence[ClaimRow]) -> None:
    """Say of each claim of one task whether its verdict survives Benjamini-Hochberg at 5% over all of them.

    A claim that is neither supported nor refuted counts with p = 1, and survives nothing.
    """
    decided = [claim["verdict"] in (SUPPORTED, REFUTED) and claim["p"] is not None for claim in claims]
    ps = [claim["p"] if is_so else 1.0 for claim, is_so in zip(claims, decided, strict=True)]
    for claim, survives in zip(claims, benjamini_hochberg(ps), strict=True):
        claim["survives_bh"] = bool(survives)


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
        | {key: claim[key] for key in ("task", "id", "figure", "says")}
        | {key: reading[key] for key in ("reading", "view", "words", "sentence")}
        | {"claim_verdict": reading["verdict"]}
        | part
        for table in ("claims", "generic")
        for claim in getattr(record, table)
        for reading in claim["readings"]
        for part in reading["parts"]
    ]
    frame = pd.DataFrame(rows).astype(
        {"figure": "Int64"} | dict.fromkeys(("value", "low", "high", "p", "holm"), "float64")
    )
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
            claim["survives_bh"], claim["structural"]  # a KeyError where there is none
            for verdict in (claim, *claim["readings"]):
                for part in (verdict, *verdict["parts"]):
                    Estimate.of_dict(part)
                verdict["parts"][verdict["decided"]]["ruling"]
    except (ValueError, KeyError, TypeError) as error:
        wanted = f"what {command(source)} writes, got {error!r}"
        raise ConfigError("claims.json", str(path), wanted) from None
    return found


def command(source: str | os.PathLike[str]) -> str:
    """Return the command that judges the claims of a store."""
    return f"python -m experiments claims {os.fspath(source)}"
