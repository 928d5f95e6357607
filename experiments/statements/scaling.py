"""Proposition 4 on a task: rates over the training-set size n and the hidden width, and the exponent they predict.

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
  errors come from a jackknife over seeds (Miller 1974, doi:10.1093/biomet/61.1.1): the seed is the independent unit, as
  all scales and all lam share its centres, and dropping one seed everywhere keeps what a, b and kappa have in common.
  (`information.exponent` takes them for independent, and its errors from the scatter about the lines.)
- HOLDS: the measured alpha lies within the 95% prediction interval, Welch's t with both errors. FAILS: it does not.
  UNDEFINED: one of I, D, R has a mean over seeds, all or all but one, that is not positive, so there is no power law.
- Whether the laws are power laws is a question of its own, and does not enter the verdict: the drift of each exponent
  from the smallest scale to the largest, by a quadratic in log s (for kappa, in log(I/D)), with its interval.
- Every interval is of 95% on its own: of 24 true predictions one is expected to fail.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from operator import truediv
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray
from scipy import special, stats

from experiments import grid
from hclm_runner.picture import BLUE, GREY, ORANGE, STYLE, save
from hclm_runner.streams import stream
from hclm_runner.tasks import gaussian_mixture, mixture_centres

Array = NDArray[np.float64]

REFERENCE = {"n": 256, "width": 64}
"""The scale at which kappa is measured, on each axis: the reference task's."""

NAMES = {"I": "injection", "D": "dissipation", "R": "excess risk"}

SHOWN = ("logdet", 0.1)
"""The surrogate and the lam whose rates the figure shows."""

AXES = {"n": "training samples n", "width": "hidden width"}

PAIR = ("predicted", "measured")

LOOKS = {"softmax": (GREY, "^", ":"), "variance": (ORANGE, "s", "--"), "logdet": (BLUE, "o", "-")}
"""Colour, marker and line of each surrogate."""

LEGEND: dict[str, Any] = {
    "loc": "upper center",
    "bbox_to_anchor": (0.45, -0.26),
    "handlelength": 1.8,
    "columnspacing": 1.0,
    "fontsize": 6.5,
    "title_fontsize": 6.5,
}
"""Under its axes a legend hides no data."""

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


class Estimate(NamedTuple):
    """A statistic of seeds."""

    value: float
    error: float
    """Its standard error."""
    freedom: float
    """Degrees of freedom of the error."""

    @property
    def half(self) -> float:
        """Half the width of its 95% t interval."""
        return float(stats.t.ppf(0.975, self.freedom) * self.error)

    @property
    def vanishes(self) -> bool:
        """Whether the interval holds 0."""
        return abs(self.value) <= self.half

    def __str__(self) -> str:
        """Return the value and its interval."""
        return f"{self.value:.2f} ± {self.half:.2f}"

    def row(self) -> dict[str, float]:
        """Return the value and the ends of its interval."""
        return {"value": self.value, "low": self.value - self.half, "high": self.value + self.half}


def resampled(values: Array) -> Array:
    """Return the mean over seeds of values [r, ...], then those without each one of them, [1 + r, ...]."""
    r = len(values)
    return np.stack([values.mean(0), *(np.delete(values, j, axis=0).mean(0) for j in range(r))])


def jackknife(statistic: Callable[..., float], *values: Array) -> Estimate:
    """Return a statistic of the seeds' means, with the standard error that leaving out each seed gives.

    error^2 = (r - 1)/r sum over j of (T_-j - mean T_-j)^2, with r - 1 degrees of freedom.

    Args:
        statistic: Of the means.
        values: What the seeds measured, each [r, ...].
    """
    whole, *parts = (statistic(*means) for means in zip(*map(resampled, values), strict=True))
    r = len(parts)
    return Estimate(whole, float(np.sqrt((r - 1) * np.var(parts))), r - 1)


def difference(x: Estimate, y: Estimate) -> Estimate:
    """Return x - y of independent seeds, with Welch and Satterthwaite's degrees of freedom."""
    parts = np.array([x.error**2, y.error**2])
    freedom = parts.sum() ** 2 / (parts**2 / np.array([x.freedom, y.freedom])).sum()
    return Estimate(x.value - y.value, float(np.sqrt(parts.sum())), float(freedom))


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

Found = Mapping[str, Estimate | None]
"""Each exponent; None is one of something that has no logarithm."""


def lacking(cell: Cell, *names: str) -> str:
    """Say which of the quantities named has a mean over seeds, all or all but one, that is not positive; or ""."""
    for name in names:
        means = resampled(cell[name])
        what, where = NAMES[name[0]], " at the reference scale" if name.endswith("_ref") else ""
        if not np.isfinite(means).all():
            return f"runs diverged, and have no {what}{where}"
        if means.min() <= 0:
            lowest = means[0].min() if means[0].min() <= 0 else means.min()
            without = "" if lowest == means[0].min() else " but one"
            return f"{what} falls to {lowest:.2g} in the mean over seeds{without}{where}"
    return ""


def exponents(cell: Cell) -> Found:
    """Return a, b, kappa, alpha as predicted and as measured, and the drifts of a, b, alpha and kappa."""
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
    found: dict[str, Estimate | None] = {}
    for name, (statistic, of) in statistics.items():
        estimate = None if lacking(cell, *of) else jackknife(statistic, *(cell[each] for each in of))
        found[name] = estimate if estimate is not None and np.isfinite(estimate.value) else None
    return found


def judge(cell: Cell, found: Found) -> tuple[str, str]:
    """Return HOLDS, FAILS or UNDEFINED, and a sentence."""
    predicted, measured = found["predicted"], found["measured"]
    if predicted is None or measured is None:
        why = lacking(cell, "I", "D", "R", "I_ref", "D_ref", "R_ref") or "fewer than two scales, or than two lam"
        return "UNDEFINED", f"No power law: {why}."
    apart = difference(measured, predicted)
    sentence = f"alpha = {predicted} is predicted and {measured} measured, {apart} apart"
    if (kappa := found["kappa"]) is not None and kappa.value < 0 and not kappa.vanishes:
        sentence += "; kappa is negative"
    if predicted.vanishes or measured.vanishes:
        sentence += "; the prediction includes 0" if predicted.vanishes else "; what is measured includes 0"
    drifts = [f"{name} {value}" for name, value in found.items() if "drift" in name and value and not value.vanishes]
    if drifts:
        sentence += f"; no pure power laws: {', '.join(drifts)}"
    return ("HOLDS" if apart.vanishes else "FAILS"), f"{sentence}."


# ---------------------------------------------------------------------------------------------------------------------
# The study
# ---------------------------------------------------------------------------------------------------------------------


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


def study(samples: xr.Dataset, width: xr.Dataset) -> list[dict[str, Any]]:
    """Return a row for each axis, surrogate and lam > 0: its exponents, verdict, sentence, and what the figure shows.

    An exponent is {value, low, high}, or None where it is undefined; so is a point, the mean over a half of the seeds
    with its t interval: I and D of even ones and R of odd ones over s, ratio and R_ref of even ones at the reference
    scale.

    Args:
        samples: Runs over n, as `sweeps.over` gives them.
        width: Runs over width.
    """
    rows = []
    for axis, runs in (("n", samples), ("width", width)):
        measured = measure(runs, axis)
        for surrogate in (name for name in grid.SURROGATES if name in measured["surrogate"]):
            lams = measured["lam0"].to_numpy()
            for i, lam in enumerate(lams[lams > 0].tolist()):
                cell = cell_of(measured.sel(surrogate=surrogate), axis, lam)
                found = exponents(cell)
                word, sentence = judge(cell, found)
                points = {
                    "s": cell["s"].tolist(),
                    **{name: [point(values) for values in cell[name].T] for name in NAMES},
                    "ratio": point(cell["I_ref"][:, i], cell["D_ref"][:, i]),
                    "R_ref": point(cell["R_ref"][:, i]),
                }
                place = {"axis": axis, "surrogate": surrogate, "lam": lam, "verdict": word, "sentence": sentence}
                rows.append(place | {name: value and value.row() for name, value in found.items()} | points)
    return rows


def point(*values: Array) -> dict[str, float] | None:
    """Return the mean of one quantity of seeds, [r], or the ratio of two means, with its interval; None if diverged."""
    found = jackknife(lambda *means: float(reduce(truediv, means)), *values)
    return found.row() if np.isfinite(found.value) else None


# ---------------------------------------------------------------------------------------------------------------------
# The figure
# ---------------------------------------------------------------------------------------------------------------------


def draw(rows: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Draw what `study` found, write PDF, SVG and PNG, return their paths.

    Above, I and D over each axis, of one surrogate at one lam; and R over I/D at the reference scale, of all. Below, R
    over each axis, with the power law fitted and the one predicted; and predicted against measured exponents.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 5.4), layout="constrained")
        (rates_n, rates_width, ratio), (risk_n, risk_width, exponent) = figure.subplots(2, 3)
        for axis, rates, risk in (("n", rates_n, risk_n), ("width", rates_width, risk_width)):
            for row in rows:
                if (row["axis"], row["surrogate"], row["lam"]) == (axis, *SHOWN):
                    _rates(rates, row)
                    _risk(risk, row)
        _ratios(ratio, [row for row in rows if row["axis"] == "n"])
        _exponents(exponent, rows)
    return save(figure, folder / "scaling", ("pdf", "svg", "png"))


def _rates(axes: Axes, row: Mapping[str, Any]) -> None:
    for name, power_of, colour, marker, line in (("I", "a", BLUE, "o", "-"), ("D", "b", ORANGE, "s", "--")):
        label, exponent = NAMES[name], row[power_of]
        if exponent:
            _law(axes, row["s"], row[name], exponent, color=colour, linestyle=line)
            label += f", {power_of} = {_text(exponent)}"
        _points(axes, row["s"], row[name], color=colour, marker=marker, label=label)
        below = [s for s, each in zip(row["s"], row[name], strict=True) if each and each["value"] <= 0]
        if below:
            look: dict[str, Any] = {"color": colour, "marker": "v", "linewidth": 0, "markersize": 4, "clip_on": False}
            axes.plot(below, np.zeros(len(below)), transform=axes.get_xaxis_transform(), label=f"{name} ≤ 0", **look)
    _finish(axes, f"rates over {row['axis']}", "rate (nats per unit of time)", row)


def _risk(axes: Axes, row: Mapping[str, Any]) -> None:
    _points(axes, row["s"], row["R"], color="black", marker="o")
    for name, colour, line in (("measured", "black", "-"), ("predicted", ORANGE, "--")):
        if (exponent := row[name]) and row["measured"]:
            label = f"{name}, α = {_text(exponent)}"
            _law(axes, row["s"], row["R"], exponent, -1, color=colour, linestyle=line, label=label)
        else:
            axes.plot([], [], color=colour, linestyle=line, label=f"{name}: undefined")
    _finish(axes, f"excess risk over {row['axis']}", "excess risk R (nats)", row)


def _ratios(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    for surrogate, (colour, marker, line) in LOOKS.items():
        own = [row for row in rows if row["surrogate"] == surrogate and row["ratio"] and row["ratio"]["value"] > 0]
        if own:
            x, R, label = [row["ratio"]["value"] for row in own], [row["R_ref"] for row in own], surrogate
            if kappa := own[0]["kappa"]:
                _law(axes, x, R, kappa, -1, color=colour, linestyle=line)
                label += f", κ = {_text(kappa)}"
            _points(axes, x, R, color=colour, marker=marker, label=label)
            ring: dict[str, Any] = {"markersize": 8, "markerfacecolor": "none", "markeredgewidth": 0.7, "color": colour}
            axes.plot(x[-1], R[-1]["value"], marker="o", **ring)
            axes.set_xlabel(f"I/D over λ (ringed: λ = {own[-1]['lam']:g})")
    _finish(axes, f"excess risk at n = {REFERENCE['n']}", "excess risk R (nats)")


def _exponents(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    for surrogate, (colour, marker, _) in LOOKS.items():
        for axis in AXES:
            own = [row for row in rows if (row["surrogate"], row["axis"]) == (surrogate, axis)]
            own = [row for row in own if row["verdict"] != "UNDEFINED"]
            if own:
                x, y = (_ends([row[name] for row in own]) for name in PAIR)
                look: dict[str, Any] = {"color": colour, "marker": marker, "label": f"{surrogate}, {axis}"}
                look |= {"markersize": 3.5, "markerfacecolor": colour if axis == "n" else "white"}
                axes.errorbar(x[1], y[1], np.diff(y, axis=0), np.diff(x, axis=0), linewidth=0, elinewidth=0.6, **look)
    axes.axline((0, 0), slope=1, color=GREY, linewidth=0.7, label="equal")
    axes.set(xlabel="predicted α = κ (a − b)", ylabel="measured α")
    axes.set_title("all predictions", loc="left", fontsize=8, fontweight="bold")
    axes.legend(ncols=2, **LEGEND)


def _ends(found: Sequence[Mapping[str, float]]) -> Array:
    """Return the low ends, values and high ends of estimates, [3, points]."""
    return np.array([[each[key] for each in found] for key in ("low", "value", "high")])


def _points(axes: Axes, x: Sequence[float], found: Sequence[Mapping[str, float] | None], **style: Any) -> None:
    """Plot points with their intervals; what is undefined, or not positive, has no place on a log axis."""
    kept = [(at, each) for at, each in zip(x, found, strict=True) if each and each["value"] > 0]
    if kept:
        y = _ends([each for _, each in kept])
        look = {"markersize": 3, "linewidth": 0, "elinewidth": 0.8, "capsize": 1.5, **style}
        axes.errorbar([at for at, _ in kept], y[1], np.diff(y, axis=0), **look)


def _law(axes: Axes, x: Sequence[float], y: Any, exponent: Mapping[str, float], sign: int = 1, **style: Any) -> None:
    """Plot the power law of sign times this exponent through the centre of the points, and the fan of its interval."""
    place, centre = np.geomspace(min(x), max(x)), np.exp(np.log(x).mean())
    low, middle, high = (place / centre) ** (sign * _ends([exponent])) * np.exp(np.log(_ends(y)[1]).mean())
    axes.fill_between(place, low, high, color=style["color"], alpha=0.15, linewidth=0)
    axes.plot(place, middle, linewidth=1, **style)


def _text(exponent: Mapping[str, float]) -> str:
    return f"{exponent['value']:.2f} ± {exponent['high'] - exponent['value']:.2f}".replace("-", "−")


def _finish(axes: Axes, title: str, unit: str, row: Mapping[str, Any] | None = None) -> None:
    axes.set(xscale="log", yscale="log", ylabel=unit)
    _plain(axes.yaxis)
    if row is None:
        _plain(axes.xaxis)
    else:
        axes.set_xlabel(AXES[row["axis"]])
        axes.set_xticks(row["s"], [f"{s:g}" for s in row["s"]], fontsize=7)
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title(title, loc="left", fontsize=8, fontweight="bold")
    axes.legend(title=f"{row['surrogate']}, λ = {row['lam']:g}" if row else "", **LEGEND)


def _plain(axis: XAxis | YAxis) -> None:
    """Write the ticks of a log axis as numbers."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 5, 7)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())
