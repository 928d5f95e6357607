"""Identity is content: no place in the code, no label and no old path is part of it; a part's version is."""

import shutil
import subprocess
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


def test_every_option_of_the_configuration_is_one_of_our_parts_by_its_registered_name():
    for group, room in parts.ROOMS.items():
        folder = CONF / group
        for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else []:
            if path.stem != "custom":
                found = getattr(configure([f"{group}={path.stem}"]), group)
                own = parts.part_of(found.load())
                assert (own.group, own.name) == (group, found.target), path
                assert found.load().__module__.startswith(room.module), path


@pytest.mark.parametrize(("group", "path", "name"), OLD_PATHS)
def test_an_old_dotted_path_is_the_same_run_and_says_so(group, path, name):
    from hclm_runner.config import choices

    choices._present_name.cache_clear()
    weights = ["omega=0.1", "rho=0.1"]
    with pytest.warns(FutureWarning, match=f"{group}._target_={path} is {group}._target_={name} now"):
        old = configure([f"{group}._target_={path}", *weights])
    assert getattr(old, group).target == name
    assert old.run_id == configure(weights).run_id


def test_the_id_does_not_know_where_a_part_of_ours_lives(monkeypatch):
    before = configure().run_id
    monkeypatch.setattr(Fixed, "__module__", "hclm_runner.somewhere.else")
    assert configure().run_id == before


def test_a_new_version_of_a_part_makes_new_runs_of_it_and_of_no_other(monkeypatch):
    fixed, held = configure().run_id, configure(["regime=thermostat"]).run_id
    monkeypatch.setattr(Fixed, "_part", Fixed._part._replace(version=99))
    assert configure().run_id != fixed
    assert configure(["regime=thermostat"]).run_id == held


def test_a_label_is_not_part_of_the_id_and_options_are():
    assert configure(["optimizer.name=mine"]).run_id == configure().run_id
    assert configure(["optimizer.lr=0.1"]).run_id != configure().run_id
    assert configure(["surrogate=variance"]).run_id != configure().run_id


LAW = """
from dataclasses import dataclass
from hclm_runner.regimes import Thermostat

@dataclass(frozen=True)
class Mine(Thermostat):
    pass
"""


def test_a_users_file_that_moves_is_the_same_run_and_one_that_is_edited_is_not(tmp_path):
    script = (
        "import sys; from hclm_runner.config import configure;"
        "print(*(configure(['regime=thermostat', f'regime._target_={m}.Mine']).run_id for m in sys.argv[1:]))"
    )
    (tmp_path / "first.py").write_text(LAW)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "first.py", tmp_path / "elsewhere" / "second.py")
    (tmp_path / "edited.py").write_text(LAW + "# a word\n")
    done = subprocess.run(
        [sys.executable, "-c", script, "first", "elsewhere.second", "edited"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, moved, edited = done.stdout.split()
    assert first == moved != edited
    assert first != configure(["regime=thermostat"]).run_id, "a law that extends ours is not ours"
    assert parts.part_of(type("Mine", (Thermostat,), {})) is None


def test_a_name_that_is_none_of_ours_is_refused_with_the_names_that_are():
    with pytest.raises(ConfigError, match=r"surrogate._target_=logdte: expected one of logdet.*did you mean logdet\?"):
        configure(["surrogate._target_=logdte"])


def test_a_part_checks_its_own_options_and_nobody_those_of_another():
    for options in (["lam_min=3", "lam_max=2"], ["m_min=1", "m_max=1"], ["m_min=0.5"]):
        with pytest.raises(ConfigError, match=r"regime\.(lam|m)_min="):
            configure(["regime=rl_thermostat", *(f"regime.{option}" for option in options)])
    own = ["regime=custom", f"regime._target_={__name__}.OneBound", "+regime.m_min=5.0"]
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
        train([configure(["regime=custom", f"regime._target_={__name__}.Undeclared", "task.train=64", "epochs=1"])])
    task = ["task=custom", f"task._target_={__name__}.regression", "batch_size=16", "epochs=1"]
    listener = ["regime=custom", f"regime._target_={__name__}.Listener"]
    with pytest.raises(ConfigError, match="regime=Listener: expected a law without feedback"):
        train([configure([*task, *listener])])
    with pytest.raises(ConfigError, match=r"regime.setpoint=null: expected the entropy to hold"):
        train([configure([*task, "regime=thermostat"])])
