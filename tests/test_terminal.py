"""The command at a terminal: what it does alone and under -m, its flags, its help, its exit codes, its pipes."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
import torch
import yaml

import hclm_runner
from hclm_runner import load
from hclm_runner.config import CONF, configure

SMALL = ("task.train=32", "task.feedback=32", "task.test=32", "batch_size=16", "epochs=2")
ONE_LINE = re.compile(r"error: [^\n]+\n")


def rows(out: str) -> dict[str, int]:
    """Return the rows of a sweep's summary."""
    return {name: int(number) for name, number in re.findall(r"│ ([a-z ]+?) +│ +(\d+) │", out)}


@pytest.mark.parametrize("how", [(), ("-m",)], ids=["alone", "-m"])
def test_a_dry_run_trains_nothing_and_says_what_would_run(cli, how):
    said = cli(*how, *SMALL, "sweep.dry_run=true")
    assert said.code == 0, said.err
    assert "outputs/default/: 1 run, 0 in the store" in said.out
    assert "1 run would train in 1 bundle" in said.out
    assert "finished" not in said.out
    assert not list(Path().rglob("*.parquet"))
    assert how or not list(Path().iterdir()), "alone it writes nothing at all"


def test_a_grid_is_not_run_in_part_by_mistake(cli):
    refused = cli("experiment=quick", "epochs=2")
    command = "python -m hclm_runner -m experiment=quick epochs=2"
    wanted = f"experiment=quick: expected -m, because it is a grid over surrogate, regime, lam, seed: {command}"
    assert (refused.code, refused.err) == (2, f"error: {wanted}\n")
    assert not list(Path().iterdir())
    chosen = cli("experiment=quick", "surrogate=softmax", "regime=fixed", "lam=3", "seed=1", "epochs=2")
    assert chosen.code == 0, chosen.err
    assert list(pd.read_parquet("outputs/quick/records")["lam0"].unique()) == [3]


def test_an_experiment_without_a_grid_is_one_run(cli):
    folder = Path("mine/experiment")
    folder.mkdir(parents=True)
    (folder / "short.yaml").write_text("# @package _global_\nepochs: 1\nbatch_size: 256\n")
    done = cli("--config-dir", "mine", "experiment=short")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    "nothing", ["seed=range(0)", "surrogate=glob(nosuch*)", "experiment=glob(nosuch*)", "seed=range(3,0)"]
)
def test_a_grid_of_no_runs_is_refused(cli, nothing):
    refused = cli("-m", nothing)
    assert (refused.code, refused.err) == (2, f"error: {nothing}: expected at least one value, got none\n")


def test_a_range_that_does_not_move_is_refused_by_its_key(cli):
    refused = cli("-m", "lam=range(0,5,0)")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert refused.err.startswith("error: lam=range(0,5,0): expected values to run, got ")


def test_the_values_of_a_grid_are_added_to_hydras_sweeper_and_to_nothing_else(cli):
    refused = cli("-m", "hydra.sweeper.params={lam:1}")
    wanted = "expected a key that Hydra has there, or +hydra.sweeper.params=... to add one"
    assert (refused.code, refused.err) == (2, f"error: hydra.sweeper.params: {wanted}\n")
    added = cli("-m", "+hydra.sweeper.params={lam:'1,2'}", *SMALL, "sweep.dry_run=true")
    assert added.code == 0, added.err
    assert "2 runs would train" in added.out


def test_a_grid_of_no_runs_in_an_experiment_is_refused(cli):
    folder = Path("mine/experiment")
    folder.mkdir(parents=True)
    (folder / "none.yaml").write_text("# @package _global_\nhydra:\n  sweeper:\n    params:\n      lam: range(0)\n")
    refused = cli("--config-dir", "mine", "-m", "experiment=none")
    assert (refused.code, refused.err) == (2, "error: lam=range(0): expected at least one value, got none\n")


def test_overrides_may_stand_on_both_sides_of_a_flag(cli):
    said = cli("lam=0.1", "-m", "seed=0,1", "--config-dir", ".", *SMALL, "sweep.dry_run=true")
    assert said.code == 0, said.err
    assert "2 runs would train" in said.out
    assert "kappa: 1.0" in cli("regime=thermostat", "--cfg", "job", "lam=2").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nosuch"], "--nosuch: expected key=value, or a flag such as -m, --cfg job, --help or --version"),
        (["--lam=1"], "--lam=1: expected key=value, or a flag .* \\(did you mean lam=1\\?\\)"),
        (["--cfg", "nosuch"], "--cfg: expected one of its choices, got: 'nosuch'"),
        (["lam=1", "--config-dir"], "--config-dir: expected one argument"),
        (["--config-dir", "nosuch"], "command line: expected what Hydra accepts, got: Additional config directory"),
        (["-m", "lam=interval(0,1)"], r"lam=interval\(0,1\): expected values to run, as in a,b or range\(3\)"),
        (["-m", "hydra.sweeper.max_batch_size=0"], "hydra.sweeper.max_batch_size=0: expected a whole number >= 1"),
        (["-m", "lam=0.1,λ"], "lam=0.1,λ: expected a number, a "),
        (["-m", "lr=0.1,1"], r"lr: expected a known key \(did you mean optimizer.lr\?\).*\(2 runs, the first: lr=0.1\)"),
        (["-m", "surrogate=softmax", "lam=x"], r"lam=x: expected a finite number >= 0 \(1 run, the first: "),
    ],
)  # fmt: skip
def test_a_command_line_that_cannot_be_run_gets_one_line(cli, words, message):
    refused = cli(*words)
    assert refused.code == 2
    assert ONE_LINE.fullmatch(refused.err), refused.err
    assert re.match(f"error: {message}", refused.err), refused.err
    assert refused.out == ""


def test_what_is_refused_is_a_row_of_the_summary(cli):
    swept = cli("-m", *SMALL, "lam=0.1,-1", "batch_size=16,512")
    assert swept.code == 2
    assert rows(swept.out) == {"finished": 1, "reused from the store": 0, "diverged": 0, "failed": 0, "refused": 3}
    assert "error: lam=-1: expected a finite number >= 0 (2 runs, the first: " in swept.err
    assert "error: batch_size=512: expected at most the 32 training samples (1 run, the first: logdet / " in swept.err
    assert "4/4 runs" in swept.err
    assert sorted(pd.read_parquet("outputs/default/runs")["status"]) == ["finished", "refused"]


@pytest.mark.parametrize(
    ("overrides", "code"),
    [
        ((), 0),
        (("surrogate=variance", "optimizer.lr=1e20"), 1),
        (("lam=-1",), 2),
        (("batch_size=512",), 2),
        (("nosuch=1",), 2),
        (("surrogate=nosuch",), 2),
    ],
    ids=["finished", "diverged", "refused by the schema", "refused by the data", "no such key", "no such option"],
)
def test_a_run_has_the_same_exit_code_alone_and_under_m(cli, overrides, code):
    alone, swept = (cli(*how, *SMALL, *overrides, "name=" + name) for how, name in (((), "alone"), (("-m",), "swept")))
    assert (alone.code, swept.code) == (code, code), alone.err + swept.err
    assert ("error: " in alone.err) == ("error: " in swept.err) == (code > 0)


def test_no_memory_for_the_model_is_called_that(cli, user_module):
    name = user_module("def net(i, o): raise MemoryError('of 4 exabytes')")
    refused = cli(f"model._target_={name}.net", "~model.hidden", "~model.representation", "~model.activation", *SMALL)
    wanted = f"model._target_={name}.net: expected a network that fits into the memory of this machine"
    assert (refused.code, refused.err) == (
        2,
        f"error: {wanted}, got MemoryError: of 4 exabytes ({name}.py, line 1, in net)\n",
    )


def test_no_memory_for_the_training_is_one_line_too():
    with pytest.raises(RuntimeError, match="can't allocate memory") as raised:
        torch.empty(2**59)
    outcome = runpy.run_module("hclm_runner.__main__", run_name="looked at")["_outcome"]
    code, line = outcome(raised.value.with_traceback(None), asked_for_traceback=False)  # of no user's code
    assert code == 1
    assert line.startswith("no memory for this run; fewer samples or a smaller network take less: RuntimeError: ")
    assert "\n" not in line


def test_a_run_that_may_not_fit_into_memory_is_said_beforehand(cli, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**10))
    assert re.search(r"^warning: the run may take .* GiB, and 0.0 GiB are free$", cli(*SMALL).err, re.MULTILINE)


def test_an_id_is_shown_with_its_settings(cli):
    config = configure([*SMALL, "lam=0.3", "seed=7"])
    named = f"{config.run_id} ({config.title})"
    assert cli(*SMALL, "lam=0.3", "seed=7").out.startswith(f"Run {named} finished in ")
    again = cli(*SMALL, "lam=0.3", "seed=7").out
    assert again.startswith(f"Already in the store as {named}, finished; nothing was trained. ")
    assert again.count(config.title) == 1, "once"


def test_the_version_is_ours(cli):
    assert cli("--version").out == f"hclm_runner {hclm_runner.__version__}\n"


def explained(path: Path) -> list[str]:
    """Return the lines of a file of conf/ that say what a key means."""
    return [line for line in path.read_text().partition("\nhydra:")[0].splitlines() if re.search(r": .* # ", line)]


def test_help_is_the_yaml_with_each_keys_meaning_unit_and_range(cli):
    shown = cli("--help")
    assert shown.code == 0
    assert (
        "surrogate: logdet, logdet_blockwise, logdet_lowrank, logdet_stochastic, softmax, variance, vib\n" in shown.out
    )
    assert set(explained(CONF / "config.yaml")) <= set(shown.out.splitlines())
    indented = {line.removeprefix("  ") for line in shown.out.splitlines()}
    for choice in yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]:
        for group, option in choice.items() if isinstance(choice, dict) else ():
            if (CONF / group / f"{option}.yaml").exists():
                assert f"{group}={option}" in shown.out.splitlines()
                assert set(explained(CONF / group / f"{option}.yaml")) <= indented


def test_help_shows_the_chosen_options_what_they_start_from_and_a_users_own(cli):
    folder = Path("mine/optimizer")
    folder.mkdir(parents=True)
    (folder / "slow.yaml").write_text("name: slow\n_target_: sgd\nlr: 0.001  # my step size\n")
    shown = cli("--config-dir", "mine", "regime=rl_thermostat", "optimizer=slow", "experiment=quick", "--help")
    lines = shown.out.splitlines()
    for section in ("regime=rl_thermostat", "regime=thermostat", "optimizer=slow", "experiment=quick"):
        assert section in lines
    assert "optimizer=sgd" not in lines
    for line in ("  lr: 0.001  # my step size", "        lam: 0,0.1,3"):
        assert line in lines
    assert "  eps: ${square:${sigma}} " in shown.out, "as it is written"


def with_nobody_reading(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard output and standard error nobody reads any more, and return how it ended."""
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        return subprocess.run([sys.executable, *arguments], cwd=folder, stdout=theirs, stderr=theirs, text=True)
    finally:
        os.close(theirs)


def test_help_may_be_cut_off_and_takes_no_torch(tmp_path):
    traced = "import runpy, sys; sys.argv = ['hclm_runner', '--help']\n" + (
        "try: runpy.run_module('hclm_runner', run_name='__main__')\n"
        "finally: open('imported', 'w').write(' '.join(sys.modules))"
    )
    assert with_nobody_reading(["-c", traced], tmp_path).returncode == 0
    assert "torch" not in (tmp_path / "imported").read_text().split()


def test_work_goes_on_when_nobody_reads_what_is_said(tmp_path):
    done = with_nobody_reading(["-m", "hclm_runner", "-m", *SMALL, "lam=0.1,-1", "name=a,b"], tmp_path)
    assert done.returncode == 2
    for name in "ab":
        assert list(pd.read_parquet(tmp_path / f"outputs/{name}/runs")["status"]) == ["finished"]


def test_a_run_is_shown_at_its_end_stopped_early_and_with_its_temperature(cli):
    shown = " ".join(cli(*SMALL, "epochs=4", "name=views").out.split())
    records, _ = load("views")
    trained = records[records["epoch"] > 0]
    stopped = trained.loc[trained["feedback_loss"].idxmin()]
    assert (
        f"test loss, stopped early │ {stopped['test_loss']:.4f} nats (after {stopped['epoch']:.0f} epochs, chosen"
        in shown
    )
    last = records.iloc[-1]
    assert f"{last['test_scaled_loss']:.4f} nats (T = {last['temperature']:.3g}, fitted on feedback)" in shown
