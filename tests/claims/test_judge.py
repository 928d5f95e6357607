"""From parts to verdicts: data sets, collapse, corrections, structural parts, the sentence."""

import math
from functools import partial

import numpy as np
import pytest

from experiments.claims import judge
from experiments.claims.judge import (
    COLLAPSE,
    FEWEST,
    INCONCLUSIVE,
    REFUTED,
    SUPPORTED,
    Judged,
    Part,
    conclude,
    decide,
    mean_part,
    quotient_part,
    sentence,
)
from experiments.claims.statistics import WORST, mean, ratio
from experiments.estimate import Estimate


def assess(sample, statistic=mean, sense=">", bound=0.0, resamples=1000, **facts) -> Judged:
    return judge.assess(Part("m", np.asarray(sample, float), statistic, sense, bound, **facts), resamples)


def decided(part: Judged) -> str:
    return decide([part])[0].verdict


# --- one part -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "sense", "verdict"),
    [
        *[(2, ">", SUPPORTED), (0, ">", REFUTED), (2, "<", REFUTED), (0, "<", SUPPORTED)],
        *[(2, "=", REFUTED), (1, "=", SUPPORTED), (1, ">", INCONCLUSIVE), (1, "<", INCONCLUSIVE)],
    ],
)
@pytest.mark.parametrize("exact", [True, False])
def test_seeds_that_are_all_equal_settle_which_side_they_are_on(value, sense, verdict, exact):
    values = np.full((1, 6), float(value))
    part = mean_part("m", values, sense, 1.0) if exact else Part("m", values, mean, sense, 1.0)
    found = judge.assess(part, 1000)
    assert found.estimate == Estimate(value, value, value, 6)
    assert decided(found) == verdict


@pytest.mark.parametrize("make", [mean_part, lambda text, v, *rest: Part(text, v, mean, *rest)])
def test_a_quantity_that_is_exactly_zero_in_every_seed_is_not_above_zero(make):
    verdicts = {sense: decided(judge.assess(make("m", np.zeros((1, 6)), sense, 0.0), 1000)) for sense in "><="}
    assert verdicts == {">": REFUTED, "<": REFUTED, "=": SUPPORTED}


def test_a_mean_and_a_ratio_of_means_are_judged_by_sign_flips_and_all_else_by_the_bootstrap():
    rng = np.random.default_rng(1)
    x, y = rng.normal(3, 1, size=10), rng.normal(2, 0.1, size=10)
    parts = [mean_part("m", x, ">", 0), quotient_part("q", x, y, ">", 0.1), Part("b", x[None], mean, ">", 0)]
    exact, quotient, drawn = (judge.assess(part, 500) for part in parts)
    assert exact.method == quotient.method == "exact sign flips"
    assert "bootstrap, coverage 0.9" in drawn.method
    assert exact.p == quotient.p == 2 / 1024
    assert quotient.estimate.value == pytest.approx(x.mean() / y.mean())
    assert exact.estimate.value == drawn.estimate.value == pytest.approx(x.mean())


def test_the_mean_over_lam_is_part_of_a_mean_and_a_negative_denominator_turns_no_sense_around():
    x = np.random.default_rng(2).normal(3, 0.1, size=(4, 8))
    assert judge.assess(mean_part("m", x, ">", 0)).estimate.value == pytest.approx(x.mean())
    below = judge.assess(quotient_part("q", x[0], -np.ones(8), ">", 0))
    assert (below.estimate.value, below.method) == (pytest.approx(x[0].mean()), "exact sign flips")


def test_a_denominator_of_both_signs_has_no_exact_test():
    x, signs = np.random.default_rng(3).normal(3, 1, size=8), np.array([1.0, 1, 1, 1, 1, 1, 1, -0.1])
    assert "bootstrap" in judge.assess(quotient_part("q", x, signs, ">", 0), 500).method


def test_training_seeds_of_a_data_set_stay_together():
    """Thirty runs of ten data sets, equal within one: as ten, and not as thirty, in either method."""
    x = np.random.default_rng(4).normal(0.4, 1, size=10)
    thirty = np.repeat(x, 3)
    for make in (mean_part, lambda text, v, *rest: Part(text, v[None], mean, *rest)):
        ten = judge.assess(make("m", x, ">", 0), 500)
        same = judge.assess(make("m", thirty, ">", 0)._replace(draws=3), 500)
        assert same.p == ten.p
        assert same.estimate.as_dict() == pytest.approx(ten.estimate.as_dict())
        assert ten.estimate.n == 10
        as_thirty = judge.assess(make("m", thirty, ">", 0), 500)
        assert as_thirty.p < 0.7 * ten.p, "as if they were independent"


def test_a_data_set_with_an_undefined_seed_in_any_arm_is_left_out_whole_and_counted():
    x = np.random.default_rng(9).normal(3, 1, size=(2, 1, 18))
    x[0, 0, 2], x[1, 0, 10] = np.nan, np.inf
    kept = np.delete(x, [2, 3, 10, 11], axis=-1)
    assert assess(x, ratio, draws=2) == assess(kept, ratio, draws=2)
    assert assess(x, ratio, draws=2).estimate.n == 7


def test_too_few_data_sets_settle_nothing_however_many_seeds_they_have():
    x = np.full(5 * (FEWEST - 1), 9.0)
    part = judge.assess(mean_part("m", x, ">", 0)._replace(draws=5))
    assert decided(part) == INCONCLUSIVE
    assert sentence(part) == "M: only 5 data sets have a result, too few to judge."


@pytest.mark.parametrize("sense", "<>=")
def test_nothing_over_nothing_settles_nothing(sense):
    part = assess(np.zeros((2, 1, 6)), ratio, sense=sense, bound=1.0)
    assert decided(part) == INCONCLUSIVE
    said = sentence(part._replace(verdict=INCONCLUSIVE))
    assert "undefined" in said
    assert "nan" not in said


def test_a_chance_is_the_share_of_resamples_above_zero():
    x = np.random.default_rng(5).normal(0, 1, size=8)
    for shift, verdict in ((9, SUPPORTED), (-9, REFUTED), (-x.mean(), INCONCLUSIVE)):
        found = assess(x[None] + shift, sense=">", bound=0.95, chance=True)
        assert decided(found) == verdict
        assert 0 <= found.estimate.value <= 1
        assert found.p == max(min(found.estimate.value, 1 - found.estimate.value), 2 / 2**8)


# --- runs that diverged ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("diverged", "verdict"), [(0, SUPPORTED), (1, INCONCLUSIVE), (3, INCONCLUSIVE), (10, REFUTED)])
@pytest.mark.parametrize("exact", [True, False])
def test_a_run_that_diverged_counts_as_the_worst_and_one_alone_decides_nothing(diverged, verdict, exact):
    loss = np.random.default_rng(6).normal(1, 0.1, size=10)
    loss[:diverged] = WORST
    part = mean_part("loss", loss, "<", 2) if exact else Part("loss", loss[None], mean, "<", 2)
    found = judge.assess(part, 1000)
    assert decided(found) == verdict
    assert ("∞" in found.effect) == bool(diverged)


def test_two_that_diverged_are_a_tie():
    ours, theirs = np.random.default_rng(7).normal((0.8, 1.0), 0.01, size=(10, 2)).T
    ours[:3] = theirs[:3] = WORST
    found = judge.assess(mean_part("difference", ours - theirs, "<", -0.05))
    assert found.estimate.value == pytest.approx(-0.2 * 7 / 10, rel=0.1), "a tie is a difference of 0"
    assert decided(found) == SUPPORTED


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(WORST, "", "∞"), (-WORST / 30, "%", "−∞"), (WORST, "×", "∞"), (WORST, "nats", "∞ nats")],
)
def test_what_diverged_is_shown_as_infinite(value, unit, shown):
    assert judge.quantity(value, unit) == shown


# --- collapse -------------------------------------------------------------------------------------------------------


def with_collapse(share: float, mean_of: float = 1.0) -> Part:
    """A part whose cell collapses in a share of the resamples."""
    cells = np.random.default_rng(8).normal(size=1000)
    rng = np.random.default_rng(0)
    level = np.quantile(cells[rng.integers(0, 10, size=(2000, 10))].mean(-1), 1 - share)
    values = np.random.default_rng(9).normal(mean_of, 0.1, size=10)
    return mean_part("it", values, ">", 0, collapse=lambda v: v.mean(-1) > level, cells=cells[:10])


@pytest.mark.parametrize("effect", [1.0, -1.0], ids=["supported", "refuted"])
@pytest.mark.parametrize(
    ("share", "collapsed", "verdict"),
    [
        (0.97, 1, COLLAPSE),
        (0.9, None, INCONCLUSIVE),
        (0.4, None, INCONCLUSIVE),
        (0.1, None, INCONCLUSIVE),
        (0.03, 0, None),
    ],
)
def test_collapse_is_decided_in_the_resamples_and_guards_support_and_refutation(effect, share, collapsed, verdict):
    found = judge.judge([with_collapse(share, effect)])
    assert found.parts[0].collapsed == pytest.approx(share, abs=0.01)
    assert found.verdict == (verdict or (SUPPORTED if effect > 0 else REFUTED))
    if collapsed == 1:
        assert "but that is collapse: training loss within 10% of log K" in found.sentence
        assert "accuracy 5 points lower" in found.sentence
    elif collapsed is None:
        assert f"whether the cell has collapsed is open: it has in {found.parts[0].collapsed:.0%}" in found.sentence


def test_a_collapse_is_resampled_with_the_effect_and_over_data_sets():
    """All seeds of one data set in six are collapsed: their mean is above the level in about a third of resamples."""
    cells = np.repeat([1.0, 0, 0, 0, 0, 0], 3)
    part = mean_part("it", np.ones(18), ">", 0, collapse=lambda v: v.mean(-1) > 0.3, cells=cells)
    shares = {draws: judge.assess(part._replace(draws=draws)).collapsed for draws in (1, 3)}
    assert shares[3] == pytest.approx(1 - (5 / 6) ** 6 - (5 / 6) ** 5, abs=0.03), "twice or more in six"
    assert shares[1] < 0.1, "of eighteen independent runs it is rarer"


def test_without_cells_of_its_own_a_collapse_reads_the_sample():
    part = Part("it", np.ones((2, 8)), partial(np.mean, axis=(0, -1)), ">", 0, lambda v: v[1].mean(-1) > 0.5)
    assert judge.judge([part], 100).verdict == COLLAPSE


def test_a_chance_is_guarded_too():
    part = Part("it", np.ones((1, 8)), mean, ">", 0.95, lambda v: v[0].mean(-1) > 0.5, chance=True)
    assert judge.judge([part], 100).verdict == COLLAPSE
    assert judge.judge([part._replace(collapse=None)], 100).verdict == SUPPORTED


# --- from parts to a verdict ----------------------------------------------------------------------------------------


def part(p: float, effect: float = 1.0, sense: str = ">", bound: float = 0.0, **facts) -> Judged:
    low, high = (facts.pop(name, effect + shift) for name, shift in (("low", -0.5), ("high", 0.5)))
    return Judged("it", Estimate(effect, low, high, 8), p, sense, bound, **facts)


def verdicts(*parts: Judged) -> list[str]:
    return [one.verdict for one in decide(parts)]


def test_each_part_is_supported_on_its_own_and_refuted_after_holm():
    assert verdicts(part(0.03)) == [SUPPORTED]
    assert verdicts(part(0.03), part(0.04)) == [SUPPORTED, SUPPORTED]
    assert verdicts(part(0.03), part(0.06)) == [SUPPORTED, INCONCLUSIVE]
    assert verdicts(part(0.02, -1), part(0.04)) == [REFUTED, SUPPORTED]
    assert verdicts(part(0.03, -1), part(0.04)) == [INCONCLUSIVE, SUPPORTED], "one of two by chance"
    assert verdicts(part(0.03, -1), part(0.02, -1)) == [REFUTED, REFUTED], "the second step of Holm"


def test_the_correction_makes_equality_no_easier_to_support_and_harder_to_refute():
    assert verdicts(part(0.2, sense="=")) == [SUPPORTED]
    assert verdicts(part(0.03, sense="=")) == [REFUTED]
    assert verdicts(part(0.03, sense="="), part(0.9)) == [INCONCLUSIVE, INCONCLUSIVE]
    assert verdicts(part(0.01, sense="="), part(0.9)) == [REFUTED, INCONCLUSIVE]


def test_a_value_on_the_bound_is_on_neither_side():
    assert verdicts(part(0.001, 1.0, ">", 1.0), part(0.001, 1.0, "<", 1.0)) == [REFUTED, REFUTED]


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ((SUPPORTED, SUPPORTED), SUPPORTED),
        ((SUPPORTED, INCONCLUSIVE), INCONCLUSIVE),
        ((INCONCLUSIVE, REFUTED), REFUTED),
        ((INCONCLUSIVE, COLLAPSE), COLLAPSE),
        ((COLLAPSE, SUPPORTED), COLLAPSE),
        ((COLLAPSE, REFUTED), REFUTED),
    ],
)
def test_a_claim_stands_if_all_its_parts_do_and_falls_with_one(parts, verdict):
    judged = conclude([part(0.01, i, verdict=v) for i, v in enumerate(parts)])
    assert judged.verdict == verdict
    assert judged.estimate.value == parts.index(verdict), "the effect shown is that of the part that decided"


def test_the_p_of_a_claim_is_its_weakest_part_in_support_and_its_strongest_after_holm_in_refutation():
    assert conclude(decide([part(0.01), part(0.03)])).p == 0.03
    assert conclude(decide([part(0.01, -1), part(0.002, -1)])).p == pytest.approx(0.004)
    assert conclude(decide([part(0.01), part(0.3)])).p == 1, "open"
    assert conclude(decide([part(0.01), part(0.3, sense="=")])).p == 1, "no p-value supports equality"


def test_a_claim_of_structural_parts_alone_is_marked_with_its_reasons():
    fixed, moving = part(0.01, structural="it is integral action"), part(0.01)
    assert conclude(decide([fixed])).structural == "it is integral action"
    assert conclude(decide([fixed, fixed])).structural == "it is integral action", "said once"
    assert conclude(decide([fixed, moving])).structural == "", "the other part can fail"
    assert conclude(decide([fixed])).verdict == SUPPORTED, "marked, not changed"


@pytest.mark.parametrize("bound", [-5.0, 1.0, 5.0])
def test_a_part_that_cannot_be_settled_is_inconclusive_whatever_its_interval_and_says_why(bound):
    sample = np.random.default_rng(11).normal(1, 0.1, size=(1, 8))
    collapse = lambda v: np.ones(v.shape[-2], bool)  # noqa: E731
    found = judge.judge([Part("it", sample, mean, ">", bound, collapse, unsettled="log K is not known")], 200)
    assert found.verdict == INCONCLUSIVE
    assert found.sentence == "It: not settled, because log K is not known."
    assert found.estimate.value == pytest.approx(sample.mean())


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (part(0.01, 0.2, ">", 0.05, verdict=SUPPORTED, low=0.1, high=0.3, unit="%"), "It: 20.0% [10.0%, 30.0%]; claimed above 5.0%, which it is."),
        (part(0.01, 2, "<", 1, verdict=REFUTED, low=1.5, high=2.5, unit="×"), "It: 2× [1.5×, 2.5×]; claimed below 1×, which it is not."),
        (part(0.3, 0.1, "=", 0, verdict=SUPPORTED, low=-0.1, high=0.3, unit="nats"), "It: 0.1 [−0.1, 0.3] nats; claimed not to differ from 0 nats, which it does not."),
        (part(0.01, 0.1, "=", 0, verdict=REFUTED, low=0.05, high=0.3), "It: 0.1 [0.05, 0.3]; claimed not to differ from 0, which it does."),
    ],
)  # fmt: skip
def test_the_sentence_says_what_was_measured_claimed_and_found(one, says):
    assert conclude([one]).sentence == says


@pytest.mark.parametrize(
    ("unit", "bound", "shown"),
    [(None, 0.5, "50.0%"), (None, 1.0, "0.5"), (None, 0.0, "0.5"), ("", 0.5, "0.5"), ("×", 0.5, "0.5×")],
)
def test_an_effect_is_in_its_unit_and_against_a_share_in_percent_unless_it_says_otherwise(unit, bound, shown):
    one = judge.assess(mean_part("it", np.full((1, 6), 0.5), ">", bound, unit=unit))
    assert one.effect == f"{shown} [{shown}, {shown}]"


def test_small_and_undefined_numbers_are_shown_plainly():
    assert judge.quantity(-0.0001, "%") == "0.0%"
    assert judge.quantity(-1234.5, "") == "−1.23e+03"
    assert judge.effect(Estimate(math.nan, math.nan, math.nan, 6), "%") == "–"
    assert judge.effect(Estimate(0.18, math.nan, math.nan, 6), "%") == "18.0%"
