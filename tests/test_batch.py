"""What runs of a seed share: kept once, and each run reads its own."""

import numpy as np
import pytest
import torch

from hclm_runner.config import configure
from hclm_runner.records import COLUMNS
from hclm_runner.refusal import ConfigError
from hclm_runner.streams import stream
from hclm_runner.surrogates import logdet
from hclm_runner.tasks import Task
from hclm_runner.training.batch import Shared, distinct
from hclm_runner.training.problem import Problem, draw_task
from hclm_runner.training.trainer import train

SMALL = ["task.train=20", "task.feedback=6", "task.test=5"]


def shared_of(runs):
    first, of_task = distinct(runs, lambda run: [run.drawn_from, run.task.options])
    return Shared([draw_task(run) for run in first], of_task, runs, torch.float64, "cpu")


def test_a_task_is_kept_once_however_many_runs_have_it():
    arms = [("lam=0", 5), ("lam=1", 5), ("lam=0", 2), ("task.separation=2.0", 5), ("lam=3", 5)]
    runs = [configure([*SMALL, override, f"seed={seed}"]) for override, seed in arms]
    shared = shared_of(runs)
    assert len(shared.data["x_train"]) == 3, "two seeds, and one of them with another task"
    assert shared.places["x_train"][shared.of_run].tolist() == [0, 0, 1, 2, 0]
    for split in ("train", "feedback", "test"):
        x, y = shared.split(split)
        for r, run in enumerate(runs):
            own_x, own_y = draw_task(run).splits()[split]
            np.testing.assert_array_equal(x[r], own_x)
            np.testing.assert_array_equal(y[r], own_y)


def test_minibatches_and_noise_are_those_of_each_runs_seed():
    runs = [configure([*SMALL, f"seed={seed}", f"data_seed={data}"]) for seed, data in ((7, 7), (1, 2), (7, 7), (7, 2))]
    shared = shared_of(runs)
    assert len(shared.data["x_train"]) == 2
    numbers = {"dropout": torch.tensor([0.3, 0.6, 0.9, 0.0])}
    batches = list(shared.batches(epoch=3, size=8, shape=(2,), numbers={3: numbers}.__getitem__))
    assert len(batches) == 2, "of 20 samples, 4 are left out"
    for r, run in enumerate(runs):
        x, y = draw_task(run).train
        order, xi = (
            stream(run.seed, "order", 3).permutation(20),
            stream(run.seed, "noise", 3).standard_normal((2, 8, 2)),
        )
        u, p = stream(run.seed, "dropout", 3).random((2, 8, 2)), [0.3, 0.6, 0.9, 0.0][r]
        for k, (*batch, numbers) in enumerate(batches):
            np.testing.assert_allclose(numbers["kept"][r], (u[k] >= p) / (1 - p), rtol=1e-6)  # p is of float32
            chosen = order[8 * k : 8 * k + 8]
            for got, expected in zip(batch, (x[chosen], y[chosen], xi[k]), strict=True):
                np.testing.assert_array_equal(got[r], expected)
    luck = shared.draw("annotator", 3, lambda rng: rng.random(2))
    np.testing.assert_array_equal(luck[0], luck[2])
    np.testing.assert_array_equal(luck[0], luck[3])
    np.testing.assert_array_equal(luck[1], stream(1, "annotator", 3).random(2))


def one_test_split(rng) -> Task:
    x, y = rng.standard_normal((8, 1, 2, 2)), np.arange(8) % 2
    return Task((x, y), (x[:4], y[:4]), (np.ones((6, 1, 2, 2)), np.arange(6) % 2), classes=2)


def test_a_split_that_is_the_same_for_every_seed_is_one_copy():
    runs = [configure(f"task={__name__}.one_test_split", f"seed={seed}") for seed in (3, 1, 4)]
    shared = shared_of(runs)
    kept = {name: len(tensor) for name, tensor in shared.data.items()}
    assert kept == {"x_train": 3, "y_train": 1, "x_feedback": 3, "y_feedback": 1, "x_test": 1, "y_test": 1}
    for split in ("train", "feedback", "test"):
        for r, run in enumerate(runs):
            for got, own in zip(shared.split(split), draw_task(run).splits()[split], strict=True):
                np.testing.assert_array_equal(got[r], own)


def test_the_measured_part_of_the_training_split_follows_the_data_seed_alone():
    arms = [(7, 7), (1, 7), (1, 2)]
    runs = [configure(*SMALL, "measure_samples=5", f"seed={seed}", f"data_seed={data}") for seed, data in arms]
    x, y = shared_of(runs).split("train")
    assert x.shape[:2] == (3, 5)
    for r, run in enumerate(runs):
        rows = sorted(stream(run.drawn_from, "subset").permutation(20)[:5])
        np.testing.assert_array_equal(x[r], draw_task(run).train[0][rows])
        np.testing.assert_array_equal(y[r], draw_task(run).train[1][rows])
    with pytest.raises(ConfigError, match="measure_samples=21: expected at most the 20 training samples"):
        shared_of([configure(*SMALL, "measure_samples=21")])


def test_a_part_is_measured_and_all_is_trained_on():
    base = [*SMALL, "dtype=float64", "batch_size=10", "epochs=2"]
    whole, all_of_it, part = (
        train(configure(*base, *more)) for more in ([], ["measure_samples=20"], ["measure_samples=6"])
    )
    for name in COLUMNS:
        np.testing.assert_array_equal(all_of_it.columns[name], whole.columns[name], err_msg=name)
    np.testing.assert_array_equal(part.theta, whole.theta)
    np.testing.assert_array_equal(part.columns["test_loss"], whole.columns["test_loss"])
    run, theta = part.runs[0], torch.from_numpy(part.theta[0])
    problem, rows = Problem.of(run), stream(0, "subset").permutation(20)[:6]
    x, y = (torch.from_numpy(array[rows]) for array in problem.task.train)
    parameters = problem.parameters(theta)
    Z = problem.encode(parameters, x)
    loss = torch.nn.functional.cross_entropy(problem.read(parameters, Z), y)
    assert part.columns["train_loss"][0, -1] == pytest.approx(float(loss), rel=1e-12)
    assert part.columns["entropy"][0, -1] == pytest.approx(float(logdet(Z, eps=1.0)), rel=1e-12)
    assert run.run_id != whole.runs[0].run_id
