"""The answer to the page's question, in one sentence for each task, from the verdicts on the test loss."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from experiments.claims.generic import Method, lowers_test_loss
from experiments.claims.judge import quantity

CLAUSES = {
    "SUPPORTED": "with {methods} the test loss falls by {effects}",
    "COLLAPSE": "with {methods} it falls only because nothing is learnt",
    "REFUTED": "with {methods} it does not fall by {margin}",
    "INCONCLUSIVE": "with {methods} these seeds do not settle it",
}
"""Verdict on "lowers the validated test loss" -> what is said of the surrogates and laws that have it."""


def answers(grids: Mapping[str, xr.Dataset], generic: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each task: whether the entropy term lowers the test loss.

    The test loss at the validated lam is compared with that at lam = 0 under `fixed`. A task for which no verdict says
    so is left out.

    Args:
        grids: Task -> grid.
        generic: The judged claims of any surrogate and law.
    """
    found = []
    for task, one in grids.items():
        judged = {claim["id"]: claim for claim in generic if claim["task"] == task}
        claims = {}
        for surrogate, regime in itertools.product(one["surrogate"].to_numpy(), one["regime"].to_numpy()):
            claim = lowers_test_loss(Method(surrogate, regime), Method(surrogate, "fixed", 0.0))
            if claim.id in judged:
                claims[surrogate, regime] = judged[claim.id]
        if claims:
            found.append(sentence(claims) if len(grids) == 1 else f"On {task}: {sentence(claims)}")
    return found


def sentence(claims: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
    """Return the answer from (surrogate, regime) -> its judged claim that it lowers the test loss."""
    verdicts = {claim["verdict"] for claim in claims.values()}
    if verdicts == {"SUPPORTED"}:
        opening = "Yes"
    elif "SUPPORTED" in verdicts:
        opening = "It depends on the surrogate and on the law" if len(claims) > 1 else "It depends"
    else:
        opening = "No" if verdicts <= {"REFUTED", "COLLAPSE"} else "These runs do not show that it does"
    said = []
    for verdict, words in CLAUSES.items():
        having = [method for method, claim in claims.items() if claim["verdict"] == verdict]
        if having:
            parts = [claims[method]["parts"][claims[method]["decided"]] for method in having]
            effects = sorted(-part["value"] for part in parts if part["value"] is not None)
            ends = dict.fromkeys(quantity(end, "%") for end in (effects[:1] + effects[-1:]))
            margin = quantity(abs(parts[0]["bound"]), "%")
            said.append(words.format(methods=_named(having, list(claims)), effects=" to ".join(ends), margin=margin))
    return f"{opening}: {'; '.join(said)}."


def _named(methods: Sequence[tuple[str, str]], of: Sequence[tuple[str, str]]) -> str:
    """Return methods in words, surrogate by surrogate, as in "variance under every law and logdet under fixed"."""

    def laws(surrogate: str, those: Sequence[tuple[str, str]]) -> list[str]:
        return [regime for other, regime in those if other == surrogate]

    return _joined(
        f"{surrogate} under {'every law' if 1 < len(laws(surrogate, of)) == len(own) else _joined(own)}"
        for surrogate in dict.fromkeys(surrogate for surrogate, _ in methods)
        if (own := laws(surrogate, methods))
    )


def _joined(words: Any) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
