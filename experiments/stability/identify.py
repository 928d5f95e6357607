"""The plant that a controller sees, identified: how what is measured answers to what the controller sets.

Imports neither torch nor hydra.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter, lfiltic

Array = NDArray[np.float64]


class Order(NamedTuple):
    """The structure of a plant: how many coefficients, and how many epochs it needs beyond the one that any needs."""

    a: int
    b: int
    delay: int

    @property
    def memory(self) -> int:
        """How many epochs before the newest one a prediction reads."""
        return max(self.a, self.b + self.delay) - 1


ORDERS = tuple(Order(a, b, delay) for a in (1, 2, 3) for b in (1, 2, 3) for delay in (0, 1))
"""From which the order is chosen; an outer loop's plant holds the inner loop, and needs three."""


class Plant(NamedTuple):
    """A linear plant: y_{t+1} = a_1 y_t + a_2 y_{t-1} + ... + b_1 u_{t-d} + b_2 u_{t-d-1} + ... (ARX; Ljung 1999, 4.2).

    u_t is what is set at the end of epoch t, and is in force in epoch t + 1; y_{t+1} is measured at that one's end.
    """

    a: Array
    b: Array
    delay: int
    """d, epochs."""

    @property
    def gain(self) -> float:
        """The answer to a lasting unit of u: sum b / (1 - sum a)."""
        return float(self.b.sum() / (1 - self.a.sum()))

    @property
    def poles(self) -> NDArray[np.complex128]:
        """The roots of z^n - a_1 z^(n-1) - ...; the plant is stable if all are inside the unit circle."""
        return np.roots([1.0, *-self.a]).astype(complex)

    @property
    def time_constant(self) -> float:
        """Epochs in which the slowest part falls to 1/e, -1 / log |z|; infinite for a plant that is not stable."""
        slowest = float(np.abs(self.poles).max())
        return -1 / float(np.log(slowest)) if 0 < slowest < 1 else (0.0 if slowest == 0 else float("inf"))

    def simulate(self, u: Array, y: Array | None = None) -> Array:
        """Return y [T] from u [T] alone: at rest before, or from the first epochs of a measured y on."""
        through, back = np.concatenate([np.zeros(1 + self.delay), self.b]), np.array([1.0, *-self.a])
        if y is None:
            return np.asarray(lfilter(through, back, u))
        known = Order(len(self.a), len(self.b), self.delay).memory + 1
        state = lfiltic(through, back, y[:known][::-1], u[:known][::-1])
        return np.concatenate([y[:known], lfilter(through, back, u[known:], zi=state)[0]])


class Moments(NamedTuple):
    """What least squares needs of each seed: the sums over epochs of x x^T and x y, x the regressors."""

    xx: Array
    """[seeds, k, k]."""
    xy: Array
    """[seeds, k]."""
    order: Order

    def plant(self, seeds: Sequence[int] | NDArray[np.intp]) -> Plant:
        """Return the least-squares plant of some seeds, which may repeat."""
        found = np.linalg.lstsq(self.xx[seeds].sum(0), self.xy[seeds].sum(0), rcond=None)[0]
        return Plant(found[: self.order.a], found[self.order.a :], self.order.delay)


class Identified(NamedTuple):
    """A plant with what is known of its uncertainty."""

    plant: Plant
    order: Order
    fit: float
    """1 - ||y - y'||^2 / ||y||^2 of the response y' that the plant of the other seeds gives for each seed."""
    resampled: tuple[Plant, ...]
    """Plants of seeds drawn with replacement: where a function of the plant lies over them is its interval."""


def moments(u: Array, y: Array, order: Order) -> Moments:
    """Return the sums of least squares for u and y [seeds, T]."""
    x = np.stack([_regressors(y, u, order, t) for t in range(order.memory, y.shape[1] - 1)], 1)
    target = y[:, order.memory + 1 :]
    return Moments(np.einsum("stk,stl->skl", x, x), np.einsum("stk,st->sk", x, target), order)


def _regressors(y: Array, u: Array, order: Order, t: int) -> Array:
    """Return what predicts y_{t+1}, [..., a + b]."""
    past = [y[..., t - i] for i in range(order.a)] + [u[..., t - order.delay - i] for i in range(order.b)]
    return np.stack(past, -1)


def fit(u: Array, y: Array, order: Order) -> float:
    """Return how well the plant of all other seeds foretells a seed's response from its u, first epochs apart: <= 1.

    -inf if that plant's own response grows beyond all bounds, and where there is no response.
    """
    seeds = np.arange(len(y))
    known = moments(u, y, order)
    foretold = np.stack([known.plant(seeds[seeds != i]).simulate(u[i], y[i]) for i in seeds])
    with np.errstate(over="ignore", invalid="ignore"):
        error, size = ((foretold - y) ** 2).sum(), (y**2).sum()
    return float(1 - error / size) if np.isfinite(error) and size > 0 else -np.inf


def identify(u: Array, y: Array, resamples: int, orders: Iterable[Order] = ORDERS) -> Identified:
    """Return the plant from u to y, both [seeds, T] and 0 without a signal.

    Least squares over all seeds and epochs. The order is the smallest of those whose fit (`fit`) is within 1% of the
    best one's. The seeds are the unit of the bootstrap.

    Raises:
        ValueError: If there are fewer than 3 seeds.
    """
    if len(y) < 3:
        raise ValueError(f"3 seeds or more are needed, got {len(y)}")
    fits = {order: fit(u, y, order) for order in orders}
    enough = max(fits.values()) - 0.01
    order = min((order for order, value in fits.items() if value >= enough), key=lambda one: (sum(one), -fits[one]))
    known, draw = moments(u, y, order), np.random.default_rng(0)
    again = tuple(known.plant(draw.integers(0, len(y), len(y))) for _ in range(resamples))
    return Identified(known.plant(np.arange(len(y))), order, fits[order], again)


def interval(values: Iterable[float]) -> tuple[float, float]:
    """Return the ends of the 95% percentile interval of resampled values."""
    low, high = np.quantile(np.array(list(values)), [0.025, 0.975], method="nearest")
    return float(low), float(high)
