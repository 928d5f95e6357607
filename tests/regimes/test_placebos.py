"""Placebos: what a stored run did, again; and what they refuse."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import grid
from hclm_runner import configure, store
from hclm_runner.config import ConfigError, RunConfig
from hclm_runner.records import describe
from hclm_runner.replay import ORDERS
from hclm_runner.streams import stream
from hclm_runner.training.trainer import train

SMALL = [
    "task.train=32",
    "task.feedback=32",
    "task.test=32",
    "batch_size=16",
    "epochs=6",
    "lam=0.2",
    "model.hidden=[8]",
]
WARM = "regime.warmup=1"
RUNS = {
    "fixed": ["regime=fixed"],
    "thermostat": ["regime=thermostat", WARM],
    "rl_thermostat": ["regime=rl_thermostat", WARM, "feedback=sparse", "feedback.observe=0.6"],
    "diverged": ["regime=thermostat", WARM, "optimizer.lr=1e25"],
}
"""Law -> the options of its stored run, of seed 0."""


class Stored(NamedTuple):
    where: str
    runs: dict[str, RunConfig]
    columns: dict[str, dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Stored:
    """A store, its runs, and their columns."""
    folder, runs, columns = tmp_path_factory.mktemp("placebos") / "source", {}, {}
    store.prepare(folder)
    for name, options in RUNS.items():
        runs[name] = configure(*SMALL, *options)
        records = train(runs[name])
        columns[name] = {column: values[0] for column, values in records.columns.items()}
        store.write(folder, records.frame(), describe(records, "cpu", 0.0))
    return Stored(str(folder), runs, columns)


def placebo(stored: Stored, law: str, of: str, *options: str) -> RunConfig:
    return configure(
        *SMALL, f"regime={law}", f"regime.store={stored.where}", f"regime.run={stored.runs[of].run_id}", *options
    )


def equal(run: RunConfig, expected: dict[str, np.ndarray], *but: str) -> None:
    """Hold the rows of a run to those of another, bit by bit."""
    for name, values in train(run).columns.items():
        if name not in but:
            np.testing.assert_array_equal(values[0], expected[name], err_msg=name)


# --- what is repeated ---------------------------------------------------------------------------------------------------


def test_a_run_yoked_to_a_fixed_run_is_that_run(stored):
    equal(placebo(stored, "yoked", "fixed"), stored.columns["fixed"])


def test_a_run_yoked_to_itself_is_that_run_without_a_set_point(stored):
    assert np.ptp(stored.columns["thermostat"]["lam"]) > 0.01, "lam does move"
    equal(placebo(stored, "yoked", "thermostat"), stored.columns["thermostat"], "setpoint")


def test_feedback_of_ones_own_run_is_what_one_hears_anyway(stored):
    reports = [f"feedback.store={stored.where}", f"feedback.run={stored.runs['rl_thermostat'].run_id}"]
    twin = configure(*SMALL, "regime=rl_thermostat", WARM, "feedback=yoked", *reports)
    heard = stored.columns["rl_thermostat"]["feedback"]
    assert 0 < np.isnan(heard).sum() < len(heard)
    equal(twin, stored.columns["rl_thermostat"])
    other = train(twin.model_copy(update={"seed": 1})).columns
    np.testing.assert_array_equal(other["feedback"][0], heard)


def test_runs_that_repeat_different_runs_in_different_orders_train_as_one_batch(stored):
    laws = ["yoked", "mean_matched", "shuffled"]
    runs = [
        placebo(stored, law, of, f"seed={seed}") for law in laws for of in ("fixed", "thermostat") for seed in (0, 1)
    ]
    assert len({run.shape_key for run in runs}) == 1
    assert len({run.run_id for run in runs}) == len(runs)
    together = train(runs).columns
    for i in (3, 11):
        equal(runs[i], {name: values[i] for name, values in together.items()})
    lam = stored.columns["thermostat"]["lam"]
    np.testing.assert_array_equal(together["lam"][2], lam)
    np.testing.assert_allclose(together["lam"][6], sum(lam[:-1]) / 6, rtol=1e-14)  # a sum in another order
    assert np.ptp(together["lam"][6]) == 0
    order = stream(0, "placebo").permutation(6)
    np.testing.assert_array_equal(together["lam"][10], [*lam[order], lam[-1]])
    assert sorted(together["lam"][11]) == sorted(lam)
    assert together["lam"][10].tolist() != together["lam"][11].tolist(), "each seed has an order of its own"


def test_a_longer_run_is_repeated_from_its_beginning(stored):
    lam = stored.columns["thermostat"]["lam"]
    found = train([placebo(stored, law, "thermostat", "epochs=3") for law in ("yoked", "mean_matched")]).columns["lam"]
    np.testing.assert_array_equal(found[0], lam[:4])
    np.testing.assert_allclose(found[1], lam[:3].mean(), rtol=1e-14)


@given(st.lists(st.floats(0, 10), min_size=2, max_size=20), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_an_order_keeps_what_was_in_force_on_average(trace, seed):
    trace = np.array(trace)
    for order in ORDERS.values():
        found = order(trace, np.random.default_rng(seed))
        assert found.shape == trace.shape
        assert found[:-1].mean() == pytest.approx(trace[:-1].mean(), rel=1e-12, abs=1e-300)
    assert sorted(ORDERS["shuffled"](trace, np.random.default_rng(seed))[:-1]) == sorted(trace[:-1])


# --- who it is ----------------------------------------------------------------------------------------------------------


def test_the_id_knows_which_run_is_repeated_and_not_where_it_is(stored, tmp_path):
    (tmp_path / "elsewhere").symlink_to(stored.where)
    here = placebo(stored, "yoked", "thermostat")
    there = placebo(stored._replace(where=str(tmp_path / "elsewhere")), "yoked", "thermostat")
    assert there.regime.options["store"] != here.regime.options["store"]
    assert there.run_id == here.run_id
    assert placebo(stored, "yoked", "fixed").run_id != here.run_id
    assert placebo(stored, "shuffled", "thermostat").run_id != here.run_id
    assert here.label_of("regime") == "yoked", "which run it repeats is data, as a seed is"
    assert placebo(stored, "yoked", "thermostat", "regime.order=mean").label_of("regime") == "yoked(order=mean)"


def test_runs_that_repeat_different_runs_are_one_regime_of_a_grid(stored, tmp_path):
    runs = [placebo(stored, "yoked", of, f"seed={seed}") for seed, of in enumerate(("thermostat", "fixed"))]
    records = train(runs)
    store.prepare(tmp_path)
    store.write(tmp_path, records.frame(), describe(records, "cpu", 0.0))
    (found,) = grid.load(tmp_path).values()
    assert found["regime"].to_numpy().tolist() == ["yoked"]
    assert found.sizes["seed"] == 2
    assert found.attrs["missing"] == []


def test_what_cannot_be_repeated_is_refused_in_one_line(stored, tmp_path):
    where, runs, _ = stored
    cases = {
        "regime.run=nosuch: expected one of ": lambda: configure("regime=yoked", f"regime.store={where}", "regime.run=nosuch"),
        "regime.store=nowhere: expected a store of runs": lambda: configure("regime=yoked", "regime.store=nowhere", "regime.run=a"),
        "regime.run: expected text": lambda: configure("regime=yoked", f"regime.store={where}"),
        f"regime.run={runs['fixed'].run_id}: expected a run of 7 epochs or more, got one of 6": lambda: placebo(stored, "yoked", "fixed", "epochs=7"),
        f"regime.run={runs['diverged'].run_id}: expected a run that finished, got one with status diverged": lambda: placebo(stored, "yoked", "diverged"),
        f"feedback.run={runs['fixed'].run_id}: expected a run with feedback": lambda: configure(
            *SMALL, "regime=rl_thermostat", "feedback=yoked", f"feedback.store={where}", f"feedback.run={runs['fixed'].run_id}"
        ),
    }  # fmt: skip
    for line, make in cases.items():
        with pytest.raises(ConfigError) as refused:
            make()
        assert str(refused.value).startswith(line)
        assert "\n" not in str(refused.value)
