"""The benchmark of an epoch: what it times is the trainer's work, its floor is the products of that work."""

import pytest
from torch.utils.flop_counter import FlopCounterMode

from experiments.benchmarks import step
from hclm_runner.config import configure
from hclm_runner.training.cost import of_sample, trains_alone
from hclm_runner.training.problem import Problem


def products(work: step.Work) -> int:
    """Return the floating-point operations of a work's matrix products."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_the_floor_is_the_products_that_the_trainer_takes():
    runs = step.runs_of(9, "surrogate=variance", "task.train=64", "task.feedback=8", "task.test=16")  # of two seeds
    eager, floor = step.this_trainer(runs, compile=False), step.matrix_products(runs)
    assert products(floor["training"]) == products(eager["training"])
    Sigma = 9 * 2 * 64 * 16**2  # of the geometry of Z, which the floor leaves out
    assert products(floor["measurement"]) == products(eager["measurement"]) - Sigma


def test_the_runs_are_those_of_a_sweep_and_times_are_of_one_run_and_epoch():
    assert [run.seed for run in step.runs_of(17)] == [0] * 8 + [1] * 8 + [2]
    assert step.runs_of(1)[0].surrogate == configure().surrogate
    parts = {"eager": 4.0, "recorded": 3.0, "compiled": 2.0, "products": 1.0}
    rounds = {f"{part}, {kind}": [us, 2 * us] for part in ("training", "measurement") for kind, us in parts.items()}
    summary = step.summarise({"training, plain loop": [40.0, 40.0], **rounds})
    assert summary["microseconds"]["measurement, compiled"] == 2
    assert summary["ratios"] == pytest.approx(
        {f"epoch, {kind} / products": times for kind, times in parts.items() if kind != "products"}
        | {"training, plain loop / recorded": 10}
    )


def test_the_networks_that_are_compared_are_small_and_large():
    small = ["task.train=64", "task.feedback=8", "task.test=8"]
    costs = {name: of_sample(Problem.of(configure(*options, *small))) for name, options in step.NETWORKS.items()}
    large = [name for name, cost in costs.items() if trains_alone(cost, 64, "cpu")]
    assert large == ["transformer, 1 x 28 x 28", "cnn, 1 x 28 x 28"]
