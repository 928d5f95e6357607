"""Identity is content: no place in the code, no label and no old path is part of it; a part's version is."""

import shutil
import sys

import pytest

from hclm_runner import parts
from hclm_runner.config import CONF, configure
from hclm_runner.refusal import ConfigError
from hclm_runner.regimes import Fixed, Thermostat
from hclm_runner.training.trainer import train

OLD_PATHS = [
    ("surrogate", "hclm_runner.surrogates.logdet", "logdet"),
    ("regime", "hclm_runner.regimes.Fixed", "fixed"),
    ("task", "hclm_runner.tasks.gaussian_mixture", "gaussian_mixture"),
    ("model", "hclm_runner.models.mlp", "mlp"),
    ("optimizer", "hclm_runner.optimizers.SGD", "sgd"),
    ("feedback", "hclm_runner.feedback.Annotator", "annotator"),
    ("structure", "hclm_runner.energy.group_sparsity", "group_sparsity"),
    ("risk", "hclm_runner.energy.asymmetric_cost", "asymmetric_cost"),
]


def test_every_option_of_the_configuration_is_one_of_our_parts_by_its_registered_name(needs):
    for group, room in parts.ROOMS.items():
        folder = CONF / group
        for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else []:
            found = getattr(configure(f"{group}={path.stem}", needs(group, path.stem)), group)
            own = parts.part_of(found.load())
            assert (own.group, own.name) == (group, found.target), path
            assert found.load().__module__.startswith(room.module), path


@pytest.mark.parametrize(("group", "path", "name"), OLD_PATHS)
def test_an_old_dotted_path_is_the_same_run_and_says_so(group, path, name):
    from hclm_runner.config import choices

    choices._present_name.cache_clear()
    weights = ["omega=0.1", "rho=0.1"]
    with pytest.warns(FutureWarning, match=f"{group}._target_={path} is {group}._target_={name} now"):
        old = configure(f"{group}._target_={path}", *weights)
    assert getattr(old, group).target == name
    assert old.run_id == configure(*weights).run_id


def test_the_id_does_not_know_where_a_part_of_ours_lives(monkeypatch):
    before = configure().run_id
    monkeypatch.setattr(Fixed, "__module__", "hclm_runner.somewhere.else")
    assert configure().run_id == before


def test_a_new_version_of_a_part_makes_new_runs_of_it_and_of_no_other(monkeypatch):
    fixed, held = configure().run_id, configure("regime=thermostat").run_id
    monkeypatch.setattr(Fixed, "_part", Fixed._part._replace(version=99))
    assert configure().run_id != fixed
    assert configure("regime=thermostat").run_id == held


def test_a_label_is_not_part_of_the_id_and_options_are():
    assert configure("optimizer.name=mine").run_id == configure().run_id
    assert configure("optimizer.lr=0.1").run_id != configure().run_id
    assert configure("surrogate=variance").run_id != configure().run_id


LAW = """
from dataclasses import dataclass
from hclm_runner.regimes import Thermostat

@dataclass(frozen=True)
class Mine(Thermostat):
    pass
"""


def test_a_users_file_that_moves_is_the_same_run_and_one_that_is_edited_is_not(tmp_path, monkeypatch):
    (tmp_path / "first.py").write_text(LAW)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "first.py", tmp_path / "elsewhere" / "second.py")
    (tmp_path / "edited.py").write_text(LAW + "# a word\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = ("first", "elsewhere.second", "edited")
    first, moved, edited = (configure("regime=thermostat", f"regime._target_={name}.Mine").run_id for name in modules)
    for name in (*modules, "elsewhere"):
        del sys.modules[name]
    assert first == moved != edited
    assert first != configure("regime=thermostat").run_id, "a law that extends ours is not ours"
    assert parts.part_of(type("Mine", (Thermostat,), {})) is None


def test_a_name_that_is_none_of_ours_is_refused_with_the_names_that_are():
    with pytest.raises(ConfigError, match=r"surrogate._target_=logdte: expected one of logdet.*did you mean logdet\?"):
        configure("surrogate._target_=logdte")


def test_a_part_checks_its_own_options_and_nobody_those_of_another():
    for options in (["lam_min=3", "lam_max=2"], ["m_min=1", "m_max=1"], ["m_min=0.5"]):
        with pytest.raises(ConfigError, match=r"regime\.(lam|m)_min="):
            configure(["regime=rl_thermostat", *(f"regime.{option}" for option in options)])
    own = [f"regime={__name__}.OneBound", "regime.m_min=5.0"]
    assert configure(own).regime.options == {"m_min": 5.0}


class OneBound(Fixed):
    """A law of a user's own whose option has the name of one of ours."""

    def __init__(self, m_min: float) -> None:
        pass


class Undeclared:
    """A law that does not say whether it uses feedback."""

    def init(self, lam0, reference):
        return Fixed().init(lam0, reference)

    def update(self, state, seen):
        return state


class Listener(Undeclared):
    uses_feedback = True


def regression(rng):
    from hclm_runner.tasks import Task

    x = rng.standard_normal((16, 3))
    return Task((x, x[:, :1]), (x, x[:, :1]), (x, x[:, :1]), None)


def test_a_law_must_say_whether_it_uses_feedback_and_is_refused_where_there_is_none():
    with pytest.raises(ConfigError, match=r"regime._target_=.*Undeclared: expected a law that says uses_feedback"):
        train([configure([f"regime={__name__}.Undeclared", "task.train=64", "epochs=1"])])
    task = [f"task={__name__}.regression", "batch_size=16", "epochs=1"]
    listener = [f"regime={__name__}.Listener"]
    with pytest.raises(ConfigError, match="regime=Listener: expected a law without feedback"):
        train([configure(*task, *listener)])
    with pytest.raises(ConfigError, match=r"regime.setpoint=null: expected the entropy to hold"):
        train([configure(*task, "regime=thermostat")])


def wrapping(tmp_path, monkeypatch, name, source):
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)


def own(path, *more):
    return configure([f"surrogate={path}", *more])


def test_a_function_that_wraps_ours_is_not_ours(tmp_path, monkeypatch):
    source = "import functools\nfrom hclm_runner.surrogates import logdet\n@functools.wraps(logdet)\n"
    wrapping(
        tmp_path, monkeypatch, "wraps_ours", source + "def doubled(Z, *, eps):\n    return 2 * logdet(Z, eps=eps)\n"
    )
    assert own("wraps_ours.doubled", "surrogate.eps=1.0").run_id != configure().run_id


def test_two_parts_of_one_file_are_two_and_a_file_that_only_passes_a_part_on_is_not_all_that_counts(
    tmp_path, monkeypatch
):
    classes = "".join(
        f"class {name}:\n    @staticmethod\n    def S(Z):\n        return {k} * Z.sum()\n"
        for k, name in enumerate("AB")
    )
    wrapping(tmp_path, monkeypatch, "two_of_one", classes)
    assert own("two_of_one.A.S").run_id != own("two_of_one.B.S").run_id
    for k, package in enumerate(("passed_on_a", "passed_on_b")):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("from .impl import S\n")
        (tmp_path / package / "impl.py").write_text(f"def S(Z):\n    return {k} * Z.sum()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert own("passed_on_a.S").run_id != own("passed_on_b.S").run_id
    assert own("passed_on_a:S").run_id == own("passed_on_a.S").run_id
    assert own("passed_on_a:S").surrogate.name == "S"


def test_an_id_stays_what_it_was_when_the_file_is_edited_later_and_the_edit_is_noticed(tmp_path, monkeypatch):
    wrapping(tmp_path, monkeypatch, "edited_later", "def S(Z):\n    return Z.sum()\n")
    run = own("edited_later.S")
    before = run.run_id
    run.surrogate.check_unchanged()
    (tmp_path / "edited_later.py").write_text("def S(Z):\n    return 2 * Z.sum()\n")
    assert run.run_id == before
    with pytest.raises(
        ConfigError, match=r"surrogate._target_=edited_later.S: expected the code that this sweep began"
    ):
        run.surrogate.check_unchanged()


def test_options_are_checked_one_by_one_defaults_too(tmp_path, monkeypatch):
    source = """
from __future__ import annotations
from typing import TYPE_CHECKING
import torch
from hclm_runner.ranges import Positive
if TYPE_CHECKING:
    from torch import Tensor

def S(Z: Tensor, *, eps: Positive, k: float = 1, of: Tensor = None):
    return Z.sum()

def wrong_default(Z, *, eps: Positive = -1.0):
    return Z.sum()

def no_such_type(Z, *, eps: torch.Tensr):
    return Z.sum()

def not_of_yaml(Z, *, dtype=object()):
    return Z.sum()
"""
    wrapping(tmp_path, monkeypatch, "options_of_mine", source)
    with pytest.raises(ConfigError, match=r"surrogate.eps=-1: expected a finite number > 0"):
        own("options_of_mine.S", "surrogate.eps=-1")
    given, left = (
        own("options_of_mine.S", "surrogate.eps=1.0", "surrogate.k=1.0"),
        own("options_of_mine.S", "surrogate.eps=1.0"),
    )
    assert given.run_id == left.run_id
    with pytest.raises(ConfigError, match=r"surrogate.eps=-1.0: expected a finite number > 0"):
        own("options_of_mine.wrong_default")
    with pytest.raises(ConfigError, match=r"surrogate=options_of_mine.no_such_type"):
        own("options_of_mine.no_such_type", "surrogate.eps=1.0")
    with pytest.raises(ConfigError, match=r"surrogate.dtype=.*expected a value that YAML has"):
        own("options_of_mine.not_of_yaml")


class Loose(Fixed):
    def __init__(self, low: float, high: float) -> None:
        pass

    @classmethod
    def check(cls, **options):
        if options["low"] >= options["high"]:
            raise ValueError("low must be below high")


class Instance(Fixed):
    def check(self):
        raise AssertionError("not the contract's: it belongs to an instance")


def test_a_users_check_may_raise_anything_and_a_method_of_that_name_is_left_alone():
    bounds = ["regime.low=2.0", "regime.high=1.0"]
    with pytest.raises(
        ConfigError, match=r"regime._target_=.*Loose: expected options .* got ValueError: low must be below high"
    ):
        configure([f"regime={__name__}.Loose", *bounds])
    assert configure([f"regime={__name__}.Instance"]).regime.options == {}


class OfOneRun(Fixed):
    def update(self, state, seen):
        return state | {"lam": state["lam"] * (2 if seen.entropy > 1 else 1)}


class Counting(Fixed):
    def init(self, lam0, reference):
        return super().init(lam0, reference) | {"n": 0}


@pytest.mark.parametrize(
    ("law", "reason"),
    [("OfOneRun", "no `if` on a tensor's value.*test_parts.py, line"), ("Counting", "no attribute 'shape'")],
)
def test_a_law_that_is_not_elementwise_is_refused_before_it_trains(law, reason):
    with pytest.raises(ConfigError, match=f"regime._target_=.*{law}: expected a law with .*{reason}"):
        train([configure([f"regime={__name__}.{law}", "task.train=64", "epochs=1"])])


def test_a_name_is_taken_once_and_a_group_must_exist():
    with pytest.raises(ValueError, match="two parts named surrogate logdet"):
        parts.part("surrogate", "logdet", version=2)
    with pytest.raises(ValueError, match="no group surrogates"):
        parts.part("surrogates", "mine", version=1)
