"""Measuring in pieces: what is there at a time is a piece, and the numbers are those of the whole."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import vmap

from hclm_runner.config import configure
from hclm_runner.training import cost
from hclm_runner.training.batch import in_pieces
from hclm_runner.training.problem import Problem, flatten
from hclm_runner.training.trainer import train

SMALL = ["task.train=25", "task.feedback=19", "task.test=23", "batch_size=12", "epochs=2"]
NETWORKS = {
    "mlp": ["model.hidden=[9]"],
    "cnn": ["task=mnist1d", "model=cnn"],
    "transformer": ["task=mnist1d", "model=transformer"],
}
each_network = pytest.mark.parametrize("network", NETWORKS)
some = pytest.mark.parametrize(
    "network", ["mlp", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cnn", "transformer"))]
)


def in_batches(in_features: int, out_features: int, *, of: str):
    parts = {"encoder": nn.Linear(in_features, 5), "head": nn.Linear(5, out_features)}
    parts[of] = nn.Sequential(parts[of], nn.BatchNorm1d(parts[of].out_features, track_running_stats=False))
    return nn.ModuleDict(parts)


def piece(run) -> int:
    problem = Problem.of(run)
    return cost.largest_piece(problem, cost.of_sample(problem))


def trained(run, samples: int | None, monkeypatch):
    """Train, measuring at most so many samples at a time."""
    if samples:
        monkeypatch.setattr(cost, "PIECE", samples * cost.of_sample(Problem.of(run)).floats)
        assert piece(run) == samples
    result = train(run)
    monkeypatch.undo()
    return result


@some
def test_the_columns_are_those_of_the_whole(network, monkeypatch):
    """Splits of 25, 19 and 23 samples, in pieces of at most 7: none divides, so a mean of means would be wrong."""
    run = configure(*SMALL, *NETWORKS[network], "dtype=float64", "regime=thermostat")
    whole, parts = train(run), trained(run, 7, monkeypatch)
    for name, values in whole.columns.items():
        # Gradients of float64 that add up in another order, after two epochs; the worst was 1e-12.
        np.testing.assert_allclose(parts.columns[name], values, rtol=1e-9, atol=1e-11, err_msg=name)


@each_network
def test_what_a_sample_gives_is_the_same_in_a_piece(network):
    run = configure(*SMALL, *NETWORKS[network])
    of, theta = Problem.of(run), flatten(Problem.of(run).model)[None]
    x = torch.as_tensor(of.task.train[0], dtype=torch.float32)[None]
    whole, parts = (in_pieces(vmap(of.outputs), theta, x.tensor_split(pieces, dim=1)) for pieces in (1, 4))
    # Of a smaller matrix product a library may choose another kernel: the last bits of float32.
    torch.testing.assert_close(parts, whole, rtol=2e-6, atol=2e-6)


def test_a_gradient_keeps_what_the_layers_return_for_one_piece_only():
    run = configure("task.train=200", "model.hidden=[50,50]")
    of, kept = Problem.of(run), []
    x = torch.as_tensor(of.task.train[0], dtype=torch.float32)[None]
    theta, gradients = flatten(of.model)[None].requires_grad_(), []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[-1][tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // 4
        return tensor

    for pieces in (1, 8):
        kept.append({})
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            Z = in_pieces(vmap(of.represent), theta, x.tensor_split(pieces, dim=1))
        S = Z.square().sum()
        again = torch.autograd.grad(S, theta, retain_graph=True)[0]
        gradients.append(torch.autograd.grad(S, theta)[0])
        assert torch.equal(again, gradients[-1]), "a graph that is used twice"
    whole, parts = (sum(sizes.values()) for sizes in kept)
    assert whole > 200 * 100
    assert parts <= theta.numel() + x.numel(), "all else is computed again"
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-4)  # sums of 200 in another order, of entries up to 100


@pytest.mark.parametrize("of", ["encoder", "head"])
def test_a_model_whose_samples_see_each_other_is_measured_whole(of, monkeypatch):
    run = configure(*SMALL, f"model={__name__}.in_batches", f"model.of={of}")
    monkeypatch.setattr(cost, "PIECE", 7)
    assert piece(run) == 25
    parts = train(run)
    monkeypatch.undo()
    for name, values in train(run).columns.items():
        np.testing.assert_array_equal(parts.columns[name], values)


def test_the_reference_run_is_measured_whole():
    assert piece(configure()) == 1024, "its largest split"
