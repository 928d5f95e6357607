"""The paper's claims of Figures 5-10: softmax over the base lam."""

from functools import partial

import numpy as np

from experiments.claims.claim import MARGIN, Data, claim
from experiments.claims.judge import Part
from experiments.claims.paper.parts import LOGDET, SOFTMAX, A, B, C, after_warmup, compared, words
from experiments.claims.statistics import (
    Array,
    at_same_lam,
    at_validated,
    change,
    mean,
    median_of_seeds,
    relative,
    variation_of_seeds,
)


@claim("5", 5, "softmax: no stable improvement in test loss as lam grows")
def fig05(d: Data) -> list[Part]:
    """Test loss at the validated lam is not lower than at lam = 0."""
    v = np.stack([d.final(SOFTMAX, A, column) for column in ("test_loss", "feedback_loss")])

    def best(v: Array) -> Array:
        test, feedback = v.mean(-1)
        return relative(at_validated(test, feedback), test[0])

    return [Part("test loss at the validated lam, relative to lam = 0", v, best, ">", -MARGIN)]


@claim("6", 6, "softmax: the gap does not contract, and worsens at high lam")
def fig06(d: Data) -> list[Part]:
    """The gap is lower at no lam, and higher at the two largest."""
    gap = d.final(SOFTMAX, A, "gap")

    def top(v: Array) -> Array:
        m = v.mean(-1)
        return relative(m[-2:].mean(0), m[0])

    each = [
        Part(f"gap at lam = {lam:g}, relative to lam = 0", gap, partial(change, at=at), ">", -MARGIN)
        for at, lam in enumerate(d.grid["lam0"].to_numpy()[1:], 1)
    ]
    return [*each, Part("gap at the two largest lam, relative to lam = 0", gap, top, ">", MARGIN)]


@claim("7", 7, "softmax: the force is small and noisy")
def fig07(d: Data) -> list[Part]:
    """The softmax force is smaller than the log-det's at the same lam, and varies more over seeds."""
    parts = []
    for column, name in (("force_ratio", "lam F / |grad L|"), ("force", "raw force F")):
        v = np.stack([d.final(surrogate, A, column)[1:] for surrogate in (SOFTMAX, LOGDET)])
        parts += [
            Part(
                f"median over seeds of {name}, softmax over logdet",
                v,
                partial(at_same_lam, median_of_seeds),
                "<",
                1,
                unit="×",
            ),
            Part(
                f"variation over seeds of {name}, softmax over logdet",
                v,
                partial(at_same_lam, variation_of_seeds),
                ">",
                1,
                unit="×",
            ),
        ]
    return parts


@claim("8", 8, "softmax: entropy falls without geometric compression")
def fig08(d: Data) -> list[Part]:
    """Softmax entropy falls by a fifth at the largest lam; the log-det rate and the effective rank do not fall."""
    rows = (("entropy", "<", -0.2), ("logdet_rate", ">", -MARGIN), ("effective_rank", ">", -MARGIN))
    return [
        Part(
            f"{words(column)} at the largest lam, relative to lam = 0",
            d.final(SOFTMAX, A, column),
            change,
            sense,
            bound,
        )
        for column, sense, bound in rows
    ]


@claim("9", 9, "softmax: the controller is active, and of limited use")
def fig09(d: Data) -> list[Part]:
    """The thermostat moves lam under softmax, and gains nothing on the best fixed lam."""
    lam = after_warmup(d, d.path(SOFTMAX, B, "lam"))
    moves = (lam - lam[..., :1]).std(-1)  # exactly 0 for one that stands still
    v = np.stack([
        d.final(SOFTMAX, B, "test_loss"), d.final(SOFTMAX, A, "test_loss"), d.final(SOFTMAX, A, "feedback_loss")
    ])  # fmt: skip

    def relative_to_best(v: Array) -> Array:
        ours, fixed, feedback = v.mean(-1)
        return (ours.mean(0) - at_validated(fixed, feedback)) / fixed[0]

    return [
        Part("standard deviation of lam_t after warm-up, thermostat", moves, mean, ">", 0),
        Part("test loss of the thermostat relative to the best fixed lam", v, relative_to_best, ">", -MARGIN),
    ]


@claim("10", 10, "softmax: the reward under rl_thermostat is modestly above that under fixed, and unstable at high lam")
def fig10(d: Data) -> list[Part]:
    """With softmax the reward is higher under C than under A, and less steady at high lam than in the middle."""
    reward = d.final(SOFTMAX, C, "reward")
    middle = 1 + (len(reward) - 2) // 2

    def unsteady(v: Array) -> Array:
        sd = v.std(-1, ddof=1)
        return sd[-2:].mean(0) / sd[middle]

    return [
        compared(d, SOFTMAX, "reward", C, A, ">"),
        Part(
            f"standard deviation over seeds of the reward under {C}, two largest lam over the middle one",
            reward,
            unsteady,
            ">",
            1,
            unit="×",
        ),
    ]
