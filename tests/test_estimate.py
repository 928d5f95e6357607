"""The one type for a number with an interval: against scipy, closed forms, and what it prints and keeps."""

import json
import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from experiments.estimate import Estimate, jackknife, of_seeds

RNG = np.random.default_rng(0)
X, Y = RNG.normal(1, 2, 9), RNG.normal(3, 1, 5)


def seeds(values):
    return of_seeds(xr.DataArray(values, dims="seed"))


def test_the_mean_over_seeds_has_students_interval():
    found = seeds(X)
    expected = stats.ttest_1samp(X, 0).confidence_interval(0.95)
    np.testing.assert_allclose([found.value, found.low, found.high], [X.mean(), *expected], rtol=1e-12)
    assert found.n == 9
    np.testing.assert_allclose(found.error, stats.sem(X), rtol=1e-12)


def test_seeds_that_are_missing_do_not_count_and_one_seed_has_no_interval():
    two = of_seeds(xr.DataArray([[1.0, 3.0, np.nan], [5.0, np.nan, np.nan]], dims=("lam0", "seed")))
    assert two.n.to_numpy().tolist() == [2, 1]
    assert two.value.to_numpy().tolist() == [2, 5]
    assert np.isnan(two.low.to_numpy()).tolist() == [False, True]
    assert format(two.at(lambda part: part.isel(lam0=1)).item(), ".1f") == "5.0"


def test_the_difference_of_independent_means_is_welchs():
    found = seeds(X) - seeds(Y)
    welch = stats.ttest_ind(X, Y, equal_var=False)
    np.testing.assert_allclose(found.n - 1, welch.df, rtol=1e-12)
    np.testing.assert_allclose([found.low, found.high], welch.confidence_interval(0.95), rtol=1e-12)
    total = seeds(X) + seeds(Y)
    np.testing.assert_allclose(total.half, found.half, rtol=1e-12)
    assert total.value == pytest.approx(X.mean() + Y.mean())


def test_a_product_has_the_error_of_first_order():
    x, y = Estimate.of_error(2.0, 0.1, 8), Estimate.of_error(-3.0, 0.2, 5)
    parts = np.array([(3 * 0.1) ** 2, (2 * 0.2) ** 2])
    assert (x * y).value == -6
    np.testing.assert_allclose((x * y).error, math.sqrt(parts.sum()), rtol=1e-12)
    np.testing.assert_allclose((x * y).n - 1, parts.sum() ** 2 / (parts**2 / [7, 4]).sum(), rtol=1e-12)


def test_the_jackknife_of_a_mean_is_its_standard_error_and_of_a_ratio_covers_it():
    found = jackknife(float, X)
    np.testing.assert_allclose([found.value, found.error], [X.mean(), stats.sem(X)], rtol=1e-12)
    assert found.n == 9
    rng, held = np.random.default_rng(1), 0
    for _ in range(400):
        a, b = rng.normal(2, 0.3, 20), rng.normal(4, 0.3, 20)
        held += jackknife(lambda a, b: float(a / b), a, b).holds(0.5)
    assert 0.92 < held / 400 < 0.98  # 0.95 within three binomial errors of 400


def test_what_it_holds_and_what_is_not_defined():
    assert Estimate(0.5, 0.4, 0.6, 10).holds(0.4)
    assert not Estimate(0.5, 0.4, 0.6, 10).holds(0.61)
    assert Estimate(0.5, math.nan, math.nan, 1).holds(7.0), "it rules nothing out"
    assert (-Estimate(0.5, 0.4, 0.7, 10)) == Estimate(-0.5, -0.7, -0.4, 10)


@pytest.mark.parametrize(
    ("spec", "text"),
    [(".2f", "0.50 [0.40, 0.60]"), ("±.2f", "0.50 ± 0.10"), (".0%", "50% [40%, 60%]"), ("", "0.5 [0.4, 0.6]")],
)
def test_how_it_is_written(spec, text):
    assert format(Estimate(0.5, 0.4, 0.6, 10), spec) == text


def test_what_is_not_defined_is_a_dash_and_null():
    nothing = Estimate(math.nan, math.nan, math.nan, 0)
    assert format(nothing, ".2f") == "–"
    assert str(Estimate(0.5, 0.4, 0.6, 10)) == "0.5 [0.4, 0.6]"
    assert nothing.as_dict() == {"value": None, "low": None, "high": None, "n": 0}
    kept = json.loads(json.dumps(Estimate(0.5, -math.inf, math.inf, 3).as_dict()))
    assert kept == {"value": 0.5, "low": None, "high": None, "n": 3}
    back = Estimate.of_dict(kept)
    assert (back.value, back.n) == (0.5, 3)
    assert math.isnan(back.low)


def test_a_number_that_is_known_exactly_scales_the_value_and_both_ends():
    estimate = Estimate(2.0, 1.0, 4.0, 7)
    assert estimate * 3.0 == Estimate(6.0, 3.0, 12.0, 7)
    assert estimate * -3.0 == Estimate(-6.0, -12.0, -3.0, 7)
    many = estimate * np.array([1.0, -1.0])
    np.testing.assert_array_equal([many.low, many.value, many.high], [[1, -4], [2, -2], [4, -1]])


def test_an_estimate_times_one_without_error_is_that_scaling():
    x = Estimate.of_error(2.0, 0.5, 6)
    scaled, product = x * -1.5, x * Estimate.of_error(-1.5, 0.0, 6)
    np.testing.assert_allclose([scaled.low, scaled.high, scaled.n], [product.low, product.high, product.n], rtol=1e-12)


def test_a_number_that_is_known_exactly_moves_the_value_and_both_ends():
    estimate = Estimate(2.0, 1.0, 4.0, 7)
    assert estimate + 1.0 == 1.0 + estimate == np.float64(1) + estimate == Estimate(3.0, 2.0, 5.0, 7)
    assert estimate - 1.0 == Estimate(1.0, 0.0, 3.0, 7)
    assert 1.0 - estimate == Estimate(-1.0, -3.0, 0.0, 7)
    assert 2 * estimate == np.float64(2) * estimate == estimate * 2 == Estimate(4.0, 2.0, 8.0, 7)
    many = np.array([0.0, 1.0]) + estimate
    np.testing.assert_array_equal([many.low, many.value, many.high], [[1, 2], [2, 3], [4, 5]])


def test_what_does_not_vary_is_exact():
    same = seeds([3.0, 3.0, 3.0, 3.0])
    assert (same.value, same.half, same.n) == (3, 0, 4)
    for found, value in ((same - seeds([1.0, 1.0, 1.0, 1.0]), 2), (same + same, 6), (same * same, 9)):
        assert (found.value, found.low, found.high) == (value, value, value)
        assert found.n == pytest.approx(7), "as for two of four seeds that vary alike"
    mixed = same - seeds(X)
    np.testing.assert_allclose([mixed.half, mixed.n], [seeds(X).half, 9], rtol=1e-12)
    rows = of_seeds(xr.DataArray([[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]], dims=("lam0", "seed")))
    total = rows + rows
    assert total.half.to_numpy()[0] == 0
    np.testing.assert_allclose(total.n, [5, 5], rtol=1e-12)
    np.testing.assert_allclose(total.half[1], stats.t.ppf(0.975, 4) * rows.error[1] * math.sqrt(2), rtol=1e-12)


def test_errors_whose_squares_are_too_small_for_a_float_still_have_their_n():
    tiny = Estimate.of_error(0.0, 1e-100, 5)
    assert (tiny + tiny).n == pytest.approx(9)


@pytest.mark.parametrize(
    ("n", "kept"),
    [(np.int64(3), "3"), (3.0, "3"), (np.float64(3.5), "3.5"), (math.nan, "null"), (math.inf, "null"), (0, "0")],
)
def test_n_is_kept_as_json_has_it(n, kept):
    found = Estimate(np.float32(0.5), np.float64(0), xr.DataArray(1.0), n).as_dict()
    assert json.dumps(found, allow_nan=False) == f'{{"value": 0.5, "low": 0.0, "high": 1.0, "n": {kept}}}'
    back = Estimate.of_dict(found)
    assert math.isnan(back.n) if kept == "null" else back.n == n


def test_many_estimates_are_not_written_as_one():
    many = of_seeds(xr.DataArray([[1.0, 2.0], [3.0, 5.0]], dims=("lam0", "seed")))
    for write in (str, "{:.2f}".format, Estimate.as_dict):
        with pytest.raises(TypeError, match="holds 2 estimates: choose one"):
            write(many)
    assert f"{many.at(lambda each: each[0]):.1f}".startswith("1.5 [")


def test_arrays_of_one_number_become_plain_numbers_that_json_has():
    found = of_seeds(xr.DataArray([1.0, 2.0, 6.0], dims="seed")).item()
    assert [type(part) for part in (found.value, found.low, found.high, found.n)] == [float, float, float, int]
    assert json.loads(json.dumps(found.as_dict()))["value"] == 3
