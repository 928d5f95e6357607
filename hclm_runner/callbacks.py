"""A user's own functions that follow runs while they train; what fails in one is a warning, never the run's failure."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hclm_runner.config import RunConfig
from hclm_runner.parts import imported
from hclm_runner.records import Records
from hclm_runner.refusal import ERRORS, ConfigError, one_line

Callback = Callable[[dict[str, Any]], object]
"""Called with one row of the records: the labels of the run, the epoch, and each measured column."""


class Callbacks:
    """Calls functions with each row of runs that train. One that fails is named in a warning and not called again.

    Example:
        >>> train(runs, progress=Callbacks([print]).of(runs))  # doctest: +SKIP
    """

    def __init__(self, functions: Sequence[Callback]) -> None:
        """Call these, in this order."""
        self.functions = list(functions)

    def of(self, runs: Sequence[RunConfig]) -> Callable[[int, Mapping[str, NDArray[np.float64]]], None]:
        """Return a `progress` for `train` that calls the functions with the row of each of these runs."""
        return lambda epoch, measured: self(runs, epoch, measured)

    def __call__(self, runs: Sequence[RunConfig], epoch: int, measured: Mapping[str, NDArray[np.float64]]) -> None:
        """Call each function with the row of each of R runs.

        Args:
            runs: The runs.
            epoch: The epoch.
            measured: Column -> [R]. A run that has diverged has no rows from that epoch on.
        """
        if not self.functions:
            return
        diverged = np.where(np.isnan(measured["train_loss"]), 0, -1)
        records = Records(runs, {name: values[:, None] for name, values in measured.items()}, diverged)
        rows = records.frame().assign(epoch=epoch).to_dict("records")
        for function in tuple(self.functions):
            try:
                for row in rows:
                    function({str(name): value for name, value in row.items()})
            except ERRORS as error:
                self.functions.remove(function)
                name = getattr(function, "__qualname__", repr(function))
                warnings.warn(f"the callback {name} failed and is not called again: {one_line(error)}", stacklevel=2)


def load(paths: Sequence[str]) -> Callbacks:
    """Return the callbacks of these dotted paths.

    Raises:
        ConfigError: If one does not import, or is nothing to call.
    """
    return Callbacks([_load(path) for path in paths])


def _load(path: str) -> Callback:
    function = imported("callbacks", path)
    if not callable(function):
        raise ConfigError("callbacks", path, f"a function of one row, got {type(function).__name__}")
    return function  # type: ignore[no-any-return]
