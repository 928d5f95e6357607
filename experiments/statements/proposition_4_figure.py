"""The figure of Proposition 4 on runs: rates, risks, and exponents predicted and measured."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from experiments.estimate import Estimate
from experiments.statements.proposition_4_on_runs import NAMES, REFERENCE, Prediction
from hclm_runner.picture import BLUE, GREY, KINDS, ORANGE, STYLE, save

Array = NDArray[np.float64]

SHOWN = ("logdet", 0.1)
"""The surrogate and the lam whose rates the figure shows."""

AXIS_LABELS = {"n": "training samples n", "width": "hidden width"}

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


def draw(found: Sequence[Prediction], folder: Path) -> list[Path]:
    """Draw what `proposition_4_on_runs.study` found of the paper's surrogates; return the paths of PDF, SVG and PNG.

    Above, I and D over each axis, of one surrogate at one lam; and R over I/D at the reference scale, of all. Below, R
    over each axis, with the power law fitted and the one predicted; and predicted against measured exponents.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 5.4), layout="constrained")
        (rates_n, rates_width, ratio), (risk_n, risk_width, exponent) = figure.subplots(2, 3)
        for axis, rates, risk in (("n", rates_n, risk_n), ("width", rates_width, risk_width)):
            for each in found:
                if (each.axis, each.surrogate, each.lam) == (axis, *SHOWN):
                    _rates(rates, each)
                    _risk(risk, each)
        _ratios(ratio, [each for each in found if each.axis == "n"])
        _exponents(exponent, found)
    return save(figure, folder / "proposition_4_on_runs", KINDS)


def _rates(axes: Axes, found: Prediction) -> None:
    for name, power_of, colour, marker, line in (("I", "a", BLUE, "o", "-"), ("D", "b", ORANGE, "s", "--")):
        label, exponent, points = NAMES[name], found.exponents[power_of], found.points[name]
        if math.isfinite(exponent.value):
            _law(axes, found.s, points, exponent, color=colour, linestyle=line)
            label += f", {power_of} = {_text(exponent)}"
        _points(axes, found.s, points, color=colour, marker=marker, label=label)
        below = [s for s, each in zip(found.s, points, strict=True) if each.value <= 0]
        if below:
            look: dict[str, Any] = {"color": colour, "marker": "v", "linewidth": 0, "markersize": 4, "clip_on": False}
            axes.plot(below, np.zeros(len(below)), transform=axes.get_xaxis_transform(), label=f"{name} ≤ 0", **look)
    _finish(axes, f"rates over {found.axis}", "rate (nats per unit of time)", found)


def _risk(axes: Axes, found: Prediction) -> None:
    points = found.points["R"]
    _points(axes, found.s, points, color="black", marker="o")
    for name, colour, line in (("measured", "black", "-"), ("predicted", ORANGE, "--")):
        exponent = found.exponents[name]
        if math.isfinite(exponent.value) and math.isfinite(found.exponents["measured"].value):
            label = f"{name}, α = {_text(exponent)}"
            _law(axes, found.s, points, -exponent, color=colour, linestyle=line, label=label)
        else:
            axes.plot([], [], color=colour, linestyle=line, label=f"{name}: undefined")
    _finish(axes, f"excess risk over {found.axis}", "excess risk R (nats)", found)


def _ratios(axes: Axes, found: Sequence[Prediction]) -> None:
    for surrogate, (colour, marker, line) in LOOKS.items():
        own = [each for each in found if each.surrogate == surrogate and 0 < each.ratio.value < math.inf]
        if own:
            x, R, label = [each.ratio.value for each in own], [each.risk for each in own], surrogate
            kappa = own[0].exponents["kappa"]
            if math.isfinite(kappa.value):
                _law(axes, x, R, -kappa, color=colour, linestyle=line)
                label += f", κ = {_text(kappa)}"
            _points(axes, x, R, color=colour, marker=marker, label=label)
            ring: dict[str, Any] = {"markersize": 8, "markerfacecolor": "none", "markeredgewidth": 0.7, "color": colour}
            axes.plot(x[-1], R[-1].value, marker="o", **ring)
            axes.set_xlabel(f"I/D over λ (ringed: λ = {own[-1].lam:g})")
    _finish(axes, f"excess risk at n = {REFERENCE['n']}", "excess risk R (nats)")


def _exponents(axes: Axes, found: Sequence[Prediction]) -> None:
    for surrogate, (colour, marker, _) in LOOKS.items():
        for axis in AXIS_LABELS:
            own = [each for each in found if (each.surrogate, each.axis) == (surrogate, axis)]
            own = [each for each in own if each.verdict != "UNDEFINED"]
            if own:
                x, y = (_ends([each.exponents[name] for each in own]) for name in ("predicted", "measured"))
                look: dict[str, Any] = {"color": colour, "marker": marker, "label": f"{surrogate}, {axis}"}
                look |= {"markersize": 3.5, "markerfacecolor": colour if axis == "n" else "white"}
                axes.errorbar(x[1], y[1], np.diff(y, axis=0), np.diff(x, axis=0), linewidth=0, elinewidth=0.6, **look)
    axes.axline((0, 0), slope=1, color=GREY, linewidth=0.7, label="equal")
    axes.set(xlabel="predicted α = κ (a − b)", ylabel="measured α")
    axes.set_title("all predictions", loc="left", fontsize=8, fontweight="bold")
    axes.legend(ncols=2, **LEGEND)


def _ends(estimates: Sequence[Estimate]) -> Array:
    """Return the low ends, values and high ends of estimates, [3, points]."""
    return np.array([[each.low, each.value, each.high] for each in estimates]).T


def _points(axes: Axes, x: Sequence[float], estimates: Sequence[Estimate], **style: Any) -> None:
    """Plot points with their intervals; what is undefined, or not positive, has no place on a log axis."""
    kept = [(at, each) for at, each in zip(x, estimates, strict=True) if 0 < each.value < math.inf]
    if kept:
        y = _ends([each for _, each in kept])
        look = {"markersize": 3, "linewidth": 0, "elinewidth": 0.8, "capsize": 1.5, **style}
        axes.errorbar([at for at, _ in kept], y[1], np.diff(y, axis=0), **look)


def _law(axes: Axes, x: Sequence[float], y: Sequence[Estimate], exponent: Estimate, **style: Any) -> None:
    """Plot the power law of this exponent through the centre of the points, and the fan of its interval."""
    place, centre = np.geomspace(min(x), max(x)), np.exp(np.log(x).mean())
    low, middle, high = (place / centre) ** _ends([exponent]) * np.exp(np.log(_ends(y)[1]).mean())
    axes.fill_between(place, low, high, color=style["color"], alpha=0.15, linewidth=0)
    axes.plot(place, middle, linewidth=1, **style)


def _text(exponent: Estimate) -> str:
    return f"{exponent:±.2f}".replace("-", "−")


def _finish(axes: Axes, title: str, unit: str, found: Prediction | None = None) -> None:
    axes.set(xscale="log", yscale="log", ylabel=unit)
    _plain(axes.yaxis)
    if found is None:
        _plain(axes.xaxis)
    else:
        axes.set_xlabel(AXIS_LABELS[found.axis])
        axes.set_xticks(found.s, [f"{s:g}" for s in found.s], fontsize=7)
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title(title, loc="left", fontsize=8, fontweight="bold")
    axes.legend(title=f"{found.surrogate}, λ = {found.lam:g}" if found else "", **LEGEND)


def _plain(axis: XAxis | YAxis) -> None:
    """Write the ticks of a log axis as numbers."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 5, 7)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())
