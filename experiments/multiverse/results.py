"""A multiverse's results: multiverse.json, which the figures, the report and the command read.

Its keys: `resamples`; `kinds`, choice -> setting or question; `universes`, each with id, title, reference_question,
levels and failed (why it was not judged, or empty); and `claims`, each with

- id, figure, says;
- `reconstructions` and `questions`: verdict -> in how many universes, of those that ask the reference's question and
  of those that ask another;
- `robust`: the verdict of 90% of the reconstructions, or null;
- `part`: the part whose effect is compared, the one that decides most universes: its text, unit, sense and bound;
- `universes`: verdict, value, low and high of that part in each universe, in their order;
- `explained`: choice -> share of the variance of that effect, null with too few universes;
- `joint`: the test of that part in all reconstructions at once, null where it has none.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.claims import paper
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


def build(folder: Path, resamples: int = RESAMPLES) -> Results:
    """Judge the universes of a multiverse, and return what they say together.

    Raises:
        ConfigError: If there is no multiverse.
    """
    listed = listing(folder)
    universes: list[dict[str, Any]] = listed["universes"]
    found = judged.judge_all([folder / universe["id"] for universe in universes], resamples)
    for universe, own in zip(universes, found, strict=True):
        universe["failed"] = universe.pop("refused") or own["failed"]
    rows = [together(claim.id, claim.figure, claim.says, universes, found) for claim in paper.CLAIMS]
    return {"resamples": resamples, "kinds": listed["choices"], "universes": universes, "claims": rows}


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
    id: str,
    figure: int | None,
    says: str,
    universes: Sequence[Mapping[str, Any]],
    found: Sequence[judged.Judged],
) -> dict[str, Any]:
    """Return what all universes say of one claim."""
    rows = [own["claims"].get(id, {}) for own in found]
    there = [row for row in rows if "verdict" in row]
    ours = [universe["reference_question"] for universe in universes]
    verdicts = [row.get("verdict", FAILED) for row in rows]
    counts = {
        name: analysis.shares([verdict for verdict, own in zip(verdicts, ours, strict=True) if own == asked])
        for name, asked in (("reconstructions", True), ("questions", False))
    }
    result = {"id": id, "figure": figure, "says": says, **counts, "robust": analysis.robust(counts["reconstructions"])}
    if not there:
        none = {"verdict": FAILED, "value": None, "low": None, "high": None}
        return result | {"part": None, "universes": [none] * len(rows), "explained": None, "joint": None}
    chosen = Counter(row["decided"] for row in there).most_common(1)[0][0]
    parts = [row["parts"][chosen] if "verdict" in row else {} for row in rows]
    one = there[0]["parts"][chosen]
    effects = [math.nan if part.get("value") is None else part["value"] for part in parts]
    contributed = [part.get("contributions") for part in parts]
    kept = [np.array(each) for each, own in zip(contributed, ours, strict=True) if own and each is not None]
    test = analysis.joint(kept)
    return result | {
        "part": {key: one[key] for key in ("text", "unit", "sense", "bound")},
        "universes": [
            {"verdict": verdict} | {key: part.get(key) for key in ("value", "low", "high")}
            for verdict, part in zip(verdicts, parts, strict=True)
        ],
        "explained": analysis.explained(effects, [universe["levels"] for universe in universes]),
        "joint": None if test is None else test._asdict(),
    }


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
