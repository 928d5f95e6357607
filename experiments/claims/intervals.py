"""Intervals, p-values and corrections: pure functions of arrays, no words.

A unit is a data set: what is independent, and so flipped or resampled whole. A p-value is two-sided, and at most 5%
just where the 95% interval leaves the bound out.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from experiments.claims.statistics import Array
from experiments.estimate import CONFIDENCE

ALPHA = 0.05
ENUMERATED = 12
"""Units up to which all sign flips are counted."""
FLIPS = 10_000
"""Sign flips that are drawn where there are more units."""
SLACK = 1e-9
"""Relative rounding below which two sums are equal."""


def sign_flips(over: Array, under: Array, bound: float) -> tuple[float, float, float]:
    """Return the interval of mean(over) / mean(under), and the p-value of a bound, by sign flips.

    If the ratio is b then d = over - b under has mean 0. The test flips the signs of the units' d; it is exact if d is
    symmetric, and never gives less than p = 2 / 2^n. Its one-sided p-value counts the sets of units whose d sums to 0
    or less, which are those whose own ratio is at most b. So the ends of the interval are order statistics of the
    ratios of all sets of units (Hartigan 1969, doi:10.1080/01621459.1969.10501057).

    Args:
        over: [units].
        under: [units], all of one sign; ones for a mean.
        bound: That the p-value is of.
    """
    sets = _sets(len(over))
    ratios = np.sort((sets @ over) / (sets @ under))
    count = len(ratios) + 1  # with the empty set, whose sum is always 0
    outside = int(ALPHA / 2 * count)  # of the count, on each side
    low, high = (float(ratios[i]) for i in (outside - 1, len(ratios) - outside))
    slack = SLACK * max(abs(bound), abs(low), abs(high))
    below = np.searchsorted(ratios, bound + slack, side="right")
    above = len(ratios) - np.searchsorted(ratios, bound - slack, side="left")
    return low, high, min(1.0, 2 * (1 + int(min(below, above))) / count)


def _sets(units: int) -> Array:
    """Return sets of units, [sets, units] of 0 and 1: all but the empty one, or `FLIPS` drawn."""
    if units <= ENUMERATED:
        return np.array([*itertools.product((0.0, 1.0), repeat=units)][1:])
    drawn = np.random.default_rng(0).integers(0, 2, size=(FLIPS - 1, units))
    return drawn[drawn.any(1)].astype(float)


def bootstrap(drawn: Array, n: int, bound: float) -> tuple[float, float, float]:
    """Return the interval of a statistic and the p-value of a bound: expanded percentiles of the bootstrap.

    Resamples of n units vary too little. So the normal quantile of a percentile is replaced by that of Student's t with
    n - 1 degrees of freedom, times sqrt(n / (n - 1)) (Hesterberg 2015, doi:10.1080/00031305.2015.1089789). Percentiles
    are the same on any scale, and never where the statistic cannot be. At 10 units they cover more than BCa, whose
    correction for bias harms a range over lam. The studentised bootstrap covers more still, but it breaks where a
    denominator is all noise, as the range of a law that depends on no lam.

    Args:
        drawn: The statistic of each resample, [resamples].
        n: Units.
        bound: That the p-value is of.
    """
    drawn, wider = np.sort(drawn[~np.isnan(drawn)]), math.sqrt(n / (n - 1))
    tails = special.ndtr(wider * special.stdtrit(n - 1, np.array([1 - CONFIDENCE, 1 + CONFIDENCE]) / 2))
    low, high = map(float, np.quantile(drawn, tails))
    slack = SLACK * abs(bound)
    ends = np.searchsorted(drawn, bound - slack), np.searchsorted(drawn, bound + slack, side="right")
    below = float(special.stdtr(n - 1, special.ndtri(sum(ends) / (2 * len(drawn))) / wider))
    p = max(2 * min(below, 1 - below), least_p(len(drawn), n))
    inside = low - slack <= bound <= high + slack
    return low, high, max(p, math.nextafter(ALPHA, 1)) if inside else min(p, ALPHA)


def least_p(resamples: int, n: int) -> float:
    """Return the least p-value of a bootstrap: what so many resamples can tell, and no less than n sign flips can."""
    return 2 / min(resamples + 1, 2**n)


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's step-down method; a NaN stays what it is and does not count."""
    counted = [i for i in np.argsort(ps, kind="stable") if not math.isnan(ps[i])]
    adjusted, highest = list(ps), 0.0
    for rank, i in enumerate(counted):
        highest = max(highest, min(1.0, (len(counted) - rank) * ps[i]))
        adjusted[i] = highest
    return adjusted


def benjamini_hochberg(ps: Sequence[float], rate: float = ALPHA) -> NDArray[np.bool_]:
    """Return which hypotheses are rejected at a false discovery rate (Benjamini and Hochberg 1995).

    Those with the k smallest p-values, for the largest k whose k-th p-value is at most k / m times the rate.
    """
    ordered = np.sort(ps)
    below = np.flatnonzero(ordered <= rate * np.arange(1, len(ordered) + 1) / len(ordered))
    return np.asarray(ps) <= (ordered[below[-1]] if len(below) else -1.0)
