"""The README's code is run, and what it says of options and columns is held against the project."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hclm_runner.config import CONF
from hclm_runner.records import COLUMNS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_notebook_example_runs_and_is_ten_lines():
    (example,) = [block for block in blocks("python") if "import configure" in block]
    lines = [line for line in example.splitlines() if line]
    assert len(lines) <= 10
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Effectiveness") == 9


def test_the_users_own_surrogate_runs_from_the_command_line(tmp_path):
    (source,) = [block for block in blocks("python") if block.startswith("# my_surrogates.py")]
    (command,) = [block for block in blocks("bash") if "my_surrogates.renyi" in block]
    (tmp_path / "my_surrogates.py").write_text(source)
    arguments = command.split()
    assert arguments[:3] == ["python", "-m", "hclm_runner"]
    done = subprocess.run([sys.executable, *arguments[1:]], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "renyi / fixed / gaussian_mixture" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        line
        for block in blocks("bash")
        for line in block.splitlines()
        if line.startswith("python -m hclm_runner ") and "custom" not in line
    ],
)
def test_each_command_of_the_readme_runs(cli, command):
    arguments = command.partition("#")[0].split()[3:]
    done = cli(*arguments, *([] if "--cfg" in arguments else ["epochs=2"]))
    assert done.code == 0, done.err


@pytest.mark.slow
def test_the_commands_on_a_store_of_ones_own_run_on_quick(tmp_path):
    commands = [line.partition("#")[0].split() for block in blocks("bash") for line in block.splitlines()]
    commands = [command for command in commands if len(command) > 2 and command[2].startswith("experiments.")]
    assert [command[2] for command in commands] == [
        f"experiments.{x}" for x in ("figures", "claims", "report", "compare")
    ]
    sweep = ["python", "-m", "hclm_runner", "-m", "experiment=quick"]
    for command in [sweep, *commands]:
        arguments = ["quick" if word in ("my_store", "paper") else word for word in command[1:]]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    store = tmp_path / "outputs/quick"
    assert {"report.html", "claims.json", "claims.parquet"} <= {path.name for path in store.iterdir()}
    assert len(list((store / "figures").glob("fig1[68]_*_seeds.*"))) == 6


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", README, flags=re.MULTILINE)
    assert len(commands) >= 4
    for target in {first or second for first, second in commands}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_option_of_every_group_and_every_column_is_named():
    for group in sorted(path for path in CONF.iterdir() if path.is_dir()):
        options = {path.stem for path in group.glob("*.yaml")} - {"custom"}
        if group.name == "experiment":
            assert all(f"| `{option}` |" in README for option in options)
            continue
        (row,) = re.findall(rf"^\| `{group.name}` \|(.*?)\|", README, flags=re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", row)) == options
    for column in COLUMNS:
        assert f"`{column}`" in README, column


def test_links_lead_somewhere():
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / link).exists(), link
