"""The paper's claims of Figures 11-15: variance over the base lam."""

from functools import partial

import numpy as np

from experiments.claims.claim import MARGIN, Data, claim
from experiments.claims.judge import Part
from experiments.claims.paper.parts import (
    VARIANCE,
    A,
    B,
    C,
    after_warmup,
    bounded,
    compared,
    option,
    steadier_over_lam,
    steadier_over_seeds,
)
from experiments.claims.statistics import Array, mean, relative, variation, whole


@claim("11", 11, "variance: test loss under thermostat and rl_thermostat is steadier and lower")
def fig11(d: Data) -> list[Part]:
    """With variance, test loss under B and C is lower than under A, and depends less on the base lam."""
    lower = [compared(d, VARIANCE, "test_loss", regime, A, "<") for regime in (B, C)]
    return lower + [steadier_over_lam(d, VARIANCE, regime, 1) for regime in (B, C)]


@claim("12", 12, "variance: the gap contracts over a broad range of lam")
def fig12(d: Data) -> list[Part]:
    """With variance, the gap contracts at 60% of lam > 0 or more."""
    v = np.stack([d.final(VARIANCE, A, column) for column in ("gap", "test_loss", "train_loss")])

    def share(v: Array, *, with_collapse: bool) -> Array:
        gap, test, train = v.mean(-1)
        contracted = relative(gap[1:], gap[0]) < -MARGIN
        if not with_collapse:
            contracted &= ~d.collapsed(test[1:], test[0], train[1:])
        return contracted.mean(0)

    text = "share of lam > 0 at which the gap is lower by 5% without collapse"
    there = v[..., whole(v)]
    collapsed = bool(share(there, with_collapse=True) >= 0.6 > share(there, with_collapse=False))
    return [Part(text, v, partial(share, with_collapse=False), ">", 0.6, collapsed)]


@claim("13", 13, "variance: rl_thermostat keeps the force lower and controlled")
def fig13(d: Data) -> list[Part]:
    """With variance, C's force is lower than A's and B's, and has no late spikes."""
    lower = [compared(d, VARIANCE, "force", C, regime, "<") for regime in (A, B)]
    return [
        *lower,
        bounded(d, VARIANCE, C),
    ]


@claim("14", 14, "variance: the adaptive coefficient is not zero")
def fig14(d: Data) -> list[Part]:
    """With variance, the adaptive lam is off its lower bound and moves."""
    parts = []
    for regime in (B, C):
        lam = after_warmup(d, d.path(VARIANCE, regime, "lam"))
        parts += [
            Part(f"mean lam_t over lam_min, {regime}", lam.mean(-1) / option(d, "lam_min"), mean, ">", 2, unit="×"),
            Part(f"total variation of lam_t after warm-up, {regime}", variation(lam), mean, ">", 0),
        ]
    return parts


@claim("15", 15, "variance: the reward under rl_thermostat is higher and steadier")
def fig15(d: Data) -> list[Part]:
    """With variance, C's reward is higher and steadier than A's."""
    return [compared(d, VARIANCE, "reward", C, A, ">"), steadier_over_seeds(d, VARIANCE, "reward", C, A)]
