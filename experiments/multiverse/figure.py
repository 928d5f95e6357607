"""Pictures of a multiverse: a specification curve for each claim, and all claims in one overview.

Simonsohn, Simmons & Nelson 2020 (doi:10.1038/s41562-020-0912-z).
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.claims.record import SYMBOLS
from experiments.figures.command import is_current
from experiments.multiverse import results
from experiments.multiverse.analysis import FAILED, ROBUST, VERDICTS
from hclm_runner import terminal
from hclm_runner.picture import BLUE, GREY, ORANGE, STYLE, save

FOLDER = "figures"
KINDS = ("png", "svg")
COLOURS = {"SUPPORTED": BLUE, "REFUTED": ORANGE, "INCONCLUSIVE": GREY, "COLLAPSE": "#CC79A7", FAILED: "#000000"}
"""From the colour-blind safe palette of Okabe & Ito."""
SIGNS = SYMBOLS | {FAILED: "–"}
LINEAR = 20.0
"""Effects that span more than so many times their middle half are on a symmetric log axis."""


def write(found: results.Results, folder: Path) -> list[Path]:
    """Draw the overview and each claim's specification curve where they are older than the results."""
    out = folder / FOLDER
    out.mkdir(exist_ok=True)
    sources = [folder / results.FILE, Path(__file__)]
    paths = [out / f"overview.{kind}" for kind in KINDS]
    if not is_current(paths, sources):
        save(overview(found), out / "overview", KINDS)
    for claim in terminal.track(found["claims"], "specification curves"):
        own = [out / f"{stem(claim)}.{kind}" for kind in KINDS]
        paths += own
        if not is_current(own, sources):
            save(specification(claim, found["universes"], found["kinds"]), out / stem(claim), KINDS)
    return paths


def stem(claim: Mapping[str, Any]) -> str:
    """Return the name of the files of a claim's specification curve."""
    return "claim_" + "".join(sign if sign.isalnum() else "_" for sign in claim["id"])


def overview(found: results.Results) -> Figure:
    """Return the share of each verdict in all universes, a bar for each claim: of reconstructions, and of other questions."""
    claims = found["claims"]
    groups = {"reconstructions": "settings vary, the reference's data", "questions": "settings and data vary"}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 1.4 + 0.19 * len(claims)), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (group, words) in zip(panels, groups.items(), strict=True):
            total = sum(claims[0][group].values())
            _bars(axes, [claim[group] for claim in claims])
            axes.set_title(f"{total} universes: {words}", fontsize=8)
            axes.set_xlabel("share of universes (not a probability)")
        panels[0].set_yticks(range(len(claims)), [claim["id"] for claim in claims])
        panels[0].set_ylabel("claim")
        panels[0].invert_yaxis()
        _legend(figure, VERDICTS)
    return figure


def _bars(axes: Axes, counts: Sequence[Mapping[str, int]]) -> None:
    totals = np.array([max(1, sum(own.values())) for own in counts])
    left = np.zeros(len(counts))
    for verdict in VERDICTS:
        width = np.array([own[verdict] for own in counts]) / totals
        axes.barh(range(len(counts)), width, left=left, color=COLOURS[verdict], height=0.8)
        for row in np.flatnonzero(width >= 0.05):
            middle = left[row] + width[row] / 2
            axes.text(middle, row, SIGNS[verdict], ha="center", va="center", color="white", fontsize=6)
        left += width
    for edge in (1 - ROBUST, ROBUST):
        axes.axvline(edge, color="black", linewidth=0.7, linestyle=":")
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1))
    axes.grid(visible=False)


def specification(claim: Mapping[str, Any], universes: Sequence[Mapping[str, Any]], kinds: Mapping[str, str]) -> Figure:
    """Return a claim's specification curve: the effect of each universe in ascending order, and its choices below.

    Effect and interval are those of one part in all universes; colour and sign are the verdict on the whole claim.
    Universes without an effect stand at the right end.
    """
    rows = claim["universes"]
    effects = [math.inf if row["value"] is None else row["value"] for row in rows]
    order = sorted(range(len(rows)), key=lambda i: effects[i])
    rows, universes = [rows[i] for i in order], [universes[i] for i in order]
    levels = varied(universes, kinds)
    height = 0.105 * sum(map(len, levels.values())) + 0.05 * len(levels)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 2.9 + height), layout="constrained")
        curve, matrix = figure.subplots(2, 1, sharex=True, height_ratios=[1.9, max(height, 0.2)])
        _curve(curve, claim, rows)
        _matrix(matrix, universes, levels, [COLOURS[row["verdict"]] for row in rows])
        title = f"{claim['id']}. The paper says: {claim['says']}"
        figure.suptitle(textwrap.fill(title, 100), fontsize=9)
        _legend(figure, [verdict for verdict in VERDICTS if any(row["verdict"] == verdict for row in rows)], rows)
    return figure


def varied(universes: Sequence[Mapping[str, Any]], kinds: Mapping[str, str]) -> dict[str, list[Any]]:
    """Return choice -> its levels, of the choices that vary: settings first, numbers in ascending order."""
    found = {}
    for name in sorted(kinds, key=lambda name: kinds[name] == "question"):
        levels = list(dict.fromkeys(universe["levels"][name] for universe in universes))
        if len(levels) > 1:
            found[name] = sorted(levels, key=lambda level: (isinstance(level, str), level))
    return found


def _curve(axes: Axes, claim: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the effects with their intervals, the bound, and a line of the verdicts' signs."""
    part = claim["part"]
    values = np.array([math.nan if row["value"] is None else row["value"] for row in rows])
    ends = np.array([[math.nan if row[end] is None else row[end] for end in ("low", "high")] for row in rows])
    scale = 100.0 if part and part["unit"] == "%" else 1.0
    for i, (row, value, (low, high)) in enumerate(zip(rows, scale * values, scale * ends, strict=True)):
        colour = COLOURS[row["verdict"]]
        axes.plot([i, i], [low, high], color=colour, linewidth=1, alpha=0.6)
        axes.plot(i, value, "o", color=colour, markersize=2.5)
        place = axes.get_xaxis_transform()
        axes.text(i, 1.01, SIGNS[row["verdict"]], color=colour, transform=place, ha="center", va="bottom", fontsize=5)
    if part:
        bound = scale * part["bound"]
        axes.axhline(bound, color="black", linewidth=0.8, linestyle="--")
        sides = {">": "claimed: above", "<": "claimed: below", "=": "claimed: here"}
        axes.annotate(
            sides[part["sense"]], (1, bound), xycoords=("axes fraction", "data"), xytext=(3, 0),
            textcoords="offset points", va="center", fontsize=6,
        )  # fmt: skip
        unit = f" ({part['unit']})" if part["unit"] else ""
        axes.set_ylabel(textwrap.fill(part["text"] + unit, 38), fontsize=7)
        _scale(axes, scale * values[np.isfinite(values)], bound)
    axes.tick_params(axis="x", length=0)


def _scale(axes: Axes, values: np.ndarray[Any, np.dtype[np.float64]], bound: float) -> None:
    """Set a symmetric log axis where a few effects would press all others on one line."""
    if not len(values):
        return
    around = np.abs(np.append(values, bound))
    middle = float(np.ptp(np.quantile(values, [0.25, 0.75]))) or float(around.max())
    if around.max() > LINEAR * middle > 0:
        axes.set_yscale("symlog", linthresh=max(middle, abs(bound)))


def _matrix(
    axes: Axes, universes: Sequence[Mapping[str, Any]], levels: Mapping[str, Sequence[Any]], colours: Sequence[str]
) -> None:
    """Draw a dot at the level that each universe has of each choice."""
    heights: list[float] = []
    labels, y = [], 0.0
    for name, own in levels.items():
        for i, level in enumerate(own):
            axes.scatter(
                [x for x, universe in enumerate(universes) if universe["levels"][name] == level],
                [y] * sum(universe["levels"][name] == level for universe in universes),
                s=4,
                marker="s",
                c=[colour for universe, colour in zip(universes, colours, strict=True) if universe["levels"][name] == level],
            )
            heights.append(y)
            labels.append(f"{name}   {level}" if i == 0 else str(level))
            y += 1
        y += 0.5
    axes.set_yticks(heights, labels, fontsize=5.5)
    axes.set_ylim(y - 0.4, -0.8)
    axes.set_xlim(-1, len(universes))
    axes.set_xticks([])
    axes.set_xlabel("universes, the effect ascending; those without an effect last")
    axes.grid(visible=False)


def _legend(figure: Figure, verdicts: Sequence[str], rows: Sequence[Mapping[str, Any]] = ()) -> None:
    """Name the verdicts, with the number of universes of each if they are given."""
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in verdicts}
    handles = [
        Line2D([], [], color=COLOURS[verdict], marker="s", linestyle="", markersize=5,
               label=f"{SIGNS[verdict]} {verdict}" + (f" {counts[verdict]}" if rows else ""))
        for verdict in verdicts
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7)
