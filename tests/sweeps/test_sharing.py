"""Commands on several machines that train one sweep: none trains what another has, and what one leaves another takes."""

import threading
import time
from collections import deque
from pathlib import Path

import pytest
from synthetic_runs import configs, described

from hclm_runner import objects, shards, store
from hclm_runner.sweeps import sharing, status
from hclm_runner.sweeps.board import Result
from hclm_runner.sweeps.plan import Plan

pytest.importorskip("obstore", reason="needs obstore: pip install 'hclm-runner[cloud]'")

RUNS = configs(8)


class Machine:
    """A command that has agreed on a sweep of `RUNS`, in bundles of a size that it would choose itself."""

    def __init__(self, root: Path, name: str, size: int = 2) -> None:
        self.folder = root / name / "outputs" / f"file:{root}/shared"
        store.prepare(self.folder)
        bundles = [RUNS[start : start + size] for start in range(0, len(RUNS), size)]
        plan, url = Plan({}, 0, [], bundles, {}, 1, 1, "cpu"), objects.url_of(self.folder)
        self.driver = sharing.Driver(self.folder, url, [run.run_id for run in RUNS], plan, "auto")
        self.queue = deque(self.driver.bundles)
        self.driver.beat()

    def take(self) -> list[int]:
        """Return the seeds of the bundle that is taken."""
        self.driver.again = 0.0
        self.runs = self.driver.take(self.queue) if self.queue else []
        return [run.seed for run in self.runs]

    def end(self, kind: str | None = None) -> None:
        store.write(self.folder, *described(self.runs, kind))
        self.driver.ended(self.runs)


@pytest.fixture
def url(tmp_path) -> Path:
    return tmp_path / "shared"


def test_no_bundle_is_with_two_and_all_agree_on_the_bundles_of_the_first(tmp_path, url):
    a, b = Machine(tmp_path, "a"), Machine(tmp_path, "b", size=3)
    assert [a.take(), b.take()] == [[0, 1], [2, 3]]
    a.end()
    b.end()
    assert [a.take(), b.take()] == [[4, 5], [6, 7]]
    assert len([*(url / "taken").glob("*")]) == 2
    b.end()
    assert (b.take(), len(b.queue)) == ([], 1), "the rest is with a"
    a.end()
    assert (b.take(), len(b.queue)) == ([], 0)
    assert [run.seed for run in b.driver.elsewhere] == [0, 1, 4, 5]
    result = Result(8, finished=4)
    b.driver.account(result)
    assert (result.elsewhere, result.not_reached, result.code) == (4, 0, 0)
    for machine in (a, b):
        assert machine.take() == []
        machine.driver.leave()
        assert set(store.index(machine.folder)["run_id"]) == {run.run_id for run in RUNS}
    assert not any([*(url / part).glob("*")] for part in ("taken", "drivers", "plan")), "nothing is left to know"


def test_what_failed_elsewhere_is_not_tried_again_here_but_named(tmp_path):
    a, b = Machine(tmp_path, "a", size=1), Machine(tmp_path, "b", size=1)
    a.take()
    a.end("failed")
    assert b.take() == [1], "the one of a is free, and ended"
    result = Result(8)
    b.driver.account(result)
    assert result.failed == {"it failed": [RUNS[0].title]}


def test_what_a_driver_leaves_is_free_at_once(tmp_path):
    a, b = Machine(tmp_path, "a", size=8), Machine(tmp_path, "b")
    assert len(a.take()) == 8
    assert b.take() == []
    a.driver.leave()
    assert len(b.take()) == 8


def test_nothing_is_left_of_a_driver_that_died_once_it_had_written(tmp_path, url):
    dead, other = Machine(tmp_path, "a", size=4), Machine(tmp_path, "b")
    dead.take()
    store.write(dead.folder, *described(dead.runs))
    assert other.take() == [4, 5, 6, 7]
    other.end()
    assert (other.take(), len(other.queue)) == ([], 0)
    other.driver.leave()
    assert not [*(url / "taken").glob("*")]


def test_one_of_those_that_wait_takes_what_a_silent_driver_had(tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "BEAT", 0.0)
    monkeypatch.setattr(sharing, "PATIENCE", 0.5)
    dead, *others = (Machine(tmp_path, name, size=8) for name in "abcd")
    assert len(dead.take()) == 8
    began = time.monotonic()
    while time.monotonic() < began + 0.8:  # it lives, though it is slow
        dead.driver.beat()
        assert [other.take() for other in others] == [[], [], []]
    time.sleep(0.6)
    threads = [threading.Thread(target=other.take) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heirs = [other for other in others if other.runs]
    assert len(heirs) == 1
    heirs[0].end()
    dead.end()  # it was only slow
    assert [other.take() for other in others] == [[], [], []]
    assert len(shards.names(heirs[0].folder)) == 1


def test_half_of_a_bundle_that_failed_stays_with_its_driver(tmp_path):
    a = Machine(tmp_path, "a", size=4)
    a.take()
    a.queue.extendleft([a.runs[2:], a.runs[:2]])
    assert a.take() == [0, 1]
    a.end()
    assert a.take() == [2, 3]
    a.end()
    assert a.take() == [4, 5, 6, 7]


def test_the_status_says_what_trains_on_any_machine(tmp_path, url, monkeypatch):
    monkeypatch.setattr(sharing, "BEAT", 0.2)
    a, b, c = (Machine(tmp_path, name) for name in "abc")
    for machine in (a, b, c):
        machine.take()
    c.end()
    beating = threading.Event()

    def beat() -> None:
        while not beating.wait(0.05):
            b.driver.beat()

    thread = threading.Thread(target=beat)
    thread.start()
    found = status.read(c.folder)
    beating.set()
    thread.join()
    expected = {RUNS[0].run_id: "dead", RUNS[2].run_id: "running", RUNS[6].run_id: "pending"}
    assert {run_id: found.open[run_id] for run_id in expected} == expected
    assert found.counts["finished"] == 2
    assert len(found.open) == 6
