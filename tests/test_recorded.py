"""What is recorded does what it did: the same bits, or it runs as it is."""

import numpy as np
import pytest
import torch
from torch.func import vmap

from hclm_runner import configure, train
from hclm_runner.training import recorded as recording
from hclm_runner.training.recorded import recorded

OPTIONS = {
    "thermostat": ["regime=thermostat"],
    "all terms": ["surrogate=softmax", "structure=group_sparsity", "omega=0.01", "dropout=0.1", "clip=1"],
    "two gradients": ["surrogate=variance", "optimizer=sam", "dtype=float64", "clamp=0.1"],
}


@pytest.mark.kernels
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_steps_that_are_recorded_give_the_same_bits(options, monkeypatch):
    config = configure(["epochs=3", *options])
    runs = [config.model_copy(update={"seed": i // 2, "lam": [0.01, 0.3][i % 2]}) for i in range(5)]
    assert not recording.pays(3 * 4)
    plain = train(runs)
    monkeypatch.setattr(recording, "CALLS", 0)
    monkeypatch.setattr(recording, "CALLS_AT_FIRST", 0)
    monkeypatch.setattr("hclm_runner.training.vectorised.recorded", seen := Seen())
    fast = train(runs)
    assert seen.recorded == ["_take_step"]
    assert np.array_equal(plain.theta, fast.theta)
    for name, column in plain.columns.items():
        assert np.array_equal(column, fast.columns[name], equal_nan=True), name


class Seen:
    """`recorded`, which notes what it was given."""

    def __init__(self):
        self.recorded = []

    def __call__(self, function, *, compile):
        self.recorded.append(function.__name__)
        return recorded(function, compile=compile)


def test_a_recording_is_made_once_for_tensors_of_some_shapes():
    calls = []

    def function(x, more):
        calls.append(len(x))
        return {"sum": vmap(lambda x: x.sum())(x) * more["by"], "x": (x / 0, x)}

    fast = recorded(function, compile=False)
    for n in (3, 3, 3, 2):
        x, by = torch.randn(n, 4), torch.tensor(3.0)
        found = fast(x, {"by": by})
        assert torch.equal(found["sum"], x.sum(1) * 3)
        assert torch.equal(found["x"][1], x)
    assert calls == [3, 3, 2, 2]  # recorded, and called once more, on other numbers, to compare


STATE = np.random.default_rng(0)
NOT = {
    "draws its own numbers": lambda x: x + STATE.random(),
    "asks what a number is": lambda x: x + (1 if x.sum().item() > 0 else 2),
    "leaves torch": lambda x: torch.from_numpy(np.sort(x.numpy())),
}


@pytest.mark.parametrize("function", NOT.values(), ids=NOT)
def test_what_cannot_be_recorded_runs_as_it_is(function):
    fast = recorded(function, compile=False)
    for x in (torch.ones(3), -torch.ones(3)):
        fast(x)
        state = STATE.bit_generator.state
        found = fast(x)
        STATE.bit_generator.state = state
        assert torch.equal(found, function(x))
