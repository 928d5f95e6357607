"""What is measured of a loop in a run: how far it swings, when it settles, how far it overshoots.

Imports neither torch nor hydra.
"""

import numpy as np

from experiments.stability.identify import Array

UNSTABLE = float(np.log(2))
"""The swing of a logarithm above which a loop is called unstable: a factor of two. Set before a map was measured."""

SETTLED = 0.1
"""|log(S / S_ref)| within which a loop has settled: 10%."""


def swing(x: Array) -> Array:
    """Return how far x [..., T + 1] swings in the second half, from trough to peak: [...].

    The span from its 5% to its 95% quantile, once a parabola is taken out: what drifts is no oscillation. A limit cycle
    of amplitude A has 1.98 A. A run that diverged, NaN, swings without bound.
    """
    tail = x[..., x.shape[-1] // 2 + 1 :]
    trend = np.linalg.qr(np.vander(np.linspace(-1, 1, tail.shape[-1]), 3))[0]
    low, high = np.quantile(tail - (tail @ trend) @ trend.T, [0.05, 0.95], axis=-1)
    return np.where(np.isnan(high), np.inf, high - low)


def settling(e: Array) -> Array:
    """Return from which epoch on |e| <= `SETTLED` until the end, for e = log(S / S_ref) [..., T + 1]; NaN if never."""
    inside = np.abs(e) <= SETTLED  # NaN is outside
    outside = e.shape[-1] - np.argmax(~inside[..., ::-1], axis=-1)
    first = np.where(inside.all(-1), 0, outside)
    return np.where(inside[..., -1], first, np.nan)


def overshoot(e: Array, warmup: int) -> Array:
    """Return how far e [..., T + 1] goes beyond 0 once control has begun, to the side it did not come from: >= 0.

    As a logarithm: 0.1 is 10%. 0 if it never gets to the other side.
    """
    after = e[..., warmup:]
    beyond = -np.sign(after[..., :1]) * after
    return np.maximum(np.max(np.where(np.isnan(beyond), -np.inf, beyond), axis=-1), 0.0)
