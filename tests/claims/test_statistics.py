"""What is read off trajectories and over seeds, by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from experiments.claims.statistics import (
    at_same_lam,
    fall,
    half_time,
    late,
    mean_of_seeds,
    median_of_seeds,
    quotient,
    roughness,
    sd_ratio,
    sd_within,
    slope,
    spike,
    spread,
    variation,
)


@pytest.mark.parametrize(
    ("path", "epoch"),
    [
        ([1, 4, 3, 2, 1], 3),
        ([1, 4, 3, 2.1, 1.9], 4),
        ([4, 1, 9, 8, 7], 5),  # low before the peak does not count; never after it
        ([9, 1, 9, 1, 1], 1),  # after the first peak
        ([1, 2, 3, 4, 5], 5),
        ([2, 2, 2, 2, 2], 5),
    ],
)
def test_half_time(path, epoch):
    assert half_time(np.array(path, float)) == epoch


def test_a_path_that_breaks_off_has_no_half_time():
    found = half_time(np.array([[[4, 1, 1, np.nan], [4, 1, 1, 1]]]))
    np.testing.assert_array_equal(found, [[np.nan, 1]])


def test_fall_is_of_the_peak_and_down_to_the_mean_of_the_last_five():
    assert fall(np.array([0.0, 10, 9, 8, 7, 6, 5])) == pytest.approx(0.3)
    assert fall(np.array([0.0, 1, 2, 3, 3, 3, 3, 3])) == 0


def test_late_is_the_last_quarter_and_two_epochs_at_least():
    np.testing.assert_array_equal(late(np.arange(121.0)), np.arange(91.0, 121))
    np.testing.assert_array_equal(late(np.arange(5.0)), [3, 4])


def test_slope_is_that_of_the_line_through_the_late_epochs():
    path = np.random.default_rng(10).normal(size=(2, 3, 41))
    expected = [[np.polyfit(np.arange(31, 41), one[31:], 1)[0] for one in row] for row in path]
    np.testing.assert_allclose(slope(path), expected, rtol=1e-9)


def test_variation_adds_up_the_changes_whatever_their_sign():
    assert variation(np.array([1.0, 3, 2, 2, 5])) == 6


def test_roughness_is_of_the_logarithm_and_a_steady_decay_has_none():
    assert roughness(np.exp([0.0, 1, 0, 1, 0])) == pytest.approx(2)
    assert roughness(np.exp(-0.3 * np.arange(25))) == pytest.approx(0, abs=1e-12)
    assert roughness(5 * np.exp([0.0, 1, 0, 1, 0])) == pytest.approx(2), "no matter the scale"


def test_spike_is_the_late_maximum_over_the_late_median():
    path = np.ones(40)
    path[3], path[-4] = 100, 3
    path[-10:] *= 2
    assert spike(path) == 3


def test_the_standard_deviation_within_is_over_the_seeds_of_a_data_set_by_hand():
    x = np.random.default_rng(11).normal(size=(2, 4, 12))
    frame = pd.DataFrame(x.reshape(8, 12).T).groupby(np.repeat(range(4), 3)).var()
    np.testing.assert_allclose(sd_within(x, 3).ravel(), np.sqrt(frame.mean()))
    assert sd_ratio(x, 3) == pytest.approx(np.divide(*sd_within(x, 3).mean(1)))


def test_the_standard_deviation_of_one_seed_a_data_set_is_of_what_all_arms_leave():
    x = np.random.default_rng(12).normal(size=(2, 4, 7))
    left = pd.DataFrame((x - x.mean((0, 1))).reshape(8, 7).T).std()
    np.testing.assert_allclose(sd_within(x, 1).ravel(), left)


@pytest.mark.parametrize("draws", [1, 3])
def test_how_hard_a_data_set_is_does_not_change_which_arm_is_steadier(draws):
    """The second arm is twice as unsteady; what all arms share, ten times as large, hides it if it is not taken off."""
    rng = np.random.default_rng(13)
    own = np.array([0.5, 1.0])[:, None, None] * rng.normal(size=(2, 6, 30 * draws))
    shared = np.repeat(10 * rng.normal(size=30), draws)
    assert sd_ratio(own + shared, draws) == pytest.approx(sd_ratio(own, draws), rel=1e-9)
    assert sd_ratio(own + shared, draws) == pytest.approx(0.5, abs=0.12)
    naive = (own + shared).std(-1, ddof=1).mean(1)
    assert naive[0] / naive[1] > 0.9


def test_a_resample_keeps_the_seeds_of_a_data_set_together():
    rng = np.random.default_rng(14)
    x, chosen = rng.normal(size=(2, 3, 12)), rng.integers(0, 4, size=(5, 4))
    runs = (3 * chosen[..., None] + np.arange(3)).reshape(5, 12)
    np.testing.assert_allclose(sd_ratio(x[..., runs], 3), [sd_ratio(x[..., row], 3) for row in runs])


def test_a_quotient_is_of_means_and_keeps_the_sign_of_the_numerator():
    v = np.array([[1.0, 3], [-2, -6]])
    assert quotient(v) == 2 / 4


def test_a_range_over_lam_is_that_of_means_over_seeds():
    v = np.array([[[1.0, 3], [2, 2], [2, 4]], [[0, 0], [10, 0], [4, 4]]])
    assert spread(v) == pytest.approx(1 / 5)


def test_at_the_same_lam_is_a_geometric_mean_of_ratios():
    v = np.array([[[1.0, 3], [8, 8]], [[1, 1], [2, 2]]])
    assert at_same_lam(mean_of_seeds, v) == pytest.approx(math.sqrt(2 * 4))
    assert at_same_lam(median_of_seeds, v) == pytest.approx(math.sqrt(2 * 4))
