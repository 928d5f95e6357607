"""What is recorded does what it did: the same bits, or it runs as it is."""

import numpy as np
import pytest
import torch
from torch.func import vmap

from hclm_runner import configure, train
from hclm_runner.training import recorded as recording
from hclm_runner.training.recorded import Compiler, recorded

record = recording._record

OPTIONS = {
    "thermostat": ["regime=thermostat"],
    "all terms": ["surrogate=softmax", "structure=group_sparsity", "omega=0.01", "dropout=0.1", "clip=1"],
    "two gradients": ["surrogate=variance", "optimizer=sam", "dtype=float64", "clamp=0.1"],
}


@pytest.mark.kernels
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_runs_that_are_recorded_give_the_same_bits(options, monkeypatch):
    config = configure(["epochs=3", *options])
    runs = [config.model_copy(update={"seed": i // 2, "lam": [0.01, 0.3][i % 2]}) for i in range(5)]
    plain, parts = train(runs), []

    def noted(function, *more):
        made = record(function, *more)
        parts.append(made is not function)
        return made

    monkeypatch.setattr(recording, "CALLS", 0)
    monkeypatch.setattr(recording, "_record", noted)
    fast = train(runs)
    assert parts == [True] * 6  # the look, outputs of two splits, their audit, the step, the balance of entropy
    assert np.array_equal(plain.theta, fast.theta)
    for name, column in plain.columns.items():
        assert np.array_equal(column, fast.columns[name], equal_nan=True), name


def test_a_recording_is_made_once_for_tensors_of_some_shapes():
    calls = []

    def function(x, more):
        calls.append(len(x))
        low, _ = torch.linalg.eigh(x @ x.mT)
        return {"sum": vmap(lambda x: x.sum())(x) * more["by"], "x": (x.clone().add_(1), x), "low": low}

    fast = recorded(function, 100, Compiler(False))
    for n in (3, 3, 3, 2):
        x, by = torch.randn(n, 4), torch.tensor(3.0)
        found, expected = fast(x, {"by": by}), function(x, {"by": by})
        assert torch.equal(found["sum"], expected["sum"])
        assert torch.equal(found["low"], expected["low"])
        assert torch.equal(found["x"][0], x + 1)
        assert torch.equal(found["x"][1], x)
    # Once to record it, once on other numbers to compare, and the four times here.
    assert sorted(calls) == [2] * 3 + [3] * 5


def test_tensors_that_lie_otherwise_in_memory_are_recorded_anew():
    fast = recorded(lambda x: x.reshape(-1) + 1, 100, Compiler(False))
    for x in (torch.randn(3, 4), torch.randn(4, 3).mT):
        assert torch.equal(fast(x), x.reshape(-1) + 1)


def test_what_is_called_seldom_is_not_recorded():
    assert recorded(len, 10, Compiler(False)) is len


STATE = np.random.default_rng(0)
NOT = {
    "draws its own numbers": lambda x: x + STATE.random(),
    "asks what a number is": lambda x: x + (1 if x.sum().item() > 0 else 2),
    "leaves torch": lambda x: torch.from_numpy(np.sort(x.numpy())),
}


@pytest.mark.parametrize("function", NOT.values(), ids=NOT)
def test_what_cannot_be_recorded_runs_as_it_is(function):
    fast = recorded(function, 100, Compiler(False))
    for x in (torch.ones(3), -torch.ones(3)):
        fast(x)
        state = STATE.bit_generator.state
        found = fast(x)
        STATE.bit_generator.state = state
        assert torch.equal(found, function(x))
