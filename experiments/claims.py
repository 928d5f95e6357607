"""The paper's claims about its Figures 5-32, each judged by a statistic of the records.

    python -m experiments.claims outputs/paper

A claim is a row of `CLAIMS`: what the paper says, and a function that turns a grid of runs into parts. A part is a
statistic over seeds and the side of a bound on which the paper puts it. All regimes and lam of a seed share data,
weights, batches and noise, so seeds are resampled whole: every comparison is paired.

- A part is SUPPORTED if its 95% interval (BCa bootstrap over seeds) lies on the claimed side of the bound, REFUTED if
  on the other, INCONCLUSIVE if it holds the bound; after Holm's correction over the parts of one figure.
- A claim is SUPPORTED if all of its parts are, and REFUTED if one is.
- A contraction of the gap bought by training loss within 10% of log K, or by a test loss 5% above that of lam = 0, is
  COLLAPSE: no support, whatever the interval.
- "Lower" and "higher" of a loss, gap, force or reward mean by 5% of the mean at lam = 0 of what it is compared with.
- "Validated" is the lam with the least mean loss on the feedback split, chosen again in every resample.

Imports neither torch nor hydra.
"""

import argparse
import json
import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import stats

from experiments import grid
from hclm_runner import store, terminal
from hclm_runner.refusal import ConfigError

Array = NDArray[np.float64]
SUPPORTED, REFUTED, INCONCLUSIVE, COLLAPSE = "SUPPORTED", "REFUTED", "INCONCLUSIVE", "COLLAPSE"

MARGIN = 0.05
"""The least effect that counts, as a share of the mean at lam = 0."""
ALPHA = 0.05
FEWEST = 6
"""Seeds below which nothing can be concluded."""


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
    """Whether what looks like a contraction of the gap is a collapse."""
    chance: bool = False
    """Whether the effect is the bootstrap probability that the statistic is positive, held against 1 - ALPHA."""


class Judged(NamedTuple):
    """A part with its verdict."""

    text: str
    effect: float
    low: float
    high: float
    p: float
    """Two-sided, Holm-adjusted."""
    sense: str
    bound: float
    seeds: int
    verdict: str


class Data(NamedTuple):
    """What claims read of the runs of one task: [lam, seed] of final values, [lam, seed, epoch] of trajectories."""

    grid: xr.Dataset
    finals: xr.Dataset

    def final(self, surrogate: str, regime: str, column: str) -> Array:
        """Return the final values of a column, [lam, seed], lam ascending from 0."""
        return _values(self.finals[column], surrogate, regime)

    def path(self, surrogate: str, regime: str, column: str) -> Array:
        """Return a column over epochs, [lam, seed, epoch]."""
        return _values(self.grid[column], surrogate, regime)

    def option(self, name: str) -> float:
        """Return an option of the thermostat."""
        return float(self.grid.attrs["config"]["regime thermostat"][name])

    @property
    def chance_loss(self) -> float:
        """Log K, the loss of knowing nothing: the thermostat's set point over kappa."""
        return float(self.grid["setpoint"].sel(regime="thermostat").isel(epoch=0).max()) / self.option("kappa")


def _values(array: xr.DataArray, surrogate: str, regime: str) -> Array:
    chosen = array.sel(surrogate=surrogate, regime=regime)
    return chosen.transpose("lam0", "seed", ...).to_numpy()


# --- what is read off a trajectory [..., epoch] ---------------------------------------------------------------------


def late(path: Array) -> Array:
    """Return the last quarter of the epochs."""
    return path[..., -max(2, path.shape[-1] // 4) :]


def half_time(F: Array) -> Array:
    """Return the first epoch after the peak with F <= F_max / 2; the number of epochs if there is none.

    NaN for a path that is not all there.
    """
    epochs = np.arange(F.shape[-1])
    fallen = (F.max(-1, keepdims=True) / 2 >= F) & (epochs > F.argmax(-1)[..., None])
    return _where_whole(F, np.where(fallen.any(-1), fallen.argmax(-1), F.shape[-1]))


def fall(S: Array) -> Array:
    """Return by how much of its peak a path lies below it in the end, the mean of the last 5 epochs."""
    return 1 - S[..., -5:].mean(-1) / S.max(-1)


def slope(path: Array) -> Array:
    """Return the least-squares slope of a path's late epochs, per epoch."""
    y = late(path)
    t = np.arange(y.shape[-1]) - (y.shape[-1] - 1) / 2
    return (y * t).sum(-1) / (t**2).sum()


def variation(path: Array) -> Array:
    """Return the total variation of a path, sum over epochs of |change|."""
    return np.abs(np.diff(path)).sum(-1)


def roughness(F: Array) -> Array:
    """Return the mean size of the second difference of log F."""
    return np.abs(np.diff(np.log(np.maximum(F, 1e-300)), n=2)).mean(-1)


def spike(F: Array) -> Array:
    """Return the late maximum over the late median."""
    return late(F).max(-1) / np.median(late(F), -1)


def _where_whole(path: Array, value: NDArray[Any]) -> Array:
    """Return a value of each path, NaN where the path is not all there: a comparison with NaN is False, not NaN."""
    return np.where(np.isfinite(path).all(-1), value, np.nan)


def whole(v: Array) -> NDArray[np.bool_]:
    """Return which seeds of v [..., seeds] have a result in every arm."""
    return np.asarray(np.isfinite(v).all(axis=tuple(range(v.ndim - 1))))


# --- statistics of [..., seeds]: means over seeds first, then over or along lam -------------------------------------


def mean(v: Array) -> Array:
    """Return the mean over lam and seeds; v [lam, ..., seeds]."""
    return v.mean(-1).mean(0)


def difference(v: Array) -> Array:
    """Return the mean of v[0] - v[1] over lam and seeds, as a share of |v[1]| at lam = 0; v [2, lam, ..., seeds]."""
    m = v.mean(-1)
    return (m[0] - m[1]).mean(0) / np.abs(m[1, 0])


def change(v: Array, at: int = -1) -> Array:
    """Return the mean at one lam beside that at lam = 0, relative; v [lam, ..., seeds]."""
    m = v.mean(-1)
    return relative(m[at], m[0])


def relative(m: Array, zero: Array) -> Array:
    """Return the change from `zero` to m as a share of the size of `zero`: of its sign too where that is negative."""
    return (m - zero) / np.abs(zero)


def at_validated(m: Array, feedback: Array) -> Array:
    """Return m [lam, ...] at the lam with the least feedback loss."""
    return np.take_along_axis(m, feedback.argmin(0)[None], 0)[0]


def spread(v: Array) -> Array:
    """Return the range over lam of the seeds' mean, of v[0] over v[1]; v [2, lam, ..., seeds]."""
    width = np.ptp(v.mean(-1), axis=1)
    return width[0] / width[1]


def ratio(v: Array) -> Array:
    """Return the mean over lam and seeds of v[0] over that of v[1]; v [2, lam, ..., seeds]."""
    m = v.mean(-1).mean(1)
    return m[0] / m[1]


def sd_ratio(v: Array) -> Array:
    """Return the mean over lam of the standard deviation over seeds, v[0]'s over v[1]'s; v [2, lam, ..., seeds]."""
    sd = v.std(-1, ddof=1).mean(1)
    return sd[0] / sd[1]


def at_same_lam(of_seeds: Callable[[Array], Array], v: Array) -> Array:
    """Return the geometric mean over lam of of_seeds(v[0]) / of_seeds(v[1]), for what spans decades over lam.

    Args:
        of_seeds: Reduces the last axis.
        v: [2, lam, ..., seeds].
    """
    x = np.log(of_seeds(v))
    return np.exp((x[0] - x[1]).mean(0))


def _mean(v: Array) -> Array:
    return v.mean(-1)


def _median(v: Array) -> Array:
    return np.median(v, -1)


def _noise(v: Array) -> Array:
    """Return the coefficient of variation over seeds."""
    return v.std(-1, ddof=1) / v.mean(-1)


# --- the claims, by figure: A is fixed, B thermostat, C rl_thermostat -----------------------------------------------

A, B, C = grid.REGIMES
SOFTMAX, VARIANCE, LOGDET = grid.SURROGATES


def fig05(d: Data) -> list[Part]:
    """Test loss at the validated lam is not lower than at lam = 0."""
    return [_best_beside_zero(d, SOFTMAX)]


def fig06(d: Data) -> list[Part]:
    """The gap is lower at no lam, and higher at the two largest."""
    gap = d.final(SOFTMAX, A, "gap")

    def top(v: Array) -> Array:
        m = v.mean(-1)
        return relative(m[-2:].mean(0), m[0])

    each = [
        Part(f"gap at lam = {lam:g}, beside lam = 0", gap, partial(change, at=at), ">", -MARGIN)
        for at, lam in enumerate(d.grid["lam0"].to_numpy()[1:], 1)
    ]
    return [*each, Part("gap at the two largest lam, beside lam = 0", gap, top, ">", MARGIN)]


def fig07(d: Data) -> list[Part]:
    """The softmax force is smaller than the log-det's at the same lam, and varies more over seeds."""
    parts = []
    for column, name in (("force_ratio", "lam F / |grad L|"), ("force", "raw force F")):
        v = np.stack([d.final(surrogate, A, column)[1:] for surrogate in (SOFTMAX, LOGDET)])
        parts += [
            Part(f"median over seeds of {name}, softmax over logdet", v, partial(at_same_lam, _median), "<", 1),
            Part(f"variation over seeds of {name}, softmax over logdet", v, partial(at_same_lam, _noise), ">", 1),
        ]
    return parts


def fig08(d: Data) -> list[Part]:
    """Softmax entropy falls by a fifth at the largest lam; the log-det rate and the effective rank do not fall."""
    rows = (("entropy", "<", -0.2), ("logdet_rate", ">", -MARGIN), ("effective_rank", ">", -MARGIN))
    return [
        Part(f"{_words(column)} at the largest lam, beside lam = 0", d.final(SOFTMAX, A, column), change, sense, bound)
        for column, sense, bound in rows
    ]


def fig09(d: Data) -> list[Part]:
    """The thermostat moves lam under softmax, and gains nothing on the best fixed lam."""
    lam = _after_warmup(d, d.path(SOFTMAX, B, "lam"))
    moves = (lam - lam[..., :1]).std(-1)  # exactly 0 for one that stands still
    v = np.stack([
        d.final(SOFTMAX, B, "test_loss"), d.final(SOFTMAX, A, "test_loss"), d.final(SOFTMAX, A, "feedback_loss")
    ])  # fmt: skip

    def beside_best(v: Array) -> Array:
        ours, fixed, feedback = v.mean(-1)
        return (ours.mean(0) - at_validated(fixed, feedback)) / fixed[0]

    return [
        Part("standard deviation of lam_t after warm-up, thermostat", moves, mean, ">", 0),
        Part("test loss of the thermostat beside the best fixed lam", v, beside_best, ">", -MARGIN),
    ]


def fig10(d: Data) -> list[Part]:
    """With softmax the reward is higher under C than under A, and less steady at high lam than in the middle."""
    reward = d.final(SOFTMAX, C, "reward")
    middle = 1 + (len(reward) - 2) // 2

    def unsteady(v: Array) -> Array:
        sd = v.std(-1, ddof=1)
        return sd[-2:].mean(0) / sd[middle]

    return [
        _difference(d, SOFTMAX, "reward", C, A, ">"),
        Part("sd over seeds of C's reward, two largest lam over the middle one", reward, unsteady, ">", 1),
    ]


def fig11(d: Data) -> list[Part]:
    """With variance, test loss under B and C is lower than under A, and depends less on the base lam."""
    lower = [_difference(d, VARIANCE, "test_loss", regime, A, "<") for regime in (B, C)]
    return lower + [_spread(d, VARIANCE, regime, 1) for regime in (B, C)]


def fig12(d: Data) -> list[Part]:
    """With variance, the gap contracts at 60% of lam > 0 or more."""
    v = np.stack([d.final(VARIANCE, A, column) for column in ("gap", "test_loss", "train_loss")])

    def share(v: Array, *, with_collapse: bool) -> Array:
        gap, test, train = v.mean(-1)
        contracted = relative(gap[1:], gap[0]) < -MARGIN
        if not with_collapse:
            contracted &= ~_collapsed(d, test[1:], test[0], train[1:])
        return contracted.mean(0)

    text = "share of lam > 0 at which the gap is lower by 5% without collapse"
    there = v[..., whole(v)]
    collapsed = bool(share(there, with_collapse=True) >= 0.6 > share(there, with_collapse=False))
    return [Part(text, v, partial(share, with_collapse=False), ">", 0.6, collapsed)]


def fig13(d: Data) -> list[Part]:
    """With variance, C's force is lower than A's and B's, and has no late spikes."""
    lower = [_difference(d, VARIANCE, "force", C, regime, "<") for regime in (A, B)]
    return [*lower, Part("late maximum of C's force over its late median", _spike(d, VARIANCE, C), mean, "<", 1.5)]


def fig14(d: Data) -> list[Part]:
    """With variance, the adaptive lam is off its lower bound and moves."""
    parts = []
    for regime in (B, C):
        lam = _after_warmup(d, d.path(VARIANCE, regime, "lam"))
        parts += [
            Part(f"mean lam_t over lam_min, {regime}", lam.mean(-1) / d.option("lam_min"), mean, ">", 2),
            Part(f"total variation of lam_t after warm-up, {regime}", variation(lam), mean, ">", 0),
        ]
    return parts


def fig15(d: Data) -> list[Part]:
    """With variance, C's reward is higher and steadier than A's."""
    return [_difference(d, VARIANCE, "reward", C, A, ">"), _sd_ratio(d, VARIANCE, "reward", C, A)]


def fig16(d: Data) -> list[Part]:
    """With logdet, A fails at both ends of lam; B and C depend on the base lam less than half as much."""
    v = np.stack([d.final(LOGDET, A, column) for column in ("test_loss", "feedback_loss")])

    def worse(v: Array, *, at: int) -> Array:
        test, feedback = v.mean(-1)
        return (test[at] - at_validated(test, feedback)) / test[0]

    ends = [
        Part(f"test loss of A at {name} beside its best", v, partial(worse, at=at), ">", MARGIN)
        for at, name in ((0, "lam = 0"), (-1, "the largest lam"))
    ]
    return ends + [_spread(d, LOGDET, regime, 0.5) for regime in (B, C)]


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
    harmed = _collapsed(d, at_validated(test, feedback), test[0], at_validated(train, feedback))
    collapsed = bool(harmed and contraction(there) < -0.25)
    pairs = ((LOGDET, VARIANCE), (VARIANCE, SOFTMAX))
    return [
        Part("gap at the validated lam, beside lam = 0", best[LOGDET], contraction, "<", -0.25, collapsed),
        *(
            Part(f"gap of {a} beside {b}, each validated", np.stack([best[a], best[b]]), lower, "<", -MARGIN)
            for a, b in pairs
        ),
    ]


def fig18(d: Data) -> list[Part]:
    """With logdet the force under B and C lies between A's at lam = 0 and A's at the largest lam."""
    parts = []
    for regime in (B, C):
        v = np.stack([d.final(LOGDET, A, "force"), d.final(LOGDET, regime, "force")])
        for at, name in ((0, "A at lam = 0"), (-1, "A at the largest lam")):
            text, sense = f"force of {regime} beside {name}", "<" if at == 0 else ">"
            parts.append(Part(text, v, partial(_beside, at=at), sense, -MARGIN if at == 0 else MARGIN))
    return parts


def _beside(v: Array, *, at: int) -> Array:
    fixed, ours = v.mean(-1)
    return (ours.mean(0) - fixed[at]) / fixed[0]


def fig19(d: Data) -> list[Part]:
    """With logdet, entropy is steadier late under B and C than under A, and within 10% of its set point."""
    sd = {regime: late(d.path(LOGDET, regime, "entropy")).std(-1) for regime in (A, B, C)}
    steady = [
        Part(f"late sd of S over epochs, {regime} over A", np.stack([sd[regime], sd[A]]), ratio, "<", 1)
        for regime in (B, C)
    ]
    off = {r: late(np.abs(d.path(LOGDET, r, "entropy") / d.path(LOGDET, r, "setpoint") - 1)).mean(-1) for r in (B, C)}
    return steady + [Part(f"late |S - S_ref| / S_ref, {r}", off[r], mean, "<", 0.1) for r in (B, C)]


def fig20(d: Data) -> list[Part]:
    """With logdet, lam is at a bound in less than half of the late epochs."""
    return [
        Part(f"share of late epochs with lam at a bound, {r}", 1 - _inside(d, LOGDET, r), mean, "<", 0.5)
        for r in (B, C)
    ]


def fig21(d: Data) -> list[Part]:
    """Of the nine surrogates and regimes, logdet under C has the highest reward, each at its validated lam."""
    nine = [(LOGDET, C), *((s, r) for s in grid.SURROGATES for r in grid.REGIMES if (s, r) != (LOGDET, C))]
    v = np.stack([np.stack([d.final(s, r, c) for c in ("reward", "feedback_loss")]) for s, r in nine])

    def lead(v: Array) -> Array:
        rewards = np.stack([at_validated(*arm.mean(-1)) for arm in v])
        return rewards[0] - rewards[1:].max(0)

    return [Part("probability that logdet under C ranks first of nine in reward", v, lead, ">", 1 - ALPHA, chance=True)]


def fig22(d: Data) -> list[Part]:
    """With logdet under A, test loss still rises late at lam = 0, and has settled at the validated lam."""
    slopes = slope(d.path(LOGDET, A, "test_loss"))
    v = np.stack([slopes, *(d.final(LOGDET, A, name) for name in ("feedback_loss", "test_loss", "train_loss"))])

    def settled(v: Array) -> Array:
        slopes, feedback = v.mean(-1)[:2]
        return at_validated(slopes, feedback)

    _, feedback, test, train = v[..., whole(v)].mean(-1)
    chosen = int(feedback.argmin())
    collapsed = bool(_collapsed(d, test[chosen], test[0], train[chosen]))
    at = f"the validated lam ({float(d.grid['lam0'][chosen]):g})"
    return [
        Part("late slope of the test loss at lam = 0, nats per epoch", slopes[:1], mean, ">", 0),
        Part(f"late slope of the test loss at {at}, nats per epoch", v, settled, "=", 0, collapsed),
    ]


def fig23(d: Data) -> list[Part]:
    """With logdet under A, force halves in the first quarter of the epochs for each lam > 0, and never at lam = 0."""
    F = d.path(LOGDET, A, "force")
    T, at = F.shape[-1], half_time(F)

    def least(v: Array) -> Array:
        return v.mean(-1).min(0)

    early, ever = (_where_whole(F, halved) for halved in (at <= T / 4, at < T))
    return [
        Part("least share of seeds, over lam > 0, whose force halves in the first quarter", early[1:], least, ">", 0.5),
        Part("share of seeds whose force halves at lam = 0", ever[:1], mean, "<", 0.5),
    ]


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


def fig25(d: Data) -> list[Part]:
    """With logdet, test loss under B depends on the base lam less than half as much as under A."""
    return [_spread(d, LOGDET, B, 0.5)]


def fig26(d: Data) -> list[Part]:
    """With logdet, force halves under B, no later than under A, and has no late spikes."""
    F = d.path(LOGDET, B, "force")
    T, at = F.shape[-1], half_time(F)
    later = at - half_time(d.path(LOGDET, A, "force"))
    return [
        Part("share of runs whose force halves, B", _where_whole(F, at < T), mean, ">", 0.5),
        Part(f"epochs until the force halves ({T} where it never does), B minus A", later, mean, "<", 1),
        Part("late maximum of B's force over its late median", _spike(d, LOGDET, B), mean, "<", 1.5),
    ]


def fig27(d: Data) -> list[Part]:
    """With logdet, B goes on moving lam after the warm-up."""
    lam = _after_warmup(d, d.path(LOGDET, B, "lam"))
    return [Part("total variation of lam_t after warm-up, B", variation(lam), mean, ">", 0)]


def fig28(d: Data) -> list[Part]:
    """With logdet, B's reward stays within 10% of its maximum."""
    reward = d.path(LOGDET, B, "reward")
    best = reward.max(-1)
    lost = (best - late(reward).min(-1)) / np.abs(best)  # a reward can be negative, and then a ratio means nothing
    return [Part("late fall of B's reward below its maximum, as a share of that", lost, mean, "<", 0.1)]


def fig29(d: Data) -> list[Part]:
    """With logdet, C's test loss is not above B's by 5%, and is steadier over seeds."""
    v = _pair(d, LOGDET, "test_loss", C, B)
    return [
        Part("test loss, C beside B, mean over lam", v, difference, "<", MARGIN),
        _sd_ratio(d, LOGDET, "test_loss", C, B),
    ]


def fig30(d: Data) -> list[Part]:
    """With logdet, the logarithm of C's force is smoother over epochs than A's."""
    v = np.stack([roughness(d.path(LOGDET, regime, "force")) for regime in (C, A)])
    return [Part("roughness of log F, C over A", v, ratio, "<", 1)]


def fig31(d: Data) -> list[Part]:
    """With logdet, C's lam is strictly inside its bounds in 95% of the late epochs."""
    return [Part("share of late epochs with lam inside its bounds, C", _inside(d, LOGDET, C), mean, ">", 0.95)]


def fig32(d: Data) -> list[Part]:
    """With logdet, C's reward is higher than B's, B's higher than A's, and C's the steadiest over seeds."""
    higher = [_difference(d, LOGDET, "reward", *pair, ">") for pair in ((C, B), (B, A))]
    return higher + [_sd_ratio(d, LOGDET, "reward", C, regime) for regime in (B, A)]


def stronger(column: str, d: Data) -> list[Part]:
    """Geometric surrogates exert more force than softmax at the same fixed lam."""
    return [
        Part(
            f"{_words(column)} of {geometric} over softmax, same lam",
            np.stack([d.final(surrogate, A, column)[1:] for surrogate in (geometric, SOFTMAX)]),
            partial(at_same_lam, _mean),
            ">",
            1,
        )
        for geometric in (LOGDET, VARIANCE)
    ]


def goes_with(column: str, sign: int, d: Data) -> list[Part]:
    """Over runs of a surrogate, a deeper collapse of the force goes with a lower gap (or a higher reward).

    Spearman's correlation of log(F_max / F_final) with the column, partialled for the final lam, over base lam and
    regimes, without the cells that collapsed.
    """
    parts = []
    for surrogate in (LOGDET, VARIANCE):
        F = np.concatenate([d.path(surrogate, regime, "force") for regime in (A, B, C)])
        fallen = np.log(F.max(-1) / np.maximum(F[..., -5:].mean(-1), 1e-300))
        columns = (column, "lam", "test_loss", "train_loss")
        cells = [np.concatenate([d.final(surrogate, regime, name) for regime in (A, B, C)]) for name in columns]
        v = np.stack([fallen, *cells])  # [5, regime and lam, seed]; the first cell is A at lam = 0
        test, train = v[3:, :, whole(v)].mean(-1)
        kept = v[:3, ~_collapsed(d, test, test[0], train)]
        text = f"partial rank correlation of the fall of force with {column}, {surrogate}"
        parts.append(Part(text, kept, partial_spearman, "<" if sign < 0 else ">", 0))
    return parts


def partial_spearman(v: Array) -> Array:
    """Return the rank correlation of v[0] and v[1] given v[2]; v [3, runs, ..., seeds], over runs and seeds."""
    flat = np.moveaxis(v, 1, -1).reshape(*v.shape[:1], *v.shape[2:-1], -1)
    x, y, z = stats.rankdata(flat, axis=-1) - (flat.shape[-1] + 1) / 2

    def correlation(a: Array, b: Array) -> Array:
        return (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))

    xy, xz, yz = correlation(x, y), correlation(x, z), correlation(y, z)
    return (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))


# --- parts that several claims share --------------------------------------------------------------------------------


def _words(column: str) -> str:
    return column.replace("_", " ")


def _pair(d: Data, surrogate: str, column: str, ours: str, theirs: str) -> Array:
    return np.stack([d.final(surrogate, regime, column) for regime in (ours, theirs)])


def _difference(d: Data, surrogate: str, column: str, ours: str, theirs: str, sense: str) -> Part:
    text = f"{_words(column)}, {ours} beside {theirs}, mean over lam"
    bound = MARGIN if sense == ">" else -MARGIN
    return Part(text, _pair(d, surrogate, column, ours, theirs), difference, sense, bound)


def _sd_ratio(d: Data, surrogate: str, column: str, ours: str, theirs: str) -> Part:
    text = f"sd over seeds of {_words(column)}, {ours} over {theirs}"
    return Part(text, _pair(d, surrogate, column, ours, theirs), sd_ratio, "<", 1)


def _spread(d: Data, surrogate: str, regime: str, bound: float) -> Part:
    text = f"range over lam of test loss, {regime} over fixed"
    return Part(text, _pair(d, surrogate, "test_loss", regime, A), spread, "<", bound)


def _best_beside_zero(d: Data, surrogate: str) -> Part:
    v = np.stack([d.final(surrogate, A, column) for column in ("test_loss", "feedback_loss")])

    def best(v: Array) -> Array:
        test, feedback = v.mean(-1)
        return relative(at_validated(test, feedback), test[0])

    return Part("test loss at the validated lam, beside lam = 0", v, best, ">", -MARGIN)


def _spike(d: Data, surrogate: str, regime: str) -> Array:
    return spike(d.path(surrogate, regime, "force"))


def _after_warmup(d: Data, path: Array) -> Array:
    """Return the epochs after the warm-up; NaN if there are fewer than two, from which nothing can be said."""
    after = path[..., int(d.option("warmup")) + 1 :]
    return after if after.shape[-1] > 1 else np.full_like(path, np.nan)


def _inside(d: Data, surrogate: str, regime: str) -> Array:
    """Return the share of late epochs with lam strictly inside its bounds, [lam, seed]."""
    lam = late(d.path(surrogate, regime, "lam"))
    low, high = d.option("lam_min"), d.option("lam_max")
    return _where_whole(lam, ((lam > low * (1 + 1e-9)) & (lam < high * (1 - 1e-9))).mean(-1))


def _collapsed(d: Data, test: Array, test_at_zero: Array, train: Array) -> NDArray[np.bool_]:
    """Return where the training loss is within 10% of log K, or the test loss 5% above that under A at lam = 0."""
    return (train >= 0.9 * d.chance_loss) | (test > (1 + MARGIN) * test_at_zero)


class Claim(NamedTuple):
    """What the paper says of a figure, or across figures."""

    id: str
    figure: int | None
    says: str
    parts: Callable[[Data], list[Part]]


CLAIMS = (
    Claim("5", 5, "softmax: no stable improvement in test loss as lam grows", fig05),
    Claim("6", 6, "softmax: the gap does not contract, and worsens at high lam", fig06),
    Claim("7", 7, "softmax: the force is small and noisy", fig07),
    Claim("8", 8, "softmax: entropy falls without geometric compression", fig08),
    Claim("9", 9, "softmax: the controller is active, and of limited use", fig09),
    Claim("10", 10, "softmax: C's reward is modestly above A's, and unstable at high lam", fig10),
    Claim("11", 11, "variance: test loss under B and C is steadier and lower", fig11),
    Claim("12", 12, "variance: the gap contracts over a broad range of lam", fig12),
    Claim("13", 13, "variance: C keeps the force lower and controlled", fig13),
    Claim("14", 14, "variance: the adaptive coefficient is not zero", fig14),
    Claim("15", 15, "variance: C's reward is higher and steadier", fig15),
    Claim("16", 16, "logdet: A fails at both extremes, B and C are stable", fig16),
    Claim("17", 17, "logdet: the gap is sharply reduced, more than by variance, by that more than by softmax", fig17),
    Claim("18", 18, "logdet: three regimes of geometry, with B and C between A's extremes", fig18),
    Claim("19", 19, "logdet: entropy is stabilised under B and C", fig19),
    Claim("20", 20, "logdet: lam is regulated", fig20),
    Claim("21", 21, "logdet under C has the highest reward of all nine", fig21),
    Claim("22", 22, "logdet under A: lam = 0 fails, an intermediate lam stabilises", fig22),
    Claim("23", 23, "logdet under A: lam > 0 contracts the force early, at lam = 0 it stays high", fig23),
    Claim("24", 24, "logdet under A: expansion, then compression of the entropy", fig24),
    Claim("25", 25, "logdet: B is consistent over the base lam", fig25),
    Claim("26", 26, "logdet: under B the force collapses fast and stays bounded", fig26),
    Claim("27", 27, "logdet: B adapts lam after the transient", fig27),
    Claim("28", 28, "logdet: B's reward stays high", fig28),
    Claim("29", 29, "logdet: C's test loss is low and stable", fig29),
    Claim("30", 30, "logdet: under C the force collapses smoothly", fig30),
    Claim("31", 31, "logdet: C's lam stays inside its bounds", fig31),
    Claim("32", 32, "logdet: C's reward is the highest and steadiest", fig32),
    Claim("X1 raw", None, "geometric surrogates exert more force than softmax (raw)", partial(stronger, "force")),
    Claim("X1 ratio", None, "geometric surrogates exert more force than softmax (lam F / |grad L|)",
          partial(stronger, "force_ratio")),
    Claim("X2", None, "the collapse of the force goes with the contraction of the gap", partial(goes_with, "gap", -1)),
    Claim("X3", None, "the collapse of the force goes with a higher reward", partial(goes_with, "reward", 1)),
)  # fmt: skip


# --- from parts to verdicts -----------------------------------------------------------------------------------------


def data_of(runs: xr.Dataset) -> Data:
    """Return what the claims read of a grid.

    Raises:
        ConfigError: If the grid has no lam = 0, or fewer than two lam beside it; or if the set point was given in nats,
            which leaves nothing to read log K from.
    """
    if (setpoint := runs.attrs["config"]["regime thermostat"]["setpoint"]) is not None:
        raise ConfigError("regime.setpoint", setpoint, "null in all runs: log K is read from the set point")
    lams = runs["lam0"].to_numpy()
    if len(lams) < 3 or lams[0] != 0:
        raise ConfigError(
            "store", None, f"base lam of 0 and two or more above, got {', '.join(f'{x:g}' for x in lams)}"
        )
    return Data(runs, grid.final(runs))


def judge(claim: Claim, data: Data, resamples: int = 10_000) -> dict[str, Any]:
    """Judge one claim on the runs of one task; plain data, the verdict and each part's, with effects and intervals."""
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):  # of runs without a result, 0 / 0
        parts = claim.parts(data)
    judged = decide([assess(part, resamples) for part in parts], [part.collapsed for part in parts])
    return _conclude(claim, judged)


def assess(part: Part, resamples: int = 10_000) -> Judged:
    """Estimate one part with its BCa interval and p-value; its verdict is still to be corrected for its neighbours."""
    values = part.sample[..., whole(part.sample)]
    seeds = values.shape[-1]
    facts = {"text": part.text, "sense": part.sense, "bound": part.bound, "seeds": seeds}
    if seeds < FEWEST:
        return Judged(**facts, effect=np.nan, low=np.nan, high=np.nan, p=1.0, verdict=INCONCLUSIVE)

    def statistic(chosen: NDArray[np.int64], axis: int = -1) -> Array:  # noqa: ARG001 - scipy's signature
        return part.statistic(values[..., chosen])

    order = np.arange(seeds)
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings(action="ignore"):
        effect = float(statistic(order))
        if not math.isfinite(effect):  # nothing over nothing is neither above nor below
            return Judged(**facts, effect=effect, low=np.nan, high=np.nan, p=1.0, verdict=INCONCLUSIVE)
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
            return Judged(**facts, effect=chance, low=np.nan, high=np.nan, p=np.nan, verdict=verdict)
        low, high = interval(1 - ALPHA)
        return Judged(**facts, effect=effect, low=low, high=high, p=_p(interval, part.bound, resamples), verdict="")


def _p(interval: Callable[[float], tuple[float, float]], bound: float, resamples: int) -> float:
    """Return the least alpha whose interval does not hold the bound, to 1%; no less than two in the resamples."""
    least, most = 2 / (resamples + 1), 1.0
    if not _holds(interval(1 - least), bound):
        return least
    if least < ALPHA:  # exactly at ALPHA, so that a p-value never contradicts the interval that is shown
        least, most = (ALPHA, most) if _holds(interval(1 - ALPHA), bound) else (least, ALPHA)
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
    """Return the parts of one figure with p-values corrected for each other, and their verdicts."""
    decided = []
    for part, p, collapse in zip(parts, holm([part.p for part in parts]), collapsed, strict=True):
        away = p <= ALPHA
        if part.verdict:
            verdict = part.verdict
        elif collapse:
            verdict = COLLAPSE
        elif part.sense == "=":  # the correction makes it harder to refute, and must not make it easier to support
            verdict = REFUTED if away else SUPPORTED if part.p > ALPHA else INCONCLUSIVE
        elif part.low == part.high == part.bound == 0:
            verdict = REFUTED  # zero in every resample: nothing moved at all
        elif not away:
            verdict = INCONCLUSIVE
        else:
            verdict = SUPPORTED if (part.effect > part.bound) == (part.sense == ">") else REFUTED
        decided.append(part._replace(p=p, verdict=verdict))
    return decided


def _conclude(claim: Claim, parts: list[Judged]) -> dict[str, Any]:
    verdicts = [part.verdict for part in parts]
    verdict = next((v for v in (REFUTED, COLLAPSE, INCONCLUSIVE) if v in verdicts), SUPPORTED)
    # The weakest of the parts that hold, the strongest of those that do not.
    alike = [part for part in parts if part.verdict == verdict]
    deciding = (max if verdict in (SUPPORTED, INCONCLUSIVE) else min)(alike, key=lambda part: part.p)
    facts = {"id": claim.id, "figure": claim.figure, "says": claim.says, "verdict": verdict}
    measured = {key: getattr(deciding, key) for key in ("effect", "low", "high")}
    return facts | {"sentence": _sentence(deciding)} | measured | {"parts": [part._asdict() for part in parts]}


def _sentence(part: Judged) -> str:
    """Say what decided a claim."""
    if part.seeds < FEWEST:
        return f"{part.text}: only {part.seeds} seeds have a result, too few to judge."
    claimed = {">": "above", "<": "below", "=": "not to differ from"}[part.sense]
    show = "{:.1%}" if 0 < abs(part.bound) < 1 else "{:.3g}"  # a share or a relative change; else a ratio or a number
    effect, low, high, bound = (show.format(x) for x in (part.effect, part.low, part.high, part.bound))
    between = "" if math.isnan(part.low) else f" (95% interval {low} to {high})"
    if not math.isfinite(part.effect):
        return f"{part.text}: undefined in these runs, a ratio with a zero denominator."
    ends = {
        SUPPORTED: "which it does not" if part.sense == "=" else "which it is",
        REFUTED: "which it does" if part.sense == "=" else "which it is not",
        INCONCLUSIVE: "which these seeds do not settle",
        COLLAPSE: "but that is collapse: training loss within 10% of log K, or test loss 5% above that at lam = 0",
    }
    text = part.text[0].upper() + part.text[1:]
    return f"{text}: {effect}{between}; claimed {claimed} {bound}, {ends[part.verdict]}."


# --- the command ----------------------------------------------------------------------------------------------------


def write(verdicts: list[dict[str, Any]], source: str, resamples: int) -> list[Path]:
    """Write claims.json, and claims.parquet with a row for each part, into the store; return their paths."""
    folder = store.locate(source)
    head = {"store": source, "resamples": resamples, "confidence": 1 - ALPHA}
    text = json.dumps(_plain(head | {"claims": verdicts}), indent=1, allow_nan=False)
    rows = [
        {f"claim_{key}" if key == "verdict" else key: value for key, value in claim.items() if key in CLAIM_COLUMNS}
        | part
        for claim in verdicts
        for part in claim["parts"]
    ]
    frame = pd.DataFrame(rows).astype({"figure": "Int64"})
    paths = [folder / "claims.json", folder / "claims.parquet"]
    store.atomically(paths[0], lambda path: Path(path).write_text(text))
    store.atomically(paths[1], partial(frame.to_parquet, index=False))
    return paths


CLAIM_COLUMNS = ("task", "id", "figure", "says", "verdict", "sentence")


def _plain(value: Any) -> Any:
    """Return plain data with None for NaN and infinity, which JSON has no word for."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge the claims on a store, task by task; print the verdicts, write claims.json and claims.parquet."""
    parser = argparse.ArgumentParser(prog="python -m experiments.claims", description="Judge the paper's claims.")
    parser.add_argument("store", nargs="?", default="paper", help="name under outputs/, or path (default: paper)")
    parser.add_argument("--resamples", type=int, default=10_000, help="of the bootstrap (default: 10000)")
    given = parser.parse_args(arguments)
    if given.resamples < 100:
        parser.error(f"argument --resamples: expected 100 or more, got {given.resamples}")
    with terminal.refusing(None):
        verdicts = []
        for task, runs in grid.load(given.store).items():
            data = data_of(grid.complete(runs))
            track = terminal.track(CLAIMS, f"judging, {task}")
            verdicts += [{"task": task} | judge(claim, data, given.resamples) for claim in track]
    paths = write(verdicts, given.store, given.resamples)
    _show(verdicts)
    for path in paths:
        print(f"  {path}")


def _show(verdicts: list[dict[str, Any]]) -> None:
    console = Console(highlight=False)
    for task in dict.fromkeys(claim["task"] for claim in verdicts):
        own = [claim for claim in verdicts if claim["task"] == task]
        counts = Counter(claim["verdict"] for claim in own)
        title = ", ".join(f"{counts[v]} {v}" for v in (SUPPORTED, REFUTED, INCONCLUSIVE, COLLAPSE) if counts[v])
        table = Table("claim", "the paper says", "verdict", "what decided it", title=f"{task}: {title}")
        for claim in own:
            table.add_row(claim["id"], claim["says"], claim["verdict"], claim["sentence"])
        console.print(table)


if __name__ == "__main__":
    main()
