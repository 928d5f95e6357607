"""Tasks: the data of one run, drawn from its seed.

A task is a function ``task(rng, *, options) -> Task``. Features come as float arrays [n, features]; labels as
integers 0..K-1 [n], or as float targets [n, m] for regression. The feedback split is for the annotator and is never
trained on.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from hclm_runner.config import ConfigError
from hclm_runner.ranges import Count, NonNegative, Probability, Whole

Split = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class Task:
    """The three splits (x, y) of one run. `classes` is None for regression."""

    train: Split
    feedback: Split
    test: Split
    classes: int | None

    def __post_init__(self) -> None:
        """Refuse data that no run could learn from.

        Raises:
            ConfigError: On non-finite features or targets, splits of different width, an empty split, or labels that
                are not integers 0..classes-1, at least two of them in the training split.
        """
        key = "task._target_"
        for name, (x, y) in self.splits().items():
            if x.ndim != 2 or len(x) == 0 or len(y) != len(x) or x.shape[1] != self.train[0].shape[1]:
                raise ConfigError(
                    key, None, f"x [n, features] and y [n, ...] in the {name} split, got {x.shape} and {y.shape}"
                )
            if not np.isfinite(x).all() or not np.isfinite(y).all():
                bad = int((~np.isfinite(x)).sum() + (~np.isfinite(y)).sum())
                raise ConfigError(key, None, f"finite numbers, got {bad} NaN or infinite entries in the {name} split")
            if self.classes is None:
                if y.ndim != 2 or y.shape[1] != self.train[1].shape[1]:
                    raise ConfigError(
                        key, None, f"targets [n, m], m the same, for regression (classes=None), got {y.shape} in {name}"
                    )
            elif y.ndim != 1 or y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= self.classes:
                raise ConfigError(key, None, f"integer labels 0..{self.classes - 1}, [n], in the {name} split")
        if self.classes is not None and len(np.unique(self.train[1])) < 2:
            raise ConfigError(key, None, "at least two classes in the training split, got one")

    def splits(self) -> dict[str, Split]:
        """Return the splits by name."""
        return {"train": self.train, "feedback": self.feedback, "test": self.test}


def mixture_centres(
    rng: np.random.Generator, *, classes: int, clusters: int, separation: float, signal: int
) -> NDArray[np.float64]:
    """Return the centres of `gaussian_mixture`, [classes, clusters, signal]: the first that it draws from its rng."""
    centres: NDArray[np.float64] = rng.standard_normal((classes, clusters, signal)) * separation / np.sqrt(2)
    return centres


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
    N(0, I), beside `nuisance` dimensions ~ N(0, I). A share `label_noise` of the labels of every split is redrawn
    uniformly over all classes.
    """
    centres = mixture_centres(rng, classes=classes, clusters=clusters, separation=separation, signal=signal)

    def split(n: int) -> Split:
        y = rng.integers(classes, size=n)
        x = rng.standard_normal((n, signal + nuisance))
        x[:, :signal] += centres[y, rng.integers(clusters, size=n)]
        return x, np.where(rng.random(n) < label_noise, rng.integers(classes, size=n), y)

    return Task(split(train), split(feedback), split(test), classes)


def digits(rng: np.random.Generator, *, train: Count, feedback: Count, label_noise: Probability) -> Task:
    """8 x 8 handwritten digits, 10 classes, 1797 samples of 64 features (scikit-learn's `load_digits`); see `_real`."""
    from sklearn.datasets import load_digits

    return _real(rng, load_digits(return_X_y=True), train, feedback, label_noise)


def breast_cancer(rng: np.random.Generator, *, train: Count, feedback: Count, label_noise: Probability) -> Task:
    """Breast cancer Wisconsin: malignant (0) or benign (1), 569 samples of 30 features (scikit-learn); see `_real`."""
    from sklearn.datasets import load_breast_cancer

    return _real(rng, load_breast_cancer(return_X_y=True), train, feedback, label_noise)


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
