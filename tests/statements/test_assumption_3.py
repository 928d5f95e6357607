"""Assumption 3: its gates see a broken surrogate, and its figure shows their numbers."""

from pathlib import Path

import numpy as np
import pytest

from experiments.statements import assumption_3
from experiments.statements.base import run
from hclm_runner import surrogates

logdet = surrogates.logdet


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda Z, *, eps: -logdet(Z, eps=eps), id="wrong sign"),
        pytest.param(lambda Z, *, eps: logdet(Z, eps=eps * (len(Z) - 1) / len(Z)), id="covariance by B - 1"),
    ],
)
def test_a_broken_surrogate_fails_a_gate(broken, monkeypatch):
    monkeypatch.setattr(surrogates, "logdet", broken)
    rows = [run(assumption_3.STATEMENT, gate) for gate in assumption_3.STATEMENT.gates]
    assert [row["statement"] for row in rows] == ["Assumption 3, equality", "Assumption 3"]
    assert not all(row["passes"] for row in rows)


def test_the_figure_shows_what_the_gates_judge(monkeypatch):
    figures = []
    monkeypatch.setattr(assumption_3, "save", lambda figure, stem, _: figures.append(figure) or [stem])
    assert assumption_3.draw(Path("folder")) == [Path("folder/assumption_3")]
    equal, below = figures[0].axes

    def line(axes, label):
        (found,) = [each for each in axes.get_lines() if each.get_label() == label]
        return np.array(found.get_data(), dtype=float)

    for label, times in (("ε = σ²", 1.0), ("ε = 4σ²", 4.0)):
        information, S = line(equal, label)
        assert np.abs(S - information).max() == assumption_3.linear_gaussian(times).value
    information, S = (line(below, label)[1] for label in ("I(X; Zₙ)", "S, ε = σ²"))
    assert (information <= S + 1e-9).all()


@pytest.mark.slow
def test_the_figure_is_written_in_three_kinds(tmp_path):
    paths = assumption_3.draw(tmp_path)
    assert sorted(path.name for path in paths) == [f"assumption_3.{kind}" for kind in ("pdf", "png", "svg")]
    assert all(path.stat().st_size > 10_000 for path in paths)
