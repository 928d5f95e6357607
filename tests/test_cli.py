"""The command as a person meets it: what it writes and says, and how it refuses."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock

from hclm_runner import store
from hclm_runner.config import configure
from hclm_runner.records import COLUMNS
from hclm_runner.refusal import ConfigError
from hclm_runner.training.trainer import train

SMALL = ("task.train=32", "task.feedback=32", "task.test=32", "batch_size=16", "epochs=3")
FIRST = ("surrogate=logdet", "regime=thermostat", "regime.warmup=1", "name=first", *SMALL)


def test_one_run_writes_its_records_its_description_and_its_picture(once, monkeypatch):
    folder, done = once(*FIRST)
    monkeypatch.chdir(folder)
    assert done.code == 0, done.err
    assert done.err == "", "no progress line: this is no terminal"
    assert "\x1b" not in done.out
    assert "epoch" not in done.out.replace("epochs", "")
    records = pd.read_parquet("outputs/first/records")
    assert list(records["epoch"]) == [0, 1, 2, 3]
    assert {"run_id", "label", "surrogate", "regime", "task", "lam0", "data_seed", "seed", "epoch"} == (
        set(records.columns) - set(COLUMNS)
    )
    runs = pd.read_parquet("outputs/first/runs")
    described = runs.iloc[0]
    assert described["status"] == "finished"
    assert json.loads(described["config"])["surrogate"]["eps"] == 1.0
    assert {"python", "torch", "hydra-core"} <= json.loads(described["versions"]).keys()
    assert described["wall_time"] > 0
    assert not described["compiled"]
    for kind in ("png", "svg"):
        assert Path(f"outputs/first/figures/{described['run_id']}.{kind}").stat().st_size > 1000
    for quantity in (
        "test loss",
        "gap",
        "entropy S",
        "set point",
        "force",
        "Definition 1",
        "reward",
        "outputs/first/records",
    ):
        assert quantity in done.out
    assert not list(Path("outputs").rglob(".*.*")), "no temporary file stays"
    assert sorted(path.name for path in Path().iterdir()) == ["outputs"]


def test_the_same_run_again_trains_nothing_and_force_trains_it(cli, once):
    shutil.copytree(once(*FIRST)[0] / "outputs", "outputs")
    (record,) = Path("outputs/first/records").iterdir()
    before = record.stat().st_mtime_ns
    again = cli(*FIRST)
    assert again.code == 0
    assert "Already in the store" in again.out
    assert str(record) in again.out
    assert record.stat().st_mtime_ns == before
    forced = cli(*FIRST, "force=true")
    assert "Already" not in forced.out
    assert record.stat().st_mtime_ns > before
    assert len(list(Path("outputs/first/records").iterdir())) == 1


@pytest.mark.slow
def test_of_two_equal_commands_at_once_one_trains(tmp_path):
    """Both have looked in the store, and wait for its lock, before either may train."""
    command = [sys.executable, "-m", "hclm_runner", *SMALL]
    store.prepare(tmp_path / "outputs/default")
    with FileLock(tmp_path / "outputs/default/.lock"):
        both = [
            subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for each in both:
            assert each.stderr is not None
            assert each.stderr.readline().startswith("waiting for another command")
    ended = [each.communicate(timeout=60) for each in both]
    assert [each.returncode for each in both] == [0, 0], ended
    assert sorted("Already in the store" in out for out, _ in ended) == [False, True]


def test_a_diverging_run_is_recorded_and_named(cli):
    done = cli("optimizer.lr=1e20", "surrogate=variance", *SMALL)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert re.fullmatch(r"error: the run diverged: .* at epoch 1.*; a smaller optimizer.lr may help\n", done.err)
    described = pd.read_parquet("outputs/default/runs").iloc[0]
    assert described["status"] == "diverged"
    records = pd.read_parquet("outputs/default/records")
    assert len(records) == described["diverged_epoch"]
    assert records["train_loss"].notna().all()
    assert cli("optimizer.lr=1e20", "surrogate=variance", *SMALL).code == 1


@pytest.mark.parametrize("task", ["digits", "breast_cancer", "wine"])
def test_real_data(cli, task):
    small = [f"task={task}", "epochs=2"]
    assert cli(*small, "regime=rl_thermostat").code == 0
    adaptive, fixed = pd.read_parquet("outputs/default/records"), train([configure(*small, "regime=fixed")]).frame()
    for records, regime in ((adaptive, "rl_thermostat"), (fixed, "fixed")):
        assert list(records["epoch"]) == [0, 1, 2]
        assert (records["task"] == task).all()
        assert (records["regime"] == regime).all()


BAD = {
    "surrogate=entropy": "surrogate=entropy: expected one of logdet, logdet_blockwise, logdet_lowrank, logdet_stochastic, softmax, variance, vib",
    "regime=thermostate": "(did you mean thermostat?)",
    "lamb=0.1": "lamb: expected a known key (did you mean lam?); keys: lam, ",
    "surrogate.esp=2": "surrogate.esp: expected a known key (did you mean eps?)",
    "+surrogate.k=2": "surrogate.k=2: expected a known key; keys: eps",
    "lam=-1": "lam=-1: expected a finite number >= 0",
    "lam=nan": "lam=nan: expected a finite number >= 0",
    "lam=inf": "lam=inf: expected a finite number >= 0",
    "lam=large": "lam=large: expected a finite number >= 0",
    "lam=true": "lam=true: expected a finite number >= 0",
    "lam=": "lam=: expected a finite number >= 0",
    "epochs=0": "epochs=0: expected a whole number >= 1",
    "epochs=1.5": "epochs=1.5: expected a whole number >= 1",
    "seed=-1": "seed=-1: expected a whole number >= 0",
    "batch_size=512": "batch_size=512: expected at most the 256 training samples",
    "sigma=0": "sigma=0: expected greater than 0",
    "sigma=-1": "sigma=-1: expected a finite number >= 0",
    "optimizer.momentum=1": "optimizer.momentum=1: expected a finite number >= 0 and < 1",
    "feedback.flip=2": "feedback.flip=2: expected a finite number >= 0 and <= 1",
    "model.hidden=[0]": "model.hidden.0=0: expected a whole number >= 1",
    "task.classes=1": "task.classes=1: expected a whole number >= 2",
    "task.nuisance=-5": "task.nuisance=-5: expected a whole number >= 0",
    "sigma=1e-30": "sigma=1e-30: expected greater than 0 (and sigma^2 within its dtype)",
    "surrogate.name=[1]": "surrogate.name=[1]: expected a name of letters",
    "surrogate._target_=torch.sum": "surrogate._target_=torch.sum: expected a Python function or class",
    "device=tpu": "device=tpu: expected one of auto, cpu, cuda",
    "dtype=float16": "dtype=float16: expected one of float32, float64",
    "name=../elsewhere": "name=../elsewhere: expected a name of letters, digits and _ . -, which starts with",
    "surrogate=no.such_part": "surrogate=no.such_part: expected a dotted path that imports, got ModuleNotFoundError",
    "surrogate._target_=null": "surrogate._target_: expected the dotted path of a surrogate",
    "surrogate._target_=no.such.thing": "surrogate._target_=no.such.thing: expected a dotted path that imports",
    "surrogate._target_=math.pi": "surrogate._target_=math.pi: expected a function",
    "surrogate=": "surrogate=: expected one of logdet, logdet_blockwise, logdet_lowrank, logdet_stochastic, softmax, variance, vib",
    "lam={": "lam={: expected a number, a [list], a {mapping: of values} or plain text; any other text takes two",
}


REFUSED_IN_EACH_PLACE = {
    "a choice": "surrogate=entropy",
    "a choice that is nearly one": "regime=thermostate",
    "a key": "lamb=0.1",
    "an option": "surrogate.esp=2",
    "Hydra's grammar": "lam={",
    "the schema": "lam=-1",
    "the name of the store": "name=../elsewhere",
    "the data, after the schema": "batch_size=512",
}
"""One of `BAD` for each place of the program that refuses; which of a place's reasons it is, Python says as well."""


@pytest.mark.parametrize("override", REFUSED_IN_EACH_PLACE.values(), ids=REFUSED_IN_EACH_PLACE.keys())
def test_bad_input_gets_one_line_and_exit_code_2(cli, override):
    refused = cli(override)
    assert refused.code == 2
    assert refused.err.count("\n") == 1, refused.err
    assert refused.err.startswith("error: ")
    assert BAD[override] in refused.err
    assert refused.out == ""
    assert not Path("outputs/default/records").exists() or not list(Path("outputs/default/records").iterdir())


@pytest.mark.parametrize("override", sorted(BAD.keys() - REFUSED_IN_EACH_PLACE.values()))
def test_bad_input_is_refused_in_one_line_that_names_it(override):
    with pytest.raises(ConfigError) as refused:
        configure(override)
    assert BAD[override] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_critical_class_that_the_task_does_not_have(cli):
    refused = cli("rho=1", "risk.critical_class=9", *SMALL)
    assert refused.code == 2
    assert "critical_class=9 of 4 classes" in refused.err


def test_a_set_point_that_cannot_start_where_it_is(cli):
    refused = cli("regime=rl_thermostat", "regime.m_min=0.5")
    assert "regime.m_min=0.5: expected m_min <= 0 <= m_max=1.0" in refused.err


def test_bounds_that_contradict_each_other(cli):
    refused = cli("regime=thermostat", "regime.lam_min=20")
    assert (refused.code, refused.err) == (2, "error: regime.lam_min=20.0: expected less than regime.lam_max=10.0\n")


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has a CUDA device")
def test_cuda_without_a_device(cli):
    refused = cli("device=cuda")
    assert refused.code == 2
    assert "device=cuda: expected a machine with a CUDA device" in refused.err


def test_outputs_that_cannot_be_written(cli):
    Path("outputs").write_text("a file where the folder should be")
    refused = cli(*SMALL)
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert "name=default: expected a store that can be written at outputs/default/" in refused.err


def test_help_and_configuration_train_nothing(cli):
    shown = cli("--help")
    assert shown.code == 0
    assert "surrogate: logdet, logdet_blockwise, logdet_lowrank, logdet_stochastic, softmax, variance, vib" in shown.out
    job = cli("regime=thermostat", "--cfg", "job")
    assert job.code == 0
    assert "kappa: 1.0" in job.out
    assert not Path("outputs").exists()


def test_bash_completes_the_command(tmp_path):
    line = "hclm-runner surrogate=va"
    script = f"""
        eval "$(hclm-runner -sc install=bash)"
        COMP_WORDS=({line}) COMP_CWORD=1 COMP_LINE="{line}" COMP_POINT={len(line)}
        hydra_bash_completion
        echo "${{COMPREPLY[@]}}"
    """
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(["bash", "-c", script], env={"PATH": path}, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["surrogate=variance"], done.stderr


def test_a_terminal_shows_a_progress_line(cli, monkeypatch):
    screen, keyboard = os.openpty()
    shown: list[bytes] = []

    def watch() -> None:
        with suppress(OSError):  # which ends it, once nobody has the other side open
            while piece := os.read(screen, 2**16):
                shown.append(piece)

    eye = threading.Thread(target=watch, daemon=True)
    eye.start()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(keyboard, "w") as terminal, redirect_stdout(terminal), redirect_stderr(terminal):
        done = cli(*SMALL)
    eye.join()
    os.close(screen)
    assert (done.code, done.out, done.err) == (0, "", "")
    text = b"".join(shown).decode()
    assert re.search(r"epoch +3/3.*loss [0-9.]+ +entropy [0-9.]+ +lam 0.1.*finished in", text, re.DOTALL)


@pytest.mark.parametrize(
    ("source", "overrides", "message"),
    [
        ("def S(Z): return Z.mean(0)", ("surrogate={}.S",), "a scalar, got shape [16]"),
        ("def S(Z): return 1.0", ("surrogate={}.S",), "float, not a tensor of floats"),
        ("def S(Z): return Z.no_such()", ("surrogate={}.S",), "got AttributeError: "),
        ("def S(): pass", ("surrogate={}.S",), "a function of (Z) and options"),
        (
            "def S(Z, *, k: int): return Z.sum()",
            ("surrogate={}.S",),
            "surrogate.k: expected a whole",
        ),
        ("1 +", ("surrogate={}.S",), "a dotted path that imports, got SyntaxError"),
        (
            "from torch import nn\ndef net(i, o): return nn.Linear(i, o)",
            ("model={}.net",),
            "parameters in encoder and head only, each once, all trained, got parameters ['weight', 'bias']",
        ),
        (
            "from torch import nn\ndef net(i, o): return nn.ModuleDict(dict(encoder=nn.Linear(i, 3), head=nn.Linear(3, 7)))",
            ("model={}.net",),
            "of head(Z), got shape [64, 7]",
        ),
        (
            "import numpy as np\nfrom hclm_runner import Task\ndef task(rng):\n x = np.full((99, 3), np.nan); y = np.arange(99) % 2\n"
            " return Task((x, y), (x, y), (x, y), classes=2)",
            ("task={}.task",),
            "expected finite numbers, got 297 NaN or infinite entries in the train split",
        ),
        (
            "import numpy as np\nfrom hclm_runner import Task\ndef task(rng):\n x = np.ones((99, 3)); y = np.zeros(99, int)\n"
            " return Task((x, y), (x, y), (x, y), classes=2)",
            ("task={}.task",),
            "expected at least two classes in the training split, got one",
        ),
        ("def task(rng): return 3", ("task={}.task",), "a hclm_runner.Task, got int"),
    ],
)
def test_a_users_part_that_does_not_fit_is_refused_by_name(cli, user_module, source, overrides, message):
    name = user_module(source)
    refused = cli(*(override.format(name) for override in overrides))
    assert refused.code == 2
    assert refused.err.count("\n") == 1, refused.err
    assert name in refused.err or "surrogate.k" in refused.err
    assert message in refused.err


REGRESSION = """
import numpy as np
from hclm_runner import Task

def line(rng, *, slope: float):
    x = rng.standard_normal((96, 3))
    y = slope * x[:, :1] + 0.1 * rng.standard_normal((96, 1))
    return Task((x[:64], y[:64]), (x[64:80], y[64:80]), (x[80:], y[80:]), classes=None)
"""


def test_a_regression_task_is_held_at_a_set_point_given_in_nats(cli, user_module):
    task = (f"task={user_module(REGRESSION)}.line", "task.slope=2.0", "epochs=4")
    refused = cli(*task, "regime=thermostat")
    assert "regime.setpoint=null: expected the entropy to hold, in nats" in refused.err
    assert (
        "regime=rl_thermostat: expected a law without feedback"
        in cli(*task, "regime=rl_thermostat", "regime.setpoint=1.0").err
    )
    done = cli(*task, "regime=thermostat", "regime.setpoint=1.5")
    assert done.code == 0, done.err
    assert "undefined without classes" in done.out
    records = pd.read_parquet("outputs/default/records")
    assert (records["setpoint"] == 1.5).all()
    assert records["reward"].isna().all()
    assert records["test_loss"].notna().all()
    assert (records["task"] == "line(slope=2)").all()


def test_editing_a_users_part_makes_a_new_run(cli, user_module, tmp_path):
    name = user_module("def S(Z, *, k: float = 2.0): return k * Z.square().mean()")
    command = (f"surrogate={name}.S", *SMALL)
    first = cli(*command)
    assert first.code == 0
    assert "Already" in cli(*command).out
    (tmp_path / f"{name}.py").write_text("def S(Z, *, k: float = 2.0): return k * Z.abs().mean()")
    del sys.modules[name]
    edited = cli("-m", *command)
    assert (edited.code, "1 run to train" in edited.err) == (0, True), edited.err
    assert edited.err.count("set aside") == 2, "the records and the description of the run as it was"
    runs = store.load("default")[1]
    assert len(runs) == 1
    assert runs["run_id"][0] not in first.out
    assert set(pd.read_parquet("outputs/default/records")["surrogate"]) == {"S"}
