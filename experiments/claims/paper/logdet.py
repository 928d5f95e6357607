"""The paper's claims of Figures 16-32: log-det over the base lam, and over epochs under each law."""

from functools import partial

import numpy as np

from experiments import grid
from experiments.claims.claim import MARGIN, Data, claim
from experiments.claims.judge import ALPHA, Part
from experiments.claims.paper.parts import (
    LOGDET,
    SOFTMAX,
    VARIANCE,
    A,
    B,
    C,
    after_warmup,
    bounded,
    compared,
    inside,
    pair,
    steadier_over_lam,
    steadier_over_seeds,
)
from experiments.claims.statistics import (
    Array,
    at_validated,
    difference,
    fall,
    half_time,
    late,
    mean,
    ratio,
    relative,
    relative_to_fixed,
    roughness,
    slope,
    variation,
    where_whole,
    whole,
)


@claim("16", 16, "logdet: fixed fails at both extremes, thermostat and rl_thermostat are stable")
def fig16(d: Data) -> list[Part]:
    """With logdet, A fails at both ends of lam; B and C depend on the base lam less than half as much."""
    v = np.stack([d.final(LOGDET, A, column) for column in ("test_loss", "feedback_loss")])

    def worse(v: Array, *, at: int) -> Array:
        test, feedback = v.mean(-1)
        return (test[at] - at_validated(test, feedback)) / test[0]

    ends = [
        Part(f"test loss of fixed at {name}, relative to its best", v, partial(worse, at=at), ">", MARGIN)
        for at, name in ((0, "lam = 0"), (-1, "the largest lam"))
    ]
    return ends + [steadier_over_lam(d, LOGDET, regime, 0.5) for regime in (B, C)]


@claim("17", 17, "logdet: the gap is sharply reduced, more than by variance, by that more than by softmax")
def fig17(d: Data) -> list[Part]:
    """With logdet the gap is a quarter lower, and lower than with variance, and that lower than with softmax.

    Each surrogate at its validated regime and lam.
    """
    columns = ("gap", "feedback_loss", "test_loss", "train_loss")
    best = {s: np.stack([np.concatenate([d.final(s, r, c) for r in (A, B, C)]) for c in columns]) for s in
            (SOFTMAX, VARIANCE, LOGDET)}  # fmt: skip

    def contraction(v: Array) -> Array:
        gap, feedback = v.mean(-1)[:2]
        return relative(at_validated(gap, feedback), gap[0])

    def lower(v: Array) -> Array:
        (ours, f), (theirs, g) = v[0].mean(-1)[:2], v[1].mean(-1)[:2]
        return (at_validated(ours, f) - at_validated(theirs, g)) / np.abs(theirs[0])

    there = best[LOGDET][..., whole(best[LOGDET])]
    _, feedback, test, train = there.mean(-1)
    harmed = d.collapsed(at_validated(test, feedback), test[0], at_validated(train, feedback))
    collapsed = bool(harmed and contraction(there) < -0.25)
    pairs = ((LOGDET, VARIANCE), (VARIANCE, SOFTMAX))
    return [
        Part("gap at the validated lam, relative to lam = 0", best[LOGDET], contraction, "<", -0.25, collapsed),
        *(
            Part(f"gap of {a} relative to {b}, each validated", np.stack([best[a], best[b]]), lower, "<", -MARGIN)
            for a, b in pairs
        ),
    ]


@claim("18", 18, "logdet: three regimes of geometry, with thermostat and rl_thermostat between the extremes of fixed")
def fig18(d: Data) -> list[Part]:
    """With logdet the force under B and C lies between A's at lam = 0 and A's at the largest lam."""
    parts = []
    for regime in (B, C):
        v = np.stack([d.final(LOGDET, A, "force"), d.final(LOGDET, regime, "force")])
        for at, name in ((0, "fixed at lam = 0"), (-1, "fixed at the largest lam")):
            text, sense = f"force of {regime} relative to {name}", "<" if at == 0 else ">"
            parts.append(Part(text, v, partial(relative_to_fixed, at=at), sense, -MARGIN if at == 0 else MARGIN))
    return parts


@claim("19", 19, "logdet: entropy is stabilised under thermostat and rl_thermostat")
def fig19(d: Data) -> list[Part]:
    """With logdet, entropy is steadier late under B and C than under A, and within 10% of its set point."""
    sd = {regime: late(d.path(LOGDET, regime, "entropy")).std(-1) for regime in (A, B, C)}
    steady = [
        Part(
            f"late standard deviation of S over epochs, {regime} over fixed",
            np.stack([sd[regime], sd[A]]),
            ratio,
            "<",
            1,
            unit="×",
        )
        for regime in (B, C)
    ]
    off = {r: late(np.abs(d.path(LOGDET, r, "entropy") / d.path(LOGDET, r, "setpoint") - 1)).mean(-1) for r in (B, C)}
    return steady + [Part(f"late |S - S_ref| / S_ref, {r}", off[r], mean, "<", 0.1) for r in (B, C)]


@claim("20", 20, "logdet: lam is regulated")
def fig20(d: Data) -> list[Part]:
    """With logdet, lam is at a bound in less than half of the late epochs."""
    return [
        Part(f"share of late epochs with lam at a bound, {r}", 1 - inside(d, LOGDET, r), mean, "<", 0.5) for r in (B, C)
    ]


@claim("21", 21, "logdet under rl_thermostat has the highest reward of all nine")
def fig21(d: Data) -> list[Part]:
    """Of the nine surrogates and regimes, logdet under C has the highest reward, each at its validated lam."""
    nine = [(LOGDET, C), *((s, r) for s in grid.SURROGATES for r in grid.REGIMES if (s, r) != (LOGDET, C))]
    v = np.stack([np.stack([d.final(s, r, c) for c in ("reward", "feedback_loss")]) for s, r in nine])

    def lead(v: Array) -> Array:
        rewards = np.stack([at_validated(*arm.mean(-1)) for arm in v])
        return rewards[0] - rewards[1:].max(0)

    return [
        Part(
            "probability that logdet under rl_thermostat ranks first of nine in reward",
            v,
            lead,
            ">",
            1 - ALPHA,
            chance=True,
        )
    ]


@claim("22", 22, "logdet under fixed: lam = 0 fails, an intermediate lam stabilises")
def fig22(d: Data) -> list[Part]:
    """With logdet under A, test loss still rises late at lam = 0, and has settled at the validated lam."""
    slopes = slope(d.path(LOGDET, A, "test_loss"))
    v = np.stack([slopes, *(d.final(LOGDET, A, name) for name in ("feedback_loss", "test_loss", "train_loss"))])

    def settled(v: Array) -> Array:
        slopes, feedback = v.mean(-1)[:2]
        return at_validated(slopes, feedback)

    _, feedback, test, train = v[..., whole(v)].mean(-1)
    chosen = int(feedback.argmin())
    collapsed = bool(d.collapsed(test[chosen], test[0], train[chosen]))
    at = f"the validated lam ({float(d.grid['lam0'][chosen]):g})"
    return [
        Part("late slope of the test loss at lam = 0", slopes[:1], mean, ">", 0, unit="nats per epoch"),
        Part(f"late slope of the test loss at {at}", v, settled, "=", 0, collapsed, unit="nats per epoch"),
    ]


@claim("23", 23, "logdet under fixed: lam > 0 contracts the force early, at lam = 0 it stays high")
def fig23(d: Data) -> list[Part]:
    """With logdet under A, force halves in the first quarter of the epochs for each lam > 0, and never at lam = 0."""
    F = d.path(LOGDET, A, "force")
    T, at = F.shape[-1], half_time(F)

    def least(v: Array) -> Array:
        return v.mean(-1).min(0)

    early, ever = (where_whole(F, halved) for halved in (at <= T / 4, at < T))
    return [
        Part("least share of seeds, over lam > 0, whose force halves in the first quarter", early[1:], least, ">", 0.5),
        Part("share of seeds whose force halves at lam = 0", ever[:1], mean, "<", 0.5),
    ]


@claim("24", 24, "logdet under fixed: expansion, then compression of the entropy")
def fig24(d: Data) -> list[Part]:
    """With logdet under A, entropy rises, then falls by a tenth for each lam > 0; at lam = 0 it rises and stays."""
    S = d.path(LOGDET, A, "entropy")
    falls, rises = fall(S), S.max(-1) / S[..., 0] - 1

    def least(v: Array) -> Array:
        return v.mean(-1).min(0)

    return [
        Part("least rise of S to its peak, over lam > 0", rises[1:], least, ">", MARGIN),
        Part("least fall of S from its peak, over lam > 0", falls[1:], least, ">", 0.1),
        Part("rise of S to its peak at lam = 0", rises[:1], mean, ">", MARGIN),
        Part("fall of S from its peak at lam = 0", falls[:1], mean, "<", MARGIN),
    ]


@claim("25", 25, "logdet: thermostat is consistent over the base lam")
def fig25(d: Data) -> list[Part]:
    """With logdet, test loss under B depends on the base lam less than half as much as under A."""
    return [steadier_over_lam(d, LOGDET, B, 0.5)]


@claim("26", 26, "logdet: under thermostat the force collapses fast and stays bounded")
def fig26(d: Data) -> list[Part]:
    """With logdet, force halves under B, no later than under A, and has no late spikes."""
    F = d.path(LOGDET, B, "force")
    T, at = F.shape[-1], half_time(F)
    later = at - half_time(d.path(LOGDET, A, "force"))
    return [
        Part(f"share of runs whose force halves, {B}", where_whole(F, at < T), mean, ">", 0.5),
        Part(
            f"time until the force halves ({T} where it never does), {B} minus {A}", later, mean, "<", 1, unit="epochs"
        ),
        bounded(d, LOGDET, B),
    ]


@claim("27", 27, "logdet: thermostat adapts lam after the transient")
def fig27(d: Data) -> list[Part]:
    """With logdet, B goes on moving lam after the warm-up."""
    lam = after_warmup(d, d.path(LOGDET, B, "lam"))
    return [Part(f"total variation of lam_t after warm-up, {B}", variation(lam), mean, ">", 0)]


@claim("28", 28, "logdet: the reward under thermostat stays high")
def fig28(d: Data) -> list[Part]:
    """With logdet, B's reward stays within 10% of its maximum."""
    reward = d.path(LOGDET, B, "reward")
    best = reward.max(-1)
    lost = (best - late(reward).min(-1)) / np.abs(best)  # a reward can be negative, and then a ratio means nothing
    return [Part(f"late fall of the reward below its maximum, as a share of that, {B}", lost, mean, "<", 0.1)]


@claim("29", 29, "logdet: the test loss under rl_thermostat is low and stable")
def fig29(d: Data) -> list[Part]:
    """With logdet, C's test loss is not above B's by 5%, and is steadier over seeds."""
    v = pair(d, LOGDET, "test_loss", C, B)
    return [
        Part(f"test loss, {C} relative to {B}, mean over lam", v, difference, "<", MARGIN),
        steadier_over_seeds(d, LOGDET, "test_loss", C, B),
    ]


@claim("30", 30, "logdet: under rl_thermostat the force collapses smoothly")
def fig30(d: Data) -> list[Part]:
    """With logdet, the logarithm of C's force is smoother over epochs than A's."""
    v = np.stack([roughness(d.path(LOGDET, regime, "force")) for regime in (C, A)])
    return [Part(f"roughness of log F over epochs, {C} over {A}", v, ratio, "<", 1, unit="×")]


@claim("31", 31, "logdet: lam under rl_thermostat stays inside its bounds")
def fig31(d: Data) -> list[Part]:
    """With logdet, C's lam is strictly inside its bounds in 95% of the late epochs."""
    return [Part(f"share of late epochs with lam inside its bounds, {C}", inside(d, LOGDET, C), mean, ">", 0.95)]


@claim("32", 32, "logdet: the reward under rl_thermostat is the highest and steadiest")
def fig32(d: Data) -> list[Part]:
    """With logdet, C's reward is higher than B's, B's higher than A's, and C's the steadiest over seeds."""
    higher = [compared(d, LOGDET, "reward", *pair, ">") for pair in ((C, B), (B, A))]
    return higher + [steadier_over_seeds(d, LOGDET, "reward", C, regime) for regime in (B, A)]
