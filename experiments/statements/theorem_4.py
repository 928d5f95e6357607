"""Theorem 4: the free energy of the density of theta falls at the rate int rho |grad(V + T log rho)|^2.

With the density's own law, of which it is a property: the Fokker-Planck equation keeps mass and sign, ends in
exp(-V/T)/Z, and is that of Langevin particles. The grid and the mathematics are in `fokker_planck`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve
from scipy.stats import chi2, kstest

from experiments.statements import fokker_planck
from experiments.statements.base import Gate, Measured, Statement, panel
from experiments.statements.fokker_planck import (
    AGES,
    CELLS,
    CELLS_2D,
    START,
    TIMES,
    WIDTH,
    Functional,
    Well,
    centred,
    derivative,
    dissipation,
    double_well,
    double_well_2d,
    free_energy,
    generator,
    path,
    rate,
    relaxation,
    scharfetter_gummel,
    sides,
    solve,
    start,
)
from hclm_runner.picture import BLUE, GREY, KINDS, ORANGE, STYLE, save

Array = NDArray[np.float64]

# --- The theorem ----------------------------------------------------------------------------------------------------


def wrong_sign(functional: Functional) -> Functional:
    """Return the functional with V - T log rho in the place of V + T log rho."""
    return lambda well, rho: functional(well._replace(T=-well.T), rho)


def on_a_grid(build: Callable[[int], Well], cells: int, limit: float, claim: Functional = dissipation) -> Measured:
    """On a grid: dF/dt = -int rho |grad(V + T log rho)|^2.

    Measured: the largest relative difference of the two sides over `TIMES`, extrapolated to h = 0. In one dimension, 80
    and 160 cells (h = 0.055, 0.0275) leave O(h^4) = 1.4e-5 (limit 1e-4); in two, 24 x 36 and 48 x 72 leave 1.4e-3
    (limit 5e-3). Without the extrapolation 1e-4 would take more than 600 cells.
    Control: the dissipation of V - T log rho.
    """
    fall, claimed = sides(build, cells, free_energy, claim)
    error = float(np.max(np.abs(fall + claimed) / claimed))
    return Measured(error, limit, f"largest relative difference of the two sides {error:.1e}")


def ornstein_uhlenbeck(sign: float = 1.0) -> Measured:
    """In closed form: a Gaussian of mean m(t) and variance s(t) in V = k x^2/2 (Ornstein-Uhlenbeck).

    F = k (m^2 + s)/2 - (T/2) log(2 pi e s) is differentiated along the exact moments, and int rho |k x + T grad log
    rho|^2 is a quadrature over x. Measured: the largest difference over three Gaussians and 21 times, of the largest
    rate. Control: k x - T grad log rho.
    """
    return fokker_planck.closed_form(
        lambda g: derivative(g.free_energy, AGES, 1.0),
        lambda g: -g.mean(lambda x, slope: (g.k * x + sign * g.T * slope) ** 2, AGES),
    )


# --- The flow -------------------------------------------------------------------------------------------------------

COARSE = 20
"""Cells so wide that V/T changes by up to 15 from one to the next."""


def mass(backward: bool = False) -> Measured:
    """The total mass stays 1: what leaves a cell enters its neighbour, so that the columns of A sum to 0.

    Measured: the largest |mass - 1| over `TIMES`, which rounding over 1e5 terms of the series leaves near 1e-13.
    Control: the transpose of A, the backward equation, which conserves constants instead.
    """
    well, A, densities = path(double_well, CELLS)
    states = solve(A.T.tocsc(), densities[0], TIMES) if backward else densities
    error = float(np.abs(states.sum(axis=1) * well.cell - 1).max())
    return Measured(error, 1e-12, f"mass differs from 1 by at most {error:.1e}")


def positivity(jump: Callable[[Array], Array] = scharfetter_gummel) -> Measured:
    """A density stays positive: exp(A t) has no negative entry when A has none off its diagonal.

    Measured: the smallest density over `TIMES` on a grid of 20 cells. Control: centred fluxes, whose rate 1 - d/2 is
    negative where V/T changes by more than 2 from a cell to the next.
    """
    well = double_well(COARSE)
    lowest = float(solve(generator(well, jump), start(well), TIMES).min())
    return Measured(-lowest, 0.0, f"smallest density {lowest:.1e}")


def monotone(functional: Functional = free_energy) -> Measured:
    """F never rises along the flow, at any h and any two times.

    dF/dt = -sum over faces of flux times step in mu, and the flux has the sign of that step. Measured: the largest
    F(t_k+1) - F(t_k), every one at least 1e-3 below 0, far above rounding. Control: int V rho - T int rho log rho.
    """
    well, _, densities = path(double_well, CELLS)
    rise = float(np.diff([functional(well, rho) for rho in densities]).max())
    return Measured(rise, 0.0, f"largest change of F between two times {rise:.1e}")


def equilibrium(A: sparse.csc_array, well: Well) -> Array:
    """Return the density at which A rho = 0: one row of A, which follows from the others, is replaced by mass = 1."""
    total = sparse.csr_array(np.full((1, well.V.size), well.cell))
    one = np.zeros(well.V.size)
    one[-1] = 1.0
    return spsolve(sparse.vstack([A.tocsr()[:-1], total]).tocsc(), one).reshape(well.V.shape)


def stationary(build: Callable[[int], Well], cells: int, heat: float = 1.0) -> Measured:
    """The stationary state is exp(-V/T)/Z, and there is no other: grad mu = 0 wherever rho > 0.

    Measured: int |rho - exp(-V/T)/Z| with A rho = 0 solved as a linear system. It is 0 on every grid, as the fluxes
    are: 1e-9 is rounding times the system's condition. Control: exp(-V/T')/Z with T' 1% above T.
    """
    well = build(cells)
    gibbs = well._replace(T=heat * well.T).gibbs
    error = float(np.abs(equilibrium(generator(well), well) - gibbs).sum() * well.cell)
    return Measured(error, 1e-9, f"int |rho - exp(-V/T)/Z| = {error:.1e}")


# --- Particles ------------------------------------------------------------------------------------------------------


def langevin(
    x: Array, grad_V: Callable[[Array], Array], T: float, t: float, dt: float, chance: np.random.Generator
) -> Array:
    """Return the particles after a time t of dX = -grad V dt + sqrt(2T) dW, in steps of dt (Euler & Maruyama)."""
    for _ in range(round(t / dt)):
        x = x - grad_V(x) * dt + np.sqrt(2 * T * dt) * chance.standard_normal(x.shape)
    return x


def particles(heat: float = 1.0, n: int = 20_000, t: float = 1.0, dt: float = 0.002) -> Measured:
    """The Fokker-Planck equation is the law of Langevin dynamics.

    Measured: the Kolmogorov-Smirnov distance of 20 000 particles in the double well at t = 1 from the distribution that
    the grid gives. Were they drawn from it, it would exceed 2.23/sqrt(n) = 0.0158, the limit, for one seed in 10 000;
    steps of 0.002 and cells of 0.0275 bend the distribution by some 0.002. Control: noise of variance T dt, half of
    what the equation asks for.
    """
    well = double_well(2 * CELLS)
    rho = solve(generator(well), start(well), np.array([0.0, t]))[-1]
    edges = well.x[0] + well.h[0] / 2
    chance = np.random.default_rng(0)
    first = START + WIDTH * chance.standard_normal(n)
    last = langevin(first, lambda x: 4 * x * (x**2 - 1), heat * well.T, t, dt, chance)
    distance = float(kstest(last, lambda x: np.interp(x, edges, np.cumsum(rho) * well.cell)).statistic)
    return Measured(distance, 2.23 / np.sqrt(n), f"Kolmogorov-Smirnov distance {distance:.4f}")


def excess_counts(particles: Array, well: Well, rho: Array, pooled: int) -> float:
    """Return chi-square of the particles' counts [2, n] against rho, over its quantile at 1e-4: above 1, not from rho.

    In boxes of `pooled` x `pooled` cells; those with fewer than ten expected, and all outside, count as one more.
    """
    n, (rows, columns) = particles.shape[1], (size // pooled for size in rho.shape)
    expected = n * well.cell * rho.reshape(rows, pooled, columns, pooled).sum(axis=(1, 3))
    edges = [
        axis.min() + h * (pooled * np.arange(boxes + 1) - 0.5)
        for axis, h, boxes in zip(well.x, well.h, (rows, columns), strict=True)
    ]
    counts, often = np.histogram2d(particles[0], particles[1], edges)[0], expected >= 10
    seen, due = (np.append(number[often], n - number[often].sum()) for number in (counts, expected))
    return float(((seen - due) ** 2 / due).sum() / chi2.isf(1e-4, often.sum()))


def particles_2d(heat: float = 1.0, n: int = 100_000, dt: float = 0.004) -> Measured:
    """The same in two dimensions, where V does not separate, at three times, by counts in boxes of 0.17 x 0.2.

    Measured: the largest chi-square at t = 0.2, 1 and 4, as the barrier is crossed, over its quantile at 1e-4. Steps of
    0.004 stay unseen by 100 000 particles; 400 000 would see them (1.16 at t = 4), but not steps of 0.002 (0.89).
    Control: T 5% too high, which `particles` cannot tell.
    """
    well, times = double_well_2d(4 * CELLS_2D), np.array([0.0, 0.2, 1.0, 4.0])
    densities = solve(generator(well), start(well), times)
    chance = np.random.default_rng(0)
    z = WIDTH * chance.standard_normal((2, n)) + np.array([[START], [0.0]])
    found = []
    for before, after, rho in zip(times[:-1], times[1:], densities[1:], strict=True):
        z = langevin(z, _slope_2d, heat * well.T, after - before, dt, chance)
        found.append(excess_counts(z, well, rho, 4))
    text = ", ".join(f"{value:.2f} at t = {t:g}" for value, t in zip(found, times[1:], strict=True))
    return Measured(float(np.max(found)), 1.0, f"chi-square over its quantile: {text}")


def _slope_2d(z: Array) -> Array:
    """Return grad V of `double_well_2d`, [2, n]."""
    x, y = z
    return np.array([4 * x * (x**2 - 1) - (y - x / 2), 2 * (y - x / 2)])


# --- The figure and the statement -----------------------------------------------------------------------------------


def draw(folder: Path) -> list[Path]:
    """Draw a density on its way to exp(-V/T)/Z, its free energy, and the theorem's two sides; return the files' paths.

    The marks are the derivative of F, the line what the theorem says it is, both on 160 cells.
    """
    well, A, times, densities = relaxation()
    (x,), later, age = well.x, densities[1:], times[1:]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 3.2), layout="constrained")
        density, energy, fall = figure.subplots(1, 3)

        density.fill_between(x, well.V / 3, color=GREY, alpha=0.15, linewidth=0, label="V / 3")
        shades = iter(mpl.colormaps["cividis"](np.linspace(0, 0.9, 5)))
        for t in (0.0, 0.1, 1.0, 4.0, 16.0):
            nearest = int(np.abs(times - t).argmin())
            density.plot(x, densities[nearest], color=next(shades), label=f"t = {t:g}")
        density.plot(x, well.gibbs, color=ORANGE, linestyle="--", label="exp(−V/T)/Z")
        density.set(xlabel="x", ylabel="density ρ (per unit of x)", xlim=(-2.1, 2.1), ylim=(0, 1.7))

        energy.plot(age, [free_energy(well, rho) for rho in later], color=BLUE, label="F[ρ]")
        energy.axhline(free_energy(well, well.gibbs), color=ORANGE, linestyle="--", label="−T log Z, its minimum")
        energy.set(ylabel="free energy F (units of V)")

        claimed = [dissipation(well, rho) for rho in later]
        measured = [-rate(free_energy, well, A, rho) for rho in later]
        fall.plot(age, claimed, color=BLUE, label="∫ρ |∇(V + T log ρ)|²")
        fall.plot(age[::3], measured[::3], "o", color=ORANGE, markersize=3.5, label="−dF/dt")
        fall.set(yscale="log", ylabel="rate (V per unit time)")

        panel(density, "density", 2)
        panel(energy, "free energy", 1)
        panel(fall, "its two sides", 1)
        for axes in (energy, fall):
            axes.set(xscale="log", xlabel="time t")
    return save(figure, folder / "theorem_4", KINDS)


GATES = (
    Gate(
        "",
        "Free energy falls at the rate int rho |grad(V + T log rho)|^2: Ornstein-Uhlenbeck, closed form.",
        ornstein_uhlenbeck,
        partial(ornstein_uhlenbeck, -1.0),
        "V - T log rho in its place",
    ),
    Gate(
        "",
        "Free energy falls at that rate in a double well, on a grid.",
        partial(on_a_grid, double_well, CELLS, 1e-4),
        partial(on_a_grid, double_well, CELLS, 1e-4, wrong_sign(dissipation)),
        "V - T log rho in its place",
    ),
    Gate(
        "",
        "Free energy falls at that rate in two dimensions.",
        partial(on_a_grid, double_well_2d, CELLS_2D, 5e-3),
        partial(on_a_grid, double_well_2d, CELLS_2D, 5e-3, wrong_sign(dissipation)),
        "V - T log rho in its place",
    ),
    Gate(
        "",
        "Free energy never rises along the flow.",
        monotone,
        partial(monotone, wrong_sign(free_energy)),
        "int V rho - T int rho log rho",
    ),
    Gate("", "The flow keeps the mass.", mass, partial(mass, backward=True), "the backward equation"),
    Gate(
        "",
        "The flow keeps densities positive, on coarse grids too.",
        positivity,
        partial(positivity, centred),
        "centred fluxes",
    ),
    Gate(
        "",
        "The stationary state is exp(-V/T)/Z.",
        partial(stationary, double_well, 2 * CELLS),
        partial(stationary, double_well, 2 * CELLS, 1.01),
        "T 1% too high in exp(-V/T)",
    ),
    Gate(
        "",
        "The stationary state is exp(-V/T)/Z in two dimensions.",
        partial(stationary, double_well_2d, 2 * CELLS_2D),
        partial(stationary, double_well_2d, 2 * CELLS_2D, 1.01),
        "T 1% too high in exp(-V/T)",
    ),
    Gate(
        "",
        "The Fokker-Planck equation is the law of Langevin particles.",
        particles,
        partial(particles, heat=0.5),
        "noise of variance T dt, not 2T dt",
    ),
    Gate(
        "",
        "It is their law in two dimensions too, at three times.",
        particles_2d,
        partial(particles_2d, heat=1.05),
        "T 5% too high",
        slow=True,
    ),
)
"""The first of those on a grid pays for the path that the others share."""


STATEMENT = Statement(
    name="Theorem 4",
    says="The free energy ∫ V rho + T ∫ rho log rho falls at the rate ∫ rho ‖∇(V + T log rho)‖².",
    as_printed="holds",
    needs="nothing more. Checked on Ornstein-Uhlenbeck in closed form, to 1e-15, and on double wells in one and two "
    "dimensions, by a scheme that keeps mass, sign and stationary state",
    gates=GATES,
    draw=draw,
)
