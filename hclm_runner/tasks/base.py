"""What a task is: the data of one run, drawn from its seed."""

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hclm_runner.refusal import ConfigError

Split = tuple[NDArray[Any], NDArray[Any]]


TAKEN = "numpy arrays: x [n, ...] of numbers, y [n] of class numbers 0..K-1, or [n, m] of targets where classes=None"


@dataclass(frozen=True)
class Task:
    """The three splits (x, y) of one run. `classes` is None for regression.

    x is [n, ...]: features [n, features], or images [n, channels, height, width]. With a `vocabulary` it is tokens
    [n, T], each a whole number below that, and y may be a class for each of them, [n, T]. Numbers in another form
    become a numpy array: a torch tensor, a pandas frame, a list of lists. Labels that are true or false become 1 and 0.
    """

    train: Split
    feedback: Split
    test: Split
    classes: int | None
    vocabulary: int | None = None

    @property
    def log_classes(self) -> float:
        """Log K, nats, where a sample has one of K classes; NaN for a regression, and where each token has a class."""
        return math.log(self.classes) if self.classes and self.train[1].ndim == 1 else math.nan

    def __post_init__(self) -> None:
        """Refuse data that no run could learn from.

        Raises:
            ConfigError: On anything but numbers, non-finite features or targets, samples of different shapes, an empty
                split, tokens that are not integers 0..vocabulary-1, or labels that are not integers 0..classes-1, at
                least two of them in the training split.
        """
        key = "task._target_"
        if self.classes is not None and not isinstance(self.classes, Integral):
            raise ConfigError(key, None, f"classes a whole number, or None for a regression, got {self.classes!r}")
        for name, split in self.splits().items():
            object.__setattr__(self, name, _pair(split, name))
        for name, (x, y) in self.splits().items():
            if x.ndim < 2 or x.size == 0 or len(y) != len(x) or x.shape[1:] != self.train[0].shape[1:]:
                wanted = f"x [n, ...], samples of one shape in every split, and y [n, ...] in the {name} split"
                raise ConfigError(key, None, f"{wanted}, got {x.shape} and {y.shape}")
            if not np.isfinite(x).all() or not np.isfinite(y).all():
                bad = int((~np.isfinite(x)).sum() + (~np.isfinite(y)).sum())
                raise ConfigError(key, None, f"finite numbers, got {bad} NaN or infinite entries in the {name} split")
            if wrong := self._wrong(x, y):
                raise ConfigError(key, None, f"{wrong} in the {name} split")
        if self.classes is not None and len(np.unique(self.train[1])) < 2:
            raise ConfigError(key, None, "at least two classes in the training split, got one")

    def _wrong(self, x: NDArray[Any], y: NDArray[Any]) -> str | None:
        """Return what a split should have had and what it has, if that is wrong: tokens, labels or targets."""
        if self.vocabulary is not None and (found := _other_than(x, self.vocabulary, x.shape[:2])):
            return f"tokens 0..{self.vocabulary - 1}, [n, T], got {found}"
        if self.classes is None:
            fits = y.ndim == 2 and y.shape[1] == self.train[1].shape[1]
            return None if fits else f"targets [n, m], m the same, for regression (classes=None), got {y.shape}"
        of_tokens = self.vocabulary is not None and self.train[1].ndim == 2
        found = _other_than(y, self.classes, x.shape if of_tokens else x.shape[:1])
        shape = f"{list(x.shape)}, a label for each token" if of_tokens else "[n]"
        return found and f"integer labels 0..{self.classes - 1}, {shape}, got {found}"

    def splits(self) -> dict[str, Split]:
        """Return the splits by name."""
        return {"train": self.train, "feedback": self.feedback, "test": self.test}


def _other_than(values: NDArray[Any], below: int, shape: tuple[int, ...]) -> str | None:
    """Return what there is in place of whole numbers 0..below-1 of this shape; None if they are that."""
    if values.shape == shape and values.dtype.kind in "iu" and values.min() >= 0 and values.max() < below:
        return None
    return f"{values.dtype} of shape {list(values.shape)}, from {values.min():g} to {values.max():g}"


def _pair(split: Any, name: str) -> Split:
    """Return the x and y that a user's task gave for a split, as arrays of numbers."""
    if not isinstance(split, tuple | list) or len(split) != 2:
        raise ConfigError("task._target_", None, f"a pair (x, y) in the {name} split, got {type(split).__name__}")
    return _array(split[0], f"x of the {name} split"), _array(split[1], f"y of the {name} split")


def _array(values: Any, place: str) -> NDArray[Any]:
    """Return values as an array of numbers."""
    try:
        array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
        if array.dtype.kind == "O" and array.ndim and not any(isinstance(value, str) for value in array.flat):
            array = array.astype(float)  # a frame whose columns are of different types
    except (TypeError, ValueError):  # a ragged list, a missing value, a dtype that numpy lacks
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        of_text = " of text" if array.ndim and isinstance(array.flat[0], str) else ""
        raise ConfigError("task._target_", None, f"{TAKEN}; got {type(values).__name__}{of_text} for {place}")
    return array.astype(np.int64) if array.dtype.kind == "b" else array


class Draw(Protocol):
    """A function of a random generator; its keyword-only parameters are its options."""

    def __call__(self, rng: np.random.Generator, **options: Any) -> Task:
        """Return the data that follow from `rng`, and from nothing else.

        x is an array [n, ...], n samples of one shape, or tokens [n, T]; labels are integers 0..K-1 [n], one for each
        token [n, T], or float targets [n, m] for a regression. The feedback split, which others call the validation
        split, is for the annotator and for choosing lam; it is never trained on.
        """
