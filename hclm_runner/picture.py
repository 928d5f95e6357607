"""The picture of one run: force, entropy, gap and reward over epochs."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hclm_runner.store import atomically

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"
"""From the colour-blind safe palette of Okabe & Ito (https://jfly.uni-koeln.de/color/)."""

KINDS = ("pdf", "svg", "png")
"""The files of a figure that goes into a paper."""

STYLE: Any = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: it can be searched, and set in the paper's font
    "svg.hashsalt": "hclm_runner",  # the same run draws the same file
    "pdf.fonttype": 42,  # TrueType, which printers and journals ask for
}

_UNDATED: dict[str, Any] = {"png": None, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""The metadata that keep the date out of a file: the same figure is the same bytes."""


def draw(records: pd.DataFrame, title: str) -> Figure:
    """Return the four panels of one run's records, as wide as two columns of a paper."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 4.4), layout="constrained")
        (force, entropy), (gap, reward) = figure.subplots(2, 2, sharex=True)
        epoch = records["epoch"]

        force.plot(epoch, records["force"], color=BLUE, label=r"$F=\|\nabla S\|$")
        force.plot(epoch, records["loss_force"], color=GREY, linestyle="--", label=r"$\|\nabla L\|$")
        _label(force, "force", "force (nats per unit of θ)")

        entropy.plot(epoch, records["entropy"], color=BLUE, label="$S$, training set")
        if records["setpoint"].notna().any():
            entropy.plot(epoch, records["setpoint"], color=ORANGE, linestyle="--", label="set point")
        _label(entropy, "entropy", "entropy (nats)")

        gap.plot(epoch, records["gap"], color=BLUE, label="test − train loss")
        gap.axhline(0, color=GREY, linewidth=0.7)
        _label(gap, "gap", "gap (nats)")

        if records["reward"].notna().any():
            reward.plot(epoch, records["reward"], color=BLUE, label="audit reward, test split")
        else:
            reward.text(
                0.5, 0.5, "undefined without classes", ha="center", va="center", transform=reward.transAxes, color=GREY
            )
        _label(reward, "reward", "reward")

        for axes in (gap, reward):
            axes.set_xlabel("epoch")
        figure.suptitle(title, fontsize=9)
    return figure


def save(figure: Figure, stem: Path, kinds: Sequence[str] = ("png", "svg"), dpi: int = 200) -> list[Path]:
    """Write the figure as stem.png and stem.svg, or as other kinds of file, and return their paths.

    Raises:
        OSError: If the disk refuses.
    """
    paths = {kind: stem.with_name(f"{stem.name}.{kind}") for kind in kinds}
    with mpl.rc_context(STYLE):
        for kind, path in paths.items():
            atomically(path, partial(figure.savefig, dpi=dpi, metadata=_UNDATED[kind]))
    return list(paths.values())


def _label(axes: Axes, name: str, unit: str) -> None:
    axes.set_ylabel(unit)
    axes.set_title(name, loc="left", fontsize=8, fontweight="bold")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7)
