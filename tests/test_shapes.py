"""Samples of any shape: images go through training as rows of their pixels do, and what cannot is refused by its shape."""

import numpy as np
import pytest
from torch import nn

from hclm_runner.config import configure
from hclm_runner.records import COLUMNS, ON_REQUEST
from hclm_runner.refusal import ConfigError
from hclm_runner.tasks import Task
from hclm_runner.training.trainer import train

SMALL = ["batch_size=8", "epochs=2", "model.hidden=[5]", "model.representation=3"]


def pictures(rng, *, flat: bool = False) -> Task:
    def split(n):
        x, y = rng.standard_normal((n, 2, 3, 4)), np.arange(n) % 3
        return (x.reshape(n, -1) if flat else x), y

    return Task(split(24), split(12), split(12), classes=3)


def test_the_mlp_reads_an_image_as_a_row_of_its_pixels():
    asked = ["dtype=float64", "premises=true", "metric_force=ggn", "metric_damping=1.0", "regime=thermostat"]
    image, row = (
        train(configure(f"task={__name__}.pictures", f"task.flat={flat}", *SMALL, *asked)) for flat in ("false", "true")
    )
    for name in COLUMNS:
        np.testing.assert_array_equal(image.columns[name], row.columns[name], err_msg=name)
    assert all(np.isfinite(image.columns[name]).any() for name in ON_REQUEST), "all are measured"


def by_features(n: int, out: int) -> nn.Module:
    return nn.ModuleDict({"encoder": nn.Linear(n, 3), "head": nn.Linear(3, out)})


def normalised(input_shape: tuple[int, ...], outputs: int, *, running: bool) -> nn.Module:
    channels, height, width = input_shape
    norm = nn.BatchNorm2d(channels, track_running_stats=running)
    encoder = nn.Sequential(norm, nn.Flatten(), nn.Linear(channels * height * width, 3))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(3, outputs)})


IMAGES = [f"task={__name__}.pictures", *SMALL[:2]]


def test_a_model_of_a_number_of_features_trains_on_flat_samples_only():
    model = f"model={__name__}.by_features"
    assert train(configure(*IMAGES, model, "task.flat=true")).theta.shape == (1, 24 * 3 + 3 + 3 * 3 + 3)
    with pytest.raises(ConfigError, match=r"a model of \(input_shape, outputs\), for samples of shape \[2, 3, 4\]"):
        train(configure(*IMAGES, model))


def test_batch_normalisation_is_by_the_batch_itself_or_refused_with_what_to_write():
    model = f"model={__name__}.normalised"
    with pytest.raises(ConfigError, match=r"buffers .*: write nn.GroupNorm, or nn.BatchNorm2d\(track_running_stats=F"):
        train(configure(*IMAGES, model, "model.running=true"))
    alone, *others = (configure(*IMAGES, model, "model.running=false", f"lam={lam}") for lam in (0.3, 0, 1))
    one, many = train(alone), train([*others, alone])
    for name in COLUMNS:
        np.testing.assert_array_equal(one.columns[name][0], many.columns[name][2], err_msg=name)


def test_samples_of_two_shapes_are_refused():
    x, y = np.ones((6, 1, 4, 4)), np.arange(6) % 2
    with pytest.raises(
        ConfigError, match=r"samples of one shape in every split.*in the test split, got \(6, 1, 4, 5\)"
    ):
        Task((x, y), (x, y), (np.ones((6, 1, 4, 5)), y), classes=2)
    with pytest.raises(ConfigError, match="got list for x of the train split"):
        Task(([x[0], np.ones((1, 5, 5))], [0, 1]), (x, y), (x, y), classes=2)
