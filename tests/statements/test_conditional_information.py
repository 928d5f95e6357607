"""f-CMI of learners whose information is known, and of real runs on supersamples."""

import json

import numpy as np
import pytest
import torch

from experiments.statements.conditional_information import (
    bound,
    coins,
    configured,
    estimates,
    information,
    pairs,
    predictions,
    study,
    supersample,
)
from hclm_runner.config import configure
from hclm_runner.streams import stream
from hclm_runner.training.trainer import train

# --- the estimate of information ------------------------------------------------------------------------------------


def fair(m, n, seed=0):
    return np.random.default_rng(seed).integers(2, size=(m, n))


def test_a_symbol_that_is_the_coin_has_log_2():
    U = fair(30, 7)
    for symbols in (U, 1 - U, 5 * U + 2):
        np.testing.assert_allclose(information(symbols, U), np.log(2), atol=1e-12)


def test_a_symbol_that_is_the_coin_in_one_case_of_two_has_its_share():
    """U = 0 gives 0, and U = 1 gives 0 or 1 at even odds: I = H(1/4) - H(1/2)/2."""
    U = np.repeat([[0], [0], [1], [1]], 3, axis=1)
    symbols = np.repeat([[0], [0], [0], [1]], 3, axis=1)
    quarter = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    np.testing.assert_allclose(information(symbols, U), quarter - np.log(2) / 2)


@pytest.mark.parametrize("symbols", [2, 5])
def test_an_independent_symbol_has_the_bias_only(symbols):
    """To first order in 1/m the bias is (symbols - 1)/(2 m), Miller (1955)."""
    m, n = 400, 2000
    found = information(np.random.default_rng(1).integers(symbols, size=(m, n)), fair(m, n)).mean()
    assert found == pytest.approx((symbols - 1) / (2 * m), rel=0.1)


def test_a_constant_symbol_has_no_information():
    assert (information(np.zeros((20, 4), dtype=int), fair(20, 4)) == 0).all()


def test_a_coin_that_fell_on_one_side_is_refused():
    with pytest.raises(ValueError, match="one side"):
        information(np.zeros((3, 1), dtype=int), np.ones((3, 1), dtype=int))


# --- learners that are known ----------------------------------------------------------------------------------------


def memoriser(m, n, otherwise, seed=0):
    """Return F, U, y of a memoriser of fair-coin labels: right where it was trained, `otherwise(y, rng)` elsewhere."""
    rng = np.random.default_rng(seed)
    y, U = rng.integers(2, size=(n, 2)), rng.integers(2, size=(m, n))
    F = np.where(np.arange(2) == U[..., None], y, otherwise(np.broadcast_to(y, (m, n, 2)), rng))
    return F, U, y


def test_a_memoriser_that_guesses_has_half_of_log_2_and_gap_one_half():
    """The guess is right, and then hides the coin, in one case of two: I = log(2)/2, and the bound is sqrt(log 2)."""
    found = estimates(*memoriser(4000, 50, lambda y, rng: rng.integers(2, size=y.shape)))
    assert found["gap"] == pytest.approx(0.5, abs=0.01)
    for name in ("f", "e"):
        assert found[f"{name}_information"] == pytest.approx(np.log(2) / 2, rel=0.01)
        assert found[f"{name}_bound"] == pytest.approx(np.sqrt(np.log(2)), rel=0.01)
        assert found[f"{name}_floor"] < 0.05


def test_a_memoriser_that_is_always_wrong_elsewhere_gives_its_coins_away():
    found = estimates(*memoriser(60, 20, lambda y, _: 1 - y))
    assert found["gap"] == 1
    for name in ("f", "e"):
        assert found[f"{name}_information"] == pytest.approx(np.log(2))
        assert found[f"{name}_bound"] == pytest.approx(np.sqrt(2 * np.log(2)))
        assert 0 < found[f"{name}_floor"] < 0.4


def test_a_constant_predictor_has_no_information():
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
    return configured("logdet", 0.1, which, n, seeds, overrides)


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
    given = [
        "task=experiments.statements.conditional_information.supersample",
        "task.which=-1",
    ]
    with pytest.raises(ValueError, match="which"):
        configure(*given)


def test_predictions_are_those_of_the_trained_parameters():
    own = runs(seeds=4, overrides=("epochs=30",))
    records = train(own)
    x, y, _ = pairs(own[0])
    F = predictions(own, torch.as_tensor(records.theta), x)
    for k, run in enumerate(own):
        U = pairs(run)[2]
        right = F[k] == y
        trained, tested = right[np.arange(16), U].mean(), right[np.arange(16), 1 - U].mean()
        assert trained == pytest.approx(records.columns["train_accuracy"][k, -1])
        assert tested == pytest.approx(records.columns["test_accuracy"][k, -1])
    assert len({F[k].tobytes() for k in range(4)}) == 4


@pytest.fixture(scope="module")
def found():
    conditions = (("logdet", 0.0), ("variance", 0.1))
    return study(n=16, supersamples=2, seeds=12, conditions=conditions, overrides=("epochs=40",))


def test_real_runs_give_a_row_for_each_condition(found):
    assert [(row.surrogate, row.lam0) for row in found] == [("logdet", 0.0), ("variance", 0.1)]
    assert json.loads(json.dumps([row.as_dict() for row in found], allow_nan=False))[0]["found"]["gap"]["n"] == 2
    for row in found:
        assert row.diverged == 0
        assert len(row.each) == 2
        gap = row.found["gap"]
        first, second = (one["gap"] for one in row.each)
        assert gap.value == pytest.approx((first + second) / 2)
        assert gap.half == pytest.approx(
            12.7062047364 * abs(first - second) / 2
        )  # Student's t with 1 degree of freedom
        assert gap.low <= gap.value <= gap.high
        e, f = row.found["e_bound"].value, row.found["f_bound"].value
        assert 0 < gap.value < e <= f + 1e-12  # rounding
        assert row.found["expression"].value > 0


def test_where_every_run_diverged_there_is_no_expression_and_json_says_none():
    (row,) = study(
        n=16, supersamples=2, seeds=12, conditions=[("logdet", 0.1)], overrides=("epochs=8", "optimizer.lr=1e6")
    )
    assert row.diverged == 24
    plain = json.loads(json.dumps(row.as_dict(), allow_nan=False))
    assert plain["found"]["expression"]["value"] is None
    assert [one["expression"] for one in plain["each"]] == [None, None]
    assert plain["found"]["gap"]["value"] is not None
