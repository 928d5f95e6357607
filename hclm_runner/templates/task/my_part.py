"""A task of my own. Its keyword-only parameters are its options."""

import numpy as np

from hclm_runner import Task
from hclm_runner.ranges import Count, NonNegative


def my_part(rng: np.random.Generator, *, samples: Count = 256, noise: NonNegative = 0.1) -> Task:
    """Two classes in the plane: have the two coordinates the same sign?

    Args:
        rng: The only source of randomness: the same rng gives the same data.
        samples: Samples of each of the three splits.
        noise: Standard deviation of the noise on the coordinates, after the class is decided.

    Returns:
        x [n, ...] and the classes y [n], 0..K-1, of each split; for a regression y is [n, m], and classes=None.
    """

    def split() -> tuple[np.ndarray, np.ndarray]:
        x = rng.standard_normal((samples, 2))
        y = (x[:, 0] * x[:, 1] > 0).astype(int)
        return x + noise * rng.standard_normal(x.shape), y

    return Task(train=split(), feedback=split(), test=split(), classes=2)
