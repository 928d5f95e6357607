"""The figure of Theorem 3 on real runs: the gap, the paper's expression, and a bound that holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import grid
from experiments.estimate import Estimate
from experiments.statements.base import panel
from experiments.statements.conditional_information import Condition
from experiments.statements.generalisation import Cell, Growth, OverSamples
from hclm_runner.picture import BLUE, GREY, KINDS, ORANGE, STYLE, save

MEASURED: dict[str, Any] = {"linestyle": "-", "marker": "o", "markersize": 2.5, "linewidth": 1}
PRINTED: dict[str, Any] = {"linestyle": "--", "linewidth": 1}
"""Looks of the gap and of the expression."""


def draw(over_samples: OverSamples, conditional: Sequence[Condition], folder: Path) -> list[Path]:
    """Draw the gap and the paper's expression, write PDF, SVG and PNG, return their paths.

    Over n for each surrogate and lam, and for the memoriser; the exponents of S over n; and f-CMI. Means with 95% t
    intervals over seeds, in the last panel over supersamples.

    Args:
        over_samples: What `generalisation.study` returned, of the paper's surrogates.
        conditional: What `conditional_information.study` returned.
        folder: Where to write theorem_3_on_runs.pdf, .svg and .png.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 4.9), layout="constrained")
        halves = figure.add_gridspec(2, 1, height_ratios=[1, 1.12])
        upper, lower = figure.add_subfigure(halves[0]), figure.add_subfigure(halves[1])
        top, (memoriser, exponents, fcmi) = upper.subplots(1, 3, sharey=True), lower.subplots(1, 3)
        for axes, surrogate in zip(top, grid.SURROGATES, strict=True):
            _over_n(axes, [cell for cell in over_samples.cells if cell.surrogate == surrogate])
            axes.set_title(surrogate, loc="left", fontsize=8, fontweight="bold")
        upper.legend(*top[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=6.5)
        _memoriser(memoriser, over_samples)
        _exponents(exponents, over_samples.growth)
        _conditional(fcmi, conditional)
        n = sorted({cell.n for cell in over_samples.cells})
        for axes in (*top, memoriser):
            axes.set(xscale="log", xlabel="training samples n", ylim=(0, None))
            axes.set_xticks(n, [f"{each}" for each in n], fontsize=6.5)
            axes.minorticks_off()
        for axes in (top[0], memoriser, fcmi):
            axes.set_ylabel("test − training error")
        above = "{runs_above} of {runs} runs".format(**over_samples.counts)
        title = f"√(2 s² (S + b)/n) is a diagnostic, not a bound: the gap exceeds it in {above}, and for a memoriser"
        upper.suptitle(title, fontsize=8)
    return save(figure, folder / "theorem_3_on_runs", KINDS)


def _over_n(axes: Axes, cells: Sequence[Cell]) -> None:
    axes.plot([], [], color=GREY, label="0-1 gap", **MEASURED)
    axes.plot([], [], color=GREY, label="expression", **PRINTED)
    lams = sorted({cell.lam0 for cell in cells})
    for lam, colour in zip(lams, mpl.colormaps["viridis"](np.linspace(0.05, 0.87, len(lams))), strict=True):
        own = sorted((cell for cell in cells if cell.lam0 == lam), key=lambda cell: cell.n)
        n = [cell.n for cell in own]
        _errorbar(axes, n, [cell.gap for cell in own], color=colour, label=f"λ = {lam:g}", **MEASURED)
        axes.plot(n, [cell.expression.value for cell in own], color=colour, **PRINTED)


def _memoriser(axes: Axes, found: OverSamples) -> None:
    n, gap, expression = zip(*found.memoriser, strict=True)
    axes.plot(n, gap, color=BLUE, label="0-1 gap", **MEASURED)
    axes.plot(n, expression, color=ORANGE, label="expression", **PRINTED)
    panel(axes, "memoriser")


def _exponents(axes: Axes, growth: Sequence[Growth]) -> None:
    lams = sorted({each.lam0 for each in growth})
    look: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 3, "linewidth": 0.8}
    for i, (surrogate, colour) in enumerate(zip(grid.SURROGATES, (GREY, ORANGE, BLUE), strict=True)):
        for side, quantity, face in ((-1, "entropy", colour), (1, "logdet_rate", "white")):
            of_lam = {
                each.lam0: each.exponent for each in growth if (each.surrogate, each.quantity) == (surrogate, quantity)
            }
            label = surrogate if quantity == "entropy" else None
            x = np.arange(len(lams)) + 0.24 * (i - 1) + 0.05 * side
            _errorbar(axes, x, [of_lam[lam] for lam in lams], color=colour, markerfacecolor=face, label=label, **look)
    axes.plot([], [], color="black", label="of its own S", **look)
    axes.plot([], [], color="black", markerfacecolor="white", label="of the log-det rate", **look)
    axes.axhline(1, color="black", linewidth=0.8, linestyle=":", label="limit of Corollary 1")
    axes.set_xticks(range(len(lams)), [f"{lam:g}" for lam in lams])
    axes.set(xlabel="λ", ylabel="exponent g of S ~ $n^g$")
    panel(axes, "growth of S over n")


def _conditional(axes: Axes, conditions: Sequence[Condition]) -> None:
    looks = {
        "gap": ("0-1 gap", BLUE, "o", BLUE),
        "expression": ("expression", ORANGE, "D", ORANGE),
        "e_bound": ("e-CMI", "black", "^", "black"),
        "f_bound": ("f-CMI", "black", "v", "black"),
        "e_floor": ("e-CMI, shuffled", GREY, "^", "white"),
        "f_floor": ("f-CMI, shuffled", GREY, "v", "white"),
    }
    for i, (name, (label, colour, marker, face)) in enumerate(looks.items()):
        x = np.arange(len(conditions)) + 0.13 * (i - 2.5)
        look: dict[str, Any] = {"linestyle": "", "marker": marker, "markersize": 3.5, "linewidth": 0.8}
        found = [each.found[name] for each in conditions]
        _errorbar(axes, x, found, color=colour, markerfacecolor=face, label=label, **look)
    axes.set_xticks(
        range(len(conditions)), [each.surrogate if each.lam0 else "none" for each in conditions], fontsize=6.5
    )
    lams = ", ".join(f"{lam:g}" for lam in sorted({each.lam0 for each in conditions} - {0}))
    axes.set(xlabel=f"surrogate, λ = {lams}", ylim=(0, None))
    panel(axes, f"f-CMI, n = {conditions[0].n}")


def _errorbar(axes: Axes, x: Any, estimates: Sequence[Estimate], **look: Any) -> None:
    """Plot estimates with their intervals."""
    y, low, high = np.array([(each.value, each.low, each.high) for each in estimates], dtype=float).T
    axes.errorbar(x, y, [y - low, high - y], **look)
