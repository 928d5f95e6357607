"""The paper's claims of Figures 16-21: log-det over the base lam."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from experiments import grid
from experiments.claims.claim import MARGIN, Data, claim
from experiments.claims.intervals import ALPHA
from experiments.claims.judge import Part, mean_part, quotient_part
from experiments.claims.paper.cells import CHOICE, guard, means, measured, standing, validated, validated_collapsed
from experiments.claims.paper.parts import (
    FORGETS,
    LOGDET,
    OFF_BOUNDS,
    SOFTMAX,
    VARIANCE,
    A,
    B,
    C,
    inside,
    read_off,
    steadier_over_epochs,
    words,
)
from experiments.claims.statistics import WORST, Array, late, relative, spread


def _fails_at_both_ends(d: Data, *columns: str) -> list[Part]:
    """Return the parts that A falls short at both ends of lam, and B and C at neither; by the worst of some columns."""
    better = [-1.0 if column == "test_loss" else 1.0 for column in columns]

    def short(v: Array, *, at: int) -> Array:  # v [columns, rows, 1 + lam, ..., runs]
        each = []
        for sign, column in zip(better, v, strict=True):
            zero, m = means(column)
            each.append(sign * (validated(m)[0] - m[0, at]) / np.abs(zero[0]))
        return np.max(each, 0)

    def collapse(v: Array, *, at: int) -> NDArray[np.bool_]:
        """The best has collapsed; or the end has, so that it falls short of nothing. Else a collapse is a failure."""
        zero, m = means(v[0])
        end = d.collapsed(m[2:, at], zero[2:])
        return validated_collapsed(d, v[0]) | (end & (short(v, at=at) <= MARGIN))

    parts = []
    for regime in (A, B, C):
        v = np.stack([measured(d, LOGDET, [regime], column) for column in columns])
        sense, structural = (">", "") if regime == A else ("<", FORGETS)
        for at, end in ((0, "lam = 0"), (-1, "the largest lam")):
            text = f"{' or '.join(map(words, columns))} of {regime} at {end}, short of that at its validated lam"
            judged_by = partial(short, at=at), sense, MARGIN, partial(collapse, at=at), v
            parts.append(Part(text, v[:, CHOICE], *judged_by, unit="%", structural=structural))
    return parts


@claim(
    "16",
    16,
    "logdet: fixed fails at both extremes, thermostat and rl_thermostat are stable",
    ("by reward or accuracy, the worse of them", lambda d: _fails_at_both_ends(d, "reward", "test_accuracy")),
)
def fig16(d: Data) -> list[Part]:
    """With logdet, A's test loss is higher at both ends of lam than at its validated lam; B's and C's at neither."""
    return _fails_at_both_ends(d, "test_loss")


SHARPLY = -0.25
"""A sharp reduction: a bound of its own, five times the margin."""


def _gaps_in_order(d: Data, margin: float) -> list[Part]:
    best = {s: measured(d, s, (A, B, C), "gap") for s in (SOFTMAX, VARIANCE, LOGDET)}

    def contraction(v: Array) -> Array:
        zero, m = means(v)
        return relative(validated(m)[0], zero[0])

    def lower(v: Array) -> Array:
        ours, theirs = (validated(means(each)[1])[0] for each in v)
        return (ours - theirs) / np.abs(means(v[1])[0][0])

    def bought(v: Array) -> NDArray[np.bool_]:
        return validated_collapsed(d, v) & (contraction(v) < SHARPLY)

    def bought_by_one(v: Array) -> NDArray[np.bool_]:
        below = lower(v) < -margin
        return np.where(below, validated_collapsed(d, v[0]), validated_collapsed(d, v[1]))

    own, text = best[LOGDET], "gap at the validated lam, relative to lam = 0"
    parts = [Part(text, own[CHOICE], contraction, "<", SHARPLY, bought, own)]
    for a, b in ((LOGDET, VARIANCE), (VARIANCE, SOFTMAX)):
        v, text = np.stack([best[a], best[b]]), f"gap of {a} relative to {b}, each validated"
        parts.append(Part(text, v[:, CHOICE], lower, "<", -margin, bought_by_one, v, unit="%"))
    return parts


@claim(
    "17",
    17,
    "logdet: the gap is sharply reduced, more than by variance, by that more than by softmax",
    ("more by any amount, without the margin of 5%", lambda d: _gaps_in_order(d, 0)),
)
def fig17(d: Data) -> list[Part]:
    """With logdet the gap is a quarter lower, and lower than with variance, and that lower than with softmax.

    Each surrogate at its validated regime and lam.
    """
    return _gaps_in_order(d, MARGIN)


def _between(d: Data, top: int) -> list[Part]:
    """Return the parts that the force of B and C lies between those of A at lam = 0 and at another, by index."""

    def relative_to_fixed(v: Array, *, at: int) -> Array:  # v [2, lam, ..., runs]
        fixed, ours = v.mean(-1)
        return (np.nanmean(ours, 0) - fixed[at]) / np.abs(fixed[0])

    parts = []
    for regime in (B, C):
        v = np.stack([d.final(LOGDET, A, "force"), d.final(LOGDET, regime, "force")])
        for at, sense, bound in ((0, "<", -MARGIN), (top, ">", MARGIN)):
            text = f"force of {regime}, mean over lam, less that of fixed at lam = {d.grid['lam0'].to_numpy()[at]:g}"
            facts = guard(d, [(LOGDET, A), (LOGDET, regime)], v, partial(relative_to_fixed, at=at), bound)
            parts.append(quotient_part(text, v[1].mean(0) - v[0, at], v[0, 0], sense, bound, **facts))
    return parts


@claim(
    "18",
    18,
    "logdet: three regimes of geometry, with thermostat and rl_thermostat between the extremes of fixed",
    (
        "the upper extreme is the largest lam at which fixed does not collapse",
        lambda d: _between(d, max(standing(d, LOGDET, A), default=-1)),
    ),
)
def fig18(d: Data) -> list[Part]:
    """With logdet the force under B and C lies between A's at lam = 0 and A's at the largest lam."""
    return _between(d, -1)


def _late_entropy(d: Data, regime: str) -> Array:
    return read_off(d, LOGDET, regime, "entropy", lambda path: late(path).mean(-1), WORST)


def _off_set_point(S: Array, setpoint: Array) -> Array:
    return late(np.abs(S / setpoint - 1)).mean(-1)


def _near_set_point(d: Data) -> list[Part]:
    """Return the parts that what the laws hold is within 10% of its set point: a bound of its own, twice the margin."""
    held: str = d.grid.attrs["config"]["regime thermostat"]["holds"]
    parts = []
    for regime in (B, C):
        reduce = partial(_off_set_point, setpoint=d.path(LOGDET, regime, "setpoint"))
        off = read_off(d, LOGDET, regime, held, reduce, WORST)
        parts.append(mean_part(f"late |S - S_ref| / S_ref of {words(held)}, {regime}", off, "<", 0.1))
    return parts


def _same_over_lam(d: Data) -> list[Part]:
    v = {regime: np.stack([_late_entropy(d, regime), _late_entropy(d, A)]) for regime in (B, C)}
    return [
        Part(f"range over lam of late S, {r} over fixed", v[r], spread, "<", 1 - MARGIN, unit="×", structural=FORGETS)
        for r in (B, C)
    ] + _near_set_point(d)


@claim(
    "19",
    19,
    "logdet: entropy is stabilised under thermostat and rl_thermostat",
    ("over the base lam, instead of over the epochs of a run", _same_over_lam),
    of_path=True,
)
def fig19(d: Data) -> list[Part]:
    """With logdet, entropy is steadier late under B and C than under A, and within 10% of its set point."""
    return [steadier_over_epochs(d, LOGDET, "entropy", r, A) for r in (B, C)] + _near_set_point(d)


@claim("20", 20, "logdet: lam is regulated", of_path=True)
def fig20(d: Data) -> list[Part]:
    """With logdet, lam is at a bound in less than half of the late epochs."""
    return [
        mean_part(
            f"share of late epochs with lam at a bound, {r}", 1 - inside(d, LOGDET, r), "<", 0.5, structural=OFF_BOUNDS
        )
        for r in (B, C)
    ]


def _lead(v: Array) -> Array:
    """Return by how much the first of some arms leads the others in reward; v [arms, rows, 1 + lam, ..., runs]."""
    rewards = np.stack([validated(means(arm)[1])[0] for arm in v])
    return rewards[0] - rewards[1:].max(0)


@claim("21", 21, "logdet under rl_thermostat has the highest reward of all nine")
def fig21(d: Data) -> list[Part]:
    """Of the nine surrogates and regimes, logdet under C has the highest reward, each at its validated lam.

    A rank has no margin: its bound is the probability.
    """
    nine: Sequence[tuple[str, str]] = [
        (LOGDET, C),
        *((s, r) for s in grid.SURROGATES for r in grid.REGIMES if (s, r) != (LOGDET, C)),
    ]
    v = np.stack([measured(d, s, [r], "reward")[CHOICE] for s, r in nine])
    text = "probability that logdet under rl_thermostat ranks first of nine in reward"
    return [Part(text, v, _lead, ">", 1 - ALPHA, chance=True)]
