"""Real data that ship with scikit-learn."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hclm_runner.parts import part
from hclm_runner.ranges import Count, Probability
from hclm_runner.refusal import ConfigError
from hclm_runner.tasks.base import Split, Task


@part("task", "digits", version=1)
def digits(rng: np.random.Generator, *, train: Count, feedback: Count, label_noise: Probability) -> Task:
    """8 x 8 handwritten digits, 10 classes, 1797 samples of 64 features (scikit-learn's `load_digits`); see `_real`."""
    from sklearn.datasets import load_digits

    return _real(rng, load_digits(return_X_y=True), train, feedback, label_noise)


@part("task", "breast_cancer", version=1)
def breast_cancer(rng: np.random.Generator, *, train: Count, feedback: Count, label_noise: Probability) -> Task:
    """Breast cancer Wisconsin: malignant (0) or benign (1), 569 samples of 30 features (scikit-learn); see `_real`."""
    from sklearn.datasets import load_breast_cancer

    return _real(rng, load_breast_cancer(return_X_y=True), train, feedback, label_noise)


@part("task", "wine", version=1)
def wine(rng: np.random.Generator, *, train: Count, feedback: Count, label_noise: Probability) -> Task:
    """Wine cultivars, 3 classes, 178 samples of 13 features (`load_wine`); see `_real`."""
    from sklearn.datasets import load_wine

    return _real(rng, load_wine(return_X_y=True), train, feedback, label_noise)


def _real(rng: np.random.Generator, data: Split, train: int, feedback: int, label_noise: float) -> Task:
    """Split at random, stratified by class; the rest is the test split.

    Features are standardised by the training split's mean and standard deviation (a constant one is only centred),
    labels redrawn uniformly with probability `label_noise` in every split.
    """
    from sklearn.model_selection import train_test_split

    x, y = data
    K = int(y.max()) + 1
    most = len(x) - K  # the test split must have room for every class
    if train + feedback > most:
        raise ConfigError("task.train", train, f"train + feedback of at most {most} of the {len(x)} samples")
    for key, size in (("task.train", train), ("task.feedback", feedback)):
        if size < K:
            raise ConfigError(key, size, f"at least one sample for each of the {K} classes")

    def part(rows: NDArray[Any], size: int) -> list[NDArray[Any]]:
        seed = int(rng.integers(2**32))
        halves: list[NDArray[Any]] = train_test_split(rows, train_size=size, stratify=y[rows], random_state=seed)
        return halves

    train_rows, rest = part(np.arange(len(x)), train)
    feedback_rows, test_rows = part(rest, feedback)
    scale = x[train_rows].std(0)
    x = (x - x[train_rows].mean(0)) / np.where(scale > 0, scale, 1)
    y = np.where(rng.random(len(y)) < label_noise, rng.integers(K, size=len(y)), y)
    train_split, feedback_split, test_split = ((x[rows], y[rows]) for rows in (train_rows, feedback_rows, test_rows))
    return Task(train_split, feedback_split, test_split, classes=K)
