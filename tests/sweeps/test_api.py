"""`sweep` in Python is the command line's multirun: the same store, the same resuming, in a plain script too."""

import re
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
from sweeps import GRID, SMALL, table

from hclm_runner import ConfigError, configure, load, sweep

SCRIPT = f"""
from hclm_runner import configure, sweep

print("the script runs")
small = {SMALL}
runs = [configure(*small, lam=lam, seed=seed) for lam in (0.1, 0) for seed in (1, 0)]
runs += [configure(*small, surrogate="parts.norm")]
for _ in range(2):
    records, described = sweep(runs, name="mixed")
assert list(described["run_id"]) == [run.run_id for run in runs]
assert list(records["run_id"].unique()) == [run.run_id for run in runs]
assert list(records["epoch"]) == [0, 1, 2, 3] * 5
"""


@pytest.mark.slow
def test_a_plain_script_needs_no_guard_and_a_second_sweep_trains_nothing(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "parts.py").write_text("def norm(Z):\n    return Z.square().mean()\n")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the script runs") == 1, "no process that trains runs it again"
    assert re.findall(r"finished\W+(\d+)", done.stdout) == ["5", "0"]
    assert re.findall(r"reused from the store\W+(\d+)", done.stdout) == ["0", "5"]
    assert len(load(tmp_path / "outputs/mixed")[1]) == 5


def test_the_store_of_the_command_line_is_complete_for_python(trained):
    seeds, lams = (1, 0), (0, 0.1)
    runs = [
        configure(*SMALL, surrogate=surrogate, regime=regime, lam=lam, seed=seed)
        for surrogate in ("logdet", "softmax")
        for regime in ("fixed", "thermostat")
        for lam in lams
        for seed in seeds
    ]
    assert len(runs) == 16, GRID
    before = table()
    records, described = sweep(iter(runs[:5]))
    assert list(described["run_id"]) == [run.run_id for run in runs[:5]], "of these runs alone, in their order"
    pd.testing.assert_frame_equal(table(), before)
    chosen = before[before["run_id"].isin(described["run_id"])]
    pd.testing.assert_frame_equal(records.sort_values(["run_id", "epoch"], ignore_index=True), chosen.reset_index(drop=True))  # fmt: skip
    one, _ = sweep(runs[3])
    assert set(one["run_id"]) == {runs[3].run_id}


def test_a_dry_run_says_what_would_train_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    records, described = sweep([configure(*SMALL, "sweep.dry_run=true", seed=seed) for seed in (0, 1)], name="later")
    assert "2 runs would train" in capsys.readouterr().out
    assert len(records) == len(described) == 0
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("configs", "name", "said"),
    [
        (list, None, "configs: expected configurations"),
        (lambda: ["lam=0.3"], None, "configs: expected configurations"),
        (lambda: [configure(name="a"), configure(name="b")], None, "name=a, b: expected one store for all"),
        (lambda: [configure()], "a/b", "name=a/b: expected a name"),
        (
            lambda: [configure("surrogate=__main__.main")],
            None,
            "surrogate._target_=__main__.main: expected a part in a module of its own",
        ),
    ],
)
def test_what_cannot_train_is_refused_before_anything_is_written(configs, name, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.modules["__main__"], "main", lambda Z: Z.sum(), raising=False)
    with pytest.raises(ConfigError, match=said):
        sweep(configs(), name=name)
    assert not (tmp_path / "outputs").exists()


def test_ctrl_c_writes_what_is_finished_and_is_then_raised(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    finished = tmp_path / "outputs/default/runs"

    def press() -> None:
        while not list(finished.glob("*.parquet")):
            time.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        sweep([configure(*SMALL, "sweep.workers=2", epochs=epochs) for epochs in (3, 400_000)])
    assert "stopping: writing what is finished" in capsys.readouterr().err
    assert len(load("default")[1]) == 1


def test_a_sweep_on_slurm_returns_what_is_there_and_writes_no_secret(tmp_path, monkeypatch, capsys):
    pytest.importorskip("submitit")
    monkeypatch.chdir(tmp_path)
    commands = {
        "squeue": "echo 'another|N/A|R'",
        "scontrol": "echo 'MaxArraySize = 5'",
        "sbatch": "cp outputs/later/cluster/slurm/*.pkl . && echo 'Submitted batch job 7'",
        "srun": "",
    }
    for name, text in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(sys, "orig_argv", ["python", "cluster.setup=[export API_KEY=x1y2]"])
    runs = [configure(*SMALL, "sweep.on=slurm", "cluster.setup=['export API_KEY=x1y2']", seed=seed) for seed in (0, 1)]
    records, described = sweep(runs, name="later")
    assert len(records) == len(described) == 0
    assert "2 runs submitted in 1 task" in (said := capsys.readouterr().err)
    assert said.endswith("to wait for them: python -m hclm_runner.sweeps wait later\n")
    assert not list(tmp_path.rglob("*.sh")), "the script, which has the lines of setup"
    assert list(tmp_path.glob("*.pkl")), "what a task reads"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if b"x1y2" in path.read_bytes()] == []
