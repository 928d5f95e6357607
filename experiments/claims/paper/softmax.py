"""The paper's claims of Figures 5-10: softmax over the base lam."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.claims.claim import MARGIN, NEAR_CHANCE, Data, claim
from experiments.claims.judge import Part, mean_part
from experiments.claims.paper.cells import CHOICE, guard, means, measured, over_standing, standing, validated
from experiments.claims.paper.parts import LOGDET, MOVES, SOFTMAX, A, B, C, adaptive, changed, compared, middle, words
from experiments.claims.statistics import (
    Array,
    at_same_lam,
    at_validated,
    median_of_seeds,
    relative,
    sd_within,
    variation_of_seeds,
)


def _no_improvement(d: Data, lams: Any) -> list[Part]:
    def gain(v: Array) -> Array:
        zero, m = means(v)
        return relative(validated(m)[0], zero[0])

    v = measured(d, SOFTMAX, [A], "test_loss", lams=lams)[CHOICE]
    return [Part("test loss at the validated lam, relative to lam = 0", v, gain, ">", -MARGIN)]


@claim(
    "5",
    5,
    "softmax: no stable improvement in test loss as lam grows",
    ("over the lam that do not collapse", partial(over_standing, parts=_no_improvement, surrogate=SOFTMAX)),
)
def fig05(d: Data) -> list[Part]:
    """Test loss at the validated lam is not lower than at lam = 0."""
    return _no_improvement(d, slice(None))


def _no_contraction(d: Data, lams: Sequence[int]) -> list[Part]:
    """Return the parts over some lam > 0, by index; a cell that collapsed cannot refute that softmax does harm."""
    gap, cells = d.final(SOFTMAX, A, "gap"), measured(d, SOFTMAX, [A], "gap")

    def refuted_by_collapse(v: Array, *, at: list[int], bound: float) -> NDArray[np.bool_]:
        zero, m = means(v)
        gone = d.collapsed(m[2:], zero[2:, None])[at].any(0)
        return np.asarray(gone & (relative(m[0, at].mean(0), zero[0]) <= bound))

    def part(at: list[int], where: str, bound: float) -> Part:
        decides = partial(refuted_by_collapse, at=at, bound=bound)
        return changed("gap", gap, at, where, ">", bound, collapse=decides, cells=cells)

    each = [part([at], f"lam = {d.grid['lam0'].to_numpy()[at]:g}", -MARGIN) for at in lams]
    return [*each, part(list(lams[-2:]), "the two largest lam", MARGIN)]


def _where_learnt(d: Data) -> list[Part]:
    """Return the parts over the lam at which something is learnt; over all if there is none, which is a collapse.

    A test loss above that at lam = 0 is what the claim says of softmax, so it is no reason to leave a lam out.
    """
    learnt = d.final(SOFTMAX, A, "train_loss").mean(-1) < NEAR_CHANCE * d.chance_loss
    every = range(1, len(learnt))
    return _no_contraction(d, [at for at in every if learnt[at]] or every)


@claim(
    "6",
    6,
    "softmax: the gap does not contract, and worsens at high lam",
    ("over the lam at which something is learnt", _where_learnt),
)
def fig06(d: Data) -> list[Part]:
    """The gap is lower at no lam, and higher at the two largest."""
    return _no_contraction(d, range(1, d.grid.sizes["lam0"]))


def _small_and_noisy(d: Data, column: str, name: str) -> list[Part]:
    arms = [(SOFTMAX, A), (LOGDET, A)]
    parts = []
    for values, label in ((column, name), ("force", "raw force F")):
        v = np.stack([d.final(*arm, values)[1:] for arm in arms])
        for text, of_runs, sense, bound in (
            ("median", median_of_seeds, "<", 1 - MARGIN),
            ("coefficient of variation", variation_of_seeds, ">", 1 + MARGIN),
        ):
            statistic = partial(at_same_lam, of_runs)
            facts = guard(d, arms, v, statistic, bound, slice(1, None))
            parts.append(
                Part(f"{text} over runs of {label}, softmax over logdet", v, statistic, sense, bound, unit="×", **facts)
            )
    return parts


@claim(
    "7",
    7,
    "softmax: the force is small and noisy",
    (
        "in the share of the update, which does not grow as the loss's gradient vanishes",
        lambda d: _small_and_noisy(d, "share", "the entropy's update over the loss's"),
    ),
)
def fig07(d: Data) -> list[Part]:
    """The softmax force is smaller than the log-det's at the same lam, and varies more over runs."""
    return _small_and_noisy(d, "force_ratio", "lam F / |grad L|")


FALL = -0.2
"""A fall of the entropy, as a share of it: a bound of its own, four times the margin."""
GEOMETRY = ("logdet_rate", "effective_rank")


def _where_entropy_falls(d: Data) -> list[Part]:
    """Return the parts at the lam that is kindest to the claim, chosen again in every resample."""
    kept = standing(d, SOFTMAX, A)
    v = np.stack([d.final(SOFTMAX, A, column)[[0, *kept[kept > 0]]] for column in ("entropy", *GEOMETRY)])

    def changes(v: Array) -> Array:
        m = v.mean(-1)
        return relative(m[:, 1:], m[:, :1])

    def deepest(v: Array) -> Array:
        return changes(v)[0].min(0)

    def geometry(v: Array) -> Array:
        entropy, rate, rank = changes(v)
        return np.where(entropy < FALL, np.minimum(rate, rank), np.nan)  # undefined where no entropy falls so far

    if v.shape[1] < 2:
        falls, *_ = fig08.parts(d)
        return [falls._replace(unsettled="softmax collapses at every lam above 0")]
    text = "the lesser change of log-det rate and effective rank, at the best lam where entropy falls by a fifth"
    return [
        Part("largest fall of entropy over lam, relative to lam = 0", v, deepest, "<", FALL),
        Part(text, v, lambda v: np.nanmax(geometry(v), 0), ">", -MARGIN),
    ]


@claim(
    "8",
    8,
    "softmax: entropy falls without geometric compression",
    ("at any lam where the entropy falls by a fifth and that does not collapse", _where_entropy_falls),
)
def fig08(d: Data) -> list[Part]:
    """Softmax entropy falls by a fifth at the largest lam; the log-det rate and the effective rank do not fall."""
    values = {column: d.final(SOFTMAX, A, column) for column in ("entropy", *GEOMETRY)}
    falls = changed("entropy", values["entropy"], -1, "the largest lam", "<", FALL)
    return [falls, *(changed(column, values[column], -1, "the largest lam", ">", -MARGIN) for column in GEOMETRY)]


@claim("9", 9, "softmax: the controller is active, and of limited use")
def fig09(d: Data) -> list[Part]:
    """The thermostat moves lam under softmax, by however little, and gains nothing on the best fixed lam."""
    moves = adaptive(d, SOFTMAX, B, lambda lam: (lam - lam[..., :1]).std(-1))  # exactly 0 for one that stands still
    v = np.stack([
        d.final(SOFTMAX, B, "test_loss"), d.final(SOFTMAX, A, "test_loss"), d.criterion(SOFTMAX, A, "test_loss")
    ])  # fmt: skip

    def relative_to_best(v: Array) -> Array:
        ours, fixed, criterion = v.mean(-1)
        return (ours.mean(0) - at_validated(fixed, criterion)) / fixed[0]

    return [
        mean_part("standard deviation of lam_t after warm-up, thermostat", moves, ">", 0, structural=MOVES),
        Part("test loss of the thermostat relative to the best fixed lam", v, relative_to_best, ">", -MARGIN),
    ]


def _modestly_higher(d: Data, margin: float) -> list[Part]:
    reward, at = d.final(SOFTMAX, C, "reward"), middle(d)

    def unsteady(v: Array) -> Array:
        (sd,) = sd_within(v[None], d.draws)
        return sd[-2:].mean(0) / sd[at]

    text = f"standard deviation over training seeds of {words('reward')} under {C}, two largest lam over the middle one"
    return [
        compared(d, SOFTMAX, "reward", C, A, ">", margin),
        Part(text, reward, unsteady, ">", 1 + margin, unit="×"),
    ]


@claim(
    "10",
    10,
    "softmax: the reward under rl_thermostat is modestly above that under fixed, and unstable at high lam",
    ("by any amount, without the margin of 5%", lambda d: _modestly_higher(d, 0)),
)
def fig10(d: Data) -> list[Part]:
    """With softmax the reward is higher under C than under A, and less steady at high lam than in the middle."""
    return _modestly_higher(d, MARGIN)
