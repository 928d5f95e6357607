"""What a sweep leaves, and what the same command or a larger one makes of it."""

from pathlib import Path

import pandas as pd
import pytest
from sweeps import GRID, SMALL, table

from hclm_runner import store


def test_a_sweep_leaves_one_table_in_a_few_shards_and_says_how_to_load_it(once, clean):
    folder, done = once(*GRID)
    assert "16 runs to train" in done.err
    assert 'pandas.read_parquet("outputs/default/records")' in done.out
    assert [path.name for path in folder.iterdir()] == ["outputs"]
    records, runs = store.load(clean)
    assert len(runs) == 16
    assert (runs["status"] == "finished").all()
    sizes = records.groupby(["surrogate", "regime", "lam0", "seed"]).size()
    assert len(sizes) == 16
    assert (sizes == 4).all()
    assert len(list((clean / "runs").iterdir())) == 4, "one shard a bundle, one bundle a shape"


def test_the_same_sweep_again_trains_nothing_and_a_larger_one_only_what_is_new(trained):
    before = {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("*.parquet")}
    assert len(before) == 8
    again = trained(*GRID)
    assert again.code == 0
    assert "to train" not in again.err
    assert before == {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("*.parquet")}
    larger = trained(*[text.replace("range(2)", "range(3)") for text in GRID])
    assert "8 runs to train" in larger.err
    assert "16 in the store" in larger.err
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert len(table()) == 24 * 4


def test_a_single_run_finds_what_a_sweep_has_trained_and_force_replaces_it_alone(trained):
    whole = table()
    one = ["surrogate=softmax", "regime=thermostat", "lam=0.1", "seed=1", *SMALL]
    assert "Already in the store" in trained(*one).out
    assert "finished in" in trained(*one, "force=true").out
    pd.testing.assert_frame_equal(table(), whole)
    assert len(store.load("default")[1]) == 16


def damage(shard: Path, kind: str) -> int:
    """Spoil a shard of runs/ or its twin in records/; return how many files are left of the pair."""
    twin = shard.parents[1] / "records" / shard.name
    if kind == "torn":
        twin.write_bytes(twin.read_bytes()[:-100])
    elif kind == "empty":
        shard.write_bytes(b"")
    elif kind == "foreign":
        pd.DataFrame({"a": [1]}).to_parquet(shard)
    elif kind == "old":
        pd.read_parquet(shard).assign(schema=0).to_parquet(shard)
    elif kind == "orphan":
        shard.unlink()
    return 1 if kind == "orphan" else 2


@pytest.mark.parametrize("kinds", [("torn", "old", "orphan"), ("empty", "foreign")], ids="-".join)
def test_shards_that_cannot_be_trusted_are_set_aside_named_and_run_again(trained, kinds):
    whole = table()
    shards = sorted(Path("outputs/default/runs").iterdir())[: len(kinds)]
    left = [damage(shard, kind) for shard, kind in zip(shards, kinds, strict=True)]
    again = trained(*GRID)
    assert again.code == 0
    for shard, files in zip(shards, left, strict=True):
        assert again.err.count(shard.name) == files, "each file is named"
    assert again.err.count("set aside") == sum(left)
    assert f"{4 * len(kinds)} runs to train" in again.err
    assert len(list(Path("outputs/default/set_aside").iterdir())) == sum(left)
    pd.testing.assert_frame_equal(table(), whole)


def test_dry_run_says_what_would_run_and_trains_nothing(trained):
    dry = trained(*[text.replace("range(2)", "range(5)") for text in GRID], "sweep.dry_run=true")
    assert dry.code == 0
    for text in ("40 runs, 16 in the store", "surrogate", "logdet, softmax", "24 runs would train in 4 bundles", "GiB"):
        assert text in dry.out, text
    assert len(store.load("default")[1]) == 16
