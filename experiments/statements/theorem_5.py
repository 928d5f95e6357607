"""Theorem 5: the entropy of the density of theta changes at the rate -E[lap V] + T E|grad log rho|^2.

The grid and the mathematics are in `fokker_planck`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from experiments.statements import fokker_planck
from experiments.statements.base import Gate, Measured, Statement, panel
from experiments.statements.fokker_planck import (
    AGES,
    CELLS,
    CELLS_2D,
    Well,
    derivative,
    double_well,
    double_well_2d,
    entropy,
    entropy_rate,
    mean_square_slope,
    rate,
    relaxation,
    sides,
)
from hclm_runner.picture import BLUE, GREY, KINDS, ORANGE, STYLE, save


def on_a_grid(build: Callable[[int], Well], cells: int, limit: float, sign: float = 1.0) -> Measured:
    """On a grid: dH/dt = -E[lap V] + T E|grad log rho|^2.

    dH/dt = -int log rho div(rho grad mu) = int grad rho . (grad V + T grad log rho), and the first term by parts once
    more is -E[lap V]. Measured as Theorem 4, but relative to the largest |dH/dt|, for dH/dt passes through 0: 2e-5 in
    one dimension (limit 1e-4), 2e-3 in two (limit 1e-2).
    Control: the opposite sign, +E[lap V] - T E|grad log rho|^2.
    """
    rise, claimed = sides(build, cells, entropy, lambda well, rho: entropy_rate(well, rho, sign))
    error = float(np.abs(rise - claimed).max() / np.abs(rise).max())
    return Measured(error, limit, f"largest difference of the two sides, of the largest dH/dt, {error:.1e}")


def ornstein_uhlenbeck(sign: float = 1.0) -> Measured:
    """In closed form: H = log(2 pi e s)/2 along the exact variance s, and -k + T E|grad log rho|^2 over x.

    Measured and limited as Theorem 4's. Control: the opposite sign.
    """
    return fokker_planck.closed_form(
        lambda g: derivative(g.entropy, AGES, 1.0),
        lambda g: sign * g.mean(lambda _, slope: g.T * slope**2 - g.k, AGES),
    )


def draw(folder: Path) -> list[Path]:
    """Draw the entropy of a density on its way to exp(-V/T)/Z, and the theorem's two sides; return the files' paths.

    The marks are the derivative of H, the lines what the theorem says it is, both on 160 cells.
    """
    well, A, times, densities = relaxation()
    later, age = densities[1:], times[1:]
    gain = np.array([well.T * mean_square_slope(well, rho, np.log(rho)) for rho in later])
    loss = np.array([entropy_rate(well, rho) for rho in later]) - gain
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 2.9), layout="constrained")
        value, rise = figure.subplots(1, 2)

        value.plot(age, [entropy(well, rho) for rho in later], color=BLUE, label="H[ρ]")
        value.axhline(entropy(well, well.gibbs), color=ORANGE, linestyle="--", label="that of exp(−V/T)/Z")
        value.set(ylabel="entropy H (nats)")

        rise.plot(age, gain, color=GREY, linestyle="--", label="T E|∇ log ρ|²")
        rise.plot(age, loss, color=GREY, linestyle=":", label="−E[ΔV]")
        rise.plot(age, gain + loss, color=BLUE, label="their sum")
        measured = [rate(entropy, well, A, rho) for rho in later]
        rise.plot(age[::3], measured[::3], "o", color=ORANGE, markersize=3.5, label="dH/dt")
        rise.set(ylabel="rate (nats per unit time)")

        for axes, title in ((value, "entropy"), (rise, "its two sides")):
            panel(axes, title, 4)
            axes.set(xscale="log", xlabel="time t")
    return save(figure, folder / "theorem_5", KINDS)


GATES = (
    Gate(
        "",
        "Entropy changes by -E[lap V] + T E|grad log rho|^2: Ornstein-Uhlenbeck, closed form.",
        ornstein_uhlenbeck,
        partial(ornstein_uhlenbeck, -1.0),
        "the opposite sign",
    ),
    Gate(
        "",
        "Entropy changes so in a double well, on a grid.",
        partial(on_a_grid, double_well, CELLS, 1e-4),
        partial(on_a_grid, double_well, CELLS, 1e-4, -1.0),
        "the opposite sign",
    ),
    Gate(
        "",
        "Entropy changes so in two dimensions.",
        partial(on_a_grid, double_well_2d, CELLS_2D, 1e-2),
        partial(on_a_grid, double_well_2d, CELLS_2D, 1e-2, -1.0),
        "the opposite sign",
    ),
)


STATEMENT = Statement(
    name="Theorem 5",
    says="The entropy −∫ rho log rho changes at the rate −E[Lap V] + T E‖∇ log rho‖².",
    as_printed="holds",
    needs="no flow of probability through walls where V slopes, for such walls add a term. The opposite sign fails",
    gates=GATES,
    draw=draw,
)
