"""The README and the pages of docs/ are followed as a reader would, and what they name is held against the project."""

import argparse
import contextlib
import importlib
import io
import itertools
import math
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

import hclm_runner
from experiments.claims import page as verdicts_page
from experiments.claims.judge import COLLAPSE, INCONCLUSIVE, REFUTED, SUPPORTED
from experiments.claims.paper import CLAIMS
from experiments.figures import FIGURES
from experiments.statements import page as statements_page
from experiments.statements import verify
from hclm_runner import parts
from hclm_runner.config import CONF
from hclm_runner.records import COLUMNS
from hclm_runner.sweeps import __main__ as sweeps

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
VERDICTS, STATEMENTS = ROOT / "experiments/VERDICTS.md", ROOT / "experiments/statements/STATEMENTS.md"
PROJECT = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
EVERY = pytest.mark.parametrize("page", [*PAGES, *PROJECT, VERDICTS, STATEMENTS], ids=lambda page: page.stem)


class Block(NamedTuple):
    """A fenced block of code."""

    language: str
    text: str

    @property
    def file(self) -> str:
        """The name of the file that the reader is asked to write, from the block's first line; "" for other blocks."""
        found = re.match(r"(?:# @package \w+\n)?# ([\w/]+\.(?:py|yaml))\n", self.text)
        return found[1] if found else ""

    @property
    def commands(self) -> list[list[str]]:
        """The commands of a block of bash, as words, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)]


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


class Followed(NamedTuple):
    """What came of doing what a page says."""

    steps: int
    printed: str
    """By its Python."""


def follow(page: Path, cli: Callable, folder: Path, experiment: Callable, small: list[str]) -> Followed:
    """Do in an empty folder what a page says, from top to bottom.

    Args:
        page: The page.
        cli: Runs `python -m hclm_runner` there.
        folder: Where.
        experiment: Is called with the words after `python -m experiments`.
        small: Overrides that make an experiment of conf/ short.
    """
    names: dict[str, object] = {"__name__": page.stem}
    steps, printed = 0, io.StringIO()
    try:
        for block in blocks(page):
            if block.file:
                (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
                (folder / block.file).write_text(block.text)
            elif block.language == "python":
                with contextlib.redirect_stdout(printed):
                    exec(compile(block.text, f"{page.name}: {block.text[:40]}", "exec"), names)
            for words in block.commands if block.language == "bash" else []:
                if words[:4] == ["python", "-m", "hclm_runner", "new"]:
                    assert cli(*words[3:]).code == 0
                elif words[:3] == ["python", "-m", "hclm_runner"]:
                    grid = any(word.startswith("experiment=") for word in words)
                    short = small if grid else [] if "--cfg" in words else ["epochs=2"]
                    given = {word.partition("=")[0] for word in words}
                    ended = cli(*words[3:], *(word for word in short if word.partition("=")[0] not in given))
                    assert ended.code == 0, ended.err
                elif words[:3] == ["python", "-m", "hclm_runner.sweeps"]:
                    assert sweeps.main(words[3:]) == 0
                elif words[:3] == ["python", "-m", "experiments"]:
                    experiment(words[3:])
                else:
                    assert words[0] in ("make", "source") or words[:3] == ["python", "-m", "pytest"], words
            steps += 1
    finally:
        for path in folder.glob("*.py"):
            sys.modules.pop(path.stem, None)
    return Followed(steps, printed.getvalue())


LONG = ("running", "extending", "export_and_search", "python")
"""Pages whose commands take a minute together: `make test-all` follows them."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=[pytest.mark.slow] if page.stem in LONG else [])
        for page in [*PAGES, *PROJECT, VERDICTS, STATEMENTS]
    ],
)
def test_a_page_can_be_followed_from_top_to_bottom(page, cli, tmp_path):
    def experiment(words: list[str]) -> None:
        assert words[0] in verbs(), words

    done = follow(page, cli, tmp_path, experiment, ["epochs=2", "seed=0"])
    assert done.steps == page.read_text().count("\n```") / 2
    if page.stem == "python":
        assert done.printed.count("Effectiveness") == 9
        assert "\n1\n" in done.printed, "nine runs of one shape"
        assert done.printed.count("finished") == 9 + 4 + 1, "of the command, of sweep, and a row of its summary"
        assert "1 run, 20 epochs, 3732 parameters each" in done.printed


def test_the_notebook_example_is_ten_lines():
    example = next(block.text for block in blocks(ROOT / "docs/python.md") if block.language == "python")
    assert len([line for line in example.splitlines() if line]) <= 10


@pytest.mark.slow
@pytest.mark.parametrize("page", ["figures", "extending"])
def test_the_commands_on_a_store_of_ones_own_run(page, cli, tmp_path):
    ran = []

    def experiment(words: list[str]) -> None:
        arguments = ["my_store" if word == "paper" else word for word in words]
        command = [sys.executable, "-m", "experiments", *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        ran.append(words[0])

    follow(ROOT / "docs" / f"{page}.md", cli, tmp_path, experiment, [])
    if page == "figures":
        assert ran == ["figures", "claims", "report", "compare"]
        store = tmp_path / "outputs/my_store"
        assert {"report.html", "claims.json", "claims.parquet"} <= {path.name for path in store.iterdir()}
        assert len(list((store / "figures").glob("fig1[68]_*_seeds.*"))) == 12, "in both views"
    else:
        assert ran == ["figures", "claims"]
        assert list((tmp_path / "outputs/mine/figures").glob("narrow*.svg"))


@EVERY
def test_bash_accepts_each_block(page):
    for block in blocks(page):
        assert block.language in ("bash", "python", "yaml"), block
        if block.language == "bash":
            checked = subprocess.run(["bash", "-n", "-c", block.text], capture_output=True, text=True)
            assert checked.returncode == 0, checked.stderr


def test_make_targets_and_verbs_exist_and_are_all_named():
    text = every_page()
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`|\$ )make ([a-z-]+)", text, flags=re.MULTILINE))
    assert len(named) >= 8
    assert named <= targets, named - targets
    assert set(re.findall(r"-m experiments (\w+)", text)) == set(verbs())
    assert not re.findall(r"-m experiments\.\w+", text), "the old form of a command"


def every_page() -> str:
    return "\n".join(page.read_text() for page in (*PAGES, VERDICTS, STATEMENTS))


def verbs() -> list[str]:
    return list(importlib.import_module("experiments.__main__").VERBS)


class ParsedError(Exception):
    """Carries what a verb's parser has read, in place of what the verb would do."""


@EVERY
def test_the_arguments_of_each_command_of_the_experiments_are_accepted(page, monkeypatch):
    def stopping(parse):
        def stop(parser, arguments):
            raise ParsedError(parse(parser, arguments))

        return stop

    for parse in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, parse, stopping(getattr(argparse.ArgumentParser, parse)))
    lines = [words for block in blocks(page) if block.language == "bash" for words in block.commands]
    lines += [shlex.split(code) for code in re.findall(r"`(python -m experiments \w[^`]*)`", prose(page))]
    for _, _, _, verb, *arguments in (words for words in lines if words[:3] == ["python", "-m", "experiments"]):
        module = importlib.import_module(importlib.import_module("experiments.__main__").VERBS[verb].module)
        with pytest.raises(ParsedError) as parsed:
            module.main(arguments)
        if verb == "verify":
            assert verify.gates(parsed.value.args[0].only)


def runs_of(experiment: str) -> int:
    """Return how many runs an experiment of conf/ has."""
    axes = yaml.safe_load((CONF / "experiment" / f"{experiment}.yaml").read_text())["hydra"]["sweeper"]["params"]
    values = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in axes.items()])
    return math.prod(len(list(each.sweep_iterator())) for each in values if each.is_sweep_override())


def test_the_numbers_of_runs_gates_and_claims_are_those_of_the_code():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", (ROOT / "docs/running.md").read_text(), flags=re.MULTILINE)
    assert {name: int(number) for name, number in rows} == {name: runs_of(name) for name, _ in rows}
    theory = sum(map(runs_of, statements_page.sweeps()))
    known = {
        r"the paper's (\d+) runs": runs_of("paper"),
        r"(\d+) runs of the reference task \(": runs_of("paper"),
        r"(\d+) runs; seven minutes|on four tasks \((\d+) runs": runs_of("tasks"),
        r"trains (\d+) runs|(\d+) runs of the reference task, 10|Proposition 4 \((\d+) runs": theory,
        r"(\d+) gates": sum(not gate.slow for *_, gate in verify.gates("")),
        r"(\d+) claims|(\d+) in all": len(CLAIMS),
        r"which makes (\d+); four more": len(FIGURES),
    }
    text = " ".join((every_page() + (ROOT / "Makefile").read_text()).split())
    for pattern, number in known.items():
        found = ["".join(match.groups("")) for match in re.finditer(pattern, text)]
        assert len(found) > pattern.count("|"), pattern
        assert set(found) == {str(number)}, pattern
    assert len(CLAIMS) == len(FIGURES) + 4


def test_the_page_of_verdicts_has_each_claim_once_and_the_readme_its_totals():
    sections = dict(re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", VERDICTS.read_text(), flags=re.MULTILINE))
    heads = [verdicts_page.SECTIONS[verdict] for verdict in (SUPPORTED, REFUTED, INCONCLUSIVE, COLLAPSE)]
    named = [re.findall(r"^### (.*?) · ", sections[head], flags=re.MULTILINE) for head in heads]
    assert sorted(itertools.chain(*named)) == sorted(claim.id for claim in CLAIMS)
    readme = " ".join((ROOT / "README.md").read_text().split())
    totals = re.search(
        r"support (\d+) of them [^;]*and refute (\d+); (\d+) stay open; and (\d+) are a collapse", readme
    )
    assert [int(total) for total in totals.groups()] == [len(each) for each in named]


def test_every_option_and_experiment_is_in_the_tables_of_running():
    text = (ROOT / "docs/running.md").read_text()
    for group in sorted(path for path in CONF.iterdir() if path.is_dir()):
        options = {path.stem for path in group.glob("*.yaml")}
        if group.name == "experiment":
            assert set(re.findall(r"^\| `(\w+)` \| \d+ \|", text, flags=re.MULTILINE)) == options
        else:
            (row,) = re.findall(rf"^\| `{group.name}` \|(.*?)\|", text, flags=re.MULTILINE)
            assert set(re.findall(r"`(\w+)`", row)) == options
    sweep = re.search(r"^sweep:.*\n((?:  .*\n)+)", (CONF / "config.yaml").read_text(), flags=re.MULTILINE)
    keys = re.findall(r"^  \"?(\w+)\"?:", sweep[1], flags=re.MULTILINE)
    assert re.findall(r"^\| `sweep\.(\w+)` \|", text, flags=re.MULTILINE) == keys


def test_every_column_is_in_the_tables_of_records():
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs/records.md").read_text(), flags=re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    labels = ["run_id", "label", "surrogate", "regime", "task", "lam0", "data_seed", "seed", "epoch"]
    assert sorted(named) == sorted([*labels, *COLUMNS]), "each once, and nothing else"


def test_every_room_is_in_the_table_of_how_it_is_built():
    text = (ROOT / "docs/how_it_is_built.md").read_text()
    named = re.findall(r"^\| `([\w/]+)/` \|", text, flags=re.MULTILINE)
    rooms = {
        str(path.relative_to(ROOT))
        for package in ("hclm_runner", "experiments")
        for path in (ROOT / package).iterdir()
        if path.is_dir() and path.name != "__pycache__"
    }
    assert set(named) == rooms


@EVERY
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", prose(page)) + re.findall(r'src="([^"]+)"', prose(page))
    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not target.is_dir() or (target / "__init__.py").exists(), f"{link}: the site has no page of that"
        if anchor:
            heads = re.findall(r"^#+ (.*)", target.read_text(), flags=re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads], link


@EVERY
def test_no_page_names_a_file_that_does_not_exist(page):
    named = re.findall(r"`((?:hclm_runner|experiments|conf|docs|tests)/[^`]*)`", prose(page))
    for path in named:
        assert (ROOT / path).exists(), path


def test_the_readme_is_short_and_links_every_page():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    links = re.findall(r"\]\((docs/\w+\.md)\)", "\n".join(lines))
    assert {ROOT / link for link in links} == set(PAGES[1:])


def test_the_version_is_that_of_the_changelog_and_of_the_citation():
    released = re.findall(r"^## (\S+) - (\d{4}-\d{2}-\d{2})$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert released[0][0] == hclm_runner.__version__
    assert [date for _, date in released] == sorted((date for _, date in released), reverse=True)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == hclm_runner.__version__
    assert citation["references"][0]["url"] == "https://arxiv.org/abs/2605.22940"


def test_the_page_of_contributing_has_each_group_and_every_kind_of_what_reads_a_store():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for group in CONF.iterdir():
        if group.is_dir() and group.name not in ("experiment", "cluster"):
            assert parts.ROOMS[group.name].module.replace(".", "/") in text
    assert all(f"| {kind} |" in text for kind in ("a claim of the paper", "a figure", "a statement", "a verb"))


def test_the_picture_of_the_readme_is_what_its_script_draws(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["overview.py", str(tmp_path)])
    runpy.run_path(str(ROOT / "docs/overview.py"), run_name="__main__")
    for path in (ROOT / "docs/pictures").iterdir():
        assert (tmp_path / path.name).stat().st_size > 10_000
    drawn, kept = ((folder / "overview.svg").read_text() for folder in (tmp_path, ROOT / "docs/pictures"))
    texts = [re.findall(r"<!-- (.*) -->", svg) for svg in (drawn, kept)]
    assert texts[0] == texts[1]
    assert "entropy S(Z)" in texts[0]
