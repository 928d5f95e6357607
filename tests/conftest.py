"""What several tests share: one thread (kernels here are tiny), the command line in this process, a user's own module."""

import io
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

import hclm_runner  # noqa: F401 - before torch computes: it sets how MKL computes

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


@pytest.fixture(autouse=True)
def _denormal_floats() -> Iterator[None]:
    """Undo what `train` sets for the process: hypothesis refuses to draw floats from one that flushes denormals."""
    torch.set_flush_denormal(False)
    yield
    torch.set_flush_denormal(False)


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def execute(patch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run `python -m hclm_runner ARGS` in this process and the current folder, and return the exit code."""
    patch.setattr(sys, "argv", ["hclm_runner", *arguments])
    patch.setenv("HYDRA_FULL_ERROR", "1")  # which the command sets for its process; so it is taken away at the end
    patch.delenv("HYDRA_FULL_ERROR")
    try:
        runpy.run_module("hclm_runner", run_name="__main__")
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run `python -m hclm_runner ARGS` in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str) -> Outcome:
        capfd.readouterr()
        code = execute(monkeypatch, *arguments)
        return Outcome(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Outcome]]:
    """Run a command in an empty folder of its own, the first time it is asked for; return the folder and the outcome.

    The folder is for all tests to read: one that writes there copies it first.
    """

    @cache
    def run(*arguments: str) -> tuple[Path, Outcome]:
        folder = tmp_path_factory.mktemp("once")
        with (
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(io.StringIO()) as out,
            redirect_stderr(io.StringIO()) as err,
        ):
            patch.chdir(folder)
            patch.setenv("COLUMNS", "120")
            code = execute(patch, *arguments)
        return folder, Outcome(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def needs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], list[str]]:
    """Return what an option of a group needs to compose: a placebo a stored run, the others nothing."""
    from hclm_runner import store
    from hclm_runner.config import CONF, configure
    from hclm_runner.records import COLUMNS, Records, describe

    @cache
    def run() -> tuple[Path, str]:
        folder, config = tmp_path_factory.mktemp("needs"), configure("regime=rl_thermostat")
        columns = {name: np.full((1, config.epochs + 1), 0.1) for name in COLUMNS}
        records = Records([config], columns, np.array([-1]))
        store.prepare(folder)
        store.write(folder, records.frame(), describe(records, "cpu", 1.0))
        return folder, config.run_id

    def overrides(group: str, option: str) -> list[str]:
        if "run: ???" not in (CONF / group / f"{option}.yaml").read_text():
            return []
        folder, run_id = run()
        return [f"{group}.store={folder}", f"{group}.run={run_id}"]

    return overrides


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a module of a user's own next to where the command runs, and return its name."""
    written: list[str] = []

    def write(source: str) -> str:
        name = f"user_parts_{abs(hash((str(tmp_path), source)))}"
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
        written.append(name)
        return name

    yield write
    for name in written:
        sys.modules.pop(name, None)
