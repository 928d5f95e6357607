"""A store as a grid: axes in order, NaN where there is no number, and no two kinds of runs in one cell."""

import itertools
import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import grid
from hclm_runner import configure, store
from hclm_runner.config import RunConfig
from hclm_runner.records import COLUMNS, Records, describe
from hclm_runner.refusal import ConfigError

EPOCHS = 7
LAMS, SEEDS = (0.0, 0.3, 10.0), (0, 2, 11)  # neither 10 before 2 nor "11" before "2"
ARMS = tuple(itertools.product(grid.SURROGATES, grid.REGIMES))


def put(folder: Path, arms=ARMS, lams=LAMS, seeds=SEEDS, overrides=(), diverged=None, status=None) -> None:
    """Write runs as a sweep does, in the worst order; each number says where it belongs."""
    store.prepare(folder)
    for surrogate, regime in reversed(arms):
        places = list(itertools.product(reversed(lams), reversed(seeds)))
        runs = [
            composed(surrogate, regime, *overrides).model_copy(update={"lam": lam, "seed": seed})
            for lam, seed in places
        ]
        marks = np.array([mark(surrogate, regime, *place, np.arange(EPOCHS)) for place in places])
        columns = {name: i + marks for i, name in enumerate(COLUMNS)}
        if regime == "fixed":
            columns["setpoint"] = np.full_like(marks, np.nan)
        ended = np.array([(diverged or {}).get((surrogate, regime, *place), -1) for place in places])
        records = Records(runs, columns, ended)
        rows = records.frame() if status is None else records.frame().iloc[:0]
        store.write(folder, rows, describe(records, "cpu", 1.0, status=status))


@cache
def composed(surrogate: str, regime: str, *overrides: str) -> RunConfig:
    return configure([f"surrogate={surrogate}", f"regime={regime}", f"epochs={EPOCHS - 1}", *overrides])


def mark(surrogate, regime, lam, seed, epoch):
    place = 100 * grid.SURROGATES.index(surrogate) + 10_000 * grid.REGIMES.index(regime) + 0.01 * lam
    return 1e6 * seed + place + 0.5 * epoch / EPOCHS


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("full") / "store"
    put(folder)
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        grid.load(folder)
    return str(refused.value)


def test_every_number_is_in_its_place(full):
    runs = grid.only(grid.load(full), None)
    assert runs["lam0"].to_numpy().tolist() == list(LAMS)
    assert runs["seed"].to_numpy().tolist() == list(SEEDS)
    assert runs["epoch"].to_numpy().tolist() == list(range(EPOCHS))
    assert set(runs.data_vars) == set(COLUMNS)
    assert runs.attrs["missing"] == []
    assert runs.attrs["diverged"] == []
    for (surrogate, regime), lam, seed in itertools.product(ARMS, LAMS, SEEDS):
        place = {"surrogate": surrogate, "regime": regime, "lam0": lam, "seed": seed}
        one = runs.sel(place)
        expected = mark(surrogate, regime, lam, seed, np.arange(EPOCHS))
        for i, name in ((0, "lam"), (len(COLUMNS) - 1, COLUMNS[-1])):
            np.testing.assert_allclose(one[name].to_numpy(), i + expected, rtol=1e-12, err_msg=str(place))
        assert bool(np.isnan(one["setpoint"]).all()) == (regime == "fixed"), "undefined, and not missing"


def test_a_final_value_is_the_mean_of_the_last_five_epochs(full):
    last = grid.final(grid.only(grid.load(full), None))
    one = last["lam"].sel(surrogate="variance", regime="fixed", lam0=0.3, seed=2)
    assert float(one) == pytest.approx(mark("variance", "fixed", 0.3, 2, np.arange(EPOCHS)[-5:]).mean())


def test_the_configuration_is_what_all_runs_share_each_surrogate_and_regime_apart(full):
    config = grid.only(grid.load(full), None).attrs["config"]
    assert config["epochs"] == EPOCHS - 1
    assert {f"surrogate {name}" for name in grid.SURROGATES} | {f"regime {name}" for name in grid.REGIMES} <= set(
        config
    )
    assert config["regime thermostat"]["lam_min"] == 0.001
    assert not {"lam", "seed", "surrogate", "regime"} & set(config)


def test_missing_runs_are_named_and_a_complete_grid_is_refused(tmp_path):
    whole, part = ARMS[:-1], ARMS[-1:]
    put(tmp_path, whole, LAMS[:2], SEEDS[:2])
    put(tmp_path, part, LAMS[:2], SEEDS[:1])
    runs = grid.only(grid.load(tmp_path), None)
    missing = [f"logdet / rl_thermostat, lam0 {lam}, seed 2" for lam in ("0", "0.3")]
    assert runs.attrs["missing"] == missing
    with pytest.raises(ConfigError, match="2 are missing: logdet / rl_thermostat, lam0 0, seed 2; logdet"):
        grid.complete(runs)
    hole = runs["force"].sel(surrogate="logdet", regime="rl_thermostat", seed=2)
    assert hole.shape == (2, EPOCHS)
    assert bool(np.isnan(hole).all())


def test_many_missing_runs_are_counted_not_listed(tmp_path):
    for arm in (ARMS[0], ARMS[4], ARMS[8]):  # a diagonal: each surrogate and each regime once
        put(tmp_path, [arm])
    runs = grid.only(grid.load(tmp_path), None)
    assert len(runs.attrs["missing"]) == 6 * len(LAMS) * len(SEEDS)
    with pytest.raises(ConfigError, match=r"but 54 are missing: .*; and 46 more$"):
        grid.complete(runs)


def test_a_whole_grid_is_complete(full):
    runs = grid.only(grid.load(full), None)
    assert grid.complete(runs) is runs


def test_a_diverged_run_is_there_up_to_where_it_diverged_and_has_no_final_value(tmp_path):
    put(
        tmp_path,
        lams=(0.0, 0.3),
        seeds=(0,),
        diverged={("logdet", "fixed", 0.3, 0): 4, ("softmax", "fixed", 0.0, 0): 0},
    )
    runs = grid.complete(grid.only(grid.load(tmp_path), None))
    assert sorted(runs.attrs["diverged"]) == ["logdet / fixed, lam0 0.3, seed 0", "softmax / fixed, lam0 0, seed 0"]
    assert runs.attrs["missing"] == [], "diverging is a result"
    path = runs["force"].sel(surrogate="logdet", regime="fixed", lam0=0.3, seed=0)
    np.testing.assert_array_equal(np.isfinite(path), np.arange(EPOCHS) < 4)
    assert bool(np.isnan(runs["force"].sel(surrogate="softmax", regime="fixed", lam0=0)).all())
    finals = grid.final(runs)["force"]
    assert int(np.isnan(finals).sum()) == 2
    assert bool(np.isnan(finals.sel(surrogate="logdet", regime="fixed", lam0=0.3, seed=0)))


def test_where_every_run_diverged_the_longest_does_not_pass_for_a_finished_one(tmp_path):
    put(tmp_path, lams=(0.0,), seeds=(0,), diverged={(*arm, 0.0, 0): 6 for arm in ARMS})
    runs = grid.only(grid.load(tmp_path), None)
    assert runs.sizes["epoch"] == EPOCHS
    assert bool(np.isnan(grid.final(runs)["train_loss"]).all())


def test_a_run_that_failed_is_missing(tmp_path):
    put(tmp_path, ARMS[:-1], (0.0,), (0,))
    put(tmp_path, ARMS[-1:], (0.0,), (0,), status="failed")
    attrs = grid.only(grid.load(tmp_path), None).attrs
    assert attrs["missing"] == attrs["unfinished"] == ["logdet / rl_thermostat, lam0 0, seed 0"]


@pytest.mark.parametrize(
    ("override", "other"),
    [
        ("optimizer.lr=0.01", "gaussian_mixture, epochs=6, optimizer=sgd(lr=0.01)"),
        ("batch_size=32", "gaussian_mixture, epochs=6, batch_size=32"),
    ],
)
def test_runs_that_differ_in_what_all_share_are_grids_of_their_own(tmp_path, override, other):
    arm = (("logdet", "thermostat"),)
    put(tmp_path, arm, (0.0,), (0,))
    put(tmp_path, arm, (0.0,), (1, 2), overrides=[override])
    grids = grid.load(tmp_path)
    assert {name: runs.sizes["seed"] for name, runs in grids.items()} == {"gaussian_mixture, epochs=6": 1, other: 2}


@pytest.mark.parametrize(
    ("override", "axis", "labels"),
    [
        ("regime.kappa=2", "regime", ["thermostat", "thermostat(kappa=2)"]),
        ("surrogate.eps=0.5", "surrogate", ["logdet", "logdet(eps=0.5)"]),
    ],
)
def test_options_of_a_surrogate_or_a_law_are_places_of_their_own(tmp_path, override, axis, labels):
    """The same lam and seed twice: nothing is averaged, and nothing is refused."""
    arm = (("logdet", "thermostat"),)
    put(tmp_path, arm, (0.0,), (0,))
    put(tmp_path, arm, (0.0,), (0,), overrides=[override])
    runs = grid.only(grid.load(tmp_path), None)
    assert runs[axis].to_numpy().tolist() == labels
    assert runs.attrs["missing"] == []
    assert [runs.attrs["config"][f"{axis} {label}"]["name"] for label in labels] == [labels[0]] * 2


def test_a_part_whose_options_all_runs_share_goes_by_its_name(tmp_path):
    put(tmp_path, (("logdet", "thermostat"),), (0.0,), (0,), overrides=["regime.kappa=2"])
    runs = grid.only(grid.load(tmp_path), "gaussian_mixture")
    assert runs["regime"].to_numpy().tolist() == ["thermostat"]
    assert runs.attrs["config"]["regime thermostat"]["kappa"] == 2


def test_an_option_of_one_law_may_differ_from_the_same_of_another(tmp_path):
    put(tmp_path, (("logdet", "thermostat"),), (0.0,), (0,))
    put(tmp_path, (("logdet", "rl_thermostat"),), (0.0,), (0,), overrides=["regime.kappa=2"])
    config = grid.only(grid.load(tmp_path), None).attrs["config"]
    assert (config["regime thermostat"]["kappa"], config["regime rl_thermostat"]["kappa"]) == (1, 2)


def test_how_runs_were_executed_does_not_tell_them_apart(tmp_path):
    put(tmp_path, ARMS[:1], (0.0,), (0,))
    put(tmp_path, ARMS[:1], (0.0,), (1,), overrides=["device=cpu", "sweep.workers=1", "name=other"])
    assert grid.only(grid.load(tmp_path), None).sizes["seed"] == 2


def test_tasks_are_grids_of_their_own_and_one_of_several_has_to_be_named(tmp_path):
    put(tmp_path, ARMS[:1], (0.0, 1.0), (0,))
    put(tmp_path, ARMS[:1], (0.0,), (3, 4), overrides=["task=digits"])
    grids = grid.load(tmp_path)
    assert list(grids) == ["digits", "gaussian_mixture"]
    assert dict(grids["digits"].sizes) == {"surrogate": 1, "regime": 1, "lam0": 1, "seed": 2, "epoch": EPOCHS}
    assert grids["gaussian_mixture"]["seed"].to_numpy().tolist() == [0]
    assert grid.only(grids, "digits") is grids["digits"]
    for task in (None, "wine"):
        with pytest.raises(ConfigError, match="one of digits, gaussian_mixture"):
            grid.only(grids, task)


def test_a_store_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(Path("nowhere")).startswith("store=nowhere: expected a store of runs, got no store")


def test_a_store_is_found_by_name(full, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("outputs").mkdir()
    Path("outputs/mine").symlink_to(full)
    by_name, by_path = (grid.only(grid.load(source), None) for source in ("mine", full))
    assert by_name.equals(by_path)


def test_what_the_records_say_is_what_pandas_reads(full):
    frame = pd.read_parquet(full / "records")
    runs = grid.only(grid.load(full), None)
    assert len(frame) == runs["force"].size
    back = runs["force"].to_series().rename("grid")
    both = frame.set_index(list(back.index.names))["force"].to_frame().join(back)
    assert len(both) == len(frame)
    np.testing.assert_array_equal(both["force"], both["grid"])
    assert json.loads(pd.read_parquet(full / "runs")["config"].iloc[0])["epochs"] == EPOCHS - 1
