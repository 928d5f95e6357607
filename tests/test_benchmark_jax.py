"""The benchmark against JAX: its program has the trainer's rows, its table follows from what was measured."""

import importlib.util

import numpy as np
import pytest

from experiments.__main__ import main
from experiments.benchmarks import jax_peer
from experiments.benchmarks.jax_peer import Cost, Grid, apart, disagreement, tabulate
from experiments.grid import SURROGATES
from hclm_runner.records import COLUMNS, ON_REQUEST

missing = importlib.util.find_spec("jax") is None


@pytest.mark.slow  # each program takes ten seconds to compile
@pytest.mark.skipif(missing, reason="needs jax")
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_the_program_has_the_trainers_rows(surrogate):
    found = disagreement(Grid((0, 0.3), seeds=2, epochs=7, rounds=1), surrogate)
    assert set(found) == set(COLUMNS) - set(ON_REQUEST)
    assert max(found.values()) <= jax_peer.TOLERANCE


@pytest.mark.slow
@pytest.mark.skipif(missing, reason="needs jax")
def test_a_program_of_another_law_has_other_rows(monkeypatch):
    """The comparison would see it: control begins after the warm-up, and from there the rows differ."""
    from experiments.benchmarks import jax_program

    law = jax_program.update_law
    monkeypatch.setattr(jax_program, "update_law", lambda o, *rest: law({**o, "ki": 1.1 * o["ki"]}, *rest))
    assert disagreement(Grid((0.3,), seeds=1, epochs=7, rounds=1), "variance")["lam"] > 1e-4


def test_columns_are_apart_by_their_largest_difference():
    a = np.array([[np.nan, 2.0, 4.0]])
    assert apart(a, a) == 0
    assert apart(a, a + np.array([0, 0, 0.1])) == pytest.approx(0.025)
    assert apart(1e-20 * a, 0 * a) == pytest.approx(4e-14), "rounding around 0"
    assert apart(a, np.nan_to_num(a)) == np.inf
    assert apart(a, np.full_like(a, np.nan)) == np.inf


def test_a_ratio_is_taken_within_a_round():
    ours = [Cost(60, 100, 110, {}), Cost(80, 140, 150, {})]
    theirs = [Cost(30, 50, 44, {"run": 22}), Cost(20, 70, 60, {"run": 30})]
    table = tabulate({"hclm_runner": ours, "JAX, warm": theirs}, run_epochs=100_000)
    assert [column.header for column in table.columns] == ["", "hclm_runner", "JAX, warm"]
    cells = [[*column.cells] for column in table.columns]
    assert cells[1] == ["70.00", "120.00", "1.30", "1.00", "1.00", "1.00"]
    assert cells[2] == ["25.00", "60.00", "0.52", "3.00", "2.00", "2.50"]


@pytest.mark.skipif(not missing, reason="jax is here")
def test_without_jax_it_is_refused_in_a_line(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["benchmark", "jax"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "error: benchmark=jax: expected JAX to be installed: pip install --editable '.[bench]'\n"
    )
