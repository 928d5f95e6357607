"""Drawing: pure functions of a row of the table and a grid of runs, and the scaling model of Figures 3 and 4.

A figure shows the mean over seeds with its 95% t interval over data sets. Over the base lam it has error bars, and is
drawn in two views: at the end, where a value is the mean of the last 5 epochs, and at the epoch that the feedback split
chooses. Over epochs it has bands, and a ring on each curve at that epoch, the mean over seeds. Runs that diverged are
left out of the mean, and counted above the axes; a run has its chosen epoch from before that. Over the base lam all
surrogates of a store have one range of values in a view, so that their figures can be laid side by side; but not raw
forces and entropies, which depend on how a surrogate is scaled. Where most curves of a log axis lie within a factor of
2, a panel above enlarges them.
"""

import textwrap
from collections.abc import Mapping
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from experiments import grid
from experiments.claims.claim import VIEWS
from experiments.estimate import Estimate, of_seeds
from experiments.figures.table import LABELS, FigureRow, Look, label, looks
from hclm_runner.analysis import F_MIN
from hclm_runner.picture import GREY, ORANGE, PINK, STYLE

Array = NDArray[np.float64]

CASES = {0.5: ("weak", "#E69F00", "-."), 1.0: ("balanced", "#56B4E9", "--"), 1.5: ("excessive", PINK, ":")}
"""Exponent b of the dissipation D0 s^b -> how it looks next to the injection I0 s^a (Proposition 4)."""
I0, D0, a = 2.0, 1.0, 1.0  # illustrative values of ours, as the exponents b are

DECADES = ("lam", "force", "share")
"""Columns on a log scale where they span a decade."""
LOSSES = ("test_loss", "gap")
AT = {"end": "", "chosen": ", at the chosen epoch"}
"""View -> what the legend says of it."""
VITAL = ["train_loss", "feedback_loss"]
"""What tells which runs diverged, and which epoch is chosen."""
SHAPES = ("", "o", "s", "^", "D", "v", "P", "X")
"""Of the curves of rising base lam; none for 0, which is dashed."""
WIDTH = 3.4
"""Inches: one column of a paper."""
LINE = 50
"""Letters of a legend's line that fit that width."""


class Panel(NamedTuple):
    """One pair of axes and what is drawn on it."""

    axes: Axes
    row: FigureRow
    column: str
    runs: xr.Dataset
    """Those that the figure shows."""
    styles: Mapping[str, Look]
    """By regime."""
    references: Mapping[str, float]
    """The levels the column is read against, by name."""
    seeds: bool
    """Whether each seed is a thin line, too."""
    view: str
    """When values over the base lam are taken."""
    everywhere: Array
    """What else is in sight, so that figures of several surrogates have one range."""
    enlarged: tuple[float, float] | None = None
    """The range of a panel that enlarges the crowd."""


def draw(row: FigureRow, runs: xr.Dataset, seeds: bool = False, view: str = "end") -> Figure:
    """Return the figure of a row, entropies and losses in nats.

    A raw force depends on how its surrogate is scaled: where surrogates are compared, a panel below shows the share of
    the moves, which has no scale: how far the entropy term moved the encoder in an epoch, over how far the loss did.

    Args:
        row: Which figure.
        runs: The grid, complete or not: of the paper's surrogates and regimes for a row with a number, else the whole
            grid of a store, so that a regime looks the same in all its figures.
        seeds: Whether each seed is a thin line, too.
        view: Of a figure over base lam, when its values are taken: end or chosen.
    """
    own = runs if row.number else shown(row, runs)
    styles = looks(runs["regime"].to_numpy().tolist())
    over, ncols = (_over_lam, 3) if row.regime is None else (_over_epochs, 4)
    crowd = _crowd(row, own, view)
    columns = [row.column] * (2 if crowd else 1)
    columns += ["share"] if row.column == "force" and row.regime is None else []
    with mpl.rc_context(STYLE):
        figure, panels = blank(len(columns))
        for i, (axes, column) in enumerate(zip(panels, columns, strict=True)):
            enlarged = crowd if i == 0 else None
            axes.set_ylabel(_unit(column, runs).replace("force ‖∇S‖", "enlarged") if enlarged else _unit(column, runs))
            levels, everywhere = _references(row, column, runs), _everywhere(row, column, runs, view)
            over(Panel(axes, row, column, own, styles, levels, seeds, view, everywhere, enlarged))
        panels[-1].set_xlabel("base λ" if row.regime is None else "epoch")
        title = label(row.surrogate)
        title += AT[view] if row.regime is None else f", {styles[row.regime].name}; base λ, ○ at its chosen epoch"
        if missing := len(own.attrs["missing"]):
            every = own["train_loss"].isel(epoch=0).size
            figure.supxlabel(f"incomplete: {every - missing} of {every} runs", color=ORANGE, fontsize=8)
        lay_out(figure, panels[0], title, ncols)
    return figure


def shown(row: FigureRow, runs: xr.Dataset) -> xr.Dataset:
    """Return the runs of a figure without a number: all of its surrogate that were tried, and of its regime if any."""
    regime = {} if row.regime is None else {"regime": [row.regime]}
    return grid.require(runs, row.stem, surrogate=[row.surrogate], **regime)


def _everywhere(row: FigureRow, column: str, runs: xr.Dataset, view: str) -> Array:
    """Return what figures over the base lam of all surrogates have in sight; nothing of raw forces and entropies."""
    if row.regime is not None or column in ("force", "entropy"):
        return np.array([])
    estimate = mean(VIEWS[view](runs[[column, *VITAL]]), column)
    values = np.concatenate([np.ravel(part) for part in (estimate.value, _lows(estimate, column), estimate.high)])
    return values[np.isfinite(values)]


def mean(values: xr.Dataset, column: str) -> Estimate:
    """Return the mean of a column over seeds, with its interval over data sets."""
    return of_seeds(grid.units(values[[column]])[column])


def _lows(estimate: Estimate, column: str) -> xr.DataArray:
    """Return the lower ends of intervals as they are drawn: on a log axis there is no place for what is 0 or less."""
    low: xr.DataArray = estimate.low
    if column not in DECADES:
        return low
    floor = 0.3 * estimate.value.where(estimate.value > 0).min()
    return low.clip(min=floor).where(estimate.value >= floor, estimate.value)


def _crowd(row: FigureRow, own: xr.Dataset, view: str) -> tuple[float, float] | None:
    """Return the range in which most curves of a log axis lie, if others are further than a decade; else None."""
    if row.column != "force":
        return None
    place = {"surrogate": row.surrogate} | ({"regime": row.regime} if row.regime else {})
    final = np.sort(np.ravel(VIEWS[view](own.sel(place)[["force", *VITAL]])["force"].mean("seed")))
    final = final[final > 0]
    within = [final[(final >= low) & (final <= 2 * low)] for low in final]
    crowd = max(within, key=len, default=final)
    if len(crowd) < max(4, len(final) / 2) or final.max() < 10 * final.min():
        return None
    margin = 0.15 * crowd.mean()
    return float(crowd.min() - margin), float(crowd.max() + margin)


def draw_model(ratio: bool) -> Figure:
    """Return Figure 3, injection I0 s^a and dissipation D0 s^b over the scale s, or Figure 4, their ratio.

    Dissipation is weak (b < a), balanced (b = a) or excessive (b > a). The exponents and I0, D0 are illustrative values
    of ours: a = 1, b = 0.5, 1 and 1.5, I0 = 2, D0 = 1.
    """
    s = np.geomspace(1, 1000)
    injection = I0 * s**a
    with mpl.rc_context(STYLE):
        figure, (axes,) = blank()
        if not ratio:
            axes.plot(s, injection, color="black", label=f"injection, a = {a:g}")
        for b, (name, colour, line) in CASES.items():
            dissipation = D0 * s**b
            y = injection / dissipation if ratio else dissipation
            axes.plot(s, y, color=colour, linestyle=line, label=f"{name}, b = {b:g}")
        axes.set(xscale="log", yscale="log", xlabel="scale s", ylabel="injection / dissipation" if ratio else "rate")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
        title = f"(I₀ / D₀) sᵃ⁻ᵇ, a = {a:g}" if ratio else "injection I₀ sᵃ and dissipation D₀ sᵇ"
        lay_out(figure, axes, title, 3 if ratio else 2)
    return figure


def diverged(runs: xr.Dataset, view: str) -> xr.DataArray:
    """Return which runs began and have no value in a view."""
    return runs["train_loss"].isel(epoch=0).notnull() & VIEWS[view](runs[VITAL])["train_loss"].isnull()


def blank(panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure one column wide, and its axes one above the other over one x axis."""
    figure = Figure(figsize=(WIDTH, 0.8 + 1.7 * panels))
    every = list(figure.subplots(panels, sharex=True, squeeze=False)[:, 0])
    for axes in every:
        axes.tick_params(labelsize=7)
    return figure, every


def _unit(column: str, runs: xr.Dataset) -> str:
    """Return what stands at the y axis; a squared error, of a task without classes, is in the units of its target."""
    without_classes = bool(runs["reward"].isnull().all())
    return LABELS[column].removesuffix(" (nats)") if without_classes and column in LOSSES else LABELS[column]


def lay_out(figure: Figure, axes: Axes, title: str, ncols: int) -> None:
    """Put the legend above the axes, where it hides no data, and lay the figure out once for all kinds of files.

    The legend has fewer columns than `ncols` where long names would make it wider than the figure.
    """
    handles, names = axes.get_legend_handles_labels()
    for columns in range(ncols, 0, -1):
        by_row = [i for first in range(columns) for i in range(first, len(names), columns)]
        legend = figure.legend(
            [handles[i] for i in by_row],
            [textwrap.fill(names[i], LINE) for i in by_row],
            title=textwrap.fill(title, LINE),
            ncols=columns,
            loc="outside upper center",
            fontsize=7,
            handlelength=1.8,
            columnspacing=1.2,
            borderpad=0,
        )
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    for _ in range(2):  # the second time with the ticks that fit what the first left of the axes
        ConstrainedLayoutEngine().execute(figure)


def _over_lam(panel: Panel) -> None:
    axes, column = panel.axes, panel.column
    own = panel.runs.sel(surrogate=panel.row.surrogate)
    final, ended = VIEWS[panel.view](own), diverged(own, panel.view)
    estimate = mean(final, column)
    lows = _lows(estimate, column)
    lam, regimes = own["lam0"].to_numpy(), own["regime"].to_numpy().tolist()

    def broken(values: Array) -> Array:
        """Let no line lead from lam = 0 to the next: on a log axis there is no distance between them."""
        return np.insert(values, 1, np.nan, axis=0) if lam[0] == 0 else values

    marks = []
    for regime, aside in zip(regimes, _aside(len(regimes)), strict=True):
        look = panel.styles[regime]
        x = broken(np.where(lam > 0, lam * 1.2**aside, aside * 0.1 * lam[lam > 0].min(initial=lam.max())))
        if panel.seeds:
            each = final[column].sel(regime=regime).transpose("lam0", "seed").to_numpy()
            axes.plot(x, broken(each), color=look.colour, linewidth=0.4, alpha=0.5, marker=".", markersize=1.5)
        if column == "entropy":
            target = final["setpoint"].sel(regime=regime).mean("seed").to_numpy()
            axes.plot(x, broken(target), color=look.colour, linewidth=0.8, linestyle=":", marker="_")
        y, low, high = (broken(part.sel(regime=regime).to_numpy()) for part in (estimate.value, lows, estimate.high))
        style: dict[str, Any] = {"marker": look.marker, "markersize": 3, "linewidth": 1, "capsize": 1.5}
        axes.errorbar(x, y, [y - low, high - y], color=look.colour, label=look.name, **style)
        below = broken(estimate.low.sel(regime=regime).to_numpy()) < low  # an interval that goes on to 0 and beyond
        axes.plot(x[below], low[below], "v", color=look.colour, markersize=3.5)
        died = ended.sel(regime=regime).sum("seed").to_numpy()
        marks.append((lam[died > 0], died.sum(), look.colour))
    if column == "entropy" and final["setpoint"].notnull().any():
        axes.errorbar([], [], color=GREY, linewidth=0.8, linestyle=":", marker="_", label="set point")
    _finish(panel, [estimate.value, lows, estimate.high, *([final[column]] if panel.seeds else [])], marks)
    _log(axes.xaxis, np.append(lam, 1.2 * lam.max()), _apart(lam), lam)


def _apart(lam: Array) -> Array:
    """Return the greatest lam, and of the others those that leave room for the label of the next on a log axis."""
    positive = lam[lam > 0]
    kept = [*positive[-1:]]
    least = (positive[-1] / positive[0]) ** (1 / 9) if positive.size else 1.0
    for each in positive[-2::-1]:
        if kept[-1] >= 0.99 * least * each:
            kept.append(each)
    return np.array(kept[::-1])


def _aside(curves: int) -> Array:
    """Return by how much each curve stands aside, from -1 to 1, so that equal values stay visible."""
    middle = (curves - 1) / 2
    return np.array([(i - middle) / max(middle, 1) for i in range(curves)])


def _over_epochs(panel: Panel) -> None:
    axes, column = panel.axes, panel.column
    own = panel.runs.sel(surrogate=panel.row.surrogate, regime=panel.row.regime)
    ended, lasted = diverged(own, "end"), own["train_loss"].notnull().sum("epoch")
    kept = own[[column]].where(~ended)
    values, estimate = kept[column], mean(kept, column)
    stop = chosen_epoch(own).where(~ended).mean("seed")
    lams, epoch = own["lam0"].to_numpy(), own["epoch"].to_numpy()
    shades = iter(mpl.colormaps["viridis"](np.linspace(0.87, 0.05, np.count_nonzero(lams))))
    marks = []
    every = max(1, len(epoch) // 5)
    for i, lam in enumerate(lams):
        colour = next(shades) if lam else "black"
        y, error = (part.sel(lam0=lam).to_numpy() for part in (estimate.value, estimate.half))
        if panel.seeds:
            each = values.sel(lam0=lam).transpose("epoch", "seed").to_numpy()
            axes.plot(epoch, each, color=colour, linewidth=0.3, alpha=0.5)
        axes.fill_between(epoch, y - error, y + error, color=colour, alpha=0.15, linewidth=0)
        # Marks at epochs of its own, so that two curves in one place are both seen.
        mark: dict[str, Any] = {"marker": SHAPES[i % len(SHAPES)], "markevery": (i * every // len(lams), every)}
        name = f"{lam:g}, from λ min" if lam == 0 and column == "lam" and "λ min" in panel.references else f"{lam:g}"
        axes.plot(epoch, y, color=colour, linewidth=1, linestyle="-" if lam else "--", label=name, markersize=3, **mark)
        at = stop.sel(lam0=lam).item()
        axes.plot(at, np.interp(at, epoch, y), "o", color=colour, markersize=6, markerfacecolor="none", zorder=3)
        died = lasted.sel(lam0=lam).to_numpy()[ended.sel(lam0=lam)]
        marks.append((died, died.size, colour))
    _finish(panel, [estimate.value, estimate.high, *([values] if panel.seeds else [])], marks)
    axes.margins(x=0.02)


def chosen_epoch(runs: xr.Dataset) -> xr.DataArray:
    """Return each run's chosen epoch, the first of least feedback loss among 1..T; NaN for a run without an epoch."""
    loss = runs["feedback_loss"].isel(epoch=slice(1, None)).fillna(np.inf)
    return loss["epoch"][loss.argmin("epoch")].drop_vars("epoch").where(np.isfinite(loss.min("epoch")))


def _finish(panel: Panel, values: list[Any], marks: list[Any]) -> None:
    """Add the reference lines, a log scale where one is due, and marks of the runs that diverged.

    Args:
        panel: Where.
        values: What must be in sight.
        marks: The places on the x axis where runs diverged, how many, and the colour of their curve.
    """
    axes = panel.axes
    for name, level in panel.references.items():
        axes.axhline(level, color=GREY, linewidth=0.7, zorder=1)
        axes.text(1.01, level, name, transform=axes.get_yaxis_transform(), va="center", fontsize=7, color=GREY)
    numbers = np.concatenate([*values, panel.everywhere, list(panel.references.values())], axis=None)
    positive = numbers[numbers > 0]
    if panel.enlarged:
        axes.set_ylim(panel.enlarged)
    elif panel.column in DECADES and positive.size and positive.max() >= 10 * positive.min():
        decades = 10 ** np.arange(np.ceil(np.log10(positive.min())), np.floor(np.log10(positive.max())) + 1)
        ticks = np.outer([0.3, 1, 3], decades) if len(decades) < 3 else decades[:: -(-len(decades) // 6)]
        _log(axes.yaxis, numbers, ticks, np.outer(range(2, 10), [decades[0] / 10, *decades]))
    elif panel.everywhere.size:
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        margin = 0.05 * (high - low or 1)
        axes.set_ylim(low - margin, high + margin)
    for i, (x, count, colour) in enumerate(mark for mark in marks if mark[1]):
        above = ScaledTranslation(0, (6 + 8 * i) / 72, axes.figure.dpi_scale_trans)
        style: dict[str, Any] = {"color": colour, "clip_on": False}
        axes.plot(x, np.ones(len(x)), "x", markersize=4, transform=axes.get_xaxis_transform() + above, **style)
        axes.text(1.01, 1, f"{count} diverged", transform=axes.transAxes + above, va="center", fontsize=7, **style)


def _references(row: FigureRow, column: str, runs: xr.Dataset) -> dict[str, float]:
    """Return the levels a column is read against, by name: no gap, Definition 1, the bounds of lam, chance."""
    config, regimes = runs.attrs["config"], runs["regime"].to_numpy().tolist()
    if column == "gap":
        return {"": 0.0}
    if column == "share":
        return {f"effective\nabove {F_MIN:g}": F_MIN}
    if column == "lam":
        law = config.get(f"regime {row.regime or 'thermostat'}", {})
        return {name: law[key] for name, key in (("λ min", "lam_min"), ("λ max", "lam_max")) if key in law}
    law = config.get("regime thermostat", {}) if "thermostat" in regimes else {}
    if column == "test_loss" and law.get("setpoint", 0) is None:  # then its set point is kappa log K
        return {"chance,\nlog K": runs["setpoint"].sel(regime="thermostat").mean().item() / law["kappa"]}
    return {}


def _log(axis: XAxis | YAxis, values: Array, ticks: Array, minor: Array) -> None:
    """Make an axis logarithmic; a 0 among the values has its own place, beyond a visible break."""
    axes, x_or_y = axis.axes, axis.axis_name
    positive = values[values > 0]
    if not positive.size:
        return
    low, high = positive.min(), positive.max()
    zero = bool((values == 0).any())
    # With a 0 the axis is linear up to the least positive value: nothing lies between, so the break fits there.
    scale: dict[str, Any] = {"value": "symlog", "linthresh": low, "linscale": 0.5} if zero else {"value": "log"}
    getattr(axes, f"set_{x_or_y}scale")(**scale)
    getattr(axes, f"set_{x_or_y}lim")(-0.25 * low if zero else low / 1.25, high * 1.25)
    ticks = np.union1d(ticks[(low <= ticks) & (ticks <= high)], [0.0] if zero else [])
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ticks(minor[(low <= minor) & (minor <= high)], minor=True)
    axis.set_minor_formatter("")
    if zero:
        along, across = [0.4 * low, 0.6 * low], [0, 0]
        x, y, slash = (along, across, [(-1, -2), (1, 2)]) if x_or_y == "x" else (across, along, [(-2, -1), (2, 1)])
        frame = axes.get_xaxis_transform() if x_or_y == "x" else axes.get_yaxis_transform()
        style: dict[str, Any] = {"transform": frame, "clip_on": False, "zorder": 3}
        axes.plot(x, y, **style, color="white", linewidth=2)
        axes.plot(x, y, **style, color="black", linestyle="", marker=slash, markersize=5, markeredgewidth=0.8)
