"""Networks of neurons that store patterns: the dynamics of section 9.6.

P patterns xi [P, N] of signs are stored in N neurons with the energy of Krotov & Hopfield (arXiv:1606.01164),
E(s) = -sum over patterns of (xi . s)^n: n = 2 is Hopfield's network (doi:10.1073/pnas.79.8.2554), n = 3 the first
*dense* one. A neuron takes the sign that has the lower energy while the others stay as they are,

    s_i <- sgn( sum over patterns of (a + xi_i)^n - (a - xi_i)^n ),    a = sum over j != i of xi_j s_j,

which for n = 2 is the sign of Hebb's field without self-coupling. The load is alpha = P/N, the overlap with the first
pattern m = xi . s/N. All functions are for a batch of networks at once, and n is 2 or 3.
"""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

N = 1000
"""Neurons."""

HORIZON = 60
"""T, in updates of the whole state."""


def networks(P: int, count: int, m0: float, seed: int = 0, size: int | None = None) -> tuple[Array, Array]:
    """Return random patterns [count, P, N] and states [count, N] whose overlap with the first pattern is m0.

    `size` is another N.
    """
    chance, size = np.random.default_rng(seed), size or N
    xi = chance.choice([-1.0, 1.0], size=(count, P, size))
    flipped = chance.random((count, size)).argsort(axis=1) < round(size * (1 - m0) / 2)
    return xi, np.where(flipped, -xi[:, 0], xi[:, 0])


def projections(xi: Array, s: Array) -> Array:
    """Return xi . s, [count, P]."""
    return (xi @ s[..., None])[..., 0]


def energy(xi: Array, s: Array, n: int = 2) -> Array:
    """E = -sum over patterns of (xi . s)^n, [count]."""
    return -(projections(xi, s) ** n).sum(axis=1)


def field(xi: Array, s: Array, n: int) -> Array:
    """Return half the energy that each neuron saves by being +1 rather than -1, up to a factor, [count, N].

    With p = xi . s and a = p - xi_i s_i, and the xi being signs, n = 2 leaves 4 (xi_i p - s_i) and n = 3 leaves
    xi_i (6 p^2 + 8) - 12 s_i p. Summed over patterns these are products of matrices.
    """
    p = projections(xi, s)
    if n == 2:
        weight, own = p, float(p.shape[1])
    else:
        weight, own = 3 * p**2 + 4, 6 * p.sum(axis=1, keepdims=True)
    return (weight[:, None] @ xi)[:, 0] - own * s


def together(xi: Array, s: Array, n: int = 2) -> Array:
    """Return the states after all neurons have been updated at once; one without a field stays as it is."""
    h = field(xi, s, n)
    return np.where(h == 0, s, np.sign(h))


def one_by_one(xi: Array, s: Array, n: int = 2, seed: int = 0) -> Array:
    """Return the states after each neuron has been updated once, in a random order that the networks share."""
    s, p = s.copy(), projections(xi, s)
    for i in np.random.default_rng(seed).permutation(s.shape[1]):
        a = p - xi[..., i] * s[:, i, None]
        h = ((a + xi[..., i]) ** n - (a - xi[..., i]) ** n).sum(axis=1)
        s[:, i] = np.where(h == 0, s[:, i], np.sign(h))
        p = a + xi[..., i] * s[:, i, None]
    return s


def states(xi: Array, s: Array, update: Callable[[Array, Array], Array], horizon: int) -> Array:
    """Return the states at times 0..horizon, [1 + horizon, count, N]."""
    path = [s]
    for _ in range(horizon):
        path.append(update(xi, path[-1]))
    return np.array(path)


@cache
def overlaps(alpha: float, m0: float = 0.8, count: int = 40, n: int = 2) -> Array:
    """Return m(t) of networks at this load, [1 + HORIZON, count]: the seeds are kept apart.

    One network after the other: its patterns then stay in the processor's cache, where those of all would not.
    """
    xi, s = networks(round(alpha * N), count, m0)
    return np.concatenate([_overlap(xi[k : k + 1], s[k : k + 1], n) for k in range(count)], axis=1)


@cache
def larger(alpha: float, size: int, count: int = 40) -> Array:
    """Return m(t) from 0.8 in networks of another size, [1 + HORIZON, count]; one at a time, for they are large."""
    starts = (networks(round(alpha * size), 1, 0.8, seed, size) for seed in range(count))
    return np.concatenate([_overlap(xi, s, 2) for xi, s in starts], axis=1)


def _overlap(xi: Array, s: Array, n: int) -> Array:
    return (xi[:, 0] * states(xi, s, partial(together, n=n), HORIZON)).mean(axis=-1)
