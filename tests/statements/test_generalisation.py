"""Theorem 3 on runs: known exponents and counts recovered, and f-CMI of learners whose information is known."""

import json

import numpy as np
import pytest
import xarray as xr

from experiments.grid import SURROGATES
from experiments.theory import generalisation
from experiments.theory.generalisation import (
    bound,
    coins,
    conditional_information,
    draw,
    estimates,
    exponent,
    information,
    pairs,
    predictions,
    study,
    supersample,
)
from experiments.theory.information import memorise, memoriser
from hclm_runner.config import configure
from hclm_runner.streams import stream
from hclm_runner.trainer import train

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
    return [row for row in found["growth"] if row["quantity"] == quantity]


def test_exponents_are_recovered_with_an_interval_that_holds_them():
    found = study(drawn())
    for quantity, truth in (("logdet_rate", 0.4), ("entropy", 0.7), ("gap", -0.3), ("expression", (0.4 - 1) / 2)):
        rows = growth(found, quantity)
        assert len(rows) == len(SURROGATES) * len(LAMS)
        assert all(row["seeds"] == SEEDS for row in rows)
        held = [row["exponent_low"] <= truth <= row["exponent_high"] for row in rows]
        assert sum(held) >= 5, rows
        assert all(abs(row["exponent"] - truth) < 0.03 for row in rows)
        assert all(0 < row["exponent_high"] - row["exponent_low"] < 0.1 for row in rows)


def test_an_exponent_without_noise_is_exact_and_needs_positive_values():
    values = xr.DataArray(3 * np.array(N) ** 1.5, dims="n", coords={"n": list(N)})
    assert exponent(values).item() == pytest.approx(1.5, abs=1e-12)
    assert np.isnan(exponent(values.where(values["n"] > 64, 0.0)).item())
    assert np.isnan(exponent(-values).item())


def test_a_seed_that_is_not_positive_everywhere_has_no_part_in_the_exponent():
    samples = drawn()
    samples["train_accuracy"].loc[{"seed": 2, "n": 256}] = -0.1
    for row in growth(study(samples), "gap"):
        assert row["seeds"] == SEEDS - 1
        assert abs(row["exponent"] + 0.3) < 0.03


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
    assert found["counts"] == {
        "cells": 4 * distinct,
        "cells_above": 3 * distinct,
        "cells_clearly_above": 3 * distinct,
        "runs": 4 * distinct * SEEDS - 1,
        "runs_above": 3 * distinct * SEEDS,
    }
    for row in found["cells"]:
        assert row["expression"] == pytest.approx(np.sqrt(2.0 / 4 * 2 / row["n"]))
        assert row["above"] is (row["n"] > 64)
    assert study(constant(gap=-0.2, rate=2.0))["counts"]["cells_above"] == 0


def test_a_cell_of_wide_scatter_is_not_clearly_above():
    counts = study(constant(gap=0.2, rate=2.0, spread=0.5))["counts"]
    assert counts["cells_above"] == counts["cells"]
    assert counts["cells_clearly_above"] == 0


def test_what_study_returns_is_json_and_has_the_memoriser():
    found = json.loads(json.dumps(study(constant(gap=-0.1, rate=2.0)), allow_nan=False))
    assert {row["n"] for row in found["memoriser"]} == set(N)
    assert all(0.4 < row["gap"] < 0.6 and row["gap"] > 2 * row["expression"] for row in found["memoriser"])
    assert all(row["exponent"] is None and row["seeds"] == 0 for row in growth(found, "gap"))


def test_the_gates_memoriser_is_the_one_that_stands_beside():
    gaps, expressions = memorise(1000)
    measured = memoriser()
    assert measured.value == expressions.mean() / gaps.mean()
    assert measured.text == "gap 0.502, expression 0.020: 0.04 of it"
    assert memoriser(learned=False).value > 1


# --- the estimate of information ------------------------------------------------------------------------------------


def fair(m, n, seed=0):
    return np.random.default_rng(seed).integers(2, size=(m, n))


def test_a_symbol_that_is_the_coin_tells_log_2():
    U = fair(30, 7)
    for symbols in (U, 1 - U, 5 * U + 2):
        np.testing.assert_allclose(information(symbols, U), np.log(2), atol=1e-12)


def test_a_symbol_that_is_the_coin_in_one_case_of_two_tells_its_share():
    """U = 0 gives 0, and U = 1 gives 0 or 1 at even odds: I = H(1/4) - H(1/2)/2."""
    U = np.repeat([[0], [0], [1], [1]], 3, axis=1)
    symbols = np.repeat([[0], [0], [0], [1]], 3, axis=1)
    quarter = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    np.testing.assert_allclose(information(symbols, U), quarter - np.log(2) / 2)


@pytest.mark.parametrize("symbols", [2, 5])
def test_an_independent_symbol_tells_the_bias_only(symbols):
    """To first order in 1/m the bias is (symbols - 1)/(2 m), Miller (1955)."""
    m, n = 400, 2000
    found = information(np.random.default_rng(1).integers(symbols, size=(m, n)), fair(m, n)).mean()
    assert found == pytest.approx((symbols - 1) / (2 * m), rel=0.1)


def test_a_constant_symbol_tells_nothing():
    assert (information(np.zeros((20, 4), dtype=int), fair(20, 4)) == 0).all()


def test_a_coin_that_fell_on_one_side_is_refused():
    with pytest.raises(ValueError, match="one side"):
        information(np.zeros((3, 1), dtype=int), np.ones((3, 1), dtype=int))


# --- learners that are known ----------------------------------------------------------------------------------------


def told(m, n, otherwise, seed=0):
    """Return F, U, y of a memoriser of fair-coin labels: right where it was trained, `otherwise(y, rng)` elsewhere."""
    rng = np.random.default_rng(seed)
    y, U = rng.integers(2, size=(n, 2)), rng.integers(2, size=(m, n))
    F = np.where(np.arange(2) == U[..., None], y, otherwise(np.broadcast_to(y, (m, n, 2)), rng))
    return F, U, y


def test_a_memoriser_that_guesses_has_half_of_log_2_and_gap_one_half():
    """The guess is right, and then hides the coin, in one case of two: I = log(2)/2, and the bound is sqrt(log 2)."""
    found = estimates(*told(4000, 50, lambda y, rng: rng.integers(2, size=y.shape)))
    assert found["gap"] == pytest.approx(0.5, abs=0.01)
    for name in ("f", "e"):
        assert found[f"{name}_information"] == pytest.approx(np.log(2) / 2, rel=0.01)
        assert found[f"{name}_bound"] == pytest.approx(np.sqrt(np.log(2)), rel=0.01)
        assert found[f"{name}_floor"] < 0.05


def test_a_memoriser_that_is_always_wrong_elsewhere_gives_its_coins_away():
    found = estimates(*told(60, 20, lambda y, _: 1 - y))
    assert found["gap"] == 1
    for name in ("f", "e"):
        assert found[f"{name}_information"] == pytest.approx(np.log(2))
        assert found[f"{name}_bound"] == pytest.approx(np.sqrt(2 * np.log(2)))
        assert 0 < found[f"{name}_floor"] < 0.4


def test_a_constant_predictor_tells_nothing():
    y, U = fair(20, 2), fair(40, 20, seed=1)
    found = estimates(np.ones((40, 20, 2), dtype=int), U, y)
    assert abs(found.pop("gap")) < 0.1  # of 800 coins
    assert set(found.values()) == {0.0}


def test_a_predictor_that_does_not_know_the_coins_reads_like_shuffled_ones():
    """Negative control: the estimate is all bias, which the shuffles show."""
    y, U = fair(200, 2), fair(60, 200, seed=1)
    found = estimates(fair(60, 800, seed=2).reshape(60, 200, 4)[..., :2], U, y)
    for name in ("f", "e"):
        assert found[f"{name}_bound"] == pytest.approx(found[f"{name}_floor"], rel=0.05)
        assert found[f"{name}_bound"] > 0.1
    assert abs(found["gap"]) < 0.03


def test_being_wrong_says_no_more_of_the_coins_than_the_predictions_do():
    rng = np.random.default_rng(3)
    F, U, y = rng.integers(4, size=(60, 30, 2)), fair(60, 30), rng.integers(4, size=(30, 2))
    F = np.where((np.arange(2) == U[..., None]) & (rng.random(F.shape) < 0.7), y, F)
    found = estimates(F, U, y)
    assert found["e_information"] < found["f_information"]
    assert found["gap"] < found["e_bound"] < found["f_bound"]
    assert found["gap"] == pytest.approx(
        np.mean([F[k, i, 1 - U[k, i]] != y[i, 1 - U[k, i]] for k in range(60) for i in range(30)])
        - np.mean([F[k, i, U[k, i]] != y[i, U[k, i]] for k in range(60) for i in range(30)])
    )


def test_the_bound_is_a_mean_of_roots():
    assert bound(np.array([0.0, 0.5])) == pytest.approx(0.5)


# --- real runs ------------------------------------------------------------------------------------------------------

SMALL = ("epochs=2",)


def runs(which=0, seeds=3, n=16, overrides=SMALL):
    return generalisation._configured("logdet", 0.1, which, n, seeds, overrides)


def test_the_coins_choose_one_of_each_pair_and_leave_the_other():
    options = runs()[0].task.options
    tasks = [supersample(stream(seed, "data"), **options) for seed in range(4)]
    pools = {np.sort(np.concatenate([task.train[0], task.test[0]]), axis=0).tobytes() for task in tasks}
    assert len(pools) == 1, "the samples must not depend on the seed"
    assert len({task.train[0].tobytes() for task in tasks}) == 4, "the coins must"
    for task in tasks:
        assert len(np.unique(np.concatenate([task.train[0], task.test[0]]), axis=0)) == 32


def test_the_samples_follow_from_the_supersample_and_the_coins_from_the_seed():
    (x, y, U), (x1, y1, U1) = (pairs(run) for run in runs(seeds=2))
    np.testing.assert_array_equal(x, x1)
    np.testing.assert_array_equal(y, y1)
    assert (U != U1).any()
    np.testing.assert_array_equal(U, coins(stream(0, "data"), 16))
    other, *_ = pairs(runs(which=1)[0])
    assert not np.isin(other, x).any()


def test_supersamples_share_no_seed():
    assert not {run.seed for run in runs(which=0)} & {run.seed for run in runs(which=1)}


def test_the_task_is_reached_from_the_command_line_and_refuses_what_it_does_not_know():
    given = ["task=custom", "task._target_=experiments.theory.generalisation.supersample", "+task.which=-1"]
    with pytest.raises(ValueError, match="which"):
        configure(given)


def test_predictions_are_those_of_the_trained_parameters():
    own = runs(seeds=4, overrides=("epochs=30",))
    records = train(own)
    x, y, _ = pairs(own[0])
    import torch

    F = predictions(own, torch.as_tensor(records.theta), x, 4)
    for k, run in enumerate(own):
        U = pairs(run)[2]
        right = F[k] == y
        trained, tested = right[np.arange(16), U].mean(), right[np.arange(16), 1 - U].mean()
        assert trained == pytest.approx(records.columns["train_accuracy"][k, -1])
        assert tested == pytest.approx(records.columns["test_accuracy"][k, -1])
    assert len({F[k].tobytes() for k in range(4)}) == 4


@pytest.fixture(scope="module")
def conditional():
    conditions = (("logdet", 0.0), ("variance", 0.1))
    return conditional_information(n=16, supersamples=2, seeds=12, conditions=conditions, overrides=("epochs=40",))


def test_real_runs_give_a_row_for_each_condition(conditional):
    assert [(row["surrogate"], row["lam0"]) for row in conditional] == [("logdet", 0.0), ("variance", 0.1)]
    json.dumps(conditional, allow_nan=False)
    for row in conditional:
        assert row["diverged"] == 0
        assert len(row["each"]) == 2
        assert row["gap"] == pytest.approx(np.mean([one["gap"] for one in row["each"]]))
        assert row["gap_low"] <= row["gap"] <= row["gap_high"]
        assert 0 < row["gap"] < row["e_bound"] <= row["f_bound"] + 1e-12  # rounding
        assert row["expression"] > 0


def test_the_figure_is_written(conditional, tmp_path):
    paths = draw(study(drawn()), conditional, tmp_path)
    assert [path.name for path in paths] == ["generalisation.pdf", "generalisation.svg", "generalisation.png"]
    assert all(path.stat().st_size > 1000 for path in paths)
    svg = paths[1].read_text()
    assert "not a bound" in svg
    assert all(name in svg for name in SURROGATES)
