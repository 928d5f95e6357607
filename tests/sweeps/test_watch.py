"""A store as it fills: what is read of it, what is shown, and when that ends."""

import os
import signal
import threading

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import configs, described, write

from hclm_runner import store
from hclm_runner.sweeps import status, watch
from hclm_runner.sweeps.__main__ import main
from hclm_runner.sweeps.compact import compact


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "PERIOD", 0.05)
    monkeypatch.setenv("COLUMNS", "120")
    for path in (tmp_path / "s", tmp_path / "s" / store.CLUSTER):
        store.prepare(path)
    return tmp_path / "s"


def test_a_file_is_read_once_and_again_only_if_it_changed(folder):
    runs, seen = configs(8), watch.Seen(folder)
    assert seen.look() == []
    write(folder, runs[:2])
    store.hand_in(folder, *described(runs[2:4]))
    assert len(seen.look()) == 2
    store.take_in(folder)
    assert seen.look() == [], "what is taken in is what was handed in"
    write(folder, runs[4:5], "failed")
    assert len(seen.look()) == 1
    assert sorted(seen.ended.values()) == ["failed"] + ["finished"] * 4
    write(folder, runs[4:6])
    assert len(seen.look()) == 1
    assert sorted(seen.ended.values()) == ["finished"] * 6
    before = pd.concat(seen.recent)
    assert compact(folder) == (3, 1)
    assert len(seen.look()) == 1
    assert len(seen.ended) == 6
    pd.testing.assert_frame_equal(pd.concat(seen.recent), before)
    (folder / "runs" / "torn.parquet").write_bytes(b"PAR1")
    assert seen.look() == ["torn.parquet"]
    assert seen.look() == []
    store.forget(folder, [runs[0].run_id])
    seen.look()
    assert runs[0].run_id not in seen.ended, "it is tried again"


def test_the_curves_are_of_the_runs_that_came_last(folder, monkeypatch):
    monkeypatch.setattr(watch, "RECENT", 3)
    runs, seen = configs(8), watch.Seen(folder)
    for place in range(0, 8, 2):
        write(folder, runs[place : place + 2])
        if place == 2:
            seen.look()
    seen.look()
    ids = [set(frame["run_id"]) for frame in seen.recent]
    assert ids == [{runs[6].run_id, runs[7].run_id}, {runs[4].run_id, runs[5].run_id}], "the newest first"


def test_quartiles_are_those_of_numpy():
    values = np.random.default_rng(0).normal(size=(7, 5, 3))
    rows = [(run, epoch, *values[run, epoch]) for run in range(7) for epoch in range(5)]
    found = watch.quartiles(pd.DataFrame(rows, columns=["run_id", "epoch", *watch.SHOWN]))
    for place, name in enumerate(watch.SHOWN):
        for q in (0.25, 0.5, 0.75):
            np.testing.assert_allclose(found[q, name], np.quantile(values[:, :, place], q, axis=0), rtol=1e-12)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([3, 3], "▁▁"),
        ([1, np.nan, 0], "█ ▁"),
        ([np.nan], " "),
        (range(80), "▁▂▃▄▅▆▇█"),
    ],
)
def test_a_curve_goes_from_the_least_to_the_greatest(values, shown):
    assert watch.sparkline(np.array(values, float), 8) == shown


def test_it_ends_with_the_sweep_and_says_what_came(folder, capsys):
    runs = configs(6)
    write(folder, runs[:2])
    status.write_plan(folder, "local", [runs[2:4], runs[4:]])
    ended = threading.Timer(0.5, lambda: (write(folder, runs[2:4]), write(folder, runs[4:6])))
    ended.start()
    assert main(["watch", str(folder)]) == 0
    ended.join()
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "2/6 runs  0 runs/s  none without a result"
    assert "6/6 runs" in out
    assert "the last 6 runs" in out
    assert "median, epochs 0 to 3" in out
    assert "2.8" in out, "the median of 0.3, 1.3, ..., 5.3"
    assert "1.55 to 4.05" in out


def test_ctrl_c_ends_it(folder, capsys):
    status.write_plan(folder, "hclm-a", [configs(1)])
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background of a shell ignore it
    threading.Timer(0.4, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    try:
        assert main(["watch", str(folder)]) == 0
    finally:
        signal.signal(signal.SIGINT, usual)
    out, err = capsys.readouterr()
    assert "0/1 runs" in out
    assert err == ""


def test_failures_and_the_time_left_are_on_the_line():
    ended = {"a": "finished", "b": "failed", "c": "diverged", "d": "failed"}
    assert watch.progress(ended, 6, 2, 4.0) == "4/10 runs  0.5 runs/s  1 diverged, 2 failed  about 12 s left"


def test_a_store_at_a_url_is_followed_from_another_machine(tmp_path, monkeypatch, capsys):
    pytest.importorskip("obstore", reason="needs obstore: pip install 'hclm-runner[cloud]'")
    monkeypatch.setattr(watch, "PERIOD", 0.05)
    url, runs = f"file://{tmp_path}/shared/s", configs(4)
    other = tmp_path / "other" / "outputs" / f"file:{tmp_path}/shared/s"

    def write_there(some) -> None:
        with store.locked(other, print):
            store.write(other, *described(some))

    write_there(runs[:2])
    monkeypatch.chdir(tmp_path)
    status.write_plan(store.locate(url), "local", [runs])
    ended = threading.Timer(0.5, write_there, [runs[2:]])
    ended.start()
    assert main(["watch", url]) == 0
    ended.join()
    out = capsys.readouterr().out
    assert out.startswith("2/4 runs")
    assert "4/4 runs" in out
