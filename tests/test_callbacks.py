"""callbacks=[...]: a user's functions get each row of a run that trains, and what fails in them harms no run."""

import json
from pathlib import Path

import pandas as pd
import pytest

from hclm_runner import load, train
from hclm_runner.callbacks import Callbacks
from hclm_runner.config import configure
from hclm_runner.records import AT_ENDS

SMALL = ["task.train=32", "task.feedback=32", "task.test=32", "batch_size=16", "epochs=3"]
WRITES = """
import json
def log(row):
    with open("rows.jsonl", "a") as file:
        print(json.dumps(row), file=file)
def late(row):
    if row["epoch"] == 2:
        1 / 0
def leave(row):
    raise SystemExit(0)
"""


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(["run_id", "epoch"], ignore_index=True)


def written() -> pd.DataFrame:
    return in_order(pd.DataFrame([json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]))


@pytest.mark.parametrize("several", [[], ["-m", "seed=0,1", "surrogate=logdet,softmax"]], ids=["alone", "in a sweep"])
def test_a_callback_gets_the_rows_that_the_store_gets(several, cli, user_module):
    done = cli(*several, f"callbacks=[{user_module(WRITES)}.log]", *SMALL)
    assert done.code == 0, done.err
    records, runs = load("default")
    assert len(runs) == (4 if several else 1)
    assert list(written().columns) == list(records.columns)
    then = written().drop(columns=list(AT_ENDS))  # found after the last epoch
    expected = in_order(records).drop(columns=list(AT_ENDS))
    pd.testing.assert_frame_equal(then, expected, check_exact=True, check_dtype=False)


@pytest.mark.parametrize("several", [[], ["-m", "seed=0,1", "surrogate=logdet,softmax"]], ids=["alone", "in a sweep"])
def test_one_that_fails_is_a_warning_with_its_line_and_is_not_called_again(several, cli, user_module):
    name = user_module(WRITES)
    with pytest.warns(UserWarning, match="is not called again") as caught:
        done = cli(*several, f"callbacks=[{name}.late,{name}.leave,{name}.log]", *SMALL)
    assert done.code == 0, done.err
    first, second = (str(warning.message) for warning in caught)
    wanted = "the callback {0} failed and is not called again: {1} ({2}.py, line {3}, in {0})"
    assert first == wanted.format("leave", "SystemExit: 0", name, 10)
    assert second == wanted.format("late", "ZeroDivisionError: division by zero", name, 8)
    records, runs = load("default")
    assert set(runs["status"]) == {"finished"}
    assert len(written()) == len(records), "those after it are still called"


@pytest.mark.parametrize("several", [[], ["-m", "seed=0,1"]], ids=["alone", "in a sweep"])
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("no_such_module.log", "a dotted path that imports, got ModuleNotFoundError: No module named 'no_such_module'"),
        ("math.pi", "a function of one row, got float"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_before_anything_trains(several, path, expected, cli, tmp_path):
    done = cli(*several, f"callbacks=[{path}]", *SMALL)
    assert (done.code, done.err) == (2, f"error: callbacks={path}: expected {expected}\n")
    assert not (tmp_path / "outputs/default/runs").exists()


def test_in_python_each_function_has_a_row_of_its_own_and_a_run_that_diverges_has_rows_until_it_does():
    runs = [configure(f"optimizer.lr={rate}", *SMALL) for rate in (0.05, 1e30)]
    rows = []
    trained = train(runs, progress=Callbacks([dict.clear, rows.append]).of(runs))
    assert trained.diverged.tolist()[0] == -1
    assert 0 < trained.diverged[1] <= 3
    own, expected = (in_order(each).drop(columns=list(AT_ENDS)) for each in (pd.DataFrame(rows), trained.frame()))
    pd.testing.assert_frame_equal(own, expected, check_dtype=False)
