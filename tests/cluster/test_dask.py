"""A sweep on a real dask scheduler with two workers on loopback: workers, the scheduler and the command are killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import free_ports
from poisonous import POISON, TELL

from hclm_runner import store
from hclm_runner.sweeps.engine import ENVIRONMENT

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

SMALL = ["task.train=32", "task.feedback=32", "task.test=32", "batch_size=16"]
GRID = ["-m", "surrogate=logdet,softmax", "lam=0,0.1", "seed=range(2)", *SMALL, "epochs=3"]
"""8 runs of two shapes."""

LONG = ["-m", "seed=range(4)", *SMALL, "epochs=600", "sweep.bundle=2"]


class Cluster:
    """A scheduler, its workers, and a person who runs commands in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, (port,) = folder, free_ports(1)
        self.address = f"tcp://127.0.0.1:{port}"
        self.on = ["sweep.on=dask", "cluster=dask", f"cluster.address={self.address}"]
        killed_once = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
        self.environment = os.environ | killed_once | {"COLUMNS": "120"}
        self.scheduler = self.start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port))
        self.workers = [self.start_worker() for _ in range(2)]

    def start(self, module: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", module, "--no-dashboard", *options]
        with (self.folder / f"{module}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)

    def start_worker(self, *options: str) -> subprocess.Popen[bytes]:
        own = ["--nthreads", "1", "--no-nanny", "--death-timeout", "60", "--local-directory", str(self.folder / "dask")]
        return self.start("distributed.cli.dask_worker", self.address, *own)

    def spawn(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "hclm_runner", *arguments, *self.on]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments: str) -> tuple[int, str]:
        process = self.spawn(*arguments)
        out, err = process.communicate(timeout=200)
        return process.returncode, out + err

    def until_begun(self, bundles: int) -> None:
        end = time.monotonic() + 100
        while len(list(self.folder.glob("outputs/default/plan/*.began"))) < bundles:
            assert time.monotonic() < end
            time.sleep(0.05)

    @property
    def table(self) -> pd.DataFrame:
        return store.load(self.folder / "outputs/default")[0].sort_values(["run_id", "epoch"], ignore_index=True)


@pytest.fixture
def dask(tmp_path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    for process in (*made.workers, made.scheduler):
        process.kill()
        process.wait()


def test_the_table_is_that_of_a_local_sweep_bit_for_bit(dask, once):
    code, said = dask.run(*GRID, "sweep.bundle=2")
    assert code == 0, said
    folder, _ = once(*GRID)
    local = store.load(folder / "outputs/default")[0].sort_values(["run_id", "epoch"], ignore_index=True)
    pd.testing.assert_frame_equal(dask.table, local, check_exact=True)
    assert f"8 runs to train in 4 bundles, 2 processes on {dask.address}; 0 in the store" in said
    again = dask.run(*GRID)
    assert again[0] == 0
    assert re.search(r"reused from the store\W+8\b", again[1])
    commands = store.load(dask.folder / "outputs/default")[1]["command"]
    assert commands.str.contains("-m hclm_runner -m surrogate=logdet,softmax").all(), "the person's, not the task's"


def test_a_store_at_a_url_has_what_the_workers_train(dask, once):
    pytest.importorskip("obstore", reason="needs obstore: pip install 'hclm-runner[cloud]'")
    url = f"file://{dask.folder}/shared/s"
    code, said = dask.run(*GRID, "sweep.bundle=2", f"name={url}")
    assert code == 0, said
    folder, _ = once(*GRID)
    local, copy, there = (
        store.load(at)[0].sort_values(["run_id", "epoch"], ignore_index=True)
        for at in (folder / "outputs/default", dask.folder / "outputs" / url, dask.folder / "shared/s")
    )
    pd.testing.assert_frame_equal(copy, local, check_exact=True)
    pd.testing.assert_frame_equal(there, local, check_exact=True)
    assert not (dask.folder / "shared/s/cluster").exists(), "tasks ask no server"
    shutil.rmtree(dask.folder / "outputs")
    again = dask.run(*GRID, f"name={url}")
    assert again[0] == 0
    assert re.search(r"reused from the store\W+8\b", again[1])


def test_what_trains_has_the_environment_of_a_local_sweep(dask):
    (dask.folder / "poison.py").write_text(POISON.format(deed=TELL))
    code, said = dask.run("-m", "surrogate=poison.S", "surrogate.k=9", *SMALL, "epochs=1")
    assert code == 0, said
    assert {f"{name}={value}" for name, value in ENVIRONMENT.items()} <= {
        *(dask.folder / "seen").read_text().split("\0")
    }


def test_the_bundle_of_a_killed_worker_runs_again_elsewhere(dask):
    driver = dask.spawn(*LONG)
    dask.until_begun(2)
    dask.workers[0].kill()
    out, err = driver.communicate(timeout=200)
    assert driver.returncode == 0, out + err
    assert "halves" not in err, "once is no reason to suspect it"
    assert list(store.load(dask.folder / "outputs/default")[1]["status"]) == ["finished"] * 4


def test_a_run_that_kills_its_workers_ends_alone_and_its_neighbours_finish(dask):
    deed = "import psutil, time; psutil.Process().parents()[2].kill(); time.sleep(9)"  # a server, the task, the worker
    (dask.folder / "poison.py").write_text(POISON.format(deed=deed))
    driver = dask.spawn("-m", "surrogate=poison.S", "surrogate.k=1,9", *SMALL, "epochs=3", "sweep.bundle=2")
    while driver.poll() is None:
        for place, worker in enumerate(dask.workers):
            if worker.poll() is not None:
                dask.workers[place] = dask.start_worker()
        time.sleep(0.2)
    out, err = driver.communicate()
    assert driver.returncode == 1, out + err
    assert "a bundle of 2 runs: it has killed its workers; trying its halves" in err
    runs = store.load(dask.folder / "outputs/default")[1].sort_values("status")
    assert list(runs["status"]) == ["failed", "finished"]
    assert runs["error"].iloc[0] == "it has killed its workers"


def test_a_scheduler_that_is_killed_loses_nothing_that_was_written(dask):
    driver = dask.spawn(*LONG[:-1], "sweep.bundle=1")
    assert driver.stderr is not None
    while "runs/s" not in driver.stderr.readline():
        pass
    dask.scheduler.kill()
    out, err = driver.communicate(timeout=60)
    assert driver.returncode == 1, out + err
    assert "error: the scheduler is gone; what was written stays, and the same command goes on from there" in err
    assert "Traceback" not in err
    assert len(store.index(dask.folder / "outputs/default")) >= 1


def test_ctrl_c_leaves_what_trains_to_the_next_command(dask):
    driver = dask.spawn(*LONG)
    dask.until_begun(2)
    driver.send_signal(signal.SIGINT)
    out, err = driver.communicate(timeout=60)
    assert driver.returncode == 130, out + err
    assert "Traceback" not in err
    code, said = dask.run(*LONG)
    assert code == 0, said
    assert list(store.load(dask.folder / "outputs/default")[1]["status"]) == ["finished"] * 4


def test_what_a_worker_cannot_train_is_one_line(dask):
    code, said = dask.run(*GRID, "device=cuda")
    assert code == 1, said
    assert re.search(r"error: a worker cannot train: .*device=cuda: expected a machine with a CUDA device", said), said


def test_an_unreachable_scheduler_is_one_line(dask):
    dask.on[-1] = "cluster.address=tcp://127.0.0.1:1"
    code, said = dask.run(*GRID)
    assert (code, said.count("\n")) == (2, 1), said
    assert "error: cluster.address=tcp://127.0.0.1:1: expected a dask scheduler that answers, got " in said
