"""The benchmark of the log-det's approximations measures what it says, small, and draws it."""

import json

import numpy as np
import pytest

from experiments.benchmarks import command, logdet


def test_errors_are_those_of_what_is_compared():
    exact, blocks, rank = (logdet.measured(name, 24) for name in ("logdet", "blocks 4", "rank 8"))
    assert exact["error"] < 1e-12
    assert (exact["cosine"], exact["along"]) == pytest.approx((1, 1), rel=1e-9)
    assert blocks["bias"] > 0 > rank["bias"], "an upper and a lower bound"
    Z = logdet.batch(24).numpy()
    S = np.log1p(np.linalg.eigvalsh(np.cov(Z.T, bias=True)))[::-1] / 2
    assert rank["bias"] == pytest.approx(S[:8].sum() / S.sum() - 1, abs=0.03), "the subspace is not quite found"


def test_a_method_steers_where_each_seed_holds_nearly_what_the_exact_one_does():
    def of(*rates: float):
        return {"logdet_rate": np.array(rates), "lam": np.ones(2), "test_loss": np.ones(2)}

    rows = logdet.against_exact(8, {"logdet": of(1.0, 2.0), "near": of(0.91, 2.1), "far": of(1.11, 1.9)})
    assert [row["steers"] for row in rows] == [True, True, False]
    assert [row["held / exact"] for row in rows] == pytest.approx([1, 0.98, 1.03])


@pytest.mark.slow
def test_the_quick_benchmark_writes_numbers_and_a_figure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command.main(["logdet", "--quick"])
    written = json.loads((tmp_path / "outputs/benchmark_logdet.json").read_text())
    assert [len(written[key]) for key in ("errors", "held")] == [2 * len(logdet.METHODS), len(logdet.METHODS)]
    assert {path.suffix for path in (tmp_path / "outputs").iterdir()} == {".json", ".png", ".svg"}
