"""The paper's claims on the page: each in its readings and views, and how many hold."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from experiments.claims.claim import VIEWS
from experiments.claims.judge import COLLAPSE, INCONCLUSIVE, REFUTED, SUPPORTED
from experiments.estimate import CONFIDENCE

Claim = dict[str, Any]
"""A judged claim, as `experiments.claims` writes it."""

WORDS = {SUPPORTED: "supported", REFUTED: "refuted", INCONCLUSIVE: "open", COLLAPSE: "true only by collapse"}


def rows(claim: Claim) -> list[dict[str, Any]]:
    """Return a claim's readings, the literal one first: of each its name, its words, and what was found in each view.

    What was found is as claims.json has it; None where the claim has no such view.
    """
    found = {(each["reading"], each["view"]): each for each in claim["readings"]}
    words = {each["reading"]: each["words"] for each in claim["readings"]}
    return [
        {"reading": reading, "words": text, "found": {view: found.get((reading, view)) for view in VIEWS}}
        for reading, text in words.items()
    ]


def facts(claim: Claim) -> str:
    """Return how sure the verdict of a claim is: its interval's method, its survival, how often a collapse decides."""
    part = claim["parts"][claim["decided"]]
    said = [f"Interval: {part['method']}."] if part["method"] else []
    if claim["verdict"] in (SUPPORTED, REFUTED):
        said.append(f"It {'survives' if claim['survives_bh'] else 'does not survive'} Benjamini-Hochberg.")
    if part["collapsed"]:
        said.append(f"A collapsed cell decides the effect in {part['collapsed']:.0%} of the resamples.")
    return " ".join(said)


def summary(claims: Sequence[Claim]) -> list[str]:
    """Return in words, task by task, how many of the paper's claims have which verdict, and how many stand firmly."""
    tasks = dict.fromkeys(claim["task"] for claim in claims)
    found = [_summary([claim for claim in claims if claim["task"] == task]) for task in tasks]
    return [f"On {task}: {text}" for task, text in zip(tasks, found, strict=True)] if len(tasks) > 1 else found


def _summary(claims: Sequence[Claim]) -> str:
    counts = Counter(claim["verdict"] for claim in claims)
    verdicts = ", ".join(f"{counts[verdict]} {word}" for verdict, word in WORDS.items() if counts[verdict])
    supported = [claim for claim in claims if claim["verdict"] == SUPPORTED]
    structural = sum(bool(claim["structural"]) for claim in supported)
    evident = [claim for claim in supported if not claim["structural"]]
    everywhere = sum(all(each["verdict"] == SUPPORTED for each in claim["readings"]) for claim in evident)
    decided, surviving = counts[SUPPORTED] + counts[REFUTED], sum(claim["survives_bh"] for claim in claims)
    said = [f"Of {len(claims)} claims of the paper, read literally at the end of training, {verdicts}."]
    if structural:
        said.append(f"Of those supported {structural} cannot fail as worded (structural): they are no evidence.")
    said += [
        f"Of the other {len(evident)}, {everywhere} hold in every reading and view."
        if structural
        else f"Of those supported {everywhere} hold in every reading and view.",
        f"Of the {decided} that are decided {surviving} survive Benjamini-Hochberg at {1 - CONFIDENCE:.0%}.",
    ]
    return " ".join(said)
