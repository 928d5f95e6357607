"""A sweeper that searches gets the objective of each of its jobs from our launcher, which trains a round as one batch."""

import itertools
import math
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import MissingConfigException
from hydra.plugins.sweeper import Sweeper
from sweeps import SMALL, spawn

from hclm_runner import final, load, store
from hclm_runner.config import explain

OPTUNA = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=12", "hydra.sweeper.n_jobs=4"]
LAW = """
class Law:
    uses_feedback = False
    def init(self, lam0, reference):
        return {"lam": lam0, "setpoint": lam0, "feedback": lam0}
    def update(self, state, seen):
        if seen.epoch == 2: raise RuntimeError("not today")
        return state
"""
LAM = "lam=tag(log, interval(0.001, 10.0))"


class Ask(Sweeper):
    """Launches the grid of its arguments as one batch, and keeps what came back; a failure is one too many."""

    returned: ClassVar[Sequence[JobReturn]] = []

    def setup(self, **given):
        self.launcher = Plugins.instance().instantiate_launcher(**given)

    def sweep(self, arguments):
        values = [
            [f"{key}={value}" for value in given.split(",")] for key, given in (each.split("=") for each in arguments)
        ]
        type(self).returned = self.launcher.launch([*itertools.product(*values)], 0)
        for job in self.returned:
            _ = job.return_value  # which raises what the job raised


@dataclass
class AskConf:
    _target_: str = "hydra_plugins.ask.Ask"  # no other package may have plugins


@pytest.fixture
def ask(cli, monkeypatch):
    """Run a multirun by `Ask`, and return the outcome and the jobs that it got back."""
    ConfigStore.instance().store(group="hydra/sweeper", name="ask", node=AskConf)
    monkeypatch.setitem(sys.modules, "hydra_plugins.ask", sys.modules[__name__])
    monkeypatch.setitem(Plugins.instance().class_name_to_class, AskConf._target_, Ask)

    def run(*arguments):
        Ask.returned = []
        keys = {argument.partition("=")[0] for argument in arguments}
        small = [each for each in SMALL if each.partition("=")[0] not in keys]
        done = cli("-m", "hydra/sweeper=ask", *arguments, *small)
        return done, Ask.returned

    return run


def losses(name: str = "default") -> dict[float, float]:
    """Return lam0 -> final feedback loss of the finished runs of a store."""
    records, _ = load(name)
    return {lam: final(one)["feedback_loss"] for lam, one in records.groupby("lam0")}


def test_each_job_returns_its_own_objective_trained_or_stored_and_infinity_if_it_diverged(ask):
    done, jobs = ask("objective=feedback_loss", "lam=0,0.1,3")
    assert done.code == 0, done.err
    assert len(list(Path("outputs/default/runs").iterdir())) == 1, "one batch"
    assert [job.return_value for job in jobs] == list(losses().values())
    assert len({job.return_value for job in jobs}) == 3
    done, again = ask("objective=feedback_loss", "lam=3,0.1", "optimizer.lr=0.05,1e30")
    assert done.code == 0, done.err
    found = {tuple(job.overrides[1:3]): job.return_value for job in again}
    assert found["lam=3", "optimizer.lr=0.05"] == jobs[2].return_value
    assert found["lam=0.1", "optimizer.lr=0.05"] == jobs[1].return_value
    assert found["lam=3", "optimizer.lr=1e30"] == found["lam=0.1", "optimizer.lr=1e30"] == math.inf


@pytest.mark.parametrize(
    ("launcher", "code", "says"), [("fused", 1, "has no result"), ("basic", 2, "batch_size=9999: expected at most")]
)
def test_a_job_without_a_result_fails_for_the_sweeper_to_judge(launcher, code, says, ask):
    done, jobs = ask(f"hydra/launcher={launcher}", "objective=feedback_loss", "batch_size=16,9999")
    assert done.code == code
    assert says in done.err.splitlines()[-1]
    assert jobs[0].return_value in losses().values()
    with pytest.raises(Exception, match=says):
        _ = jobs[1].return_value
    assert "batch_size=9999: expected at most the 32 training samples" in done.err


def test_an_error_in_a_users_law_is_one_line_whoever_launches(ask, user_module):
    name = user_module(LAW)
    place = f"RuntimeError: not today ({name}.py, line 7, in update)"
    for launcher, line in (("fused", "has no result"), ("basic", place)):
        done, _ = ask(f"hydra/launcher={launcher}", "objective=feedback_loss", f"regime={name}.Law")
        assert done.code == 1
        assert line in done.err.splitlines()[-1]
        assert place in done.err


def test_the_basic_launcher_returns_the_same(ask):
    _, jobs = ask("objective=feedback_loss", "hydra/launcher=basic", "lam=0,3")
    assert [job.return_value for job in jobs] == list(losses().values())


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ([], "objective=null: expected feedback_loss, which a search such as hydra/sweeper=optuna minimises"),
        (["objective=test_loss"], "objective=test_loss: expected feedback_loss or null"),
        (
            ["objective=feedback_loss", "sweep.dry_run=true"],
            "sweep.dry_run=true: expected false: a search chooses its runs by the results of earlier ones",
        ),
    ],
)
@pytest.mark.parametrize("launcher", ["fused", "basic"])
def test_a_search_for_nothing_is_refused_before_it_trains(launcher, given, line, ask):
    done, _ = ask(f"hydra/launcher={launcher}", "lam=0,1", *given)
    assert done.code == 2
    assert done.err.splitlines()[-1] == f"error: {line}"
    assert not store.OUTPUTS.joinpath("default/runs").exists()


def test_a_job_that_is_refused_ends_the_search(ask):
    done, jobs = ask("objective=feedback_loss", "lam=0,-1")
    assert done.code == 2
    assert jobs == []
    assert done.err.count("error: ") == 1
    assert "error: lam=-1: expected a finite number >= 0 (1 run, the first: objective=feedback_loss lam=-1 " in done.err


def test_elsewhere_an_objective_changes_nothing(cli):
    done = cli("-m", "objective=feedback_loss", "lam=0,1", *SMALL)
    assert done.code == 0, done.err
    done = cli("-m", "objective=feedback_loss", "optimizer.lr=1e30,2e30", *SMALL)
    assert done.code == 1
    assert cli("objective=feedback_loss", *SMALL).code == 0


def test_optuna_finds_lam_by_the_feedback_loss_a_batch_a_round_and_finds_it_again_in_the_store(cli):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="the extra optuna is not installed")
    search = [*OPTUNA, "hydra.sweeper.sampler.seed=0", "objective=feedback_loss", "epochs=20", LAM]
    done = cli(*search)
    assert done.code == 0, done.err
    _, runs = load("default")
    assert len(runs) == 12
    assert len(list(Path("outputs/default/runs").iterdir())) == 3, "12 trials, 4 a round, a batch each"
    best = yaml.safe_load(Path("outputs/default/optimization_results.yaml").read_text())
    found = losses()
    assert best["best_params"]["lam"] == min(found, key=found.get)
    assert best["best_value"] == min(found.values())
    assert 0.003 < best["best_params"]["lam"] < 3, "neither no regularisation nor no learning"
    again = cli(*search)
    assert again.code == 0, again.err
    assert "to train" not in again.err
    assert re.search(r"Best value: [\d.]+", again.out)


@pytest.mark.slow
def test_ctrl_c_ends_the_search_not_the_round_alone(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="the extra optuna is not installed")
    (tmp_path / "mine.py").write_text("import pathlib\ndef note(row):\n    pathlib.Path('trains').touch()\n")
    driver = spawn(tmp_path, *OPTUNA, "objective=feedback_loss", LAM, "epochs=100000", "callbacks=[mine.note]")
    while driver.poll() is None and not (tmp_path / "trains").exists():
        time.sleep(0.1)
    os.killpg(driver.pid, signal.SIGINT)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 130, err
    assert err.count("runs to train") == 1, "the first round's"
    assert "Traceback" not in err


def test_where_optuna_is_not_installed_the_line_says_how_to_get_it():
    theirs = "In 'config': Could not find 'hydra/sweeper/optuna'"  # Hydra's, of an option that is not there
    refused = explain(MissingConfigException(theirs, "hydra/sweeper/optuna", ["basic", "fused"]), [])
    wanted = "one of basic, fused; optuna comes with pip install 'hclm-runner[optuna]'"
    assert str(refused) == f"hydra/sweeper=optuna: expected {wanted}"
