"""What is trained, and what a method is chosen by: the scaled loss on the feedback split, mean over tuning seeds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from experiments import grid
from experiments.baselines.methods import COMMON, KEYS, METHODS
from experiments.claims.statistics import WORST, Array
from experiments.estimate import CONFIDENCE
from hclm_runner.analysis import final
from hclm_runner.refusal import ConfigError

if TYPE_CHECKING:
    from hclm_runner.config import RunConfig

FIRST = 1000
"""Seed of the first data set that methods are tuned on; results are of the seeds from 0."""

JUDGED = ("loss", "scaled_loss", "accuracy", "ece", "reward")
"""Of the test split."""

CRITERION = "feedback_scaled_loss"


class Draw(NamedTuple):
    """Hyper-parameters of a method."""

    method: str
    place: int
    """Among its draws."""
    settings: Mapping[str, float]
    """Key -> value, of what is drawn."""

    def gradients(self, steps: int) -> int:
        """Return how many gradients a run of it takes, of so many steps an epoch."""
        return int(self.settings["epochs"]) * steps * METHODS[self.method].gradients


def draws(methods: Iterable[str], number: int) -> dict[str, list[Draw]]:
    """Return method -> its draws, those of another where it has no runs of its own.

    More draws leave the first ones as they are.
    """
    quantiles = np.random.default_rng(0).random((number, len(COMMON) + 1))
    sources = {name: METHODS[name].reads or name for name in methods}
    return {
        name: [Draw(source, place, each) for place, each in enumerate(METHODS[source].drawn(quantiles))]
        for name, source in sources.items()
    }


def configurations(drawn: Sequence[Draw], seeds: Sequence[int], overrides: Sequence[str] = ()) -> "list[RunConfig]":
    """Return the runs: draw by draw, seed by seed.

    Raises:
        ConfigError: If an override is refused, or of a key that the experiment sets.
    """
    from hclm_runner import configure

    ours = sorted(KEYS | {"seed", "data_seed", "name"})
    for key in (text.partition("=")[0] for text in overrides):
        if key in ours:
            raise ConfigError(key, None, f"no value: the experiment sets {', '.join(ours)}")
    runs = []
    for draw in drawn:
        own = {"lam": 0.0, **METHODS[draw.method].settings, **draw.settings}
        base = configure(*overrides, *(f"{key}={value}" for key, value in own.items()))
        runs += [base.model_copy(update={"seed": seed}) for seed in seeds]
    return runs


def trained(drawn: Sequence[Draw], seeds: Sequence[int], overrides: Sequence[str], name: str) -> pd.DataFrame | None:
    """Train what the store lacks, and return what each run is worth in each view; None after a dry run.

    Returns:
        A row for each draw, seed and view: method, draw (its place), seed, view, the criterion and `JUDGED`. A run that
        diverged is worth the worst.

    Raises:
        ConfigError: If runs have no result.
    """
    runs = configurations(drawn, seeds, overrides)
    if (results := grid.trained(runs, name)) is None:
        return None
    records, described = results
    lost = set(described.loc[described["status"] == "diverged", "run_id"])
    of_run = {run_id: worth(rows, run_id in lost) for run_id, rows in records.groupby("run_id")}
    of_run |= {run_id: worth(None, True) for run_id in lost - set(of_run)}  # those that broke at epoch 0
    rows = []
    for run, draw in zip(runs, [draw for draw in drawn for _ in seeds], strict=True):
        place = {"method": draw.method, "draw": draw.place, "seed": run.seed}
        rows += [{**place, "view": view, **values} for view, values in of_run[run.run_id].items()]
    return pd.DataFrame(rows)


def worth(records: pd.DataFrame | None, diverged: bool) -> dict[str, dict[str, float]]:
    """Return view -> the criterion and `JUDGED` of a run: its final values, and those at the least feedback loss."""
    if diverged or records is None:
        worst = {CRITERION: WORST} | {name: -WORST if name in ("accuracy", "reward") else WORST for name in JUDGED}
        return {"end": worst, "chosen": worst}
    rows = records[records["epoch"] > 0]
    views = {"end": final(records), "chosen": rows.iloc[int(rows["feedback_loss"].argmin())]}
    columns = {CRITERION: CRITERION} | {name: name if name == "reward" else f"test_{name}" for name in JUDGED}
    return {view: {name: float(row[column]) for name, column in columns.items()} for view, row in views.items()}


def scores(worths: pd.DataFrame, method: str, column: str = CRITERION) -> Array:
    """Return the criterion, or a column of `JUDGED`, of each draw of a method, mean over seeds, [draws]."""
    source, view = METHODS[method].reads or method, METHODS[method].view
    own = worths[worths["method"].eq(source) & worths["view"].eq(view)]
    return np.asarray(own.groupby("draw")[column].mean().sort_index())


def affordable(drawn: Sequence[Draw], budget: int, steps: int) -> int:
    """Return how many draws of a method, in their order, take no more gradients than a budget; one at least."""
    spent = np.cumsum([draw.gradients(steps) for draw in drawn])
    return max(1, int((spent <= budget).sum()))


def curve(found: Array) -> list[dict[str, Any]]:
    """Return the median of the best of k draws, for each k up to their number, with a simultaneous 95% band.

    If F is the distribution of one draw's score, the best of k has its median where F = 1 - 2^(-1/k). The band turns
    the exact Kolmogorov-Smirnov band of F around (Lourie et al. 2024, arXiv:2311.09480); it is of the draws alone, not
    of the seeds behind a score. An end that so few draws do not bound is None.

    Args:
        found: Scores of independent draws, [draws], least is best.
    """
    ordered, n = np.sort(found), len(found)
    reach = stats.kstwo.ppf(CONFIDENCE, n)
    shares = np.arange(1, n + 1) / n

    def at(level: float) -> float | None:
        """Return the least score whose share of draws reaches a level; None if it is not among them."""
        inside = np.flatnonzero(shares >= level - 1e-12)
        return float(ordered[inside[0]]) if level > 0 and len(inside) else None

    levels = [1 - 0.5 ** (1 / k) for k in range(1, n + 1)]
    return [
        {"draws": k, "best": at(level), "low": at(level - reach), "high": at(level + reach)}
        for k, level in enumerate(levels, 1)
    ]
