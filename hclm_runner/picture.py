"""The picture of one run: its losses, entropy, forces, lam and reward over epochs."""

import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hclm_runner.store import atomically

BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"
"""All but grey from the colour-blind safe palette of Okabe & Ito (https://jfly.uni-koeln.de/color/)."""

KINDS = ("pdf", "svg", "png")
"""The files of a figure that goes into a paper."""

REWARD = "reward, accuracy\n− over-confidence"

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
    """Return the six panels of one run's records over epochs, as wide as two columns of a paper.

    Losses, their gap and the reward; the entropy with the law's set point, if it has one; the forces; and the lam of
    each epoch, which an adaptive law moves.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 4.4), layout="constrained")
        (losses, gap, reward), (entropy, force, lam) = figure.subplots(2, 3, sharex=True)
        classes = bool(records["reward"].notna().any())
        nats = " (nats)" if classes else ""  # a squared error is in the units of its target

        _curve(losses, records, "train_loss", "training set", GREY, "--")
        _curve(losses, records, "test_loss", "test set")
        losses.set_ylabel(f"loss L{nats}")

        gap.axhline(0, color=GREY, linewidth=0.7)
        _curve(gap, records, "gap")
        gap.set_ylabel(f"gap, test − train{nats}")

        _curve(reward, records, "reward")
        reward.set_ylabel(REWARD)
        if not classes:
            style: Any = {"ha": "center", "va": "center", "color": GREY}
            reward.set_yticks([])
            reward.text(0.5, 0.5, "undefined\nwithout classes", transform=reward.transAxes, **style)

        if records["setpoint"].notna().any():
            _curve(entropy, records, "setpoint", "set point", ORANGE, "--")
        _curve(entropy, records, "entropy", "S, training set")
        entropy.set_ylabel("entropy S (nats)")

        _curve(force, records, "loss_force", "of L, ‖∇L‖", GREY, "--")
        _curve(force, records, "force", "of S, ‖∇S‖")
        force.set_ylabel("force\n(nats per unit of θ)")

        _curve(lam, records, "lam")
        lam.set_ylabel("coefficient λ")

        for axes in (force, lam):
            axes.update_datalim([(0, 0)])  # neither is read without its 0

        for axes in figure.axes:
            axes.set_xlabel("epoch" if axes in (entropy, force, lam) else "")
            axes.margins(x=0.02)
            if axes.get_legend_handles_labels()[0]:  # above the axes, where it hides no data
                axes.legend(
                    loc="lower left",
                    bbox_to_anchor=(0, 1),
                    ncols=2,
                    fontsize=7,
                    borderaxespad=0.2,
                    handlelength=1.8,
                    columnspacing=1,
                )
        figure.suptitle(textwrap.fill(title, 90), fontsize=9)
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
            figure.set_layout_engine("none")  # to lay out is half of the work: the first file's layout is that of all
    return list(paths.values())


def _curve(
    axes: Axes, records: pd.DataFrame, column: str, label: str = "", colour: str = BLUE, line: str = "-"
) -> None:
    axes.plot(records["epoch"], records[column], color=colour, linestyle=line, linewidth=1.2, label=label or None)
