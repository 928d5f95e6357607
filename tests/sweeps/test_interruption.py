"""A sweep that is killed, interrupted or not alone on its store."""

import io
import os
import re
import shutil
import signal
import threading
import time
from contextlib import redirect_stderr
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock
from sweeps import GRID, SMALL, spawn, table

from hclm_runner import store
from hclm_runner.sweeps import status

NOTHING = dict.fromkeys((*status.ENDED, *status.OPEN), 0)


def shards(folder: Path) -> list[Path]:
    """Return the files of a store that its readers see."""
    return [path for path in folder.rglob("*.parquet") if not path.name.startswith(".")]


def test_sigkill_and_restart_end_in_the_same_table(cli, tmp_path, clean):
    driver = spawn(tmp_path, *GRID, "sweep.bundle=1", "sweep.workers=1")
    while driver.poll() is None and not shards(tmp_path / "outputs/default/runs"):
        time.sleep(0.001)
    os.killpg(driver.pid, signal.SIGKILL)
    _, err = driver.communicate()
    assert driver.returncode == -signal.SIGKILL, err
    for path in shards(tmp_path):
        pd.read_parquet(path)
    last = cli(*GRID)
    assert last.code == 0
    trained, stored = map(int, re.search(r"(\d+) runs to train in .*; (\d+) in the store", last.err).groups())
    assert trained + stored == 16
    assert 1 <= stored < 16, "it was killed in between"
    pd.testing.assert_frame_equal(table(), table(clean))


@pytest.mark.slow
def test_sigkill_at_twenty_moments(tmp_path, clean):
    for moment in range(20):
        driver = spawn(tmp_path, *GRID, "sweep.bundle=2")
        time.sleep(0.5 + 0.3 * moment)
        os.killpg(driver.pid, signal.SIGKILL)
        driver.communicate()
        for path in shards(tmp_path):
            pd.read_parquet(path)
    assert spawn(tmp_path, *GRID).wait(120) == 0
    pd.testing.assert_frame_equal(table(tmp_path / "outputs/default"), table(clean))


def test_a_sweep_waits_for_another_command_and_then_trains_only_what_that_has_left(cli, clean):
    folder, said = Path("outputs/default"), io.StringIO()
    held, ended = threading.Event(), threading.Event()
    store.prepare(folder)

    def another_command() -> None:
        """Hold the store until the sweep says that it waits; leave it as a finished sweep of the same grid does."""
        with FileLock(folder / ".lock"):
            held.set()
            while "waiting for another command" not in said.getvalue() and not ended.wait(0.01):
                pass
            shutil.copytree(clean, folder, dirs_exist_ok=True)

    other = threading.Thread(target=another_command, daemon=True)
    other.start()
    held.wait()
    with redirect_stderr(said):
        mine = cli(*GRID)
    ended.set()
    other.join()
    assert mine.code == 0
    assert said.getvalue().count("waiting for another command") == 1
    assert "to train" not in said.getvalue()
    assert re.search(r"reused from the store\W+16\b", mine.out)
    pd.testing.assert_frame_equal(table(), table(clean))


@pytest.mark.slow
def test_two_drivers_at_once_share_one_store(tmp_path, clean):
    store.prepare(tmp_path / "outputs/default")
    with FileLock(tmp_path / "outputs/default/.lock"):
        both = [spawn(tmp_path, *GRID, "sweep.bundle=2") for _ in range(2)]
        for driver in both:
            assert driver.stderr is not None
            assert driver.stderr.readline().startswith("waiting for another command")
    ended = [driver.communicate(timeout=120) for driver in both]
    assert [driver.returncode for driver in both] == [0, 0], ended
    pd.testing.assert_frame_equal(table(tmp_path / "outputs/default"), table(clean))
    assert sum("16 runs to train" in err for _, err in ended) == 1


def test_ctrl_c_writes_what_is_finished_and_exits_130(cli):
    ended, seen = threading.Event(), []

    def press() -> None:
        """Send SIGINT to this process once something is written, while the other bundle trains for minutes."""
        while not ended.wait(0.01):
            if shards(Path("outputs/default/runs")):
                seen.append(status.read(Path("outputs/default")).counts)
                os.kill(os.getpid(), signal.SIGINT)
                return

    finger = threading.Thread(target=press, daemon=True)
    finger.start()
    stopped = cli("-m", *SMALL, "epochs=3,400000", "seed=0,1", "sweep.workers=2")
    ended.set()
    finger.join()
    assert stopped.code == 130
    assert stopped.err.count("stopping") == 1
    assert "Traceback" not in stopped.err
    assert re.search(r"finished\W+2\b", stopped.out)
    assert re.search(r"not reached\W+2\b", stopped.out)
    records, runs = store.load("default")
    assert list(runs["status"]) == ["finished"] * 2
    assert len(records) == 2 * 4
    assert seen == [NOTHING | {"finished": 2, "running": 2}]
    assert status.read(Path("outputs/default")).counts == NOTHING | {"finished": 2, "pending": 2}


@pytest.mark.slow
def test_ctrl_c_twice_stops_at_once(tmp_path):
    driver = spawn(tmp_path, "-m", *SMALL, "epochs=3,400000", "sweep.workers=2")
    assert driver.stderr is not None
    seen = ""
    while "runs/s" not in seen:  # one bundle is written, and the other trains for minutes
        line = driver.stderr.readline()
        assert line, seen
        seen += line
    driver.send_signal(signal.SIGINT)
    time.sleep(0.05)  # two signals at once count as one
    driver.send_signal(signal.SIGINT)
    _, rest = driver.communicate(timeout=60)
    assert driver.returncode in (130, -signal.SIGINT), "a shell calls both 130"
    assert "Traceback" not in seen + rest
