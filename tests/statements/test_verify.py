"""The gates of all statements: each holds, each control fails, and a broken physics turns the command red."""

import json
import math
from pathlib import Path

import pytest

from experiments import statements
from experiments.statements import NAMES, STATEMENTS, proposition_2, theorem_2, verify
from experiments.statements.base import Gate, Measured, Statement, run, title
from hclm_runner import parts, surrogates
from hclm_runner.physics import observables
from hclm_runner.refusal import ConfigError

GATES = [(statement, gate) for statement in STATEMENTS.values() for gate in statement.gates]
DRAWN = [name for name, statement in STATEMENTS.items() if statement.draw]


def named(statement: Statement, gate: Gate) -> object:
    name = f"{title(statement, gate)}: {gate.says}"
    return pytest.param(statement, gate, id=name, marks=[pytest.mark.slow] if gate.slow else [])


@pytest.mark.parametrize(("statement", "gate"), [named(*each) for each in GATES])
def test_the_statement_holds_and_its_control_does_not(statement, gate):
    row = run(statement, gate)
    assert row["value"] <= row["tolerance"], row["measured"]
    assert row["control_fails"], row["control"]
    assert row["passes"]


def test_no_two_rows_of_the_table_say_the_same():
    assert len({(title(*each), each[1].says) for each in GATES}) == len(GATES)


def test_each_module_of_a_statement_is_listed_and_no_two_have_one_name():
    modules = {
        path.stem for path in Path(statements.__file__).parent.glob("*.py") if "\nSTATEMENT = " in path.read_text()
    }
    assert modules == set(NAMES)
    assert len({statement.name for statement in STATEMENTS.values()}) == len(NAMES) == len(STATEMENTS)
    assert [statement.name.lower().replace(" ", "_").replace(".", "_") for statement in STATEMENTS.values()] == list(
        NAMES
    )
    assert "no_statement" not in STATEMENTS


@pytest.mark.parametrize(
    ("value", "control", "passes"),
    [(1, 3, True), (3, 3, False), (1, 1, False), (math.nan, 3, False), (1, math.nan, False), (1, math.inf, True)],
)
def test_a_gate_needs_both_and_a_nan_is_no_pass(value, control, passes):
    gate = Gate("", "says", lambda: Measured(value, 2, "v"), lambda: Measured(control, 2, "c"), "broken")
    assert run(Statement("T", "says", "holds", "nothing"), gate)["passes"] is passes


def command(*arguments: str) -> int:
    """Run the gates and return the command's exit code."""
    try:
        verify.main(arguments)
    except SystemExit as stop:
        return stop.code
    return 0


def test_the_command_prints_the_table_and_writes_json(tmp_path, capsys):
    assert command("--only", "assumption 3", "--out", str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert "2 of 2 gates pass" in out
    assert str(tmp_path / "gates.json") in out.replace("\n", "")
    rows = json.loads((tmp_path / "gates.json").read_text())
    assert [row["statement"] for row in rows] == ["Assumption 3, equality", "Assumption 3"]
    assert all(row["passes"] and row["control_fails"] and row["value"] <= row["tolerance"] for row in rows)
    assert {row["figure"] for row in rows} == {"assumption_3"}
    assert [path.name for path in tmp_path.iterdir()] == ["gates.json"]


def test_a_module_names_the_gates_of_its_statement_alone(tmp_path):
    assert command("--only", "proposition_2", "--out", str(tmp_path)) == 0
    rows = json.loads((tmp_path / "gates.json").read_text())
    assert [row["says"] for row in rows] == [gate.says for gate in proposition_2.STATEMENT.gates if not gate.slow]
    assert {row["figure"] for row in rows} == {"proposition_2"}


def test_a_name_that_no_statement_has_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--only=theorem 99: expected .* or text in one of .*Theorem 1"):
        command("--only", "theorem 99", "--out", str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_slow_gates_run_on_request_only_and_a_figure_is_named_where_there_is_one(tmp_path, monkeypatch, capsys):
    ran = []

    def check():
        ran.append("check")
        return Measured(1, 2, "v")

    def draw(folder):
        (folder / "theorem_s.svg").write_text("<svg/>")
        return [folder / "theorem_s.svg"]

    slow = Gate("", "says", check, lambda: Measured(3, 2, "c"), "broken", slow=True)
    both = Statement("Theorem S", "says", "holds", "nothing", (slow, slow._replace(slow=False)))
    monkeypatch.setattr(verify, "STATEMENTS", {"theorem_s": both})
    assert command("--only", "theorem", "--out", str(tmp_path)) == 0
    assert "1 of 1 gates pass" in (out := capsys.readouterr().out)
    assert "1 slow" in out
    assert len(ran) == 1
    assert command("--slow", "--out", str(tmp_path)) == 0
    assert len(ran) == 3
    assert {row["figure"] for row in json.loads((tmp_path / "gates.json").read_text())} == {""}
    assert [path.name for path in tmp_path.iterdir()] == ["gates.json"]
    monkeypatch.setattr(verify, "STATEMENTS", {"theorem_s": both._replace(draw=draw)})
    assert command("--out", str(tmp_path)) == 0
    assert {row["figure"] for row in json.loads((tmp_path / "gates.json").read_text())} == {"theorem_s"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gates.json", "theorem_s.svg"]
    monkeypatch.setattr(verify, "STATEMENTS", {"theorem_s": both._replace(gates=(slow,))})
    with pytest.raises(ConfigError, match="--slow"):
        command("--only", "theorem s", "--out", str(tmp_path))


logdet, variance, softmax, forces = surrogates.logdet, surrogates.variance, surrogates.softmax, observables.forces
BROKEN = {
    "log-det of the wrong sign": ("Assumption 3", "logdet", lambda Z, *, eps: -logdet(Z, eps=eps)),
    "covariance by B - 1": ("Assumption 3", "logdet", lambda Z, *, eps: logdet(Z, eps=eps * (len(Z) - 1) / len(Z))),
    "variance of the wrong sign": ("Proposition 3", "variance", lambda Z, *, eps: -variance(Z, eps=eps)),
    "a surrogate whose gradient is not a number": ("Proposition 1", "softmax", lambda Z: softmax(Z) / (Z - Z).sum()),
}


@pytest.mark.parametrize("change", BROKEN)
def test_a_broken_surrogate_turns_the_command_red(change, tmp_path, monkeypatch, capsys):
    statement, name, broken = BROKEN[change]
    monkeypatch.setattr(surrogates, name, broken)
    monkeypatch.setitem(parts._registered, ("surrogate", name), broken)
    assert command("--only", statement, "--out", str(tmp_path)) == 1
    assert "FAIL" in capsys.readouterr().out
    rows = json.loads((tmp_path / "gates.json").read_text(), parse_constant=pytest.fail)
    assert not all(row["passes"] for row in rows)


@pytest.mark.parametrize("column", ["injection", "dissipation", "critical_lam"])
def test_a_broken_column_turns_the_command_red(column, tmp_path, monkeypatch):
    name = "pushes" if column == "dissipation" else "forces"

    def broken(*given):
        return (row := getattr(observables, name)(*given)) | {column: -row[column]}

    module = proposition_2 if column == "critical_lam" else theorem_2
    monkeypatch.setattr(module, name, broken)
    assert command("--only", module.STATEMENT.name, "--out", str(tmp_path)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_written_in_three_kinds_and_named_like_its_module(name, tmp_path):
    paths = STATEMENTS[name].draw(tmp_path)
    assert sorted(path.name for path in paths) == [f"{name}.{kind}" for kind in ("pdf", "png", "svg")]
    assert all(path.stat().st_size > 10_000 for path in paths)
