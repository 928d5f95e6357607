"""What the paper's claims do with seeds: the validated lam, pairing, runs that diverged, hard data sets, too few."""

import itertools
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from cases_across import linked
from cases_logdet import entropies, forces, gaps
from cases_softmax import fig07
from cases_trajectories import ranked, rough, slopes, tilted
from made_up import AXES, BY_ID, SEEDS, L, Runs, S, V, Z, at, each_seed, judge
from paper_cases import first

from experiments import grid
from experiments.claims import paper
from experiments.claims.claim import Data
from experiments.claims.judge import COLLAPSE, FEWEST, INCONCLUSIVE, REFUTED, SUPPORTED


def torn(column: str, surrogate: str) -> Callable[[Runs], object]:
    """Feedback cannot tell two lam apart, and a column is very different between them."""

    def bend(g):
        feedback = [2.5, 1.5, 1.5, 2.5, 2.5]
        g.set("feedback_loss", surrogate, "A", feedback, 0.1).set("feedback_loss", surrogate, "BC", 3)
        g.set(column, surrogate, "A", [2, 1, 2, 2, 2])

    return bend


@pytest.mark.parametrize(
    ("claim", "part", "bend", "ends"),
    [
        ("5", 0, torn("test_loss", S), (-0.5, 0)),
        ("9", 1, torn("test_loss", S), (0, 0.5)),
        ("16", 0, torn("test_loss", L), (0, 0.5)),
        ("17", 0, torn("gap", L), (-0.5, 0)),
        ("22", 1, lambda g: (torn("test_loss", L)(g), slopes(g), g.set(
            "test_loss", L, "A", at({0: tilted(2, 0.06), 1: tilted(1.8, 0.04)}, tilted(1.8, 0.0)), 0, shared=False)), (0, 0.1)),
    ],
    ids=["5", "9", "16", "17", "22"],
)  # fmt: skip
def test_the_validated_lam_is_chosen_again_in_every_resample(claim, part, bend, ends):
    runs = Runs()
    bend(runs)
    judged = judge(runs, claim).parts[part].estimate
    low, high = sorted(ends)
    slack = 0.2 * (high - low)
    assert judged.low < low + slack, judged
    assert judged.high > high - slack, judged


DIFFERENCES = ["5", "6", "11", "13", "16", "17", "18"]


@pytest.mark.parametrize("claim", DIFFERENCES)
def test_what_all_arms_of_a_seed_share_changes_no_verdict_and_no_effect(claim):
    runs = first(claim, SUPPORTED).runs()
    before = judge(runs, claim)
    for column in ("test_loss", "gap", "force"):
        runs.columns[column] += 0.1 * Z[:, None]  # more than the noise; its mean over seeds is 0
    after = judge(runs, claim)
    assert before.verdict == after.verdict == SUPPORTED
    for one, two in zip(before.parts, after.parts, strict=True):
        assert one.verdict == two.verdict == SUPPORTED
        if "median" not in one.text:  # the late maximum over the late median is a ratio, not a difference
            assert one.estimate.value == pytest.approx(two.estimate.value, rel=1e-9, abs=1e-12)


def test_pairing_is_by_seed_an_arm_with_its_seeds_shuffled_settles_nothing():
    runs = Runs(shared=0.4).set("force", V, "C", 0.85)
    assert judge(runs, "13").parts[0].verdict == SUPPORTED
    force = runs.columns["force"]
    force[1, 2] = force[1, 2][:, np.random.default_rng(1).permutation(SEEDS)]
    shuffled = judge(runs, "13").parts[0]
    assert shuffled.verdict == INCONCLUSIVE, "the same numbers, unpaired"


@pytest.fixture(scope="module")
def ordinary() -> dict[str, Data]:
    """Runs whose arms differ and whose seeds are noisy: all seeds, in another order, with seed 3 diverged, ..."""
    runs = Runs(shared=0.05)
    forces(runs, noise=0.1)
    fig07(runs)
    runs.set("force", L, "A", np.array([2, 1.5, 1, 0.5, 0.1])[:, None] * rough(0.1))
    gaps(runs, noise=0.1)
    ranked(runs)
    linked(runs, V, "gap", -1)
    slopes(runs)
    entropies(runs, noise=0.1)
    runs.set("force", L, "C", each_seed(lambda z: rough(0.2 * (1 + z / 2))))
    whole = runs.grid()
    grids = {
        "all": whole,
        "turned": whole.isel(seed=np.random.default_rng(2).permutation(SEEDS)),
        "diverged": whole.where((whole["seed"] != 3) | (whole["epoch"] < 12)).transpose(*AXES),
        "without": whole.sel(seed=[seed for seed in range(SEEDS) if seed != 3]),
        "five": whole.isel(seed=slice(5)),
        "six": whole.isel(seed=slice(6)),
    }
    return {name: paper.read(each.assign_attrs(whole.attrs), "made up") for name, each in grids.items()}


@pytest.mark.parametrize("claim", BY_ID)
def test_the_order_of_the_seeds_changes_no_effect_and_the_interval_by_resampling_noise_alone(ordinary, claim):
    one, two = (judge(ordinary[name], claim, 1000) for name in ("all", "turned"))
    for a, b in zip((part.estimate for part in one.parts), (part.estimate for part in two.parts), strict=True):
        if BY_ID[claim].id == "21":
            assert abs(a.value - b.value) < 0.05, "a share of resamples"
            continue
        assert a.value == pytest.approx(b.value, rel=1e-9, abs=1e-12)
        width = a.high - a.low
        assert abs(a.low - b.low) + abs(a.high - b.high) <= 0.5 * width + 1e-4


@pytest.mark.parametrize("claim", BY_ID)
def test_a_data_set_whose_runs_diverged_is_left_out_of_no_claim(ordinary, claim):
    for reading in BY_ID[claim].readings:
        with warnings.catch_warnings(action="ignore"):
            _, parts = BY_ID[claim].readings[reading]
            samples = [part.sample for name in ("all", "diverged") for part in parts(ordinary[name])]
        assert all(np.isfinite(sample).all() for sample in samples)


OF_DIVERGED = [
    # claim, surrogates, regimes, lam from, verdict if all these runs diverge
    ("5", S, "A", 1, SUPPORTED),  # no improvement
    ("6", S, "A", 1, SUPPORTED),  # the worst gap
    ("7", S, "A", 1, COLLAPSE),
    ("8", S, "A", 1, REFUTED),
    ("9", S, "B", 0, REFUTED),
    ("10", S, "C", 0, REFUTED),
    ("11", V, "B", 0, REFUTED),
    ("12", V, "A", 1, REFUTED),
    ("13", V, "C", 0, REFUTED),
    ("14", V, "C", 0, REFUTED),
    ("15", V, "C", 0, REFUTED),
    ("16", L, "A", 4, SUPPORTED),  # fixed fails there
    ("17", L, "ABC", 0, REFUTED),
    ("18", L, "B", 0, COLLAPSE),
    ("19", L, "B", 0, REFUTED),
    ("20", L, "B", 0, REFUTED),
    ("21", L, "C", 0, REFUTED),
    ("22", L, "A", 1, REFUTED),  # lam = 0 is left
    ("23", L, "A", 1, COLLAPSE),
    ("24", L, "A", 1, COLLAPSE),
    ("25", L, "B", 4, REFUTED),
    ("26", L, "B", 0, COLLAPSE),
    ("27", L, "B", 0, REFUTED),
    ("28", L, "B", 0, REFUTED),
    ("29", L, "C", 0, REFUTED),
    ("30", L, "C", 0, COLLAPSE),
    ("31", L, "C", 0, REFUTED),
    ("32", L, "C", 0, REFUTED),
    ("X1 raw", L, "A", 1, COLLAPSE),
    ("X2", (L, V), "ABC", 0, INCONCLUSIVE),  # no cell is left
]


@pytest.mark.parametrize(("claim", "surrogates", "regimes", "start", "verdict"), OF_DIVERGED)
def test_runs_that_diverge_are_the_worst_whatever_was_claimed(claim, surrogates, regimes, start, verdict):
    runs = first(claim, SUPPORTED).runs()
    for values in runs.columns.values():
        for surrogate, regime in itertools.product(
            [surrogates] if isinstance(surrogates, str) else surrogates, regimes
        ):
            values[grid.SURROGATES.index(surrogate), "ABC".index(regime), start:, :, 12:] = np.nan
    judged = judge(runs, claim)
    assert judged.verdict == verdict, [part.effect for part in judged.parts]


@pytest.mark.parametrize(
    ("claim", "column", "surrogate"), [("15", "reward", V), ("29", "test_loss", L), ("32", "reward", L)]
)
@pytest.mark.parametrize("draws", [1, 2])
def test_how_hard_a_data_set_is_makes_no_regime_less_steady(claim, column, surrogate, draws):
    def judged(hard: float) -> list[float]:
        grids = []
        for draw in range(draws):
            runs = Runs(rng=draw)
            runs.set(column, surrogate, "AB", 0.5, 0.2, shared=False).set(
                column, surrogate, "C", 0.7, 0.1, shared=False
            )
            runs.columns[column][grid.SURROGATES.index(surrogate)] += hard * Z[:, None]
            grids.append(runs.grid().assign_coords(data_seed=("seed", range(SEEDS))))
        crossed = xr.concat(grids, "seed", combine_attrs="override").sortby("data_seed")
        parts = judge(crossed.assign_coords(seed=range(SEEDS * draws)).transpose(*AXES), claim).parts
        assert {part.estimate.n for part in parts} == {SEEDS}
        return [part.estimate.value for part in parts if "seeds" in part.text]

    assert judged(3) == pytest.approx(judged(0))
    assert all(value < 0.9 for value in judged(0))


@pytest.mark.parametrize("claim", BY_ID)
def test_five_seeds_settle_nothing_and_the_sentence_says_so(ordinary, claim):
    judged = judge(ordinary["five"], claim)
    assert judged.verdict == INCONCLUSIVE
    assert "5 data sets" in judged.sentence
    assert all(np.isnan(part.estimate.value) and part.estimate.n == 5 for part in judged.parts)


@pytest.mark.parametrize("claim", BY_ID)
def test_six_seeds_are_judged(ordinary, claim):
    judged = judge(ordinary["six"], claim)
    assert "too few" not in judged.sentence
    assert all(np.isfinite(part.estimate.value) and part.estimate.n == 6 for part in judged.parts)


def test_too_few_seeds_are_not_called_a_collapse():
    runs = first("12", COLLAPSE).runs()
    assert judge(runs.grid().isel(seed=slice(FEWEST - 1)), "12").verdict == INCONCLUSIVE


@pytest.mark.parametrize("claim", ["9", "14", "27"])
def test_runs_that_end_with_the_warm_up_say_nothing_of_a_law_that_moves(claim):
    assert judge(Runs().grid().isel(epoch=slice(6)), claim).verdict == INCONCLUSIVE
