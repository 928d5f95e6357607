"""What the verdicts and effects of a claim in all universes are together: pure functions."""

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.claims.intervals import ALPHA
from experiments.claims.judge import INCONCLUSIVE
from experiments.claims.record import SYMBOLS
from experiments.claims.statistics import Array
from experiments.multiverse.design import Level

FAILED = "FAILED"
"""The verdict of a universe that could not be judged."""
SIGNS = SYMBOLS | {FAILED: "–"}
VERDICTS = tuple(SIGNS)
ROBUST = 0.9
"""The least share of the universes whose one verdict is called robust."""
MATTERS = 0.1
"""The least share of an effect's variance for which a choice is named."""
ORDERS = 2000
"""Random orders of the choices in which Shapley's shares are averaged."""


def shares(verdicts: Sequence[str]) -> dict[str, int]:
    """Return in how many universes each verdict is that of the claim."""
    counted = Counter(verdicts)
    return {verdict: counted[verdict] for verdict in VERDICTS}


def robust(counts: Mapping[str, int]) -> str | None:
    """Return what at least 90% of the universes find, failed ones counted too; None if there is no such finding."""
    found = {verdict: count for verdict, count in counts.items() if verdict not in (INCONCLUSIVE, FAILED)}
    verdict = max(found, key=lambda each: found[each])
    return verdict if found[verdict] >= max(1.0, ROBUST * sum(counts.values())) else None


# --- which choices the effect depends on ----------------------------------------------------------------------------


def explained(effects: Sequence[float], levels: Sequence[Mapping[str, Level]]) -> dict[str, float] | None:
    """Return the share of an effect's variance over universes that each choice explains (Shapley, by main effects).

    The variance is that of the effects' ranks, since an effect may be of any size where runs diverge. A choice's share
    is what it adds to the adjusted R^2 of a regression on the choices before it, averaged over 2000 random orders
    (Shapley 1953; Lindeman, Merenda & Gold 1980). The adjusted R^2 of choices that explain nothing is 0 on average, so
    a share can be below 0. The shares add up to the adjusted R^2 of all.

    Args:
        effects: One a universe; an infinite one is the largest or the least, a NaN leaves the universe out.
        levels: The levels of each universe.

    Returns:
        Choice -> share, of the choices that vary; None if there are too few universes, fewer than 10 beyond the
        regression's parameters, or their levels vary together.
    """
    kept = [i for i, effect in enumerate(effects) if not math.isnan(effect)]
    if not kept:
        return None
    columns = {
        name: dummies([levels[i][name] for i in kept]) for name in levels[0] if len({levels[i][name] for i in kept}) > 1
    }
    n, width = len(kept), sum(column.shape[1] for column in columns.values())
    y = pd.Series([effects[i] for i in kept]).rank().to_numpy()
    y = y - y.mean()
    if not columns or n < width + 1 + 10 or not y.any():
        return None
    if np.linalg.matrix_rank(np.hstack(list(columns.values()))) < width:
        return None
    rng, names = np.random.default_rng(0), list(columns)
    total = dict.fromkeys(names, 0.0)
    for _ in range(ORDERS // 2):
        order = [names[i] for i in rng.permutation(len(names))]
        for each in (order, order[::-1]):  # an order and its reverse: less noise for the same work
            for name, gain in zip(each, gains(y, [columns[name] for name in each]), strict=True):
                total[name] += gain / (ORDERS // 2 * 2)
    return total


def dummies(values: Sequence[Level]) -> Array:
    """Return a column for each level but the first, centred, [n, levels - 1]."""
    _, *others = dict.fromkeys(values)
    found = np.array([[float(value == level) for level in others] for value in values])
    return found - found.mean(0)


def gains(y: Array, blocks: Sequence[Array]) -> list[float]:
    """Return what each block of centred columns adds to the adjusted R^2 of those before it; all of full rank.

    R^2 of the first blocks is read off one QR decomposition: the squared projections of y on its columns.
    """
    q, _ = np.linalg.qr(np.hstack(blocks))
    widths = np.cumsum([block.shape[1] for block in blocks])
    r2 = np.cumsum((q.T @ y) ** 2)[widths - 1] / (y @ y)
    adjusted = 1 - (1 - r2) * (len(y) - 1) / (len(y) - 1 - widths)
    return np.diff(adjusted, prepend=0.0).tolist()


# --- all universes at once ------------------------------------------------------------------------------------------


class Joint(NamedTuple):
    """A test of a part in all universes together."""

    universes: int
    """How many have a number of every seed."""
    p: float
    """Of the hypothesis that the effect is at its bound in all of them; two-sided."""
    claimed: int
    """How many universes have the effect on the claimed side of its bound, corrected for how many they are."""
    against: int
    """How many on the other side."""
    floor: float
    """The least p that so many seeds can give."""


def joint(contributions: Sequence[Array]) -> Joint | None:
    """Test a part in all universes at once, by sign flips of the seeds that are the same in all of them (max-T).

    The seeds are the same in all universes, so their contributions go up and down together. Under the hypothesis that
    the effect is at its bound, each seed's contributions are as likely as their negatives, in all universes at once.
    T_u = sum of c_uj / sqrt(sum of c_uj^2), over seeds j. Each of the 2^n flips has its largest |T| over universes; p
    is the share of flips whose largest is not below the observed one, and a universe counts if its |T| is not below
    the largest of 95% of the flips. Exact for symmetric contributions (Girardi et al. 2024, arXiv:2210.02794).

    Args:
        contributions: [seeds] for each universe, in the claimed sense; those with another number of seeds than most
            are left out.
    """
    sizes = Counter(map(len, contributions))
    if not sizes:
        return None
    n = sizes.most_common(1)[0][0]
    c = np.array([each for each in contributions if len(each) == n])
    c = c[(c != 0).any(-1)]
    if not len(c):
        return None
    c /= np.sqrt((c**2).sum(-1, keepdims=True))
    flips = np.array(list(itertools.product((1.0, -1.0), repeat=n)))  # the first is none at all
    T = c @ flips.T
    largest = np.abs(T).max(0)
    adjusted = reached(largest, np.abs(T[:, 0]))
    there = adjusted <= ALPHA
    return Joint(
        len(c),
        float(adjusted.min()),
        int((there & (T[:, 0] > 0)).sum()),
        int((there & (T[:, 0] < 0)).sum()),
        2 / len(flips),
    )


def reached(largest: Array, observed: Array) -> NDArray[np.float64]:
    """Return the share of flips whose largest statistic is not below each observed one."""
    return (largest[None] >= observed[:, None] - 1e-9).mean(-1)
