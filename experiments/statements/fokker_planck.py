"""The density of theta that Theorems 4 and 5 are about: in closed form, and on a grid in one and two dimensions.

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

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import expm_multiply
from scipy.special import exprel

from experiments.statements.base import Measured

Array = NDArray[np.float64]

CELLS, CELLS_2D = 80, 12
"""The coarser of the two grids of a gate, in one dimension and in two."""


STEP = 1e-30
"""The complex step: its square vanishes against 1, and nothing is subtracted, so it may be this small."""


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
    """Int rho |grad(V + T log rho)|^2."""
    return mean_square_slope(well, rho, well.V + well.T * np.log(rho))


def entropy_rate(well: Well, rho: Array, sign: float = 1.0) -> float:
    """-E[lap V] + T E|grad log rho|^2; sign = -1 is Theorem 5 with its sides exchanged."""
    curvature = (rho * well.laplacian).sum() * well.cell
    return sign * (well.T * mean_square_slope(well, rho, np.log(rho)) - curvature)


def mean_square_slope(well: Well, rho: Array, potential: Array) -> float:
    """Int rho |grad potential|^2: the gradient across each face, rho the mean of its two cells; second order."""
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


def relaxation() -> tuple[Well, sparse.csc_array, Array, Array]:
    """Return a double well of 160 cells, its generator, and times [50] with the densities then, for the figures."""
    well = double_well(2 * CELLS)
    A, times = generator(well), np.concatenate([[0.0], np.geomspace(0.01, 16, 49)])
    return well, A, times, solve(A, start(well), times)


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
        return np.log(2 * np.pi * math.e * self.moments(t)[1]) / 2

    def mean(self, f: Callable[[Array, Array], Array], t: Array) -> Array:
        """E f(x, grad log rho(x)) by Gauss-Hermite quadrature, exact to rounding for polynomials."""
        z, weights = np.polynomial.hermite_e.hermegauss(20)
        m, s = (moment[:, None] for moment in self.moments(t))
        return f(m + np.sqrt(s) * z, -z / np.sqrt(s)) @ weights / weights.sum()


GAUSSIANS = (Gaussian(1.0, 0.4, 2.0, 0.1), Gaussian(0.5, 1.0, -1.0, 4.0), Gaussian(3.0, 0.2, 0.0, 1.0))
"""Narrower than its equilibrium, wider and displaced, wider and centred."""

AGES = np.linspace(0, 2, 21)


def closed_form(left: Callable[[Gaussian], Array], right: Callable[[Gaussian], Array]) -> Measured:
    """Return the largest difference of a theorem's two sides over `GAUSSIANS` and `AGES`, of the largest rate.

    The limit 1e-9 leaves rounding six digits.
    """
    error = max(float(np.abs(left(g) - right(g)).max() / np.abs(left(g)).max()) for g in GAUSSIANS)
    return Measured(error, 1e-9, f"largest difference of the two sides, of the largest rate, {error:.1e}")
