"""A grid of whatever a store has: a user's own surrogates and laws, ragged stores, runs that failed, and parts of it."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from synthetic_own import EPOCHS, LAMS, SEEDS, made_up, without, write

from experiments import grid
from hclm_runner import store
from hclm_runner.refusal import ConfigError


def load(folder, task=None):
    return grid.only(grid.load(folder), task)


def test_a_users_own_stand_after_the_papers_in_alphabetical_order(tmp_path):
    own = made_up(["renyi", "logdet", "softmax", "alpha"], ["my_law", "thermostat", "a_law"])
    runs = load(write(tmp_path, own))
    assert runs["surrogate"].to_numpy().tolist() == ["softmax", "logdet", "alpha", "renyi"]
    assert runs["regime"].to_numpy().tolist() == ["thermostat", "a_law", "my_law"]
    xr.testing.assert_equal(runs, own.reindex_like(runs))
    assert runs.attrs["missing"] == []
    assert runs.attrs["config"]["regime my_law"] == {"name": "my_law", "gain": 3.0}


def test_a_law_that_ran_under_one_surrogate_leaves_a_hole_that_is_named(tmp_path):
    whole = made_up(["softmax", "renyi"], ["fixed", "my_law"])
    runs = load(write(tmp_path, without(whole, surrogate="softmax", regime="my_law")))
    assert dict(runs.sizes) == {"surrogate": 2, "regime": 2, "lam0": 3, "seed": 3, "epoch": EPOCHS + 1}
    assert runs.attrs["missing"] == [f"softmax / my_law, lam0 {lam:g}, seed {seed}" for lam in LAMS for seed in SEEDS]
    assert runs.attrs["unfinished"] == []
    assert np.isnan(runs["train_loss"].sel(surrogate="softmax", regime="my_law")).all()
    assert np.isfinite(runs["train_loss"].sel(surrogate="renyi")).all()


def test_runs_that_failed_have_their_places_and_are_named_as_missing(tmp_path):
    failed = [("softmax", "fixed", 30.0, 1), ("tsallis", "fixed", 0.1, 9)]
    runs = load(write(tmp_path, made_up(["softmax"], ["fixed"]), failed=failed))
    assert runs["surrogate"].to_numpy().tolist() == ["softmax", "tsallis"]
    assert runs["lam0"].to_numpy().tolist() == [*LAMS, 30.0]
    assert runs["seed"].to_numpy().tolist() == [*SEEDS, 9]
    assert runs.attrs["unfinished"] == ["softmax / fixed, lam0 30, seed 1", "tsallis / fixed, lam0 0.1, seed 9"]
    assert set(runs.attrs["unfinished"]) < set(runs.attrs["missing"])
    assert len(runs.attrs["missing"]) == 2 * 4 * 4 - 9


def test_a_store_without_a_result_is_refused_and_a_task_without_one_is_all_missing(tmp_path):
    write(
        tmp_path,
        made_up(["renyi"], ["fixed"], lams=[0.1], seeds=[0, 1]),
        failed=[("renyi", "fixed", 0.1, 0), ("renyi", "fixed", 0.1, 1)],
    )
    with pytest.raises(ConfigError, match=r"expected finished runs, got 2 without a result$"):
        grid.load(tmp_path)
    write(tmp_path, made_up(["renyi"], ["fixed"]), task="digits")
    grids = grid.load(tmp_path)
    assert list(grids) == ["digits", "gaussian_mixture"]
    lost = grids["gaussian_mixture"]
    assert lost.attrs["missing"] == ["renyi / fixed, lam0 0.1, seed 0", "renyi / fixed, lam0 0.1, seed 1"]
    assert np.isnan(lost["train_loss"]).all()
    with pytest.raises(ConfigError, match="2 are missing"):
        grid.complete(lost)


def test_one_place_under_two_configurations_is_refused_by_the_key(tmp_path):
    write(tmp_path, made_up(["renyi"], ["my_law"], seeds=[0]))
    write(tmp_path, made_up(["renyi"], ["my_law"], seeds=[1]), sigma=0.5)
    write(tmp_path, made_up(["renyi"], ["my_law"], seeds=[2]), sigma=2.0)
    with pytest.raises(ConfigError, match=r"runs of one configuration, but sigma is both (0.5 and 2|2.0 and 0.5)"):
        grid.load(tmp_path)


def test_one_place_run_again_with_an_edited_module_is_refused_by_its_name(tmp_path):
    write(tmp_path, made_up(["renyi"], ["fixed"]))
    _, runs = store.load(tmp_path)
    records = pd.read_parquet(tmp_path / "records")
    again = [frame.assign(run_id=frame["run_id"] + "'") for frame in (records, runs)]  # equal but for its identity
    store.write(tmp_path, *again)
    with pytest.raises(ConfigError, match="one run of each place, but renyi / fixed, lam0 0, seed 0 ran again"):
        grid.load(tmp_path)


def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path):
    write(tmp_path, made_up(["renyi"], ["fixed"]))
    (shard,) = (tmp_path / "records").iterdir()
    shard.write_bytes(b"torn")
    with pytest.raises(ConfigError, match="expected records that can be read, got ") as refused:
        grid.load(tmp_path)
    assert len(str(refused.value).splitlines()) == 1


def test_records_of_another_version_are_refused(tmp_path):
    write(tmp_path, made_up(["renyi"], ["fixed"]))
    (shard,) = (tmp_path / "runs").iterdir()
    pd.read_parquet(shard).assign(schema=1).to_parquet(shard)
    with pytest.raises(ConfigError, match="expected records of version"):
        grid.load(tmp_path)


# --- require --------------------------------------------------------------------------------------------------------


def test_what_a_grid_lacks_is_named_all_at_once():
    runs = made_up(["softmax", "renyi"], ["fixed", "my_law"])
    with pytest.raises(ConfigError) as refused:
        grid.require(runs, "mine", surrogate=grid.SURROGATES, regime=grid.REGIMES, seed=[0, 7])
    assert str(refused.value) == (
        "store=mine: expected runs of surrogate variance, logdet and of regime thermostat, rl_thermostat"
        " and of seed 7 too"
    )


def test_the_papers_part_of_a_store_is_the_papers_store(tmp_path):
    paper = made_up()
    more = xr.merge([paper, made_up(["renyi"], ["my_law"], lams=[0.5], seeds=[8])], join="outer", compat="no_conflicts")
    whole = load(write(tmp_path, more.assign_attrs(paper.attrs)))
    assert len(whole.attrs["missing"]) == 4 * 4 * 4 * 4 - 9 * 9 - 1
    part = grid.require(whole, "mine", surrogate=grid.SURROGATES, regime=grid.REGIMES)
    assert part["lam0"].to_numpy().tolist() == LAMS, "where only a user's own ran is no hole in the paper's"
    xr.testing.assert_equal(part, paper)
    assert part.attrs["missing"] == []
    own = grid.require(whole, "mine", surrogate=["renyi"])
    assert {axis: own[axis].to_numpy().tolist() for axis in grid.AXES} == {
        "surrogate": ["renyi"],
        "regime": ["my_law"],
        "lam0": [0.5],
        "seed": [8],
    }
    asked = grid.require(whole, "mine", surrogate=["renyi"], lam0=[0.0, 0.5], seed=np.array([8]))
    assert asked["lam0"].to_numpy().tolist() == [0.0, 0.5], "what was asked for stays"
    assert asked.attrs["missing"] == ["renyi / my_law, lam0 0, seed 8"]


def test_what_is_missing_is_narrowed_and_runs_that_failed_stay_missing(tmp_path):
    whole = without(made_up(["softmax", "renyi"], ["fixed"]), surrogate="softmax", lam0=0.1, seed=2)
    failed = [("renyi", "fixed", 30.0, seed) for seed in SEEDS]
    runs = load(write(tmp_path, whole, failed=failed)).assign_attrs(
        diverged=["softmax / fixed, lam0 0, seed 0", "renyi / fixed, lam0 0, seed 0"]
    )
    softmax, renyi = (grid.require(runs, "mine", surrogate=[name]) for name in ("softmax", "renyi"))
    assert softmax.attrs["missing"] == ["softmax / fixed, lam0 0.1, seed 2"]
    assert softmax.attrs["unfinished"] == []
    assert softmax.attrs["diverged"] == ["softmax / fixed, lam0 0, seed 0"]
    assert renyi["lam0"].to_numpy().tolist() == [*LAMS, 30.0], "tried there, so not left out"
    assert renyi.attrs["missing"] == renyi.attrs["unfinished"] == [f"renyi / fixed, lam0 30, seed {s}" for s in SEEDS]
    assert json.dumps(renyi.attrs["config"]) == json.dumps(runs.attrs["config"])
    with pytest.raises(ConfigError, match="3 are missing"):
        grid.complete(renyi)
