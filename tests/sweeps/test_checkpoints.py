"""Runs that were killed and go on: bit-equal to runs that were not, or from the start with a line that says so."""

import json
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sweeps import spawn, table

from hclm_runner import arrays, store
from hclm_runner.checkpoints import Checkpoint, Unfinished
from hclm_runner.config import configure
from hclm_runner.sweeps.plan import make_plan
from hclm_runner.training.trainer import train

TINY = ["task.train=24", "task.feedback=16", "task.test=16", "batch_size=8", "model.hidden=[6]", "epochs=5"]
NOTHING = pd.DataFrame({"run_id": [], "status": [], "parameters": []})
EVERYTHING = ["optimizer=adam", "regime=rl_thermostat", "regime.policy=reinforce", "feedback=delayed", "dropout=0.2",
              "schedule=cosine", "clip=2"]  # fmt: skip
"""What has a state of its own, or random numbers."""


class KilledError(Exception):
    """The end of a process, in this one."""


def runs_of(*overrides: str, seeds: int = 3) -> list:
    return [configure(*TINY, *overrides, f"seed={seed}") for seed in range(seeds)]


def killed(runs, folder: Path, *, every: int = 2, after: int) -> list[str]:
    """Train until the end of an epoch, with checkpoints; return what was said."""
    said: list[str] = []

    def die(epoch: int, _: object) -> None:
        if epoch == after:
            raise KilledError

    with pytest.raises(KilledError):
        train(runs, progress=die, checkpoint=Checkpoint(folder, every, "cpu", said.append))
    return said


def continued(runs, folder: Path, *, every: int = 2):
    """Train to the end; return the records, the epochs that were trained, and what was said."""
    said: list[str] = []
    epochs: list[int] = []
    checkpoint = Checkpoint(folder, every, "cpu", said.append)
    trained = train(runs, progress=lambda epoch, _: epochs.append(epoch), checkpoint=checkpoint)
    return trained, epochs, said


def begins(runs, folder: Path, *, device: str = "cpu") -> int:
    """Return the epoch with which runs go on."""
    return Checkpoint(folder, 0, device, str).restore(runs, [], ())[0]


def files(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("*"))


def assert_bit_equal(one, other):
    for name, values in one.columns.items():
        np.testing.assert_array_equal(values, other.columns[name], name)
    np.testing.assert_array_equal(one.theta, other.theta)
    np.testing.assert_array_equal(one.diverged, other.diverged)
    assert one.causes == other.causes


@pytest.mark.parametrize("overrides", [EVERYTHING, ["optimizer=plain", "surrogate=softmax", "dtype=float64"]])
def test_a_batch_that_was_killed_ends_bit_equal(tmp_path, overrides):
    runs = runs_of(*overrides)
    runs[1] = configure(*TINY, *overrides, "seed=1", "optimizer.lr=1e38")  # which diverges
    whole = train(runs)
    killed(runs, tmp_path, after=3)
    trained, epochs, said = continued(runs, tmp_path)
    assert epochs == [3, 4, 5], "the kill came before the third epoch was kept"
    assert re.fullmatch(r"3 of 3 runs go on after epoch 2: .*\.safetensors", *said)
    assert whole.diverged[1] in (1, 2), "before it was killed"
    assert_bit_equal(trained, whole)


def test_one_run_and_a_part_of_a_batch_go_on_bit_equal(tmp_path):
    runs = runs_of("regime=thermostat")
    killed(runs, tmp_path, after=3)
    for some in ([runs[2]], runs[::-2]):
        trained, epochs, said = continued(some, tmp_path, every=0)
        assert epochs == [3, 4, 5]
        assert said[0].startswith(f"{len(some)} of 3 runs go on after epoch 2")
        assert_bit_equal(trained, train(some))
    killed(runs[:1], tmp_path, every=4, after=5)
    assert begins(runs[:1], tmp_path) == 5, "from the later of two"
    assert begins(runs[:2], tmp_path) == 3


def test_a_file_that_is_cut_short_is_not_trusted(tmp_path):
    (run,) = runs = runs_of(seeds=1)
    killed(runs, tmp_path, after=3)
    (path,) = files(tmp_path)
    assert begins(runs, tmp_path) == 3
    content = path.read_bytes()
    for kept in (0, 5, 300, len(content) - 1):
        path.write_bytes(content[:kept])
        assert begins(runs, tmp_path) == 0
        said: list[str] = []
        Unfinished(tmp_path, {run.run_id: run}, lambda: NOTHING, "cpu", said.append)
        aside = tmp_path / "set_aside" / f"checkpoints-{path.name}"
        assert said == [f"checkpoint set aside, unreadable or of another version: {aside}"]
        assert files(tmp_path) == []


def test_a_checkpoint_of_another_version_device_or_run_is_not_used_and_a_line_says_so(tmp_path):
    runs = runs_of(seeds=2)
    asked = {run.run_id: run for run in runs}
    killed(runs, tmp_path, after=3)
    (path,) = files(tmp_path)

    def seen(asked, device="cpu") -> tuple[dict, str]:
        said: list[str] = []
        return Unfinished(tmp_path, asked, lambda: NOTHING, device, said.append).of, " ".join(said)

    assert seen(asked) == (dict.fromkeys(asked, path.name), "")
    assert begins(runs, tmp_path) == 3
    assert seen(asked, "cuda") == ({}, f"checkpoint not used, of runs that began on cpu: {path}")
    assert begins(runs, tmp_path, device="cuda") == 0
    assert seen({}) == ({}, f"checkpoint not used, of 2 other runs: {path}")
    assert begins(runs_of("sigma=0.5", seeds=1), tmp_path) == 0
    assert begins([run.model_copy(update={"force": True}) for run in runs], tmp_path) == 0

    content, text = arrays.read(path)
    saved = json.loads(text["saved"])
    saved["versions"]["torch"] = "1.0"
    arrays.write(path, content, {"saved": json.dumps(saved)})
    assert begins(runs, tmp_path) == 0
    assert seen(asked)[1].startswith("checkpoint set aside, unreadable or of another version")
    assert files(tmp_path) == []


def test_a_checkpoint_is_there_until_all_of_its_runs_are_done(tmp_path):
    runs = runs_of()
    ids, asked = [run.run_id for run in runs], {run.run_id: run for run in runs}
    killed(runs, tmp_path, after=3)
    Unfinished(tmp_path, asked, lambda: NOTHING, "cpu", pytest.fail).drop(ids[:2])
    known = pd.DataFrame({"run_id": ids, "status": ["finished", "failed", "diverged"], "parameters": False})
    unfinished = Unfinished(tmp_path, asked, lambda: known, "cpu", pytest.fail)
    assert len(files(tmp_path)) == 1, "one failed, and is tried again"
    forced = {run_id: run.model_copy(update={"force": True}) for run_id, run in asked.items()}
    known["status"] = "finished"
    Unfinished(tmp_path, forced, lambda: known, "cpu", pytest.fail)
    assert len(files(tmp_path)) == 1
    unfinished.drop(ids[1:2])
    assert files(tmp_path) == []
    killed(runs, tmp_path, after=3)
    Unfinished(tmp_path, {}, lambda: known, "cpu", pytest.fail)
    assert files(tmp_path) == []


def test_what_goes_on_from_one_epoch_makes_bundles_of_its_own():
    runs = runs_of(seeds=8)
    configs = {run.run_id: run for run in runs}
    begun = {run.run_id: "a" for run in runs[2:5]} | {run.run_id: "b" for run in runs[5:6]}
    bundles = make_plan(configs, NOTHING, runs[0], begun).bundles
    assert sorted(sorted(run.seed for run in bundle) for bundle in bundles) == [[0, 1, 6, 7], [2, 3, 4], [5]]


def test_a_disk_that_refuses_costs_a_line_and_not_the_runs(tmp_path):
    (tmp_path / "checkpoints").write_text("a file, where the folder should be")
    trained, epochs, said = continued(runs_of(seeds=1), tmp_path)
    assert [line.split(":")[0] for line in said] == ["no checkpoint after epoch 2", "no checkpoint after epoch 4"]
    assert (len(epochs), trained.columns["lam"].shape) == (6, (1, 6))


@pytest.mark.slow
@pytest.mark.parametrize("many", [False, True])
def test_a_process_that_is_killed_with_sigkill_and_started_again_ends_in_the_same_table(tmp_path, cli, many):
    several = ["-m", "lam=0,0.1", "seed=range(3)", "sweep.workers=2", "surrogate=logdet,softmax"] if many else []
    grid = [*several, *TINY[:-1], "epochs=60", "regime=rl_thermostat", "save_parameters=true"]
    driver = spawn(tmp_path, *grid, "checkpoint_every=2", "name=killed")
    folder = store.OUTPUTS / "killed"
    while driver.poll() is None and len(list((folder / "checkpoints").glob("[!.]*"))) < 1 + many:
        time.sleep(0.01)
    os.killpg(driver.pid, signal.SIGKILL)
    _, err = driver.communicate()
    assert driver.returncode == -signal.SIGKILL, err
    assert not (store.index(folder)["status"] == "finished").any()
    again = cli(*grid, "checkpoint_every=2", "name=killed")
    assert again.code == 0, again.err
    assert again.err.count("runs go on after epoch") == 1 + many, again.err
    assert files(folder) == []
    assert cli(*grid, "name=whole").code == 0
    pd.testing.assert_frame_equal(table(folder), table("outputs/whole"))
    for path in (folder / "parameters").iterdir():
        kept, other = (arrays.read(each)[0] for each in (path, store.OUTPUTS / "whole/parameters" / path.name))
        for name, array in kept.items():
            np.testing.assert_array_equal(array, other[name])
