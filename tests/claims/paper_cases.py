"""Every claim of the paper, bent to each verdict."""

import cases_across
import cases_logdet
import cases_softmax
import cases_trajectories
import cases_variance
from made_up import Case

CASES = [
    *cases_softmax.CASES,
    *cases_variance.CASES,
    *cases_logdet.CASES,
    *cases_trajectories.CASES,
    *cases_across.CASES,
]


def first(claim: str, verdict: str) -> Case:
    """Return the first case of a claim that ends in a verdict."""
    return next(one for one in CASES if (one.claim, one.verdict) == (claim, verdict))
