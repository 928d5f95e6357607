"""The benchmark of a growing store: what it fills is what a sweep would have written, and k is the power of growth."""

import json
import math
import subprocess
import sys

import pandas as pd
import pytest

from experiments.benchmarks import growth
from hclm_runner import store
from hclm_runner.config import configure


def test_a_filled_store_is_what_a_sweep_would_have_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = growth.fill(1, 120)
    assert set(found) == {"compose", "plan", "write", "write, end / start", "one run"}
    records, runs = (pd.read_parquet(store.OUTPUTS / growth.NAME / part) for part in store.PARTS)
    assert (len(runs), len(records)) == (72, 72 * 121)
    assert store.tidy(store.OUTPUTS / growth.NAME) == [], "nothing of it is to be trained again"
    run = configure("surrogate=logdet", "regime=thermostat", lam=0.3, seed=0)
    assert store.find(store.OUTPUTS / growth.NAME, run.run_id)["status"] == "finished"


def test_the_exponent_is_that_of_a_power_over_a_start():
    runs = [72, 720, 7200]
    assert growth.exponent(runs, [3 + 0.01 * (n - 72) ** 1.7 for n in runs]) == pytest.approx(1.7)
    assert growth.exponent([1, *runs], [5.0, *(5 + 0.1 * (n - 1) for n in runs)]) == pytest.approx(1)
    assert math.isnan(growth.exponent(runs, [18, 18, 180])), "nothing to compare with"


@pytest.mark.slow
def test_the_quick_benchmark_of_growth_measures_everything(tmp_path):
    command = [sys.executable, "-m", "experiments", "benchmark", "growth", "--quick"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "outputs/benchmark_growth_quick.json").read_text())
    assert results["runs"] == [72, 144, 216]
    assert all(value > 0 for row in results["results"] for value in row.values())
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["benchmark_growth_quick.json"]
