"""A store in a real server of object storage: the table of a local one, bit for bit, whatever dies and whatever the server refuses."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from object_storage import BUCKET, READER, between, environment, serving, url_of

from hclm_runner import store
from hclm_runner.objects import Objects

pytest.importorskip("obstore", reason="needs obstore: pip install 'hclm-runner[cloud]'")

SMALL = ["task.train=32", "task.feedback=32", "task.test=32", "batch_size=16", "epochs=3"]
GRID = ["-m", "surrogate=logdet,softmax", "lam=0,0.1,1", "seed=range(4)", *SMALL, "sweep.workers=1"]
"""24 runs of two shapes."""


def table(folder: Path) -> pd.DataFrame:
    return store.load(folder)[0].sort_values(["run_id", "epoch"], ignore_index=True)


class Machine:
    """A working directory, and how a person there runs a command."""

    def __init__(self, home: Path, port: int, **keys: str) -> None:
        self.home, self.environment = home, os.environ | environment(port) | keys | {"COLUMNS": "120"}
        home.mkdir(exist_ok=True)

    def start(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", module, *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.home, env=self.environment, text=True, **pipes)

    def run(self, module: str, *arguments: str) -> tuple[int, str, str]:
        process = self.start(module, *arguments)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def table(self, url: str) -> pd.DataFrame:
        return table(self.home / "outputs" / url)


@pytest.fixture(scope="module")
def server(request, tmp_path_factory) -> int:
    with serving(request.param, tmp_path_factory.mktemp(request.param)) as port:
        yield port


EACH = pytest.mark.parametrize("server", ["moto", "seaweedfs", "azurite"], indirect=True)
ONE = pytest.mark.parametrize("server", ["seaweedfs"], indirect=True)


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> pd.DataFrame:
    machine = Machine(tmp_path_factory.mktemp("local"), 1)
    code, _, err = machine.run("hclm_runner", *GRID)
    assert code == 0, err
    return machine.table("default")


@pytest.fixture
def url(request, tmp_path) -> str:
    return url_of(request.node.callspec.params["server"], tmp_path.name)


@pytest.fixture
def objects(server, url, monkeypatch) -> Objects:
    """What is in the bucket."""
    for name, value in environment(server).items():
        monkeypatch.setenv(name, value)
    return Objects(url)


@pytest.mark.slow
@EACH
def test_two_machines_share_a_sweep_of_which_one_is_killed(server, url, objects, local, tmp_path):
    machines = [Machine(tmp_path / name, server) for name in "abc"]
    commands = [machine.start("hclm_runner", *GRID, f"name={url}", "sweep.bundle=2") for machine in machines[:2]]
    doomed, other = commands
    end = time.monotonic() + 120
    while len(objects.listed("runs")) < 3 or not objects.listed("taken"):
        assert time.monotonic() < end
        time.sleep(0.05)
    doomed.kill()
    out, err = other.communicate(timeout=300)
    assert other.returncode == 0, err
    doomed.communicate()
    pd.testing.assert_frame_equal(machines[1].table(url), local, check_exact=True)
    assert objects.listed("taken") == {}
    third = machines[2]
    assert third.run("hclm_runner", *GRID, f"name={url}")[0] == 0, "and trains nothing"
    pd.testing.assert_frame_equal(third.table(url), local, check_exact=True)
    assert len(third.table(url)) == 24 * 4
    code, out, err = third.run("hclm_runner.sweeps", "status", url)
    assert (code, "finished" in out) == (0, True), err
    code, out, err = third.run("hclm_runner.sweeps", "compact", url)
    assert (code, "now 1" in out) == (0, True), err
    there = objects.listed("runs")
    assert len(there) == len(objects.listed("records")) == 1
    assert all(objects.look(f"runs/{name}").tag == found.tag for name, found in there.items()), "what is sent is known"
    code, out, err = machines[1].run("hclm_runner", *GRID, f"name={url}")
    assert code == 0, err
    pd.testing.assert_frame_equal(machines[1].table(url), local, check_exact=True)


@pytest.mark.slow
@ONE
def test_a_busy_server_is_asked_again(server, url, objects, local, tmp_path):
    asked = iter(range(10**6))
    with between(server, lambda *_: "503" if next(asked) % 3 == 0 else None) as port:
        machine = Machine(tmp_path / "a", port)
        code, _, err = machine.run("hclm_runner", *GRID, f"name={url}", "sweep.bundle=6")
        assert code == 0, err
    assert next(asked) > 30
    pd.testing.assert_frame_equal(machine.table(url), local, check_exact=True)


@pytest.mark.slow
@ONE
def test_a_command_that_is_killed_while_it_sends_leaves_nothing_torn(server, url, objects, local, tmp_path):
    seen: list[str] = []

    def fault(method: str, path: str) -> str | None:
        if method == "PUT" and "/records/" in path:
            seen.append(path)
            return "half"
        return None

    with between(server, fault) as port:
        driver = Machine(tmp_path / "a", port).start("hclm_runner", *GRID, f"name={url}", "sweep.bundle=6")
        while not seen:
            assert driver.poll() is None
            time.sleep(0.02)
        driver.kill()
        driver.communicate()
    assert objects.listed("records") == objects.listed("runs") == {}
    machine = Machine(tmp_path / "a", server)
    code, _, err = machine.run("hclm_runner", *GRID, f"name={url}", "sweep.bundle=6")
    assert code == 0, err
    pd.testing.assert_frame_equal(machine.table(url), local, check_exact=True)
    assert len(objects.listed("runs")) == 4


@pytest.mark.slow
@ONE
def test_a_server_that_goes_away_costs_nothing_that_has_trained(server, url, objects, local, tmp_path):
    seen: list[str] = []

    def fault(method: str, path: str) -> str | None:
        seen.append(path)
        return "503" if any("/runs/" in each for each in seen[:-1]) else None

    with between(server, fault) as port:
        machine = Machine(tmp_path / "a", port)
        code, _, err = machine.run("hclm_runner", *GRID, f"name={url}", "sweep.bundle=6")
    assert code == 1
    assert "Traceback" not in err
    assert "error: the store cannot be written: s3://" in err
    assert "and the same command sends it" in err
    machine = Machine(tmp_path / "a", server)
    code, _, err = machine.run("hclm_runner", *GRID, f"name={url}")
    assert code == 0, err
    pd.testing.assert_frame_equal(machine.table(url), local, check_exact=True)


WRONG = {
    "SignatureDoesNotMatch": {"AWS_SECRET_ACCESS_KEY": "another"},
    "InvalidAccessKeyId": {"AWS_ACCESS_KEY_ID": "nobody"},
    "AccessDenied": READER,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "url", "cases"),
    [
        ("moto", "s3://nosuch/x", {"NoSuchBucket": {}}),
        ("seaweedfs", f"s3://{BUCKET}/refused", WRONG),
        ("azurite", "az://nosuch/x", {"ContainerNotFound": {}}),
        ("azurite", f"az://{BUCKET}/x", {"AuthorizationFailure": {"AZURE_STORAGE_ACCOUNT_KEY": "YW5vdGhlcg=="}}),
    ],
    indirect=["server"],
)
def test_what_the_server_refuses_is_one_line(server, url, cases, tmp_path):
    for said, keys in cases.items():
        machine = Machine(tmp_path / said, server, **keys)
        for arguments in (SMALL, [*GRID, "sweep.dry_run=true"], GRID):
            code, out, err = machine.run("hclm_runner", *arguments, f"name={url}")
            if said == "AccessDenied" and "sweep.dry_run=true" in arguments:
                assert code == 0, "to read is allowed"
                continue
            assert (code, err.count("\n"), out) == (2, 1, ""), err
            assert re.match(f"error: name={url}: expected a store that can be (read|written), got {said}", err), err
            assert "secret" not in err
            assert "another" not in err
    assert not list(tmp_path.rglob("*.parquet"))
