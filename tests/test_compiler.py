"""What is compiled: it agrees with what is not, it is read again, and it can be missing."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from hclm_runner.config import configure
from hclm_runner.records import COLUMNS
from hclm_runner.store import load
from hclm_runner.training.trainer import train

pytestmark = pytest.mark.slow  # torch's compiler takes half a minute

SMALL = ["epochs=4", "task.train=64", "task.feedback=32", "task.test=48", "batch_size=16"]


def test_compiled_agrees_with_what_is_not_to_rounding():
    base = configure("surrogate=logdet", "regime=rl_thermostat", "dtype=float64", *SMALL)
    runs = [base.model_copy(update={"lam": lam}) for lam in (0.0, 0.3)]
    eager, compiled = train(runs), train(runs, compile=True)
    assert (eager.compiled, compiled.compiled) == (False, True)
    for name in COLUMNS:
        np.testing.assert_allclose(compiled.columns[name], eager.columns[name], rtol=1e-9, atol=1e-12, err_msg=name)


TRAIN = """
import sys, numpy as np
from hclm_runner import configure, train
runs = [configure("surrogate=logdet", "regime=thermostat", "epochs=2", f"seed={seed}") for seed in range(3)]
trained = train(runs, compile=True)
np.savez(sys.argv[1], compiled=trained.compiled, **trained.columns)
"""


def test_what_was_compiled_before_is_read_and_gives_the_same_bits(tmp_path):
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    found = []
    for name in ("cold.npz", "warm.npz"):
        subprocess.run([sys.executable, "-c", TRAIN, name], cwd=tmp_path, env=os.environ | cache, check=True)
        found.append(np.load(tmp_path / name))
        programs = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.main.so")}
        assert len(programs) == 6  # the look, outputs of two splits, their audit, the step, the balance of entropy
        found.append(programs)
    cold, written, warm, there = found
    assert written == there
    assert cold["compiled"]
    assert warm["compiled"]
    for name in cold.files:
        np.testing.assert_array_equal(cold[name], warm[name])


def test_without_a_compiler_a_sweep_trains_as_if_it_were_not_to_compile_and_says_so_once(tmp_path):
    nothing = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"), "CXX": "there-is-no-such-compiler"}
    command = [sys.executable, "-m", "hclm_runner", "-m", "surrogate=logdet,softmax", "seed=range(2)", *SMALL]
    done = [
        subprocess.run([*command, *more], cwd=tmp_path, env=os.environ | nothing, capture_output=True, text=True)
        for more in (["name=asked", "compile=true"], ["name=not"])
    ]
    assert [each.returncode for each in done] == [0, 0]
    assert done[0].stderr.count("torch cannot compile here") == 1
    assert "No working C++ compiler" in done[0].stderr
    (asked, runs), (without, _) = (load(tmp_path / "outputs" / name) for name in ("asked", "not"))
    assert not runs["compiled"].any()
    order = ["run_id", "epoch"]
    pd.testing.assert_frame_equal(
        asked.sort_values(order, ignore_index=True), without.sort_values(order, ignore_index=True), check_exact=True
    )
