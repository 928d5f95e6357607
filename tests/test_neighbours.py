"""A run's rows do not depend on what trains with it: every column, bit for bit, with the kernels of any processor."""

from functools import cache

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hclm_runner.config import RunConfig, configure
from hclm_runner.records import COLUMNS, ON_REQUEST, Records
from hclm_runner.training import cost
from hclm_runner.training.trainer import train

LAMS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 0.2)

NETWORKS = {
    # Rows of 5 and 3 numbers start at every address modulo 64 bytes, the width of the widest registers.
    "unaligned": ["model.hidden=[5]", "model.representation=3", "task.train=36", "batch_size=9", "epochs=2"],
    # The layers of the reference task.
    "reference": ["model.hidden=[64]", "model.representation=16", "task.train=64", "batch_size=64", "epochs=1"],
}
SMALL = ["task.feedback=16", "task.test=16"]


def runs_of(surrogate: str, regime: str, network: str, dtype: str, *more: str) -> list[RunConfig]:
    options = [f"surrogate={surrogate}", f"regime={regime}", f"dtype={dtype}", "feedback=noisy", *SMALL, *more]
    base = configure(*NETWORKS[network], *options)
    places = [(lam, seed) for seed in range(9) for lam in LAMS]
    return [base.model_copy(update={"lam": lam, "seed": seed}) for lam, seed in places]


def differing(records: Records, whole: Records, batch: slice) -> list[str]:
    """Return the columns of which a bit differs from those that the same runs have in the batch of all."""
    return [name for name in COLUMNS if records.columns[name].tobytes() != whole.columns[name][batch].tobytes()]


def alike(runs: list[RunConfig], batches: list[slice], alone: tuple[int, ...]) -> Records:
    """Hold the rows of every run of the batches, and of the runs alone, against those in the batch of all; return it."""
    whole = train(runs)
    for batch in [*batches, *(slice(i, i + 1) for i in alone)]:
        assert not differing(train(runs[batch]), whole, batch), f"runs {batch.start} to {batch.stop - 1}"
    return whole


@cache
def measured(surrogate: str, dtype: str) -> list[RunConfig]:
    on_request = ["premises=true", "metric_force=ggn", "metric_damping=1.0", "measure_every=2"]
    return runs_of(surrogate, "thermostat", "unaligned", dtype, *on_request)


@pytest.mark.kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("surrogate", ["logdet", "softmax"])
def test_every_column_is_bit_equal_alone_and_in_a_batch(surrogate, dtype):
    batches = [slice(39, 41), slice(39, 42), slice(37, 44), slice(20, 60), slice(0, 80)]
    whole = alike(measured(surrogate, dtype), batches, (40,))
    assert all(np.isfinite(whole.columns[name][0]).any() for name in ON_REQUEST), "all are measured"


@pytest.mark.kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_reference_network_is_bit_equal_alone_and_in_a_batch(dtype):
    alike(runs_of("logdet", "rl_thermostat", "reference", dtype), [slice(0, 2), slice(78, 81), slice(1, 81)], (0, 80))


@pytest.mark.parametrize(
    "method",
    [["optimizer=sam", "dropout=0.3"], ["optimizer=sam", "optimizer.adaptive=true", "omega=0.1", "structure=spectral"]],
)
def test_with_two_gradients_a_step_dropout_and_a_spectral_penalty(method):
    alike(runs_of("vib", "fixed", "unaligned", "float32", *method), (2, 7, 40), (0, 11))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("regime", ["fixed", "thermostat", "rl_thermostat"])
@pytest.mark.parametrize("surrogate", ["logdet", "variance", "softmax"])
def test_under_every_surrogate_and_law(surrogate, regime, network):
    alike(runs_of(surrogate, regime, network, "float32"), [slice(79, 81), slice(8, 15), slice(0, 40)], (0, 11, 80))


# --- runs that are large: each is a batch of one -------------------------------------------------------------------


@pytest.fixture
def large(monkeypatch):
    """Every run counts as large."""
    monkeypatch.setattr(cost, "LARGE", 1)


@pytest.mark.kernels
@pytest.mark.usefixtures("large")
def test_large_runs_are_bit_equal_alone_and_in_a_batch():
    on_request = ["premises=true", "metric_force=ggn", "metric_damping=1.0", "measure_every=2"]
    runs = runs_of("logdet", "rl_thermostat", "unaligned", "float32", "dropout=0.3", *on_request)[::80]
    assert not differing(train(runs[1:]), train(runs), slice(1, 2))


def test_they_have_the_rows_of_those_that_are_vectorised(request):
    options = ["task=mnist1d", "model=cnn", "model.channels=[4]", "task.train=36", *SMALL, "measure_samples=20"]
    base = configure("dtype=float64", *options, "batch_size=9", "epochs=2", "regime=thermostat", "premises=true")
    runs = [base.model_copy(update={"seed": seed, "lam": lam}) for seed, lam in ((0, 0.1), (0, 1.0), (1, 1.0))]
    together = train(runs)
    request.getfixturevalue("large")
    for name, values in train(runs).columns.items():
        # Other kernels of float64, after eight steps.
        np.testing.assert_allclose(values, together.columns[name], rtol=1e-8, atol=1e-10, err_msg=name)


def products(runs: list[RunConfig]) -> int:
    """Return the floating-point operations of the matrix products that training takes."""
    with FlopCounterMode(display=False) as counter:
        train(runs)
    return counter.get_total_flops()


def test_a_large_run_alone_is_computed_once_and_a_small_one_twice(request):
    """Libraries take other kernels for a batch of one: small runs, of which there are many, never are one."""
    runs = runs_of("variance", "fixed", "unaligned", "float32", "task.train=9", "epochs=1")[:2]
    both = products(runs)
    assert products(runs[:1]) == both
    request.getfixturevalue("large")
    assert products(runs) == both > products(runs[:1])


@pytest.mark.usefixtures("large")
def test_the_rows_of_a_large_run_do_not_depend_on_how_many_threads_there_are():
    run, usual = configure("task=mnist1d", "model=cnn", "task.train=64", *SMALL, "epochs=1"), torch.get_num_threads()
    records = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            records.append(train(run))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(usual)
    assert not differing(*records, slice(0, 1))
