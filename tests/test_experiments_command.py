"""python -m experiments: the verbs, what they import, and how each refuses."""

import os
import subprocess
import sys

import pytest
from synthetic_own import made_up, write

from experiments.__main__ import VERBS, main

READERS = ("figures", "claims", "verdicts", "report", "compare", "export")
"""The verbs that read a store and nothing else."""


def module(monkeypatch, body: str) -> None:
    """Add a verb `probe` whose main is `body`."""
    probe = type(sys)("probe_of_a_verb")
    exec(f"def main(arguments):\n    {body}", vars(probe))
    monkeypatch.setitem(sys.modules, "probe_of_a_verb", probe)
    monkeypatch.setitem(VERBS, "probe", VERBS["figures"]._replace(module="probe_of_a_verb"))


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_without_a_verb_they_are_listed_a_line_each(arguments, capsys):
    main(arguments)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(VERBS)
    assert [*VERBS] == [
        *READERS,
        "multiverse",
        "mediation",
        "placebos",
        "baselines",
        "architectures",
        "stability",
        "verify",
        "theory",
        "statements",
        "benchmark",
    ]
    assert max(map(len, lines)) <= 120
    assert err == ""


def test_an_unknown_verb_is_refused_with_the_list(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["figurse", "paper"])
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert out == ""
    assert err.startswith("error: no command figurse\n")
    assert all(f"\n  {verb} " in err for verb in VERBS)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (
            "from hclm_runner.config import ConfigError; raise ConfigError('key', 1, 'two')",
            "error: key=1: expected two\n",
        ),
        ("open('/nowhere/at/all', 'w')", "error: [Errno 2] No such file or directory: '/nowhere/at/all'\n"),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_2(monkeypatch, capsys, body, line):
    module(monkeypatch, body)
    with pytest.raises(SystemExit) as stop:
        main(["probe"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == line


def test_what_a_verb_is_given_reaches_it_and_its_own_exit_code_is_kept(monkeypatch, capsys):
    module(monkeypatch, "print(arguments); raise SystemExit(1)")
    with pytest.raises(SystemExit) as stop:
        main(["probe", "a", "--b"])
    assert stop.value.code == 1
    assert capsys.readouterr().out == "['a', '--b']\n"
    module(monkeypatch, "raise KeyError('a fault of ours')")
    with pytest.raises(KeyError):
        main(["probe"])


@pytest.mark.parametrize("verb", ["figures", "verdicts", "compare"])
def test_a_store_that_is_not_there_is_refused_by_every_verb(verb, tmp_path, capsys):
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(SystemExit) as stop:
        main([verb, nowhere, *([nowhere] if verb == "compare" else [])])
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert err.startswith(f"error: store={nowhere}: expected a store of runs, ")
    assert err.count("\n") == 1


def test_an_argument_that_argparse_refuses_is_argparses(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["compare", "a"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m experiments compare ")


def test_a_closed_pipe_is_no_traceback(tmp_path):
    folder = str(write(tmp_path / "store", made_up(["renyi"], ["fixed"])))
    read, written = os.pipe()
    os.close(read)
    line = [sys.executable, "-m", "experiments", "figures", folder, "--only", "renyi_gap"]
    done = subprocess.run(line, stdout=written, stderr=subprocess.PIPE, text=True)
    os.close(written)
    assert (done.returncode, done.stderr) == (1, "")


def test_what_reads_a_store_or_lists_statements_imports_no_torch_hydra_or_scipy_stats_and_help_imports_no_verb():
    modules = [VERBS[verb].module for verb in (*READERS, "statements")]
    modules += [f"experiments.statements.{name}" for name in ("sweeps", "trajectories")]
    code = (
        "import sys, importlib, experiments.__main__\n"
        "experiments.__main__.main([])\n"
        "early = [name for name in sys.modules if name in " + repr([row.module for row in VERBS.values()]) + "]\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        "list(sys.modules['experiments.statements'].STATEMENTS)\n"
        "late = [name for name in ('torch', 'hydra', 'scipy.stats') if name in sys.modules]\n"
        "print(early, late)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[] []", done.stderr


def test_every_verb_is_there():
    import importlib

    for row in VERBS.values():
        assert callable(importlib.import_module(row.module).main), row.module
