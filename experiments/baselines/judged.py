"""The table of results: what each method is worth on fresh seeds, and whether it helps."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from experiments.baselines.methods import COMMON, METHODS, REFERENCES
from experiments.baselines.tuning import JUDGED, Draw, affordable, curve, scores
from experiments.claims.intervals import ALPHA, bootstrap, holm, sign_flips
from experiments.claims.statistics import Array
from experiments.estimate import Estimate

BUDGETS = ("trials", "gradients")
"""What is equal: the number of draws, or of gradients that they take together."""

HELPS, COSTS, HARMS, OPEN = "helps", "costs accuracy", "worse", "no difference shown"
"""Against a reference: a lower scaled loss and not a lower accuracy; a lower loss and a lower accuracy; a higher loss;
none of these."""

RESAMPLES = 10_000


class Tuned(NamedTuple):
    """What a method was chosen as."""

    draw: Draw
    gradients: int
    """That the draws took of which it is the best, a seed."""


def tuned(worths: pd.DataFrame, drawn: Mapping[str, Sequence[Draw]], steps: int) -> dict[str, dict[str, Tuned]]:
    """Return budget -> method -> the draw of least criterion among those that the budget allows.

    All methods have the same learning rates and epochs in their draws. So those of one gradient a step spend the same,
    and that is the budget of gradients: of two gradients a step, the first few draws fit in.
    """
    budget = min(sum(draw.gradients(steps) for draw in each) for each in drawn.values())
    chosen: dict[str, dict[str, Tuned]] = {name: {} for name in BUDGETS}
    for method, each in drawn.items():
        found = scores(worths, method)
        for name, count in (("trials", len(each)), ("gradients", affordable(each, budget, steps))):
            spent = sum(draw.gradients(steps) for draw in each[:count])
            chosen[name][method] = Tuned(each[int(found[:count].argmin())], spent)
    return chosen


def measured(worths: pd.DataFrame, method: str, draw: Draw) -> dict[str, Array]:
    """Return column of `JUDGED` -> a method's values, [seeds]; NaN of what its use of the network does not leave.

    With a fitted temperature the loss is the scaled one, the accuracy is what it was, and the calibration is not
    measured.
    """
    own = worths[worths["method"].eq(draw.method) & worths["draw"].eq(draw.place)]
    own = own[own["view"].eq(METHODS[method].view)].sort_values("seed")
    found = {name: own[name].to_numpy(float) for name in JUDGED}
    if METHODS[method].scaled:
        found |= {"loss": found["scaled_loss"], **{name: np.full(len(own), np.nan) for name in ("ece", "reward")}}
    return found


def interquartile(values: Array) -> Estimate:
    """Return the interquartile mean over seeds, with a bootstrap interval (Agarwal et al. 2021, arXiv:2108.13264)."""
    n = len(values)
    if np.isnan(values).any():
        return Estimate(np.nan, np.nan, np.nan, n)
    drawn = values[np.random.default_rng(0).integers(n, size=(RESAMPLES, n))]
    low, high, _ = bootstrap(stats.trim_mean(drawn, 0.25, axis=1), n, 0.0)
    return Estimate(float(stats.trim_mean(values, 0.25)), low, high, n)


def difference(ours: Array, theirs: Array) -> tuple[Estimate, float]:
    """Return the mean of a paired difference with its interval, and the p-value of none, by sign flips."""
    d = ours - theirs
    low, high, p = sign_flips(d, np.ones_like(d), 0.0)
    return Estimate(float(d.mean()), low, high, len(d)), p


def verdict(loss: Estimate, p: float, accuracy: Estimate) -> str:
    """Return what a method does to a reference: p of the loss is Holm's; a lower accuracy needs no correction."""
    if p > ALPHA:
        return OPEN
    if loss.value > 0:
        return HARMS
    return COSTS if accuracy.high < 0 else HELPS


def against(values: Mapping[str, Mapping[str, Array]], reference: str) -> dict[str, dict[str, Any]]:
    """Return method -> its differences from a reference and the verdict, of those with a scaled loss of their own."""
    others = [name for name in values if name != reference and not METHODS[name].scaled]
    losses = [difference(values[name]["scaled_loss"], values[reference]["scaled_loss"]) for name in others]
    adjusted = holm([p for _, p in losses])
    found = {}
    for name, (loss, _), p in zip(others, losses, adjusted, strict=True):
        accuracy, _ = difference(values[name]["accuracy"], values[reference]["accuracy"])
        differences = {"scaled_loss": loss.as_dict(), "accuracy": accuracy.as_dict()}
        found[name] = {**differences, "p": p, "verdict": verdict(loss, p, accuracy)}
    return found


def luck(ours: tuple[Array, Array], theirs: tuple[Array, Array]) -> float:
    """Return in what share of resamples of the draws ours has the lower test loss: the luck that no seed shows.

    Draws are resampled in pairs, because all methods have the same quantiles; in each resample each method takes its
    draw of least criterion.

    Args:
        ours: The criterion of each draw, and its test loss on the same seeds, [draws] each.
        theirs: The same of the reference.
    """
    n = len(ours[0])
    places = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
    mine, other = (
        np.take_along_axis(loss[places], score[places].argmin(1)[:, None], 1) for score, loss in (ours, theirs)
    )
    return float((mine < other).mean())


def result(
    tuning: pd.DataFrame, fresh: pd.DataFrame, drawn: Mapping[str, Sequence[Draw]], steps: int
) -> dict[str, Any]:
    """Return all that was found, as baselines.json has it.

    Args:
        tuning: What the draws are worth on the tuning seeds.
        fresh: What the chosen draws are worth on fresh seeds.
        drawn: Method -> its draws.
        steps: Of an epoch.
    """
    methods = {}
    of_draws = {name: (scores(tuning, name), scores(tuning, name, "scaled_loss")) for name in drawn}
    for name, each in drawn.items():
        found, own = of_draws[name][0], METHODS[name]
        listed = [
            {"settings": dict(draw.settings), "score": float(score), "gradients": draw.gradients(steps)}
            for draw, score in zip(each, found, strict=True)
        ]
        priors = {key: str(prior) for key, prior in METHODS[own.reads or name].own.items()}
        methods[name] = {"says": own.says, "priors": priors, "draws": listed, "curve": curve(found)}
    budgets = {}
    for budget, chosen in tuned(tuning, drawn, steps).items():
        values = {name: measured(fresh, name, each.draw) for name, each in chosen.items()}
        rows: dict[str, dict[str, Any]] = {
            name: {"settings": dict(each.draw.settings), "gradients": each.gradients, "runs": len(values[name]["loss"])}
            | {column: interquartile(values[name][column]).as_dict() for column in JUDGED}
            for name, each in chosen.items()
        }
        for reference in REFERENCES:
            compared = against(values, reference) if reference in values else {}
            for name, differences in compared.items():
                rows[name].setdefault("against", {})[reference] = differences
                if budget == "trials":
                    differences["luck"] = luck(of_draws[name], of_draws[reference])
        budgets[budget] = rows
    return {"common": {key: str(prior) for key, prior in COMMON.items()}, "methods": methods, "budgets": budgets}
