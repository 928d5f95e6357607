"""Theorem 3 and Corollary 1 on real runs: the paper's expression beside the gap, and a bound that does hold.

The gap is that of the 0-1 loss, test error - training error: it is bounded in an interval of length 1, which is what
s = 1/2 in sqrt(2 s^2 (S + b)/n) presumes; a cross-entropy is not bounded. S is `logdet_rate`, the log-det rate at
eps = sigma^2, whatever the surrogate: Assumption 3 makes it a bound on I(X; Zn), with b = 0. The expression is a
diagnostic, not a bound (`information.memoriser`), so each of its results stands beside the memoriser's.

Chosen before any outcome was seen:

Over n (`study`), on the store of the experiment `samples`.
- Final values are means of the last 5 epochs. A cell is a surrogate, a lam and an n. In a cell that the gap exceeds the
  expression is said of the means over seeds, and *clearly* if the 95% t interval of the difference is above 0; a
  negative gap exceeds nothing. At lam = 0 the three surrogates' runs are the same runs, and are counted once.
- S ~ n^g: g is the least-squares slope of log S on log n, over all n, of each seed by itself, then mean and 95% t
  interval over seeds, the independent unit; intervals are not adjusted for their number. A seed enters if the quantity
  is positive at every n, and `seeds` says how many do. Corollary 1 needs g < 1. The expression then goes as
  n^((g - 1)/2), which is what the gap's own exponent is compared with.
- Epochs and batch size are the same at every n, so more samples are also more steps: g is one of this protocol.

f-CMI (`conditional_information`), on runs of its own.
- n = 64 pairs, the smallest n above, in one batch; the task, model and epochs are the defaults. Without a surrogate
  (lam = 0), and each surrogate at lam = 0.1. 5 supersamples of 60 seeds: two minutes of one core.
- The predictions are those at the last epoch, without noise. The supersample is the independent unit: intervals are
  over the five, so t with 4 degrees of freedom.
- I is the plug-in estimate (`information`), which is biased upward. Beside it stands what it reads if the coins are
  shuffled over the seeds, and so know nothing of the predictions: the mean of 20 shuffles.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import entr
from torch import Tensor
from torch.func import vmap

from experiments import grid
from experiments.theory.gate import panel
from experiments.theory.information import expression, memorise
from hclm_runner import tasks, terminal
from hclm_runner.config import RunConfig, configure
from hclm_runner.physics import Physics
from hclm_runner.picture import BLUE, GREY, ORANGE, STYLE, save
from hclm_runner.ranges import Count, Whole
from hclm_runner.streams import stream
from hclm_runner.tasks import Task
from hclm_runner.trainer import train

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

CONDITIONS = (("logdet", 0.0), ("softmax", 0.1), ("variance", 0.1), ("logdet", 0.1))
"""Surrogate and lam of the runs of `conditional_information`; at lam = 0 the surrogate is only measured."""

SHUFFLES = 20

SIZES = ("train", "feedback", "test")
"""The options of a task that say how large its splits are."""

# --- over n ---------------------------------------------------------------------------------------------------------


def study(samples: xr.Dataset) -> dict[str, Any]:
    """Return the gap beside the paper's expression over n, and how each grows.

    Args:
        samples: The runs over n, as `sweeps.over("samples", n="task.train")` returns them.

    Returns:
        cells: A row for each (n, surrogate, lam0): means over seeds of gap and expression with the ends of their 95%
            intervals, whether the gap is above, clearly above, and in how many of how many runs.
        counts: Of distinct cells and runs, and of those where the gap is above.
        growth: A row for each quantity, surrogate and lam0: the exponent over n with its interval, of so many seeds.
        memoriser: Its gap and expression at each n: what the diagnostic misses.
    """
    measured = beside(samples)
    compared = _cells(measured)
    distinct = compared[(compared["lam0"] > 0) | (compared["surrogate"] == compared["surrogate"].iloc[0])]
    return {
        "cells": _rows(compared),
        "counts": {
            "cells": len(distinct),
            **{f"cells_{name}": int(distinct[name].sum()) for name in ("above", "clearly_above")},
            **{name: int(distinct[name].sum()) for name in ("runs", "runs_above")},
        },
        "growth": _rows(pd.concat(_growth(measured, name) for name in measured.data_vars)),
        "memoriser": [_memorised(int(n)) for n in measured["n"]],
    }


def beside(samples: xr.Dataset) -> xr.Dataset:
    """Return each run's final gap, expression, `entropy` and `logdet_rate`, over n, surrogate, lam0 and seed."""
    final = grid.final(samples)
    rate = final["logdet_rate"]
    gap = final["train_accuracy"] - final["test_accuracy"]
    return final[["entropy", "logdet_rate"]].assign(gap=gap, expression=expression(rate, rate["n"]))


def exponent(values: xr.DataArray) -> xr.DataArray:
    """Return the least-squares slope of log values on log n, along n; NaN where a value is not positive."""
    x = np.log(values["n"])
    x = x - x.mean()
    return (np.log(values.where(values > 0)) * x).sum("n", skipna=False) / (x**2).sum()


def _cells(measured: xr.Dataset) -> pd.DataFrame:
    gap, printed = measured["gap"], measured["expression"]
    excess, half = grid.interval(gap - printed)
    table = xr.Dataset(
        {
            **_ends("gap", gap),
            **_ends("expression", printed),
            "above": excess > 0,
            "clearly_above": excess - half > 0,
            "runs": gap.count("seed"),
            "runs_above": (gap > printed).sum("seed"),
        }
    )
    return table.to_dataframe(dim_order=["surrogate", "lam0", "n"]).reset_index()


def _growth(measured: xr.Dataset, name: Any) -> pd.DataFrame:
    slope = exponent(measured[name])
    table = xr.Dataset({**_ends("exponent", slope), "seeds": slope.count("seed")})
    return table.to_dataframe(dim_order=["surrogate", "lam0"]).reset_index().assign(quantity=name)


def _ends(name: str, values: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the mean over seeds and the ends of its 95% t interval, by name."""
    mean, half = grid.interval(values)
    return {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as JSON has them: None for NaN."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


@cache
def _memorised(n: int) -> dict[str, float]:
    gaps, expressions = memorise(n)
    return {"n": n, "gap": float(gaps.mean()), "expression": float(expressions.mean())}


# --- f-CMI ----------------------------------------------------------------------------------------------------------


def coins(rng: np.random.Generator, n: int) -> Integers:
    """Return U: which of each of n pairs is trained on, [n]."""
    return rng.integers(2, size=n)


def supersample(rng: np.random.Generator, *, which: Whole, train: Count, mixture: dict[str, Any]) -> Task:
    """Split 2 `train` samples of a Gaussian mixture into pairs, of which fair coins choose the one to train on.

    The samples z, and the centres of the mixture that they come from, follow from `which` alone, whatever the seed; the
    coins U from the seed. The test split is the other sample of each pair, in the order of the pairs.

    Args:
        rng: Of the run's seed.
        which: Of the supersamples, 0, 1, ...
        train: Pairs.
        mixture: The options of `gaussian_mixture` but for the sizes of its splits.
    """
    # A stream that no run has: the second word of theirs is the place of a purpose.
    fixed = np.random.default_rng([which, 2**31])
    drawn = tasks.gaussian_mixture(fixed, **mixture, train=2 * train, feedback=1, test=1)  # nobody listens
    x, y = drawn.train
    chosen = 2 * np.arange(train) + coins(rng, train)
    left = chosen ^ 1
    return Task((x[chosen], y[chosen]), drawn.feedback, (x[left], y[left]), drawn.classes)


def pairs(run: RunConfig) -> tuple[Array, Integers, Integers]:
    """Return features x [n, 2, features] and labels y [n, 2] of a run's supersample, and the run's coins U [n]."""
    task = run.task.load()(stream(run.seed, "data"), **run.task.options)
    U = coins(stream(run.seed, "data"), len(task.train[1]))
    x, y = (np.stack([trained, tested], 1) for trained, tested in zip(task.train, task.test, strict=True))
    swapped = U == 1
    x[swapped], y[swapped] = x[swapped, ::-1], y[swapped, ::-1]
    return x, y, U


def predictions(runs: Sequence[RunConfig], theta: Tensor, x: Array, classes: int) -> Integers:
    """Return the class that each run gives to each sample x [n, 2, features], without noise, [R, n, 2].

    Args:
        runs: R runs of one model.
        theta: Their parameters, [R, p].
        x: What all of them are asked.
        classes: K.
    """
    run = runs[0]
    with torch.random.fork_rng(devices=[]):
        physics = Physics(run, run.model.load()(x.shape[-1], classes, **run.model.options), classes)

    def decide(theta: Tensor, x: Tensor) -> Tensor:
        parameters = physics.parameters(theta)
        return physics.read(parameters, physics.encode(parameters, x)).argmax(-1)

    flat = torch.as_tensor(x.reshape(-1, x.shape[-1]), dtype=theta.dtype)
    decided: Integers = vmap(decide, (0, None))(theta, flat).numpy().reshape(len(runs), *x.shape[:2])
    return decided


def information(symbols: Integers, U: Integers) -> Array:
    """Return the plug-in estimate of I(symbol; coin) of each pair over m runs, [n], nats, 0 to log 2.

    The coin is known to be fair, and only the law of the symbol given the coin is estimated, by its frequencies p0 and
    p1: I = H((p0 + p1)/2) - (H(p0) + H(p1))/2. That is convex in the pair (p0, p1), so by Jensen the estimate is
    never too small in the mean (its square root may be).

    Args:
        symbols: [m, n], 0, 1, ...
        U: [m, n], 0 or 1.

    Raises:
        ValueError: If a coin fell on one side only.
    """
    sides = np.stack([U == 0, U == 1])  # [2, m, n]
    counts = sides.sum(1)
    if not counts.all():
        raise ValueError(f"more than the {len(U)} runs given: a coin fell on one side only")
    is_symbol = symbols[..., None] == np.arange(symbols.max() + 1)  # [m, n, symbols]
    p = (is_symbol & sides[..., None]).sum(1) / counts[..., None]  # [2, n, symbols]
    estimate: Array = entr(p.mean(0)).sum(-1) - entr(p).sum(-1).mean(0)
    return np.maximum(estimate, 0)  # rounding


def bound(information: Array) -> float:
    """Return (1/n) sum over pairs of sqrt(2 I), I [n]: it bounds |E gap| of the 0-1 loss, given the supersample.

    The gap is the mean over pairs of +-Delta_i, with Delta_i = the difference of the two losses, in [-1, 1], and the
    sign U_i. Under the product of the laws of F_i and U_i a pair's term has mean 0 and is 1-sub-Gaussian, so by Donsker
    and Varadhan its mean under the joint law is at most sqrt(2 I(F_i; U_i)) (Harutyunyan et al. 2021,
    arXiv:2110.01584).
    Nothing more of F_i is used than Delta_i, so a function of it that keeps Delta_i serves as well, and is tighter.
    """
    return float(np.sqrt(2 * information).mean())


def estimates(F: Integers, U: Integers, y: Integers) -> dict[str, float]:
    """Return what m runs on one supersample say of the 0-1 gap.

    Args:
        F: Predictions, [m, n, 2].
        U: Coins, [m, n].
        y: Labels, [n, 2].

    Returns:
        gap: Mean over runs of test error - training error.
        f_information: Mean over pairs of I(F_i; U_i), nats; f_bound: the bound from it; f_floor: what that bound reads
            of shuffled coins.
        e_information, e_bound, e_floor: The same of whether each of the two predictions is wrong, in place of the
            predictions themselves: the evaluated version (Steinke & Zakynthinou 2020, arXiv:2001.09122).
    """
    wrong = (y != F).astype(np.int64)
    found = {"gap": float(np.mean((wrong[..., 0] - wrong[..., 1]) * (2 * U - 1)))}
    rng = np.random.default_rng(0)
    shuffled = [rng.permutation(U) for _ in range(SHUFFLES)]
    for name, pair in (("f", F), ("e", wrong)):
        symbols = pair[..., 0] * (pair.max() + 1) + pair[..., 1]
        told = information(symbols, U)
        floor = float(np.mean([bound(information(symbols, coin)) for coin in shuffled]))
        found |= {f"{name}_information": float(told.mean()), f"{name}_bound": bound(told), f"{name}_floor": floor}
    return found


def conditional_information(
    *,
    n: int = 64,
    supersamples: int = 5,
    seeds: int = 60,
    conditions: Sequence[tuple[str, float]] = CONDITIONS,
    overrides: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Train on supersamples, and return the gap beside f-CMI, e-CMI and the paper's expression.

    Args:
        n: Pairs of a supersample, and samples to train on, in one batch.
        supersamples: How many, with seeds of their own.
        seeds: Runs of each condition on each supersample.
        conditions: Surrogate and lam.
        overrides: More of the configuration.

    Returns:
        A row for each condition: `estimates` and the expression, each the mean over supersamples with the ends of its
        95% interval; `each` supersample's; and how many runs diverged: those predict with the last parameters that were
        finite, and have no part in the expression.
    """
    jobs = [(*condition, which) for condition in conditions for which in range(supersamples)]
    found: dict[tuple[str, float], list[dict[str, float]]] = {}
    for surrogate, lam, which in terminal.track(jobs, "training on supersamples"):
        runs = _configured(surrogate, lam, which, n, seeds, overrides)
        found.setdefault((surrogate, lam), []).append(_trained(runs))
    return [
        {"surrogate": surrogate, "lam0": lam, "n": n, "supersamples": supersamples, "seeds": seeds, **_summary(each)}
        for (surrogate, lam), each in found.items()
    ]


def _configured(
    surrogate: str, lam: float, which: int, n: int, seeds: int, overrides: Sequence[str]
) -> list[RunConfig]:
    """Return the runs on one supersample; no two supersamples share a seed."""
    mixture = {key: value for key, value in configure().task.options.items() if key not in SIZES}
    base = configure(
        [
            f"surrogate={surrogate}",
            f"lam={lam}",
            f"batch_size={n}",
            "task=custom",
            f"task._target_={__name__}.supersample",
            f"+task.which={which}",
            f"+task.train={n}",
            *(f"+task.mixture.{key}={value}" for key, value in mixture.items()),
            *overrides,
        ]
    )
    return [base.model_copy(update={"seed": which * seeds + k}) for k in range(seeds)]


def _trained(runs: Sequence[RunConfig]) -> dict[str, float]:
    """Train runs on one supersample, and return what they say of the gap."""
    records = train(runs)
    x, y, _ = pairs(runs[0])
    U = np.stack([pairs(run)[2] for run in runs])
    F = predictions(runs, torch.as_tensor(records.theta), x, runs[0].task.options["mixture"]["classes"])
    ended = records.diverged < 0
    rates = records.columns["logdet_rate"][ended, -1]
    return estimates(F, U, y) | {
        "expression": float(expression(rates, len(y)).mean()) if ended.any() else np.nan,
        "diverged": int((~ended).sum()),
    }


def _summary(each: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return means over supersamples with the ends of their 95% intervals."""
    # Here the supersamples are what seeds are elsewhere, the independent repetitions.
    table = xr.Dataset({name: ("seed", [one[name] for one in each]) for name in each[0] if name != "diverged"})
    ends = {key: float(value) for name in table for key, value in _ends(str(name), table[name]).items()}
    plain = {key: value if np.isfinite(value) else None for key, value in ends.items()}
    return {**plain, "diverged": sum(int(one["diverged"]) for one in each), "each": list(each)}


# --- the figure -----------------------------------------------------------------------------------------------------

MEASURED: dict[str, Any] = {"linestyle": "-", "marker": "o", "markersize": 2.5, "linewidth": 1}
PRINTED: dict[str, Any] = {"linestyle": "--", "linewidth": 1}
"""Looks of the gap and of the expression."""


def draw(found: dict[str, Any], conditional: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Draw the expression beside the gap, write PDF, SVG and PNG, return their paths.

    Over n for each surrogate and lam, and for the memoriser; the exponents of S over n; and f-CMI on real runs. Means
    with 95% t intervals over seeds, in the last panel over supersamples.

    Args:
        found: What `study` returned.
        conditional: What `conditional_information` returned.
        folder: Where to write generalisation.pdf, .svg and .png.
    """
    cells, growth = pd.DataFrame(found["cells"]), pd.DataFrame(found["growth"])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 4.9), layout="constrained")
        halves = figure.add_gridspec(2, 1, height_ratios=[1, 1.12])
        upper, lower = figure.add_subfigure(halves[0]), figure.add_subfigure(halves[1])
        top, (memoriser, exponents, fcmi) = upper.subplots(1, 3, sharey=True), lower.subplots(1, 3)
        for axes, surrogate in zip(top, grid.SURROGATES, strict=True):
            _over_n(axes, cells[cells["surrogate"] == surrogate])
            axes.set_title(surrogate, loc="left", fontsize=8, fontweight="bold")
        upper.legend(*top[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=6.5)
        _memoriser(memoriser, pd.DataFrame(found["memoriser"]))
        _exponents(exponents, growth)
        _conditional(fcmi, pd.DataFrame(conditional))
        n = sorted(set(cells["n"]))
        for axes in (*top, memoriser):
            axes.set(xscale="log", xlabel="training samples n", ylim=(0, None))
            axes.set_xticks(n, [f"{each}" for each in n], fontsize=6.5)
            axes.minorticks_off()
        for axes in (top[0], memoriser, fcmi):
            axes.set_ylabel("test − training error")
        above = "{runs_above} of {runs} runs".format(**found["counts"])
        title = f"√(2 s² (S + b)/n) is a diagnostic, not a bound: the gap exceeds it in {above}, and for a memoriser"
        upper.suptitle(title, fontsize=8)
    return save(figure, folder / "generalisation", ("pdf", "svg", "png"))


def _over_n(axes: Axes, cells: pd.DataFrame) -> None:
    axes.plot([], [], color=GREY, label="0-1 gap", **MEASURED)
    axes.plot([], [], color=GREY, label="expression", **PRINTED)
    lams = sorted(set(cells["lam0"]))
    for lam, colour in zip(lams, mpl.colormaps["viridis"](np.linspace(0.05, 0.87, len(lams))), strict=True):
        own = cells[cells["lam0"] == lam].sort_values("n")
        _errorbar(axes, own["n"], own, "gap", color=colour, label=f"λ = {lam:g}", **MEASURED)
        axes.plot(own["n"], own["expression"].astype(float), color=colour, **PRINTED)


def _memoriser(axes: Axes, rows: pd.DataFrame) -> None:
    axes.plot(rows["n"], rows["gap"], color=BLUE, label="0-1 gap", **MEASURED)
    axes.plot(rows["n"], rows["expression"], color=ORANGE, label="expression", **PRINTED)
    panel(axes, "memoriser")


def _exponents(axes: Axes, growth: pd.DataFrame) -> None:
    lams = sorted(set(growth["lam0"]))
    look: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 3, "linewidth": 0.8}
    for i, (surrogate, colour) in enumerate(zip(grid.SURROGATES, (GREY, ORANGE, BLUE), strict=True)):
        for side, quantity, face in ((-1, "entropy", colour), (1, "logdet_rate", "white")):
            own = growth[(growth["surrogate"] == surrogate) & (growth["quantity"] == quantity)].sort_values("lam0")
            label = surrogate if quantity == "entropy" else None
            x = np.arange(len(lams)) + 0.24 * (i - 1) + 0.05 * side
            _errorbar(axes, x, own, "exponent", color=colour, markerfacecolor=face, label=label, **look)
    axes.plot([], [], color="black", label="of its own S", **look)
    axes.plot([], [], color="black", markerfacecolor="white", label="of the log-det rate", **look)
    axes.axhline(1, color="black", linewidth=0.8, linestyle=":", label="limit of Corollary 1")
    axes.set_xticks(range(len(lams)), [f"{lam:g}" for lam in lams])
    axes.set(xlabel="λ", ylabel="exponent g of S ~ $n^g$")
    panel(axes, "growth of S over n")


def _conditional(axes: Axes, rows: pd.DataFrame) -> None:
    looks = {
        "gap": ("0-1 gap", BLUE, "o", BLUE),
        "expression": ("expression", ORANGE, "D", ORANGE),
        "e_bound": ("e-CMI", "black", "^", "black"),
        "f_bound": ("f-CMI", "black", "v", "black"),
        "e_floor": ("e-CMI, shuffled", GREY, "^", "white"),
        "f_floor": ("f-CMI, shuffled", GREY, "v", "white"),
    }
    for i, (name, (label, colour, marker, face)) in enumerate(looks.items()):
        x = np.arange(len(rows)) + 0.13 * (i - 2.5)
        look: dict[str, Any] = {"linestyle": "", "marker": marker, "markersize": 3.5, "linewidth": 0.8}
        _errorbar(axes, x, rows, name, color=colour, markerfacecolor=face, label=label, **look)
    axes.set_xticks(range(len(rows)), rows["surrogate"].where(rows["lam0"] > 0, "none"), fontsize=6.5)
    lams = ", ".join(f"{lam:g}" for lam in sorted(set(rows["lam0"]) - {0}))
    axes.set(xlabel=f"surrogate, λ = {lams}", ylim=(0, None))
    panel(axes, f"f-CMI, n = {rows['n'].iloc[0]}")


def _errorbar(axes: Axes, x: Any, rows: pd.DataFrame, name: str, **look: Any) -> None:
    """Plot a mean with its interval."""
    y, low, high = rows[[name, f"{name}_low", f"{name}_high"]].astype(float).to_numpy().T
    axes.errorbar(x, y, [y - low, high - y], **look)
