"""What the statements' half added to Estimate: scaling by a number that is known exactly, and plain numbers."""

import json

import numpy as np
import xarray as xr

from experiments.estimate import Estimate, of_seeds


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


def test_arrays_of_one_number_become_plain_numbers_that_json_has():
    found = of_seeds(xr.DataArray([1.0, 2.0, 6.0], dims="seed")).item()
    assert [type(part) for part in (found.value, found.low, found.high, found.n)] == [float, float, float, int]
    assert json.loads(json.dumps(found.as_dict()))["value"] == 3
