"""A run's rows do not depend on what trains with it: every column, bit for bit, with the kernels of any processor."""

from functools import cache

import pytest

from hclm_runner.config import RunConfig, configure
from hclm_runner.records import COLUMNS, ON_REQUEST, Records
from hclm_runner.training.trainer import train

SIZES = (2, 3, 7, 40, 80, 81)
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
    base = configure(*options, *NETWORKS[network])
    places = [(lam, seed) for seed in range(9) for lam in LAMS]
    return [base.model_copy(update={"lam": lam, "seed": seed}) for lam, seed in places]


def rows(records: Records, run: int) -> dict[str, bytes]:
    return {name: records.columns[name][run].tobytes() for name in COLUMNS}


def alike(runs: list[RunConfig], sizes: tuple[int, ...], chosen: tuple[int, ...]) -> None:
    """Hold the rows of the chosen runs against those that each has alone: first, last and in the middle of batches."""
    alone = {i: rows(train([runs[i]]), 0) for i in chosen}
    for size in sizes:
        for i, expected in alone.items():
            first = max(0, min(i - size // 2, len(runs) - size))
            fused = rows(train(runs[first : first + size]), i - first)
            differ = [name for name in COLUMNS if fused[name] != expected[name]]
            assert not differ, f"run {i} in a batch of {size}"


@cache
def measured(surrogate: str, dtype: str) -> list[RunConfig]:
    on_request = ["premises=true", "metric_force=ggn", "metric_damping=1.0", "measure_every=2"]
    return runs_of(surrogate, "thermostat", "unaligned", dtype, *on_request)


@pytest.mark.kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("surrogate", ["logdet", "softmax"])
def test_every_column_is_bit_equal_alone_and_in_a_batch(surrogate, dtype):
    runs = measured(surrogate, dtype)
    alike(runs, SIZES, (40,))
    assert all(any(x == x for x in train(runs[:2]).columns[name][0]) for name in ON_REQUEST), "all are measured"  # noqa: PLR0124


@pytest.mark.kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_reference_network_is_bit_equal_alone_and_in_a_batch(dtype):
    alike(runs_of("logdet", "rl_thermostat", "reference", dtype), (2, 3, 80), (0, 80))


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
    alike(runs_of(surrogate, regime, network, "float32"), (2, 7, 40), (0, 11, 80))
