"""What a task is: the data of one run, drawn from its seed."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hclm_runner.refusal import ConfigError

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


class Draw(Protocol):
    """A function of a random generator; its keyword-only parameters are its options."""

    def __call__(self, rng: np.random.Generator, **options: Any) -> Task:
        """Return the data that follow from `rng`, and from nothing else.

        Features come as float arrays [n, features]; labels as integers 0..K-1 [n], or as float targets [n, m] for
        regression. The feedback split, which others call the validation split, is for the annotator and for choosing
        lam; it is never trained on.
        """
