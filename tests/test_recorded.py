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


def test_a_gradient_that_nobody_asks_for_is_none_and_no_reason_to_record_nothing():
    calls, kernel = [], torch.randn(2, 1, 3)

    def function(x):
        calls.append(x)
        x = x.detach().requires_grad_()
        return torch.autograd.grad(torch.nn.functional.conv1d(x, kernel).square().sum(), x)

    fast = recorded(function, 100, Compiler(False))
    for x in torch.randn(3, 4, 1, 8):
        assert torch.equal(fast(x)[0], function(x)[0])
    assert len(calls) == 2 + 3  # to record it, to compare, and here


def test_a_constant_is_copied_to_the_type_that_needs_it_once():
    x, constant = torch.randn(2), torch.randn(2, dtype=torch.float64)
    recorder = recording._Recorder([x])
    with recorder:
        found = x * constant.to(x.dtype)
    module = recorder.write(found, reuse=False)
    assert [node.op for node in module.graph.nodes].count("call_function") == 1
    assert torch.equal(module(x), found)


def test_tensors_that_lie_otherwise_in_memory_are_recorded_anew():
    fast = recorded(lambda x: x.reshape(-1) + 1, 100, Compiler(False))
    for x in (torch.randn(3, 4), torch.randn(4, 3).mT):
        assert torch.equal(fast(x), x.reshape(-1) + 1)


def test_what_is_called_seldom_is_not_recorded():
    assert recorded(len, 10, Compiler(False)) is len


READ = {
    "nothing else": lambda made: (((made * 2 - made.mean()) / 3).exp(),),
    "it later": lambda made: (made * 2 + made,),
    "a view of it later": lambda made: (made * 2, made.mT[1:] * 3),
    "a view from before, later": lambda made: (view := made.mT[1:], made * 2, view * 3)[1:],
    "a view of it in the same operation": lambda made: (made * made[:1],),
    "it transposed in the same operation": lambda made: (made * made.mT,),
    "it twice in the same operation": lambda made: (made * made,),
    "less than a whole": lambda made: (made[:1].expand(4, 4) * 2,),
    "it itself": lambda made: (made, made * 2),
}
"""What is read of a tensor that an operation could write over."""


@pytest.mark.parametrize("read", READ.values(), ids=READ)
@pytest.mark.parametrize("make", [lambda x: x + 1, lambda x: x, lambda x: x.mT], ids=["made", "given", "view"])
def test_memory_is_used_again_only_where_nothing_reads_it_later(make, read):
    calls = []
    fast = recorded(lambda x: (calls.append(x), read(make(x)))[1], 100, Compiler(False))
    given = [torch.randn(4, 4) for _ in range(3)]
    before, found = [x.clone() for x in given], [fast(x) for x in given]
    assert len(calls) == 2  # to record it, and to compare: what is recorded is what runs
    for x, same, results in zip(given, before, found, strict=True):
        assert torch.equal(x, same)
        for result, expected in zip(results, read(make(x)), strict=True):
            assert torch.equal(result, expected)


def test_a_chain_of_operations_writes_over_what_it_made():
    recorder = recording._Recorder([x := torch.randn(4, 4)])
    with recorder:
        found = ((x + 1) * 2 - x.mean()).exp()
    written = [node.target for node in recorder.write(found, reuse=True).graph.nodes if "out" in node.kwargs]
    assert [target.overloadpacket.__name__ for target in written] == ["mul", "sub", "exp"]


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
