"""The scheme behind Theorems 4 and 5: a Markov chain, second order, and equal to closed forms that scipy knows."""

from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.stats import chi2, norm

from experiments.statements import fokker_planck, theorem_4, theorem_5
from experiments.statements.fokker_planck import (
    TIMES,
    Gaussian,
    Well,
    centred,
    centres,
    derivative,
    dissipation,
    double_well,
    double_well_2d,
    entropy,
    entropy_rate,
    free_energy,
    generator,
    rate,
    solve,
    start,
)
from experiments.statements.theorem_4 import excess_counts, langevin

WELLS = [pytest.param(double_well(60), id="1-D"), pytest.param(double_well_2d(8), id="2-D")]


@pytest.mark.parametrize("well", WELLS)
def test_the_generator_is_that_of_a_markov_chain(well):
    A = generator(well)
    scale = np.abs(A.diagonal()).max()
    assert np.abs(A.sum(axis=0)).max() <= 1e-14 * scale
    jumps = A.tocoo()
    assert jumps.data[jumps.row != jumps.col].min() > 0
    assert np.abs(A @ well.gibbs.ravel()).max() <= 1e-14 * scale


@pytest.mark.parametrize("well", WELLS)
def test_every_jump_is_balanced_by_its_reverse_at_the_gibbs_state(well):
    traffic = (generator(well) * well.gibbs.ravel()).toarray()
    np.testing.assert_allclose(traffic, traffic.T, rtol=0, atol=1e-14 * np.abs(traffic).max())


def test_the_generator_is_the_fokker_planck_operator_to_second_order():
    def error(cells):
        well = double_well(cells)
        (x,), m, s = well.x, -0.6, 0.3**2
        rho = norm.pdf(x, m, np.sqrt(s))
        slope, bend = -(x - m) / s * rho, ((x - m) ** 2 / s**2 - 1 / s) * rho
        exact = well.laplacian * rho + (4 * x * (x**2 - 1)) * slope + well.T * bend
        return np.abs(generator(well) @ rho - exact)[2:-2].max()

    assert error(100) / error(200) == pytest.approx(4, rel=0.1)


def test_centred_fluxes_give_the_same_generator_when_cells_are_fine_and_a_negative_jump_when_coarse():
    fine, coarse = (generator(double_well(cells), centred).tocoo() for cells in (2000, 20))
    exact = generator(double_well(2000)).tocoo()
    np.testing.assert_allclose(fine.data, exact.data, rtol=5e-3)
    assert coarse.data[coarse.row != coarse.col].min() < 0


@pytest.mark.parametrize("well", WELLS)
def test_what_flows_between_cells_dissipates_exactly_the_free_energy(well):
    """Summation by parts: dF/dt = -sum of flux times the step of mu, on any grid, to rounding."""
    rho, A = start(well), generator(well)
    mu = (well.V + well.T * np.log(rho)).ravel()
    jumps = A.tocoo()
    sent = jumps.data * rho.ravel()[jumps.col]  # from col to row; the diagonal sends nothing anywhere
    flow = (sent * (mu[jumps.row] - mu[jumps.col])).sum() * well.cell
    assert rate(free_energy, well, A, rho) == pytest.approx(flow, rel=1e-9)
    assert flow < 0


@pytest.mark.parametrize(
    ("functional", "claim"), [(free_energy, lambda w, r: -dissipation(w, r)), (entropy, entropy_rate)]
)
def test_both_sides_of_a_theorem_meet_to_second_order(functional, claim):
    def gap(cells):
        well = double_well(cells)
        A = generator(well)
        rho = solve(A, start(well), np.array([0, 0.2]))[-1]
        return rate(functional, well, A, rho) - claim(well, rho)

    gaps = [gap(cells) for cells in (40, 80, 160)]
    assert np.log2(np.divide(gaps[:-1], gaps[1:])) == pytest.approx([2, 2], abs=0.1)


def test_the_complex_step_is_what_free_energy_does_over_time():
    well = double_well(60)
    A = generator(well)
    dt = 1e-3
    before, now, after = solve(A, start(well), np.array([0, 0.1 - dt, 0.1, 0.1 + dt]))[1:]
    difference = (free_energy(well, after) - free_energy(well, before)) / (2 * dt)
    assert rate(free_energy, well, A, now) == pytest.approx(difference, rel=1e-4)
    np.testing.assert_allclose(derivative(np.exp, np.arange(3.0), 2.0), 2 * np.exp(np.arange(3.0)), rtol=1e-15)


def test_time_is_as_exact_as_an_implicit_solver_of_small_steps():
    well = double_well(40)
    A, rho = generator(well), start(well)
    other = solve_ivp(lambda _, p: A @ p, (0, 1), rho, method="Radau", jac=A.tocsc(), rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(solve(A, rho, np.array([0.0, 1.0]))[-1], other.y[:, -1], rtol=0, atol=1e-8)


def test_gibbs_and_its_free_energy_are_those_of_a_quadrature():
    well = double_well(160)
    Z = quad(lambda x: np.exp(-((x**2 - 1) ** 2) / well.T), -4, 4, epsabs=1e-14)[0]
    np.testing.assert_allclose(well.gibbs, np.exp(-well.V / well.T) / Z, rtol=1e-10)
    assert free_energy(well, well.gibbs) == pytest.approx(-well.T * np.log(Z), rel=1e-10)


def test_every_start_ends_in_the_gibbs_state():
    well = double_well(24, T=1.0)
    for rho in (start(well), start(well)[::-1], np.full(24, 1 / 4.4)):
        np.testing.assert_allclose(solve(generator(well), rho, np.array([0.0, 40.0]))[-1], well.gibbs, rtol=1e-9)


def ornstein_uhlenbeck(g, cells):
    (x,), h = centres((-6.0, 6.0, cells))
    return Well((x,), h, g.k * x**2 / 2, np.full_like(x, g.k), g.T)


def test_the_grid_follows_the_closed_form_gaussian():
    g, t = Gaussian(1.0, 0.4, 1.0, 0.3), np.array([0.5])

    def error(cells):
        well = ornstein_uhlenbeck(g, cells)
        (x,) = well.x
        first, last = (norm.pdf(x, m, np.sqrt(s)) for m, s in (g.moments(np.zeros(1)), g.moments(t)))
        return np.abs(solve(generator(well), first, np.array([0.0, 0.5]))[-1] - last).max()

    assert error(120) < 2e-3
    assert error(60) / error(120) == pytest.approx(4, rel=0.1)


def test_closed_form_moments_energy_and_entropy_are_scipys():
    g, t = Gaussian(0.7, 0.4, -1.0, 0.2), 0.8
    law = solve_ivp(lambda _, y: [-g.k * y[0], 2 * g.T - 2 * g.k * y[1]], (0, t), [g.m0, g.s0], rtol=1e-11, atol=1e-13)
    m, s = law.y[:, -1]
    np.testing.assert_allclose(g.moments(np.array(t)), (m, s), rtol=1e-9)
    gaussian = norm(m, np.sqrt(s))
    assert g.entropy(np.array(t)) == pytest.approx(gaussian.entropy(), rel=1e-9)
    energy = gaussian.expect(lambda x: g.k * x**2 / 2) - g.T * gaussian.entropy()
    assert g.free_energy(np.array(t)) == pytest.approx(energy, rel=1e-9)


def test_langevin_particles_have_the_moments_of_ornstein_uhlenbeck():
    g, n = Gaussian(1.0, 0.4, 1.0, 0.1), 40_000
    chance = np.random.default_rng(3)
    first = g.m0 + np.sqrt(g.s0) * chance.standard_normal(n)
    last = langevin(first, lambda x: g.k * x, g.T, 1.0, 0.005, chance)
    m, s = g.moments(np.array(1.0))
    assert abs(last.mean() - m) < 4 * np.sqrt(s / n) + 0.003  # steps of 0.005 shift the mean by 0.0009
    assert abs(last.var() - s) < 4 * s * np.sqrt(2 / n) + 0.003


def test_counts_in_boxes_are_pearsons_chi_square():
    well = Well(*centres((0, 2, 4), (0, 2, 4)), np.zeros((4, 4)), np.zeros((4, 4)), 1.0)
    rho = np.array([[0.4, 0.3], [0.295, 0.005]]).repeat(2, axis=0).repeat(2, axis=1)  # boxes of area 1
    places = np.repeat([[0.1, 0.9], [0.1, 1.1], [1.9, 0.1], [1.9, 1.9], [5.0, 0.5]], [38, 33, 27, 1, 1], axis=0)
    # The box of 0.5 expected and the one outside go together.
    by_hand = 2**2 / 40 + 3**2 / 30 + 2.5**2 / 29.5 + 1.5**2 / 0.5
    assert excess_counts(places.T, well, rho, 2) == pytest.approx(by_hand / chi2.isf(1e-4, 3))


def test_counts_tell_a_density_from_one_a_twentieth_hotter():
    well, chance = double_well_2d(12), np.random.default_rng(1)
    cells = chance.choice(well.V.size, 100_000, p=well.gibbs.ravel() * well.cell)
    particles = np.array([x.ravel()[cells] for x in well.x])
    particles += (chance.random(particles.shape) - 0.5) * np.array(well.h)[:, None]
    assert excess_counts(particles, well, well.gibbs, 1) < 1
    assert excess_counts(particles, well, well._replace(T=1.05 * well.T).gibbs, 1) > 1


def test_the_slope_in_two_dimensions_is_that_of_the_well():
    (x, y), step = np.random.default_rng(0).uniform(-1.5, 1.5, (2, 5)), 1e-30j

    def V(x, y):
        return (x**2 - 1) ** 2 + (y - x / 2) ** 2

    exact = [V(x + step, y).imag / 1e-30, V(x, y + step).imag / 1e-30]
    np.testing.assert_allclose(theorem_4._slope_2d(np.array([x, y])), exact, rtol=1e-12)
    well = double_well_2d(4)
    np.testing.assert_allclose(well.V, V(*well.x), rtol=1e-12)


@pytest.mark.parametrize("broken", ["gain", "loss"])
def test_a_flipped_sign_in_either_term_of_theorem_5_turns_its_gate_red(broken, monkeypatch):
    def flipped(well, rho, sign=1.0):
        signs = {"gain": (-1, 1), "loss": (1, -1)}[broken]
        curvature = (rho * well.laplacian).sum() * well.cell
        return sign * (signs[0] * (entropy_rate(well, rho) + curvature) - signs[1] * curvature)

    monkeypatch.setattr(theorem_5, "entropy_rate", flipped)
    assert not theorem_5.on_a_grid(double_well, 40, 1e-2).passes


def test_a_generator_that_climbs_the_potential_turns_the_gates_red(monkeypatch):
    def uphill(well, *jump):
        return generator(well._replace(V=-well.V), *jump)

    monkeypatch.setattr(fokker_planck, "generator", uphill)
    monkeypatch.setattr(theorem_4, "generator", uphill)
    fokker_planck.path.cache_clear()
    try:
        assert not theorem_4.on_a_grid(double_well, 40, 1e-2).passes
        assert not theorem_5.on_a_grid(double_well, 40, 1e-2).passes
        assert not theorem_4.monotone().passes
        assert not theorem_4.stationary(double_well, 40).passes
    finally:
        fokker_planck.path.cache_clear()


def test_closed_forms_fail_when_the_variance_relaxes_at_the_wrong_rate(monkeypatch):
    right = Gaussian.moments
    monkeypatch.setattr(Gaussian, "moments", lambda g, t: (right(g, t)[0], right(g, t / 2)[1]))
    assert not theorem_4.ornstein_uhlenbeck().passes
    assert not theorem_5.ornstein_uhlenbeck().passes


def test_densities_start_with_mass_1_away_from_the_walls():
    for well in (double_well(80), double_well_2d(12)):
        rho = start(well)
        assert rho.sum() * well.cell == pytest.approx(1, abs=1e-14)
        walls = np.ones_like(rho, dtype=bool)
        walls[(slice(1, -1),) * rho.ndim] = False
        assert rho[walls].max() < 1e-5
        assert well.gibbs[walls].max() < 1e-6
    assert TIMES[0] == 0
    assert (np.diff(TIMES) > 0).all()


def drawn(module, monkeypatch):
    """Return the axes of a statement's figure by their titles, without its files."""
    figures = []
    monkeypatch.setattr(module, "save", lambda figure, stem, _: figures.append(figure) or [stem])
    module.draw(Path("folder"))
    return {axes.get_title(loc="left"): axes for axes in figures[0].axes}


def line(axes, label):
    (found,) = [each for each in axes.get_lines() if each.get_label() == label]
    return np.array(found.get_data(), dtype=float)


@pytest.mark.slow
def test_the_figures_show_both_sides_of_their_theorems(monkeypatch):
    for module, marks, claim in (
        (theorem_4, "−dF/dt", "∫ρ |∇(V + T log ρ)|²"),
        (theorem_5, "dH/dt", "their sum"),
    ):
        axes = drawn(module, monkeypatch)["its two sides"]
        (age, measured), claimed = line(axes, marks), line(axes, claim)[:, ::3]
        np.testing.assert_array_equal(age, claimed[0])
        np.testing.assert_allclose(measured, claimed[1], rtol=0, atol=0.01 * np.abs(measured).max())
    falling = line(drawn(theorem_4, monkeypatch)["free energy"], "F[ρ]")[1]
    assert (np.diff(falling) < 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(("module", "stem"), [(theorem_4, "theorem_4"), (theorem_5, "theorem_5")])
def test_the_figure_is_written_in_three_kinds(module, stem, tmp_path):
    paths = module.draw(tmp_path)
    assert sorted(path.name for path in paths) == [f"{stem}.{kind}" for kind in ("pdf", "png", "svg")]
    assert all(path.stat().st_size > 10_000 for path in paths)
