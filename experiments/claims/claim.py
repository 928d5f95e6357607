"""What a claim is, and what claims read of the runs of a task.

"Lower" and "higher" mean by `MARGIN` of what a part compares with. "Validated" is the lam with the least mean loss on
the feedback split, chosen again in every resample.
"""

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from experiments import grid
from experiments.claims import judge
from experiments.claims.statistics import Array
from hclm_runner.refusal import ConfigError

MARGIN = 0.05
"""The least effect that counts, as a share of what it is compared with."""


class Data(NamedTuple):
    """What claims read of the runs of one task: [lam, seed] of final values, [lam, seed, epoch] of trajectories."""

    grid: xr.Dataset
    finals: xr.Dataset
    source: str
    """Which store, as messages name it."""

    @classmethod
    def of(cls, runs: xr.Dataset, source: str) -> "Data":
        """Return what claims read of a grid."""
        return cls(runs, grid.final(runs), source)

    def final(self, surrogate: str, regime: str, column: str) -> Array:
        """Return the final values of a column, [lam, seed], lam ascending."""
        return _values(self.finals[column], surrogate, regime)

    def path(self, surrogate: str, regime: str, column: str) -> Array:
        """Return a column over epochs, [lam, seed, epoch]."""
        return _values(self.grid[column], surrogate, regime)

    @property
    def chance_loss(self) -> float:
        """Log K, nats, the loss of knowing nothing: a set point over its kappa, or the log of the task's `classes`.

        The set point is that of a thermostat of this package; a user's law of the same name may mean another by it.

        Raises:
            ConfigError: If the runs have neither.
        """
        config = self.grid.attrs["config"]
        for regime in ("thermostat", "rl_thermostat"):  # kappa log K at epoch 0, unless it was given in nats
            law = config.get(f"regime {regime}", {})
            if law.get("_target_") != regime or law["setpoint"] is not None:
                continue
            if math.isfinite(start := float(self.grid["setpoint"].sel(regime=regime).isel(epoch=0).max())):
                return start / float(law["kappa"])
        if isinstance(classes := config.get("task", {}).get("classes"), int):
            return math.log(classes)
        wanted = "log K: from runs under thermostat or rl_thermostat with regime.setpoint=null, or from task.classes"
        raise ConfigError("store", self.source, wanted)

    def collapsed(self, test: Array, test_at_zero: Array, train: Array) -> NDArray[np.bool_]:
        """Return where the training loss is within 10% of log K, or the test loss 5% above that at lam = 0."""
        return (train >= NEAR_CHANCE * self.chance_loss) | (test > (1 + MARGIN) * test_at_zero)


NEAR_CHANCE = 0.9
"""The share of log K from which a training loss says that nothing was learnt."""


class Claim(NamedTuple):
    """A statement about the runs of a task."""

    id: str
    figure: int | None
    """Of the paper, if it is about one."""
    says: str
    parts: Callable[[Data], list[judge.Part]]
    """What it is judged by; raises ConfigError for what it needs and the runs lack."""

    def judged(self, data: Data, resamples: int = judge.RESAMPLES) -> judge.Verdict:
        """Judge it on the runs of one task.

        Raises:
            ConfigError: If the runs lack what it needs.
        """
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):  # of runs without a result, 0 / 0
            parts = self.parts(data)
        return judge.judge(parts, resamples)


def claim(id: str, figure: int | None, says: str) -> Callable[[Callable[[Data], list[judge.Part]]], Claim]:
    """Make a claim of the function that returns its parts."""
    return lambda parts: Claim(id, figure, says, parts)


def _values(array: xr.DataArray, surrogate: str, regime: str) -> Array:
    chosen = array.sel(surrogate=surrogate, regime=regime)
    return chosen.transpose("lam0", "seed", ...).to_numpy()
