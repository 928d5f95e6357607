"""A disk that is full, a file that may not grow, a store that may not be written."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from sweeps import GRID, SMALL, table

from hclm_runner import configure, sweep


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_one_clear_line_and_corrupts_nothing(tmp_path):
    arguments = shlex.join([*GRID, "epochs=60", "seed=range(8)"])
    command = f"ulimit -f 32; exec {sys.executable} -m hclm_runner {arguments}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "error: the store cannot be written: " in done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "outputs").rglob(".*.parquet"))
    for path in (tmp_path / "outputs").rglob("*.parquet"):
        pd.read_parquet(path)


@pytest.fixture
def small_disk(tmp_path, cli, monkeypatch) -> Path:
    """A file system of one MiB, where `cli` runs."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.strip()}")
    monkeypatch.chdir(disk)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path, leave: int) -> None:
    with (disk / "filler").open("ab") as file:
        file.write(b"0" * (shutil.disk_usage(disk).free - leave))


def test_a_full_disk_is_one_clear_line_and_what_is_lost_is_trained_again(cli, small_disk, clean):
    fill(small_disk, leave=2**16)
    swept = cli(*GRID)
    assert swept.code == 1
    assert swept.err.count("error: the store cannot be written: ") == 1
    assert "No space left on device" in swept.err
    fill(small_disk, leave=2**13)
    single = cli(*SMALL, "lam=0.7")
    assert (single.code, single.err.count("\n")) == (1, 1), single.err
    assert "No space left on device" in single.err
    (small_disk / "filler").unlink()
    again = cli(*GRID)
    assert again.code == 0
    assert "set aside" not in again.err
    pd.testing.assert_frame_equal(table(), table(clean))


def test_a_read_only_store_is_one_clear_line_and_can_still_be_read(cli, small_disk):
    known = ["surrogate=logdet", "lam=0", "seed=0", *SMALL]
    assert cli("-m", *known).code == 0
    whole = table()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for new in (["-m", *known, "seed=0,1"], [*known, "seed=1"]):
        refused = cli(*new)
        assert (refused.code, refused.err.count("\n"), refused.out) == (2, 1, "")
        assert refused.err.startswith("error: ")
        assert "Read-only file system" in refused.err
    assert "Already in the store" in cli(*known).out
    pd.testing.assert_frame_equal(table(), whole)


def test_python_learns_that_a_full_disk_ended_a_sweep(small_disk, capfd):
    (small_disk / "outputs/default").mkdir(parents=True)
    fill(small_disk, leave=2**13)
    with pytest.raises(RuntimeError, match="not reached: 1; the same call again"):
        sweep(configure(*SMALL))
    assert "error: the store cannot be written: " in capfd.readouterr().err
    (small_disk / "filler").unlink()
    assert list(sweep(configure(*SMALL))[1]["status"]) == ["finished"]
