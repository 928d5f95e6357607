"""The picture of one run, read back from the axes."""

import numpy as np
import pandas as pd
import pytest

from hclm_runner import picture
from hclm_runner.records import COLUMNS

EPOCHS = 13


@pytest.fixture
def records() -> pd.DataFrame:
    """Return the records of a run that was never made: each column has its own values, in [1, 2]."""
    rng = np.random.default_rng(0)
    return pd.DataFrame({"epoch": range(EPOCHS), **{name: rng.uniform(1, 2, EPOCHS) for name in COLUMNS}})


def _shown(figure) -> dict[str, dict[str, np.ndarray]]:
    """Return the y label of each panel -> the name of each curve over epochs -> its values."""
    return {
        " ".join(axes.get_ylabel().split()): {
            line.get_label(): line.get_ydata() for line in axes.lines if len(line.get_ydata()) == EPOCHS
        }
        for axes in figure.axes
    }


def test_each_panel_shows_its_columns(records):
    wanted = {
        "loss L (nats)": ["train_loss", "test_loss"],
        "gap, test − train (nats)": ["gap"],
        "reward, accuracy − over-confidence": ["reward"],
        "entropy S (nats)": ["setpoint", "entropy"],
        "force (nats per unit of θ)": ["loss_force", "force"],
        "coefficient λ": ["lam"],
    }
    found = _shown(picture.draw(records, "a run"))
    assert list(found) == list(wanted)
    for panel, columns in wanted.items():
        for curve, column in zip(found[panel].values(), columns, strict=True):
            np.testing.assert_array_equal(curve, records[column])
    assert list(found["loss L (nats)"]) == ["training set", "test set"]
    assert list(found["entropy S (nats)"]) == ["set point", "S, training set"]


def test_without_a_set_point_and_without_classes_nothing_stands_for_them(records):
    figure = picture.draw(records.assign(setpoint=np.nan, reward=np.nan), "a run")
    found = _shown(figure)
    assert "loss L" in found, "a squared error is in the units of its target"
    assert list(found["entropy S (nats)"]) == ["S, training set"]
    assert figure.axes[2].texts[0].get_text() == "undefined\nwithout classes"


def test_forces_and_lam_are_read_from_0(records):
    for lam in (records["lam"], 0.1):
        *_, force, lam_axes = picture.draw(records.assign(lam=lam), "a run").axes
        for axes in (force, lam_axes):
            low, high = axes.get_ylim()
            assert -0.1 * high < low <= 0


def test_a_long_title_and_the_legends_stay_inside_and_hide_no_data(records):
    title = "renyi(width=5,kernel=gauss) / mine.my_law(gain=0.5,delay=3) / mine.regression(noise=0.1), " * 2
    figure = picture.draw(records, title)
    figure.draw_without_rendering()
    frame = figure.bbox
    for part in [*figure.texts, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]:
        box = part.get_window_extent()
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes)
