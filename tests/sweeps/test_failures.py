"""Runs that diverge, raise, kill their process or ask for too much memory, beside runs that do not."""

import re

import pandas as pd
import pytest
from poisonous import POISON
from sweeps import SMALL, table

from hclm_runner import store


def test_a_run_that_fails_or_diverges_leaves_its_neighbours_as_they_are_alone(cli, user_module):
    source = """
def S(Z, *, k: float):
    return k * Z.square().mean()
"""
    name = user_module(source)
    grid = ["-m", f"surrogate={name}.S", "surrogate.k=1", *SMALL]
    swept = cli(*grid, "optimizer.lr=0.05,1e25", "seed=0,1", "lam=0.1,-1")
    assert swept.code == 2
    assert "diverged: " in swept.err
    assert "error: lam=-1: expected a finite number >= 0 (4 runs, the first: " in swept.err
    runs = store.load("default")[1]
    assert sorted(runs["status"]) == ["diverged", "diverged", "finished", "finished"]
    again = cli(*grid, "optimizer.lr=0.05,1e25", "seed=0,1", "lam=0.1")
    assert again.code == 1, "what diverged is not trained again, and not forgotten either"
    assert "to train" not in again.err
    assert "error: diverged, in the store: " in again.err
    assert again.err.count("lam0 0.1, seed") == 2
    assert (runs.loc[runs["status"] == "diverged", "diverged_epoch"] == 1).all()
    fused = table()
    alone = cli(*grid, "optimizer.lr=0.05", "seed=0,1", "lam=0.1", "name=alone", "sweep.bundle=1")
    assert alone.code == 0, alone.err
    assert "2 runs to train in 2 bundles" in alone.err
    kept = fused[fused["epoch"].groupby(fused["run_id"]).transform("size") == 4].reset_index(drop=True)
    kept = kept.drop(columns="optimizer.lr")  # which varies only here
    pd.testing.assert_frame_equal(kept, table("outputs/alone"))


@pytest.mark.parametrize(
    ("deed", "reason", "status", "code"),
    [
        ("raise RuntimeError('the poison')", "RuntimeError: the poison", "refused", 2),
        pytest.param("os.kill(os.getpid(), 9)", "signal 9, SIGKILL", "failed", 1, marks=pytest.mark.slow),
    ],
)
def test_the_run_at_fault_is_found_and_recorded_and_tried_again(cli, user_module, tmp_path, deed, reason, status, code):
    name = user_module(POISON.format(deed=deed))
    grid = ["-m", f"surrogate={name}.S", "surrogate.k=1,9,2", *SMALL]
    swept = cli(*grid)
    assert swept.code == code
    assert reason in swept.err
    runs = store.load("default")[1]
    assert sorted(runs["status"]) == sorted([status, "finished", "finished"])
    failed = runs[runs["status"] == status]
    assert failed["error"].str.contains(reason.partition(",")[0]).all()
    assert (failed["rows"] == 0).all()
    assert "1 run to train" in cli(*grid).err, "what failed is tried again, what finished is not"
    assert len(store.load("default")[1]) == 3


HUNGRY = """
import torch

class Hook(torch.autograd.Function):
    @staticmethod
    def forward(Z):
        return Z.clone()
    @staticmethod
    def setup_context(ctx, inputs, output):
        pass
    @staticmethod
    def backward(ctx, g):
        return g
    @staticmethod
    def vmap(info, dims, Z):
        if info.batch_size > 2:
            {deed}
        return Hook.apply(Z), 0

def S(Z):
    return Hook.apply(Z).square().mean()
"""


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("raise torch.OutOfMemoryError('the device is full')", "OutOfMemoryError: the device is full"),
        pytest.param("torch.empty(2**60)", "can't allocate memory", marks=pytest.mark.slow),
        pytest.param("bytearray(2**60)", "MemoryError", marks=pytest.mark.slow),
    ],
)
def test_a_bundle_too_large_for_the_memory_is_halved_until_it_fits(cli, user_module, deed, reason):
    name = user_module(HUNGRY.format(deed=deed))
    swept = cli("-m", f"surrogate={name}.S", "seed=range(5)", *SMALL, "sweep.bundle=5")
    assert swept.code == 0, swept.err
    assert reason in swept.err
    halved = re.findall(r"a bundle of (\d+) runs", swept.err)
    assert sorted(halved) == ["3", "5"], "2 and 1 + 2 fit"
    assert (store.load("default")[1]["status"] == "finished").all()
    assert len(table()) == 5 * 4
