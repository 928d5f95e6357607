"""A sweep on a real SLURM: submitted and left alone, its nodes and its tasks killed, it ends in the table of a local one."""

import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from poisonous import POISON, TELL
from safetensors.numpy import load_file

from hclm_runner import store
from hclm_runner.sweeps.engine import ENVIRONMENT

pytestmark = pytest.mark.slow

SMALL = ["task.train=32", "task.feedback=32", "task.test=32", "batch_size=16", "epochs=3"]
GRID = ["-m", "surrogate=logdet,softmax", "lam=0,0.1,1", "seed=range(4)", *SMALL]
"""24 runs of two shapes."""

SLURM = ["sweep.on=slurm", "cluster.memory=1", "cluster.extra=['comment=ours',requeue]", "sweep.bundle=3"]


def table(folder: Path) -> pd.DataFrame:
    return store.load(folder)[0].sort_values(["run_id", "epoch"], ignore_index=True)


def submitted(said: str) -> list[tuple[int, int]]:
    """Return (runs, tasks) of each array."""
    return [(int(runs), int(tasks)) for runs, tasks in re.findall(r"(\d+) runs? submitted in (\d+) tasks?", said)]


@pytest.fixture(scope="module")
def local(cluster, tmp_path_factory) -> pd.DataFrame:
    cluster.work = tmp_path_factory.mktemp("local")
    done = cluster.run("hclm_runner", *GRID)
    assert done.returncode == 0, done.stderr
    return table(cluster.work / "outputs/default")


def test_submit_log_out_come_back_and_have_the_table_of_a_local_sweep_bit_for_bit(on, local):
    sent = on.run("hclm_runner", *GRID, *SLURM)
    assert sent.returncode == 0, sent.stderr
    assert submitted(sent.stderr) == [(15, 5), (9, 3)], "8 bundles, in arrays that the cluster takes"
    again = on.run("hclm_runner", *GRID, *SLURM)
    assert submitted(again.stderr) == [], "what is queued is not submitted again"
    waited = on.run("hclm_runner.sweeps", "wait", "default")
    assert waited.returncode == 0, waited.stdout + waited.stderr
    pd.testing.assert_frame_equal(table(on.work / "outputs/default"), local, check_exact=True)
    last = on.run("hclm_runner", *GRID, *SLURM)
    assert (last.returncode, submitted(last.stderr)) == (0, [])
    assert not list((on.work / "outputs/default/plan").glob("hclm-*")), "nothing is left to know"
    runs = store.load(on.work / "outputs/default")[1]
    assert runs["command"].str.contains("-m hclm_runner -m surrogate=logdet,softmax").all(), (
        "the person's, not submitit's"
    )


def test_a_store_at_a_url_has_what_the_tasks_train(on, local):
    pytest.importorskip("obstore", reason="needs obstore: pip install 'hclm-runner[cloud]'")
    url = f"file://{on.work}/shared/s"
    sent = on.run("hclm_runner", *GRID, *SLURM, f"name={url}").stderr
    assert submitted(sent) == [(15, 5), (9, 3)]
    assert f"to wait for them: python -m hclm_runner.sweeps wait {url}\n" in sent
    waited = on.run("hclm_runner.sweeps", "wait", url)
    assert waited.returncode == 0, waited.stdout + waited.stderr
    for folder in (on.work / "outputs" / url, on.work / "shared/s"):
        pd.testing.assert_frame_equal(table(folder), local, check_exact=True)


def test_a_node_dies_with_its_tasks(on, local):
    assert on.run("hclm_runner", *GRID, *SLURM).returncode == 0
    on.until(60, "squeue", "--noheader", "--format=%T %N", shows=r"RUNNING n1")
    while not any(mark.read_text().endswith("_0") for mark in on.work.glob("outputs/default/cluster/plan/*.began")):
        time.sleep(0.05)
    on.kill_node("n1")
    on.until(60, "sinfo", "--noheader", "--Node", "--format=%N %T", shows=r"n1 down")
    on.start_node("n1")
    for _ in range(4):
        ended = on.run("hclm_runner.sweeps", "wait", "default").returncode
        if ended == 0:
            break
        on.run("hclm_runner", *GRID, *SLURM)
    assert ended == 0
    pd.testing.assert_frame_equal(table(on.work / "outputs/default"), local, check_exact=True)


TASK = 'os.killpg(os.getpgid(int(os.environ["SLURM_TASK_PID"])), signal.SIGKILL)'


@pytest.mark.parametrize(
    ("deed", "submissions", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", [(4, 1)], "its process died (signal 9, SIGKILL)"),
        (TASK, [(4, 1), (4, 2), (2, 2)], "ended without a result"),
    ],
    ids=["its process", "its task"],
)
def test_a_run_that_always_dies_ends_alone_and_its_neighbours_finish(on, deed, submissions, reason):
    (on.work / "poison.py").write_text(POISON.format(deed=deed))
    grid = ["-m", "surrogate=poison.S", "surrogate.k=1,2,9,3", *SMALL, *SLURM, "sweep.bundle=4"]
    seen = []
    for _ in submissions:
        sent = on.run("hclm_runner", *grid)
        seen += submitted(sent.stderr)
        on.run("hclm_runner.sweeps", "wait", "default")
    if deed == TASK:
        assert "trying its halves" in sent.stderr
        last = on.run("hclm_runner", *grid)
        assert (last.returncode, submitted(last.stderr)) == (1, []), "it is named, and tried again by the next command"
    assert seen == submissions
    runs = store.load(on.work / "outputs/default")[1]
    assert sorted(runs["status"]) == ["failed", "finished", "finished", "finished"]
    failed = runs[runs["status"] == "failed"].iloc[0]
    assert "k=9" in failed["label"]
    assert reason in failed["error"]


def test_what_trains_has_the_environment_of_a_local_sweep(on):
    (on.work / "poison.py").write_text(POISON.format(deed=TELL))
    assert on.run("hclm_runner", "-m", "surrogate=poison.S", "surrogate.k=9", *SMALL, *SLURM).returncode == 0
    waited = on.run("hclm_runner.sweeps", "wait", "default")
    assert waited.returncode == 0, waited.stdout + waited.stderr
    assert {f"{name}={value}" for name, value in ENVIRONMENT.items()} <= {*(on.work / "seen").read_text().split("\0")}


def test_what_is_cancelled_is_submitted_whole_again(on):
    long = ["-m", "seed=range(4)", *SMALL, "epochs=400000", *SLURM, "sweep.bundle=2"]
    assert submitted(on.run("hclm_runner", *long).stderr) == [(4, 2)]
    on.until(60, "squeue", "--noheader", "--format=%T", shows="RUNNING")
    cancelled = on.run("hclm_runner.sweeps", "cancel", "default")
    assert (cancelled.returncode, cancelled.stdout) == (0, "outputs/default/: 1 array of tasks cancelled\n")
    on.until(60, "squeue", "--noheader", shows=r"^$")
    assert submitted(on.run("hclm_runner", *long).stderr) == [(4, 2)]


def test_what_the_store_has_stays_where_the_cluster_refuses(on, local):
    one = ["surrogate=logdet", "lam=0", "seed=0", *SMALL]
    assert on.run("hclm_runner", "-m", *one).returncode == 0
    kept = table(on.work / "outputs/default")
    refused = on.run("hclm_runner", "-m", *one, *SLURM, "force=true", "cluster.partition=nosuch")
    assert refused.returncode == 2
    pd.testing.assert_frame_equal(table(on.work / "outputs/default"), kept)


def test_what_the_cluster_refuses_is_said_in_its_own_words_on_one_line(on):
    refused = on.run("hclm_runner", *GRID, *SLURM, "cluster.partition=nosuch")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert "sweep.on=slurm: expected a job that the cluster takes, got: " in refused.stderr
    assert "invalid partition specified: nosuch" in refused.stderr
    assert not list((on.work / "outputs/default/plan").glob("hclm-*"))


def test_a_task_that_is_requeued_goes_on_from_its_checkpoint_and_leaves_its_parameters(on):
    long = ["-m", "seed=range(2)", *SMALL, "epochs=1500", "checkpoint_every=20", "save_parameters=true"]
    assert submitted(on.run("hclm_runner", *long, *SLURM).stderr) == [(2, 1)]
    folder, local, end = on.work / "outputs/default", on.work / "outputs/local", time.monotonic() + 100
    while not list(folder.glob("checkpoints/[!.]*")):
        assert time.monotonic() < end
        time.sleep(0.05)
    job = on.ask("squeue", "--noheader", "--format=%A").strip()
    on.ask("scontrol", "requeue", job)
    waited = on.run("hclm_runner.sweeps", "wait", "default")
    assert waited.returncode == 0, waited.stdout + waited.stderr
    assert "Restarts=1" in on.ask("scontrol", "show", "job", job)
    logs = "".join(path.read_text() for path in folder.glob("cluster/slurm/*.out"))
    assert "2 of 2 runs go on after epoch" in logs
    assert on.run("hclm_runner", *long, "name=local").returncode == 0
    pd.testing.assert_frame_equal(table(folder), table(local), check_exact=True)
    for path in (local / "parameters").iterdir():  # not the bytes: the order of a file's metadata is random
        ours, theirs = load_file(folder / "parameters" / path.name), load_file(path)
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert len(list((folder / "parameters").iterdir())) == 2
