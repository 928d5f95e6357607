"""From parts to verdicts: for any claims of any grid.

A claim is judged by its parts. A part is a statistic over seeds and the side of a bound on which the claim puts it. All
surrogates, regimes and lam of a seed share data, weights, batches and noise, so seeds are resampled whole: every
comparison is paired.

- A part is SUPPORTED if its 95% interval (BCa bootstrap over seeds) lies on the claimed side of the bound, REFUTED if
  on the other, INCONCLUSIVE if it holds the bound; after Holm's correction over the parts of one claim.
- A claim is SUPPORTED if all of its parts are, and REFUTED if one is.
- A part whose effect a collapse explains is COLLAPSE: no support, whatever the interval.
- A part that says why it cannot be settled is INCONCLUSIVE, whatever the interval.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from experiments.claims.statistics import Array, whole
from experiments.estimate import CONFIDENCE, Estimate

SUPPORTED, REFUTED, INCONCLUSIVE, COLLAPSE = "SUPPORTED", "REFUTED", "INCONCLUSIVE", "COLLAPSE"

ALPHA = 0.05
FEWEST = 6
"""Seeds below which nothing can be concluded."""
RESAMPLES = 10_000
"""Of the bootstrap."""
TIGHT = ("%", "×")
"""Units that stand at each number; others are words that stand once."""


class Part(NamedTuple):
    """One measured statement of a claim."""

    text: str
    sample: Array
    """One number (or an array of them, leading axes) for each seed, [..., seeds]."""
    statistic: Callable[[Array], Array]
    """Reduces the sample [..., resamples, seeds] to [resamples]."""
    sense: str
    """The claimed side of the bound: > or <; = if the interval must hold the bound."""
    bound: float
    collapsed: bool = False
    """Whether a collapse explains the effect."""
    chance: bool = False
    """Whether the effect is the bootstrap probability that the statistic is positive, held against 1 - ALPHA."""
    unsettled: str = ""
    """Why nothing can be concluded, if that is so."""
    unit: str | None = None
    """Of the statistic: "×" for a ratio, "%" for a share, "" for a plain number. None: "%" if the bound is a share."""


class Judged(NamedTuple):
    """A part with its verdict."""

    text: str
    estimate: Estimate
    """Of n seeds that have a result in every arm."""
    p: float
    """Two-sided, Holm-adjusted."""
    sense: str
    bound: float
    verdict: str
    """Empty until `decide` has corrected p."""
    unsettled: str = ""
    """Why nothing can be concluded, if that is so."""
    unit: str = ""

    @property
    def effect(self) -> str:
        """The estimate with its interval, in its unit."""
        return effect(self.estimate, self.unit)


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


def judge(parts: Sequence[Part], resamples: int = RESAMPLES) -> Verdict:
    """Judge a claim by its parts."""
    return conclude(decide([assess(part, resamples) for part in parts], [part.collapsed for part in parts]))


def assess(part: Part, resamples: int = RESAMPLES) -> Judged:
    """Estimate one part with its BCa interval and p-value; its verdict is still to be corrected for its neighbours."""
    values = part.sample[..., whole(part.sample)]
    seeds = values.shape[-1]
    unit = part.unit if part.unit is not None else "%" if 0 < abs(part.bound) < 1 else ""

    def judged(value: float, low: float, high: float, p: float, verdict: str) -> Judged:
        estimate = Estimate(value, low, high, seeds)
        return Judged(part.text, estimate, p, part.sense, part.bound, verdict, part.unsettled, unit)

    if seeds < FEWEST:
        return judged(math.nan, math.nan, math.nan, 1.0, INCONCLUSIVE)

    def statistic(chosen: NDArray[np.int64], axis: int = -1) -> Array:  # noqa: ARG001 - scipy's signature
        return part.statistic(values[..., chosen])

    order = np.arange(seeds)
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings(action="ignore"):
        effect = float(statistic(order))
        if not math.isfinite(effect):  # nothing over nothing is neither above nor below
            return judged(effect, math.nan, math.nan, 1.0, INCONCLUSIVE)
        drawn = stats.bootstrap((order,), statistic, n_resamples=resamples, method="BCa", vectorized=True, rng=0)

        def interval(level: float) -> tuple[float, float]:
            low, high = stats.bootstrap(
                (order,), statistic, n_resamples=0, bootstrap_result=drawn, confidence_level=level, vectorized=True
            ).confidence_interval
            if np.isfinite([low, high]).all():
                return float(low), float(high)
            # BCa has no answer where leaving a seed out changes nothing: the percentiles of the resamples.
            tail = (1 - level) / 2
            low, high = np.nanquantile(drawn.bootstrap_distribution, [tail, 1 - tail])
            return float(low), float(high)

        if part.chance:
            chance = float((drawn.bootstrap_distribution > 0).mean())
            verdict = SUPPORTED if chance >= part.bound else REFUTED if chance <= ALPHA else INCONCLUSIVE
            return judged(chance, math.nan, math.nan, math.nan, verdict)
        return judged(effect, *interval(CONFIDENCE), _p(interval, part.bound, resamples), "")


def _p(interval: Callable[[float], tuple[float, float]], bound: float, resamples: int) -> float:
    """Return the least alpha whose interval does not hold the bound, to 1%; no less than two in the resamples."""
    least, most = 2 / (resamples + 1), 1.0
    if not _holds(interval(1 - least), bound):
        return least
    if least < ALPHA:  # exactly at ALPHA, so that a p-value never contradicts the interval that is shown
        least, most = (ALPHA, most) if _holds(interval(CONFIDENCE), bound) else (least, ALPHA)
    while most / least > 1.01:
        middle = math.sqrt(least * most)
        least, most = (middle, most) if _holds(interval(1 - middle), bound) else (least, middle)
    return most


def _holds(interval: tuple[float, float], bound: float) -> bool:
    return not (bound < interval[0] or bound > interval[1])  # an undefined interval rules nothing out


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's step-down method; a NaN stays what it is and does not count."""
    counted = [i for i in np.argsort(ps, kind="stable") if not math.isnan(ps[i])]
    adjusted, highest = list(ps), 0.0
    for rank, i in enumerate(counted):
        highest = max(highest, min(1.0, (len(counted) - rank) * ps[i]))
        adjusted[i] = highest
    return adjusted


def decide(parts: Sequence[Judged], collapsed: Sequence[bool]) -> list[Judged]:
    """Return the parts of one claim with p-values corrected for each other, and their verdicts."""
    decided = []
    for part, p, collapse in zip(parts, holm([part.p for part in parts]), collapsed, strict=True):
        away = p <= ALPHA
        if part.unsettled:
            verdict = INCONCLUSIVE
        elif part.verdict:
            verdict = part.verdict
        elif collapse:
            verdict = COLLAPSE
        elif part.sense == "=":  # the correction makes it harder to refute, and must not make it easier to support
            verdict = REFUTED if away else SUPPORTED if part.p > ALPHA else INCONCLUSIVE
        elif part.estimate.low == part.estimate.high == part.bound == 0:
            verdict = REFUTED  # zero in every resample: nothing moved at all
        elif not away:
            verdict = INCONCLUSIVE
        else:
            verdict = SUPPORTED if (part.estimate.value > part.bound) == (part.sense == ">") else REFUTED
        decided.append(part._replace(p=p, verdict=verdict))
    return decided


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
    return f"{measured}: {part.effect}; {ruling(part)}." if settled(part) else f"{measured}: {ruling(part)}."


def settled(part: Judged) -> bool:
    """Return whether a part has an effect that can be held against its bound."""
    return not part.unsettled and part.estimate.n >= FEWEST and math.isfinite(part.estimate.value)


def ruling(part: Judged) -> str:
    """Say what was claimed of a part's effect, and whether it is so."""
    if part.unsettled:
        return f"not settled, because {part.unsettled}"
    if part.estimate.n < FEWEST:
        return f"only {part.estimate.n} seeds have a result, too few to judge"
    if not settled(part):
        return "undefined in these runs, a ratio with a zero denominator"
    claimed = {">": "above", "<": "below", "=": "not to differ from"}[part.sense]
    ends = {
        SUPPORTED: "which it does not" if part.sense == "=" else "which it is",
        REFUTED: "which it does" if part.sense == "=" else "which it is not",
        INCONCLUSIVE: "which these seeds do not settle",
        COLLAPSE: "but that is collapse: training loss within 10% of log K, the loss of guessing (chance level),"
        " or test loss 5% above that at lam = 0",
    }
    return f"claimed {claimed} {quantity(part.bound, part.unit)}, {ends[part.verdict]}"


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
    """Return a number in a unit: a share as a percentage to one decimal, others to three digits."""
    shown = f"{100 * value:.1f}" if unit == "%" else f"{value:.3g}"
    shown = shown if float(shown) else shown.removeprefix("-")
    return shown.replace("-", "−") + (unit if unit in TIGHT else f" {unit}".rstrip())
