"""Shares of verdicts, what explains an effect, and the test of all universes at once."""

import itertools
import math

import numpy as np
import pytest

from experiments.multiverse import analysis
from experiments.multiverse.design import Design

DESIGN = Design()
LEVELS = DESIGN.universes(64, 16)


def test_shares_count_each_verdict_and_the_failed():
    counts = analysis.shares(["SUPPORTED"] * 3 + ["COLLAPSE", analysis.FAILED])
    assert counts == {"SUPPORTED": 3, "REFUTED": 0, "INCONCLUSIVE": 0, "COLLAPSE": 1, "FAILED": 1}


@pytest.mark.parametrize(
    ("verdicts", "robust"),
    [
        (["REFUTED"] * 9 + ["SUPPORTED"], "REFUTED"),
        (["REFUTED"] * 8 + ["SUPPORTED"] * 2, None),
        (["REFUTED"] * 9 + ["FAILED"] * 2, None),  # a universe that failed is not one that agrees
        (["INCONCLUSIVE"] * 10, None),  # nothing is found
        ([], None),
    ],
)
def test_a_finding_is_robust_from_nine_tenths(verdicts, robust):
    assert analysis.robust(analysis.shares(verdicts)) == robust


def test_the_shares_of_variance_are_those_of_the_effects_that_were_put_in():
    z = {name: np.array([universe[name] for universe in LEVELS]) for name in ("epochs", "optimizer")}
    effect = 2.0 * (z["epochs"] == 30) + 1.0 * (z["optimizer"] == "adam")
    noise = 0.2 * np.random.default_rng(0).normal(size=len(LEVELS))
    found = analysis.explained(effect + noise, LEVELS)
    assert found["epochs"] > 0.5 > found["optimizer"] > 0.1
    others = [share for name, share in found.items() if name not in z]
    assert max(map(abs, others)) < 0.06
    assert 0.85 < sum(found.values()) < 1


def test_pure_noise_is_explained_by_nothing_on_average():
    rng = np.random.default_rng(1)
    totals = [sum(analysis.explained(rng.normal(size=len(LEVELS)), LEVELS).values()) for _ in range(8)]
    assert abs(np.mean(totals)) < 0.15, "without the adjustment it would be 34 / 84"


def test_the_order_average_is_shapleys_value():
    """Of three choices all subsets can be counted."""
    rng = np.random.default_rng(2)
    levels = [{"a": a, "b": b, "c": int(rng.integers(3))} for a, b in itertools.product((0, 1), (0, 1, 2))] * 6
    y = np.array([2 * one["a"] + (one["b"] == 1) + one["c"] for one in levels]) + rng.normal(size=len(levels))
    found = analysis.explained(y, levels)
    ranks = np.argsort(np.argsort(y)) - (len(y) - 1) / 2

    def adjusted(names):
        if not names:
            return 0.0
        x = np.hstack([analysis.dummies([one[name] for one in levels]) for name in names])
        rest = ranks - x @ np.linalg.lstsq(x, ranks, rcond=None)[0]
        n, width = x.shape
        return 1 - (rest @ rest) / (ranks @ ranks) * (n - 1) / (n - 1 - width)

    for name in "abc":
        others = [other for other in "abc" if other != name]
        value = 0.0
        for size in range(3):
            weight = math.factorial(size) * math.factorial(2 - size) / 6
            value += sum(
                weight * (adjusted([*those, name]) - adjusted(those)) for those in itertools.combinations(others, size)
            )
        assert found[name] == pytest.approx(value, abs=0.01)


def test_a_universe_whose_runs_diverge_does_not_take_the_variance():
    effect = np.array([float(universe["epochs"] == 30) for universe in LEVELS])
    effect[7] = 1e9
    assert analysis.explained(effect, LEVELS)["epochs"] > 0.6


@pytest.mark.parametrize("effects", [[1.0, 2.0, math.nan], [math.nan] * 85, [1.0] * 85, [float(i) for i in range(40)]])
def test_too_few_universes_or_no_variance_explain_nothing(effects):
    assert analysis.explained(effects, LEVELS[: len(effects)]) is None


# --- the joint test ---------------------------------------------------------------------------------------------------


def test_the_flips_of_eight_seeds_are_counted():
    c = np.array([[1.0, 2, 3, 4, 5, 6, 7, 8], [1, -1, 1, -1, 1, -1, 1, -1]])
    found = analysis.joint(list(c))
    assert found.floor == 2 / 256
    assert found.p == 4 / 256, "no flip and the full one; the flips that align the second universe reach further"
    assert (found.universes, found.claimed, found.against) == (2, 1, 0)
    assert analysis.joint([-c[0]]).against == 1


def test_p_is_the_share_of_flips_that_reach_further_in_any_universe():
    c = np.random.default_rng(3).normal(0.5, 1, size=(4, 6))
    flips = np.array([*itertools.product((1, -1), repeat=6)])
    T = np.array([[(c[u] * s).sum() / math.sqrt((c[u] ** 2).sum()) for s in flips] for u in range(4)])
    observed = np.abs(T[:, 0]).max()
    assert analysis.joint(list(c)).p == pytest.approx(np.mean(np.abs(T).max(0) >= observed - 1e-9))


def test_under_the_null_the_test_keeps_its_level_though_universes_are_correlated():
    rng, rejected = np.random.default_rng(4), 0
    for _ in range(400):
        shared = rng.normal(size=8)
        rejected += analysis.joint([shared + 0.5 * rng.normal(size=8) for _ in range(20)]).p <= 0.05
    assert rejected / 400 <= 0.075
    rejected = 0
    for _ in range(50):
        shared = rng.normal(size=8)
        rejected += analysis.joint([2 + shared + 0.5 * rng.normal(size=8) for _ in range(20)]).p <= 0.05
    assert rejected >= 45, "an effect that is there is found"


def test_universes_without_a_number_of_every_seed_are_left_out():
    c = [np.arange(1.0, 9), np.arange(1.0, 9), np.arange(1.0, 7), np.zeros(8)]
    assert analysis.joint(c).universes == 2
    assert analysis.joint([]) is None
    assert analysis.joint([np.zeros(8)]) is None
