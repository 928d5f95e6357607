"""The paper's claims of Figures 22-32: log-det over epochs under each law."""

from functools import partial
from typing import Any

import numpy as np

from experiments.claims.claim import MARGIN, Data, claim
from experiments.claims.judge import Part, mean_part, quotient_part
from experiments.claims.paper.cells import CHOICE, guard, means, measured, over_standing, validated, validated_collapsed
from experiments.claims.paper.parts import (
    LOGDET,
    MOVES,
    OFF_BOUNDS,
    A,
    B,
    C,
    adaptive,
    bounded,
    compared,
    inside,
    middle,
    read_off,
    spikes,
    steadier_over_epochs,
    steadier_over_lam,
    steadier_over_seeds,
)
from experiments.claims.statistics import WORST, Array, fall, half_time, late, roughness, slope, variation, where_whole


def _least(v: Array) -> Array:
    """Return the least mean over lam; v [1, lam, ..., runs]."""
    return np.nanmin(v[0].mean(-1), 0)


def _mean(v: Array) -> Array:
    """Return the mean over lam; v [1, lam, ..., runs]."""
    return np.nanmean(v[0].mean(-1), 0)


def _late_change(d: Data) -> Array:
    """Return the change of A's test loss over the late epochs, as a share of its late mean, [lam, runs]."""

    def change(path: Array) -> Array:
        y = late(path)
        return slope(path) * y.shape[-1] / y.mean(-1)

    return read_off(d, LOGDET, A, "test_loss", change, WORST)


def _stabilises(d: Data, lams: Any) -> list[Part]:
    change = _late_change(d)

    def size(v: Array) -> Array:
        return np.abs(validated(means(v)[1])[0])

    v = measured(d, LOGDET, [A], "test_loss", change[lams], lams)
    text = "late change of test loss, as a share of its late mean"
    decides = partial(validated_collapsed, d)
    return [
        mean_part(f"{text}, at lam = 0", change[0], ">", MARGIN),
        Part(f"size of the {text}, at the validated lam", v[CHOICE], size, "<", MARGIN, decides, v),
    ]


@claim(
    "22",
    22,
    "logdet under fixed: lam = 0 fails, an intermediate lam stabilises",
    ("at the lam chosen among those that do not collapse", partial(over_standing, parts=_stabilises, surrogate=LOGDET)),
    of_path=True,
)
def fig22(d: Data) -> list[Part]:
    """With logdet under A, late test loss rises at lam = 0, and is level at the validated lam.

    Level is less than the margin: an interval that holds 0 is had from few seeds as well.
    """
    return _stabilises(d, slice(None))


def _contracts_early(d: Data, lams: Any, where: str) -> list[Part]:
    T = d.grid.sizes["epoch"]
    halved = read_off(d, LOGDET, A, "force", half_time, T)
    early, ever = (where_whole(halved[..., None], halved < epochs) for epochs in (T / 4, T))
    facts = guard(d, [(LOGDET, A)], early[None, lams], _least, 0.5, lams)
    text = f"share of runs whose force halves in the first quarter, {where}"
    return [
        Part(text, early[None, lams], _least, ">", 0.5, **facts),
        mean_part("share of runs whose force halves at lam = 0", ever[0], "<", 0.5),
    ]


@claim(
    "23",
    23,
    "logdet under fixed: lam > 0 contracts the force early, and at lam = 0 it stays high",
    ("at the median lam > 0", lambda d: _contracts_early(d, [middle(d)], "at the median lam > 0")),
    of_path=True,
)
def fig23(d: Data) -> list[Part]:
    """With logdet under A, force halves in the first quarter of the epochs for each lam > 0, and never at lam = 0.

    In more than half of the runs: a bound of its own.
    """
    return _contracts_early(d, slice(1, None), "the least over lam > 0")


def _expands_and_compresses(d: Data, lams: Any, where: str) -> list[Part]:
    """Return the parts on the rise to the peak and the fall from it, 10% at least: a bound of its own for the fall."""

    def read(reduce: Any, worst: float) -> Array:
        return read_off(d, LOGDET, A, "entropy", reduce, worst)

    rises, falls = read(lambda S: S.max(-1) / S[..., 0] - 1, -WORST), read(fall, -WORST)

    def least(text: str, v: Array, bound: float) -> Part:
        facts = guard(d, [(LOGDET, A)], v[None, lams], _least, bound, lams)
        return Part(f"{text}, {where}", v[None, lams], _least, ">", bound, **facts)

    return [
        least("rise of S to its peak", rises, MARGIN),
        least("fall of S from its peak", falls, 0.1),
        mean_part("rise of S to its peak at lam = 0", rises[0], ">", MARGIN),
        mean_part("fall of S from its peak at lam = 0", read(fall, WORST)[0], "<", MARGIN),
    ]


@claim(
    "24",
    24,
    "logdet under fixed: expansion, then compression of the entropy",
    ("at the median lam > 0", lambda d: _expands_and_compresses(d, [middle(d)], "at the median lam > 0")),
    of_path=True,
)
def fig24(d: Data) -> list[Part]:
    """With logdet under A, entropy rises, then falls by a tenth for each lam > 0; at lam = 0 it rises and stays."""
    return _expands_and_compresses(d, slice(1, None), "the least over lam > 0")


@claim("25", 25, "logdet: thermostat is consistent over the base lam")
def fig25(d: Data) -> list[Part]:
    """With logdet, test loss under B depends on the base lam less than half as much as under A."""
    return [steadier_over_lam(d, LOGDET, B, 0.5)]


def _falls_fast(d: Data, lams: Any) -> list[Part]:
    T = d.grid.sizes["epoch"]
    ours, fixed = (read_off(d, LOGDET, regime, "force", half_time, T)[lams] for regime in (B, A))
    halves, spike = where_whole(ours[..., None], ours < T), spikes(d, LOGDET, B)[lams]

    def later(v: Array) -> Array:
        m = v.mean(-1)
        return np.nanmean(m[0] - m[1], 0)

    text = f"time until the force halves ({T} where it never does), {B} minus {A}"
    facts = guard(d, [(LOGDET, B), (LOGDET, A)], np.stack([ours, fixed]), later, 1, lams)
    return [
        mean_part(
            f"share of runs whose force halves, {B}",
            halves,
            ">",
            0.5,
            **guard(d, [(LOGDET, B)], halves[None], _mean, 0.5, lams),
        ),
        mean_part(text, ours - fixed, "<", 1, unit="epochs", **facts),
        bounded(B, spike, **guard(d, [(LOGDET, B)], spike[None], _mean, 1.5, lams)),
    ]


@claim(
    "26",
    26,
    "logdet: under thermostat the force collapses fast and stays bounded",
    ("over the lam at which fixed does not collapse", partial(over_standing, parts=_falls_fast, surrogate=LOGDET)),
    of_path=True,
)
def fig26(d: Data) -> list[Part]:
    """With logdet, force halves under B, no later than under A, and has no late spikes; each by a bound of its own."""
    return _falls_fast(d, slice(None))


@claim("27", 27, "logdet: thermostat adapts lam after the transient", of_path=True)
def fig27(d: Data) -> list[Part]:
    """With logdet, B goes on moving lam after the warm-up, by however little."""
    moved = adaptive(d, LOGDET, B, variation)
    return [mean_part(f"total variation of lam_t after warm-up, {B}", moved, ">", 0, structural=MOVES)]


def _stays_high(d: Data, of_late: Any, text: str) -> list[Part]:
    """Return the part that the reward keeps 90% of its maximum: a bound of its own, twice the margin."""

    def lost(reward: Array) -> Array:
        best = reward.max(-1)
        return (best - of_late(late(reward))) / np.abs(best)  # a reward can be negative: then a ratio means nothing

    return [mean_part(text, read_off(d, LOGDET, B, "reward", lost, WORST), "<", 0.1)]


@claim(
    "28",
    28,
    "logdet: the reward under thermostat stays high",
    (
        "its late mean, not its lowest late epoch",
        lambda d: _stays_high(d, lambda y: y.mean(-1), f"late mean of the reward below its maximum, as a share, {B}"),
    ),
    of_path=True,
)
def fig28(d: Data) -> list[Part]:
    """With logdet, B's reward stays within 10% of its maximum in each late epoch."""
    text = f"late fall of the reward below its maximum, as a share of that, {B}"
    return _stays_high(d, lambda y: y.min(-1), text)


def _low(d: Data) -> Part:
    return compared(d, LOGDET, "test_loss", C, B, "<", MARGIN)


@claim(
    "29",
    29,
    "logdet: the test loss under rl_thermostat is low and stable",
    ("stable over epochs", lambda d: [_low(d), steadier_over_epochs(d, LOGDET, "test_loss", C, B)]),
)
def fig29(d: Data) -> list[Part]:
    """With logdet, C's test loss is not above B's by 5%, and is steadier over seeds."""
    return [_low(d), steadier_over_seeds(d, LOGDET, "test_loss", C, B)]


def _smooth(d: Data, lams: Any) -> list[Part]:
    v = np.stack([read_off(d, LOGDET, regime, "force", roughness, WORST)[lams] for regime in (C, A)])

    def ratio(v: Array) -> Array:
        m = np.nanmean(v.mean(-1), 1)
        return m[0] / m[1]

    facts = guard(d, [(LOGDET, C), (LOGDET, A)], v, ratio, 1 - MARGIN, lams)
    text = f"roughness of log F over epochs, {C} over {A}"
    return [quotient_part(text, v[0].mean(0), v[1].mean(0), "<", 1 - MARGIN, unit="×", **facts)]


def _smooth_where_it_collapses(d: Data) -> list[Part]:
    T = d.grid.sizes["epoch"]
    collapses = (read_off(d, LOGDET, C, "force", half_time, T) < T).mean(-1) > 0.5
    if collapses.any():
        return _smooth(d, np.flatnonzero(collapses))
    (part,) = _smooth(d, slice(None))
    return [part._replace(unsettled=f"the force under {C} halves at no lam")]


@claim(
    "30",
    30,
    "logdet: under rl_thermostat the force collapses smoothly",
    ("over the lam at which the force collapses: it halves in most runs", _smooth_where_it_collapses),
    of_path=True,
)
def fig30(d: Data) -> list[Part]:
    """With logdet, the logarithm of C's force is smoother over epochs than A's."""
    return _smooth(d, slice(None))


@claim("31", 31, "logdet: lam under rl_thermostat stays inside its bounds", of_path=True)
def fig31(d: Data) -> list[Part]:
    """With logdet, C's lam is strictly inside its bounds in 95% of the late epochs."""
    text = f"share of late epochs with lam inside its bounds, {C}"
    return [mean_part(text, inside(d, LOGDET, C), ">", 0.95, structural=OFF_BOUNDS)]


def _highest_and_steadiest(d: Data, steadier: Any) -> list[Part]:
    higher = [compared(d, LOGDET, "reward", *pair, ">") for pair in ((C, B), (B, A))]
    return higher + [steadier(d, LOGDET, "reward", C, regime) for regime in (B, A)]


@claim(
    "32",
    32,
    "logdet: the reward under rl_thermostat is the highest and steadiest",
    ("steadiest over epochs", lambda d: _highest_and_steadiest(d, steadier_over_epochs)),
)
def fig32(d: Data) -> list[Part]:
    """With logdet, C's reward is higher than B's, B's higher than A's, and C's the steadiest over seeds."""
    return _highest_and_steadiest(d, steadier_over_seeds)
