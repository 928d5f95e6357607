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

import pytest
import torch

torch.set_num_threads(1)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""For the processes that sweeps start: a lone bundle trains on two threads, and one that waits for the other would spin
on a core that another test needs. It cost up to twenty seconds a test on a busy machine."""


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
    patch.delenv("HYDRA_FULL_ERROR", raising=False)  # which the command sets for its process
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
