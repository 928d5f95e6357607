"""Theorems 1 and 2 and Proposition 3 on real runs: how often what they assume holds, and what they conclude.

From the stores of the experiments `premises` (plain gradient descent, momentum and Adam; minibatches and noise) and
`descent` (full batches, no noise: what the theorems are about). Chosen before these runs were trained, but for two
counts that a review changed afterwards: that of forces inside at the start was added, and the share of runs that keep
Theorem 1's bound stands where the largest quotient did.

- A run's number is a share or a quotient over its measured epochs. A seed's is the mean over regimes and lam, and the
  interval is Student's t over the seeds.
- Proposition 3 assumes mu_t = gS^T H gS / F^2 above some mu > 0 wherever F > R0. Counted with R0 = 0: the share of
  epochs with mu_t > 0. Where it holds throughout a run, with mu = min mu_t and C = max C_t, the proposition puts F
  below C / (lam mu), lam the least; counted, of those runs, at the last epoch, and at the start to compare.
- Theorem 1 assumes lr <= 1 / beta: the share of epochs with lr beta_t <= 1, lr / (1 - momentum) for heavy balls; Adam
  has no such lr. It concludes that a step lowers E by half of <Delta, -gE> or more: the share of epochs whose next step
  did. And min_{t<T} ||gE||^2 <= 2 (E_0 - E_T + W) / (lr N), W the work of the controller, N the steps: the share of
  the runs that keep it. As printed: without W, and with E_T at its least, 0.
- Theorem 2, closure: root mean square of step_entropy - step_time (injection - dissipation), over that of step_entropy.
  0 if the balance closes, 1 if it says nothing of the step. Of it `length` is the part of the step's second order, and
  `direction` that of what does not follow -gE.
- Theorem 2, late: over the last quarter of the epochs, what the balance says S does and what it did, both over what
  dissipation alone would have done. If the observables saw all forces, the two were equal.
"""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import grid
from experiments.theory import sweeps
from hclm_runner.picture import BLUE, GREY, ORANGE, STYLE, save
from hclm_runner.refusal import ConfigError

AXES = {"optimizer": "optimizer.name", "regime": "regime.name"}
"""What the experiments vary beside surrogate, lam and seed."""

OPTIMIZERS = {"descent": "full batch", "plain": "plain", "sgd": "momentum", "adam": "Adam"}
"""In the order in which the theorems' assumptions are given up."""
COLOURS = {"descent": "black", "plain": BLUE, "sgd": ORANGE, "adam": GREY}
LINES = {"fixed": "-", "thermostat": "--"}
LAMS = (0.03, 0.3)
"""The base lam that the figures show; the last one where they show one."""


def load(*sources: str) -> xr.Dataset:
    """Return the runs of the stores, over optimizer, regime, surrogate, lam0, seed and epoch.

    Coordinates along optimizer: `lr`, for heavy balls lr / (1 - momentum), NaN for Adam; `steps`, in an epoch.

    Raises:
        ConfigError: If a store is not there, not whole, was trained without premises=true or with an Omega or a D.
    """
    parts = []
    for source in sources:
        runs = sweeps.over(source, **AXES)
        configs = [runs.attrs["configs"]["optimizer"][name] for name in runs["optimizer"].to_numpy()]
        if not configs[0]["premises"] or configs[0]["omega"] or configs[0]["rho"]:
            raise ConfigError("store", source, "runs with premises=true, omega=0 and rho=0")
        sweeps.require(source, runs, {"regime": list(LINES), "lam0": LAMS, "surrogate": ["logdet"]})
        rules = [config["optimizer"] for config in configs]
        lr = [rule["lr"] / (1 - rule["momentum"]) if "momentum" in rule else np.nan for rule in rules]
        steps = [config["task"]["train"] // config["batch_size"] for config in configs]
        parts.append(runs.assign_coords(lr=("optimizer", lr), steps=("optimizer", steps)))
    every = xr.concat(parts, "optimizer", join="outer", combine_attrs="drop")
    sweeps.require(", ".join(sources), every, {"optimizer": list(OPTIMIZERS), "surrogate": grid.SURROGATES})
    return every


def slopes_squared(runs: xr.Dataset) -> xr.DataArray:
    """Return ||gE||^2 = ||gL||^2 + 2 lam <gL, gS> + lam^2 F^2, with omega = rho = 0."""
    return runs["loss_force"] ** 2 - 2 * runs["lam"] * runs["injection"] + runs["lam"] * runs["dissipation"]


def energy(runs: xr.Dataset) -> xr.DataArray:
    """Return E = L + lam S, with omega = rho = 0."""
    return runs["train_loss"] + runs["lam"] * runs["entropy"]


def measured(runs: xr.Dataset) -> xr.Dataset:
    """Return the epochs at which the columns on request were measured."""
    there = runs["smoothness"].notnull().any([name for name in runs["smoothness"].dims if name != "epoch"])
    return runs.isel(epoch=there.to_numpy())


def share(what: xr.DataArray, defined: xr.DataArray) -> xr.DataArray:
    """Return the share of the epochs with a defined value at which something holds."""
    return what.where(defined.notnull()).mean("epoch")


def proposition_3(runs: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return for each run the share of epochs with mu_t > 0, whether all have it, and whether F is inside then."""
    at = measured(runs)
    mu, C = at["curvature"].min("epoch"), at["coupling"].max("epoch")
    throughout = mu > 0
    limit = C / (runs["lam"].min("epoch") * mu)
    inside = {
        when: (runs["force"].isel(epoch=i) <= limit).where(throughout) for when, i in (("starts", 0), ("ends", -1))
    }
    return {
        "mu > 0": share(at["curvature"] > 0, at["curvature"]),
        "throughout": throughout.where(mu.notnull()).astype(float),
        **{f"{when} inside": each.astype(float) for when, each in inside.items()},
    }


def theorem_1(runs: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return for each run the shares of epochs at which Theorem 1's premise and its descent hold, and its bound."""
    at = measured(runs)
    premise = at["lr"] * at["smoothness"]
    promised = -at["step_time"] * slopes_squared(at) / 2
    return {
        "lr beta <= 1": share(premise <= 1, premise),
        "descends": share(at["step_energy"] <= promised, at["step_energy"]),
        "bound": kept(stationarity(runs).isel(epoch=-1)),
        "as printed": kept(stationarity(runs, printed=True).isel(epoch=-1)),
    }


def kept(quotient: xr.DataArray) -> xr.DataArray:
    """Return whether a quotient is at most 1; NaN where it is not defined."""
    return (quotient <= 1).where(quotient.notnull()).astype(float)


def stationarity(runs: xr.Dataset, *, printed: bool = False) -> xr.DataArray:
    """Return min_{t<T} ||gE||^2 over Theorem 1's bound on it, for T = 1, 2, ... epochs; NaN without an lr.

    lam changes at the end of an epoch, so that W = sum over epochs of (lam_t - lam_{t-1})^+ S_t is the controller's
    work; the least ||gE||^2 of the epochs is not less than that of the steps, so that a quotient of at most 1 proves
    that the bound holds. Infinite where E_0 - E_T + W <= 0: E rose, and the bound is broken whatever the gradient.
    `printed` is the paper's, without W, and E_T at its least, 0.
    """
    # E_T at the lam that was in force on the way there: what lam did at the end of epoch T is no step.
    arrived = (runs["train_loss"] + runs["lam"].shift(epoch=1) * runs["entropy"]).isel(epoch=slice(1, None))
    raised = (runs["lam"].diff("epoch").clip(min=0) * runs["entropy"]).cumsum("epoch").shift(epoch=1, fill_value=0.0)
    spent = energy(runs).isel(epoch=0, drop=True) - (0 * arrived if printed else arrived - raised)
    least = slopes_squared(runs).isel(epoch=slice(None, -1)).transpose(..., "epoch")
    least = least.copy(data=np.minimum.accumulate(least.to_numpy(), axis=-1)).assign_coords(epoch=spent["epoch"])
    quotient = least * runs["lr"] * runs["steps"] * spent["epoch"] / (2 * spent.where(spent > 0))
    return quotient.where((spent > 0) | spent.isnull() | runs["lr"].isnull(), np.inf)


def theorem_2(runs: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return for each run how far the true step is from the balance of entropy, and the balance late in training."""
    at = measured(runs)
    balance = at["step_time"] * (at["injection"] - at["dissipation"])
    change = at["step_entropy"]

    def relative(part: xr.DataArray) -> xr.DataArray:
        return ((part**2).mean("epoch") / (change**2).mean("epoch")) ** 0.5

    late = runs.isel(epoch=slice(-(runs.sizes["epoch"] // 4), None))
    dissipation = late["dissipation"].mean("epoch")
    moved = late["entropy"].isel(epoch=-1) - late["entropy"].isel(epoch=0)
    time = runs["lr"] * runs["steps"] * (late.sizes["epoch"] - 1)
    return {
        "closure": relative(change - balance),
        "length": relative(change - at["step_drift"]),
        "direction": relative(at["step_drift"] - balance),
        "late, said": late["injection"].mean("epoch") / dissipation - 1,
        "late, done": moved / time / dissipation,
    }


def rows(runs: xr.Dataset) -> list[dict[str, Any]]:
    """Return a row for each statement, optimiser and surrogate: each of its numbers as {value, low, high}, or None.

    `seeds` are those that enter the intervals: a seed does if none of its runs diverged. Of "starts inside" and "ends
    inside" a number is the share of the runs that have one, without an interval.
    """
    found = []
    for statement, measure in STATEMENTS.items():
        numbers = measure(runs)
        for optimizer in (name for name in OPTIMIZERS if name in runs["optimizer"]):
            for surrogate in (name for name in grid.SURROGATES if name in runs["surrogate"]):
                place = {"optimizer": optimizer, "surrogate": surrogate}
                ended = runs["train_loss"].sel(place).isel(epoch=-1).notnull().all(["regime", "lam0"])
                own = {name: value.sel(place) for name, value in numbers.items()}
                if any(value.notnull().any() for value in own.values()):
                    row = {name: _number(value.where(ended), "inside" in name) for name, value in own.items()}
                    found.append({"statement": statement, **place, "seeds": int(ended.sum()), **row})
    return found


STATEMENTS = {"Proposition 3": proposition_3, "Theorem 1": theorem_1, "Theorem 2": theorem_2}


def _number(values: xr.DataArray, of_runs: bool) -> dict[str, float | None] | None:
    """Return what the runs of one optimiser and surrogate come to, over regime, lam0 and seed."""
    if not values.notnull().any():
        return None
    mean, half = (part.item() for part in grid.interval(values.mean(["regime", "lam0"])))
    low, high = (None, None) if of_runs or np.isnan(half) else (mean - half, mean + half)
    return {"value": values.mean().item(), "low": low, "high": high}


# --- figures --------------------------------------------------------------------------------------------------------

CAPTIONS = {
    "trajectories_force": "Proposition 3: curvature of S along its force; momentum",
    "trajectories_descent": "Theorem 1: its premise, its descent and its bound; log-det, base lam 0.3",
    "trajectories_balance": "Theorem 2: what a step does to S, and what the balance says; log-det, fixed lam 0.3",
}


def draw(runs: xr.Dataset, folder: Path) -> list[Path]:
    """Draw a figure for each statement as PDF, SVG and PNG, and return their paths."""
    with mpl.rc_context(STYLE):
        figures = [draw_force(runs), draw_descent(runs), draw_balance(runs)]
    drawn = zip(CAPTIONS, figures, strict=True)
    return [path for stem, figure in drawn for path in save(figure, folder / stem, ("pdf", "svg", "png"))]


def draw_force(runs: xr.Dataset) -> Figure:
    """Proposition 3: mu_t over epochs, momentum, for each surrogate, regime and lam."""
    figure = Figure(figsize=(6.8, 2.6), layout="constrained")
    positive = proposition_3(runs)["mu > 0"].sel(optimizer="sgd").mean(["regime", "lam0", "seed"])
    at = measured(runs)["curvature"].sel(optimizer="sgd")
    panels = figure.subplots(1, len(grid.SURROGATES))
    for axes, surrogate in zip(panels, grid.SURROGATES, strict=True):
        for lam, colour in zip(LAMS, (BLUE, ORANGE), strict=True):
            for regime, line in LINES.items():
                own = at.sel(surrogate=surrogate, regime=regime, lam0=lam)
                _band(axes, own, colour, line, f"{regime}, λ₀ = {lam:g}")
        axes.axhline(0, color="black", linewidth=0.7)
        title = f"{surrogate}: μ > 0 at {positive.sel(surrogate=surrogate).item():.0%}"
        axes.set_title(title, loc="left", fontsize=8, fontweight="bold")
        axes.set(xlabel="epoch")
    panels[0].set(ylabel="μ = ∇Sᵀ H ∇S / F² (nats / unit² of θ)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7)
    return figure


def draw_descent(runs: xr.Dataset) -> Figure:
    """Theorem 1: lr beta over epochs, the share of steps that descend, and the bound on the least gradient."""
    figure = Figure(figsize=(6.8, 2.7), layout="constrained")
    smooth, descends, bound = panels = figure.subplots(1, 3)
    own = runs.sel(surrogate="logdet", lam0=LAMS[-1])
    premise, quotient = measured(own)["lr"] * measured(own)["smoothness"], stationarity(own)
    quotient = quotient.where(np.isfinite(quotient))
    share_of = theorem_1(runs)["descends"].mean(["regime", "lam0"])
    for i, (name, label) in enumerate(OPTIMIZERS.items()):
        colour = COLOURS[name]
        if np.isfinite(own["lr"].sel(optimizer=name)):
            for regime, line in LINES.items():
                _band(smooth, premise.sel(optimizer=name, regime=regime), colour, line)
                _band(bound, quotient.sel(optimizer=name, regime=regime), colour, line)
        mean, half = grid.interval(share_of.sel(optimizer=name).dropna("surrogate", how="all"))
        place = [grid.SURROGATES.index(each) + 0.2 * i - 0.3 for each in mean["surrogate"].to_numpy()]
        descends.bar(place, mean, 0.18, yerr=half, color=colour, error_kw={"linewidth": 0.7}, label=label)
    for axes in (smooth, bound):
        axes.axhline(1, color="black", linewidth=0.7)
        axes.set(yscale="log")
        low, high = axes.get_ylim()
        ticks = [tick for tick in (0.05, 0.1, 0.2, 0.5, 1, 2, 5) if low < tick < high]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    smooth.set(xlabel="epoch", ylabel="lr β")
    bound.set(xlabel="epochs T", ylabel="least ‖∇E‖² over its bound")
    descends.set(ylabel="share of steps", ylim=(0, 1.02))
    descends.set_xticks(range(3), grid.SURROGATES)
    for regime, line in LINES.items():
        descends.plot([], [], color="black", linestyle=line, linewidth=1, label=regime)
    titles = ("premise: lr β ≤ 1", "E falls by half of ⟨Δ, −∇E⟩", "bound: at most 1")
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, loc="left", fontsize=8, fontweight="bold")
    figure.legend(*descends.get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=7)
    return figure


def draw_balance(runs: xr.Dataset) -> Figure:
    """Theorem 2: what the next step does to S, beside what the balance says, per optimiser."""
    figure = Figure(figsize=(6.8, 2.5), layout="constrained")
    own = runs.sel(surrogate="logdet", regime="fixed", lam0=LAMS[-1])
    at, closure = measured(own), theorem_2(own)["closure"].mean("seed")
    panels = figure.subplots(1, len(OPTIMIZERS))
    for axes, (name, label) in zip(panels, OPTIMIZERS.items(), strict=True):
        one = at.sel(optimizer=name)
        balance = one["step_time"] * (one["injection"] - one["dissipation"])
        _band(axes, balance, ORANGE, "--", "Theorem 2: time of the step x (injection − dissipation)")
        _band(axes, one["step_entropy"], BLUE, "-", "what the step did to S")
        axes.axhline(0, color="black", linewidth=0.7)
        axes.set(xlabel="epoch")
        title = f"{label}\nclosure error {closure.sel(optimizer=name).item():.2f}"
        axes.set_title(title, loc="left", fontsize=8, fontweight="bold")
    panels[0].set(ylabel="change of S (nats per step)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7)
    return figure


def _band(axes: Axes, values: xr.DataArray, colour: str, line: str, label: str = "") -> None:
    """Plot the mean over seeds with its 95% interval over epochs."""
    mean, half = grid.interval(values)
    epoch = mean["epoch"].to_numpy()
    axes.fill_between(epoch, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
    axes.plot(epoch, mean, color=colour, linestyle=line, linewidth=1, label=label)
