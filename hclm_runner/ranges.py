"""Ranges that an option may declare in its annotation; `hclm_runner.config` checks them at the command line.

A function's keyword-only parameters are its options. ``def logdet(Z, *, eps: Positive)`` both documents `eps` and
refuses ``surrogate.eps=-1``. Inside the function an option is a Python float, or a 0-d tensor when the trainer
vectorises.
"""

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Probability = Annotated[float, Ge(0), Le(1)]
Decay = Annotated[float, Ge(0), Lt(1)]
Weight = Annotated[float, Gt(0), Le(1)]
Count = Annotated[int, Ge(1), Le(2**31)]
Whole = Annotated[int, Ge(0), Le(2**31)]
Replayed = str
"""The id of a stored run; where the trainer builds the part, what it repeats of that run, by epoch: [epochs + 1]."""


class Place:
    """Marks an option that says where data lie, not what they are: it is no part of a run's identity or label."""


Folder = Annotated[str, Place]


class Contents:
    """Marks an option that names a file: what is in the file is part of a run's identity, and not where it is."""


File = Annotated[str | None, Contents]
"""A file's path; null where the part has a file of its own."""

__all__ = [
    "Contents",
    "Count",
    "Decay",
    "File",
    "Folder",
    "NonNegative",
    "Place",
    "Positive",
    "Probability",
    "Replayed",
    "Weight",
    "Whole",
]
