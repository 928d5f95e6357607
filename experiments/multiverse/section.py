"""What a page says of a multiverse: a table of the claims, a note on how to read it, and its pictures."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments.multiverse import figure, results
from experiments.multiverse.analysis import MATTERS, ROBUST, SIGNS, VERDICTS

NAMED = 3
"""At most so many choices are named."""

NOTE = (
    "A universe is one choice of all settings that the paper leaves open, with the same seeds in each. A share of"
    " universes is not a probability: the universes are values that we find plausible, not draws from a population of"
    f" experiments. A verdict is robust if {ROBUST:.0%} of the reconstructions have it. “Depends on” is the share of"
    " the variance of the effect's rank over reconstructions that a setting explains by itself. “Together” is a test"
    " of the effect in all reconstructions at once: in how many of them it is on the claimed side of its bound, and in"
    " how many on the other, corrected for how many they are. “Structural” is a claim that cannot fail as worded in"
    " the reference, and so is no evidence; where a universe refutes it, a setting took away what made it so."
)


class Section(NamedTuple):
    """A section of a page, as plain data."""

    head: list[str]
    """Of the table."""
    rows: list[list[str]]
    note: str
    pictures: dict[str, Path]
    """Claim id -> the SVG file of its specification curve; "" -> the overview."""


def section(source: str | os.PathLike[str] = "multiverse") -> Section | None:
    """Return the section on a multiverse, by name or path; None if it was not judged.

    Raises:
        ConfigError: If its results cannot be read.
    """
    found = results.load(source)
    if found is None:
        return None
    ours = sum(universe["reference_question"] for universe in found["universes"])
    others = len(found["universes"]) - ours
    head = ["Claim", "The paper says", f"In {ours} reconstructions", "Otherwise judged", f"In {others} other questions"]
    folder = results.locate(source) / figure.FOLDER
    paths = {"": folder / "overview.svg"} | {
        claim["id"]: folder / f"{figure.stem(claim)}.svg" for claim in found["claims"]
    }
    rows = [
        [
            *(claim["id"], claim["says"]),
            *(verdicts(claim), otherwise(claim), counted(claim["questions"])),
            *(depends(claim), together(claim)),
        ]
        for claim in found["claims"]
    ]
    drawn = {name: path for name, path in paths.items() if path.exists()}
    return Section([*head, "Depends on", "Together"], rows, NOTE, drawn)


def verdicts(claim: Mapping[str, Any]) -> str:
    """Return the share of each verdict in the reconstructions, whether one is robust, and whether it is evidence."""
    marks = [
        *(["robust"] if claim["robust"] else []),
        *(["structural in the reference"] if claim["structural"] else []),
    ]
    return counted(claim["reconstructions"]) + (f" ({', '.join(marks)})" if marks else "")


def otherwise(claim: Mapping[str, Any]) -> str:
    """Return the shares in the reconstructions of the claim's other reading and view."""
    here = claim["reading"], claim["view"]
    return "; ".join(
        f"{one['reading']}, at the {one['view'].replace('chosen', 'chosen epoch')}: {counted(one['reconstructions'])}"
        for one in claim["readings"]
        if (one["reading"], one["view"]) != here
    )


def counted(counts: Mapping[str, int]) -> str:
    """Return in what share of the universes each verdict is that of the claim, most first: ✓ 62%, ✗ 30%, ? 8%."""
    total = sum(counts.values())
    ordered = sorted((verdict for verdict in VERDICTS if counts[verdict]), key=lambda each: -counts[each])
    return ", ".join(f"{SIGNS[verdict]} {counts[verdict] / total:.0%}" for verdict in ordered)


def depends(claim: Mapping[str, Any]) -> str:
    """Return the choices that an effect depends on, with their shares of its variance."""
    if claim["explained"] is None:
        return "too few universes, or the effect is the same in all"
    largest = sorted(claim["explained"].items(), key=lambda pair: -pair[1])[:NAMED]
    return ", ".join(f"{name} {share:.0%}" for name, share in largest if share >= MATTERS) or "no choice by itself"


def together(claim: Mapping[str, Any]) -> str:
    """Return what the test of all reconstructions at once says."""
    joint = claim["joint"]
    if joint is None:
        return "not tested"
    return f"{joint['claimed']} as claimed, {joint['against']} against, of {joint['universes']} (p = {joint['p']:.2g})"
