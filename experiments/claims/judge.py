"""From parts to verdicts: for any claims of any grid.

A claim is judged by its parts. A part is a statistic over runs and the side of a bound on which the claim puts it. All
surrogates, regimes and lam of a data set share data, weights, batches and noise, so every comparison is paired, and a
data set is flipped or resampled whole, with all its training seeds.

- A part is SUPPORTED if its 95% interval lies on the claimed side of the bound, REFUTED if on the other, INCONCLUSIVE
  if it holds the bound. The interval and p are of sign flips for a mean and a ratio of means, else of the bootstrap.
- A claim is SUPPORTED if all of its parts are, each at 5% and uncorrected: that all hold by chance is rarer than that
  one does (intersection-union). It is REFUTED if one is, at 5% after Holm's correction over its parts.
- A part whose effect a collapsed cell decides in 95% of the resamples is COLLAPSE, whatever its interval; in more than
  5% of them, INCONCLUSIVE.
- A part that says why it cannot be settled is INCONCLUSIVE, whatever its interval.
- A part that cannot fail as worded is structural. A claim of nothing else is marked so: it is no evidence.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.claims import intervals
from experiments.claims.intervals import ALPHA
from experiments.claims.statistics import WORST, Array, quotient, whole
from experiments.estimate import Estimate

SUPPORTED, REFUTED, INCONCLUSIVE, COLLAPSE = "SUPPORTED", "REFUTED", "INCONCLUSIVE", "COLLAPSE"

FEWEST = 6
"""Data sets below which nothing can be concluded: five sign flips have no p-value below 2/32."""
RESAMPLES = 10_000
"""Of the bootstrap."""
AT_ONCE = 1_000
"""Resamples that are held in memory at a time."""
COVERAGE = {6: 0.93, 10: 0.93, 30: 0.92}
"""Data sets -> the least coverage that a 95% interval of the bootstrap had, 1000 repetitions each.

Of a range over lam, a loss at the validated lam and an sd within data sets, with normal and with lognormal noise. Sign
flips are exact where differences are symmetric; for means and ratios of means of lognormal noise they cover 0.86 to
0.93 at 10. tests/claims/coverage.py measures both.
"""
TIGHT = ("%", "×")
"""Units that stand at each number; others are words that stand once."""
BEYOND = WORST / 1e4
"""From here on an effect is that of runs that diverged, and shown as infinite."""


class Part(NamedTuple):
    """One measured statement of a claim."""

    text: str
    sample: Array
    """One number (or an array of them, leading axes) for each run, [..., runs], in the order of the data sets."""
    statistic: Callable[[Array], Array]
    """Reduces the sample [..., resamples, runs] to [resamples]."""
    sense: str
    """The claimed side of the bound: > or <; = if the interval must hold the bound."""
    bound: float
    collapse: Callable[[Array], NDArray[np.bool_]] | None = None
    """Whether a collapsed cell decides the effect: reduces `cells` [..., resamples, runs] to [resamples]."""
    cells: Array | None = None
    """What `collapse` reads, [..., runs]; None: the sample."""
    chance: bool = False
    """Whether the effect is the bootstrap probability that the statistic is positive, held against the bound."""
    unsettled: str = ""
    """Why nothing can be concluded, if that is so."""
    unit: str | None = None
    """Of the statistic: "×" for a ratio, "%" for a share, "" for a plain number. None: "%" if the bound is a share."""
    structural: str = ""
    """Why it cannot fail as worded, if that is so: alone it supports nothing."""
    contrast: tuple[Array, Array] | None = None
    """Of a statistic mean(over) / |mean(under)|: over and under, [runs] each. Then sign flips judge it."""
    draws: int = 1
    """Training seeds of each data set. `Claim.judged` sets it."""


def mean_part(text: str, values: Array, sense: str, bound: float, **facts: Any) -> Part:
    """Return the part about the mean of values [..., runs], over runs and whatever leads them."""
    each = values.mean(tuple(range(values.ndim - 1)))
    return quotient_part(text, each, np.ones_like(each), sense, bound, **facts)


def quotient_part(text: str, over: Array, under: Array, sense: str, bound: float, **facts: Any) -> Part:
    """Return the part about mean(over) / |mean(under)|, [runs] each.

    A relative difference is one: over is ours less theirs, and under is theirs. `facts` are fields of `Part`, such as
    `collapse` with its `cells`.
    """
    return Part(text, np.stack([over, under]), quotient, sense, bound, contrast=(over, under), **facts)


class Judged(NamedTuple):
    """A part with its verdict."""

    text: str
    estimate: Estimate
    """Of n data sets that are defined in every arm."""
    p: float
    """Two-sided, uncorrected; of a chance, the share of resamples that are not on the side of most."""
    sense: str
    bound: float
    collapsed: float = 0.0
    """The share of resamples in which a collapsed cell decides the effect."""
    method: str = ""
    """How its interval was found, with the measured coverage where that is not exact."""
    chance: bool = False
    unsettled: str = ""
    """Why nothing can be concluded, if that is so."""
    unit: str = ""
    structural: str = ""
    holm: float = math.nan
    """The p-value corrected for the claim's other parts; set by `decide`, as the verdict is."""
    verdict: str = ""

    @property
    def effect(self) -> str:
        """The estimate with its interval, in its unit."""
        return effect(self.estimate, self.unit)

    @property
    def settled(self) -> bool:
        """Whether it has an effect that can be held against its bound."""
        return not self.unsettled and self.estimate.n >= FEWEST and math.isfinite(self.estimate.value)

    @property
    def on_claimed_side(self) -> bool:
        """Whether the value is on the claimed side of the bound."""
        return self.estimate.value > self.bound if self.sense == ">" else self.estimate.value < self.bound


class Verdict(NamedTuple):
    """What the parts of a claim say together."""

    verdict: str
    decided: int
    """Which of the parts decided."""
    parts: Sequence[Judged]

    @property
    def estimate(self) -> Estimate:
        """That of the part that decided."""
        return self.parts[self.decided].estimate

    @property
    def sentence(self) -> str:
        """What was measured, claimed and found in the part that decided."""
        return sentence(self.parts[self.decided])

    @property
    def structural(self) -> str:
        """Why none of its parts can fail as worded, if that is so."""
        reasons = [part.structural for part in self.parts]
        return "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""

    @property
    def p(self) -> float:
        """The p-value of the verdict: support is as sure as its weakest part, refutation as its strongest after Holm.

        1 for a verdict that is neither. "Does not differ" is supported by no p-value, so it counts as 1 too.
        """
        if self.verdict == SUPPORTED:
            return max(1.0 if part.sense == "=" else part.p for part in self.parts)
        return min((part.holm for part in self.parts if part.verdict == REFUTED), default=1.0)


def judge(parts: Sequence[Part], resamples: int = RESAMPLES) -> Verdict:
    """Judge a claim by its parts."""
    return conclude(decide([assess(part, resamples) for part in parts]))


def assess(part: Part, resamples: int = RESAMPLES) -> Judged:
    """Estimate one part with its interval and p-value; its verdict depends on the claim's other parts too."""
    kept = np.flatnonzero(whole(part.sample).reshape(-1, part.draws).all(-1))  # data sets
    n = len(kept)
    unit = part.unit if part.unit is not None else "%" if 0 < abs(part.bound) < 1 else ""

    def judged(value: float, low: float, high: float, p: float, method: str = "", collapsed: float = 0.0) -> Judged:
        facts = part.sense, part.bound, collapsed, method, part.chance, part.unsettled, unit, part.structural
        return Judged(part.text, Estimate(value, low, high, n), p, *facts)

    def of(function: Callable[[Array], NDArray[Any]], values: Array, chosen: NDArray[np.int64]) -> NDArray[Any]:
        runs = (part.draws * kept[chosen][..., None] + np.arange(part.draws)).reshape(len(chosen), -1)
        return np.concatenate([
            function(values[..., runs[start : start + AT_ONCE]]) for start in range(0, len(runs), AT_ONCE)
        ])  # fmt: skip

    if n < FEWEST:
        return judged(math.nan, math.nan, math.nan, 1.0)
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        value = float(of(part.statistic, part.sample, np.arange(n)[None])[0])
        if not math.isfinite(value):  # nothing over nothing is neither above nor below
            return judged(value, math.nan, math.nan, 1.0)
        resampled = np.random.default_rng(0).integers(0, n, size=(resamples, n))
        collapsed = 0.0
        if part.collapse is not None:
            cells = part.sample if part.cells is None else part.cells
            collapsed = float(of(part.collapse, cells, resampled).mean())
        if part.chance:
            positive = float((of(part.statistic, part.sample, resampled) > 0).mean())
            p = max(min(1 - positive, positive), intervals.least_p(resamples, n))
            return judged(positive, math.nan, math.nan, p, "bootstrap", collapsed)
        if part.contrast is not None:
            over, under = (each.reshape(-1, part.draws)[kept].mean(-1) for each in part.contrast)
            if (under > 0).all() or (under < 0).all():
                found = intervals.sign_flips(over, np.abs(under), part.bound)
                kind = "exact" if n <= intervals.ENUMERATED else "random"
                return judged(value, *found, f"{kind} sign flips", collapsed)
        found = intervals.bootstrap(of(part.statistic, part.sample, resampled), n, part.bound)
        measured = max(size for size in COVERAGE if size <= n)
        method = f"bootstrap, coverage {COVERAGE[measured]:.2f} at n = {measured}"
        return judged(value, *found, method, collapsed)


def decide(parts: Sequence[Judged]) -> list[Judged]:
    """Return the parts of one claim with their verdicts, and p-values corrected for each other."""
    corrected = intervals.holm([part.p for part in parts])
    return [part._replace(holm=p, verdict=_verdict(part, p)) for part, p in zip(parts, corrected, strict=True)]


def _verdict(part: Judged, corrected: float) -> str:
    """Return the verdict on a part: supported by its own p-value, refuted by that corrected for the other parts."""
    if not part.settled or ALPHA < part.collapsed < 1 - ALPHA:
        return INCONCLUSIVE
    if part.collapsed >= 1 - ALPHA:
        return COLLAPSE
    nothing_moved = part.estimate.low == part.estimate.high == part.bound == 0  # in any data set
    if part.chance:
        supported, refuted = part.estimate.value >= part.bound, part.estimate.value <= ALPHA
    elif part.sense == "=":
        supported, refuted = part.p > ALPHA, corrected <= ALPHA
    else:
        supported = part.on_claimed_side and part.p <= ALPHA
        refuted = nothing_moved or (not part.on_claimed_side and corrected <= ALPHA)
    return SUPPORTED if supported else REFUTED if refuted else INCONCLUSIVE


def conclude(parts: Sequence[Judged]) -> Verdict:
    """Return what decided parts say together: the worst of their verdicts, and the part that decided it."""
    verdicts = [part.verdict for part in parts]
    verdict = next((v for v in (REFUTED, COLLAPSE, INCONCLUSIVE) if v in verdicts), SUPPORTED)
    # The weakest of the parts that hold, the strongest of those that do not.
    alike = [i for i, part in enumerate(parts) if part.verdict == verdict]
    decided = (max if verdict in (SUPPORTED, INCONCLUSIVE) else min)(alike, key=lambda i: parts[i].p)
    return Verdict(verdict, decided, parts)


def sentence(part: Judged) -> str:
    """Say what was measured, claimed and found."""
    measured = f"{part.text[0].upper()}{part.text[1:]}"
    return f"{measured}: {part.effect}; {ruling(part)}." if part.settled else f"{measured}: {ruling(part)}."


def ruling(part: Judged) -> str:
    """Say what was claimed of a part's effect, and whether it is so."""
    if part.unsettled:
        return f"not settled, because {part.unsettled}"
    if part.estimate.n < FEWEST:
        return f"only {part.estimate.n} data sets have a result, too few to judge"
    if not part.settled:
        return "undefined in these runs, a ratio with a zero denominator"
    claimed = {">": "above", "<": "below", "=": "not to differ from"}[part.sense]
    ends = {
        SUPPORTED: "which it does not" if part.sense == "=" else "which it is",
        REFUTED: "which it does" if part.sense == "=" else "which it is not",
        INCONCLUSIVE: "which these seeds do not settle",
        COLLAPSE: "but that is collapse: training loss within 10% of log K, the loss of guessing (chance level),"
        " or test loss 5% above that at lam = 0, or accuracy 5 points lower",
    }
    end = ends[part.verdict]
    if ALPHA < part.collapsed < 1 - ALPHA:
        end = f"but whether the cell has collapsed is open: it has in {part.collapsed:.0%} of the resamples"
    return f"claimed {claimed} {quantity(part.bound, part.unit)}, {end}"


def effect(estimate: Estimate, unit: str) -> str:
    """Return "value [low, high]" in a unit, as in −10.0% [−22.9%, −3.3%] or 30 [28, 31] epochs; a dash if undefined."""
    if math.isnan(estimate.value):
        return "–"
    sign, word = (unit, "") if unit in TIGHT else ("", unit)
    shown = quantity(estimate.value, sign)
    if not math.isnan(estimate.low):
        shown += f" [{quantity(estimate.low, sign)}, {quantity(estimate.high, sign)}]"
    return f"{shown} {word}".rstrip()


def quantity(value: float, unit: str) -> str:
    """Return a number in a unit: a share as a percentage to one decimal, others to three digits.

    Infinite is what only runs that diverged reach.
    """
    if abs(value) >= BEYOND:
        return f"{'−' if value < 0 else ''}∞{f' {unit}'.rstrip() if unit not in TIGHT else ''}"
    shown = f"{100 * value:.1f}" if unit == "%" else f"{value:.3g}"
    shown = shown if float(shown) else shown.removeprefix("-")
    return shown.replace("-", "−") + (unit if unit in TIGHT else f" {unit}".rstrip())
