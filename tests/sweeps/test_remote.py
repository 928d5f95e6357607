"""A store at a URL, here that of a folder: each machine has a copy, and all have the same table."""

import io
import os
import shutil
import sys
from contextlib import redirect_stderr
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from sweeps import GRID, SMALL, table
from synthetic_runs import configs, described

from hclm_runner import load_model, objects, remote, shards, store
from hclm_runner.config import configure
from hclm_runner.refusal import ConfigError
from hclm_runner.sweeps import compact
from hclm_runner.sweeps.__main__ import main as sweeps

pytest.importorskip("obstore", reason="needs obstore: pip install 'hclm-runner[cloud]'")


@pytest.fixture
def shared(tmp_path) -> Path:
    """The folder at the URL."""
    return tmp_path / "shared" / "s"


@pytest.fixture
def copies(tmp_path, shared) -> list[Path]:
    """The copies of two machines."""
    return [tmp_path / machine / "outputs" / f"file:{shared}" for machine in ("a", "b")]


def write(folder: Path, runs, status: str | None = None, add: float = 0.0) -> None:
    """Write runs as a command does; their records plus a number."""
    with store.locked(folder, print):
        records, descriptions = described(runs, status)
        store.write(folder, records.assign(entropy=records["entropy"] + add), descriptions)


def pulled(folder: Path) -> pd.DataFrame:
    remote.pull(folder)
    return table(folder)


def keys(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")}


def test_what_one_machine_writes_is_in_the_table_of_another(shared, copies, tmp_path, monkeypatch):
    a, b = copies
    runs = configs(6)
    write(a, runs[:2])
    write(b, runs[2:5])
    write(a, runs[5:])
    whole = pulled(b)
    assert set(whole["run_id"]) == {run.run_id for run in runs}
    pd.testing.assert_frame_equal(pulled(a), whole, check_exact=True)
    assert keys(shared) == keys(b), "a store as any other is at the URL"
    for key in keys(shared):
        assert (shared / key).read_bytes() == (a / key).read_bytes() == (b / key).read_bytes()
    monkeypatch.chdir(tmp_path)
    url = f"file://{shared}"
    records, _ = store.load(url)
    pd.testing.assert_frame_equal(records.sort_values(["run_id", "epoch"], ignore_index=True), whole)
    assert sweeps(["status", url]) == 0
    assert store.locate(url) == Path(f"outputs/file:{shared}")


def test_of_the_same_runs_the_first_shard_wins(shared, copies):
    a, b = copies
    runs = configs(2)
    for folder in copies:
        remote.exchange(folder)
    store.prepare(b)
    store.prepare(a)
    for folder, add in ((a, 0.0), (b, 1.0)):  # neither knows of the other
        records, descriptions = described(runs)
        store.write(folder, records.assign(entropy=records["entropy"] + add), descriptions)
    first = described(runs)[0].sort_values(["run_id", "epoch"], ignore_index=True)
    for folder in copies:
        pd.testing.assert_frame_equal(pulled(folder)[first.columns], first, check_exact=True)
    assert len(keys(shared)) == 2


def test_a_run_that_is_tried_again_replaces_the_attempt_before_on_every_machine(copies):
    a, b = copies
    runs = configs(1)
    write(a, runs, "failed")
    write(b, runs)
    for folder in copies:
        remote.pull(folder)
        assert store.index(folder)["status"].tolist() == ["finished"]
        assert len(table(folder)) == 4
    write(a, runs, add=1.0)  # as with force=true
    for folder in copies:
        remote.pull(folder)
        assert store.find(folder, runs[0].run_id)["status"] == "finished"
        assert pulled(folder)["entropy"].tolist() == store.read_records(folder, runs[0].run_id)["entropy"].tolist()
        assert pulled(folder)["entropy"].iloc[0] == 1.0
    write(b, runs, "failed")
    for folder in copies:
        remote.pull(folder)
        assert store.index(folder)["status"].tolist() == ["finished"], "a result is not lost to a later failure"
        assert store.ended(folder, [runs[0].run_id])["status"].tolist() == ["finished"]
        assert store.read_records(folder, runs[0].run_id)["entropy"].iloc[0] == 1.0


@pytest.mark.parametrize("newer", [0, 1])
def test_of_two_results_the_newer_by_the_servers_clock_is_read(shared, copies, newer):
    a, b = copies
    run = configs(1)[0]
    for add in (0.0, 1.0):
        write(a, [run], add=add)
    names = [f"{run.run_id}.parquet", f"{run.run_id}.1.parquet"]
    os.utime(shared / "runs" / names[newer], (4e9, 4e9))  # the clock of a folder is that of its files
    assert pulled(b)["entropy"].iloc[0] == newer
    assert store.read_records(b, run.run_id)["entropy"].iloc[0] == newer


def test_what_others_note_and_what_a_new_copy_notes_is_read(tmp_path):
    folder = tmp_path / "outputs" / f"file:{tmp_path}" / "s"
    folder.mkdir(parents=True)
    notes = folder / remote.NOTES

    def noted() -> dict[str, str]:
        copy = remote.of(folder)
        assert copy is not None
        return dict(copy.noted)

    assert noted() == {}
    remote.of(folder).note("runs/a", "1")
    with notes.open("a") as file:  # another command
        file.write("2 runs/b\n3 runs/")
    assert noted() == {"runs/a": "1", "runs/b": "2"}
    with notes.open("a") as file:
        file.write("c\n4 runs/a\n")
    assert noted() == {"runs/a": "4", "runs/b": "2", "runs/c": "3"}
    notes.unlink()
    notes.write_text("5 runs/d\n" * 9)
    assert noted() == {"runs/d": "5"}
    notes.unlink()
    assert noted() == {}


@pytest.mark.parametrize("sent", [[], ["records"], ["records", "runs"]], ids=["nothing", "records", "all"])
def test_a_command_that_dies_while_it_sends_loses_nothing(shared, copies, sent):
    a, b = copies
    write(a, configs(2))
    whole, name = table(a), shards.names(a)[0]
    for part in {*shards.PARTS} - {*sent}:
        (shared / part / name).unlink()
    (a / remote.NOTES).unlink()  # what was sent is noted last
    assert list((shared / "runs").glob("*")) == [] or "runs" in sent
    write(a, configs(3)[2:])
    assert keys(shared) == keys(a)
    found = pulled(b)
    pd.testing.assert_frame_equal(found[found["run_id"].isin(whole["run_id"])].reset_index(drop=True), whole)
    assert found["run_id"].nunique() == 3


def test_what_a_dead_machine_began_to_send_is_no_obstacle_to_others(shared, copies):
    a, b = copies
    write(a, configs(2))
    name = shards.names(a)[0]
    (shared / "runs" / name).unlink()
    shutil.rmtree(a)
    remote.pull(b)
    assert shards.names(b) == []
    write(b, configs(2), add=1.0)
    for folder in copies:
        assert pulled(folder)["entropy"].min() == 1.0
        assert len(table(folder)) == 8


def test_a_damaged_shard_at_the_url_is_set_aside_and_its_runs_train_again(shared, copies):
    a, b = copies
    write(a, configs(2))
    name = shards.names(a)[0]
    for part in shards.PARTS:
        (shared / part / name).write_text("no parquet")
    with store.locked(b, print) as aside:
        assert {path.name for path in aside} == {f"{part}-{name}" for part in shards.PARTS}
    write(b, configs(2))
    with store.locked(b, print) as aside:
        assert aside == [], "it is named once"
    assert len(pulled(b)) == 8
    assert len(keys(shared)) == 4, "what is at the URL is never changed"


def test_shards_are_merged_at_the_url_and_the_other_copies_follow(shared, copies, monkeypatch, tmp_path, capsys):
    a, b = copies
    runs = configs(8)
    write(a, runs[:1], "failed")
    for start in range(0, 8, 2):
        write(a if start % 4 else b, runs[start : start + 2])
    remote.pull(b)
    whole = pulled(a)
    assert len(keys(shared)) == 10
    monkeypatch.chdir(tmp_path / "a")
    assert sweeps(["compact", f"file://{shared}"]) == 0
    assert capsys.readouterr().out == f"outputs/file:{shared}/: 4 shards, now 1\n"
    assert len(keys(shared)) <= 4, "the merged one, and the attempt that failed"
    for folder in copies:
        pd.testing.assert_frame_equal(pulled(folder), whole, check_exact=True)
        assert len(shards.names(folder)) == 1
    write(b, configs(9)[8:])
    assert pulled(a)["run_id"].nunique() == 9


def test_a_run_that_is_tried_again_while_another_machine_merges_is_not_lost(copies, monkeypatch):
    a, b = copies
    runs, exchange = configs(4), remote.exchange
    for start in (0, 2):
        write(a, runs[start : start + 2])

    def then_another_writes(folder: Path) -> None:
        exchange(folder)
        if folder == b:
            write(a, runs[:1], add=1.0)  # as with force=true

    monkeypatch.setattr(remote, "exchange", then_another_writes)
    assert compact.compact(b) == (2, 1)
    for folder in copies:
        assert pulled(folder).groupby("run_id").size().tolist() == [4] * 4
        assert store.read_records(folder, runs[0].run_id)["entropy"].iloc[0] == 1.0
    write(a, runs[1:2], "failed")  # which drops what is stale from the merged shard
    assert store.read_records(a, runs[0].run_id)["entropy"].iloc[0] == 1.0


def test_a_copy_keeps_what_is_deleted_at_the_url(shared, copies):
    a, b = copies
    write(a, configs(2))
    whole = pulled(b)
    shutil.rmtree(shared)
    for folder in copies:
        pd.testing.assert_frame_equal(pulled(folder), whole)
    write(b, configs(3)[2:])
    assert pulled(b)["run_id"].nunique() == 3


def test_a_run_at_a_url_has_the_table_of_a_local_one(cli, shared, tmp_path):
    run, url = ["lam=0.1", *SMALL], f"file://{shared}"
    assert cli(*run).code == 0
    assert cli(*run, f"name={url}", "save_parameters=true").code == 0
    pd.testing.assert_frame_equal(table(f"outputs/{url}"), table(), check_exact=True)
    shutil.rmtree(tmp_path / "outputs" / "file:")
    again = cli(*run, f"name={url}", "save_parameters=true")
    assert (again.code, "Already in the store" in again.out) == (0, True), again.err
    run_id = store.load(url)[1]["run_id"][0]
    assert load_model(url, run_id)
    shutil.rmtree(tmp_path / "outputs" / "file:")
    dry = cli("-m", *run, "seed=0,1", f"name={url}", "sweep.dry_run=true")
    assert (dry.code, "2 runs, 1 in the store" in dry.out) == (0, True), dry.out


@pytest.mark.slow
def test_a_sweep_at_a_url_has_the_table_of_a_local_one(cli, shared, clean):
    done = cli(*GRID, f"name=file://{shared}")
    assert done.code == 0, done.err
    pd.testing.assert_frame_equal(table(f"outputs/file:{shared}"), table(clean), check_exact=True)


NAMES = ["s3://bucket", "s3://my-bucket/a/b.c", "gs://b/x", "az://container/x", "file:///a/.b/c_1~", "paper", "_x.1"]
REFUSED = ["s3://key:secret@bucket/x", "s3://bucket/x?token=1", "s3://b/../x", "s3://b/x/", "file://x", "http://x/y"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_stores(name):
    assert configure(name=name).name == name
    assert objects.url_of(store.OUTPUTS / name) == (name if "://" in name else None)


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_are_refused(name):
    with pytest.raises(ConfigError, match="or the URL of a store, without passwords"):
        configure(name=name)


def test_bad_places_are_one_line_each(cli, shared):
    shared.parent.mkdir()
    shared.write_text("a file")
    refused = cli(*SMALL, f"name=file://{shared}")
    assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err
    assert f"name=file://{shared}: expected a store that can be written, got " in refused.err
    assert not list(Path("outputs").rglob("*.parquet"))
    with pytest.raises(FileNotFoundError, match="no store of runs"):
        store.load(f"file://{shared.parent}/nowhere")
    assert not (shared.parent / "nowhere").exists(), "to look does not make it"
    with redirect_stderr(io.StringIO()) as said:
        assert sweeps(["status", f"file://{shared.parent}/nowhere"]) == 2
    assert said.getvalue().count("\n") == 1


def test_an_object_has_one_tag_in_a_listing_and_in_an_answer_of_its_own():
    unquoted, quoted = ({"e_tag": tag, "last_modified": datetime.now(UTC)} for tag in ("0x1", '"0x1"'))  # of Azure
    assert objects._listed(unquoted).tag == objects._listed(quoted).tag


def test_without_obstore_it_says_what_to_install(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    refused = cli(*SMALL, "name=s3://bucket/x")
    assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err
    assert "name=s3://bucket/x: expected obstore to be installed: pip install 'hclm-runner[cloud]'" in refused.err
