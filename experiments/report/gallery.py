"""The figures on the page of a store: which there are, and what each draws, in words."""

import itertools
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from experiments.figures import FIGURES, FigureRow
from experiments.figures.table import COLUMNS

WHOLE = {
    "fig03_rates": "The scaling model: rates of injection and dissipation over scale, for weak, balanced and excessive"
    " dissipation",
    "fig04_ratio": "The scaling model: injection over dissipation, for weak, balanced and excessive dissipation",
    "definition_1": "Definition 1: the share of runs at lam above 0 that are effective, over its constant f_min, a"
    " curve for each surrogate; mean over data sets, 95% interval",
    "balance": "logdet under fixed: by how much each epoch changed S, and what the loss injected and the term"
    " dissipated of it; mean over data sets, 95% interval",
}
"""Stem of its files -> what a figure draws that is not of one column."""
NUMBERS = {"fig03_rates": 3, "fig04_ratio": 4} | {row.stem: row.number for row in FIGURES}
"""Stem of its files -> the number of a figure of the paper. A user's surrogate may have any name, fig07 too."""
PHRASES = {"lam": "adaptive lam", "test_loss": "test loss", "gap": "gap, test minus train loss"}

Claim = dict[str, Any]
"""A judged claim, as `experiments.claims` writes it."""


class Picture(NamedTuple):
    """A figure that was drawn, or one of the theory's."""

    anchor: str
    title: str
    views: Mapping[str, str]
    """View -> the figure in it, as the address of an image; of one that has no views, under `end`."""
    task: str = ""
    number: int | None = None
    """Of the paper's figures."""
    claims: tuple[Claim, ...] = ()


def figures(folder: Path, grids: Mapping[str, xr.Dataset], claims: Sequence[Claim] = ()) -> list[Picture]:
    """Return the figures there are, task by task, the paper's first; a task has a folder of its own among several.

    A figure that shows its seeds too (stem_seeds.svg) is left out where there is one without them (stem.svg).
    """
    found: dict[str, Picture] = {}
    for task, one in grids.items():
        paths = {path.stem: path for path in (folder / task if len(grids) > 1 else folder).glob("*.svg")}
        words = titles(one)
        views: dict[str, dict[str, str]] = {}
        for name in sorted(paths, key=lambda name: (name.endswith("_seeds"), name)):
            stem, view = figure_of(name, words)
            views.setdefault(stem, {}).setdefault(view, image(paths[name]))
        for stem in sorted(views, key=lambda stem: (stem not in NUMBERS, NUMBERS.get(stem) or 0, stem)):
            number = NUMBERS.get(stem)
            own = tuple(claim for claim in claims if number and (claim["task"], claim["figure"]) == (task, number))
            title = words.get(stem, stem.replace("_", " "))
            title = f"{title}; task {task}" if len(grids) > 1 else title
            place = slug("figure", task, number or stem)
            found.setdefault(place, Picture(place, title, views[stem], task, number, own))
    return list(found.values())


def figure_of(name: str, known: Mapping[str, str]) -> tuple[str, str]:
    """Return the figure and the view that a file shows, from its name and the names of the figures of a grid."""
    stem = name.removesuffix("_seeds")
    own = stem.removesuffix("_chosen")
    return (own, "chosen") if own != stem and own in known else (stem, "end")


def titles(one: xr.Dataset) -> dict[str, str]:
    """Return what each figure that a grid may have draws, in words, by the stem of its files."""
    surrogates, regimes = one["surrogate"].to_numpy().tolist(), one["regime"].to_numpy().tolist()
    general = [FigureRow(None, *each) for each in itertools.product(surrogates, [*regimes, None], COLUMNS)]
    return {row.stem: over(row) for row in (*general, *FIGURES)} | WHOLE


def over(row: FigureRow) -> str:
    """Return what a figure draws: one regime over epochs, or all of them over the base lam."""
    what = PHRASES.get(row.column, row.column)
    if row.regime is None:
        drawn = f"{row.surrogate}: {what} over the base lam, a curve for each regime"
    else:
        drawn = f"{row.surrogate} under {row.regime}: {what} over epochs, a curve for each base lam"
    return f"{drawn}; mean over seeds, 95% interval"


def slug(*parts: object) -> str:
    """Return the id of an element: letters, digits, and - for a space or between parts; ~ holds other signs' codes."""
    words = (re.sub(r"[^\w ]", lambda sign: f"~{ord(sign[0]):x}~", str(part)) for part in parts)
    return "-".join(words).replace(" ", "-")


def image(path: Path) -> str:
    """Return an SVG file as the address of an image, its curves to a hundredth of a point, which no eye sees."""
    rounded = re.sub(r' d="[^"]*"', lambda curve: re.sub(r"(\.\d\d)\d+", r"\1", curve[0]), path.read_text())
    return "data:image/svg+xml," + urllib.parse.quote(rounded, safe=" <>=:/;,()'*+.!?&@$[]{}|^~-_")
