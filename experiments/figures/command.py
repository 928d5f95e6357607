"""The command that draws the figures of a store.

    python -m experiments figures paper

Each figure is written as PDF, SVG and PNG, as wide as one column, and drawn again only when the runs or the drawing
code are newer than it. A figure over base lam is written twice: at the end of training, and, in files named ..._chosen,
at the epoch that the feedback split chooses.
"""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import xarray as xr
from matplotlib.figure import Figure

from experiments import estimate, grid
from experiments.figures.draw import VITAL, draw, draw_model, shown
from experiments.figures.mechanics import BALANCE, of_grid
from experiments.figures.table import COLUMNS, FIGURES, FigureRow, covered, foreign, general
from hclm_runner import picture, store
from hclm_runner.picture import KINDS
from hclm_runner.refusal import ConfigError
from hclm_runner.terminal import first, track

CODE = [*Path(__file__).parent.glob("*.py"), *(Path(str(each.__file__)) for each in (grid, estimate, picture))]
READ = [*COLUMNS, *VITAL, *BALANCE, "share", "setpoint"]
"""What drawing reads of a grid; the rest of it need not travel to another process."""
FEW = 3
"""So many figures are drawn before two more processes would have started."""
PAPER = "paper"
"""The store of the paper's runs."""
SHOWN = 6
"""How many stems are named before the rest are counted."""


class Drawing(NamedTuple):
    """A figure that can be drawn."""

    pictures: Mapping[str, Callable[[], Figure]]
    """The name of its files -> what draws them; over base lam two, at the end and at the chosen epoch."""
    row: FigureRow | None = None
    """Of the table; None for a figure that is not of one column."""
    runs: xr.Dataset | None = None
    """The grid that it is drawn from; None for the scaling model, which follows from a formula."""

    def undefined(self) -> bool:
        """Return whether no run has a value of its column, so that there is nothing to draw."""
        if self.row is None or self.runs is None:
            return False
        return bool(shown(self.row, self.runs)[self.row.column].isnull().all())

    def incomplete(self) -> bool:
        """Return whether the grid lacks runs."""
        return self.runs is not None and bool(self.runs.attrs["missing"])


MODEL = {
    "3": Drawing({"fig03_rates": partial(draw_model, ratio=False)}),
    "4": Drawing({"fig04_ratio": partial(draw_model, ratio=True)}),
}
"""Figures 3 and 4, which follow from a formula, not from runs."""


class Figures(NamedTuple):
    """The figures of a grid, by what `--only` calls them: the paper's by their numbers, others by their stems."""

    model: dict[str, Drawing]
    """Figures 3 and 4."""
    paper: dict[str, Drawing]
    """Figures 5-32; none where the grid lacks what they need."""
    mechanics: dict[str, Drawing]
    """Definition 1, and the balance of Theorem 2."""
    general: dict[str, Drawing]
    """The same of every surrogate and regime of the store."""
    own: list[str]
    """Those of them that show a surrogate or a regime that is not the paper's; all where there are no Figures 5-32."""
    rest: list[str]
    """Those that show what neither they nor the paper's figures do."""
    lacking: ConfigError | None
    """Why there are no Figures 5-32."""

    def every(self) -> dict[str, Drawing]:
        """Return all of them, the paper's first."""
        return self.model | self.paper | self.mechanics | self.general

    def chosen(self, only: Sequence[str], everything: bool) -> dict[str, Drawing]:
        """Return those asked for; without `only` the paper's and the store's own, and with `everything` the rest too.

        Raises:
            ConfigError: If there is no such figure.
        """
        every, numbers = self.every(), {str(row.number) for row in FIGURES}
        for name in only:
            if name in numbers and self.lacking:
                raise self.lacking
            if name not in every:
                examples = ", ".join([*self.general][:2])
                raise ConfigError("--only", name, f"a number from 3 to 32, or names such as {examples}")
        names = set(only) or {*self.model, *self.paper, *self.mechanics, *self.own, *(self.rest if everything else [])}
        return {name: drawing for name, drawing in every.items() if name in names}


def figures(runs: xr.Dataset, source: str | os.PathLike[str] = "", seeds: bool = False) -> Figures:
    """Return the figures of the grid of the store `source`; each seed is a thin line in them, too, if asked for."""
    suffix = "_seeds" if seeds else ""

    def drawing(row: FigureRow, of: xr.Dataset) -> Drawing:
        ends = {view: "" if view == "end" else f"_{view}" for view in row.views}
        return Drawing({row.stem + ends[v] + suffix: partial(draw, row, of, seeds, v) for v in row.views}, row, of)

    runs = runs[READ]
    paper, lacking = dict[str, Drawing](), None
    try:
        ours = grid.require(runs, source, surrogate=grid.SURROGATES, regime=grid.REGIMES)
    except ConfigError as error:
        lacking = error
    else:
        paper = {str(row.number): drawing(row, ours) for row in FIGURES}
    rows = general(runs)
    own = [row.stem for row in rows if lacking or foreign(row, runs)]
    rest = [row.stem for row in rows if row.stem not in own and not covered(row, runs)]
    mechanics = {stem: Drawing({stem: picture}, None, runs) for stem, picture in of_grid(runs).items()}
    return Figures(MODEL, paper, mechanics, {row.stem: drawing(row, runs) for row in rows}, own, rest, lacking)


def make(options: argparse.Namespace) -> None:
    """Draw what was asked for and is not up to date; say what was left out and why, and where the figures are.

    Raises:
        ConfigError: If there is no such store, task or figure; or, once the others are drawn, if Figures 5-32 lack runs
            and that was not allowed.
        OSError: If the disk refuses.
    """
    if options.only and set(options.only) <= set(MODEL):  # which need no store
        out = options.out or _folder(options.store) / "figures"
        out.mkdir(parents=True, exist_ok=True)
        names = [*dict.fromkeys(options.only)]
        _write([MODEL[name] for name in names], out)
        _say("drawn", names)
        print(f"  {out}/")
        return
    if options.store == PAPER and not _folder(PAPER).exists():
        raise ConfigError("store", PAPER, "the paper's runs, which make figures trains")
    grids = grid.load(options.store)
    runs = grid.only(grids, options.task)
    known = figures(runs, options.store, options.seeds)
    wanted = known.chosen(options.only, options.all)
    refused = None
    if not options.incomplete and any(name in known.paper for name in wanted):
        try:
            grid.complete(grid.require(runs, options.store, surrogate=grid.SURROGATES, regime=grid.REGIMES))
        except ConfigError as error:
            expected = f"{error.expected}; the sweep's command again trains them, --incomplete draws what is there"
            refused = ConfigError(error.key, error.value, expected)
            wanted = {name: drawing for name, drawing in wanted.items() if name not in known.paper}
    folder = store.locate(options.store)
    out = (options.out or folder / "figures") / (options.task if len(grids) > 1 else "")
    out.mkdir(parents=True, exist_ok=True)
    sources = [*(folder / "records").glob("*.parquet"), *CODE]

    defined = {name: drawing for name, drawing in wanted.items() if not drawing.undefined()}
    # What figures in another folder, or of an incomplete grid, were drawn from is not known.
    trusted = options.out is None and not options.force
    current = [
        name
        for name, drawing in defined.items()
        if trusted
        and not drawing.incomplete()
        and is_current([out / f"{stem}.{kind}" for stem in drawing.pictures for kind in KINDS], sources)
    ]
    stale = [name for name in defined if name not in current]
    _write([defined[name] for name in stale], out)

    _say("drawn", stale)
    _say("up to date", current)
    _say("left out, because no run has a value to show", [name for name in wanted if name not in defined])
    if not options.only and known.lacking:
        print(f"Figures 5-32 are not drawn: {known.lacking}")
    if (missing := runs.attrs["missing"]) and any(name in known.general for name in wanted):
        every = runs["train_loss"].isel(epoch=0).size
        print(f"{len(missing)} of {every} runs of the grid have no result: {first(missing, 3)}")
    if not options.only and (more := [name for name in known.rest if name not in wanted]):
        print(f"{len(more)} more figures, of the paper's surrogates and regimes, with --all")
    print(f"  {out}/")
    if refused:
        raise refused


def _folder(source: str) -> Path:
    """Return the folder of a store, or where one of this name or path would be."""
    try:
        return store.locate(source)
    except FileNotFoundError:
        return Path(source) if os.sep in source else store.OUTPUTS / source


def is_current(paths: Sequence[Path], sources: Sequence[Path]) -> bool:
    """Return whether all files are there and newer than every source."""
    if not all(path.exists() for path in paths):
        return False
    return min(path.stat().st_mtime_ns for path in paths) > max(path.stat().st_mtime_ns for path in sources)


def _say(what: str, names: Sequence[str]) -> None:
    """Print which figures it is true of: all numbers, and the first few stems."""
    if names:
        stems = [name for name in names if not name.isdigit()]
        named = [name for name in names if name.isdigit()] + stems[:SHOWN]
        more = f" and {len(stems) - SHOWN} more" if len(stems) > SHOWN else ""
        print(f"{len(names)} figure{'s' if len(names) > 1 else ''} {what}: {', '.join(named)}{more}")


def _write(drawings: Sequence[Drawing], out: Path) -> None:
    """Draw figures and write them into a folder, many of them in two processes."""
    jobs = [(draw, out / stem) for drawing in drawings for stem, draw in drawing.pictures.items()]
    if len(jobs) <= FEW:
        for job in jobs:
            _save(*job)
        return
    # The jobs hold the runs: a process gets all of them once, and not the runs with each job.
    with ProcessPoolExecutor(2, initializer=_jobs.extend, initargs=(jobs,)) as pool:
        for done in track([pool.submit(_save_job, i) for i in range(len(jobs))], "figures"):
            done.result()


_jobs: list[tuple[Callable[[], Figure], Path]] = []
"""What a process that draws has to draw."""


def _save_job(i: int) -> None:
    _save(*_jobs[i])


def _save(figure: Callable[[], Figure], stem: Path) -> None:
    picture.save(figure(), stem, KINDS, dpi=300)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the figures that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments figures",
        description="Draw the paper's Figures 3-32 from a finished store of runs, as PDF, SVG and PNG, and the same of "
        "its other surrogates and regimes; of all it has where it lacks the paper's grid.",
    )
    add = parser.add_argument
    add("store", nargs="?", default=PAPER, help="its name under outputs/, or its path (default: paper)")
    add(
        "--only",
        nargs="+",
        default=[],
        metavar="N",
        help="the figures wanted: 18, or my_surrogate_force (default: all)",
    )
    add(
        "--all",
        action="store_true",
        help="also what the paper does not show of its own surrogates and regimes",
    )
    add("--out", type=Path, metavar="DIR", help="where to, always drawn anew (default: STORE/figures)")
    add("--task", metavar="NAME", help="which task, of a store that has several; it gets a folder of its own in DIR")
    add("--seeds", action="store_true", help="show each seed as a thin line, in files named ..._seeds")
    add("--incomplete", action="store_true", help="draw Figures 5-32 though runs are missing, and say so on each")
    add("--force", action="store_true", help="draw what is up to date, too")
    make(parser.parse_args(arguments))
