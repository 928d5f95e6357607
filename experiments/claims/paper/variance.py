"""The paper's claims of Figures 11-15: variance over the base lam."""

import numpy as np
from numpy.typing import NDArray

from experiments.claims.claim import MARGIN, Data, claim
from experiments.claims.judge import Part, mean_part
from experiments.claims.paper.cells import means, measured
from experiments.claims.paper.parts import (
    MOVES,
    OFF_BOUNDS,
    VARIANCE,
    A,
    B,
    C,
    adaptive,
    bounded,
    compared,
    option,
    spikes,
    steadier_over_epochs,
    steadier_over_lam,
    steadier_over_seeds,
)
from experiments.claims.statistics import Array, relative, variation


@claim("11", 11, "variance: test loss under thermostat and rl_thermostat is steadier and lower")
def fig11(d: Data) -> list[Part]:
    """With variance, test loss under B and C is lower than under A, and depends less on the base lam."""
    lower = [compared(d, VARIANCE, "test_loss", regime, A, "<") for regime in (B, C)]
    return lower + [steadier_over_lam(d, VARIANCE, regime, 1 - MARGIN) for regime in (B, C)]


BROAD = 0.6
"""The share of lam that is broad. No margin is added: a lam counts from 5% on."""


def _contracts(d: Data, weights: Array, where: str) -> list[Part]:
    """Return the part that the gap is lower at a share of lam > 0; `weights` [lam > 0] say what each counts."""
    v = measured(d, VARIANCE, [A], "gap", lams=slice(1, None))

    def share(v: Array, *, with_collapse: bool = False) -> Array:
        zero, m = means(v)
        contracted = relative(m[0], zero[0]) < -MARGIN
        if not with_collapse:
            contracted &= ~d.collapsed(m[2:], zero[2:, None])
        return np.asarray((contracted * weights[:, None]).sum(0))

    def collapse(v: Array) -> NDArray[np.bool_]:
        return np.asarray((share(v, with_collapse=True) > BROAD) & (share(v) <= BROAD))

    text = f"share of {where} at which the gap is lower by 5% without collapse"
    return [Part(text, v, share, ">", BROAD, collapse)]


def _range_of_log_lam(d: Data) -> list[Part]:
    """Return the part with each lam > 0 counted by the log lam nearer to it than to another of the grid."""
    log = np.log(d.grid["lam0"].to_numpy()[1:])
    edges = np.concatenate([log[:1], (log[1:] + log[:-1]) / 2, log[-1:]])
    return _contracts(d, np.diff(edges) / (log[-1] - log[0]), "the range of log lam")


@claim(
    "12",
    12,
    "variance: the gap contracts over a broad range of lam",
    ("of the range of log lam, wherever the points of the grid lie", _range_of_log_lam),
)
def fig12(d: Data) -> list[Part]:
    """With variance, the gap contracts at 60% of lam > 0 or more."""
    above = d.grid.sizes["lam0"] - 1
    return _contracts(d, np.full(above, 1 / above), "lam > 0")


@claim("13", 13, "variance: rl_thermostat keeps the force lower and controlled")
def fig13(d: Data) -> list[Part]:
    """With variance, C's force is lower than A's and B's, and has no late spikes."""
    lower = [compared(d, VARIANCE, "force", C, regime, "<") for regime in (A, B)]
    return [*lower, bounded(C, spikes(d, VARIANCE, C))]


@claim("14", 14, "variance: the adaptive coefficient is not zero", of_path=True)
def fig14(d: Data) -> list[Part]:
    """With variance, the adaptive lam is twice its lower bound or more, and moves by however little."""
    parts = []
    for regime in (B, C):
        above = adaptive(d, VARIANCE, regime, lambda lam: lam.mean(-1)) / option(d, "lam_min")
        moved = adaptive(d, VARIANCE, regime, variation)
        text = f"mean lam_t over lam_min, {regime}"
        parts += [
            mean_part(text, above, ">", 2, unit="×", structural=OFF_BOUNDS),
            mean_part(f"total variation of lam_t after warm-up, {regime}", moved, ">", 0, structural=MOVES),
        ]
    return parts


@claim(
    "15",
    15,
    "variance: the reward under rl_thermostat is higher and steadier",
    (
        "steadier over epochs",
        lambda d: [compared(d, VARIANCE, "reward", C, A, ">"), steadier_over_epochs(d, VARIANCE, "reward", C, A)],
    ),
)
def fig15(d: Data) -> list[Part]:
    """With variance, C's reward is higher than A's, and steadier over seeds."""
    return [compared(d, VARIANCE, "reward", C, A, ">"), steadier_over_seeds(d, VARIANCE, "reward", C, A)]
