"""The paper's Figures 3-32: the scaling model (3, 4), and the runs of a store (5-32).

    python -m experiments.figures paper

A figure is a row of `FIGURES`, and drawing is a pure function of a row and a grid of runs. It shows the mean over seeds
with its 95% t interval: error bars over the base lam, where a value is that of the last 5 epochs, and bands over
epochs. Runs that diverged are left out of the mean, and counted above the axes. Each figure is written as PDF, SVG and
PNG, as wide as one column, and drawn again only when the runs or the drawing code are newer than it.

Imports neither torch nor hydra.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
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
from hclm_runner import picture, store
from hclm_runner.picture import BLUE, GREY, ORANGE, STYLE
from hclm_runner.refusal import ConfigError
from hclm_runner.terminal import track

Array = NDArray[np.float64]


class Row(NamedTuple):
    """One figure of one column: of the three regimes over base lam, or of one regime's base lams over epochs."""

    number: int
    surrogate: str
    regime: str | None
    """The regime whose epochs are shown; None for the final values of all three over base lam."""
    column: str

    @property
    def stem(self) -> str:
        """The name of its files, as in fig22_logdet_fixed_test_loss."""
        return "_".join([f"fig{self.number:02}", self.surrogate, *filter(None, [self.regime]), self.column])


FIGURES = (
    Row(5, "softmax", None, "test_loss"),
    Row(6, "softmax", None, "gap"),
    Row(7, "softmax", None, "force"),
    Row(8, "softmax", None, "entropy"),
    Row(9, "softmax", None, "lam"),
    Row(10, "softmax", None, "reward"),
    Row(11, "variance", None, "test_loss"),
    Row(12, "variance", None, "gap"),
    Row(13, "variance", None, "force"),
    Row(14, "variance", None, "lam"),
    Row(15, "variance", None, "reward"),
    Row(16, "logdet", None, "test_loss"),
    Row(17, "logdet", None, "gap"),
    Row(18, "logdet", None, "force"),
    Row(19, "logdet", None, "entropy"),
    Row(20, "logdet", None, "lam"),
    Row(21, "logdet", None, "reward"),
    Row(22, "logdet", "fixed", "test_loss"),
    Row(23, "logdet", "fixed", "force"),
    Row(24, "logdet", "fixed", "entropy"),
    Row(25, "logdet", "thermostat", "test_loss"),
    Row(26, "logdet", "thermostat", "force"),
    Row(27, "logdet", "thermostat", "lam"),
    Row(28, "logdet", "thermostat", "reward"),
    Row(29, "logdet", "rl_thermostat", "test_loss"),
    Row(30, "logdet", "rl_thermostat", "force"),
    Row(31, "logdet", "rl_thermostat", "lam"),
    Row(32, "logdet", "rl_thermostat", "reward"),
)

LABELS = {
    "test_loss": "test loss (nats)",
    "gap": "gap, test − train (nats)",
    "force": "force ‖∇S‖\n(nats per unit of θ)",
    "force_ratio": "force ratio\nλ‖∇S‖ / ‖∇L‖",
    "entropy": "entropy S (nats)",
    "lam": "adaptive λ",
    "reward": "reward",
}
"""With units. Plain text, no TeX, which would take a second font: embedding fonts is most of the time of a PDF."""


class Look(NamedTuple):
    """How a regime looks, in every figure."""

    name: str
    colour: str
    marker: str


LOOKS = {
    "fixed": Look("fixed", BLUE, "o"),
    "thermostat": Look("thermostat", ORANGE, "s"),
    "rl_thermostat": Look("RL thermostat", "#009E73", "^"),
}
CASES = {0.5: ("weak", "#E69F00", "-."), 1.0: ("balanced", "#56B4E9", "--"), 1.5: ("excessive", "#CC79A7", ":")}
"""Exponent b of the dissipation D0 s^b -> how it looks beside the injection I0 s^a (Proposition 4)."""
I0, D0, a = 2.0, 1.0, 1.0  # illustrative values of ours, as the exponents b are

DECADES = ("lam", "force", "force_ratio")
"""Columns on a log scale where they span a decade."""
WIDTH = 3.4
"""Inches: one column of a paper."""
KINDS = ("pdf", "svg", "png")


def draw(row: Row, runs: xr.Dataset, seeds: bool = False) -> Figure:
    """Return one of Figures 5-32, entropies and losses in nats.

    A raw force depends on how its surrogate is scaled: where surrogates are compared, the scale-free force_ratio stands
    in a panel below.

    Args:
        row: Which figure.
        runs: The grid, as `grid.load` gives it, complete or not.
        seeds: Whether each seed is a thin line, too.
    """
    over, ncols = (_over_lam, 3) if row.regime is None else (_over_epochs, 4)
    columns = ("force", "force_ratio") if row.column == "force" and row.regime is None else (row.column,)
    with mpl.rc_context(STYLE):
        figure, panels = _blank(len(columns))
        for axes, column in zip(panels, columns, strict=True):
            axes.set_ylabel(LABELS[column])
            over(axes, row, runs, column, seeds)
        panels[-1].set_xlabel("base λ" if row.regime is None else "epoch")
        title = row.surrogate if row.regime is None else f"{row.surrogate}, {LOOKS[row.regime].name}; base λ"
        if missing := len(runs.attrs["missing"]):
            every = runs["train_loss"].isel(epoch=0).size
            figure.supxlabel(f"incomplete: {every - missing} of {every} runs", color=ORANGE, fontsize=8)
        _lay_out(figure, panels[0], title, ncols)
    return figure


def draw_model(ratio: bool) -> Figure:
    """Return Figure 3, injection I0 s^a and dissipation D0 s^b over the scale s, or Figure 4, their ratio.

    Dissipation is weak (b < a), balanced (b = a) or excessive (b > a). The exponents and I0, D0 are illustrative values
    of ours: a = 1, b = 0.5, 1 and 1.5, I0 = 2, D0 = 1.
    """
    s = np.geomspace(1, 1000)
    injection = I0 * s**a
    with mpl.rc_context(STYLE):
        figure, (axes,) = _blank()
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
        _lay_out(figure, axes, title, 3 if ratio else 2)
    return figure


def diverged(runs: xr.Dataset) -> xr.DataArray:
    """Return which runs began and did not reach the last epochs."""
    return runs["train_loss"].isel(epoch=0).notnull() & grid.final(runs)["train_loss"].isnull()


def _blank(panels: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, 0.8 + 1.7 * panels))
    every = list(figure.subplots(panels, sharex=True, squeeze=False)[:, 0])
    for axes in every:
        axes.tick_params(labelsize=7)
    return figure, every


def _lay_out(figure: Figure, axes: Axes, title: str, ncols: int) -> None:
    """Put the legend above the axes, where it hides no data, and lay the figure out once for all kinds of files."""
    handles, names = axes.get_legend_handles_labels()
    by_row = [i for first in range(ncols) for i in range(first, len(names), ncols)]
    figure.legend(
        [handles[i] for i in by_row],
        [names[i] for i in by_row],
        title=title,
        ncols=ncols,
        loc="outside upper center",
        fontsize=7,
        handlelength=1.8,
        columnspacing=1.2,
        borderpad=0,
    )
    for _ in range(2):  # the second time with the ticks that fit what the first left of the axes
        ConstrainedLayoutEngine().execute(figure)


def _over_lam(axes: Axes, row: Row, runs: xr.Dataset, column: str, seeds: bool) -> None:
    own = runs.sel(surrogate=row.surrogate)
    final, ended = grid.final(own), diverged(own)
    mean, half = grid.interval(final[column])
    lam = own["lam0"].to_numpy()

    def broken(values: Array) -> Array:
        """Let no line lead from lam = 0 to the next: on a log axis there is no distance between them."""
        return np.insert(values, 1, np.nan, axis=0) if lam[0] == 0 else values

    marks = []
    for i, (regime, look) in enumerate(LOOKS.items()):
        # A little aside, so that equal values stay visible.
        x = broken(np.where(lam > 0, lam * 1.1 ** (i - 1), (i - 1) * 0.07 * lam[lam > 0].min(initial=lam.max())))
        if seeds:
            each = final[column].sel(regime=regime).transpose("lam0", "seed").to_numpy()
            axes.plot(x, broken(each), color=look.colour, linewidth=0.4, alpha=0.5, marker=".", markersize=1.5)
        if column == "entropy":
            target = final["setpoint"].sel(regime=regime).mean("seed").to_numpy()
            axes.plot(x, broken(target), color=look.colour, linewidth=0.8, linestyle=":", marker="_")
        y, error = (broken(part.sel(regime=regime).to_numpy()) for part in (mean, half))
        style: dict[str, Any] = {"marker": look.marker, "markersize": 3, "linewidth": 1, "capsize": 1.5}
        axes.errorbar(x, y, error, color=look.colour, label=look.name, **style)
        died = ended.sel(regime=regime).sum("seed").to_numpy()
        marks.append((lam[died > 0], died.sum(), look.colour))
    if column == "entropy":
        axes.errorbar([], [], color=GREY, linewidth=0.8, linestyle=":", marker="_", label="set point")
    _finish(axes, row, runs, column, [mean, mean + half, *([final[column]] if seeds else [])], marks)
    _log(axes.xaxis, lam, lam[:: -(-len(lam) // 9)], lam)


def _over_epochs(axes: Axes, row: Row, runs: xr.Dataset, column: str, seeds: bool) -> None:
    own = runs.sel(surrogate=row.surrogate, regime=row.regime)
    ended, lasted = diverged(own), own["train_loss"].notnull().sum("epoch")
    values = own[column].where(~ended)
    mean, half = grid.interval(values)
    lams, epoch = own["lam0"].to_numpy(), own["epoch"].to_numpy()
    shades = iter(mpl.colormaps["viridis"](np.linspace(0.87, 0.05, np.count_nonzero(lams))))
    marks = []
    for lam in lams:
        colour = next(shades) if lam else "black"
        y, error = (part.sel(lam0=lam).to_numpy() for part in (mean, half))
        if seeds:
            each = values.sel(lam0=lam).transpose("epoch", "seed").to_numpy()
            axes.plot(epoch, each, color=colour, linewidth=0.3, alpha=0.5)
        axes.fill_between(epoch, y - error, y + error, color=colour, alpha=0.15, linewidth=0)
        axes.plot(epoch, y, color=colour, linewidth=1, linestyle="-" if lam else "--", label=f"{lam:g}")
        died = lasted.sel(lam0=lam).to_numpy()[ended.sel(lam0=lam)]
        marks.append((died, died.size, colour))
    _finish(axes, row, runs, column, [mean, mean + half, *([values] if seeds else [])], marks)
    axes.margins(x=0.02)


def _finish(axes: Axes, row: Row, runs: xr.Dataset, column: str, shown: list[Any], marks: list[Any]) -> None:
    """Add the reference lines, a log scale where one is due, and marks of the runs that diverged.

    Args:
        axes: Where.
        row: Which figure.
        runs: The grid.
        column: What is on the y axis.
        shown: The values that must be in sight.
        marks: The places on the x axis where runs diverged, how many, and the colour of their curve.
    """
    references = _references(row, runs, column)
    for name, level in references.items():
        axes.axhline(level, color=GREY, linewidth=0.7, zorder=1)
        axes.text(1.01, level, name, transform=axes.get_yaxis_transform(), va="center", fontsize=7, color=GREY)
    values = np.concatenate([*shown, list(references.values())], axis=None)
    positive = values[values > 0]
    if column in DECADES and positive.size and positive.max() >= 10 * positive.min():
        decades = 10 ** np.arange(np.ceil(np.log10(positive.min())), np.floor(np.log10(positive.max())) + 1)
        ticks = np.outer([0.3, 1, 3], decades) if len(decades) < 3 else decades[:: -(-len(decades) // 6)]
        _log(axes.yaxis, values, ticks, np.outer(range(2, 10), [decades[0] / 10, *decades]))
    for i, (x, count, colour) in enumerate(mark for mark in marks if mark[1]):
        above = ScaledTranslation(0, (6 + 8 * i) / 72, axes.figure.dpi_scale_trans)
        style: dict[str, Any] = {"color": colour, "clip_on": False}
        axes.plot(x, np.ones(len(x)), "x", markersize=4, transform=axes.get_xaxis_transform() + above, **style)
        axes.text(1.01, 1, f"{count} diverged", transform=axes.transAxes + above, va="center", fontsize=7, **style)


def _references(row: Row, runs: xr.Dataset, column: str) -> dict[str, float]:
    """Return the levels a column is read against, by name: no gap, the bounds of lam, chance."""
    config = runs.attrs["config"]
    if column == "gap":
        return {"": 0.0}
    if column == "lam":
        law = config.get(f"regime {row.regime or 'thermostat'}", {})
        return {name: law[key] for name, key in (("λ min", "lam_min"), ("λ max", "lam_max")) if key in law}
    law = config.get("regime thermostat", {})
    if column == "test_loss" and law.get("setpoint", 0) is None:  # then its set point is kappa log K
        return {"log K": runs["setpoint"].sel(regime="thermostat").mean().item() / law["kappa"]}
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
    if zero:
        along, across = [0.4 * low, 0.6 * low], [0, 0]
        x, y, slash = (along, across, [(-1, -2), (1, 2)]) if x_or_y == "x" else (across, along, [(-2, -1), (2, 1)])
        frame = axes.get_xaxis_transform() if x_or_y == "x" else axes.get_yaxis_transform()
        style: dict[str, Any] = {"transform": frame, "clip_on": False, "zorder": 3}
        axes.plot(x, y, **style, color="white", linewidth=2)
        axes.plot(x, y, **style, color="black", linestyle="", marker=slash, markersize=5, markeredgewidth=0.8)


def figures(runs: xr.Dataset, seeds: bool = False) -> dict[int, tuple[str, Callable[[], Figure]]]:
    """Return number -> the stem of its files and what draws it, for Figures 3-32."""
    suffix = "_seeds" if seeds else ""
    model = {3: ("fig03_rates", partial(draw_model, False)), 4: ("fig04_ratio", partial(draw_model, True))}
    return {**model, **{row.number: (row.stem + suffix, partial(draw, row, runs, seeds)) for row in FIGURES}}


def is_current(paths: Sequence[Path], sources: Sequence[Path]) -> bool:
    """Return whether all files are there and newer than every source."""
    if not all(path.exists() for path in paths):
        return False
    return min(path.stat().st_mtime_ns for path in paths) > max(path.stat().st_mtime_ns for path in sources)


def make(options: argparse.Namespace) -> None:
    """Draw what was asked for and is not up to date, and say where it is.

    Raises:
        ConfigError: If there is no such store, task or figure, or runs are missing and that was not allowed.
        OSError: If the disk refuses.
    """
    grids = grid.load(options.store)
    runs = grid.only(grids, options.task)
    if not options.incomplete:
        grid.complete(runs)
    known = figures(runs, options.seeds)
    if unknown := set(options.only) - set(known):
        raise ConfigError("--only", min(unknown), f"numbers from {min(known)} to {max(known)}")
    folder = store.locate(options.store)
    out = (options.out or folder / "figures") / (options.task if len(grids) > 1 else "")
    out.mkdir(parents=True, exist_ok=True)

    # What figures in another folder, or of an incomplete grid, were drawn from is not known.
    trusted = options.out is None and not runs.attrs["missing"] and not options.force
    sources = [*(folder / "records").glob("*.parquet"), *map(Path, (__file__, grid.__file__, picture.__file__))]
    wanted = sorted(set(options.only) or known)
    jobs = {}
    with ProcessPoolExecutor(2) as pool:
        for number in wanted:
            stem, figure = known[number]
            if not (trusted and is_current([out / f"{stem}.{kind}" for kind in KINDS], sources)):
                jobs[number] = pool.submit(_write, figure, out / stem)
        for job in track(list(jobs.values()), "figures"):
            job.result()
    drawn, current = list(jobs), [number for number in wanted if number not in jobs]
    for what, numbers in (("drawn", drawn), ("up to date", current)):
        if numbers:
            print(f"{len(numbers)} figure{'s' if len(numbers) > 1 else ''} {what}: {', '.join(map(str, numbers))}")
    print(f"  {out}/")


def _write(figure: Callable[[], Figure], stem: Path) -> None:
    picture.save(figure(), stem, KINDS, dpi=300)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, or 2 if it was refused."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.figures",
        description="Draw Figures 3-32 of the paper from a finished store of runs, as PDF, SVG and PNG.",
    )
    add = parser.add_argument
    add("store", nargs="?", default="paper", help="its name under outputs/, or its path (default: paper)")
    add("--only", nargs="+", type=int, default=[], metavar="N", help="the numbers of the figures wanted (default: all)")
    add("--out", type=Path, metavar="DIR", help="where to, always drawn anew (default: STORE/figures)")
    add("--task", metavar="NAME", help="which task, of a store that has several; it gets a folder of its own in DIR")
    add("--seeds", action="store_true", help="show each seed as a thin line, in files named ..._seeds")
    add("--incomplete", action="store_true", help="draw though runs are missing, and say so on each figure")
    add("--force", action="store_true", help="draw what is up to date, too")
    try:
        make(parser.parse_args(arguments))
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
