"""A part of a user's own: chosen as ours are, alone and in a grid, and its errors shown where they happened."""

import re
import runpy
import sys
import traceback
from pathlib import Path

import pandas as pd
import pytest

from experiments.__main__ import main as experiments
from experiments.grid import load, only
from hclm_runner import store
from hclm_runner.config import configure
from hclm_runner.refusal import INSTEAD, ConfigError
from hclm_runner.training.trainer import train

SMALL = ("task.train=32", "task.feedback=32", "task.test=32", "batch_size=16", "epochs=2")

PARTS = """
from dataclasses import dataclass
from typing import ClassVar
import torch
from torch import nn
from hclm_runner import Task
from hclm_runner.ranges import Count, Positive

def S(Z, *, width: Positive = 2.0):
    return (Z / width).square().mean()

def needy(Z, *, width: Positive):
    return (Z / width).square().mean()

@dataclass(frozen=True)
class Law:
    uses_feedback: ClassVar[bool] = False
    keep: float = 0.5
    def init(self, lam0, reference):
        nothing = torch.full_like(lam0, torch.nan)
        return {"lam": lam0, "setpoint": nothing, "feedback": nothing}
    def update(self, state, seen):
        return state | {"lam": state["lam"] * self.keep}

def task(rng, *, n: Count = 64):
    def split():
        x = rng.standard_normal((n, 2))
        return x, (x[:, 0] > 0).astype(int)
    return Task(split(), split(), split(), classes=2)

def net(i, o, *, d: Count = 4):
    return nn.ModuleDict({"encoder": nn.Linear(i, d), "head": nn.Linear(d, o)})

@dataclass(frozen=True)
class Rule:
    lr: Positive = 0.1
    def init(self, theta):
        return {}
    def update(self, theta, g, memory):
        return theta - self.lr * g.sign(), memory

@dataclass(frozen=True)
class Judge:
    w: float = 1.0
    def report(self, utilities, critiques, epoch, draws):
        return utilities[epoch], critiques[epoch]

def omega(parameters, *, power: Positive = 2.0):
    return sum(p.abs().pow(power).sum() for p in parameters.values())

def risk(logits, y, *, k: Positive = 1.0):
    return k * logits.square().mean()
"""

EACH = {
    "surrogate": ("S", "width", 3.0),
    "regime": ("Law", "keep", 0.9),
    "task": ("task", "n", 128),
    "model": ("net", "d", 5),
    "optimizer": ("Rule", "lr", 0.2),
    "feedback": ("Judge", "w", 0.5),
    "structure": ("omega", "power", 1.5),
    "risk": ("risk", "k", 2.0),
}


def test_a_dotted_path_is_an_option_of_every_group_and_its_options_are_overridden_as_ours_are(user_module):
    name = user_module(PARTS)
    chosen = configure([f"{group}={name}.{part}" for group, (part, *_) in EACH.items()])
    changed = configure(
        [f"{group}={name}.{part}" for group, (part, *_) in EACH.items()]
        + [f"{group}.{option}={value}" for group, (_, option, value) in EACH.items()]
    )
    for group, (part, option, value) in EACH.items():
        assert getattr(chosen, group).target == f"{name}.{part}"
        assert list(getattr(chosen, group).options) == [option]
        assert getattr(chosen, group).options[option] != value
        assert getattr(changed, group).options == {option: value}
    records = train([chosen.model_copy(update={"omega": 0.01, "rho": 0.01, "epochs": 1})])
    assert records.frame()["train_loss"].notna().all()


def test_a_colon_names_the_same_part(user_module):
    name = user_module(PARTS)
    assert configure([f"surrogate={name}:S"]).run_id == configure([f"surrogate={name}.S"]).run_id


def test_in_a_grid_beside_ours(cli, user_module):
    name = user_module(PARTS)
    done = cli("-m", f"surrogate=logdet,{name}.S", "lam=0,0.1", "sweep.verify=4", *SMALL)
    assert done.code == 0, done.err
    runs = store.load("default")[1]
    assert (runs["status"] == "finished").all()
    assert runs.groupby("surrogate")["lam0"].apply(sorted).to_dict() == {"S": [0, 0.1], "logdet": [0, 0.1]}


def test_options_files_of_a_folder_of_ones_own_alone_in_a_grid_and_in_an_experiment(cli, user_module):
    name = user_module(PARTS)
    for folder in ("surrogate", "experiment"):
        Path("myconf", folder).mkdir(parents=True)
    for label, width in (("narrow", 0.5), ("wide", 5.0)):
        Path(f"myconf/surrogate/{label}.yaml").write_text(f"name: {label}\n_target_: {name}.S\nwidth: {width}\n")
    grid = "hydra: {sweeper: {params: {surrogate: 'logdet,narrow,wide', lam: '0,0.1'}}}"
    Path("myconf/experiment/widths.yaml").write_text(f"# @package _global_\nname: widths\n{grid}\n")
    Path("myconf/experiment/inside.yaml").write_text("# a word first\n# @package _global_\nname: inside\n")
    own = ("--config-dir", "myconf", *SMALL)
    assert "experiment: expected a file whose first line is `# @package _global_`" in cli(*own, "experiment=inside").err
    assert "width: 0.5" in cli(*own, "surrogate=narrow", "--cfg", "job").out
    assert (
        "surrogate: logdet, logdet_blockwise, logdet_lowrank, logdet_stochastic, narrow, softmax, variance, vib, wide"
        in cli("--config-dir", "myconf", "--help").out
    )
    done = cli(*own, "surrogate=narrow")
    assert done.code == 0, done.err
    done = cli("-m", *own, "experiment=widths", "sweep.verify=6")
    assert done.code == 0, done.err
    records, runs = store.load("widths")
    assert len(runs) == 6
    assert set(records["surrogate"]) == {"logdet", "narrow(width=0.5)", "wide(width=5)"}
    done = cli("-m", *own, "surrogate=logdet,narrow,wide", "lam=0,0.1", "name=widths")
    assert re.search(r"reused from the store\W+6\b", done.out), "the same runs, however they are asked for"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("surrogate={}.nothing", "surrogate={}.nothing: expected a dotted path that imports, got AttributeError"),
        ("surrogate={}.number", "surrogate={}.number: expected a function or a class, got int"),
        ("surrogate={}.needy", "surrogate.width: expected a finite number > 0, got nothing"),
        ("surrogate=no_such_module.S", "surrogate=no_such_module.S: expected a dotted path that imports"),
        ("regime={}.nothing", "regime={}.nothing: expected a dotted path that imports"),
        ("surrogate={}.S hydra.searchpath=[]", "surrogate={}.S: expected part:// in hydra.searchpath"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_in_one_line_alone_and_in_a_grid(cli, user_module, override, message):
    name = user_module(PARTS + "\nnumber = 3\n")
    overrides = override.format(name).split()
    refused = cli(*overrides)
    assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err
    assert message.format(name) in refused.err
    swept = cli("-m", *overrides, "seed=0,1")
    assert swept.code == 2
    assert message.format(name) in swept.err


def test_a_missing_option_may_be_given(user_module):
    assert configure([f"surrogate={user_module(PARTS)}.needy", "surrogate.width=4"]).surrogate.options == {"width": 4}


# --- errors: where, and what to write instead ------------------------------------------------------------------------

LATE = """
calls = 0
def S(Z):
    global calls
    calls += 1
    if calls > 12:
        {deed}
    return Z.square().mean()
"""


@pytest.mark.parametrize(
    ("deed", "says"),
    [("raise ValueError('enough')", "ValueError: enough"), ("import sys; sys.exit(0)", "SystemExit: 0")],
)
def test_an_error_while_it_trains_is_shown_with_its_line_and_kept_whole(cli, user_module, deed, says):
    name = user_module(LATE.format(deed=deed))
    failed = cli(f"surrogate={name}.S", *SMALL, "epochs=7")
    assert failed.code == 1
    assert failed.err == f"error: {says} ({name}.py, line 7, in S)\n"
    kept = store.load("default")[1].iloc[0]
    assert kept["status"] == "failed"
    assert f'{name}.py", line 7, in S' in kept["error"]
    swept = cli("-m", f"surrogate={name}.S", "seed=1", *SMALL, "epochs=7")
    assert swept.code == 1
    assert f"error: {says} ({name}.py, line 7, in S): S / fixed" in swept.err
    runs = store.load("default")[1]
    assert (runs["status"] == "failed").all()
    assert runs["error"].str.contains(f'{name}.py", line 7, in S', regex=False).all()


def test_the_traceback_is_there_for_who_asks(cli, user_module, monkeypatch):
    name = user_module("def S(Z):\n    return helper(Z)\ndef helper(Z):\n    return Z.no_such()\n")
    refused = cli(f"surrogate={name}.S", *SMALL)
    assert refused.code == 2
    assert refused.err.endswith(f"has no attribute 'no_such' ({name}.py, line 4, in helper)\n")
    assert "line 4, in helper" in store.load("default")[1].iloc[0]["error"]
    monkeypatch.setattr(sys, "argv", ["hclm_runner", f"surrogate={name}.S", *SMALL])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ConfigError) as error:
        runpy.run_module("hclm_runner", run_name="__main__")
    assert "helper" in [frame.name for frame in traceback.extract_tb(error.value.__cause__.__traceback__)]


@pytest.mark.parametrize("source", ["import sys; sys.exit(0)", "1 +", "import no_such_module", "raise OSError('no')"])
def test_a_module_that_cannot_be_imported_is_a_failure(cli, user_module, source):
    name = user_module(source + "\ndef S(Z): return Z.sum()\n")
    refused = cli(f"surrogate={name}.S")
    assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err
    assert f"{name}.py, line 1)" in refused.err
    assert cli("-m", f"surrogate={name}.S", "seed=0,1").code == 2


JARGON = {
    "Z.sum() * torch.nn.functional.dropout(Z, 0.5).sum()": "no random numbers",
    "Z.sum() * Z.mean().item()": "no .item()",
    "Z.sum() * float(Z.mean())": "no .item(), float()",
    "Z.sum() if Z.mean() > 0 else -Z.sum()": "torch.where(condition, a, b)",
    "max(Z.mean(), 0 * Z.sum())": "torch.maximum for max",
    "torch.zeros(4).add_(Z.mean()).sum()": "write x = x + y",
    "operator.setitem(a := torch.zeros(2), 0, Z.sum()) or a.sum()": "torch.stack for x[i] = y",
    "(e := Z.exp()).add_(1).sum() + e.sum()": "write x = x + y",
    "torch.as_tensor(Z.detach().numpy().mean())": "no .numpy()",
    "Z[Z > 0].mean()": "torch.where(mask, Z, 0)",
}


@pytest.mark.parametrize("formula", JARGON)
def test_what_a_batch_of_runs_cannot_do_is_said_as_what_to_write_instead(user_module, formula):
    name = user_module(f"import operator, torch\ndef S(Z):\n    return {formula}\n")
    with pytest.raises(ConfigError) as refused:
        train([configure([f"surrogate={name}.S", *SMALL])])
    assert JARGON[formula] in str(refused.value)
    assert "vmap" not in str(refused.value)


def test_all_the_advice_is_asked_for_here():
    assert all(any(said in advice for said in JARGON.values()) for advice in INSTEAD.values())


def test_layers_without_sizes_are_refused(user_module):
    lazy = "nn.ModuleDict({'encoder': nn.LazyLinear(4), 'head': nn.Linear(4, o)})"
    name = user_module(f"from torch import nn\ndef net(i, o):\n    return {lazy}\n")
    with pytest.raises(
        ConfigError, match=r"model._target_=.*: expected layers whose sizes are known.*got a lazy layer"
    ):
        train([configure([f"model={name}.net", *SMALL])])


# --- divergence: whose it was ----------------------------------------------------------------------------------------

NOT_FINITE = """
import torch
from dataclasses import dataclass
from hclm_runner.regimes import Fixed

def of_value(Z):
    return Z.square().mean() * float("nan")

def of_gradient(Z):
    return (0 * Z).square().sum().sqrt() + Z.mean()

def later(Z, *, at: float = 0.2):
    S = Z.square().mean()
    return torch.where(S > at, torch.inf, S)

@dataclass(frozen=True)
class Law(Fixed):
    def update(self, state, seen):
        return state | {"lam": state["lam"] - 0.06}

def omega(parameters):
    return sum(p.sum() for p in parameters.values()) * float("inf")
"""


@pytest.mark.parametrize(
    ("overrides", "cause"),
    [
        (["surrogate={}.of_value"], "the surrogate of_value returned NaN at epoch 0, with entries of Z up to 1"),
        (["surrogate={}.of_gradient"], "the gradient of the surrogate of_gradient was NaN at epoch 0, with entries"),
        (["surrogate={}.later", "lam=0"], "the surrogate later returned inf at epoch"),
        (["regime={}.Law"], "the law Law returned a lam that is NaN, or negative at epoch 1"),
        (["structure={}.omega", "omega=1"], "the energy was inf, of a finite loss and a finite surrogate, at epoch 1"),
        (["optimizer.lr=1e25"], "; a smaller optimizer.lr may help"),
        (["surrogate=logdet", "optimizer.lr=100"], "; a smaller optimizer.lr may help"),
        (["surrogate=variance", "optimizer.lr=50"], "; a smaller optimizer.lr may help"),
    ],
)
def test_a_run_that_diverges_says_what_was_not_finite_first(user_module, overrides, cause):
    name = user_module(NOT_FINITE)
    run = configure([*(override.format(name) for override in overrides), *SMALL, "epochs=10"])
    records = train([run])
    assert records.diverged[0] >= 0
    assert cause in records.causes[0]
    assert ("optimizer.lr" in records.causes[0]) == ("optimizer.lr" in cause)
    assert f"at epoch {records.diverged[0]}" in records.causes[0]


def test_the_cause_is_the_runs_own_and_is_kept(cli, user_module):
    name = user_module(NOT_FINITE)
    swept = cli("-m", f"surrogate={name}.later", "surrogate.at=0.01,1e9", *SMALL)
    assert swept.code == 1
    runs = store.load("default")[1].set_index("status")
    assert pd.isna(runs.loc["finished", "error"])
    assert runs.loc["diverged", "error"] == "the surrogate later returned inf at epoch 0, with entries of Z up to 1"
    assert runs.loc["diverged", "error"] in " ".join(swept.err.split())
    assert "optimizer.lr" not in swept.err


# --- what reads a store takes a user's own as it takes ours ------------------------------------------------------------

NAMES = ("logdet", "narrow", "wide")


@pytest.fixture
def widths(cli, user_module):
    """The name of a store of log-det and one surrogate of a user's own in two widths, over lam."""
    name = user_module(PARTS)
    Path("myconf/surrogate").mkdir(parents=True)
    for label, width in (("narrow", 0.3), ("wide", 5.0)):
        Path(f"myconf/surrogate/{label}.yaml").write_text(f"name: {label}\n_target_: {name}.S\nwidth: {width}\n")
    grid = (f"surrogate={','.join(NAMES)}", "regime=fixed", "lam=0,0.1,1", "seed=0,1,2", "name=widths")
    assert cli("-m", "--config-dir", "myconf", *grid, *SMALL).code == 0
    return "widths"


def test_the_grid_has_each_width_as_a_surrogate_of_its_own_over_lam(widths):
    runs = only(load(widths), None)
    assert runs["surrogate"].to_numpy().tolist() == list(NAMES)
    assert runs.attrs["missing"] == []
    force = runs["force"].sel(regime="fixed", lam0=0.1, epoch=0)
    ratio = force.sel(surrogate="narrow") / force.sel(surrogate="wide")
    assert ratio.to_numpy() == pytest.approx((5.0 / 0.3) ** 2, rel=1e-4), "S goes as 1 / width^2: nothing is averaged"


@pytest.mark.slow
def test_figures_claims_report_and_compare_take_each_width(widths, capfd):
    for command in (["figures"], ["claims"], ["report"], ["compare", widths]):
        experiments([*command, widths])
    said = capfd.readouterr().out
    page = Path("outputs", widths, "report.html").read_text()
    drawn = {path.name for path in Path("outputs", widths, "figures").iterdir()}
    for name in NAMES:
        assert any(path.startswith(f"{name}_") and path.endswith(".svg") for path in drawn), name
        assert name in said
        assert name in page
