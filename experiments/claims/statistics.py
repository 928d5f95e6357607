"""What claims read off trajectories and over runs: pure functions of arrays.

Of a path [..., epoch]: one number each. Of [..., runs]: what a bootstrap resamples; it takes the means over runs
first, then goes over or along lam.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WORST = 1e9
"""The size of what a run that diverged scores: the worst loss, gap or force; negative, the worst reward or accuracy."""

# --- of a trajectory [..., epoch] -----------------------------------------------------------------------------------


def late(path: Array) -> Array:
    """Return the last quarter of the epochs."""
    return path[..., -max(2, path.shape[-1] // 4) :]


def half_time(F: Array) -> Array:
    """Return the first epoch after the peak with F <= F_max / 2; the number of epochs if there is none.

    NaN for a path that is not all there.
    """
    epochs = np.arange(F.shape[-1])
    fallen = (F.max(-1, keepdims=True) / 2 >= F) & (epochs > F.argmax(-1)[..., None])
    return where_whole(F, np.where(fallen.any(-1), fallen.argmax(-1), F.shape[-1]))


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


def where_whole(path: Array, value: NDArray[Any]) -> Array:
    """Return a value of each path, NaN where the path is not all there: a comparison with NaN is False, not NaN."""
    return np.where(np.isfinite(path).all(-1), value, np.nan)


def whole(v: Array) -> NDArray[np.bool_]:
    """Return which runs of v [..., runs] are defined in every arm."""
    return np.asarray(np.isfinite(v).all(axis=tuple(range(v.ndim - 1))))


# --- of [..., seeds]: means over seeds first, then over or along lam ------------------------------------------------


def mean(v: Array) -> Array:
    """Return the mean over lam and seeds; v [lam, ..., seeds]."""
    return v.mean(-1).mean(0)


def relative(m: Array, zero: Array) -> Array:
    """Return the change from `zero` to m as a share of the size of `zero`: of its sign too where that is negative."""
    return (m - zero) / np.abs(zero)


def at_validated(m: Array, criterion: Array) -> Array:
    """Return m [lam, ...] at the lam with the least of what chooses it, as `Data.criterion` has it."""
    return np.take_along_axis(m, criterion.argmin(0)[None], 0)[0]


def spread(v: Array) -> Array:
    """Return the range over lam of the seeds' mean, of v[0] over v[1]; v [2, lam, ..., seeds]."""
    width = np.ptp(v.mean(-1), axis=1)
    return width[0] / width[1]


def ratio(v: Array) -> Array:
    """Return the mean over lam and seeds of v[0] over that of v[1]; v [2, lam, ..., seeds]."""
    m = v.mean(-1).mean(1)
    return m[0] / m[1]


def quotient(v: Array) -> Array:
    """Return the mean of v[0] over the size of that of v[1]; v [2, ..., runs]."""
    over, under = v.mean(-1)
    return over / np.abs(under)


def sd_within(v: Array, draws: int) -> Array:
    """Return the standard deviation over the training seeds of a data set; v [arm, lam, ..., runs].

    How hard a data set is moves all arms, and is no unsteadiness of any. With two seeds a data set or more: the root
    mean square over data sets of the sd over the seeds of one. With one seed a data set: the sd of what is left when
    the data set's mean over all arms and lam is taken off, which draws the arms' sds together.

    Args:
        v: Runs in the order of the data sets.
        draws: Seeds of each data set.
    """
    if draws == 1:
        return np.asarray((v - v.mean((0, 1))).std(-1, ddof=1))
    return np.sqrt(v.reshape(*v.shape[:-1], -1, draws).var(-1, ddof=1).mean(-1))


def sd_ratio(v: Array, draws: int = 1) -> Array:
    """Return the mean over lam of the sd within a data set, v[0]'s over v[1]'s; v [2, lam, ..., runs]."""
    sd = sd_within(v, draws).mean(1)
    return sd[0] / sd[1]


def at_same_lam(of_seeds: Callable[[Array], Array], v: Array) -> Array:
    """Return the geometric mean over lam of of_seeds(v[0]) / of_seeds(v[1]), for what spans decades over lam.

    Lam at which a ratio is undefined are left out.

    Args:
        of_seeds: Reduces the last axis.
        v: [2, lam, ..., seeds].
    """
    x = np.log(of_seeds(v))
    return np.exp(np.nanmean(x[0] - x[1], 0))


def mean_of_seeds(v: Array) -> Array:
    """Return the mean over seeds."""
    return v.mean(-1)


def median_of_seeds(v: Array) -> Array:
    """Return the median over seeds."""
    return np.median(v, -1)


def variation_of_seeds(v: Array) -> Array:
    """Return the coefficient of variation over seeds."""
    return v.std(-1, ddof=1) / v.mean(-1)
