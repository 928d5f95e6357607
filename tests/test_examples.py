"""The three examples of the site do what they say, from top to bottom in an empty folder."""

import runpy
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from hclm_runner import final

EXAMPLES = Path(__file__).parents[1] / "docs/examples"


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Run an example, and return its names."""
    mpl.use("agg")
    monkeypatch.setattr(plt, "show", lambda: None)  # agg would warn that it cannot
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield lambda name: runpy.run_path(str(EXAMPLES / f"{name}.py"))
    plt.close("all")
    for module in ("my_models", "my_surrogates"):
        sys.modules.pop(module, None)


def test_every_example_is_tested():
    shown = {path.stem for path in EXAMPLES.glob("*.py") if not path.stem.startswith("my_")}
    assert shown == {"first_run", "own_surrogate", "own_model"}


def test_first_run_holds_the_entropy_at_its_set_point(example):
    names = example("first_run")
    last = final(names["rows"])
    assert abs(last["entropy"] - last["setpoint"]) < 0.25 * last["setpoint"]
    assert last["test_loss"] < final(names["without"])["test_loss"], "which the last table shows"


def test_own_surrogate_has_a_row_and_a_column_for_every_run(example, tmp_path):
    names = example("own_surrogate")
    assert names["table"].shape == (4, 4), "four lam; two columns of two surrogates"
    assert names["table"].notna().all(axis=None)
    assert len(names["finals"]) == len(names["runs"]) == 24
    assert list((tmp_path / "outputs/own_surrogate/records").glob("*.parquet"))


def test_own_model_has_the_accuracy_of_the_records(example):
    names = example("own_model")
    assert names["accuracy"] == pytest.approx(names["recorded"], abs=1e-7), "the records' is a mean in float32"
    assert names["accuracy"] > 0.8, "of ten digits"
