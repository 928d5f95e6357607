"""On a GPU: a run is what it is on a CPU, and its epochs are CUDA graphs. A stand-in where there is none."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from hclm_runner import configure, train

SMALL = ["epochs=3", "task.train=64", "task.feedback=32", "task.test=48", "batch_size=16"]

CASES = {
    "logdet": ["surrogate=logdet", "regime=rl_thermostat", "feedback=noisy"],
    "lowrank": ["surrogate=logdet_lowrank", "optimizer=sam", "dropout=0.1", "clip=1"],
    "softmax": ["surrogate=softmax", "structure=spectral", "omega=0.1", "risk=asymmetric_cost", "rho=0.1"],
    "on request": ["surrogate=variance", "premises=true", "metric_force=ggn"],
    "convolutions": ["task=mnist1d", "model=cnn"],
    "diverging": ["surrogate=variance", "optimizer.lr=1e6"],
}

STAND_IN = """
import sys, json, warnings
import numpy as np, torch
import stand_in_gpu
from hclm_runner import configure, train
from hclm_runner.training import graphs, recorded
recorded.CALLS = 0
options, broken = json.loads(sys.argv[1]), sys.argv[2]
base = configure(options)
runs = [base.model_copy(update={"seed": i // 2, "lam": [0.01, 0.3][i % 2]}) for i in range(4)]
if broken == "waits":
    graphs.LIBRARY = ()
if broken == "old inputs":
    torch._foreach_copy_ = lambda into, values: None
on_cpu = train(runs)
with stand_in_gpu.Gpu(), warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    on_gpu = train(runs, device="standin")
print(json.dumps({
    "differ": [name for name in on_cpu.columns if not np.allclose(on_cpu.columns[name], on_gpu.columns[name], rtol=1e-12, atol=0, equal_nan=True)],
    "theta": np.array_equal(on_cpu.theta, on_gpu.theta),
    "diverged": [on_cpu.diverged.tolist(), on_gpu.diverged.tolist()],
    "causes": on_cpu.causes == on_gpu.causes,
    "said": [str(each.message) for each in said],
    **stand_in_gpu.counts,
}))
"""


def on_the_stand_in(options, broken=""):
    path = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", STAND_IN, json.dumps([*SMALL, *options]), broken]
    done = subprocess.run(command, env=os.environ | path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["differ"], found["theta"], found["causes"]) == ([], True, True)
    on_cpu, on_gpu = found["diverged"]
    assert on_cpu == on_gpu
    assert (max(on_cpu) >= 0) == (options is CASES["diverging"])
    return found


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_on_another_device_a_run_is_the_same_and_trains_in_graphs(options):
    found = on_the_stand_in(options)
    assert found["said"] == []
    assert found["graphs"] >= 6  # the look, outputs of two splits, their audit, the step, the balance of entropy
    assert found["replays"] > 3 * found["graphs"]


@pytest.mark.parametrize(
    ("broken", "reason"), [("waits", "not permitted when stream is capturing"), ("old inputs", "other numbers")]
)
def test_a_graph_that_cannot_be_captured_or_gives_other_numbers_is_not_used_and_that_is_said(broken, reason):
    found = on_the_stand_in(CASES["logdet"], broken)
    for message in found["said"]:
        assert message.startswith("no CUDA graphs here, so a GPU waits for each operation: ")
        assert reason in message
    assert found["said"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_a_gpu_trains_what_the_cpu_does(options):
    base = configure([*SMALL, "dtype=float64", *options, "epochs=60"])
    runs = [base.model_copy(update={"seed": i // 2, "lam": [0.01, 0.3][i % 2]}) for i in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        on_gpu = train(runs, device="cuda")
    on_cpu = train(runs)
    np.testing.assert_array_equal(on_cpu.diverged, on_gpu.diverged)
    for name, column in on_cpu.columns.items():  # float64, so the order of a sum is far from 1e-6 after 60 epochs
        np.testing.assert_allclose(on_gpu.columns[name], column, rtol=1e-6, atol=1e-9, err_msg=name)
