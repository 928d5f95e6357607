"""The loop as control engineers see it: its transfer function, its margins, and where it becomes unstable.

A loop is L(z), what comes back of a signal that went once round, with the sign turned: the closed loop is stable if all
roots of 1 + L = 0 are inside the unit circle. An epoch is a sample, q = z^-1 a delay of one epoch.

numpy alone: the loops have few coefficients, and the delay margin is wanted for loops sampled once an epoch. The tests
compare with python-control.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray
from scipy.optimize import brentq

from experiments.stability.identify import Array, Plant

GRID = np.concatenate([np.geomspace(1e-4, 0.05, 400), np.linspace(0.05, np.pi - 1e-6, 3000)[1:]])
"""Angular frequencies, radians an epoch, between which crossings are looked for."""


class Loop(NamedTuple):
    """L = numerator / denominator, polynomials in q, the constant first."""

    numerator: Array
    denominator: Array

    @property
    def roots(self) -> NDArray[np.complex128]:
        """The poles z of the closed loop: the roots of denominator + numerator."""
        return np.roots(polynomial.polyadd(self.denominator, self.numerator)).astype(complex)

    @property
    def stable(self) -> bool:
        """Whether the closed loop is."""
        return bool((np.abs(self.roots) < 1).all())

    def times(self, gain: float) -> "Loop":
        """Return the loop with so many times the gain."""
        return Loop(gain * self.numerator, self.denominator)

    def late(self, delay: int) -> "Loop":
        """Return the loop with so many further epochs of delay."""
        return Loop(np.concatenate([np.zeros(delay), self.numerator]), self.denominator)

    def at(self, omega: Array | float) -> NDArray[np.complex128]:
        """Return L at exp(i omega)."""
        q = np.exp(-1j * np.asarray(omega))
        return np.asarray(polynomial.polyval(q, self.numerator) / polynomial.polyval(q, self.denominator))


class Margins(NamedTuple):
    """How far a stable loop is from the boundary."""

    gain: float
    """By what all of it may be multiplied; infinite if by anything."""
    phase: float
    """What phase may be lost, degrees; infinite if |L| < 1 everywhere."""
    delay: float
    """What further delay there may be, epochs; infinite too."""


def thermostat(plant: Plant, kp: float, ki: float, smoothing: float, delay: int = 0) -> Loop:
    """Return the loop of `Thermostat` round a plant from log lam to log S, near its set point and within its clips.

    With a delay of d epochs more than the plant's own, L = -F C P q^d::

        F = smoothing / (1 - (1 - smoothing) q)     the moving average; log of it is that of log S to first order
        C = kp + ki q / (1 - q)                     v = kp e + I, and I <- I + ki e after it
        P = (b_1 + b_2 q + ...) q^(1 + d_P) / (1 - a_1 q - a_2 q^2 - ...)
    """
    control, integral = (np.array([kp, ki - kp]), np.array([1.0, -1.0])) if ki else (np.array([kp]), np.ones(1))
    average = np.array([1.0, smoothing - 1])
    return _round(plant, -smoothing * control, polynomial.polymul(average, integral)).late(delay)


def outer(plant: Plant, alpha: float, delay: int = 0) -> Loop:
    """Return the loop of `RLThermostat` (policy critique) round a plant from log S_ref to the critique c.

    m <- m - alpha (c - c0): L = alpha Q q^d / (1 - q), Q the plant, which holds the inner loop; d is `feedback.delay`.
    """
    return _round(plant, np.array([alpha]), np.array([1.0, -1.0])).late(delay)


def _round(plant: Plant, numerator: Array, denominator: Array) -> Loop:
    """Return the loop of a controller and a plant."""
    through = np.concatenate([np.zeros(1 + plant.delay), plant.b])
    return Loop(polynomial.polymul(numerator, through), polynomial.polymul(denominator, np.array([1.0, *-plant.a])))


def critical_gain(loop: Loop) -> float:
    """Return k* such that k L is stable for all 0 < k < k*, and is not just above; 0 if it is not at small k.

    The least 1 / |L| where L crosses the negative real axis; infinite where it does not.
    """
    least = min(_gains(loop), default=np.inf)
    return least if loop.times(least / 2 if np.isfinite(least) else 1.0).stable else 0.0


def margins(loop: Loop) -> Margins | None:
    """Return the margins of a loop; None if it is not stable."""
    if not loop.stable:
        return None
    at = np.array(list(_crossings(lambda omega: np.abs(loop.at(omega)) - 1)))
    phase = np.mod(np.angle(loop.at(at)) + np.pi, 2 * np.pi)
    return Margins(
        min((gain for gain in _gains(loop) if gain > 1), default=np.inf),
        float(np.degrees(phase).min(initial=np.inf)),
        float((phase / at).min(initial=np.inf)),
    )


def _gains(loop: Loop) -> list[float]:
    """Return the gains at which a root of the closed loop is on the unit circle, but for its point 1."""
    at = np.array([*_crossings(lambda omega: loop.at(omega).imag), np.pi])
    values = loop.at(at).real
    return [float(gain) for gain in -1 / values[values < 0]]


def _crossings(function: Callable[[Array], Array]) -> Iterable[float]:
    """Yield the frequencies in (0, pi) at which a function of omega changes its sign."""
    values = function(GRID)
    for i in np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0):
        yield float(brentq(function, GRID[i], GRID[i + 1], xtol=1e-13))
