"""A store over what its sweep varied: a key is an axis, and what is not one whole experiment is refused."""

import os

import numpy as np
import pandas as pd
import pytest
from small_stores import store_of

from experiments.statements import sweeps
from hclm_runner import store
from hclm_runner.refusal import ConfigError


def test_a_key_is_an_axis_and_a_list_is_its_first_entry(tmp_path):
    folder = store_of(tmp_path / "a", ["model.hidden=[8]"], ["model.hidden=[4]"])
    runs = sweeps.over(folder, width="model.hidden")
    assert runs["width"].to_numpy().tolist() == [4, 8]
    assert dict(runs.sizes) == {"width": 2, "surrogate": 1, "lam0": 1, "seed": 4, "epoch": 4}
    assert runs.attrs["configs"]["width"][8]["model"]["hidden"] == [8]


def test_too_few_seeds_for_an_interval_are_refused(tmp_path):
    lone = sweeps.over(store_of(tmp_path / "lone", ["lam=0.03"], seeds=[0, 1]), n="task.train")
    with pytest.raises(ConfigError, match="at least 4 seeds, for intervals, got 2"):
        sweeps.require(lone, "lone")


def test_a_store_is_read_once_until_it_changes(tmp_path, monkeypatch):
    read, load = [], store.load
    monkeypatch.setattr(store, "load", lambda folder: read.append(folder) or load(folder))
    folder = store_of(tmp_path / "a", ["task.train=64"], ["task.train=128"])
    first = sweeps.over(folder, n="task.train")
    first["force"] = first["force"] + 1  # what a reader does with its copy, the next one does not see
    again = sweeps.over(str(folder), n="task.train")
    assert len(read) == 1
    np.testing.assert_array_equal(again["force"] + 1, first["force"])
    assert "width" in sweeps.over(folder, n="task.train", width="model.hidden").dims
    assert len(read) == 2
    store_of(folder, ["task.train=256"])
    assert sweeps.over(folder, n="task.train").sizes["n"] == 3
    assert len(read) == 3
    shard = next((folder / "records").iterdir())
    os.utime(shard, ns=(0, shard.stat().st_mtime_ns + 1))  # the same runs, trained again
    sweeps.over(folder, n="task.train")
    assert len(read) == 4


def test_runs_that_were_tried_without_a_result_are_missing_and_named(tmp_path):
    folder = store_of(tmp_path / "a", ["task.train=64"], ["task.train=128"])
    for path in (folder / "runs").iterdir():
        runs = pd.read_parquet(path)
        large = ['"train": 128' in text for text in runs["config"]]
        runs.assign(status=np.where(large, "failed", runs["status"]), rows=np.where(large, 0, 4)).to_parquet(path)
    with pytest.raises(
        ConfigError, match=r"8 in all, but 4 are missing: n 128, .*, seed 0 \(tried, without a result\);"
    ):
        sweeps.over(folder, n="task.train")
    for path in (folder / "runs").iterdir():
        pd.read_parquet(path).assign(status="refused", rows=0).to_parquet(path)
    with pytest.raises(ConfigError, match="finished runs, got 8 without a result"):
        sweeps.over(folder, n="task.train")


def test_what_is_not_whole_or_not_one_experiment_is_refused(tmp_path):
    folder = store_of(tmp_path / "a", ["task.train=64", "lam=0.1"], ["task.train=128", "lam=0.1"], ["lam=0.2"])
    lam = r"but 4 are missing: n 128, surrogate logdet, lam0 0\.2, seed 0; .*seed 2; and 1 more"
    with pytest.raises(ConfigError, match=rf"n x surrogate x lam0 x seed, 16 in all, {lam}"):
        sweeps.over(folder, n="task.train")
    twice = store_of(tmp_path / "twice", ["model.hidden=[8,4]"], ["model.hidden=[8,2]"])
    with pytest.raises(ConfigError, match="width x surrogate x lam0 x seed, 4 in all, got 8"):
        sweeps.over(twice, width="model.hidden")
    with pytest.raises(ConfigError, match=r"runs that differ in task\.train, surrogate, lam, seed alone"):
        sweeps.over(store_of(tmp_path / "b", ["task.train=64"], ["task.train=128", "sigma=2"]), n="task.train")
    lacking = store_of(tmp_path / "c", ["task.train=64"], ["task.train=128"])
    torn = next((lacking / "records").iterdir())
    rows = pd.read_parquet(torn)
    rows[rows["epoch"] < rows["epoch"].max()].to_parquet(torn)
    with pytest.raises(ConfigError, match="the records of every run, but 4 lack theirs"):
        sweeps.over(lacking, n="task.train")
    for spoil in (lambda: torn.write_bytes(b"torn"), torn.unlink):
        spoil()
        with pytest.raises(ConfigError, match="records that can be read"):
            sweeps.over(lacking, n="task.train")
    for path in (folder / "runs").iterdir():
        pd.read_parquet(path).assign(schema=1).to_parquet(path)
    with pytest.raises(ConfigError, match="records of version"):
        sweeps.over(folder, n="task.train")
    with pytest.raises(ConfigError, match="a store of runs"):
        sweeps.over(tmp_path / "none", n="task.train")
