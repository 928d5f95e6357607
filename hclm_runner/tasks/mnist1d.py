"""MNIST-1D: ten shapes on a line of 40 points, small enough to compare architectures on a CPU."""

from typing import Annotated

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from hclm_runner.parts import part
from hclm_runner.ranges import Count, Probability
from hclm_runner.tasks.base import Split, Task

# The shapes of the digits 0 to 9, from the published code (Apache-2.0).
TEMPLATES = np.array(
    [
        [5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5],
        [5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5],
        [5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5],
        [5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5],
        [5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5],
        [5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5],
        [5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5],
        [5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5],
        [5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5],
        [5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5],
    ]
)

LENGTH, POINTS = 72, 40
"""Of the line that a shape is placed on, and of a sample."""


@part("task", "mnist1d", version=1)
def mnist1d(
    rng: np.random.Generator,
    *,
    image: bool,
    label_noise: Probability,
    train: Annotated[int, Ge(10)],
    feedback: Count,
    test: Count,
) -> Task:
    """MNIST-1D (Greydanus & Kobak 2020, arXiv:2011.14439), generated: 10 classes, 40 points a sample.

    Each shape is stretched, scaled and moved on a line of 72 points, correlated noise fills the rest of the line, white
    noise and a random slope are added, and 40 points are read off. Every split has as many samples of each class, to
    within one. Values are standardised by the mean and standard deviation of the training split. Published test
    accuracies, of 4000 training samples: logistic regression 32%, MLP 68%, CNN 94%.

    Args:
        rng: The only source of chance.
        image: Whether x is [n, 1, 40], a signal of one channel, or [n, 40].
        label_noise: Share of the labels that is redrawn uniformly, in every split.
        train: Samples.
        feedback: Samples.
        test: Samples.
    """

    def split(n: int) -> Split:
        y = rng.permutation(np.arange(n) % 10)
        x = signals(rng, y)
        return x, np.where(rng.random(n) < label_noise, rng.integers(10, size=n), y)

    splits = [split(n) for n in (train, feedback, test)]
    mean, deviation = splits[0][0].mean(), splits[0][0].std()

    def scaled(x: NDArray[np.float64], y: NDArray[np.int64]) -> Split:
        return ((x - mean) / deviation).reshape((-1, 1, POINTS) if image else (-1, POINTS)), y

    return Task(scaled(*splits[0]), scaled(*splits[1]), scaled(*splits[2]), classes=10)


def signals(rng: np.random.Generator, y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a signal of each class in y, [n, 40], before it is standardised."""
    n = len(y)
    shapes = (TEMPLATES - TEMPLATES.mean(1, keepdims=True)) / TEMPLATES.std(1, keepdims=True)
    shapes = (shapes - shapes[:, :1]) / 6
    size = shapes.shape[1]
    # The shape and the zeros behind it, 36 to 60 of them, are read at 72 points: how long it is on the line.
    ends = size - 1 + rng.integers(36, 61, size=n)
    at = ends[:, None] * np.linspace(0, 1, LENGTH)
    x = np.empty((n, LENGTH))
    for k, shape in enumerate(shapes):
        x[y == k] = np.interp(at[y == k], np.arange(size), shape, right=0)
    x *= 1 + 0.4 * (rng.random((n, 1)) - 0.5)
    # Where it stands: turned to the right by 0 to 47 points.
    turned = (np.arange(LENGTH) - rng.integers(48, size=(n, 1))) % LENGTH
    x, of_shape = (np.take_along_axis(values, turned, 1) for values in (x, at < size))
    x = np.where(of_shape, x, 0.25 * smooth(rng.standard_normal((n, LENGTH))))
    x += 0.02 * rng.standard_normal((n, LENGTH))
    x -= 0.75 * (rng.random((n, 1)) - 0.5) * np.linspace(-0.5, 0.5, LENGTH)
    where = np.linspace(0, LENGTH - 1, POINTS)
    left = np.minimum(where.astype(int), LENGTH - 2)
    read: NDArray[np.float64] = x[:, left] + (where - left) * (x[:, left + 1] - x[:, left])
    return read


def smooth(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return noise [n, length] under a Gaussian window of deviation 2, cut at 8 points; mirrored at its ends."""
    window = np.exp(-0.5 * (np.arange(-8, 9) / 2) ** 2)
    padded = np.pad(noise, ((0, 0), (8, 8)), mode="symmetric")
    smoothed: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(padded, 17, axis=1) @ (
        window / window.sum()
    )
    return smoothed
