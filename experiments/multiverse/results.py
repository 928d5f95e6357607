"""A multiverse's results: multiverse.json, which the figures, the report and the command read.

Its keys: `resamples`; `kinds`, choice -> setting or question; `untrained`, how many universes have no runs yet, and so
count nowhere; `universes`, each with id, title, reference_question, levels and failed (why it was not judged, or
empty); and `claims`, each with

- id, figure, says; `structural`, why it cannot fail as worded in the reference, or empty;
- `reading` and `view`, of which all that follows but `readings` is;
- `reconstructions` and `questions`: verdict -> in how many universes, of those that ask the reference's question and
  of those that ask another;
- `robust`: the verdict of 90% of the reconstructions, or null;
- `failed`: why it was not judged in a universe that was -> in how many;
- `readings`: each reading and view with its words and its own `reconstructions` and `questions`;
- `part`: the part whose effect is compared, the one that decides most universes: its text, unit, sense and bound;
- `universes`: verdict, value, low and high of that part in each universe, in their order;
- `explained`: setting -> share of the variance of that effect over the reconstructions, null with too few of them;
- `joint`: the test of that part in all reconstructions at once, null where it has none.
"""

import itertools
import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.claims import paper
from experiments.claims.claim import Claim
from experiments.claims.judge import RESAMPLES
from experiments.multiverse import analysis, judged
from experiments.multiverse.analysis import FAILED
from hclm_runner import store
from hclm_runner.refusal import ConfigError

FILE = "multiverse.json"
LIST = "universes.json"
"""The file that says which universes a multiverse has, whether they were trained or not."""

Results = dict[str, Any]
"""As multiverse.json has it."""


def build(folder: Path, resamples: int = RESAMPLES, way: tuple[str, str] = ("literal", "end")) -> Results:
    """Judge the universes of a multiverse, and return what they say together.

    Args:
        folder: Of the multiverse.
        resamples: Of the bootstrap.
        way: The reading and the view that the effects are of; of a claim that has only one, that one.

    Raises:
        ConfigError: If there is no multiverse.
    """
    listed = listing(folder)
    every: list[dict[str, Any]] = listed["universes"]
    universes = [each for each in every if each["refused"] or (folder / each["id"] / "runs").is_dir()]
    found = judged.judge_all([folder / universe["id"] for universe in universes], resamples)
    for universe, own in zip(universes, found, strict=True):
        universe["failed"] = universe.pop("refused") or own["failed"]
    rows = [together(claim, way, universes, found) for claim in paper.CLAIMS]
    untrained = len(every) - len(universes)
    head = {"resamples": resamples, "kinds": listed["choices"], "untrained": untrained}
    return head | {"universes": universes, "claims": rows}


def listing(folder: Path) -> dict[str, Any]:
    """Return which universes a multiverse has: the kinds of the `choices`, and the `universes`.

    Raises:
        ConfigError: If there is no multiverse.
    """
    try:
        found: dict[str, Any] = json.loads((folder / LIST).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            "store", str(folder), "a multiverse, which python -m experiments multiverse trains"
        ) from error
    return found


def together(
    claim: Claim,
    way: tuple[str, str],
    universes: Sequence[Mapping[str, Any]],
    found: Sequence[judged.Judged],
) -> dict[str, Any]:
    """Return what all universes say of one claim.

    Args:
        claim: The claim.
        way: The reading and the view of which part, effects and their test are.
        universes: As `listing` has them.
        found: What each says.
    """
    rows = [own["claims"].get(claim.id, {}) for own in found]
    ours = [universe["reference_question"] for universe in universes]
    ways = [*itertools.product(claim.readings, claim.views)]
    counts = [
        {
            group: analysis.shares([_verdict(row, way) for row, own in zip(rows, ours, strict=True) if own == asked])
            for group, asked in (("reconstructions", True), ("questions", False))
        }
        for way in ways
    ]
    how, view = way[0] if way[0] in claim.readings else "literal", way[1] if way[1] in claim.views else "end"
    headline = counts[ways.index((how, view))]
    readings = [
        {"reading": how, "view": view, "words": claim.readings[how].words} | own
        for (how, view), own in zip(ways, counts, strict=True)
    ]
    return (
        {"id": claim.id, "figure": claim.figure, "says": claim.says}
        | {"structural": next((row["structural"] for row in rows if "structural" in row), "")}
        | {"reading": how, "view": view, **headline, "robust": analysis.robust(headline["reconstructions"])}
        | {"readings": readings, "failed": dict(Counter(row["failed"] for row in rows if "failed" in row))}
        | _effects([_of(row, (how, view)) for row in rows], universes)
    )


def _of(row: Mapping[str, Any], way: tuple[str, str]) -> Mapping[str, Any]:
    """Return what a universe's row of a claim says of a reading and view; nothing if it was not judged."""
    return next((one for one in row.get("readings", ()) if (one["reading"], one["view"]) == way), {})


def _verdict(row: Mapping[str, Any], way: tuple[str, str]) -> str:
    return str(_of(row, way).get("verdict", FAILED))


def _effects(rows: Sequence[Mapping[str, Any]], universes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the effect in each universe of the part that decides most of them, what explains it, and its test."""
    there = [row for row in rows if row]
    if not there:
        none = {"verdict": FAILED, "value": None, "low": None, "high": None}
        return {"part": None, "universes": [none] * len(rows), "explained": None, "joint": None}
    chosen = Counter(key(row["parts"][row["decided"]]) for row in there).most_common(1)[0][0]
    parts = [part_of(row, chosen) for row in rows]
    texts = {part["text"] for part in parts if part}
    asked = [(part, each["levels"]) for part, each in zip(parts, universes, strict=True) if each["reference_question"]]
    ours, levels = [part for part, _ in asked], [each for _, each in asked]
    effects = [math.nan if part.get("value") is None else part["value"] for part in ours]
    one = next(part for part in parts if part)
    test = analysis.joint([np.array(part["contributions"]) for part in ours if part.get("contributions")])
    return {
        "part": {name: one[name] for name in ("unit", "sense", "bound")}
        | {"text": texts.pop() if len(texts) == 1 else chosen},
        "universes": [
            {"verdict": row.get("verdict", FAILED)} | {name: part.get(name) for name in ("value", "low", "high")}
            for row, part in zip(rows, parts, strict=True)
        ],
        "explained": analysis.explained(effects, levels),
        "joint": None if test is None else test._asdict(),
    }


def key(part: Mapping[str, Any]) -> str:
    """Return what a part measures, without the numbers in its text: a lam, say, that differs between universes."""
    return re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "…", part["text"])


def part_of(row: Mapping[str, Any], chosen: str) -> Mapping[str, Any]:
    """Return the part of a universe's claim that measures this; the one that decided, if several do; or nothing."""
    if not row:
        return {}
    first = row["parts"][row["decided"]]
    return next((part for part in (first, *row["parts"]) if key(part) == chosen), {})


def write(results: Results, folder: Path) -> Path:
    """Write multiverse.json into the multiverse's folder, and return its path."""
    text = json.dumps(results, indent=1, allow_nan=False)
    store.atomically(folder / FILE, lambda path: Path(path).write_text(text))
    return folder / FILE


def load(source: str | os.PathLike[str]) -> Results | None:
    """Return what multiverse.json says, of a multiverse by name under outputs/ or by path; None if there is none.

    Raises:
        ConfigError: If it cannot be read.
    """
    path = locate(source) / FILE
    if not path.exists():
        return None
    try:
        found: Results = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(FILE, str(path), f"what python -m experiments multiverse writes, got {error}") from None
    return found


def locate(source: str | os.PathLike[str]) -> Path:
    """Return the folder of a multiverse, by name under outputs/ or by path; where it would be, if there is none."""
    return next((path for path in (store.OUTPUTS / source, Path(source)) if path.is_dir()), store.OUTPUTS / source)
