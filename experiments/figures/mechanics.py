"""Two figures of a whole grid: which runs are effective by Definition 1, and the balance of Theorem 2 in training."""

from collections.abc import Callable
from functools import partial

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments import grid
from experiments.figures.draw import blank, lay_out, mean
from experiments.figures.table import COLOURS, label, looks
from hclm_runner.analysis import F_MIN
from hclm_runner.picture import BLUE, GREY, ORANGE, STYLE

BALANCE = ("entropy", "injected", "dissipated", "other", "closure")
"""What the balance is drawn from."""
WEAK, STRONG = 0.03, 0.3
"""The balance is drawn at the base lam nearest to these: where the loss raises S, and where S is held."""
CONSTANTS = np.geomspace(0.001, 1, 61)
"""The f_min of Definition 1 that are tried."""
ROUNDING = 1e-3
"""A part of the balance that is nowhere more than this share of the greatest change of S is not drawn."""
DASHES = ("-", "--", ":", "-.")


def of_grid(runs: xr.Dataset) -> dict[str, Callable[[], Figure]]:
    """Return what draws the figures that a grid has runs for, by the stem of their files."""
    found: dict[str, Callable[[], Figure]] = {}
    above = runs.sel(lam0=runs["lam0"] > 0)
    if above["share"].notnull().any():
        found["definition_1"] = partial(draw_definition_1, above)
    if "logdet" in runs["surrogate"] and "fixed" in runs["regime"]:
        held = above.sel(surrogate="logdet", regime="fixed")
        held = held.sel(lam0=held["injected"].notnull().any(["seed", "epoch"]))
        if held.sizes["lam0"]:
            found["balance"] = partial(draw_balance, held)
    return found


def effective(runs: xr.Dataset, f_min: float) -> xr.DataArray:
    """Return whether each run is effective by Definition 1, 1 or 0; NaN where there is no such run."""
    return grid.effective(runs, f_min).where(runs["train_loss"].isel(epoch=0).notnull())


def draw_definition_1(runs: xr.Dataset) -> Figure:
    """Return the share of runs that are effective over f_min: a panel for each law, a curve for each surrogate.

    The interval is over data sets, of each one's share of the base lam.

    Args:
        runs: Those at a base lam above 0.
    """
    shares = xr.concat([effective(runs, f_min).mean("lam0") for f_min in CONSTANTS], "f_min")
    estimate = mean(shares.to_dataset(name="effective"), "effective")
    laws = looks(runs["regime"].to_numpy().tolist())
    with mpl.rc_context(STYLE):
        figure, panels = blank(len(laws))
        for axes, (regime, law) in zip(panels, laws.items(), strict=True):
            for i, surrogate in enumerate(runs["surrogate"].to_numpy().tolist()):
                place = {"surrogate": surrogate, "regime": regime}
                y, low, high = (part.sel(place).to_numpy() for part in (estimate.value, estimate.low, estimate.high))
                colour = COLOURS[i % len(COLOURS)]
                axes.plot(CONSTANTS, y, color=colour, linestyle=DASHES[i % len(DASHES)], label=label(surrogate))
                axes.fill_between(CONSTANTS, low.clip(0, 1), high.clip(0, 1), color=colour, alpha=0.15, linewidth=0)
            axes.axvline(F_MIN, color=GREY, linewidth=0.7, zorder=1)
            axes.set(xscale="log", ylim=(-0.03, 1.03), ylabel=f"{law.name}\nshare of runs")
            axes.xaxis.set_major_formatter("{x:g}")
        panels[0].text(F_MIN, 1.06, f"{F_MIN:g}", ha="center", fontsize=7, color=GREY)
        panels[-1].set_xlabel("f_min, the least ‖D_S‖ / ‖D_L‖ that counts")
        lay_out(figure, panels[0], "runs at λ > 0 that are effective (Definition 1)", 4)
    return figure


def draw_balance(runs: xr.Dataset) -> Figure:
    """Return what each epoch did to S: the change, injected and dissipated, at a weak and at a strong base lam.

    Args:
        runs: Those of one surrogate and law, at base lam above 0.
    """
    lams = runs["lam0"].to_numpy()
    near = {lams[np.abs(np.log(lams / wanted)).argmin()] for wanted in (WEAK, STRONG)}
    epoch = runs["epoch"].to_numpy()[1:]
    with mpl.rc_context(STYLE):
        figure, panels = blank(len(near))
        for axes, lam in zip(panels, sorted(near), strict=True):
            own = runs.sel(lam0=lam)
            change = own["entropy"].diff("epoch")
            parts = own[["injected", "dissipated", "other"]].isel(epoch=slice(1, None)).assign(change=change)
            curves = {
                "injected by the loss": ("injected", 1, BLUE, "-"),
                "dissipated by the term": ("dissipated", -1, ORANGE, "--"),
                "by the rest": ("other", 1, GREY, "-."),
                "change of S": ("change", 1, "black", ":"),
            }
            for name, (column, sign, colour, line) in curves.items():
                if not np.abs(parts[column]).max() > ROUNDING * np.abs(change).max():
                    continue
                estimate = mean(sign * parts, column)
                y, half = estimate.value.to_numpy(), estimate.half.to_numpy()
                axes.plot(epoch, y, color=colour, linestyle=line, linewidth=1, label=name)
                axes.fill_between(epoch, y - half, y + half, color=colour, alpha=0.15, linewidth=0)
            axes.axhline(0, color=GREY, linewidth=0.7, zorder=1)
            axes.set_ylabel(f"base λ = {lam:g}\nnats an epoch")
            error = closure_error(own)
            axes.set_title(f"closure error {error:.2%} of the change (rms)", fontsize=7, color=GREY, loc="right")
        panels[-1].set_xlabel("epoch")
        lay_out(figure, panels[0], f"{label(str(runs['surrogate'].item()))}, fixed: what an epoch did to S", 2)
    return figure


def closure_error(runs: xr.Dataset) -> float:
    """Return rms closure / rms dS over the runs and epochs: how far the two sides miss the change of S."""
    change = runs["entropy"].diff("epoch")
    return float(np.sqrt((runs["closure"] ** 2).mean() / (change**2).mean()))
