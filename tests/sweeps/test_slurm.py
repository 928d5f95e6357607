"""What a sweep on a cluster makes of the files that it finds; tests/cluster/ has a real SLURM."""

import json
import os
from pathlib import Path

import pytest
from synthetic_runs import configs, described, write

from hclm_runner import store
from hclm_runner.config import configure
from hclm_runner.records import redacted
from hclm_runner.refusal import ConfigError
from hclm_runner.shards import PARTS
from hclm_runner.sweeps import queue, slurm, status
from hclm_runner.sweeps.__main__ import main


@pytest.fixture
def says(tmp_path, monkeypatch):
    """Put a command of a cluster on the path, which is else empty: it prints a text, and exits with a code."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()

    def command(name: str, text: str, code: int = 0) -> None:
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{text}' >&{2 if code else 1}\nexit {code}\n")
        path.chmod(0o755)

    return command


@pytest.fixture
def folder(tmp_path) -> Path:
    store.prepare(tmp_path / "s")
    return tmp_path / "s"


def by_id(runs):
    return {run.run_id: run for run in runs}


def ids(bundles):
    return [[run.run_id for run in bundle] for bundle in bundles]


def test_without_a_cluster_a_sweep_on_one_is_one_line(cli, says):
    done = cli("-m", "lam=0,1", "epochs=3", "sweep.on=slurm")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert done.err == ("error: sweep.on=slurm: expected a machine with SLURM's commands: squeue is not on the path\n")


def test_a_cluster_that_does_not_answer_is_quoted(cli, says):
    says("squeue", "squeue: error: Unable to contact slurm controller (connect failure)", 1)
    done = cli("-m", "lam=0,1", "epochs=3", "sweep.on=slurm")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "a cluster that answers, got: Unable to contact slurm controller (connect failure)" in done.err


def test_the_queue_and_its_limits_are_read_as_the_cluster_writes_them(says):
    assert queue.tasks() is None
    says("squeue", "hclm-a|0|R\nhclm-a|12|PD\nhclm-b|N/A|CG")
    assert queue.tasks() == {("hclm-a", 0): "R", ("hclm-a", 12): "PD", ("hclm-b", 0): "CG"}
    says("scontrol", "MaxArraySize            = 1001\nMaxJobCount             = 10000")
    assert queue.largest_array() == 1001
    assert queue.room(None, 5) > 10**9
    assert queue.room(8, 5) == 3
    assert queue.room(4, 5) == 0
    says("sacctmgr", "100\n\n40")
    assert (queue.room(None, 5), queue.room(8, 5)) == (35, 3)
    says("sacctmgr", "You are not running a supported accounting_storage plugin", 1)
    assert queue.room(None, 5) > 10**9


def test_a_task_that_dies_is_halved_at_each_command_until_the_run_at_fault_is_alone(folder):
    runs, fault = configs(11), configs(11)[6].run_id
    bundles, commands, finished = [runs], 0, 0
    while True:
        status.write_plan(folder, f"hclm-{commands}", bundles)
        for bundle in bundles:
            status.begin(folder / store.CLUSTER, bundle)
            if fault not in by_id(bundle):
                write(folder, bundle)
                finished += len(bundle)
        sent = slurm._sent(folder, by_id(runs), {})
        commands += 1
        if sent.died:
            break
        assert sum(len(bundle) for bundle in sent.halves) == 11 - finished
        bundles = sent.halves
    assert [run.run_id for run in sent.died] == [fault]
    assert (sent.halves, finished) == ([], 10)
    assert commands == 5, "11, 6, 3, 2, 1"


def test_what_is_queued_or_never_began_or_has_ended_or_is_of_another_grid_is_no_death(folder):
    runs = configs(10)
    bundles = [runs[0:2], runs[2:4], runs[4:6], runs[6:8], runs[8:10]]
    status.write_plan(folder, "hclm-a", bundles)
    for began in (0, 2, 3, 4):
        status.begin(folder / store.CLUSTER, bundles[began])
    write(folder, bundles[2])
    sent = slurm._sent(folder, by_id(runs[:8]), {("hclm-a", 0): "PD"})
    assert sent.away == {run.run_id for run in bundles[0]}
    assert ids(sent.halves) == [[runs[6].run_id], [runs[7].run_id]]
    assert sent.died == []


def test_a_run_that_died_alone_has_the_last_words_of_its_log(folder, monkeypatch):
    (run,) = configs(1)
    status.write_plan(folder, "hclm-a", [[run]])
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    status.begin(folder / store.CLUSTER, [run])
    log = folder / store.CLUSTER / "slurm" / "12_3_0_log.out"
    log.parent.mkdir()
    log.write_text("4/4 runs\nslurmstepd: error: *** JOB 15 ON n1 CANCELLED AT 10:00 DUE TO TIME LIMIT ***\n")
    slurm._fail(folder, run)
    failed = store.index(folder).iloc[0]
    assert failed["status"] == "failed"
    assert failed["error"] == "task 12_3 ended without a result (slurmstepd: error: *** JOB 15 ON n1 CANCELLED AT 10:00 DUE TO TIME LIMIT ***)"  # fmt: skip


def test_status_has_queued_running_dead_and_pending_runs_and_what_is_not_taken_in(folder, says):
    runs = configs(9)
    bundles = [runs[0:1], runs[1:3], runs[3:6], runs[6:8], runs[8:9]]
    status.write_plan(folder, "hclm-a", bundles)
    for began in (1, 2, 4):
        status.begin(folder / store.CLUSTER, bundles[began])
    store.prepare(folder / store.CLUSTER)
    store.hand_in(folder, *described(bundles[4]))
    says("squeue", "hclm-a|0|PD\nhclm-a|1|R")
    counts = status.read(folder).counts
    assert {kind: number for kind, number in counts.items() if number} == {
        "queued": 1, "running": 2, "dead": 3, "pending": 2, "finished": 1}  # fmt: skip
    (Path(os.environ["PATH"]) / "squeue").unlink()
    assert status.read(folder).counts["running"] == 5, "another machine knows only what has begun"


def test_the_verbs_of_a_store_without_a_cluster(folder, says, capsys):
    runs = configs(2)
    store.prepare(folder / store.CLUSTER)
    store.hand_in(folder, *described(runs))
    assert store.index(folder).empty
    assert main(["collect", str(folder)]) == 0
    assert len(store.index(folder)) == 2
    assert main(["cancel", str(folder)]) == 0
    assert capsys.readouterr().out.endswith("0 arrays of tasks cancelled\n")
    for verb in ("wait", "cancel"):
        status.write_plan(folder, "hclm-a", [runs])
        assert main([verb, str(folder)]) == 2
        missing = "squeue" if verb == "wait" else "scancel"
        assert f"SLURM's commands: {missing} is not on the path" in capsys.readouterr().err
        assert "hclm-a" in status.read_plans(folder), "what could not be cancelled is still known"


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_what_is_handed_in_is_taken_in_also_by_a_command_that_was_killed_meanwhile(folder, moved):
    runs = configs(3)
    store.prepare(folder / store.CLUSTER)
    store.hand_in(folder, *described(runs))
    for part in PARTS[:moved]:
        (file,) = (folder / store.CLUSTER / part).glob("*.parquet")
        file.rename(folder / part / file.name)
    with store.locked(folder, print) as aside:
        assert aside == []
    assert set(store.index(folder)["run_id"]) == set(by_id(runs))
    assert len(store.load(folder)[0]) == 12
    assert not list((folder / store.CLUSTER).rglob("*.parquet"))


def test_plans_of_which_nothing_is_left_are_removed(folder, says):
    runs = configs(6)
    for name, bundle in (("hclm-done", runs[:2]), ("hclm-again", runs[2:4]), ("hclm-left", runs[3:6])):
        status.write_plan(folder, name, [bundle])
    write(folder, runs[:2])
    status.write_plan(folder, "hclm-new", [runs[2:5]])
    says("squeue", "hclm-new|0|R")
    slurm._clear(folder, {})
    assert sorted(status.read_plans(folder)) == ["hclm-left", "hclm-new"]


def test_no_secret_is_recorded():
    words = [
        "postgresql://me:pass@host/db",
        "cluster.setup=[export WANDB_API_KEY=x1y2,module load cuda]",
        "+my.password=hunter2",
        "lam=0.1",
    ]
    assert [redacted(word) for word in words] == [
        "postgresql://***@host/db",
        "cluster.setup=[export WANDB_API_KEY=***,module load cuda]",
        "+my.password=***",
        "lam=0.1",
    ]
    run = configure("epochs=3", "cluster.account=secret_project", "cluster.extra=['comment=hidden']")
    config = json.loads(described([run])[1]["config"].iloc[0])
    assert "cluster" not in config
    assert config["sweep"]["on"] == "local"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("cluster.minutes=0", "cluster.minutes=0: expected a whole number >= 1"),
        ("cluster.memory=-1", "cluster.memory=-1: expected a finite number > 0"),
        ("cluster.setup=module", "cluster.setup=module: expected "),
        ("sweep.on=pbs", "sweep.on=pbs: expected one of local, slurm, dask"),
        ("cluster=pbs", "cluster=pbs: expected one of dask, slurm"),
        ("partition=cpu", "did you mean cluster.partition?"),
    ],
)
def test_bad_options_of_a_cluster_are_refused(override, said):
    with pytest.raises(ConfigError) as refused:
        configure(override)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
