"""What an entropy term is worth against stopping early and a fitted temperature."""

import numpy as np
import pytest
from outline import Outline, section
from scipy import stats
from synthetic_own import EPOCHS, SEEDS, made_up, without

from experiments.report import baselines
from experiments.report import page as report

RUNS = made_up(["softmax", "logdet"], ["fixed", "thermostat"])


def with_(**columns):
    """Return the grid with values of its own in some columns: (place, value) pairs."""
    runs = RUNS.copy(deep=True)
    for name, pairs in columns.items():
        for place, value in pairs:
            runs[name].loc[place] = value
    return runs


def test_the_lam_of_a_row_is_that_of_least_feedback_loss_in_each_way():
    late = {"surrogate": "logdet", "regime": "fixed", "epoch": slice(EPOCHS - 4, None)}
    runs = with_(
        feedback_loss=[({**late, "lam0": 3.0}, 0.5), ({**late, "lam0": 0.0}, 0.1)],
        feedback_scaled_loss=[({**late, "lam0": 0.1}, 0.2)],
        test_loss=[({**late, "lam0": 3.0}, 7.0)],
        test_scaled_loss=[({**late, "lam0": 0.1}, 6.0)],
    )
    found = {row.name: row.cells for row in baselines.rows(runs)}
    assert [*found] == ["no entropy term (lam = 0)"] + [
        f"{s} under {r}" for s in ("softmax", "logdet") for r in ("fixed", "thermostat")
    ]
    cells = found["logdet under fixed"]
    assert (cells["end"].lam, cells["end"].loss.value) == (3.0, 7.0), "lam = 0 is no term under fixed"
    assert (cells["scaled"].lam, cells["scaled"].loss.value) == (0.1, 6.0)
    own = runs.sel(surrogate="logdet", regime="fixed", lam0=cells["end"].lam)["test_accuracy"]
    assert cells["end"].accuracy == pytest.approx(own[..., -5:].mean().item())


def test_differences_are_paired_with_lam_0_stopped_early():
    zero = RUNS.sel(surrogate="softmax", regime="fixed", lam0=0.0)
    at = zero["feedback_loss"].to_numpy()[:, 1:].argmin(1) + 1
    early = zero["test_loss"].to_numpy()[range(len(SEEDS)), at]
    late = zero["test_loss"].to_numpy()[:, -5:].mean(1)
    cells = baselines.rows(RUNS)[0].cells
    assert cells["chosen"].loss.value == pytest.approx(early.mean())
    assert cells["chosen"].change.value == 0
    change = cells["end"].change
    wanted = stats.t.interval(0.95, 2, (late - early).mean(), stats.sem(late - early))
    np.testing.assert_allclose([change.low, change.high], wanted)
    words = f"test loss is {early.mean():.3g} at the epoch that the feedback split chooses, and {late.mean():.3g} at the end"
    assert words in baselines.sentence(baselines.rows(RUNS))


def test_a_cell_with_a_run_that_has_no_result_is_not_chosen_and_without_lam_0_there_is_no_table():
    place = {"surrogate": "logdet", "regime": "fixed", "lam0": 3.0}
    runs = without(with_(feedback_loss=[(place, 0.01)]), **place, seed=1)
    assert {row.name: row.cells for row in baselines.rows(runs)}["logdet under fixed"]["end"].lam == 0.1
    assert baselines.rows(RUNS.sel(lam0=[0.1, 3.0])) == []
    assert baselines.rows(RUNS.sel(regime=["thermostat"])) == []
    regression = RUNS.assign(test_accuracy=RUNS["reward"] * np.nan, feedback_scaled_loss=RUNS["reward"] * np.nan)
    (row, *_) = baselines.rows(regression)
    assert row.cells["scaled"] is None
    shown = section(report.render("", {"answers": [], "found": [], "runs": 0, "judged": False}, [
        report.Section("baselines", "Against stopping early", {"wine": [row]})
    ], {}), "baselines")  # fmt: skip
    assert "correct<" not in shown
    assert "–</td>" in shown


def test_the_page_has_the_table_and_its_sentence(page):
    text = Outline(page).text
    assert "Without an entropy term the test loss is" in text[: text.index("runs test the paper")]
    rows = section(page, "baselines").count('<th scope="row">')
    assert rows == 1 + 9
