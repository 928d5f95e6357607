"""How often the 95% interval of a part holds the truth: kinds of statistics, of units whose truth is known.

    python tests/claims/coverage.py 10 1000

prints it for 10 data sets from 1000 repetitions, as normal noise and as skewed noise (lognormal) have it.
"""

import sys
from collections.abc import Callable
from functools import partial

import numpy as np

from experiments.claims.judge import Part, assess, mean_part, quotient_part
from experiments.claims.statistics import at_validated, relative, sd_ratio, spread

BOWL = np.array([1.0, 0.9, 0.8, 0.75, 0.8, 0.9, 1.0, 1.2])[:, None]
"""A test loss over lam."""

Noise = Callable[..., np.ndarray]


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Noise of mean 0 and sd 1."""
    return rng.normal(size=shape)


def skewed(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Lognormal noise, of mean 0 and sd 1."""
    return (np.exp(rng.normal(size=shape)) - np.exp(0.5)) / np.sqrt(np.e * (np.e - 1))


def mean(noise: Noise, n: int) -> tuple[Part, float]:
    return mean_part("mean", noise(n), ">", 0), 0


def ratio(noise: Noise, n: int) -> tuple[Part, float]:
    shared = 0.06 * noise(n)
    return quotient_part("ratio", 1 + shared + 0.2 * noise(n), 2 + shared + 0.2 * noise(n), ">", 1), 0.5


def over_lam(noise: Noise, n: int) -> np.ndarray:
    """A test loss [lam, n] whose means over lam are a bowl, with what the seeds share."""
    return BOWL + 0.03 * noise(n) + 0.05 * noise(len(BOWL), n)


def range_over_lam(noise: Noise, n: int) -> tuple[Part, float]:
    flat = 1 + 0.3 * (over_lam(noise, n) - 1) + 0.035 * noise(len(BOWL), n)
    return Part("range", np.stack([flat, over_lam(noise, n)]), spread, "<", 1, unit="×"), 0.3


def validated(noise: Noise, n: int) -> tuple[Part, float]:
    def lowered(v: np.ndarray) -> np.ndarray:
        test, feedback = v.mean(-1)
        return relative(at_validated(test, feedback), test[0])

    shared = over_lam(noise, n)
    v = np.stack([shared + 0.03 * noise(len(BOWL), n) for _ in range(2)])
    return Part("validated", v, lowered, "<", -0.05), 0.75 - 1


def sd(noise: Noise, n: int) -> tuple[Part, float]:
    v = np.stack([0.5 * noise(4, 2 * n), noise(4, 2 * n)])
    return Part("sd", v, partial(sd_ratio, draws=2), "<", 1, draws=2, unit="×"), 0.5


KINDS = (mean, ratio, range_over_lam, validated, sd)


def coverage(kind: Callable[[Noise, int], tuple[Part, float]], noise: Noise, n: int, repetitions: int) -> float:
    """Return the share of repetitions whose interval holds the truth."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(repetitions):
        part, truth = kind(partial(noise, rng), n)
        held += bool(assess(part, 2000).estimate.holds(truth))
    return held / repetitions


if __name__ == "__main__":
    n, repetitions = map(int, sys.argv[1:3])
    for kind in KINDS:
        shares = {noise.__name__: coverage(kind, noise, n, repetitions) for noise in (normal, skewed)}
        print(n, kind.__name__, *(f"{name} {share:.3f}" for name, share in shares.items()), flush=True)  # noqa: T201
