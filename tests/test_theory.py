"""The theorems as gates: each holds, each control fails, and a broken physics turns the command red."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from experiments.theory import __main__, dynamics, information
from experiments.theory.gate import Gate, Measured, run
from hclm_runner import surrogates
from hclm_runner.physics import observables, premises

GATES = [gate for module in __main__.MODULES for gate in module.GATES]


def named(gate: Gate) -> object:
    return pytest.param(gate, id=f"{gate.statement}: {gate.says}", marks=[pytest.mark.slow] if gate.slow else [])


@pytest.mark.parametrize("gate", [named(gate) for gate in GATES])
def test_the_statement_holds_and_its_control_does_not(gate):
    row = run(gate)
    assert row["value"] <= row["tolerance"], row["measured"]
    assert row["control_fails"], row["control"]
    assert row["passes"]


def test_no_two_rows_of_the_table_say_the_same():
    assert len({(gate.statement, gate.says) for gate in GATES}) == len(GATES)


def test_a_gate_names_a_figure_of_its_own_module_and_every_figure_shows_gates():
    for module in __main__.MODULES:
        assert {gate.figure for gate in module.GATES} - {""} == {module.FIGURE}
    assert [draw.__module__ for draw in __main__.FIGURES] == [module.__name__ for module in __main__.MODULES]


@pytest.mark.parametrize(
    ("value", "control", "passes"),
    [(1, 3, True), (3, 3, False), (1, 1, False), (math.nan, 3, False), (1, math.nan, False), (1, math.inf, True)],
)
def test_a_gate_needs_both_and_a_nan_is_no_pass(value, control, passes):
    gate = Gate("T", "says", lambda: Measured(value, 2, "v"), lambda: Measured(control, 2, "c"), "broken")
    assert run(gate)["passes"] is passes


def command(*arguments):
    with pytest.raises(SystemExit) as stop:
        __main__.main(arguments)
    return stop.value.code


def test_the_command_prints_the_table_and_writes_json(tmp_path, capsys):
    assert command("--only", "assumption 3", "--out", str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert "2 of 2 gates pass" in out
    assert str(tmp_path / "gates.json") in out.replace("\n", "")
    rows = json.loads((tmp_path / "gates.json").read_text())
    assert [row["statement"] for row in rows] == ["Assumption 3, equality", "Assumption 3"]
    assert all(row["passes"] and row["control_fails"] and row["value"] <= row["tolerance"] for row in rows)
    assert {row["figure"] for row in rows} == {"information"}
    assert [path.name for path in tmp_path.iterdir()] == ["gates.json"]


def test_a_name_that_no_statement_has_is_refused(tmp_path, capsys):
    assert command("--only", "theorem 99", "--out", str(tmp_path)) == 2
    assert "theorem 99" in capsys.readouterr().err


def test_slow_gates_run_on_request_only(tmp_path, monkeypatch, capsys):
    ran = []

    def check():
        ran.append("check")
        return Measured(1, 2, "v")

    slow = Gate("Theorem S", "says", check, lambda: Measured(3, 2, "c"), "broken", slow=True)
    monkeypatch.setattr(__main__, "MODULES", (SimpleNamespace(GATES=(slow, slow._replace(slow=False))),))
    assert command("--only", "theorem", "--out", str(tmp_path)) == 0
    assert "1 of 1 gates pass" in (out := capsys.readouterr().out)
    assert "1 slow" in out
    assert len(ran) == 1
    assert command("--slow", "--only", "theorem", "--out", str(tmp_path)) == 0
    assert len(ran) == 3
    monkeypatch.setattr(__main__, "MODULES", (SimpleNamespace(GATES=(slow,)),))
    assert command("--only", "theorem s", "--out", str(tmp_path)) == 2
    assert "--slow" in capsys.readouterr().err


logdet, variance, softmax, forces = surrogates.logdet, surrogates.variance, surrogates.softmax, observables.forces
BROKEN = {
    "log-det of the wrong sign": ("Assumption 3", surrogates, "logdet", lambda Z, *, eps: -logdet(Z, eps=eps)),
    "covariance by B - 1": (
        "Assumption 3",
        surrogates,
        "logdet",
        lambda Z, *, eps: logdet(Z, eps=eps * (len(Z) - 1) / len(Z)),
    ),
    "variance of the wrong sign": ("Proposition 3", surrogates, "variance", lambda Z, *, eps: -variance(Z, eps=eps)),
    "a surrogate whose gradient is not a number": (
        "Proposition 1",
        surrogates,
        "softmax",
        lambda Z: softmax(Z) / (Z - Z).sum(),
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_surrogate_turns_the_command_red(how, tmp_path, monkeypatch, capsys):
    statement, module, name, broken = BROKEN[how]
    monkeypatch.setattr(module, name, broken)
    assert command("--only", statement, "--out", str(tmp_path)) == 1
    assert "FAIL" in capsys.readouterr().out
    rows = json.loads((tmp_path / "gates.json").read_text(), parse_constant=pytest.fail)
    assert not all(row["passes"] for row in rows)


@pytest.mark.parametrize("column", ["injection", "dissipation", "critical_lam"])
def test_a_broken_column_turns_the_command_red(column, tmp_path, monkeypatch):
    def broken(gS, gL, lam):
        return (row := forces(gS, gL, lam)) | {column: -row[column]}

    monkeypatch.setattr(dynamics, "forces", broken)
    statement = "Proposition 2" if column == "critical_lam" else "Theorem 2"
    assert command("--only", statement, "--out", str(tmp_path)) == 1


def test_the_hessian_vector_product_is_the_hessian_s():
    system = dynamics.System()
    H = torch.autograd.functional.hessian(system.entropy, system.theta)
    v = torch.linspace(-1, 1, len(H), dtype=torch.float64)
    torch.testing.assert_close(premises.hessian_product(system.entropy, system.theta, v), H @ v, rtol=1e-9, atol=1e-12)


def test_a_descent_is_judged_step_by_step_and_as_a_whole():
    path = dynamics.Descent(0.5, E=np.array([3.0, 2.0, 2.5]), gg=np.array([4.0, 1.0]), W=np.zeros(3))
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

    monkeypatch.setattr(dynamics, "steepest", steepest)
    assert dynamics.along(None, 1.0, 90, beta=1.5) == 6.0
    assert asked == [(1 / 1.5, 120), (1 / 3.0, 120), (1 / 6.0, 120)]


def test_the_control_of_proposition_3_is_held_to_the_limit_of_lam_1():
    (inside, limit), (outside, same) = dynamics.entering(1.0), dynamics.entering(0.01)
    assert limit == same
    assert inside[-1] < limit < outside[-1]


def test_the_rates_and_intervals_of_a_study_without_noise_are_the_truth():
    truth = information.Truth(kappa=0.5, a=2.0, b=1.5)
    lines = information.studies(truth, count=3, scales=5, noise=0.0)
    assert [line.freedom for line in lines] == [3, 3, 3]
    np.testing.assert_allclose([line.slope for line in lines], [[2.0] * 3, [1.5] * 3, [-0.5] * 3], rtol=1e-12)
    noisy = information.studies(truth, count=3, scales=5, noise=0.1)
    alpha, half_width = information.exponent(*noisy)
    exact = information.exponent(*map(information.without_error, noisy[:2]), noisy[2])
    np.testing.assert_array_equal(exact[0], alpha)
    assert (exact[1] < half_width).all()
    np.testing.assert_array_equal(information.held(truth, np.array([0.25, 0.5]), np.array([0.1, 0.1])), [True, False])


def test_a_smaller_share_of_the_information_makes_a_smaller_bound():
    np.testing.assert_allclose(information.enumerated(0.25), 2 * information.enumerated(1.0), rtol=1e-12)
    gap, ratio = information.labelled(1.0)
    np.testing.assert_allclose(information.labelled(0.25)[1], 2 * ratio, rtol=1e-12)
    assert len(gap) == len(ratio) == 2**10
    assert np.isnan(ratio[[0, -1]]).all()  # where all labels are alike there is nothing to learn, and no gap
    assert gap[[0, -1]].tolist() == [0, 0]


def drawn(module, monkeypatch):
    """Return the axes of a module's figure by their titles, without its files."""
    figures = []
    monkeypatch.setattr(module, "save", lambda figure, stem, _: figures.append(figure) or [stem])
    assert module.draw(Path("folder")) == [Path("folder") / module.FIGURE]
    return {axes.get_title(loc="left"): axes for axes in figures[0].axes}


def line(axes, label):
    (found,) = [each for each in axes.get_lines() if each.get_label() == label]
    return np.array(found.get_data(), dtype=float)


def test_the_figure_of_the_dynamics_shows_what_the_gates_judge(monkeypatch):
    axes = drawn(dynamics, monkeypatch)
    F, apart = line(axes["Proposition 1"], "lam = lam$_{max}$")
    assert (apart / (10 * F)).max() == dynamics.step_apart().value
    for times, gate in ((1, dynamics.stationarity()), (3, dynamics.stationarity(3.0))):
        least, bound = (line(axes["Theorem 1"], label)[1] for label in (f"η = {times}/β", f"bound, η = {times}/β"))
        assert (least - bound).max() == gate.value
    least, work, without = (
        line(axes["Theorem 1, adaptive lam"], label)[1] for label in ("η = 1/β", "bound, with work", "bound, without")
    )
    assert (least - work).max() == dynamics.control_work().value < 0 < (least - without).max()
    slopes = {
        name: dynamics.slope(*np.log(line(axes["Theorem 2"], name)))
        for name in (*dynamics.SURROGATES, "logdet, +lam F²")
    }
    assert max(abs(slopes[name] - 1) for name in dynamics.SURROGATES) == dynamics.balance().value
    assert abs(slopes["logdet, +lam F²"]) < 0.1
    for name in dynamics.SURROGATES:
        multiples, rates = line(axes["Proposition 2"], name)
        np.testing.assert_allclose(rates, 1 - multiples, atol=1e-3)
    inside, outside = (line(axes["Proposition 3"], f"lam = {lam:g}")[1] for lam in (1, 0.01))
    limit = line(axes["Proposition 3"], "C / (lam μ), lam = 1")[1][0]
    assert [F[50:].max() / limit for F in (inside, outside)] == [
        dynamics.force_enters(lam).value for lam in (1.0, 0.01)
    ]


def test_the_figure_of_information_shows_what_the_gates_judge(monkeypatch):
    axes = drawn(information, monkeypatch)
    for label, times in (("ε = σ²", 1.0), ("ε = 4σ²", 4.0)):
        told, S = line(axes["Assumption 3, equality"], label)
        assert np.abs(S - told).max() == information.linear_gaussian(times).value
    told, S = (line(axes["Assumption 3"], label)[1] for label in ("I(X; Zₙ)", "S, ε = σ²"))
    assert (told <= S + 1e-9).all()
    n, expected = line(axes["Theorem 3, Corollary 1"], "√(2s²S/n)")
    assert n[-1] == 1000
    assert expected[-1] / information.memorise(1000)[0].mean() == pytest.approx(information.memoriser().value)
    for label, share in (("I(W; D)", 1.0), ("half of it", 0.5)):
        assert line(axes["Theorem 3, with I(W; D)"], label)[1].max() == information.xu_raginsky(share).value
    counts = [sum(bar.get_height() for bar in bars) for bars in axes["Theorem 3, with f-CMI"].containers]
    assert counts == [np.isfinite(information.labelled(1.0)[1]).sum()] * 2  # no ratio is outside the panel
    names = [label.get_text() for label in axes["Proposition 4"].get_xticklabels()]
    assert [float(name.split("\n")[1].removesuffix("% hold")) for name in names] == [95.9, 62.5]
    assert information.coverage().value == pytest.approx(0.959 - 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("module", [dynamics, information])
def test_the_figure_is_written_in_three_kinds(module, tmp_path):
    paths = module.draw(tmp_path)
    assert sorted(path.name for path in paths) == [f"{module.FIGURE}.{kind}" for kind in ("pdf", "png", "svg")]
    assert all(path.stat().st_size > 10_000 for path in paths)
