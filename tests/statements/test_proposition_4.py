"""Proposition 4: intervals of synthetic studies, and what is written and refused of stores of real runs."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from experiments.estimate import Estimate
from experiments.statements import proposition_4, theorem_3
from experiments.statements.proposition_4 import Truth, exponent, fit, studies, with_exact_rates
from hclm_runner.config import configure
from hclm_runner.records import COLUMNS, Records, describe
from hclm_runner.refusal import ConfigError
from hclm_runner.store import prepare, write

SURROGATES, LAMS, SEEDS = ("softmax", "variance", "logdet"), (0.0, 0.01, 0.1), range(4)


def test_the_slopes_of_studies_without_noise_are_the_truth():
    slopes = studies(Truth(kappa=0.5, a=2.0, b=1.5), count=3, scales=5, noise=0.0)
    np.testing.assert_allclose([slope.value for slope in slopes], [[2.0] * 3, [1.5] * 3, [-0.5] * 3], rtol=1e-12)
    assert [slope.n for slope in slopes] == [4, 4, 4]  # 5 points less a line leave 3 degrees of freedom


def test_a_slope_and_its_interval_are_scipys():
    rng = np.random.default_rng(0)
    x, y = np.linspace(0, 4, 6), rng.standard_normal((2, 6))
    ours = fit(x, y)
    for i, line in enumerate(stats.linregress(x, each) for each in y):
        assert ours.value[i] == pytest.approx(line.slope, rel=1e-12)
        assert ours.half[i] == pytest.approx(stats.t.ppf(0.975, 4) * line.stderr, rel=1e-12)


def test_the_exponents_interval_is_the_closed_form_of_welch_and_satterthwaite():
    injection, dissipation, risk = studies(Truth(kappa=0.5, a=2.0, b=1.5), count=50, scales=5, noise=0.1)
    kappa, difference = -risk.value, injection.value - dissipation.value
    parts = [difference**2 * risk.error**2, kappa**2 * injection.error**2, kappa**2 * dissipation.error**2]
    freedom = sum(parts) ** 2 / sum(part**2 / 3 for part in parts)
    alpha = exponent(injection, dissipation, risk)
    np.testing.assert_allclose(alpha.value, kappa * difference, rtol=1e-12)
    np.testing.assert_allclose(alpha.n, freedom + 1, rtol=1e-12)
    np.testing.assert_allclose(alpha.half, stats.t.ppf(0.975, freedom) * np.sqrt(sum(parts)), rtol=1e-12)


def test_rates_taken_for_exact_leave_the_exponent_and_narrow_its_interval():
    slopes = studies(Truth(kappa=0.5, a=2.0, b=1.5), count=3, scales=5, noise=0.1)
    alpha, exact = exponent(*slopes), with_exact_rates(*slopes)
    np.testing.assert_array_equal(exact.value, alpha.value)
    assert (exact.half < alpha.half).all()
    assert exact.n == 4  # the degrees of freedom of kappa alone
    assert (alpha.n > 4).all()


def test_the_figure_shows_what_the_gate_judges(monkeypatch):
    figures = []
    monkeypatch.setattr(proposition_4, "save", lambda figure, stem, _: figures.append(figure) or [stem])
    assert proposition_4.draw(Path("folder")) == [Path("folder/proposition_4")]
    names = [label.get_text() for label in figures[0].axes[0].get_xticklabels()]
    assert [float(name.split("\n")[1].removesuffix("% hold")) for name in names] == [95.9, 62.5]
    assert proposition_4.coverage().value == pytest.approx(0.959 - 0.95)


@pytest.mark.slow
def test_the_figure_is_written_in_three_kinds(tmp_path):
    paths = proposition_4.draw(tmp_path)
    assert sorted(path.name for path in paths) == [f"proposition_4.{kind}" for kind in ("pdf", "png", "svg")]
    assert all(path.stat().st_size > 10_000 for path in paths)


# --- Stores of real runs --------------------------------------------------------------------------------------------


def keep(folder, name, cells, surrogates=SURROGATES, lams=LAMS):
    """Write a store as the sweep of this name does, of numbers that mean nothing."""
    rng = np.random.default_rng(0)
    prepare(folder / "outputs" / name)
    for cell, surrogate in itertools.product(cells, surrogates):
        one = configure(cell, f"surrogate={surrogate}", "epochs=6", "task.test=32", "task.feedback=8")
        runs = [one.model_copy(update={"lam": lam, "seed": seed}) for lam in lams for seed in SEEDS]
        table = {column: 3 + rng.random((len(runs), 7)) for column in COLUMNS}
        records = Records(runs, table, np.full(len(runs), -1))
        write(folder / "outputs" / name, records.frame(), describe(records, "cpu", 1.0))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    keep(folder, "samples", ["task.train=64", "task.train=256"])
    keep(folder, "width", ["model.hidden=[16]", "model.hidden=[64]"])
    return folder


def test_runs_give_a_table_for_each_axis_a_figure_and_numbers_that_json_has(outputs, tmp_path, monkeypatch):
    monkeypatch.chdir(outputs)
    found = proposition_4.on_runs(tmp_path)
    assert [table.title for table in found.tables] == [f"Proposition 4 on runs, over {axis}" for axis in ("n", "width")]
    for table in found.tables:
        assert {len(row) for row in table.rows} == {len(table.head)}
        assert [row[:2] for row in table.rows] == [[name, lam] for name in SURROGATES for lam in ("0.01", "0.1")]
        assert {row[-1] for row in table.rows} <= {"HOLDS", "FAILS", "UNDEFINED"}
    numbers = json.loads(json.dumps(found.numbers, allow_nan=False))
    first = numbers[0]["exponents"]["a"]
    assert f"{Estimate.of_dict(first):±.2f}" == found.tables[0].rows[0][2]
    assert set(found.figures) == {path.stem for path in found.paths} == {"proposition_4_on_runs"}
    assert all(path.stat().st_size > 10_000 for path in found.paths)


def test_what_a_store_lacks_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for statement in (proposition_4, theorem_3):
        with pytest.raises(ConfigError, match="store=samples: expected a store of runs"):
            statement.on_runs(tmp_path)
    keep(tmp_path, "samples", ["task.train=64", "task.train=128"], SURROGATES[:2])
    with pytest.raises(ConfigError, match="n = 256"):
        proposition_4.on_runs(tmp_path)
    with pytest.raises(ConfigError, match="surrogate = logdet"):
        theorem_3.on_runs(tmp_path)
