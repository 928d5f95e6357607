"""The picture of the comparison: what each method is worth, and what tuning it brings."""

import math
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.baselines.judged import HARMS, HELPS
from hclm_runner.picture import BLUE, GREY, ORANGE, STYLE

COLUMNS = 4
SHOWN = {"scaled_loss": "scaled test loss (nats)", "accuracy": "test accuracy"}
"""Column -> its axis."""


def label(name: str) -> str:
    """Return a method's name as a figure has it."""
    return name.replace("_", " ")


def draw(found: Mapping[str, Any]) -> Figure:
    """Return the interquartile means of each method, over the tuning curves of those that have their own scores.

    Blue helps against `none`, orange harms. Open marks: chosen at equal gradients, where that is another draw.
    """
    names = [*found["budgets"]["trials"]]
    scored = [name for name in names if name != "temperature"]  # whose scores are those of none
    lines = math.ceil(len(scored) / COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 0.22 * len(names) + 1.25 * lines + 0.6), layout="constrained")
        heights = [0.22 * len(names) + 0.4, 1.25 * lines]
        above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
        panels = above.subplots(1, len(SHOWN), sharey=True)
        for axes, (column, says) in zip(panels, SHOWN.items(), strict=True):
            _forest(axes, found["budgets"], column)
            axes.set_xlabel(says)
        panels[0].set_yticks(range(len(names)), [label(name) for name in names])
        panels[0].invert_yaxis()
        grid = below.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False)
        for axes, name in zip(grid.flat, scored, strict=False):
            _curve(axes, found["methods"]["none"]["curve"], GREY, band=False)
            _curve(axes, found["methods"][name]["curve"], BLUE)
            axes.set_title(label(name), fontsize=8)
        for axes in [*grid.flat][len(scored) :]:
            axes.set_visible(False)
        tops = [found["methods"][name]["curve"][0]["best"] for name in scored]
        least = min(found["methods"][name]["curve"][-1]["best"] for name in scored)
        grid[0, 0].set_ylim(least - 0.1, min(max(tops), 2 * least) + 0.1)
        below.supxlabel("draws", fontsize=8)
        below.supylabel("median of the best (nats, feedback split)", fontsize=8)
    return figure


def _forest(axes: Axes, budgets: Mapping[str, Any], column: str) -> None:
    """Draw the interval of each method; a line at the value of none."""
    for budget, face in (("trials", None), ("gradients", "white")):
        for place, (name, row) in enumerate(budgets[budget].items()):
            if budget == "gradients" and row["settings"] == budgets["trials"][name]["settings"]:
                continue
            value, low, high = (row[column][key] for key in ("value", "low", "high"))
            verdict = row.get("against", {}).get("none", {}).get("verdict")
            colour = {HELPS: BLUE, HARMS: ORANGE}.get(verdict, GREY)
            at = place + (0.25 if face else 0)
            axes.plot([low, high], [at, at], color=colour, linewidth=1)
            axes.plot(value, at, "o", color=colour, markersize=4, markerfacecolor=face or colour)
    axes.axvline(budgets["trials"]["none"][column]["value"], color=GREY, linewidth=0.7, linestyle=":")


def _curve(axes: Axes, curve: list[dict[str, Any]], colour: str, *, band: bool = True) -> None:
    """Draw a tuning curve; where its band has no end, the band leaves the panel."""
    x = [point["draws"] for point in curve]
    if band:
        low = [-1e3 if point["low"] is None else point["low"] for point in curve]
        high = [1e3 if point["high"] is None else point["high"] for point in curve]
        axes.fill_between(x, low, np.minimum(high, 1e3), color=colour, alpha=0.15, linewidth=0, step=None)
    axes.plot(x, [point["best"] for point in curve], color=colour, linewidth=1.2)
