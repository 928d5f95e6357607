"""`new` writes a part that works as it is: its test passes, the command that it prints trains it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hclm_runner import store
from hclm_runner.new import TEMPLATES, main
from hclm_runner.parts import ROOMS
from hclm_runner.refusal import ConfigError

GROUPS = sorted(path.name for path in TEMPLATES.iterdir())


def test_there_is_a_template_for_each_group_that_has_a_room_of_its_own():
    assert set(GROUPS) == ROOMS.keys() - {"structure", "risk"}


OTHERS = ("model", "optimizer", "feedback")
"""Groups whose templates are tried by make test-all: each takes as long as any."""


@pytest.mark.parametrize(
    "group", [pytest.param(group, marks=[pytest.mark.slow] if group in OTHERS else []) for group in GROUPS]
)
def test_what_is_written_passes_its_test_and_the_printed_command_trains_it(cli, group, monkeypatch):
    name = f"made_{group}"
    made = cli("new", group, name)
    assert (made.code, made.err) == (0, "")
    paths = re.findall(r"^(\S+): ", made.out, flags=re.MULTILINE)
    assert paths == [f"{name}.py", f"myconf/{group}/{name}.yaml", f"test_{name}.py"]
    assert all(Path(path).is_file() for path in paths)
    tests, command = (shlex.split(line)[1:] for line in made.out.splitlines()[-2:])
    assert pytest.main(["-q", "-p", "no:cacheprovider", *tests[2:]]) == 0
    assert command[:2] == ["-m", "hclm_runner"]
    done = cli(*command[2:])
    assert done.code == 0, done.err
    records, runs = store.load("default")
    assert list(runs["status"]) == ["finished"]
    assert f'"_target_": "{name}.' in runs["config"].iloc[0]
    assert list(records["epoch"]) == [0, 1, 2]


@pytest.mark.parametrize("group", GROUPS)
def test_the_options_file_says_what_the_signature_says(cli, group):
    from hclm_runner.config import configure

    cli("new", group, f"same_{group}")
    target = re.search(r"_target_: (\S+)", Path(f"myconf/{group}/same_{group}.yaml").read_text())[1]
    shown = cli("--config-dir", "myconf", f"{group}=same_{group}", "--cfg", "job", "--package", group).out
    options = getattr(configure([f"{group}={target}"]), group).options
    assert options
    for key, value in options.items():
        assert f"{key}: {value}\n" in shown
    for line in Path(f"myconf/{group}/same_{group}.yaml").read_text().splitlines()[1:]:
        assert line.startswith("_target_") or line.index(" # ") == 31


BROKEN = {
    "surrogate": ("-torch.exp", "torch.exp"),
    "regime": ('state["lam"] * self.keep', 'state["lam"]'),
    "task": ("rng.standard_normal((samples, 2))", "np.random.standard_normal((samples, 2))"),
    "model": ('"head": nn', '"tail": nn'),
    "optimizer": ("theta - self.lr", "theta + self.lr"),
    "feedback": (".round()", ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_the_test_that_is_written_fails_when_the_part_is_broken(cli, group, tmp_path):
    cli("new", group, "broken")
    path = Path("broken.py")
    right, wrong = BROKEN[group]
    assert path.read_text().count(right) == 1
    path.write_text(path.read_text().replace(right, wrong))
    ran = [sys.executable, "-m", "pytest", "-q", "test_broken.py"]
    assert subprocess.run(ran, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}).returncode == 1


def test_nothing_is_overwritten(cli):
    assert cli("new", "surrogate", "mine").code == 0
    Path("mine.py").write_text("edited")
    Path("test_mine.py").unlink()
    refused = cli("new", "regime", "mine")
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert "new regime=mine: expected a name whose files are not there yet, got mine.py" in refused.err
    assert Path("mine.py").read_text() == "edited"
    assert not Path("test_mine.py").exists()
    assert not Path("myconf/regime").exists()


@pytest.mark.parametrize(
    ("group", "name", "message"),
    [
        ("surogate", "mine", r"new=surogate: expected one of .* \(did you mean surrogate\?\)"),
        ("surrogate", "Mine", "a name of small letters"),
        ("surrogate", "class", "a name of small letters"),
        ("surrogate", "../mine", "a name of small letters"),
        ("surrogate", "logdet", "not an option of surrogate already"),
        ("surrogate", "torch", "not a Python module already"),
    ],
)
def test_a_name_that_will_not_do_is_refused_and_nothing_is_written(tmp_path, monkeypatch, group, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        main([group, name])
    assert not list(tmp_path.iterdir())


def test_without_arguments_it_says_what_it_takes(cli):
    assert "usage: python -m hclm_runner new GROUP NAME" in cli("new").out
