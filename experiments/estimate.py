"""An estimate with its 95% interval: how every number that has an uncertainty is held, computed with, shown and kept.

    >>> from experiments.estimate import Estimate
    >>> print(f"{Estimate(0.5, 0.4, 0.6, 10):.2f}")
    0.50 [0.40, 0.60]

Imports neither torch nor hydra.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import stdtrit

CONFIDENCE = 0.95

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its 95% interval, from n independent repetitions.

    All four are numbers, or arrays of one shape (numpy's or xarray's) that hold many estimates. NaN is what is not
    defined: of the value, or, where there are too few repetitions, of the ends alone.

    Arithmetic is for independent estimates whose intervals are Student's t with n - 1 degrees of freedom: errors to
    first order, and the degrees of freedom of Welch and Satterthwaite (Satterthwaite 1946, doi:10.2307/3002019), so
    that n of a result need not be whole. What does not vary has an interval of width 0. A plain number, or an array of
    numbers, is known exactly.
    """

    __array_ufunc__ = None  # so that numpy's numbers on the left leave the arithmetic to this class

    value: Any
    low: Any
    high: Any
    n: Any

    @classmethod
    def of_error(cls, value: Any, error: Any, n: Any) -> "Estimate":
        """Return the estimate with this standard error, its interval Student's t with n - 1 degrees of freedom."""
        half = _quantile(n) * error
        return cls(value, value - half, value + half, n)

    @classmethod
    def of_dict(cls, plain: Mapping[str, Any]) -> "Estimate":
        """Return what `as_dict` gave."""
        return cls(*(math.nan if plain[key] is None else plain[key] for key in ("value", "low", "high", "n")))

    @property
    def half(self) -> Any:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    @property
    def error(self) -> Any:
        """The standard error behind a t interval."""
        return self.half / _quantile(self.n)

    def holds(self, number: float) -> Any:
        """Return whether the interval holds a number; one that is not defined rules nothing out."""
        return np.logical_not((self.low > number) | (self.high < number))

    def at(self, pick: Callable[[Any], Any]) -> "Estimate":
        """Return the estimates that `pick` takes from each array, as in e.at(lambda each: each.sel(lam0=0.1))."""
        return Estimate(
            *(pick(part) if _is_array(part) else part for part in (self.value, self.low, self.high, self.n))
        )

    def item(self) -> "Estimate":
        """Return the estimate that arrays of one number each hold, as plain numbers."""
        return self.at(lambda part: part.item())

    def _single(self) -> "Estimate":
        """Return it as plain numbers.

        Raises:
            TypeError: If it holds many estimates.
        """
        sizes = {np.size(part) for part in (self.value, self.low, self.high, self.n)}
        if sizes != {1}:
            raise TypeError(f"this holds {max(sizes)} estimates: choose one, as in e.at(lambda each: each[0])")
        return self.item()

    def __neg__(self) -> "Estimate":
        """Return -x."""
        return Estimate(-self.value, -self.high, -self.low, self.n)

    def __add__(self, other: Any) -> "Estimate":
        """Return x + y of independent x and y; or of a y that is a number, known exactly."""
        if not isinstance(other, Estimate):
            return Estimate(self.value + other, self.low + other, self.high + other, self.n)
        return _combined(self.value + other.value, (self.error**2, self.n), (other.error**2, other.n))

    __radd__ = __add__

    def __sub__(self, other: Any) -> "Estimate":
        """Return x - y of independent x and y; or of a y that is a number, known exactly."""
        return self + -other

    def __rsub__(self, other: Any) -> "Estimate":
        """Return y - x of a y that is a number, known exactly."""
        return -self + other

    def __mul__(self, other: Any) -> "Estimate":
        """Return x y of independent x and y, its error to first order; or of a y that is a number, known exactly."""
        if not isinstance(other, Estimate):
            low, high = self.low * other, self.high * other
            return Estimate(self.value * other, np.minimum(low, high), np.maximum(low, high), self.n)
        parts = ((other.value * self.error) ** 2, self.n), ((self.value * other.error) ** 2, other.n)
        return _combined(self.value * other.value, *parts)

    __rmul__ = __mul__

    def __str__(self) -> str:
        """Return the value and its interval to three digits."""
        return format(self, ".3g")

    def __format__(self, spec: str) -> str:
        """Return "value [low, high]" with each number as `spec` says; with a leading ±, "value ± half the width".

        What is not defined is a dash, and an interval that is not is left out.

        Raises:
            TypeError: If it holds many estimates.
        """
        one = self._single()
        symmetric, spec = spec.startswith("±"), spec.removeprefix("±")
        if math.isnan(one.value):
            return "–"
        if math.isnan(one.low):
            return format(one.value, spec)
        if symmetric:
            return f"{one.value:{spec}} ± {one.half:{spec}}"
        return f"{one.value:{spec}} [{one.low:{spec}}, {one.high:{spec}}]"

    def as_dict(self) -> dict[str, Any]:
        """Return the four numbers as JSON has them: None for NaN and infinity, and a whole n as an int.

        Raises:
            TypeError: If it holds many estimates.
        """
        one = self._single()
        parts = {"value": one.value, "low": one.low, "high": one.high, "n": one.n}
        found = {name: float(part) if math.isfinite(part) else None for name, part in parts.items()}
        return found | {"n": int(one.n)} if found["n"] == np.floor(one.n) else found


def of_seeds(values: xr.DataArray, dim: str = "seed") -> Estimate:
    """Return the mean over seeds with its Student's t interval, whose ends are NaN for fewer than two seeds."""
    n = values.count(dim)
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # of older xarray, where there is no spread
        mean, spread = values.mean(dim), values.std(dim, ddof=1)
    return Estimate.of_error(mean, spread / np.sqrt(n), n)


def jackknife(statistic: Callable[..., float], *values: Array) -> Estimate:
    """Return a statistic of the seeds' means, with the standard error that leaving out each seed gives.

    error^2 = (r - 1)/r sum over j of (T_-j - mean T_-j)^2 (Miller 1974, doi:10.1093/biomet/61.1.1).

    Args:
        statistic: Of the means.
        values: What the r seeds measured, each [r, ...].
    """
    whole, *parts = (statistic(*means) for means in zip(*map(left_out, values), strict=True))
    r = len(parts)
    return Estimate.of_error(whole, float(np.sqrt((r - 1) * np.var(parts))), r)


def left_out(values: Array) -> Array:
    """Return the mean over seeds of values [r, ...], then those without each one of them, [1 + r, ...]."""
    r = len(values)
    return np.stack([values.mean(0), *(np.delete(values, j, axis=0).mean(0) for j in range(r))])


def _combined(value: Any, *parts: tuple[Any, Any]) -> Estimate:
    """Return a value whose variance is the sum of the parts' (variance, n).

    Where no part varies, n is that of parts that vary alike: a quotient of 0 and 0 has no value of its own.
    """
    variance = sum(part for part, _ in parts)
    weights = [part + (variance == 0) for part, _ in parts]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = (weight / sum(weights) for weight in weights)
        freedom = np.divide(1, sum(np.divide(share**2, n - 1) for share, (_, n) in zip(shares, parts, strict=True)))
    return Estimate.of_error(value, np.sqrt(variance), freedom + 1)


def _quantile(n: Any) -> Any:
    """Return the 97.5% quantile of Student's t with n - 1 degrees of freedom; NaN for n < 2."""
    return stdtrit(n - 1, (1 + CONFIDENCE) / 2)


def _is_array(part: Any) -> bool:
    return isinstance(part, np.ndarray | xr.DataArray)
