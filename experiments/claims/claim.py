"""What a claim is, and what claims read of the runs of a task.

"Lower" and "higher" mean by `MARGIN` of what a part compares with. "Validated" is the lam that the feedback split
chooses, by the mean of `Data.criterion`, again in every resample.

A run is judged in two views: at the end of training (the mean of its last epochs), and at the epoch that the feedback
split chooses (early stopping).
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from experiments import grid
from experiments.claims import judge
from experiments.claims.statistics import WORST, Array
from hclm_runner.refusal import ConfigError

if TYPE_CHECKING:
    from hclm_runner.config import RunConfig

MARGIN = 0.05
"""The least effect that counts, as a share of what it is compared with; and the least loss of accuracy."""
NEAR_CHANCE = 0.9
"""The share of log K from which a training loss says that nothing was learnt."""
CELL = ("train_loss", "test_loss", "test_accuracy")
"""What tells whether a cell, the runs of one surrogate, regime and base lam, has collapsed."""
VIEWS = {"end": grid.final, "chosen": grid.chosen}
"""When a run is judged -> its values then."""


@dataclass(frozen=True, eq=False)
class Data:
    """What claims read of the runs of one task: [lam, runs] of final values, [lam, runs, epoch] of trajectories.

    None of its runs is missing. Runs are in the order of the data sets, `draws` of each. A run that diverged has the
    worst value of each column: plus `WORST`, or minus where more is better.
    """

    grid: xr.Dataset
    finals: xr.Dataset
    source: str
    """Which store, as messages name it."""
    view: str = "end"
    """When the final values are taken: one of `VIEWS`."""

    @classmethod
    def of(cls, runs: xr.Dataset, source: str) -> "Data":
        """Return what claims read of a grid, at the end of training."""
        return cls(runs, VIEWS["end"](runs), source)

    def at(self, view: str) -> "Data":
        """Return the same runs in another view."""
        return replace(self, finals=VIEWS[view](self.grid), view=view)

    @property
    def draws(self) -> int:
        """Training seeds of each data set; 1 where each seed has data of its own."""
        return self.grid.sizes["seed"] // len(np.unique(self.grid["data_seed"]))

    def final(self, surrogate: str, regime: str, column: str) -> Array:
        """Return the final values of a column, [lam, runs], lam ascending; read once, and read-only."""
        place = surrogate, regime, column
        if place not in self._read:
            own = self.finals[[*{column, "train_loss"}]].sel(surrogate=surrogate, regime=regime)
            self._read[place] = scored(own, column)
            self._read[place].setflags(write=False)
        return self._read[place]

    def path(self, surrogate: str, regime: str, column: str) -> Array:
        """Return a column over epochs, [lam, runs, epoch]."""
        return scored(self.grid[[*{column, "train_loss"}]].sel(surrogate=surrogate, regime=regime), column)

    def criterion(self, surrogate: str, regime: str, column: str) -> Array:
        """Return what chooses the lam at which a column is validated, [lam, runs]; the least is chosen.

        The feedback loss; for a reward the negative feedback utility, which is the reward on the feedback split.
        """
        name, sign = criterion(column)
        return sign * self.final(surrogate, regime, name)

    def cells(self, surrogate: str, regime: str) -> Array:
        """Return what tells whether a cell has collapsed, [3, lam, runs]: the columns `CELL`."""
        return np.stack([self.final(surrogate, regime, column) for column in CELL])

    @cached_property
    def _read(self) -> dict[tuple[str, str, str], Array]:
        """What `final` returned."""
        return {}

    @cached_property
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

    def collapsed(self, cells: Array, zero: Array) -> NDArray[np.bool_]:
        """Return which cells have collapsed: nothing is learnt there, or less than at lam = 0.

        The training loss is within 10% of log K, or the test loss 5% above that at lam = 0, or the accuracy lower than
        that at lam = 0 by 5 points.

        Args:
            cells: Means over runs of the columns `CELL`, [3, ...].
            zero: The same of the cell at lam = 0, of a shape that broadcasts.
        """
        return collapsed(cells, zero, self.chance_loss)


def collapsed(cells: Array, zero: Array, chance_loss: float) -> NDArray[np.bool_]:
    """Return which cells have collapsed, as `Data.collapsed` does."""
    train, test, accuracy = cells
    learnt_nothing = train >= NEAR_CHANCE * chance_loss
    return np.asarray(learnt_nothing | (test > (1 + MARGIN) * zero[1]) | (accuracy < zero[2] - MARGIN))


def guessing_loss(run: "RunConfig") -> float:
    """Return log K of a run's task, nats.

    Raises:
        ConfigError: If it has no classes.
    """
    from hclm_runner.training.problem import draw_task

    classes = draw_task(run).classes
    if classes is None:
        raise ConfigError("task", run.task.name, "a task of classes: without them there is no loss of guessing")
    return math.log(classes)


def criterion(column: str) -> tuple[str, int]:
    """Return by which column the lam of a column is chosen, and the sign that makes its least value the best."""
    return ("feedback_utility", -1) if column == "reward" else ("feedback_loss", 1)


def scored(runs: xr.Dataset, column: str) -> Array:
    """Return a column of the complete runs of a method, [lam, runs, ...]: its worst value where a run diverged."""
    more_is_better = column in ("reward", "feedback_utility") or column.endswith("accuracy")
    values, ended = (array(runs[name]) for name in (column, "train_loss"))
    return np.where(np.isnan(ended), -WORST if more_is_better else WORST, values)


def array(values: xr.DataArray) -> Array:
    """Return the values of one surrogate and regime, [lam, runs, ...]."""
    return values.transpose("lam0", "seed", ...).to_numpy()


Parts = Callable[[Data], Sequence[judge.Part]]


class Reading(NamedTuple):
    """One way to read a statement."""

    words: str
    parts: Parts


class Claim(NamedTuple):
    """A statement about the runs of a task."""

    id: str
    figure: int | None
    """Of the paper, if it is about one."""
    says: str
    """The statement, read literally."""
    parts: Parts
    """What it is judged by; raises ConfigError for what it needs and the runs lack."""
    charitable: tuple[str, Parts] | None = None
    """What the statement says read charitably, and its parts; None if it allows one reading."""
    of_path: bool = False
    """Whether it is about trajectories, so that it has one view only."""

    @property
    def readings(self) -> dict[str, Reading]:
        """How it can be read; literally first."""
        charitable = {"charitable": Reading(*self.charitable)} if self.charitable else {}
        return {"literal": Reading(self.says, self.parts)} | charitable

    @property
    def views(self) -> list[str]:
        """The views in which it is judged; the one at the end first."""
        return list(VIEWS)[: 1 if self.of_path else None]

    def judged(self, data: Data, resamples: int = judge.RESAMPLES, reading: str = "literal") -> judge.Verdict:
        """Judge a reading of it on the runs of one task.

        Raises:
            ConfigError: If the runs lack what it needs.
        """
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):  # of undefined values, 0 / 0
            found = [part._replace(draws=data.draws) for part in self.readings[reading].parts(data)]
        return judge.judge(found, resamples)


def claim(
    id: str, figure: int | None, says: str, charitable: tuple[str, Parts] | None = None, *, of_path: bool = False
) -> Callable[[Parts], Claim]:
    """Make a claim of the function that returns its parts."""
    return lambda parts: Claim(id, figure, says, parts, charitable, of_path)
