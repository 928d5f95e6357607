"""The store under faults: what is not whole is not there, and what was there is not lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from hclm_runner import shards, store
from hclm_runner.config import SCHEMA_VERSION
from hclm_runner.refusal import ConfigError

RUN = pd.DataFrame({"run_id": ["abc"], "status": ["finished"], "rows": [2], "schema": [SCHEMA_VERSION]})
RECORDS = pd.DataFrame({"run_id": "abc", "epoch": [0, 1], "force": [1.0, 2.0]})


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "outputs" / "s"
    store.prepare(path)
    store.write(path, RECORDS, RUN)
    return path


def test_what_was_written_is_found_and_read(folder):
    assert store.find(folder, "abc")["status"] == "finished"
    assert store.find(folder, "other") is None
    pd.testing.assert_frame_equal(store.read_records(folder, "abc"), RECORDS)
    records, runs = store.load(folder)
    assert (len(records), len(runs)) == (2, 1)
    assert sorted(path.name for path in folder.rglob("*.parquet")) == ["abc.parquet"] * 2


def test_a_store_is_loaded_by_name_and_a_missing_one_says_so(folder, monkeypatch):
    monkeypatch.chdir(folder.parents[1])
    assert len(store.load("s")[0]) == 2
    with pytest.raises(FileNotFoundError, match="no store of runs"):
        store.load("nowhere")


@pytest.mark.parametrize("part", ["records", "runs"])
@pytest.mark.parametrize("damage", ["torn", "empty", "foreign", "gone"])
def test_a_damaged_file_means_the_run_is_not_there(folder, part, damage):
    path = folder / part / "abc.parquet"
    content = path.read_bytes()
    path.unlink()
    if damage == "torn":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        path.write_text("not parquet at all, though quite long enough to be mistaken for it")
    assert store.find(folder, "abc") is None
    store.write(folder, RECORDS, RUN)
    assert store.find(folder, "abc") is not None


def test_a_failing_write_leaves_what_was_there(folder):
    path = folder / "runs" / "abc.parquet"
    before = path.read_bytes()

    def fail(temporary: str) -> None:
        Path(temporary).write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        store.atomically(path, fail)
    assert path.read_bytes() == before
    assert [item.name for item in (folder / "runs").iterdir()] == ["abc.parquet"]


@pytest.mark.slow
def test_sigkill_while_writing_never_leaves_a_file_that_cannot_be_read(tmp_path):
    code = """
import sys, pandas as pd, numpy as np
from pathlib import Path
from hclm_runner import shards, store
folder = Path(sys.argv[1]); store.prepare(folder)
records = pd.DataFrame({"run_id": "x", "force": np.random.rand(200_000)})
i = 0
while True:
    store.write(folder, records, pd.DataFrame({"run_id": [f"r{i % 3}"], "status": ["finished"]})); i += 1
    print("written", flush=True)  # so that a busy machine is killed while it writes, and not before
"""
    for kill in range(6):
        writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(0.05 + 0.037 * kill)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    files = [path for path in tmp_path.rglob("*.parquet") if not path.name.startswith(".")]
    assert len(files) >= 2
    for path in files:
        pd.read_parquet(path)
    pd.read_parquet(tmp_path / "records")  # readers pass over what was left half-written


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="Permission denied"):
        store.prepare(tmp_path / "s")


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "s").write_text("")
    with pytest.raises(ConfigError, match="a store that can be written at"):
        store.prepare(tmp_path / "s")


def test_an_index_reads_each_shard_once_however_many_runs_it_has(tmp_path, monkeypatch):
    store.prepare(tmp_path)
    runs = pd.DataFrame({"run_id": [f"{i:016x}" for i in range(10_000)], "status": "finished", "rows": 0, "schema": 1})
    shards = [tmp_path / "runs" / f"{part}.parquet" for part in range(20)]
    for part, shard in enumerate(shards):
        store.atomically(shard, runs[part::20].to_parquet)
    read, opened = pq.ParquetFile, []
    monkeypatch.setattr(pq, "ParquetFile", lambda path: opened.append(path) or read(path))
    assert set(store.index(tmp_path)["run_id"]) == set(runs["run_id"])
    assert sorted(opened) == sorted(shards)


def test_a_write_reads_a_shard_once_however_many_there_are(tmp_path):
    store.prepare(tmp_path)
    for i in range(20):
        before = shards.read_ids.cache_info().misses
        store.write(tmp_path, RECORDS.assign(run_id=f"r{i}"), RUN.assign(run_id=f"r{i}"))
        assert shards.read_ids.cache_info().misses - before <= 2, "of the shard before, and of its own place"
    assert set(store.index(tmp_path)["run_id"]) == {f"r{i}" for i in range(20)}


def test_a_shard_that_another_process_replaced_is_read_again(folder):
    assert store.find(folder, "abc") is not None
    store.atomically(folder / "records" / "abc.parquet", RECORDS.assign(run_id="xyz").to_parquet)
    store.atomically(folder / "runs" / "abc.parquet", RUN.assign(run_id="xyz").to_parquet)
    assert store.find(folder, "abc") is None
    assert store.find(folder, "xyz") is not None
    assert store.read_records(folder, "xyz")["force"].tolist() == [1.0, 2.0]
    nothing = store.read_records(folder, "abc")
    assert (len(nothing), *nothing.columns) == (0, *RECORDS.columns)
