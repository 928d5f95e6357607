"""Section 9.6: the dynamics against a slow oracle, the measures of m(t), and the shape of the load sweep."""

import numpy as np
import pytest

from experiments.statements import hopfield, section_9_6
from experiments.statements.hopfield import (
    HORIZON,
    energy,
    field,
    larger,
    networks,
    one_by_one,
    overlaps,
    states,
    together,
)
from experiments.statements.section_9_6 import M_C, effectiveness, kept, readout_sensitivity, recovered, transient


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(hopfield, "N", 40)


def saved(xi, s, i, n):
    """Return the energy that neuron i saves by being +1 rather than -1, of one network, by its definition."""
    up, down = s.copy(), s.copy()
    up[i], down[i] = 1, -1
    return sum((pattern @ up) ** n - (pattern @ down) ** n for pattern in xi)


@pytest.mark.parametrize(("n", "factor"), [(2, 4), (3, 2)])
@pytest.mark.usefixtures("small")
def test_the_field_is_the_energy_that_a_neuron_saves(n, factor):
    xi, s = networks(6, 2, 0.5, seed=1)
    slow = [[saved(xi[k], s[k], i, n) for i in range(40)] for k in range(2)]
    np.testing.assert_array_equal(factor * field(xi, s, n), slow)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.usefixtures("small")
def test_a_sweep_one_by_one_is_the_loop_over_neurons(n):
    xi, s = networks(8, 2, 0.3, seed=2)
    swept = one_by_one(xi, s, n, seed=5)
    for k in range(2):
        slow = s[k].copy()
        for i in np.random.default_rng(5).permutation(40):
            h = saved(xi[k], slow, i, n)
            slow[i] = slow[i] if h == 0 else np.sign(h)
        np.testing.assert_array_equal(swept[k], slow)


def test_hopfields_field_is_hebbs_rule_without_self_coupling():
    xi, s = networks(30, 1, 0.5)
    J = xi[0].T @ xi[0]
    np.fill_diagonal(J, 0)
    np.testing.assert_array_equal(field(xi, s, 2)[0], J @ s[0])


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("update", [together, one_by_one])
def test_a_single_pattern_is_a_fixed_point_and_attracts(update, n):
    xi, s = networks(1, 3, 0.2)
    np.testing.assert_array_equal(update(xi, xi[:, 0], n), xi[:, 0])
    np.testing.assert_array_equal(update(xi, s, n), xi[:, 0])


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.usefixtures("small")
def test_energy_never_rises_one_by_one_and_the_end_stays(n):
    xi, s = networks(12, 20, 0.0, seed=3)
    path = states(xi, s, lambda xi, s: one_by_one(xi, s, n), 15)
    assert np.diff([energy(xi, state, n) for state in path], axis=0).max() <= 0
    np.testing.assert_array_equal(path[-1], path[-2])
    np.testing.assert_array_equal(together(xi, path[-1], n), path[-1])


def test_networks_start_at_the_overlap_asked_for_and_follow_their_seed():
    xi, s = networks(5, 4, 0.8, seed=7)
    assert set(np.unique(xi)) == set(np.unique(s)) == {-1, 1}
    np.testing.assert_allclose((xi[:, 0] * s).mean(axis=1), 0.8)
    np.testing.assert_array_equal(s, networks(5, 4, 0.8, seed=7)[1])
    assert (s != networks(5, 4, 0.8, seed=8)[1]).any()
    assert abs((xi[:, 1] * s).mean()) < 0.1


def test_the_measures_read_what_they_say():
    m = np.array([[0.8, 0.8, 0.8, 0.8], [0.95, 0.9, 0.7, 0.95], [0.95, 0.5, 0.6, 0.95], [0.95, 0.4, 0.6, 0.5]])
    assert M_C == 0.9
    assert recovered(m) == 3 / 4
    assert kept(m) == 1 / 4
    assert effectiveness(m) == (3 + 1 + 0 + 2) / 16
    assert readout_sensitivity(m) == 3 / 4 - 1 / 4


def test_networks_of_another_size_are_those_of_their_seeds():
    m = larger(0.05, 200, count=3)
    assert m.shape == (HORIZON + 1, 3)
    for seed in range(3):
        xi, s = networks(10, 1, 0.8, seed, size=200)
        assert xi.shape == (1, 10, 200)
        np.testing.assert_array_equal(m[:, [seed]], (xi[:, 0] * states(xi, s, together, HORIZON)).mean(axis=-1))


def test_one_network_after_the_other_is_all_of_them_at_once():
    xi, s = networks(200, 4, 0.8)
    np.testing.assert_array_equal(overlaps(0.2, count=4), (xi[:, 0] * states(xi, s, together, HORIZON)).mean(axis=-1))


def test_over_the_load_the_end_falls_before_the_peak_does():
    loads = (0.05, 0.12, 0.16, 0.2, 0.3)
    runs = [overlaps(load, count=10) for load in loads]
    assert runs[0].shape == (HORIZON + 1, 10)
    peaks, ends = (
        [float(pick.mean()) for pick in picks] for picks in ([m.max(axis=0) for m in runs], [m[-1] for m in runs])
    )
    assert peaks == sorted(peaks, reverse=True)
    assert ends == sorted(ends, reverse=True)
    assert kept(runs[1]) >= 0.8  # below the capacity 0.138
    assert kept(runs[3]) <= 0.2  # above it
    assert recovered(runs[3]) >= 0.8  # and yet
    assert recovered(runs[4]) == 0
    assert [effectiveness(m) for m in runs] == sorted((effectiveness(m) for m in runs), reverse=True)


def test_load_005_from_overlap_005_is_not_recovered_and_load_02_does_not_end_above_m_c():
    assert recovered(overlaps(0.05, 0.05)) == 0
    assert overlaps(0.2).mean(axis=1)[-1] < M_C


def test_one_by_one_ends_alike_with_a_lower_peak():
    """The reason for updating all at once, where the numbers of section 9.6 come out."""
    xi, s = networks(200, 10, 0.8)
    m = np.array([(xi[:, 0] * state).mean(axis=1) for state in states(xi, s, one_by_one, 20)])
    assert 0.88 < m.max(axis=0).mean() < 0.92 < overlaps(0.2).max(axis=0).mean()
    assert m[-1].mean() < 0.6


def test_a_network_that_forgets_the_first_pattern_turns_the_gates_red(monkeypatch):
    monkeypatch.setattr(hopfield, "field", lambda xi, s, n: field(xi[:, 1:], s, n))
    hopfield.overlaps.cache_clear()
    try:
        assert not section_9_6.attractor(0.05).passes
        assert not transient(0.2).passes
    finally:
        hopfield.overlaps.cache_clear()


@pytest.mark.slow
def test_the_figure_is_written_in_three_kinds(tmp_path):
    paths = section_9_6.draw(tmp_path)
    assert sorted(path.name for path in paths) == [f"section_9_6.{kind}" for kind in ("pdf", "png", "svg")]
    assert all(path.stat().st_size > 10_000 for path in paths)
