"""Two stores compared, where the answer is known."""

import json

import numpy as np
import pytest
from scipy import stats
from synthetic import LAMS, claim, judge, write
from synthetic_own import made_up, without
from synthetic_own import write as put

from experiments import compare
from hclm_runner.refusal import ConfigError

CELLS = 9


@pytest.fixture(scope="module")
def a(tmp_path_factory):
    return write(tmp_path_factory.mktemp("stores") / "a")


def rows(found, **where):
    return [row for row in found["differences"] if all(row[key] == value for key, value in where.items())]


def test_a_store_does_not_differ_from_itself(a):
    found = compare.compare(str(a), str(a))
    assert len(found["differences"]) == CELLS * len(compare.COLUMNS)
    for row in found["differences"]:
        assert row["change"] == {"value": 0, "low": 0, "high": 0, "n": 4}
        assert not row["distinct"]
        assert row["runs"] == 4 * len(LAMS)
    assert found["configuration"] == found["only_in_a"] == found["only_in_b"] == found["flips"] == []
    assert found["values_only_in_a"] == found["values_only_in_b"] == found["undefined"] == []


def test_a_known_change_is_found_where_it_is_with_its_sign_and_interval(a, tmp_path):
    by_seed = np.array([-0.5, -0.6, -0.4, -0.7])

    def lower(run, columns):
        if (run.surrogate.name, run.regime.name) == ("logdet", "thermostat"):
            columns["gap"] = columns["gap"] + by_seed[run.seed] * (1 + run.lam)

    found = compare.compare(str(a), str(write(tmp_path / "b", change=lower)))
    (row,) = rows(found, surrogate="logdet", regime="thermostat", column="gap")
    expected = stats.ttest_1samp(by_seed * (1 + np.mean(LAMS)), 0)
    change = row["change"]
    assert change["value"] == pytest.approx(by_seed.mean() * (1 + np.mean(LAMS)))
    assert (change["low"], change["high"]) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert row["b"] - row["a"] == pytest.approx(change["value"])
    assert [each for each in found["differences"] if each["distinct"]] == [row]


def test_only_common_runs_are_paired(a, tmp_path):
    other = write(tmp_path / "b", seeds=(2, 3, 4, 5), diverged={("softmax", "fixed", 0.1, 3)})
    found = compare.compare(str(a), str(other))
    (cell,) = rows(found, surrogate="softmax", regime="fixed", column="reward")
    assert (cell["change"]["n"], cell["runs"], cell["change"]["value"]) == (2, 2 * len(LAMS) - 1, 0)
    (cell,) = rows(found, surrogate="logdet", regime="fixed", column="reward")
    assert (cell["change"]["n"], cell["runs"]) == (2, 2 * len(LAMS))
    assert found["values_only_in_a"] == ["seed 0", "seed 1"]
    assert found["values_only_in_b"] == ["seed 4", "seed 5"]
    assert len(found["only_in_b"]) == 2 * CELLS * len(LAMS)
    assert len(found["only_in_a"]) == 2 * CELLS * len(LAMS) + 1
    assert "softmax / fixed, lam0 0.1, seed 3 (diverged in the other)" in found["only_in_a"]
    assert "logdet / fixed, lam0 0, seed 0" in found["only_in_a"]


def test_one_common_seed_has_a_difference_and_no_interval(a, tmp_path):
    found = compare.compare(str(a), str(write(tmp_path / "b", seeds=(3, 4))))
    assert {(row["change"]["n"], row["change"]["low"], row["change"]["high"]) for row in found["differences"]} == {
        (1, None, None)
    }
    assert not any(row["distinct"] for row in found["differences"])


def test_changed_options_are_named_and_what_one_store_lacks_is_not(a, tmp_path):
    found = compare.compare(str(a), str(write(tmp_path / "b", overrides=["optimizer.lr=0.1", "sigma=0.5"])))
    changed = {row["key"]: (row["a"], row["b"]) for row in found["configuration"]}
    assert changed == {
        "optimizer.lr": (0.05, 0.1),
        "sigma": (1.0, 0.5),
        "surrogate logdet.eps": (1.0, 0.25),  # sigma squared
        "surrogate variance.eps": (1.0, 0.25),
    }
    one = {"task": {"name": "t"}, "surrogate softmax": {"name": "softmax"}}
    assert compare.configuration(one, {"task": {"name": "t"}}) == []


def test_two_tasks_are_compared_where_the_task_is_what_changed(a, tmp_path):
    found = compare.compare(str(a), str(write(tmp_path / "b", overrides=["task=wine"])))
    assert {row["task"] for row in found["differences"]} == {"gaussian_mixture / wine"}
    assert {"key": "task.name", "a": "gaussian_mixture", "b": "wine"} in found["configuration"]


def test_flipped_verdicts_are_named():
    ours = [claim("5"), claim("6"), claim("X1", "REFUTED"), claim("7")]
    theirs = [claim("5"), claim("6", "COLLAPSE"), claim("X1", "SUPPORTED"), claim("8")]
    flips, in_one = compare.flips(ours, theirs, {"gaussian_mixture": "gaussian_mixture"})
    assert [(flip["id"], flip["a"], flip["b"]) for flip in flips] == [
        ("6", "SUPPORTED", "COLLAPSE"),
        ("X1", "REFUTED", "SUPPORTED"),
    ]
    assert in_one == 2, "7 and 8"


def test_stores_without_a_common_task_or_run_are_refused(a, tmp_path):
    with pytest.raises(ConfigError, match="runs of the same surrogate, regime, lam and seed"):
        compare.compare(str(a), str(write(tmp_path / "b", seeds=(8, 9))))
    with pytest.raises(ConfigError, match="a task in common, got x, y"):
        compare._tasks(["x", "y"], ["z"])


def test_the_command_prints_and_writes_the_same(a, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    b = write(tmp_path / "b", change=lambda _, columns: columns.update(reward=columns["reward"] + 1))
    compare.main([str(a), str(b)])
    assert f"python -m experiments claims {a} and python -m experiments claims {b}" in unwrapped(capsys)
    judge(b, claim("22", "REFUTED"))
    judged = tmp_path / "judged"
    judged.mkdir()
    for part in ("records", "runs"):
        (judged / part).symlink_to(a / part)
    judge(judged, claim("22"))
    out = tmp_path / "out.json"
    compare.main([str(judged), str(b), "--out", str(out)])
    printed = unwrapped(capsys)
    assert json.loads(out.read_text()) == compare.compare(str(judged), str(b))
    assert f"{CELLS} of {CELLS * len(compare.COLUMNS)}" in printed
    assert "+1 *" in printed
    assert "22 what the paper says of 22 SUPPORTED REFUTED" in printed


def unwrapped(capsys):
    return " ".join(capsys.readouterr().out.split())


def test_what_both_have_is_compared_whatever_it_is_and_what_one_has_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    one = made_up(["logdet", "renyi"], ["fixed", "my_law"])
    two = made_up(["renyi", "tsallis"], ["my_law", "other_law"], lams=[0.1, 3.0, 5.0])
    two["reward"] = two["reward"] * np.nan
    for name, runs in (("one", one), ("two", two)):
        put(tmp_path / name, runs, task="t")
    put(tmp_path / "two", two, task="u")
    found = compare.compare(str(tmp_path / "one"), str(tmp_path / "two"))
    assert {(row["surrogate"], row["regime"]) for row in found["differences"]} == {("renyi", "my_law")}
    assert {row["column"] for row in found["differences"]} == set(compare.COLUMNS) - {"reward"}
    assert {(row["change"]["n"], row["runs"]) for row in found["differences"]} == {(3, 6)}
    assert found["undefined"] == ["reward of renyi / my_law"]
    assert found["values_only_in_a"] == ["surrogate logdet", "regime fixed", "lam0 0"]
    assert found["values_only_in_b"] == ["task u", "surrogate tsallis", "regime other_law", "lam0 5"]
    assert len(found["only_in_a"]) == 36 - 6
    assert "renyi / my_law, lam0 0, seed 1" in found["only_in_a"]
    compare.main([str(tmp_path / "one"), str(tmp_path / "two")])
    printed = unwrapped(capsys)
    assert "Only A has surrogate logdet; regime fixed; lam0 0." in printed
    assert "Only B has task u; surrogate tsallis; regime other_law; lam0 5." in printed
    assert "Without a value in any paired run: reward of renyi / my_law" in printed


def test_of_several_tasks_each_is_named(tmp_path):
    one, two = made_up(["renyi"], ["fixed"]), made_up(["renyi"], ["fixed"], seeds=[0, 1])
    for task in ("t", "u"):
        put(tmp_path / "one", one, task=task)
    put(tmp_path / "two", without(one, seed=2), task="t")
    put(tmp_path / "two", two, task="u")
    found = compare.compare(str(tmp_path / "one"), str(tmp_path / "two"))
    assert found["values_only_in_a"] == ["t: seed 2", "u: seed 2"]
    assert found["only_in_a"][0] == "t: renyi / fixed, lam0 0, seed 2"
    assert {row["task"] for row in found["differences"]} == {"t", "u"}


def test_verdicts_on_any_surrogate_and_law_are_compared_too(tmp_path):
    for name, verdict in (("one", "SUPPORTED"), ("two", "REFUTED")):
        folder = put(tmp_path / name, made_up(["renyi"], ["fixed"]))
        generic = claim("renyi / fixed: effective", verdict)
        (folder / "claims.json").write_text(json.dumps({"claims": [], "generic": [generic], "lacking": []}))
    found = compare.compare(str(tmp_path / "one"), str(tmp_path / "two"))
    assert [(flip["id"], flip["a"], flip["b"]) for flip in found["flips"]] == [
        ("renyi / fixed: effective", "SUPPORTED", "REFUTED")
    ]
    assert found["judged_in_one"] == 0


def test_a_claims_file_that_is_none_is_refused_by_its_name(a, tmp_path):
    for part in ("records", "runs"):
        (tmp_path / part).symlink_to(a / part)
    (tmp_path / "claims.json").write_text("{")
    with pytest.raises(ConfigError, match=r"^claims.json=.*: expected what .*claims") as refused:
        compare.main([str(a), str(tmp_path)])
    assert len(str(refused.value).splitlines()) == 1
