"""The data and the networks of one run: what a task draws, what a seed fixes, what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

from hclm_runner.config import configure
from hclm_runner.models.mlp import Tanh
from hclm_runner.refusal import ConfigError
from hclm_runner.streams import PURPOSES, stream
from hclm_runner.tasks import Task


def draw(*overrides: str) -> Task:
    config = configure(*overrides)
    return config.task.load()(stream(config.seed, "data"), **config.task.options)


def test_streams_are_distinct_and_addressable():
    first = {(p, s, e): stream(s, p, e).random() for p in PURPOSES for s in (0, 1) for e in (0, 1)}
    assert len(set(first.values())) == len(first)
    assert first["noise", 1, 1] == stream(1, "noise", 1).random()
    with pytest.raises(ValueError, match="none of data"):
        stream(0, "other")


def test_the_mixture_has_the_moments_it_says():
    task = draw("task.train=40000", "task.label_noise=0", "task.clusters=1", "task.separation=2.0", "seed=3")
    x, y = task.train
    assert x.shape == (40000, 40)
    np.testing.assert_allclose(np.bincount(y) / len(y), 0.25, atol=0.01)
    centres = np.stack([x[y == k].mean(0) for k in range(4)])
    within = np.stack([x[y == k].std(0) for k in range(4)])
    np.testing.assert_allclose(within, 1, atol=0.03)
    np.testing.assert_allclose(centres[:, 20:], 0, atol=0.05)
    assert 2.0 / np.sqrt(2) * 0.7 < centres[:, :20].std() < 2.0 / np.sqrt(2) * 1.3
    for other, _ in (task.feedback, task.test):
        assert np.abs(other.mean(0) - x.mean(0)).max() < 0.3, "all splits share the centres"


def test_label_noise_redraws_its_share_in_every_split():
    clean, noisy = (draw(f"task.label_noise={share}", "task.train=20000", "task.test=20000") for share in (0, 0.4))
    np.testing.assert_array_equal(clean.train[0], noisy.train[0])
    changed = (clean.train[1] != noisy.train[1]).mean()
    assert abs(changed - 0.4 * 3 / 4) < 0.02, "a redrawn label is the old one once in K times"
    again = (draw("task.label_noise=1", "task.train=20000").train[1] == clean.train[1]).mean()
    assert abs(again - 0.25) < 0.02


@pytest.mark.parametrize(
    ("name", "n", "features", "classes"),
    [("digits", 1797, 64, 10), ("breast_cancer", 569, 30, 2), ("wine", 178, 13, 3)],
)
def test_real_data_is_split_without_overlap_stratified_and_standardised(name, n, features, classes):
    task = draw(f"task={name}", "seed=5")
    assert task.classes == classes
    x = np.concatenate([x for x, _ in task.splits().values()])
    assert x.shape == (n, features)
    assert len(np.unique(x.round(9), axis=0)) >= n - 1, "each sample in one split only"
    np.testing.assert_allclose(task.train[0].mean(0), 0, atol=1e-12)
    scales = task.train[0].std(0)
    np.testing.assert_allclose(scales[scales > 0], 1, atol=1e-12)
    shares = [np.bincount(y, minlength=classes) / len(y) for _, y in task.splits().values()]
    np.testing.assert_allclose(shares, [shares[0]] * 3, atol=0.03)
    other = draw(f"task={name}", "seed=6")
    assert not np.array_equal(task.train[0], other.train[0])
    assert np.array_equal(task.train[0], draw(f"task={name}", "seed=5").train[0])


@pytest.mark.parametrize(
    ("override", "message"),
    [("task.train=1790", "train [+] feedback of at most"), ("task.feedback=3", "one sample for each")],
)
def test_splits_that_do_not_fit_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        draw("task=digits", override)


def split(n=6, columns=2, y=None):
    return np.ones((n, columns)), np.arange(n) % 2 if y is None else y


@pytest.mark.parametrize(
    ("train", "classes", "message"),
    [
        (split(y=np.zeros(5, int)), 2, "x .n, ....*and y"),
        (split(y=np.linspace(0, 1, 6)), 2, "integer labels 0..1"),
        (split(y=np.full(6, 7)), 2, "integer labels 0..1"),
        (split(y=np.zeros(6, int)), 2, "at least two classes"),
        (split(y=np.ones(6)), None, "targets .n, m., m the same, for regression"),
        ((np.full((6, 2), np.inf), np.arange(6) % 2), 2, "12 NaN or infinite entries in the train split"),
        ((np.ones((0, 2)), np.ones(0, int)), 2, "x .n, ....*samples of one shape"),
        (split(columns=3), 2, "x .n, ....*samples of one shape"),
    ],
)
def test_data_no_run_could_learn_from_is_refused(train, classes, message):
    other = split() if classes else (np.ones((6, 2)), np.ones((6, 1)))
    with pytest.raises(ConfigError, match=message):
        Task(train, other, other, classes)


X, Y = np.random.default_rng(0).standard_normal((8, 3)), np.arange(8) % 2
AS_GIVEN = {
    "a tensor": (torch.tensor(X, requires_grad=True), torch.tensor(Y)),
    "a frame": (pd.DataFrame(X), pd.Series(Y)),
    "a frame of several types": (pd.DataFrame(X).assign(more=Y > 0), Y),
    "lists": (X.tolist(), Y.tolist()),
    "true and false": (X, Y > 0),
}


@pytest.mark.parametrize("split", AS_GIVEN.values(), ids=AS_GIVEN)
def test_tables_of_numbers_become_arrays(split):
    task = Task(split, split, split, classes=2)
    for x, y in task.splits().values():
        assert (type(x), x.dtype.kind, type(y), y.dtype.kind) == (np.ndarray, "f", np.ndarray, "i")
        np.testing.assert_array_equal(x[:, :3], X)
        np.testing.assert_array_equal(y, Y)


def test_arrays_are_kept_as_they_are():
    task = Task((X, Y), (X, Y), (X, Y), classes=2)
    assert task.train[0] is X
    assert task.train[1] is Y


@pytest.mark.parametrize(
    ("split", "classes", "message"),
    [
        (
            (X, np.array(list("abababab"))),
            2,
            "expected numpy arrays: x .n, ....*got ndarray of text for y of the train",
        ),
        ((pd.DataFrame({"a": list("abcdefgh")}), Y), 2, "got DataFrame of text for x of the train split"),
        ((torch.tensor(X).bfloat16(), Y), 2, "got Tensor for x of the train split"),
        (([[1, 2], [1]], Y), 2, "got list for x of the train split"),
        ((None, Y), 2, "got NoneType for x of the train split"),
        (X, 2, r"a pair \(x, y\) in the train split, got ndarray"),
        (
            (X, Y.astype(float)),
            2,
            "integer labels 0..1, .n., got float64 of shape .8., from 0 to 1 in the train split",
        ),
        ((X, Y), "two", "classes a whole number, or None for a regression, got 'two'"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused_with_what_is_taken(split, classes, message):
    with pytest.raises(ConfigError, match=message):
        Task(split, split, split, classes)


def test_the_mlp_is_the_reference_network():
    config = configure()
    model = config.model.load()((40,), 4, **config.model.options)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert list(shapes.values()) == [(64, 40), (64,), (16, 64), (16,), (4, 16), (4,)]
    x = torch.randn(5, 40)
    W1, b1, W2, b2, W3, b3 = model.parameters()
    Z = torch.tanh(x @ W1.T + b1) @ W2.T + b2
    torch.testing.assert_close(model["encoder"](x), Z)
    torch.testing.assert_close(model["head"](Z), Z.clamp(min=0) @ W3.T + b3)


@pytest.mark.parametrize(("activation", "of"), [("relu", torch.relu), ("gelu", torch.nn.functional.gelu)])
def test_the_mlp_with_another_activation_differs_in_that_alone(activation, of):
    config = configure(f"model.activation={activation}", "model.hidden=[8,6]")
    model = config.model.load()((40,), 4, **config.model.options)
    x = torch.randn(5, 40)
    W1, b1, W2, b2, W3, b3, *_ = model.parameters()
    hidden = of(of(x @ W1.T + b1) @ W2.T + b2)
    torch.testing.assert_close(model["encoder"](x), hidden @ W3.T + b3)
    with pytest.raises(ConfigError, match=r"model\.activation"):
        configure("model.activation=elu")


@pytest.mark.kernels
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 2e-7), (torch.float64, 4e-16)])
def test_tanh_without_a_gradient_is_as_exact_as_it_says_wherever_an_entry_stands(dtype, error):
    x = torch.cat([torch.linspace(-9, 9, 2001), torch.logspace(-20, 3, 500), torch.tensor([0.0, torch.inf])]).to(dtype)
    with torch.no_grad():
        fast = Tanh()(x.clone())
        assert torch.equal(torch.cat([Tanh()(entry.clone()) for entry in x.split(1)]), fast), "each alone"
    assert (fast.double() - x.double().tanh()).abs().max() <= error
    assert fast[-1] == 1
    assert torch.equal(Tanh()(x), x.tanh()), "where a gradient may be taken, torch's own"
