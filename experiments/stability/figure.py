"""The measured maps with the predicted boundary on them."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import FillStyleType

from hclm_runner.picture import BLUE, GREY, ORANGE, STYLE

TITLES = {"plain": "plain", "sgd": "momentum", "adam": "Adam"}
ROWS = {
    "inner": ("ratio", "kp, with ki = {:g} kp", "entropy"),
    "outer": ("noise", "alpha, feedback noise {:g}", "feedback"),
}
"""Map -> what has a row for each of its values, what the y axis says, and of what the delay is."""

LOOKS: dict[float, tuple[str, str, FillStyleType]] = {0.0: (BLUE, "o", "none"), 1.0: (ORANGE, "s", "full")}
"""Share of a cell's runs that are unstable -> colour, mark and its filling."""
MIXED: tuple[str, str, FillStyleType] = (GREY, "D", "full")

Cells = Sequence[Mapping[str, Any]]


def draw(maps: Mapping[str, Cells]) -> Figure:
    """Return a panel for each row of `ROWS` and optimiser: gain over delay, measured and predicted."""
    rows = [(name, value) for name, (key, *_) in ROWS.items() for value in _values(maps[name], key)]
    optimizers = _values(maps["inner"], "optimizer")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 0.4 + 1.95 * len(rows)), layout="constrained")
        panels = figure.subplots(len(rows), len(optimizers), squeeze=False)
        for line, (name, value) in zip(panels, rows, strict=True):
            key, says, late = ROWS[name]
            for axes, optimizer in zip(line, optimizers, strict=True):
                _panel(axes, [cell for cell in maps[name] if (cell["optimizer"], cell[key]) == (optimizer, value)])
                axes.set_xlabel(f"delay of the {late} (epochs)")
            line[0].set_ylabel(says.format(value))
            for axes in line[1:]:
                axes.tick_params(labelleft=False)
        for axes, optimizer in zip(panels[0], optimizers, strict=True):
            axes.set_title(TITLES[optimizer])
        handles = [
            Line2D([], [], color=BLUE, marker="o", linestyle="", fillstyle="none", label="stable"),
            Line2D([], [], color=GREY, marker="D", linestyle="", label="some seeds of each"),
            Line2D([], [], color=ORANGE, marker="s", linestyle="", label="swings by more than a factor of 2"),
            Line2D([], [], color="black", label="predicted boundary, 95% interval"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=7)
    return figure


def _values(cells: Cells, name: str) -> list[Any]:
    """Return the values that the cells have of something, in their order."""
    return list(dict.fromkeys(cell[name] for cell in cells))


def _panel(axes: Axes, cells: Cells) -> None:
    delays, gains = (sorted({cell[name] for cell in cells}) for name in ("delay", "gain"))
    for cell in cells:
        colour, mark, fill = LOOKS.get(cell["share_unstable"], MIXED)
        axes.plot(delays.index(cell["delay"]), cell["gain"], mark, color=colour, fillstyle=fill, markersize=4)
    limits = gains[0] / 1.6, gains[-1] * 1.6
    boundary = {cell["delay"]: cell["critical"] for cell in cells if cell["critical"]}
    if boundary:
        ends = {name: [boundary[delay][name] for delay in delays] for name in ("value", "low", "high")}
        infinite = {name: [np.inf if value is None else value for value in values] for name, values in ends.items()}
        inside = {name: np.clip(values, *limits) for name, values in infinite.items()}
        place = np.arange(len(delays))
        axes.fill_between(place, inside["low"], inside["high"], color="black", alpha=0.15, linewidth=0)
        axes.plot(place, inside["value"], color="black", linewidth=1)
    axes.set_yscale("log", base=2)
    axes.set_ylim(*limits)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(range(len(delays)), [str(delay) for delay in delays])
    axes.set_xlim(-0.5, len(delays) - 0.5)
