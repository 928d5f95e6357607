"""Theorem 3: its bounds by enumeration, its figure, its tables, and what it refuses of a store."""

from pathlib import Path

import numpy as np
import pytest

from experiments.estimate import Estimate
from experiments.statements import generalisation, theorem_3
from experiments.statements.conditional_information import Condition
from experiments.statements.generalisation import Cell, Growth, OverSamples


def test_a_smaller_share_of_the_information_makes_a_smaller_bound():
    np.testing.assert_allclose(theorem_3.enumerated(0.25), 2 * theorem_3.enumerated(1.0), rtol=1e-12)
    gap, ratio = theorem_3.labelled(1.0)
    np.testing.assert_allclose(theorem_3.labelled(0.25)[1], 2 * ratio, rtol=1e-12)
    assert len(gap) == len(ratio) == 2**10
    assert np.isnan(ratio[[0, -1]]).all()  # where all labels are alike there is nothing to learn, and no gap
    assert gap[[0, -1]].tolist() == [0, 0]


def test_the_figure_shows_what_the_gates_judge(monkeypatch):
    figures = []
    monkeypatch.setattr(theorem_3, "save", lambda figure, stem, _: figures.append(figure) or [stem])
    assert theorem_3.draw(Path("folder")) == [Path("folder/theorem_3")]
    gap, learner, memory = figures[0].axes

    def line(axes, label):
        (found,) = [each for each in axes.get_lines() if each.get_label() == label]
        return np.array(found.get_data(), dtype=float)

    n, expected = line(gap, "√(2s²S/n)")
    assert n[-1] == 1000
    assert expected[-1] / generalisation.memorise(1000)[0].mean() == pytest.approx(theorem_3.memoriser().value)
    for label, share in (("I(W; D)", 1.0), ("half of it", 0.5)):
        assert line(learner, label)[1].max() == theorem_3.xu_raginsky(share).value
    counts = [sum(bar.get_height() for bar in bars) for bars in memory.containers]
    assert counts == [np.isfinite(theorem_3.labelled(1.0)[1]).sum()] * 2  # no ratio is outside the panel


def test_the_tables_have_a_row_for_each_condition_and_a_dash_where_nothing_is_defined():
    of, undefined = Estimate.of_error(0.25, 0.01, 10), Estimate(np.nan, np.nan, np.nan, 0)
    cells = [Cell(n, "logdet", 0.1, of, of, above=True, clearly_above=False, runs=10, runs_above=7) for n in (64, 128)]
    growth = [Growth(name, "logdet", 0.1, undefined if name == "gap" else of) for name in generalisation.QUANTITIES]
    found = dict.fromkeys(theorem_3.COLUMNS, of)
    corollary, bounds = theorem_3.tables(
        OverSamples(cells, growth, []), [Condition("softmax", 0.0, 64, 5, 60, 0, found, [])]
    )
    assert corollary.title == "Corollary 1 on runs: the gap is above the expression in 14 of 20 runs"
    assert corollary.note.startswith("Exponents over n = 64 to 128.")
    assert corollary.rows == [["logdet", "0.1", "0.25 ± 0.02", "0.25 ± 0.02", "–", "0.25 ± 0.02"]]
    assert bounds.rows == [["softmax", "0", *["0.25 ± 0.02"] * 6]]
    assert {len(table.head) - len(table.rows[0]) for table in (corollary, bounds)} == {0}


@pytest.mark.slow
def test_the_figure_is_written_in_three_kinds(tmp_path):
    paths = theorem_3.draw(tmp_path)
    assert sorted(path.name for path in paths) == [f"theorem_3.{kind}" for kind in ("pdf", "png", "svg")]
    assert all(path.stat().st_size > 10_000 for path in paths)
