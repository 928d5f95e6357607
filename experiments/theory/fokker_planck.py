"""Gates on the density of theta: Theorems 4 and 5, in closed form, on a grid in one and two dimensions, by particles.

Langevin dynamics dX = -grad V dt + sqrt(2T) dW has a density rho with d rho/dt = div(rho grad V) + T lap rho (the
Fokker-Planck equation). With mu = V + T log rho that is d rho/dt = div(rho grad mu), so

    F[rho] = int V rho + T int rho log rho,    dF/dt = int mu d rho/dt = -int rho |grad mu|^2       (Theorem 4)
    H[rho] = -int rho log rho,                 dH/dt = -E[lap V] + T E|grad log rho|^2              (Theorem 5)

each by one integration by parts, whose boundary terms vanish: rho decays at infinity, or nothing flows through the
walls of a box. Theorem 5 leaves one term more there, the integral of rho times V's outward slope along the walls; the
boxes here are wide enough for it to stay below 1e-6, and 1e-4 in 2-D.

The grid is cells of width h with rho at their centres. Fluxes are those of Scharfetter & Gummel
(doi:10.1109/T-ED.1969.16566), exact where grad V and the flux are constant from one centre to the next. Every d/dt of
a functional is a complex step (Squire & Trapp, doi:10.1137/S003614459631241X): df/dt = Im f(x + i e dx/dt)/e, exact to
rounding for the functional as it is coded. So neither side of a theorem borrows the other's formula.

Time and T have no unit of their own (the mobility is 1); V, T and F share one, H is in nats.
"""

from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import expm_multiply, spsolve
from scipy.special import exprel
from scipy.stats import chi2, kstest

from experiments.theory.gate import Gate, Measured, panel
from hclm_runner.picture import BLUE, GREY, ORANGE, STYLE, save

Array = NDArray[np.float64]

FIGURE = "fokker_planck"
"""The stem of the figure that `draw` writes."""

STEP = 1e-30
"""The complex step: its square vanishes beside 1, and nothing is subtracted, so it may be this small."""


START, WIDTH = -0.6, 0.25
"""Where the density starts in x, and its standard deviation: the walls, more than 5 of them away, are not felt."""

TIMES = np.concatenate([[0.0], np.geomspace(0.01, 8, 13)])
"""From the start to where the two sides of the barrier have nearly exchanged."""


def derivative(f: Callable[..., Any], x: Array, slope: Array | float) -> Array:
    """Return d/dt f(x(t)) where dx/dt = slope, for an f that is analytic in x."""
    return np.imag(f(x + 1j * STEP * slope)) / STEP


# ---------------------------------------------------------------------------------------------------------------------
# The grid
# ---------------------------------------------------------------------------------------------------------------------


class Well(NamedTuple):
    """A potential on the cells of a box, and a temperature."""

    x: tuple[Array, ...]
    """Coordinates of the centres, an array [cells, ...] for each dimension."""
    h: tuple[float, ...]
    """Widths of a cell."""
    V: Array
    laplacian: Array
    """Of V, in closed form."""
    T: float

    @property
    def cell(self) -> float:
        """Volume of a cell."""
        return float(np.prod(self.h))

    @property
    def gibbs(self) -> Array:
        """The density exp(-V/T)/Z on the cells."""
        weight = np.exp(-(self.V - self.V.min()) / self.T)
        return weight / (weight.sum() * self.cell)


def centres(*sides: tuple[float, float, int]) -> tuple[tuple[Array, ...], tuple[float, ...]]:
    """Return the coordinates of the cells' centres and their widths; a side is (low, high, cells)."""
    widths = tuple((high - low) / cells for low, high, cells in sides)
    axes = [low + h * (np.arange(cells) + 0.5) for (low, _, cells), h in zip(sides, widths, strict=True)]
    return tuple(np.meshgrid(*axes, indexing="ij")), widths


def double_well(cells: int, T: float = 0.4) -> Well:
    """V = (x^2 - 1)^2, a barrier of 1 crossed at a rate near exp(-1/T); at the walls exp(-V/T) < 1e-15."""
    (x,), h = centres((-2.2, 2.2, cells))
    return Well((x,), h, (x**2 - 1) ** 2, 12 * x**2 - 4, T)


def double_well_2d(cells: int, T: float = 0.4) -> Well:
    """V = (x^2 - 1)^2 + (y - x/2)^2, which does not separate; at the walls exp(-V/T) < 1e-9."""
    (x, y), h = centres((-2.0, 2.0, 2 * cells), (-3.6, 3.6, 3 * cells))
    return Well((x, y), h, (x**2 - 1) ** 2 + (y - x / 2) ** 2, 12 * x**2 - 4 + 1 / 2 + 2, T)


def start(well: Well) -> Array:
    """Return the density to start from: a Gaussian on the left slope of the barrier, 0.25 wide, of mass 1."""
    places = (START, *(0.0 for _ in well.x[1:]))
    rho = np.exp(-sum((x - place) ** 2 for x, place in zip(well.x, places, strict=True)) / (2 * WIDTH**2))
    return rho / (rho.sum() * well.cell)


def scharfetter_gummel(delta: Array) -> Array:
    """Return Bernoulli's function delta/(exp(delta) - 1), the rate of the jump up a step delta of V/T: positive."""
    return 1 / exprel(delta)


def centred(delta: Array) -> Array:
    """Return the rate that centred differences give, Bernoulli's function to first order: negative above delta = 2."""
    return 1 - delta / 2


def generator(well: Well, jump: Callable[[Array], Array] = scharfetter_gummel) -> sparse.csc_array:
    """Return A, [cells, cells], of d rho/dt = A rho: a Markov chain of jumps between neighbours.

    The flux from cell i to its neighbour j is (T/h) (B(d) rho_i - B(-d) rho_j), d = (V_j - V_i)/T and B(d) = jump(d).
    B(-d) = exp(d) B(d), so there is no flux when rho is exp(-V/T)/Z. Walls have no neighbour behind them.
    """
    cells = np.arange(well.V.size).reshape(well.V.shape)
    A = sparse.csc_array((cells.size, cells.size))
    for axis, h in enumerate(well.h):
        i, j = _neighbours(cells, axis)
        delta = (well.V.flat[j] - well.V.flat[i]) / well.T
        up, down = well.T / h**2 * jump(delta), well.T / h**2 * jump(-delta)
        entries = np.concatenate([up, -up, down, -down])
        to, out_of = np.concatenate([j, i, i, j]), np.concatenate([i, i, j, j])
        A += sparse.csc_array((entries, (to, out_of)), shape=A.shape)
    return A


def solve(A: sparse.csc_array, rho: Array, times: Array) -> Array:
    """Return rho, [times, cells, ...], at times that start with 0: exp(A t) rho, exact in time to rounding.

    The series behind `expm_multiply` is shifted by the mean of A's diagonal; what is left of A is non-negative but for
    how little its diagonal varies, so that no cancellation spoils the small densities of the tails.
    """
    states = [rho.ravel()]
    for before, after in pairwise(times):
        states.append(expm_multiply(A * (after - before), states[-1]))
    return np.reshape(states, (-1, *rho.shape))


def _neighbours(values: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the values at the two cells of every inner face across this axis."""
    along = np.moveaxis(values, axis, 0)
    return along[:-1].ravel(), along[1:].ravel()


# ---------------------------------------------------------------------------------------------------------------------
# The two theorems on the grid
# ---------------------------------------------------------------------------------------------------------------------

Functional = Callable[[Well, Array], float]


def free_energy(well: Well, rho: Array) -> float:
    """F = int V rho + T int rho log rho."""
    return (rho * (well.V + well.T * np.log(rho))).sum() * well.cell


def entropy(well: Well, rho: Array) -> float:
    """H = -int rho log rho, nats."""
    return -(rho * np.log(rho)).sum() * well.cell


def dissipation(well: Well, rho: Array) -> float:
    """Int rho |grad(V + T log rho)|^2: the gradient across each face, rho the mean of its two cells; second order."""
    return _mean_square_slope(well, rho, well.V + well.T * np.log(rho))


def entropy_rate(well: Well, rho: Array, sign: float = 1.0) -> float:
    """-E[lap V] + T E|grad log rho|^2; sign = -1 is Theorem 5 with its sides exchanged."""
    curvature = (rho * well.laplacian).sum() * well.cell
    return sign * (well.T * _mean_square_slope(well, rho, np.log(rho)) - curvature)


def _mean_square_slope(well: Well, rho: Array, potential: Array) -> float:
    total = 0.0
    for axis, h in enumerate(well.h):
        (left, right), (low, high) = _neighbours(rho, axis), _neighbours(potential, axis)
        total += ((left + right) / 2 * ((high - low) / h) ** 2).sum() * well.cell
    return total


def rate(functional: Functional, well: Well, A: sparse.csc_array, rho: Array) -> float:
    """Return d/dt of a functional where d rho/dt = A rho."""
    return float(derivative(lambda p: functional(well, p), rho, (A @ rho.ravel()).reshape(rho.shape)))


@cache
def path(build: Callable[[int], Well], cells: int) -> tuple[Well, sparse.csc_array, Array]:
    """Return a well, its generator and the densities at `TIMES`."""
    well = build(cells)
    A = generator(well)
    return well, A, solve(A, start(well), TIMES)


def sides(build: Callable[[int], Well], cells: int, functional: Functional, claim: Functional) -> Array:
    """Return d/dt of a functional and what a theorem says it is, [2, times], extrapolated to h = 0.

    Both err by c h^2 + O(h^4) on grids of `cells` and 2 `cells`: (4 fine - coarse)/3 is rid of the h^2 (Richardson).
    """
    coarse, fine = (
        np.array([[rate(functional, well, A, rho), claim(well, rho)] for rho in densities])
        for well, A, densities in (path(build, n) for n in (cells, 2 * cells))
    )
    return ((4 * fine - coarse) / 3).T


def wrong_sign(functional: Functional) -> Functional:
    """Return the functional with V - T log rho in the place of V + T log rho."""
    return lambda well, rho: functional(well._replace(T=-well.T), rho)


def theorem_4(build: Callable[[int], Well], cells: int, limit: float, claim: Functional = dissipation) -> Measured:
    """Theorem 4 on a grid: dF/dt = -int rho |grad(V + T log rho)|^2.

    Measured: the largest relative difference of the two sides over `TIMES`, extrapolated to h = 0. In one dimension, 80
    and 160 cells (h = 0.055, 0.0275) leave O(h^4) = 1.4e-5 (limit 1e-4); in two, 24 x 36 and 48 x 72 leave 1.4e-3
    (limit 5e-3). Without the extrapolation 1e-4 would take more than 600 cells.
    Control: the dissipation of V - T log rho.
    """
    fall, claimed = sides(build, cells, free_energy, claim)
    error = float(np.max(np.abs(fall + claimed) / claimed))
    return Measured(error, limit, f"largest relative difference of the two sides {error:.1e}")


def theorem_5(build: Callable[[int], Well], cells: int, limit: float, sign: float = 1.0) -> Measured:
    """Theorem 5 on a grid: dH/dt = -E[lap V] + T E|grad log rho|^2.

    dH/dt = -int log rho div(rho grad mu) = int grad rho . (grad V + T grad log rho), and the first term by parts once
    more is -E[lap V]. Measured as Theorem 4, but relative to the largest |dH/dt|, for dH/dt passes through 0: 2e-5 in
    one dimension (limit 1e-4), 2e-3 in two (limit 1e-2).
    Control: the opposite sign, +E[lap V] - T E|grad log rho|^2.
    """
    rise, claimed = sides(build, cells, entropy, lambda well, rho: entropy_rate(well, rho, sign))
    error = float(np.abs(rise - claimed).max() / np.abs(rise).max())
    return Measured(error, limit, f"largest difference of the two sides, of the largest dH/dt, {error:.1e}")


# ---------------------------------------------------------------------------------------------------------------------
# The properties of the flow
# ---------------------------------------------------------------------------------------------------------------------

CELLS, CELLS_2D = 80, 12
"""The coarser of the two grids."""

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


# ---------------------------------------------------------------------------------------------------------------------
# Ornstein-Uhlenbeck, in closed form
# ---------------------------------------------------------------------------------------------------------------------


class Gaussian(NamedTuple):
    """A Gaussian in V = k x^2/2: it stays one."""

    k: float
    T: float
    m0: float
    s0: float
    """Mean and variance at the start."""

    def moments(self, t: Array) -> tuple[Array, Array]:
        """Mean and variance: dm/dt = -k m and ds/dt = 2T - 2k s, solved."""
        end = self.T / self.k
        return self.m0 * np.exp(-self.k * t), end + (self.s0 - end) * np.exp(-2 * self.k * t)

    def free_energy(self, t: Array) -> Array:
        """Free energy: E V - T H."""
        m, s = self.moments(t)
        return self.k * (m**2 + s) / 2 - self.T * self.entropy(t)

    def entropy(self, t: Array) -> Array:
        """Entropy, nats."""
        return np.log(2 * np.pi * np.e * self.moments(t)[1]) / 2

    def mean(self, f: Callable[[Array, Array], Array], t: Array) -> Array:
        """E f(x, grad log rho(x)) by Gauss-Hermite quadrature, exact to rounding for polynomials."""
        z, weights = np.polynomial.hermite_e.hermegauss(20)
        m, s = (moment[:, None] for moment in self.moments(t))
        return f(m + np.sqrt(s) * z, -z / np.sqrt(s)) @ weights / weights.sum()


GAUSSIANS = (Gaussian(1.0, 0.4, 2.0, 0.1), Gaussian(0.5, 1.0, -1.0, 4.0), Gaussian(3.0, 0.2, 0.0, 1.0))
"""Narrower than its equilibrium, wider and displaced, wider and centred."""

AGES = np.linspace(0, 2, 21)


def closed_form_4(sign: float = 1.0) -> Measured:
    """Theorem 4 in closed form: a Gaussian of mean m(t) and variance s(t) in V = k x^2/2 (Ornstein-Uhlenbeck).

    F = k (m^2 + s)/2 - (T/2) log(2 pi e s) is differentiated along the exact moments, and int rho |k x + T grad log
    rho|^2 is a quadrature over x. Measured: the largest difference over three Gaussians and 21 times, of the largest
    rate; 1e-9 leaves rounding six digits. Control: k x - T grad log rho.
    """
    return _worst(
        lambda g: derivative(g.free_energy, AGES, 1.0),
        lambda g: -g.mean(lambda x, slope: (g.k * x + sign * g.T * slope) ** 2, AGES),
    )


def closed_form_5(sign: float = 1.0) -> Measured:
    """Theorem 5 in closed form: H = log(2 pi e s)/2 along the exact variance, and -k + T E|grad log rho|^2 over x.

    Measured and limited as Theorem 4's. Control: the opposite sign.
    """
    return _worst(
        lambda g: derivative(g.entropy, AGES, 1.0),
        lambda g: sign * g.mean(lambda _, slope: g.T * slope**2 - g.k, AGES),
    )


def _worst(left: Callable[[Gaussian], Array], right: Callable[[Gaussian], Array]) -> Measured:
    error = max(float(np.abs(left(g) - right(g)).max() / np.abs(left(g)).max()) for g in GAUSSIANS)
    return Measured(error, 1e-9, f"largest difference of the two sides, of the largest rate, {error:.1e}")


# ---------------------------------------------------------------------------------------------------------------------
# Particles
# ---------------------------------------------------------------------------------------------------------------------


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
    """Return chi-square of the particles' counts [2, n] beside rho, over its quantile at 1e-4: above 1, not from rho.

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


# ---------------------------------------------------------------------------------------------------------------------
# The figure
# ---------------------------------------------------------------------------------------------------------------------


def draw(folder: Path) -> list[Path]:
    """Draw a density on its way to exp(-V/T)/Z with both theorems along it, write PDF, SVG and PNG, return their paths.

    The marks are the derivatives of F and H, the lines what the theorems say they are, both on 160 cells.
    """
    well = double_well(2 * CELLS)
    A, (x,) = generator(well), well.x
    times = np.concatenate([[0.0], np.geomspace(0.01, 16, 49)])
    densities = solve(A, start(well), times)
    later, age = densities[1:], times[1:]

    def along(functional: Functional) -> Array:
        return np.array([functional(well, rho) for rho in later])

    fall, rise = (np.array([rate(f, well, A, rho) for rho in later]) for f in (free_energy, entropy))
    gain = along(lambda well, rho: well.T * _mean_square_slope(well, rho, np.log(rho)))
    loss = along(entropy_rate) - gain
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 5.2), layout="constrained")
        (density, energy), (fourth, fifth) = figure.subplots(2, 2)

        density.fill_between(x, well.V / 3, color=GREY, alpha=0.15, linewidth=0, label="V / 3")
        shades = iter(mpl.colormaps["cividis"](np.linspace(0, 0.9, 5)))
        for t in (0.0, 0.1, 1.0, 4.0, 16.0):
            nearest = int(np.abs(times - t).argmin())
            density.plot(x, densities[nearest], color=next(shades), label=f"t = {t:g}")
        density.plot(x, well.gibbs, color=ORANGE, linestyle="--", label="exp(−V/T)/Z")
        density.set(xlabel="x", ylabel="density ρ (per unit of x)", xlim=(-2.1, 2.1), ylim=(0, 1.7))

        energy.plot(age, along(free_energy), color=BLUE, label="F[ρ]")
        energy.axhline(free_energy(well, well.gibbs), color=ORANGE, linestyle="--", label="−T log Z, its minimum")
        energy.set(ylabel="free energy F (units of V)")

        fourth.plot(age, along(dissipation), color=BLUE, label="∫ρ |∇(V + T log ρ)|²")
        fourth.plot(age[::3], -fall[::3], "o", color=ORANGE, markersize=3.5, label="−dF/dt")
        fourth.set(yscale="log", ylabel="rate (units of V per unit time)")

        fifth.plot(age, gain, color=GREY, linestyle="--", label="T E|∇ log ρ|²")
        fifth.plot(age, loss, color=GREY, linestyle=":", label="−E[ΔV]")
        fifth.plot(age, gain + loss, color=BLUE, label="their sum")
        fifth.plot(age[::3], rise[::3], "o", color=ORANGE, markersize=3.5, label="dH/dt")
        fifth.set(ylabel="rate (nats per unit time)")

        for axes, title in ((density, "density"), (energy, "free energy"), (fourth, "Theorem 4"), (fifth, "Theorem 5")):
            panel(axes, title, 4)
        for axes in (energy, fourth, fifth):
            axes.set(xscale="log", xlabel="time t")
    return save(figure, folder / FIGURE, ("pdf", "svg", "png"))


GATES = (
    Gate(
        "Theorem 4",
        "Free energy falls at the rate int rho |grad(V + T log rho)|^2: Ornstein-Uhlenbeck, closed form.",
        closed_form_4,
        partial(closed_form_4, -1.0),
        "V - T log rho in its place",
    ),
    Gate(
        "Theorem 4",
        "Free energy falls at that rate in a double well, on a grid.",
        partial(theorem_4, double_well, CELLS, 1e-4),
        partial(theorem_4, double_well, CELLS, 1e-4, wrong_sign(dissipation)),
        "V - T log rho in its place",
        figure=FIGURE,
    ),
    Gate(
        "Theorem 4",
        "Free energy falls at that rate in two dimensions.",
        partial(theorem_4, double_well_2d, CELLS_2D, 5e-3),
        partial(theorem_4, double_well_2d, CELLS_2D, 5e-3, wrong_sign(dissipation)),
        "V - T log rho in its place",
    ),
    Gate(
        "Theorem 4",
        "Free energy never rises along the flow.",
        monotone,
        partial(monotone, wrong_sign(free_energy)),
        "int V rho - T int rho log rho",
        figure=FIGURE,
    ),
    Gate("Theorem 4", "The flow keeps the mass.", mass, partial(mass, backward=True), "the backward equation"),
    Gate(
        "Theorem 4",
        "The flow keeps densities positive, on coarse grids too.",
        positivity,
        partial(positivity, centred),
        "centred fluxes",
    ),
    Gate(
        "Theorem 4",
        "The stationary state is exp(-V/T)/Z.",
        partial(stationary, double_well, 2 * CELLS),
        partial(stationary, double_well, 2 * CELLS, 1.01),
        "T 1% too high in exp(-V/T)",
        figure=FIGURE,
    ),
    Gate(
        "Theorem 4",
        "The stationary state is exp(-V/T)/Z in two dimensions.",
        partial(stationary, double_well_2d, 2 * CELLS_2D),
        partial(stationary, double_well_2d, 2 * CELLS_2D, 1.01),
        "T 1% too high in exp(-V/T)",
    ),
    Gate(
        "Theorem 4",
        "The Fokker-Planck equation is the law of Langevin particles.",
        particles,
        partial(particles, heat=0.5),
        "noise of variance T dt, not 2T dt",
    ),
    Gate(
        "Theorem 4",
        "It is their law in two dimensions too, at three times.",
        particles_2d,
        partial(particles_2d, heat=1.05),
        "T 5% too high",
        slow=True,
    ),
    Gate(
        "Theorem 5",
        "Entropy changes by -E[lap V] + T E|grad log rho|^2: Ornstein-Uhlenbeck, closed form.",
        closed_form_5,
        partial(closed_form_5, -1.0),
        "the opposite sign",
    ),
    Gate(
        "Theorem 5",
        "Entropy changes so in a double well, on a grid.",
        partial(theorem_5, double_well, CELLS, 1e-4),
        partial(theorem_5, double_well, CELLS, 1e-4, -1.0),
        "the opposite sign",
        figure=FIGURE,
    ),
    Gate(
        "Theorem 5",
        "Entropy changes so in two dimensions.",
        partial(theorem_5, double_well_2d, CELLS_2D, 1e-2),
        partial(theorem_5, double_well_2d, CELLS_2D, 1e-2, -1.0),
        "the opposite sign",
    ),
)
"""The first of the gates on a grid pays for the path that the others share."""
