"""Proposition 4 on runs: rates over the training-set size n and the hidden width, and the exponent they predict.

I = I0 s^a and D = D0 s^b over a scale s, and excess risk R ~ (I/D)^-kappa, give R ~ s^-alpha, alpha = kappa (a - b).
Here a, b and kappa are measured on one half of the seeds, and alpha = -d log R / d log s on the other. What follows was
fixed before the outcome was seen; a refuted prediction is a result.

- I and D of a run are the means of `injection` and `dissipation` over epochs 1..T: they are rates per unit of the
  gradient flow's time, not per epoch. `injection` takes the loss's gradient on the whole training set and without
  noise, so it misses what minibatches and the channel inject: late in training D exceeds I although S stands still.
  Epochs are fixed, not steps: over n a run is longer the larger n is.
- R is the final test loss less the Bayes risk of that very test split, the mean of -log p*(y|x), p* in closed form from
  the seed's own centres: paired, so that the luck of the split cancels. Nats.
- kappa comes from where lam moves the ratio: the runs with lam > 0 at the reference scale (n = 256, width 64: the same
  runs in both stores). It need not move it one way, and the ratio is measured, whose error biases kappa to 0. kappa is
  assumed to be one for all lam and s; a, b and alpha are measured at one lam each. A negative kappa contradicts the
  paper whatever it predicts, and the sentence says so.
- Even seeds: a, b, kappa. Odd seeds: alpha. Exponents are least-squares slopes of logs of the seeds' means, and their
  errors come from a jackknife over seeds (`estimate.jackknife`): the seed is the independent unit, as
  all scales and all lam share its centres, and dropping one seed everywhere keeps what a, b and kappa have in common.
  (`proposition_4.exponent` takes them for independent, and its errors from the scatter about the lines.)
- HOLDS: the measured alpha lies within the 95% prediction interval, Welch's t with both errors. FAILS: it does not.
  UNDEFINED: one of I, D, R has a mean over seeds, all or all but one, that is not positive, so there is no power law.
- Whether the laws are power laws is a question of its own, and does not enter the verdict: the drift of each exponent
  from the smallest scale to the largest, by a quadratic in log s (for kappa, in log(I/D)), with its interval.
- Every interval is of 95% on its own: of 24 true predictions one is expected to fail.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial, reduce
from operator import truediv
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import special

from experiments import grid
from experiments.estimate import Estimate, jackknife, left_out
from hclm_runner.streams import stream
from hclm_runner.tasks import gaussian_mixture, mixture_centres

Array = NDArray[np.float64]

REFERENCE = {"n": 256, "width": 64}
"""The scale at which kappa is measured, on each axis: the reference task's."""

NAMES = {"I": "injection", "D": "dissipation", "R": "excess risk"}

# ---------------------------------------------------------------------------------------------------------------------
# Excess risk
# ---------------------------------------------------------------------------------------------------------------------


def posterior(x: Array, centres: Array, label_noise: float) -> Array:
    """Return p*(y|x) of the Gaussian mixture, [n, K].

    With q(k|x) ~ sum over clusters c of exp(-|x - centre_kc|^2 / 2), over signal dimensions since the others are the
    same for all, a share epsilon of redrawn labels makes it (1 - epsilon) q + epsilon/K.

    Args:
        x: Samples, [n, features], the signal's first.
        centres: As the task drew them, [K, clusters, signal].
        label_noise: epsilon.
    """
    squared = ((x[:, None, None, : centres.shape[-1]] - centres) ** 2).sum(-1)
    q = special.softmax(special.logsumexp(-squared / 2, axis=2), axis=1)
    return (1 - label_noise) * q + label_noise / len(centres)


def bayes_risk(seed: int, options: Mapping[str, Any]) -> float:
    """Return the mean over a run's test split of -log p*(y|x), nats: an unbiased estimate of H(Y|X).

    Args:
        seed: The run's.
        options: Of `gaussian_mixture`.
    """
    x, y = gaussian_mixture(stream(seed, "data"), **options).test
    shape = {name: options[name] for name in ("classes", "clusters", "separation", "signal")}
    centres = mixture_centres(stream(seed, "data"), **shape)
    return -float(np.log(posterior(x, centres, options["label_noise"])[np.arange(len(y)), y]).mean())


def measure(runs: xr.Dataset, axis: str) -> xr.Dataset:
    """Return I, D and R of each run, over axis, surrogate, lam0 and seed; NaN of a run that diverged.

    Args:
        runs: As `sweeps.over` gives them, of the Gaussian mixture.
        axis: n or width; over n the test split is another at each size, over the width it is the same.
    """
    task = next(iter(runs.attrs["configs"][axis].values()))["task"]
    options = {key: value for key, value in task.items() if key not in ("name", "_target_")}
    sizes = {s: s if axis == "n" else options["train"] for s in runs[axis].to_numpy().tolist()}
    seeds = runs["seed"].to_numpy().tolist()
    bayes = {n: [bayes_risk(seed, {**options, "train": n}) for seed in seeds] for n in set(sizes.values())}
    floor = xr.DataArray([bayes[n] for n in sizes.values()], dims=(axis, "seed"))
    rates = runs[["injection", "dissipation"]].isel(epoch=slice(1, None)).mean("epoch", skipna=False)
    measured = {"I": rates["injection"], "D": rates["dissipation"], "R": grid.final(runs)["test_loss"] - floor}
    return xr.Dataset(measured).transpose("surrogate", "lam0", "seed", axis)


# ---------------------------------------------------------------------------------------------------------------------
# Exponents
# ---------------------------------------------------------------------------------------------------------------------


def power(x: Array, y: Array) -> float:
    """Return the exponent of y ~ x^p: the slope of log y on log x, each [m]."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0]) if len(x) >= 2 else np.nan


def drift(x: Array, y: Array) -> float:
    """Return by how much the local exponent d log y / d log x grows from the least x to the largest, each [m].

    Of log y = c0 + c1 log x + c2 (log x)^2 it is 2 c2 (log max x - log min x); 0 of a power law.
    """
    return float(2 * np.polyfit(np.log(x), np.log(y), 2)[0] * np.ptp(np.log(x))) if len(x) >= 3 else np.nan


Cell = Mapping[str, Array]
"""What one surrogate did on one axis at one lam: s [m]; I and D [r, m] of the r even seeds, R [q, m] of the q odd ones;
and I_ref, D_ref, R_ref [r, l] of the even seeds at the reference scale, over lam > 0."""


def lacking(cell: Cell, *names: str) -> str:
    """Say which of the quantities named has a mean over seeds, all or all but one, that is not positive; or ""."""
    for name in names:
        means = left_out(cell[name])
        what, where = NAMES[name[0]], " at the reference scale" if name.endswith("_ref") else ""
        if not np.isfinite(means).all():
            return f"runs diverged, and have no {what}{where}"
        if means.min() <= 0:
            lowest = means[0].min() if means[0].min() <= 0 else means.min()
            without = "" if lowest == means[0].min() else " but one"
            return f"{what} falls to {lowest:.2g} in the mean over seeds{without}{where}"
    return ""


def exponents(cell: Cell) -> dict[str, Estimate]:
    """Return a, b, kappa, alpha as predicted and as measured, and the drifts of a, b, alpha and kappa.

    That of something which has no logarithm is NaN, and so are its ends.
    """
    s = cell["s"]

    def kappa(injection: Array, dissipation: Array, risk: Array) -> float:
        return -power(injection / dissipation, risk)

    def alpha(injection: Array, dissipation: Array, *reference: Array) -> float:
        return kappa(*reference) * (power(s, injection) - power(s, dissipation))

    reference = ("I_ref", "D_ref", "R_ref")
    statistics: dict[str, tuple[Callable[..., float], tuple[str, ...]]] = {
        "a": (partial(power, s), ("I",)),
        "b": (partial(power, s), ("D",)),
        "kappa": (kappa, reference),
        "predicted": (alpha, ("I", "D", *reference)),
        "measured": (lambda risk: -power(s, risk), ("R",)),
        "drift of a": (partial(drift, s), ("I",)),
        "drift of b": (partial(drift, s), ("D",)),
        "drift of kappa": (lambda i, d, risk: -drift(i / d, risk), reference),
        "drift of alpha": (lambda risk: -drift(s, risk), ("R",)),
    }
    return {
        name: _undefined(len(cell[of[0]])) if lacking(cell, *of) else jackknife(statistic, *(cell[each] for each in of))
        for name, (statistic, of) in statistics.items()
    }


def judge(cell: Cell, found: Mapping[str, Estimate]) -> tuple[str, str]:
    """Return HOLDS, FAILS or UNDEFINED, and a sentence."""
    predicted, measured, kappa = (found[name] for name in ("predicted", "measured", "kappa"))
    if math.isnan(predicted.value) or math.isnan(measured.value):
        why = lacking(cell, "I", "D", "R", "I_ref", "D_ref", "R_ref") or "fewer than two scales, or than two lam"
        return "UNDEFINED", f"No power law: {why}."
    apart = measured - predicted
    sentence = f"alpha = {predicted:±.2f} is predicted and {measured:±.2f} measured, {apart:±.2f} apart"
    if kappa.high < 0:
        sentence += "; kappa is negative"
    if predicted.holds(0) or measured.holds(0):
        sentence += "; the prediction includes 0" if predicted.holds(0) else "; what is measured includes 0"
    drifts = [f"{name} {value:±.2f}" for name, value in found.items() if "drift" in name and not value.holds(0)]
    if drifts:
        sentence += f"; no pure power laws: {', '.join(drifts)}"
    return ("HOLDS" if apart.holds(0) else "FAILS"), f"{sentence}."


def _undefined(n: int) -> Estimate:
    return Estimate(math.nan, math.nan, math.nan, n)


# ---------------------------------------------------------------------------------------------------------------------
# The study
# ---------------------------------------------------------------------------------------------------------------------


class Prediction(NamedTuple):
    """What the rates of one surrogate at one lam predict over one axis, and what came."""

    axis: str
    surrogate: str
    lam: float
    verdict: str
    """HOLDS, FAILS or UNDEFINED."""
    sentence: str
    """What the verdict rests on."""
    exponents: Mapping[str, Estimate]
    """As the function of that name gives them."""
    s: list[float]
    """The scales."""
    points: Mapping[str, list[Estimate]]
    """I and D of even seeds and R of odd ones, in the mean at each scale; NaN where a run diverged."""
    ratio: Estimate
    """I/D of even seeds at the reference scale."""
    risk: Estimate
    """R of even seeds at the reference scale."""

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {
            **self._asdict(),
            "exponents": {name: each.as_dict() for name, each in self.exponents.items()},
            "points": {name: [each.as_dict() for each in own] for name, own in self.points.items()},
            "ratio": self.ratio.as_dict(),
            "risk": self.risk.as_dict(),
        }


def study(samples: xr.Dataset, width: xr.Dataset) -> list[Prediction]:
    """Return the prediction of each axis, surrogate and lam > 0, and its verdict.

    Args:
        samples: Runs over n, as `sweeps.over` gives them.
        width: Runs over width.
    """
    found = []
    for axis, runs in (("n", samples), ("width", width)):
        measured = measure(runs, axis)
        lams = measured["lam0"].to_numpy()
        for surrogate in measured["surrogate"].to_numpy().tolist():
            for i, lam in enumerate(lams[lams > 0].tolist()):
                cell = cell_of(measured.sel(surrogate=surrogate), axis, lam)
                own = exponents(cell)
                word, sentence = judge(cell, own)
                points = {name: [_mean(values) for values in cell[name].T] for name in NAMES}
                ratio = _mean(cell["I_ref"][:, i], cell["D_ref"][:, i])
                s, risk = cell["s"].tolist(), _mean(cell["R_ref"][:, i])
                found.append(Prediction(axis, surrogate, lam, word, sentence, own, s, points, ratio, risk))
    return found


def cell_of(measured: xr.Dataset, axis: str, lam: float) -> Cell:
    """Return what one surrogate did at one lam; measured: I, D, R over axis, lam0 and seed."""
    even = measured["seed"] % 2 == 0
    at = measured.sel(lam0=lam).transpose("seed", axis)
    reference = measured.sel({axis: REFERENCE[axis], "lam0": measured["lam0"] > 0}).transpose("seed", "lam0")
    return {
        "s": measured[axis].to_numpy().astype(float),
        **{name: at[name][even].to_numpy() for name in ("I", "D")},
        "R": at["R"][~even].to_numpy(),
        **{f"{name}_ref": reference[name][even].to_numpy() for name in NAMES},
    }


def _mean(*values: Array) -> Estimate:
    """Return the mean of one quantity over seeds, [r], or the ratio of two means."""
    return jackknife(lambda *means: float(reduce(truediv, means)), *values)
