"""Intervals and p-values against slow oracles, and their coverage."""

import itertools
import math

import numpy as np
import pytest
from coverage import KINDS, coverage, mean, normal, range_over_lam, skewed
from scipy import stats

from experiments.claims import intervals
from experiments.claims.intervals import ALPHA, benjamini_hochberg, holm, sign_flips
from experiments.claims.judge import COVERAGE, Part, assess, mean_part, quotient_part
from experiments.claims.statistics import mean as mean_of
from experiments.claims.statistics import ratio


def p_by_flips(over, under, bound: float) -> float:
    """The two-sided p-value the long way: every pattern of signs, one by one, in each tail."""
    d = over - bound * under
    sums = [np.dot(signs, d) for signs in itertools.product((-1, 1), repeat=len(d))]
    tails = (np.mean([s >= d.sum() - 1e-12 for s in sums]), np.mean([s <= d.sum() + 1e-12 for s in sums]))
    return min(1.0, 2 * min(tails))


@pytest.mark.parametrize("n", [6, 9])
def test_sign_flips_count_every_pattern_of_signs_and_the_interval_is_what_they_do_not_reject(n):
    rng = np.random.default_rng(n)
    over, under = rng.normal(1, 1, size=n), rng.uniform(0.5, 2, size=n)
    low, high, _ = sign_flips(over, under, 0.0)
    width = high - low
    for bound in (*np.linspace(low - width, high + width, 15), low + 1e-6, low - 1e-6, high + 1e-6, high - 1e-6):
        *_, p = sign_flips(over, under, bound)
        assert p == pytest.approx(p_by_flips(over, under, bound)), bound
        assert (p <= ALPHA) == (not low <= bound <= high), bound


def test_the_p_of_sign_flips_has_the_floor_that_the_units_allow():
    for n in (6, 8, 10):
        assert sign_flips(np.linspace(1, 2, n), np.ones(n), 0.0)[2] == 2 / 2**n
    assert sign_flips(np.linspace(1, 2, 6), np.ones(6), 0.0)[:2] == (1, 2), "six: the least and the greatest"


def test_many_units_are_flipped_at_random_and_come_near_students_t():
    x = np.random.default_rng(1).normal(0.3, 1, size=40)
    low, high, p = sign_flips(x, np.ones(40), 0.0)
    test = stats.ttest_1samp(x, 0)
    np.testing.assert_allclose((low, high), test.confidence_interval(), atol=0.02)
    assert p == pytest.approx(test.pvalue, abs=0.01)
    assert sign_flips(x + 9, np.ones(40), 0.0)[2] == 2 / intervals.FLIPS
    assert sign_flips(x, np.ones(40), 0.0) == (low, high, p), "the same flips each time"


def test_false_positives_of_sign_flips_are_at_most_one_in_twenty():
    samples = np.random.default_rng(2).laplace(size=(600, 8))
    rejected = np.mean([sign_flips(x, np.ones(8), 0.0)[2] <= ALPHA for x in samples])
    assert 0.02 <= rejected <= 0.07


def test_a_bootstrap_interval_is_that_of_percentiles_of_a_level_that_students_t_sets():
    x = np.random.default_rng(3).gamma(2.0, size=10)
    found = assess(Part("m", x[None], mean_of, ">", 0), 2000).estimate
    tail = stats.norm.cdf(stats.t(9).ppf(0.025) * math.sqrt(10 / 9))
    theirs = stats.bootstrap(
        (x,), np.mean, n_resamples=20_000, method="percentile", confidence_level=1 - 2 * tail, rng=7
    ).confidence_interval
    np.testing.assert_allclose((found.low, found.high), theirs, atol=0.12)
    plain = stats.bootstrap((x,), np.mean, n_resamples=20_000, method="percentile", rng=7).confidence_interval
    assert found.high - found.low > 1.15 * (plain.high - plain.low)


def test_an_interval_of_a_ratio_is_that_of_its_inverse_turned_around():
    v = np.random.default_rng(10).gamma(4, size=(2, 1, 10))
    one, other = (assess(Part("m", each, ratio, ">", 1.0)).estimate for each in (v, v[::-1]))
    np.testing.assert_allclose([one.value, one.low, one.high], [1 / other.value, 1 / other.high, 1 / other.low], 1e-2)


def test_p_is_at_most_alpha_just_where_the_interval_leaves_the_bound_out():
    rng = np.random.default_rng(6)
    seen = set()
    samples = [*rng.normal(size=(3, 9)), (rng.random(9) < 0.5).astype(float)]
    for sample, statistic in itertools.product(samples, (mean_of, lambda v: np.median(v[0], -1))):
        whole = assess(Part("m", sample[None], statistic, ">", 0), 500).estimate
        width = whole.high - whole.low
        for bound in [end + shift * width for end in (whole.low, whole.high) for shift in (-0.2, -1e-4, 1e-4, 0.2)]:
            p = assess(Part("m", sample[None], statistic, ">", bound), 500).p
            outside = not whole.low <= bound <= whole.high
            assert (p <= ALPHA) == outside, (bound, whole)
            seen.add(outside)
    assert seen == {True, False}


def test_p_falls_with_the_distance_from_the_bound_and_is_near_students_for_many_seeds():
    x = np.random.default_rng(7).normal(0.3, 1, size=(1, 60))
    bounds = x.mean() - np.array([0, 0.15, 0.25, 0.35])
    ours = [assess(Part("m", x, mean_of, ">", bound), 4000).p for bound in bounds]
    assert ours == sorted(ours, reverse=True)
    theirs = [stats.ttest_1samp(x[0], bound).pvalue for bound in bounds]
    np.testing.assert_allclose(ours[1:], theirs[1:], rtol=0.35, atol=0.01)


@pytest.mark.parametrize(("n", "least"), [(6, 2 / 2**6), (10, 2 / 201)])
def test_the_p_of_a_bootstrap_is_never_below_what_the_resamples_and_the_units_can_tell(n, least):
    assert assess(Part("m", np.linspace(9, 10, n)[None], mean_of, ">", 0), 200).p == least


# --- coverage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [mean, range_over_lam])
def test_an_interval_of_ten_normal_units_holds_the_truth_about_as_often_as_it_says(kind):
    assert 0.88 <= coverage(kind, normal, 10, 60) <= 1


def test_an_interval_that_is_too_narrow_is_seen(monkeypatch):
    monkeypatch.setattr(intervals, "CONFIDENCE", 0.7)
    monkeypatch.setattr(intervals, "ALPHA", 0.3)
    assert coverage(mean, normal, 10, 100) < 0.85
    assert coverage(range_over_lam, normal, 10, 60) < 0.88


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 30])
def test_the_coverage_that_a_part_states_is_what_is_measured(n):
    shares = {kind.__name__: [coverage(kind, noise, n, 1000) for noise in (normal, skewed)] for kind in KINDS}
    drawn = [both for name, both in shares.items() if name not in ("mean", "ratio")]
    assert np.min(drawn) == pytest.approx(COVERAGE[n], abs=0.01), shares
    assert min(share for share, _ in shares.values()) >= 0.92, shares


# --- corrections ----------------------------------------------------------------------------------------------------


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9, 0.4]) == pytest.approx([1, 1, 1])
    assert holm([]) == []


def test_holm_counts_no_part_without_a_p_value():
    adjusted = holm([0.02, math.nan, 0.03])
    assert adjusted[0] == pytest.approx(0.04)
    assert math.isnan(adjusted[1])
    assert adjusted[2] == pytest.approx(0.04), "the step-down maximum"


def test_holm_is_the_running_maximum_of_the_scaled_sorted_p_values():
    rng = np.random.default_rng(8)
    for size in range(1, 12):
        ps = rng.random(size) ** 3
        order = np.argsort(ps)
        expected = np.empty(size)
        expected[order] = np.minimum(np.maximum.accumulate(ps[order] * np.arange(size, 0, -1)), 1)
        np.testing.assert_allclose(holm(ps), expected)


def test_benjamini_hochberg_is_scipys():
    rng = np.random.default_rng(9)
    for size in range(1, 30):
        ps = rng.random(size) ** 4
        np.testing.assert_array_equal(benjamini_hochberg(ps), stats.false_discovery_control(ps) <= ALPHA)
    assert benjamini_hochberg([]).size == 0
    np.testing.assert_array_equal(benjamini_hochberg([0.03, 0.04, 1.0]), [False, False, False])
    np.testing.assert_array_equal(benjamini_hochberg([0.03, 0.04]), [True, True])


def test_a_ratio_of_means_is_a_mean_in_disguise():
    rng = np.random.default_rng(10)
    over, under = rng.normal(1, 1, size=8), rng.uniform(1, 2, size=8)
    of_ratio = assess(quotient_part("q", over, under, ">", 0.4))
    of_mean = assess(mean_part("m", over - 0.4 * under, ">", 0.0))
    assert of_ratio.p == of_mean.p
