"""The reference task."""

from typing import Annotated

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from hclm_runner.parts import part
from hclm_runner.ranges import Count, NonNegative, Probability, Whole
from hclm_runner.tasks.base import Split, Task


def mixture_centres(
    rng: np.random.Generator, *, classes: int, clusters: int, separation: float, signal: int
) -> NDArray[np.float64]:
    """Return the centres of `gaussian_mixture`, [classes, clusters, signal]: the first that it draws from its rng."""
    centres: NDArray[np.float64] = rng.standard_normal((classes, clusters, signal)) * separation / np.sqrt(2)
    return centres


@part("task", "gaussian_mixture", version=1)
def gaussian_mixture(
    rng: np.random.Generator,
    *,
    classes: Annotated[int, Ge(2)],
    clusters: Count,
    separation: NonNegative,
    signal: Count,
    nuisance: Whole,
    label_noise: Probability,
    train: Count,
    feedback: Count,
    test: Count,
) -> Task:
    """Gaussian mixture with nuisance dimensions and label noise (the reference task).

    Each class has `clusters` centres ~ N(0, I) separation/sqrt(2) in `signal` dimensions; a sample is its centre plus
    N(0, I), and `nuisance` more dimensions ~ N(0, I). A share `label_noise` of the labels of every split is redrawn
    uniformly over all classes.
    """
    centres = mixture_centres(rng, classes=classes, clusters=clusters, separation=separation, signal=signal)

    def split(n: int) -> Split:
        y = rng.integers(classes, size=n)
        x = rng.standard_normal((n, signal + nuisance))
        x[:, :signal] += centres[y, rng.integers(clusters, size=n)]
        return x, np.where(rng.random(n) < label_noise, rng.integers(classes, size=n), y)

    return Task(split(train), split(feedback), split(test), classes)
