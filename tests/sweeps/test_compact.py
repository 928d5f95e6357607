"""Shards are merged while others write and read: at any time each row is there once."""

import itertools
import shutil
import threading
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from sweeps import table
from synthetic_runs import configs, write

from hclm_runner import shards, store
from hclm_runner.refusal import ConfigError
from hclm_runner.sweeps.__main__ import main
from hclm_runner.sweeps.compact import compact


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """A store of seven shards: five bundles of two runs and 8 rows, a run that failed, one of another learning rate."""
    folder, runs = tmp_path_factory.mktemp("many") / "s", configs(11)
    write(folder, runs[10:], "failed")
    for start in range(0, 10, 2):
        write(folder, runs[start : start + 2])
    write(folder, configs(1, "optimizer.lr=0.5"))
    return folder


@pytest.fixture
def folder(many, tmp_path) -> Path:
    shutil.copytree(many, tmp_path / "s")
    return tmp_path / "s"


def whole(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return table(folder), store.load(folder)[1].sort_values("run_id", ignore_index=True)


def same(folder: Path, expected: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    for found, wanted in zip(whole(folder), expected, strict=True):
        pd.testing.assert_frame_equal(found, wanted)
    assert sorted(store.index(folder)["run_id"]) == list(expected[1]["run_id"])


def test_the_tables_stay_as_they_are_in_fewer_files(folder, many):
    assert compact(folder, rows=20) == (7, 3)
    same(folder, whole(many))
    rows = [pq.read_metadata(path).num_rows for path in (folder / "records").glob("*.parquet")]
    assert sum(rows) == 44
    assert max(rows) <= 20
    assert compact(folder, rows=20) == (3, 3), "nothing is left to do"
    assert compact(folder) == (3, 1)
    same(folder, whole(many))
    assert store.tidy(folder) == [], "what was merged is trusted"
    run_id = configs(1)[0].run_id
    assert store.find(folder, run_id)["status"] == "finished"
    assert len(store.read_records(folder, run_id)) == 4


@pytest.fixture
def few(folder) -> Path:
    """Two of its shards; one is that of the run that failed."""
    failed = shards.shard_name([configs(11)[10].run_id])
    for name in [name for name in shards.names(folder) if name != f"{failed}.parquet"][1:]:
        shards.remove(folder, name)
    return folder


def brief(folder: Path) -> tuple[list[str], list[tuple[object, ...]]]:
    """Return the runs that a reader of the store finds, and rows of theirs."""
    rows = store.load(folder, columns=["epoch", "force"])[0]
    return sorted(store.index(folder)["run_id"]), sorted(rows.itertuples(index=False, name=None))


def every_change(monkeypatch, do) -> None:
    """Call `do` before and after each change of a file's name."""
    for name in ("replace", "unlink"):
        change = getattr(Path, name)

        def changed(path, *rest, change=change, **options):
            do()
            result = change(path, *rest, **options)
            do()
            return result

        monkeypatch.setattr(Path, name, changed)


def test_readers_see_each_row_once_at_any_time(few, monkeypatch):
    expected, seen = brief(few), []

    def look() -> None:
        assert brief(few) == expected
        seen.append(len(shards.names(few)))

    every_change(monkeypatch, look)
    compact(few)
    assert set(seen) == {1, 2, 3}, "with the merged one beside all, some and none of the others"


def test_what_pandas_alone_reads_meanwhile_is_not_so(folder, many, monkeypatch):
    """The control: without the store's reader, rows are seen twice."""
    seen = []
    every_change(monkeypatch, lambda: seen.append(len(pd.read_parquet(folder / "records"))))
    compact(folder)
    assert min(seen) == 44
    assert max(seen) == 88


def test_a_reader_that_meets_a_file_that_is_gone_reads_again(folder, many, monkeypatch):
    expected, read = whole(many), pq.ParquetFile

    def merge_first(path):
        monkeypatch.setattr(pq, "ParquetFile", read)
        compact(folder)
        return read(path)

    for look in (whole, store.index):
        shutil.rmtree(folder)
        shutil.copytree(many, folder)
        monkeypatch.setattr(pq, "ParquetFile", merge_first)
        look(folder)
        assert len(shards.names(folder)) == 1
        same(folder, expected)


class KilledError(BaseException):
    pass


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost_and_the_next_command_mends_it(few, tmp_path, monkeypatch):
    expected, kept = brief(few), few.rename(tmp_path / "kept")
    moments = 0
    while True:
        shutil.rmtree(few, ignore_errors=True)
        shutil.copytree(kept, few)
        changes = itertools.count()

        def kill(changes=changes, moment=moments) -> None:
            if next(changes) == moment:
                raise KilledError

        with monkeypatch.context() as patch:
            every_change(patch, kill)
            try:
                compact(few)
                break
            except KilledError:
                patch.undo()
        assert brief(few) == expected
        store.tidy(few)
        assert brief(few) == expected
        moments += 1
    assert moments >= 2 * (2 + 2 + 4), "before and after two files are renamed, two temporary and four replaced removed"


def test_a_run_that_was_written_again_is_merged_again(folder):
    compact(folder)
    write(folder, configs(11)[10:])
    compact(folder)
    found = store.index(folder)
    assert len(shards.names(folder)) == 1
    assert (len(found), set(found["status"])) == (12, {"finished"})


def test_a_sweep_writes_meanwhile(folder, many):
    runs = configs(30)[11:]
    failed = configs(11)[10:]

    def sweep() -> None:
        for run in [*failed, *runs]:  # the first replaces a row of a shard that is being merged
            write(folder, [run])

    writer = threading.Thread(target=sweep)
    writer.start()
    while writer.is_alive():
        compact(folder)
    writer.join()
    compact(folder)
    found = store.index(folder)
    assert len(found) == 12 + len(runs)
    assert set(found["status"]) == {"finished"}
    assert found["run_id"].is_unique
    assert len(store.load(folder)[0]) == 4 * len(found)


def test_columns_and_rows_are_chosen_before_they_are_read(folder):
    compact(folder, rows=20)
    records, runs = store.load(folder, columns=["force", "epoch"], filters=[("seed", "<=", 1), ("epoch", ">", 1)])
    assert list(records) == ["run_id", "force", "epoch"]
    assert (len(runs), len(records)) == (3, 6), "two seeds, one of them with two learning rates"
    assert sorted(records["force"]) == pytest.approx([0.2, 0.2, 0.3, 0.3, 1.2, 1.3])
    with_rate, runs = store.load(folder, columns=["optimizer.lr"])
    assert list(with_rate) == ["run_id", "optimizer.lr"]
    assert (len(with_rate), len(runs)) == (44, 12)
    assert (with_rate["optimizer.lr"] == 0.5).sum() == 4
    with pytest.raises(ConfigError, match=r"columns=nosuch: expected a column of .*, or a setting .*: optimizer\.lr"):
        store.load(folder, columns=["nosuch"])
    with pytest.raises(ConfigError, match="filters=nosuch: expected conditions on columns of"):
        store.load(folder, filters=[("nosuch", "==", 1)])


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_a_lazy_table_has_the_rows_of_load_also_with_a_shard_that_is_merged_already(folder, engine, monkeypatch):
    pytest.importorskip(engine)
    find = store.importlib.util.find_spec
    monkeypatch.setattr(store.importlib.util, "find_spec", lambda name: find(name) if name == engine else None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "remove", lambda *_: None)
        compact(folder)
    older = configs(2)
    name = f"{shards.shard_name([run.run_id for run in older])}.parquet"
    shards.drop(folder, name, {older[0].run_id})  # so that one has a run of its own, too
    assert len(shards.names(folder)) == 8
    lazy = store.scan(folder)
    found = (lazy.collect().to_pandas() if engine == "polars" else lazy.df()).sort_values(["run_id", "epoch"])
    wanted = table(folder)[list(found)]
    assert list(found["run_id"]) == list(wanted["run_id"])
    assert list(found["force"]) == list(wanted["force"])


def test_a_lazy_table_needs_a_library(folder, monkeypatch):
    monkeypatch.setattr(store.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="polars or duckdb to be installed"):
        store.scan(folder)


def test_the_command_says_what_it_did(folder, capsys):
    assert main(["compact", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}/: 7 shards, now 1\n"
    assert main(["compact", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: store=nowhere: expected a store of runs, got no store")
