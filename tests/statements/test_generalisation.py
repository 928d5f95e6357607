"""Theorem 3 on runs over n: exponents and counts that are known are recovered."""

import json

import numpy as np
import pytest
import xarray as xr

from experiments.estimate import Estimate
from experiments.grid import SURROGATES
from experiments.statements import theorem_3
from experiments.statements.conditional_information import Condition
from experiments.statements.generalisation import exponent, memorise, study
from experiments.statements.theorem_3_figure import draw

N, LAMS, SEEDS, EPOCHS = (64, 128, 256, 512), (0.0, 0.1), 6, 7


def drawn(rate=0.4, own=0.7, gap=-0.3, noise=0.02):
    """Return runs whose final values follow n^rate, n^own, n^gap, each seed with a factor and a noise of its own."""
    rng = np.random.default_rng(0)
    dims = {"n": N, "surrogate": SURROGATES, "lam0": LAMS, "seed": range(SEEDS), "epoch": range(EPOCHS)}
    shape = [len(values) for values in dims.values()]
    n = np.array(N, dtype=float).reshape(-1, 1, 1, 1)

    def power(scale, g):
        final = scale * (n / 64) ** g * np.exp(noise * rng.standard_normal(shape[:-1]))
        final = final * np.exp(rng.standard_normal(SEEDS))
        wobble = np.array([5, -3, 0.9, 1.1, 1, 0.8, 1.2])  # only the mean of the last 5 epochs is the final value
        return final[..., None] * wobble

    columns = {"logdet_rate": power(8, rate), "entropy": power(2, own)}
    columns["train_accuracy"] = power(0.2, gap)
    columns["test_accuracy"] = 0 * columns["train_accuracy"]
    columns["train_loss"] = 1 + 0 * columns["entropy"]
    return xr.Dataset(
        {name: (list(dims), values) for name, values in columns.items()}, {k: list(v) for k, v in dims.items()}
    )


def growth(found, quantity):
    return [row.exponent for row in found.growth if row.quantity == quantity]


def test_exponents_are_recovered_with_an_interval_that_holds_them():
    found = study(drawn())
    for quantity, truth in (("logdet_rate", 0.4), ("entropy", 0.7), ("gap", -0.3), ("expression", (0.4 - 1) / 2)):
        rows = growth(found, quantity)
        assert len(rows) == len(SURROGATES) * len(LAMS)
        assert all(row.n == SEEDS for row in rows)
        held = [row.low <= truth <= row.high for row in rows]
        assert sum(held) >= 5, rows
        assert all(abs(row.value - truth) < 0.03 for row in rows)
        assert all(0 < row.high - row.low < 0.1 for row in rows)


def test_an_exponent_without_noise_is_exact_and_needs_positive_values():
    values = xr.DataArray(3 * np.array(N) ** 1.5, dims="n", coords={"n": list(N)})
    assert exponent(values).item() == pytest.approx(1.5, abs=1e-12)
    assert np.isnan(exponent(values.where(values["n"] > 64, 0.0)).item())
    assert np.isnan(exponent(-values).item())


def test_a_seed_that_is_not_positive_everywhere_has_no_part_in_the_exponent():
    samples = drawn()
    samples["train_accuracy"].loc[{"seed": 2, "n": 256}] = -0.1
    for row in growth(study(samples), "gap"):
        assert row.n == SEEDS - 1
        assert abs(row.value + 0.3) < 0.03


def constant(gap, rate, spread=1e-3):
    """Return runs of one gap and one log-det rate, but for a run that diverged: logdet, lam 0.1, n = 64, seed 0."""
    samples = drawn(noise=0)
    samples["train_accuracy"][:], samples["logdet_rate"][:] = gap, rate
    samples["train_accuracy"][:] += spread * xr.DataArray(
        np.arange(SEEDS) - 2.5, dims="seed"
    )  # an interval needs a width
    return samples.where(
        ~((samples["seed"] == 0) & (samples["lam0"] > 0) & (samples["n"] == 64) & (samples["surrogate"] == "logdet"))
    )


def test_cells_above_the_expression_are_counted_once():
    # sqrt(S/(2n)) at S = 2: 0.125 at n = 64, 0.088, 0.0625, 0.044. A gap of 0.1 is above all but the first.
    found = study(constant(gap=0.1, rate=2.0))
    distinct = 4  # conditions: lam = 0 once, lam = 0.1 of three surrogates
    assert found.counts == {
        "cells": 4 * distinct,
        "cells_above": 3 * distinct,
        "cells_clearly_above": 3 * distinct,
        "runs": 4 * distinct * SEEDS - 1,
        "runs_above": 3 * distinct * SEEDS,
    }
    for row in found.cells:
        assert row.expression.value == pytest.approx(np.sqrt(2.0 / 4 * 2 / row.n))
        assert row.above is (row.n > 64)
        assert row.gap.n == row.runs == SEEDS - ((row.surrogate, row.lam0, row.n) == ("logdet", 0.1, 64))
    assert study(constant(gap=-0.2, rate=2.0)).counts["cells_above"] == 0


def test_a_cell_of_wide_scatter_is_not_clearly_above():
    counts = study(constant(gap=0.2, rate=2.0, spread=0.5)).counts
    assert counts["cells_above"] == counts["cells"]
    assert counts["cells_clearly_above"] == 0


def test_what_study_returns_is_json_and_has_the_memoriser():
    found = json.loads(json.dumps(study(constant(gap=-0.1, rate=2.0)).as_dict(), allow_nan=False))
    assert {row["n"] for row in found["memoriser"]} == set(N)
    assert all(0.4 < row["gap"] < 0.6 and row["gap"] > 2 * row["expression"] for row in found["memoriser"])
    exponents = [row["exponent"] for row in found["growth"] if row["quantity"] == "gap"]
    assert exponents == [{"value": None, "low": None, "high": None, "n": 0}] * (len(SURROGATES) * len(LAMS))
    assert found["cells"][0]["gap"].keys() == {"value", "low", "high", "n"}


def test_the_gates_memoriser_is_the_one_that_is_compared_with_runs():
    gaps, expressions = memorise(1000)
    measured = theorem_3.memoriser()
    assert measured.value == expressions.mean() / gaps.mean()
    assert measured.text == "gap 0.502, expression 0.020: 0.04 of it"
    assert theorem_3.memoriser(learned=False).value > 1


def test_the_figure_is_written(tmp_path):
    names = ("gap", "expression", "e_bound", "f_bound", "e_floor", "f_floor")
    found = {name: Estimate(0.1 * i, 0.1 * i - 0.05, 0.1 * i + 0.05, 5) for i, name in enumerate(names, start=1)}
    conditions = [Condition(surrogate, 0.1, 64, 5, 60, 0, found, []) for surrogate in SURROGATES]
    paths = draw(study(drawn()), conditions, tmp_path)
    assert [path.name for path in paths] == [f"theorem_3_on_runs.{kind}" for kind in ("pdf", "svg", "png")]
    assert all(path.stat().st_size > 1000 for path in paths)
    svg = paths[1].read_text()
    assert "not a bound" in svg
    assert all(name in svg for name in SURROGATES)
