"""Theorem 1 on real runs: how often its premise and its descent hold, and whether its bound does."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments import grid
from experiments.estimate import of_seeds
from experiments.statements import trajectories
from experiments.statements.base import Found
from experiments.statements.trajectories import COLOURS, LAMS, LINES, OPTIMIZERS, band, measured, share


def along_runs(runs: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return for each run the shares of epochs at which Theorem 1's premise and its descent hold, and its bound.

    - The theorem assumes lr <= 1 / beta: the share of epochs with lr beta_t <= 1, lr / (1 - momentum) for heavy balls;
      Adam has no such lr.
    - It concludes that a step lowers E by half of <Delta, -gE> or more: the share of epochs whose next step did.
    - And min_{t<T} ||gE||^2 <= 2 (E_0 - E_T + W) / (lr N), W the work of the controller, N the steps: whether the run
      keeps it. As printed: without W, and with E_T at its least, 0.
    """
    at = measured(runs)
    premise = at["lr"] * at["smoothness"]
    promised = -at["step_time"] * slopes_squared(at) / 2
    return {
        "lr beta <= 1": share(premise <= 1, premise),
        "descends": share(at["step_energy"] <= promised, at["step_energy"]),
        "bound": kept(least_slope_over_bound(runs).isel(epoch=-1)),
        "as printed": kept(least_slope_over_bound(runs, printed=True).isel(epoch=-1)),
    }


def kept(quotient: xr.DataArray) -> xr.DataArray:
    """Return whether a quotient is at most 1; NaN where it is not defined."""
    return (quotient <= 1).where(quotient.notnull()).astype(float)


def least_slope_over_bound(runs: xr.Dataset, *, printed: bool = False) -> xr.DataArray:
    """Return min_{t<T} ||gE||^2 over Theorem 1's bound on it, for T = 1, 2, ... epochs; NaN without an lr.

    W is the controller's work (`control_work`). The least ||gE||^2 of the epochs is not less than that of the steps, so
    that a quotient of at most 1 proves that the bound holds. Infinite where E_0 - E_T + W <= 0: E rose, and the bound
    is broken whatever the gradient.
    `printed` is the paper's, without W, and E_T at its least, 0.
    """
    # E_T at the lam that was in force on the way there: what lam did at the end of epoch T is no step.
    arrived = (runs["train_loss"] + runs["lam"].shift(epoch=1) * runs["entropy"]).isel(epoch=slice(1, None))
    spent = energy(runs).isel(epoch=0, drop=True) - (0 * arrived if printed else arrived - control_work(runs))
    least = slopes_squared(runs).isel(epoch=slice(None, -1)).transpose(..., "epoch")
    least = least.copy(data=np.minimum.accumulate(least.to_numpy(), axis=-1)).assign_coords(epoch=spent["epoch"])
    quotient = least * runs["lr"] * runs["steps"] * spent["epoch"] / (2 * spent.where(spent > 0))
    return quotient.where((spent > 0) | spent.isnull() | runs["lr"].isnull(), np.inf)


def control_work(runs: xr.Dataset) -> xr.DataArray:
    """Return the controller's work before epoch T, for T = 1, 2, ...: the sum of (lam_t - lam_{t-1})^+ S_t over t < T.

    lam changes at the end of an epoch, S is that of its end; nats.
    """
    return (runs["lam"].diff("epoch").clip(min=0) * runs["entropy"]).cumsum("epoch").shift(epoch=1, fill_value=0.0)


def slopes_squared(runs: xr.Dataset) -> xr.DataArray:
    """Return ||gE||^2 = ||gL||^2 + 2 lam <gL, gS> + lam^2 F^2, with omega = rho = 0."""
    return runs["loss_force"] ** 2 - 2 * runs["lam"] * runs["injection"] + runs["lam"] * runs["dissipation"]


def energy(runs: xr.Dataset) -> xr.DataArray:
    """Return E = L + lam S, with omega = rho = 0."""
    return runs["train_loss"] + runs["lam"] * runs["entropy"]


def draw_runs(runs: xr.Dataset) -> Figure:
    """Theorem 1: lr beta over epochs, the share of steps that descend, and the bound on the least gradient."""
    figure = Figure(figsize=(6.8, 2.7), layout="constrained")
    smooth, descends, bound = panels = figure.subplots(1, 3)
    own = runs.sel(surrogate="logdet", lam0=LAMS[-1])
    premise, quotient = measured(own)["lr"] * measured(own)["smoothness"], least_slope_over_bound(own)
    quotient = quotient.where(np.isfinite(quotient))
    share_of = along_runs(runs)["descends"].mean(["regime", "lam0"])
    for i, (name, label) in enumerate(OPTIMIZERS.items()):
        colour = COLOURS[name]
        if np.isfinite(own["lr"].sel(optimizer=name)):
            for regime, line in LINES.items():
                band(smooth, premise.sel(optimizer=name, regime=regime), colour, line)
                band(bound, quotient.sel(optimizer=name, regime=regime), colour, line)
        descended = of_seeds(share_of.sel(optimizer=name, surrogate=list(grid.SURROGATES)))
        place = np.arange(len(grid.SURROGATES)) + 0.2 * i - 0.3
        error: dict[str, Any] = {"yerr": descended.half, "error_kw": {"linewidth": 0.7}}
        descends.bar(place, descended.value, 0.18, color=colour, label=label, **error)
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


def on_runs(folder: Path) -> Found:
    """Ask the runs of `premises` and `descent` for the theorem's premise and conclusions, and draw them.

    Raises:
        ConfigError: If a store lacks what that needs.
    """
    return trajectories.study(
        folder / "theorem_1_on_runs",
        "Theorem 1",
        along_runs,
        "Shares of epochs; then of runs that keep the bound on min ||gE||^2, with the controller's work and as "
        "printed. Adam has no lr.",
        draw_runs,
        "Theorem 1: its premise, its descent and its bound; log-det, base lam 0.3",
    )
