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
from matplotlib.ticker import PercentFormatter

from experiments.claims.judge import BEYOND
from experiments.claims.statistics import Array
from experiments.figures.command import is_current
from experiments.multiverse import results
from experiments.multiverse.analysis import FAILED, MATTERS, ROBUST, SIGNS, VERDICTS
from experiments.multiverse.design import REFERENCE
from hclm_runner import terminal
from hclm_runner.picture import BLUE, GREY, ORANGE, PINK, STYLE, save

FOLDER = "figures"
KINDS = ("png", "svg")
COLOURS = {"SUPPORTED": BLUE, "REFUTED": ORANGE, "INCONCLUSIVE": GREY, "COLLAPSE": PINK, FAILED: "#000000"}
"""From the colour-blind safe palette of Okabe & Ito."""
FLAT = 20.0
"""Effects that reach further than so many times the span of their middle half are on a symmetric log axis."""


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
    """Return the share of each verdict, a bar for each claim: of reconstructions, and of universes with other data."""
    claims = found["claims"]
    groups = {"reconstructions": "settings vary", "questions": "settings and data vary"}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 1.1 + 0.19 * len(claims)), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (group, words) in zip(panels, groups.items(), strict=True):
            _bars(axes, [claim[group] for claim in claims])
            axes.set_title(f"{sum(claims[0][group].values())} universes: {words}", fontsize=8)
            axes.set_xlabel("share of universes (not a probability)")
        panels[0].set_yticks(range(len(claims)), [claim["id"] for claim in claims])
        for label, claim in zip(panels[0].get_yticklabels(), claims, strict=True):
            label.set_fontweight("bold" if claim["robust"] else "normal")
        panels[0].set_ylabel(f"claim; bold: one verdict in {ROBUST:.0%} of the left panel's universes")
        panels[0].set_ylim(len(claims) - 0.4, -0.6)
        _legend(figure, VERDICTS)
    return figure


def _bars(axes: Axes, counts: Sequence[Mapping[str, int]]) -> None:
    totals = np.array([max(1, sum(own.values())) for own in counts])
    left = np.zeros(len(counts))
    for verdict in VERDICTS:
        width = np.array([own[verdict] for own in counts]) / totals
        axes.barh(range(len(counts)), width, left=left, color=COLOURS[verdict], height=0.8)
        for row in map(int, np.flatnonzero(width >= 0.05)):
            middle, ink = left[row] + width[row] / 2, "black" if verdict == "COLLAPSE" else "white"
            axes.text(middle, row, SIGNS[verdict], ha="center", va="center", color=ink, fontsize=6)
        left += width
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(visible=False)


def specification(claim: Mapping[str, Any], universes: Sequence[Mapping[str, Any]], kinds: Mapping[str, str]) -> Figure:
    """Return a claim's specification curve: the effect of each universe in ascending order, and its choices below.

    Effect and interval are those of one part in all universes; colour and sign are the verdict on the whole claim.
    At the right of each choice stands the share of the effect's variance that it explains. The reference is marked, and
    a line parts the settings from the choices of the data.
    """
    rows = claim["universes"]
    effects = [math.inf if row["value"] is None else row["value"] for row in rows]
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["value"] is None, effects[i]))
    rows, universes = [rows[i] for i in order], [universes[i] for i in order]
    levels = varied(universes, kinds)
    height = 0.105 * sum(map(len, levels.values())) + 0.05 * len(levels)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 2.9 + height), layout="constrained")
        curve, matrix = figure.subplots(2, 1, sharex=True, height_ratios=[1.9, max(height, 0.2)])
        _curve(curve, claim["part"], rows)
        _matrix(matrix, universes, levels, [COLOURS[row["verdict"]] for row in rows])
        for name in [name for name in levels if kinds[name] == "question"][:1]:
            matrix.axhline(_heights(levels)[name] - 0.75, color=GREY, linewidth=0.5)
        _explained(matrix, levels, claim["explained"] or {})
        for place in [i for i, universe in enumerate(universes) if universe["title"] == REFERENCE]:
            for axes in (curve, matrix):
                axes.axvline(place, color="black", linewidth=4, alpha=0.12, zorder=0)
            where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "fontsize": 6}
            curve.annotate("the reference", (place, 0), (3, 2), va="bottom", **where)
        judged = f" ({claim['reading']} reading; runs judged at the {claim['view'].replace('chosen', 'chosen epoch')})"
        figure.suptitle(textwrap.fill(f"{claim['id']}. The paper says: {claim['says']}{judged}", 100), fontsize=9)
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


def _curve(axes: Axes, part: Mapping[str, Any] | None, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the effects with their intervals, the bound, and a line of the verdicts' signs.

    An effect that only runs which diverged reach is an arrow at the edge.
    """
    edge = axes.get_xaxis_transform()
    scale = 100.0 if part and part["unit"] == "%" else 1.0
    shown: list[float] = []
    for i, row in enumerate(rows):
        colour = COLOURS[row["verdict"]]
        axes.text(i, 1.01, SIGNS[row["verdict"]], color=colour, transform=edge, ha="center", va="bottom", fontsize=5)
        if row["value"] is None:
            continue
        if abs(row["value"]) >= BEYOND:
            up = row["value"] > 0
            axes.plot(i, 0.98 if up else 0.02, "^" if up else "v", color=colour, markersize=3, transform=edge)
            continue
        shown.append(scale * row["value"])
        axes.plot(i, shown[-1], "o", color=colour, markersize=2.5)
        if row["low"] is not None and row["high"] is not None:
            ends = np.clip([row["low"], row["high"]], -BEYOND, BEYOND)
            axes.plot([i, i], scale * ends, color=colour, linewidth=1, alpha=0.6)
    if part:
        bound = scale * part["bound"]
        _scale(axes, np.array(shown), bound)
        axes.axhline(bound, color="black", linewidth=0.8, linestyle="--")
        sides = {">": "claimed:\nabove", "<": "claimed:\nbelow", "=": "claimed:\nhere"}
        where: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "fontsize": 6}
        axes.annotate(sides[part["sense"]], (1, bound), (3, 0), va="center", **where)
        unit = f" ({part['unit']})" if part["unit"] else ""
        axes.set_ylabel(textwrap.fill(part["text"] + unit, 38), fontsize=7)
    axes.tick_params(axis="x", length=0)


def _scale(axes: Axes, values: Array, bound: float) -> None:
    """Keep the effects in sight, whatever the intervals; on a symmetric log axis where a few would flatten the rest."""
    if not len(values):
        return
    low, high = min(values.min(), bound), max(values.max(), bound)
    middle = float(np.ptp(np.quantile(values, [0.25, 0.75]))) or max(abs(low), abs(high))
    if max(abs(low), abs(high)) > FLAT * middle > 0:
        axes.set_yscale("symlog", linthresh=max(middle, abs(bound)))
        axes.set_ylim(low - 0.5 * abs(low), high + 0.5 * abs(high))
    else:
        room = 0.25 * (high - low or 1.0)
        axes.set_ylim(low - room, high + room)


def _matrix(
    axes: Axes, universes: Sequence[Mapping[str, Any]], levels: Mapping[str, Sequence[Any]], colours: Sequence[str]
) -> None:
    """Draw a dot at the level that each universe has of each choice."""
    heights = _heights(levels)
    for name, own in levels.items():
        y = [heights[name] + own.index(universe["levels"][name]) for universe in universes]
        axes.scatter(range(len(universes)), y, s=4, marker="s", c=colours)
    ticks = {heights[name] + i: f"{level}" if i else f"{name}   {level}" for name, own in levels.items()
             for i, level in enumerate(own)}  # fmt: skip
    axes.set_yticks(list(ticks), list(ticks.values()), fontsize=5.5)
    axes.set_ylim(max(ticks, default=0) + 0.8, -1.2)
    axes.set_xlim(-1, len(universes))
    axes.set_xticks([])
    axes.set_xlabel("universes, the effect ascending; triangle: out of range, as runs diverged; last: no effect")
    axes.grid(visible=False)


def _heights(levels: Mapping[str, Sequence[Any]]) -> dict[str, float]:
    """Return at which height the first level of each choice stands: half a line between two choices."""
    heights, y = {}, 0.0
    for name, own in levels.items():
        heights[name] = y
        y += len(own) + 0.5
    return heights


def _explained(axes: Axes, levels: Mapping[str, Sequence[Any]], explained: Mapping[str, float]) -> None:
    """Write the share of the variance over reconstructions that each setting explains at its right."""
    if not explained:
        return
    where: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
    axes.annotate("variance\nexplained", (1, -1.2), (3, 0), fontsize=5.5, **{**where, "va": "bottom"})
    heights = _heights(levels)
    for name, share in explained.items():
        bold = "bold" if share >= MATTERS else "normal"
        axes.annotate(f"{max(share, 0):.0%}", (1, heights[name]), (3, 0), fontsize=5.5, fontweight=bold, **where)


def _legend(figure: Figure, verdicts: Sequence[str], rows: Sequence[Mapping[str, Any]] = ()) -> None:
    """Name the verdicts, with the number of universes of each if they are given."""
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in verdicts}
    handles = [
        Line2D([], [], color=COLOURS[verdict], marker="s", linestyle="", markersize=5,
               label=f"{SIGNS[verdict]} {verdict}" + (f" {counts[verdict]}" if rows else ""))
        for verdict in verdicts
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7)
