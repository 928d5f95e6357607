"""The theorems as gates: each holds, each control fails, and a broken physics turns the command red."""

import json
import math
from types import SimpleNamespace

import pytest
import torch

from experiments.theory import __main__
from experiments.theory.gate import Gate, Measured, run
from hclm_runner import observables, surrogates

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
    from experiments.theory import dynamics

    def broken(gS, gL, lam):
        return (row := forces(gS, gL, lam)) | {column: -row[column]}

    monkeypatch.setattr(dynamics, "forces", broken)
    statement = "Proposition 2" if column == "critical_lam" else "Theorem 2"
    assert command("--only", statement, "--out", str(tmp_path)) == 1


def test_the_hessian_vector_product_is_the_hessian_s():
    from experiments.theory.dynamics import System, curvature

    system = System()
    H = torch.autograd.functional.hessian(system.entropy, system.theta)
    v = torch.linspace(-1, 1, len(H), dtype=torch.float64)
    torch.testing.assert_close(curvature(system.entropy, system.theta, v), H @ v, rtol=1e-9, atol=1e-12)
