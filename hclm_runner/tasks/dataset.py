"""Any data set of samples (x, y) that can be imported and indexed."""

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hclm_runner.parts import imported, part
from hclm_runner.ranges import Count
from hclm_runner.refusal import ERRORS, ConfigError, one_line
from hclm_runner.tasks.base import Split, Task


@part("task", "dataset", version=1)
def dataset(
    rng: np.random.Generator,
    *,
    of: str,
    arguments: dict[str, Any] | None,
    test_arguments: dict[str, Any] | None,
    columns: list[str] | None,
    train: Count,
    feedback: Count,
    test: Count,
) -> Task:
    """Samples of a map-style data set: of torchvision, of the library `datasets`, of a user's own.

    The whole set is read once in a process. Splits are drawn from it without replacement, the test split from another
    one where `test_arguments` says which. x are numbers, arrays, tensors or pictures of PIL, which become
    [channels, height, width]; values are standardised by the mean and deviation of each channel, or feature, over the
    training split. Whole numbers y are classes 0..K-1, others the targets of a regression.

    Args:
        rng: The only source of chance.
        of: Dotted path of a class, or of a function that returns the data set: one with len() and [i].
        arguments: What that is called with, by name.
        test_arguments: The same of the data set of the test split, over `arguments`; null for the same set.
        columns: The names of x and y in a sample that has names; null for a pair.
        train: Samples.
        feedback: Samples.
        test: Samples.

    Raises:
        ConfigError: If it does not import, is no such data set, has samples of two shapes or too few, or would
            download: nothing is downloaded while a run trains.
    """
    given, names = arguments or {}, tuple(columns or ())
    pool = _read(of, json.dumps(given), names)
    held_out = pool if test_arguments is None else _read(of, json.dumps(given | test_arguments), names)
    apart = held_out is not pool
    n, needed = len(pool[0]), train + feedback + (0 if apart else test)
    if needed > n:
        raise ConfigError("task.train", train, f"train + feedback{'' if apart else ' + test'} of at most {n} samples")
    if test > len(held_out[0]):
        raise ConfigError("task.test", test, f"at most {len(held_out[0])} samples")
    order = rng.permutation(n)
    last = rng.permutation(len(held_out[0])) if apart else order[train + feedback :]
    drawn = (pool, order[:train]), (pool, order[train : train + feedback]), (held_out, last[:test])
    splits = [(x[rows], y[rows]) for (x, y), rows in drawn]
    x = splits[0][0]
    over = (0, *range(2, x.ndim))
    mean, deviation = (moment(over, np.float64, keepdims=True).astype(np.float32) for moment in (x.mean, x.std))
    scaled = [((x - mean) / np.where(deviation > 0, deviation, 1), y) for x, y in splits]
    whole = pool[1].dtype.kind in "iu"
    classes = int(max(y.max() for _, y in (pool, held_out))) + 1 if whole else None
    return Task(scaled[0], scaled[1], scaled[2], classes)


@lru_cache(maxsize=4)
def _read(of: str, arguments: str, columns: tuple[str, ...]) -> Split:
    """Return all x [n, ...] of a data set, float32, and y: classes [n], or targets [n, m]."""
    given = json.loads(arguments)
    if given.get("download"):
        raise ConfigError("task.arguments", arguments, "none that downloads: nothing is downloaded while a run trains")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # else `datasets.load_dataset` would; read when it is first imported
    make = imported("task.of", of)
    try:
        samples = make(**given)
        pairs = [_pair(samples[i], columns) for i in range(len(samples))]
    except ERRORS as error:
        wanted = "a data set of pairs (x, y) with len() and [i], made from task.arguments"
        raise ConfigError("task.of", of, f"{wanted}, got {one_line(error)}") from error
    shapes = dict.fromkeys((x.shape, y.shape) for x, y in pairs)
    if len(shapes) != 1:
        found = " and ".join(f"x {list(x)} with y {list(y)}" for x, y in list(shapes)[:2]) or "no sample"
        raise ConfigError("task.of", of, f"samples of one shape, got {found}")
    x, y = (np.stack(values) for values in zip(*pairs, strict=True))
    if not {x.dtype.kind, y.dtype.kind} <= set("biuf"):
        raise ConfigError("task.of", of, f"numbers x and y, got {x.dtype} and {y.dtype}")
    if y.dtype.kind == "b":
        y = y.astype(np.int64)
    return (x if x.ndim > 1 else x[:, None]).astype(np.float32), y if y.dtype.kind in "iu" else y.reshape(len(y), -1)


def _pair(sample: Any, columns: tuple[str, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return x and y of a sample."""
    if isinstance(sample, Mapping) and not columns:
        raise TypeError(f"a sample with the names {list(sample)}: two of them are task.columns")
    x, y = (sample[name] for name in columns) if columns else sample
    return _array(x), _array(y)


def _array(value: Any) -> NDArray[Any]:
    """Return a value as an array, a picture of PIL with its channels first."""
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if not hasattr(value, "getbands"):
        return array
    return array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)
