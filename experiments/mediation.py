"""Does the gap follow the force, or lam? Interventions on both, because a correlation cannot tell.

    python -m experiments mediation

Claim X2 says that the collapse of the force goes with the contraction of the gap. But lam is the treatment, and moves
both. So lam is drawn for each run, log-uniformly and independently of its data (randomised), and the force is set:

- natural: lam drawn; the force F = ||grad S|| is what it is, and responds to lam.
- held: the same lam on the same data, but grad S is rescaled to the norm c in every step (`clamp=c`): F cannot respond.
- dosed: lam fixed, and c drawn.

An effect is the least-squares slope of an outcome on log10 of what was drawn, relative to the outcome's mean in the
natural arm: -0.3 says that each decade lowers the outcome by 30% of that. The total effect of lam is that of the
natural arm; what the held arm still has needs no response of the force; so the share that passes through the response
is 1 - held / total. (Both arms see the same pushes lam F on average, because c is what F is at the middle lam.) An
effect counts from 5% on. In a step only the product lam c enters, so the dosed arm must agree with the held one: that
checks the experiment and says nothing about the paper.

A run that collapses (training loss within 10% of log K, or diverged) is not taken out by itself: that would choose runs
by their outcome, and undo the randomisation. All arms of a surrogate end below the least dose at which any run did.
"""

import argparse
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray
from rich.console import Console

from experiments import grid
from experiments.claims import judge, record
from experiments.claims.claim import MARGIN, NEAR_CHANCE, VIEWS, guessing_loss
from experiments.claims.judge import SUPPORTED, Part, Verdict
from experiments.claims.statistics import Array
from experiments.figures.table import label
from hclm_runner import store
from hclm_runner.analysis import LATE
from hclm_runner.picture import BLUE, GREY, ORANGE, STYLE, save
from hclm_runner.records import COLUMNS
from hclm_runner.refusal import ConfigError

if TYPE_CHECKING:
    from hclm_runner.config import RunConfig

OURS = ("surrogate", "regime", "lam", "clamp", "seed", "data_seed", "name")
"""The keys that the experiment sets."""
SEEDS = 60


class Design(NamedTuple):
    """What is drawn and held for one surrogate; found in runs of other seeds, so that nothing collapses."""

    low: float
    """Of lam; a decade and a half of it."""
    high: float
    c: float
    """The force at the geometric middle of lam, in the mean over epochs."""

    def lam(self, quantile: Array) -> Array:
        """Return lam at quantiles of its log-uniform distribution, to 4 digits."""
        return np.array([float(f"{lam:.4g}") for lam in self.low * (self.high / self.low) ** quantile])

    @property
    def middle(self) -> float:
        """The geometric middle of lam."""
        return float(self.lam(np.array([0.5]))[0])


DESIGNS = {
    "softmax": Design(0.003, 0.1, 0.45),
    "variance": Design(0.0003, 0.01, 17.0),
    "logdet": Design(0.003, 0.1, 1.4),
}
"""Surrogate -> its design, for the reference task. The force of softmax is small: a negative control."""
ARMS = ("natural", "held", "dosed")
OUTCOMES = {"gap": "<", "test_loss": "<", "test_accuracy": ">"}
"""Column -> where the paper's mechanism would move it."""


class Runs(NamedTuple):
    """The runs of one surrogate, seed by seed the same data in each arm."""

    dose: Mapping[str, Array]
    """Arm -> what was drawn as a lam: lam itself, or of the dosed arm lam c over the middle's c. [seeds]."""
    measured: Mapping[str, xr.Dataset]
    """Arm -> every column, over seed and epoch."""

    def kept(self, chance_loss: float) -> "Runs":
        """Return the runs below the least dose at which any run of any arm collapsed; all of them if none did."""
        limit = min(self.dose[arm][self.collapsed(arm, chance_loss)].min(initial=math.inf) for arm in ARMS)
        below = {arm: self.dose[arm] < limit for arm in ARMS}
        together = below["natural"] & below["dosed"]  # the same seeds in each arm: comparisons are paired
        return Runs(
            {arm: dose[together] for arm, dose in self.dose.items()},
            {arm: runs.isel(seed=together) for arm, runs in self.measured.items()},
        )

    def collapsed(self, arm: str, chance_loss: float) -> NDArray[np.bool_]:
        """Return which runs of an arm learnt nothing, or diverged, [seeds]."""
        loss = grid.final(self.measured[arm])["train_loss"].to_numpy()
        return np.asarray(~(loss < NEAR_CHANCE * chance_loss))


# --- the experiment -------------------------------------------------------------------------------------------------


def drawn(seeds: int) -> tuple[Array, Array]:
    """Return what randomises lam and c, quantiles [seeds] each; more seeds leave the first ones as they are."""
    return np.random.default_rng(0).random(seeds), np.random.default_rng(1).random(seeds)


def configurations(seeds: int, overrides: Sequence[str] = ()) -> "list[RunConfig]":
    """Return the runs: surrogate by surrogate, arm by arm, seed by seed.

    Raises:
        ConfigError: If an override is refused.
    """
    from hclm_runner import configure

    for key in (text.partition("=")[0] for text in overrides):
        if key in OURS:
            raise ConfigError(key, None, f"no value: the experiment sets {', '.join(OURS)}")
    of_lam, of_c = drawn(seeds)
    runs = []
    for surrogate, design in DESIGNS.items():
        lams, middle = design.lam(of_lam).tolist(), design.middle
        doses = [float(f"{c:.4g}") for c in design.c * design.lam(of_c) / middle]
        arms = {
            "natural": [{"lam": lam} for lam in lams],
            "held": [{"lam": lam, "clamp": design.c} for lam in lams],
            "dosed": [{"lam": middle, "clamp": c} for c in doses],
        }
        for arm in ARMS:
            runs += [configure(*overrides, surrogate=surrogate, seed=i, **own) for i, own in enumerate(arms[arm])]
    return runs


def trained(runs: "Sequence[RunConfig]", name: str) -> dict[str, Runs] | None:
    """Train what a store lacks of the runs, and return them by surrogate; None after a dry run.

    Raises:
        ConfigError: If runs have no result.
    """
    if (results := grid.trained(runs, name)) is None:
        return None
    records, described = results
    ids = described["run_id"].tolist()
    table = records.set_index(["run_id", "epoch"])[list(COLUMNS)].to_xarray().reindex(run_id=ids).rename(run_id="seed")
    seeds = len(runs) // (len(DESIGNS) * len(ARMS))
    of_lam, of_c = drawn(seeds)
    found = {}
    for i, (surrogate, design) in enumerate(DESIGNS.items()):
        slices = [slice((len(ARMS) * i + j) * seeds, (len(ARMS) * i + j + 1) * seeds) for j in range(len(ARMS))]
        doses = (design.lam(of_lam), design.lam(of_lam), design.lam(of_c))
        measured = (table.isel(seed=own).assign_coords(seed=range(seeds)) for own in slices)
        found[surrogate] = Runs(dict(zip(ARMS, doses, strict=True)), dict(zip(ARMS, measured, strict=True)))
    return found


# --- what is asked of it --------------------------------------------------------------------------------------------


def slope(v: Array) -> Array:
    """Return the least-squares slope of v[1] on v[0] over the mean of v[2]; v [3, ..., runs]."""
    x = v[0] - v[0].mean(-1, keepdims=True)
    return (x * v[1]).sum(-1) / (x**2).sum(-1) / v[2].mean(-1)


def effect(text: str, x: Array, y: Array, over: Array, sense: str, bound: float, unit: str = "%") -> Part:
    """Return the part about the slope of y on x over the mean of `over`, [runs] each.

    Sign flips judge it: it is mean(x' y') / mean(x'^2 over), primes for deviations from the mean.
    """
    deviations = x - x.mean()
    contrast = deviations * (y - y.mean()), deviations**2 * over.mean()
    return Part(text, np.stack([x, y, over]), slope, sense, bound, contrast=contrast, unit=unit)


def share(v: Array) -> Array:
    """Return 1 - held / total, of the slopes of v[2] and of v[1] on v[0]; v [3, ..., runs]."""
    x = v[0] - v[0].mean(-1, keepdims=True)
    return 1 - (x * v[2]).sum(-1) / (x * v[1]).sum(-1)


def disagreement(v: Array) -> Array:
    """Return the slope of v[3] on v[2], less that of v[1] on v[0], over the mean of v[4]; v [5, ..., runs]."""
    return slope(v[[2, 3, 4]]) - slope(v[[0, 1, 4]])


def of_outcome(runs: Runs, view: str, outcome: str) -> dict[str, Part]:
    """Return what is asked of an outcome, in a view: name -> part."""
    sense = OUTCOMES[outcome]
    bound = MARGIN if sense == ">" else -MARGIN
    y = {arm: VIEWS[view](runs.measured[arm])[outcome].to_numpy() for arm in ARMS}
    x = {arm: np.log10(dose) for arm, dose in runs.dose.items()}
    words = outcome.replace("_", " ")
    of = {arm: partial(effect, x=x[arm], y=y[arm], over=y["natural"], sense=sense, bound=bound) for arm in ARMS}
    both = np.stack([x["natural"], y["natural"], y["held"]])
    same = np.stack([x["held"], y["held"], x["dosed"], y["dosed"], y["natural"]])
    through = f"share of lam's effect on the {words} through the response of the force"
    why = "in a step only the product of lam and the force enters"
    equal = Part(f"{words}: effect of force less that of lam", same, disagreement, "=", 0.0, unit="%", structural=why)
    return {
        "total": of["natural"](f"change of the {words} by a decade of lam"),
        "held": of["held"](f"change of the {words} by a decade of lam, the force held"),
        "dosed": of["dosed"](f"change of the {words} by a decade of force, lam held"),
        "share": Part(through, both, share, ">", 0.5),
        "product": equal,
    }


def of_force(runs: Runs) -> dict[str, Part]:
    """Return what is asked of the force in the natural arm: whether it responds to lam at all. Name -> part."""
    force = runs.measured["natural"]["force"].transpose("seed", "epoch").to_numpy()[:, 1:]
    x = np.log10(runs.dose["natural"])
    fallen = np.log10(force.max(1) / np.maximum(force[:, -LATE:].mean(1), 1e-300))
    level = np.log10(np.maximum(force.mean(1), 1e-300))
    exponent = partial(effect, x=x, over=np.ones_like(x), unit="")
    return {
        "response": exponent("exponent of lam in the mean force", y=level, sense="<", bound=-MARGIN),
        "collapse": exponent("exponent of lam in the fall of force from its peak", y=fallen, sense=">", bound=MARGIN),
    }


def judged(runs: Runs, surrogate: str) -> Iterable[dict[str, Any]]:
    """Judge what is asked of a surrogate's runs, as mediation.json has it.

    The share of an effect is not settled where lam has none: where the total effect is not SUPPORTED.

    Raises:
        ConfigError: If too few of them are left below the least dose that collapses.
    """
    if (n := len(runs.dose["natural"])) < judge.FEWEST:
        raise ConfigError(surrogate, None, f"{judge.FEWEST} seeds or more below the least dose that collapses, got {n}")
    for name, part in of_force(runs).items():
        yield _row(surrogate, None, None, name, judge.judge([part]))
    for view in VIEWS:
        for outcome in OUTCOMES:
            parts = of_outcome(runs, view, outcome)
            total = judge.judge([parts["total"]])
            if total.verdict != SUPPORTED:
                parts["share"] = parts["share"]._replace(unsettled="lam has no such effect that could pass through it")
            for name, part in parts.items():
                yield _row(surrogate, view, outcome, name, judge.judge([part]))


def _row(surrogate: str, view: str | None, outcome: str | None, name: str, found: Verdict) -> dict[str, Any]:
    (part,) = found.parts
    said = {"surrogate": surrogate, "view": view, "outcome": outcome, "question": name, "verdict": found.verdict}
    held_against = {"unit": part.unit, "sense": part.sense, "bound": part.bound, "structural": part.structural}
    return said | part.estimate.as_dict() | held_against | {"sentence": found.sentence, "shown": part.effect}


# --- the figure -----------------------------------------------------------------------------------------------------


def draw(found: Mapping[str, Runs], kept: Mapping[str, Runs], chance_loss: float) -> Figure:
    """Return the gap at the end of each run, over lam and over the push, a column for each surrogate.

    The push is lam times the force: times its mean over epochs in the natural arm, times c in the others. A line is the
    least-squares fit over the runs that are judged; a cross is a run that collapsed.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 4.2), layout="constrained")
        panels = figure.subplots(2, len(found), sharey=True, squeeze=False)
        for (over_lam, over_push), (surrogate, runs) in zip(panels.T, found.items(), strict=True):
            for arm, (says, colour, mark) in LOOKS.items():
                gap = _finite_gap(runs, arm)
                lost = runs.collapsed(arm, chance_loss)
                for axes in (over_push,) if arm == "dosed" else (over_lam, over_push):
                    x = runs.dose[arm] * (1 if axes is over_lam else _force(runs, surrogate, arm))
                    axes.plot(x[~lost], gap[~lost], mark, color=colour, markersize=2.5, alpha=0.7, label=says)
                    axes.plot(x[lost], gap[lost], "x", color=colour, markersize=4)
                if arm != "dosed":
                    x, y = kept[surrogate].dose[arm], _finite_gap(kept[surrogate], arm)
                    ends = np.array([x.min(), x.max()])
                    line = np.polynomial.Polynomial.fit(np.log10(x), y, 1)
                    over_lam.plot(ends, line(np.log10(ends)), color=colour, linewidth=1.2)
            over_lam.set(xscale="log", xlabel="λ", title=label(surrogate))
            over_push.set(xscale="log", xlabel="push, λ × force")
        for axes in panels.flat:
            axes.xaxis.set(major_locator=LogLocator(subs=(1, 3)), minor_locator=NullLocator())
            axes.xaxis.set_major_formatter("{x:g}")
        for axes in panels[:, 0]:
            axes.set_ylabel("gap (nats)")
        figure.legend(*panels[1, 0].get_legend_handles_labels(), ncols=3, loc="outside upper center")
    return figure


LOOKS = {
    "natural": ("λ drawn, force as it is", BLUE, "o"),
    "held": ("λ drawn, force held", ORANGE, "s"),
    "dosed": ("λ fixed, force drawn", GREY, "^"),
}
"""Arm -> its name in the legend, its colour and mark."""


def _force(runs: Runs, surrogate: str, arm: str) -> Array:
    """Return what the dose is multiplied with in a step, [seeds]; in the natural arm its mean over trained epochs."""
    if arm == "natural":
        return runs.measured[arm]["force"].isel(epoch=slice(1, None)).mean("epoch").to_numpy()
    return np.full(len(runs.dose[arm]), DESIGNS[surrogate].c)


def _finite_gap(runs: Runs, arm: str) -> Array:
    """Return the gap at the end, [seeds]; NaN for a run that diverged, which has no place in a figure."""
    return grid.final(runs.measured[arm])["gap"].to_numpy()


# --- the command ----------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, judge, write mediation.json and the figure, and print what came out.

    Raises:
        ConfigError: If a run is refused or has no result, too many collapse, or the task has no classes.
    """
    parser = argparse.ArgumentParser(
        prog="python -m experiments mediation",
        description="Does the gap follow the force, or lam? Trains runs whose lam or force is drawn, and judges them.",
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of every run, as in sweep.dry_run=true")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"runs of each arm (default: {SEEDS})")
    parser.add_argument("--name", default="mediation", help="the store, outputs/NAME/ (default: mediation)")
    given = parser.parse_intermixed_args(arguments)
    if given.seeds < judge.FEWEST:
        parser.error(f"argument --seeds: expected {judge.FEWEST} or more, got {given.seeds}")
    configs = configurations(given.seeds, given.overrides)
    chance_loss = guessing_loss(configs[0])
    found = trained(configs, given.name)
    if found is None:
        return
    kept = {surrogate: runs.kept(chance_loss) for surrogate, runs in found.items()}
    rows = [row for surrogate in kept for row in judged(kept[surrogate], surrogate)]
    about = {name: _about(found[name], kept[name], chance_loss) for name in found}
    folder = store.OUTPUTS / given.name
    written = json.dumps({"surrogates": about, "rows": rows}, indent=1, allow_nan=False)
    store.atomically(folder / "mediation.json", lambda path: Path(path).write_text(written))
    paths = [folder / "mediation.json", *save(draw(found, kept, chance_loss), folder / "mediation")]
    show(rows, about, paths)


def _about(found: Runs, kept: Runs, chance_loss: float) -> dict[str, Any]:
    """Return how many runs an arm has, how many of them are judged, and how many of each arm collapsed."""
    lost = {arm: int(found.collapsed(arm, chance_loss).sum()) for arm in ARMS}
    return {"seeds": len(found.dose["natural"]), "judged": len(kept.dose["natural"]), "collapsed": lost}


def show(rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """Print for each surrogate the effects on each outcome, and the answer for the gap; then what was written."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for surrogate, facts in about.items():
        own = [row for row in rows if row["surrogate"] == surrogate]
        lost = ", ".join(f"{count} {arm}" for arm, count in facts["collapsed"].items() if count) or "none"
        console.print(f"{surrogate}: {facts['judged']} of {facts['seeds']} seeds judged; collapsed: {lost}")
        table = [["outcome", *SHOWN.values()]]
        for view, outcome in dict.fromkeys((row["view"], row["outcome"]) for row in own if row["view"]):
            cells = {row["question"]: row["shown"] for row in own if (row["view"], row["outcome"]) == (view, outcome)}
            table.append([f"{outcome.replace('_', ' ')}, {view}", *(cells[name] for name in SHOWN)])
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            console.print("  " + "  ".join(map(str.ljust, line, widths)).rstrip())
        for row in own:
            if row["view"] is None or (row["question"], row["outcome"], row["view"]) == ("share", "gap", "end"):
                console.print(f"  {record.SYMBOLS[row['verdict']]} {row['sentence']}")
    for path in paths:
        console.print(f"  {path}")


SHOWN = {"total": "effect of lam", "held": "force held", "dosed": "effect of force", "share": "share by the response"}
"""Question -> its head in what is printed."""
