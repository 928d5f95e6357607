"""The statements on the motion of theta: what their gates measure, and that their figures show what the gates judge."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.statements import proposition_1, proposition_2, proposition_3, theorem_1, theorem_2
from experiments.statements.systems import SURROGATES, System, slope
from hclm_runner.physics import premises


def test_the_hessian_vector_product_is_the_hessian_s():
    system = System()
    H = torch.autograd.functional.hessian(system.entropy, system.theta)
    v = torch.linspace(-1, 1, len(H), dtype=torch.float64)
    torch.testing.assert_close(premises.hessian_product(system.entropy, system.theta, v), H @ v, rtol=1e-9, atol=1e-12)


def test_a_descent_is_judged_step_by_step_and_as_a_whole():
    path = theorem_1.Descent(0.5, E=np.array([3.0, 2.0, 2.5]), gg=np.array([4.0, 1.0]), W=np.zeros(3))
    np.testing.assert_array_equal(path.rise, [-1 + 1, 0.5 + 0.25])
    np.testing.assert_array_equal(path.least, [4, 1])
    np.testing.assert_array_equal(path.fall, [1, 0.5])
    np.testing.assert_array_equal(path.bound(path.fall), [2 * 1 / 0.5, 2 * 0.5 / (0.5 * 2)])
    assert path.excess(path.fall) == 0
    assert path.excess(0.25) == 4 - 1


@pytest.mark.parametrize("too_long", [10.0, math.nan])
def test_beta_is_doubled_until_the_path_of_its_own_steps_keeps_it(too_long, monkeypatch):
    asked = []

    def steepest(system, lam, eta, T):
        asked.append((eta, T))
        return 4.0 if eta <= 1 / 5 else too_long

    monkeypatch.setattr(theorem_1, "steepest", steepest)
    assert theorem_1.along(None, 1.0, 90, beta=1.5) == 6.0
    assert asked == [(1 / 1.5, 120), (1 / 3.0, 120), (1 / 6.0, 120)]


def test_the_control_of_proposition_3_is_held_to_the_limit_of_lam_1():
    (inside, limit), (outside, same) = proposition_3.entering(1.0), proposition_3.entering(0.01)
    assert limit == same
    assert inside[-1] < limit < outside[-1]


def drawn(module, monkeypatch):
    """Return the axes of a statement's figure by their titles, without its files."""
    figures, stem = [], Path("folder") / module.__name__.rpartition(".")[2]
    monkeypatch.setattr(module, "save", lambda figure, stem, _: figures.append(figure) or [stem])
    assert module.draw(Path("folder")) == [stem]
    return {axes.get_title(loc="left"): axes for axes in figures[0].axes}


def line(axes, label):
    (found,) = [each for each in axes.get_lines() if each.get_label() == label]
    return np.array(found.get_data(), dtype=float)


def test_the_figure_of_proposition_1_shows_what_its_gate_judges(monkeypatch):
    axes = drawn(proposition_1, monkeypatch)
    F, apart = line(axes["Proposition 1"], "lam = lam$_{max}$")
    assert (apart / (10 * F)).max() == proposition_1.step_apart().value


def test_the_figure_of_theorem_1_shows_what_its_gates_judge(monkeypatch):
    axes = drawn(theorem_1, monkeypatch)
    for times, gate in ((1, theorem_1.stationarity()), (3, theorem_1.stationarity(3.0))):
        least, bound = (line(axes["Theorem 1"], label)[1] for label in (f"η = {times}/β", f"bound, η = {times}/β"))
        assert (least - bound).max() == gate.value
    least, work, without = (
        line(axes["Theorem 1, adaptive lam"], label)[1] for label in ("η = 1/β", "bound, with work", "bound, without")
    )
    assert (least - work).max() == theorem_1.control_work().value < 0 < (least - without).max()


def test_the_figure_of_theorem_2_shows_what_its_gate_judges(monkeypatch):
    axes = drawn(theorem_2, monkeypatch)
    slopes = {name: slope(*np.log(line(axes["Theorem 2"], name))) for name in (*SURROGATES, "logdet, +lam F²")}
    assert max(abs(slopes[name] - 1) for name in SURROGATES) == theorem_2.balance().value
    assert abs(slopes["logdet, +lam F²"]) < 0.1


def test_the_figure_of_proposition_2_shows_the_rate_over_lam(monkeypatch):
    axes = drawn(proposition_2, monkeypatch)
    for name in SURROGATES:
        multiples, rates = line(axes["Proposition 2"], name)
        np.testing.assert_allclose(rates, 1 - multiples, atol=1e-3)


def test_the_figure_of_proposition_3_shows_what_its_gate_judges(monkeypatch):
    axes = drawn(proposition_3, monkeypatch)
    inside, outside = (line(axes["Proposition 3"], f"lam = {lam:g}")[1] for lam in (1, 0.01))
    limit = line(axes["Proposition 3"], "C / (lam μ), lam = 1")[1][0]
    assert [F[50:].max() / limit for F in (inside, outside)] == [
        proposition_3.force_enters(lam).value for lam in (1.0, 0.01)
    ]
