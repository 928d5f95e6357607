"""Claims of a user's own surrogate, renyi, under a law of a user's own, my_law: each made to hold, to fail, and open."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from made_up import EPOCHS, LAMS, SEEDS, L, Runs, S, T, V, Z, each_seed

from experiments import grid
from experiments.claims.claim import Claim, Data
from experiments.claims.generic import Method, collapses, effective, lowers_test_loss, methods, of_grid, steadier
from experiments.claims.judge import COLLAPSE, INCONCLUSIVE, REFUTED, SUPPORTED, Verdict
from hclm_runner.analysis import effectiveness
from hclm_runner.refusal import ConfigError

OWN = Method("renyi", "my_law")
FIXED = Method("renyi", "fixed")
ZERO = Method("renyi", "fixed", 0.0)
OURS = Method("logdet", "rl_thermostat")

LOWER = [2, 1.9, 1.5, 1.9, 2]
"""A test loss over lam that is lower where the feedback split chooses."""


def users_own() -> Runs:
    """Runs of renyi and my_law where the paper's softmax and thermostat would be: renyi is S, my_law is B."""
    runs = Runs()
    runs.names = {"softmax": "renyi", "thermostat": "my_law"}
    return runs


def judge(runs: Runs, claim: Claim) -> Verdict:
    return claim.judged(Data.of(runs.grid(), "made up"), 400)


def shares(epochs: int, share: float = 0.06, above: float = 0.04) -> np.ndarray:
    """Paths [1, epoch]: a share in the first epochs after epoch 0, another one in the rest, 0 at epoch 0."""
    return np.where(T == 0, 0.0, np.where(epochs >= T, share, above))[None]


Bend = Callable[[Runs], object]

CASES: list[tuple[Claim, str, str, Bend]] = [
    (effective(OWN), SUPPORTED, "in a quarter of the epochs, of which 0 is none", lambda g: g.set("share", S, "B", shares(6), 0, False)),
    (effective(OWN), REFUTED, "in fewer", lambda g: g.set("share", S, "B", shares(5), 0, False)),
    (effective(OWN), REFUTED, "too weak everywhere", lambda g: g.set("share", S, "B", 0.045)),
    (effective(OWN), REFUTED, "at lam = 0 alone", lambda g: g.set("share", S, "B", [1, 0, 0, 0, 0])),
    (effective(OWN), SUPPORTED, "whatever other methods do", lambda g: g.set("share", S, "AC", 0).set("share", (V, L), "ABC", 0)),
    (effective(OWN), INCONCLUSIVE, "in half of the seeds", lambda g: g.set(
        "share", S, "B", each_seed(lambda z: shares(12 if z > 0 else 0)), 0, False)),
    (collapses(OWN, ZERO), SUPPORTED, "training loss near log K at the last lam", lambda g: g.set("train_loss", S, "B", [0.1, 0.1, 0.1, 0.1, 1.35])),
    (collapses(OWN, ZERO), SUPPORTED, "test loss harmed at the first lam", lambda g: g.set("test_loss", S, "B", [2, 2.3, 2, 2, 2])),
    (collapses(OWN, ZERO), SUPPORTED, "six points of accuracy lost", lambda g: g.set("test_accuracy", S, "B", [0.6, 0.6, 0.6, 0.6, 0.54])),
    (collapses(OWN, ZERO), REFUTED, "four points of accuracy lost", lambda g: g.set("test_accuracy", S, "B", [0.6, 0.6, 0.6, 0.6, 0.56])),
    (collapses(OWN, ZERO), REFUTED, "neither", lambda g: g),
    (collapses(OWN, ZERO), REFUTED, "at lam = 0 alone, which does not count", lambda g: g.set("train_loss", S, "B", [1.35, 0.1, 0.1, 0.1, 0.1])),
    (collapses(OWN, ZERO), REFUTED, "under another law", lambda g: g.set("train_loss", S, "C", 1.35)),
    (collapses(OWN, ZERO), REFUTED, "a test loss of 2.3, as at lam = 0", lambda g: g.set("test_loss", S, "B", 2.3).set("test_loss", S, "A", [2.3, 1, 1, 1, 1])),
    (collapses(OWN, ZERO), INCONCLUSIVE, "just at the bound", lambda g: g.set("test_loss", S, "B", [2, 2, 2, 2.1, 2], [0.01, 0.01, 0.01, 0.05, 0.01])),
    (lowers_test_loss(OWN, ZERO), SUPPORTED, "a quarter lower where feedback chooses", lambda g: g.set("test_loss", S, "B", LOWER)),
    (lowers_test_loss(OWN, ZERO), REFUTED, "flat", lambda g: g),
    (lowers_test_loss(OWN, ZERO), REFUTED, "lower only where feedback does not choose", lambda g: g.set("test_loss", S, "B", [1, 1, 2, 1, 1])),
    (lowers_test_loss(OWN, ZERO), REFUTED, "lower than fixed at other lam than 0", lambda g: g.set("test_loss", S, "A", [2, 3, 3, 3, 3])),
    (lowers_test_loss(OWN, ZERO), INCONCLUSIVE, "lower by the margin", lambda g: g.set("test_loss", S, "B", 1.9, 0.1)),
    (lowers_test_loss(OWN, ZERO), COLLAPSE, "lower, because nothing is learnt", lambda g: g.set("test_loss", S, "B", 1.4).set("train_loss", S, "B", 1.38)),
    (lowers_test_loss(OWN, ZERO), COLLAPSE, "lower, at six points of accuracy", lambda g: g.set("test_loss", S, "B", LOWER).set("test_accuracy", S, "B", 0.54)),
    (lowers_test_loss(OWN, ZERO), REFUTED, "higher, which no collapse need explain", lambda g: g.set("test_loss", S, "B", 3).set("train_loss", S, "B", 1.38)),
    (lowers_test_loss(OWN, ZERO), SUPPORTED, "collapsed where feedback does not choose", lambda g: g.set("test_loss", S, "B", LOWER).set("train_loss", S, "B", [1.38, 1.38, 0.1, 1.38, 1.38])),
    (lowers_test_loss(OWN, OURS), SUPPORTED, "than log-det at its own validated lam", lambda g: g.set("test_loss", L, "C", [1, 1, 3, 1, 1])),
    (lowers_test_loss(OWN, OURS), REFUTED, "log-det is as low where feedback chooses", lambda g: g.set("test_loss", S, "B", LOWER).set("test_loss", L, "C", [3, 3, 1.5, 3, 3])),
    (steadier(OWN, FIXED), SUPPORTED, "flat, the other a bowl", lambda g: g.set("test_loss", S, "A", [3, 2, 2, 2, 3])),
    (steadier(OWN, FIXED), REFUTED, "a bowl, the other flat", lambda g: g.set("test_loss", S, "B", [3, 2, 2, 2, 3])),
    (steadier(OWN, FIXED), INCONCLUSIVE, "bowls as deep", lambda g: g.set("test_loss", S, "A", [3, 2, 2, 2, 3], 0.1).set("test_loss", S, "B", [3, 2, 2, 2, 3], 0.1)),
    (steadier(OWN, FIXED), COLLAPSE, "flat, because nothing is learnt at any lam", lambda g: g.set("test_loss", S, "A", [3, 2, 2, 2, 3]).set("train_loss", S, "B", 1.38)),
    (steadier(OWN, FIXED), SUPPORTED, "collapsed at all lam but one", lambda g: g.set("test_loss", S, "A", [3, 2, 2, 2, 3]).set("train_loss", S, "B", [0.1, 1.38, 1.38, 1.38, 1.38])),
    (steadier(OWN, OURS), SUPPORTED, "than log-det under another law", lambda g: g.set("test_loss", L, "C", [3, 2, 2, 2, 3])),
]  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "verdict", "why", "bend"), CASES, ids=[f"{c.id}, {v}, {why}" for c, v, why, _ in CASES]
)
def test_a_claim_gets_the_verdict_its_runs_were_made_for(claim, verdict, why, bend):
    runs = users_own()
    bend(runs)
    judged = judge(runs, claim)
    assert judged.verdict == verdict, (why, judged.sentence)


def test_every_claim_has_a_case_for_each_verdict():
    kinds = [(claim.id.partition(" against ")[0], verdict) for claim, verdict, *_ in CASES]
    for name, _ in kinds:
        assert {SUPPORTED, REFUTED, INCONCLUSIVE} <= {verdict for kind, verdict in kinds if kind == name}, name


def test_a_run_is_effective_where_the_package_says_so():
    """Shares around both constants, with epochs at which the share is undefined."""
    rng = np.random.default_rng(0)
    runs = users_own()
    shares = 0.05 * rng.choice([0.9, 1.1, np.nan], p=[0.7, 0.25, 0.05], size=(len(LAMS), SEEDS, EPOCHS))
    shares[..., 0] = 0  # before training: not one of the epochs 1..T
    runs.columns["share"][0, 1] = shares
    judged = judge(runs, effective(OWN))
    frames = [
        pd.DataFrame({"run_id": "x", "epoch": T, "force": 1.0, "force_ratio": path, "share": path})
        for path in shares[1:].reshape(-1, EPOCHS)
    ]
    expected = [effectiveness(frame).effective for frame in frames]
    assert 0.2 < np.mean(expected) < 0.8
    assert judged.estimate.value == pytest.approx(np.mean(expected))


def test_a_collapse_names_the_lam_at_which_all_runs_together_have_collapsed():
    runs = users_own().set("train_loss", S, "B", [1.38, 0.1, 1.3, 0.1, 0.1]).set("test_loss", S, "B", [2, 2, 2, 2.2, 2])
    judged = judge(runs, collapses(OWN, ZERO))
    assert judged.estimate.value == 1
    assert "at a lam > 0; of all runs: at lam = 0.1, 1: 100.0%" in judged.sentence
    assert "; of all runs: at none: 0.0%" in judge(users_own(), collapses(OWN, ZERO)).sentence


def test_a_claim_on_final_values_is_judged_in_both_views_and_one_on_paths_in_one():
    """Lower at the last epochs only: at the chosen epoch, where feedback is least, the loss is as without the term."""
    runs = users_own()
    feedback = np.where(T == 9, 1.0, 2.0)[None] + np.abs(LAMS - 0.1)[:, None]
    for law in "AB":
        runs.set("feedback_loss", S, law, feedback, 0)
        runs.set("test_loss", S, law, np.where(T == 9, 1.5, 1.2 if law == "B" else 2.0)[None])
    claim, data = lowers_test_loss(OWN, ZERO), Data.of(runs.grid(), "made up")
    assert claim.views == ["end", "chosen"]
    assert claim.judged(data, 400).verdict == SUPPORTED
    chosen = claim.judged(data.at("chosen"), 400)
    assert chosen.verdict == REFUTED
    assert chosen.estimate.value == pytest.approx(0, abs=0.02)
    assert effective(OWN).views == ["end"]


def test_the_effect_is_a_share_of_the_comparator_at_its_own_lam():
    runs = users_own().set("test_loss", S, "B", LOWER).set("test_loss", L, "C", [2, 2, 2.5, 2, 2])
    runs.set("feedback_loss", L, "C", [2, 2, 1, 2, 2])
    assert judge(runs, lowers_test_loss(OWN, ZERO)).estimate.value == pytest.approx(1.5 / 2 - 1, rel=1e-3)
    assert judge(runs, lowers_test_loss(OWN, OURS)).estimate.value == pytest.approx(1.5 / 2.5 - 1, rel=1e-3)


def test_the_validated_lam_is_chosen_again_in_every_resample():
    runs = (
        users_own()
        .set("feedback_loss", S, "B", [2.5, 1.5, 1.5, 2.5, 2.5], 0.1)
        .set("test_loss", S, "B", [2, 1, 2, 2, 2])
    )
    interval = judge(runs, lowers_test_loss(OWN, ZERO)).estimate
    assert interval.low < -0.4
    assert interval.high > -0.1


def test_comparisons_are_paired_by_seed():
    runs = users_own().set("test_loss", S, "B", 1.8)
    runs.columns["test_loss"] += 0.3 * Z[:, None]  # in all arms
    assert judge(runs, lowers_test_loss(OWN, ZERO)).verdict == SUPPORTED
    loss = runs.columns["test_loss"]
    loss[0, 1] = loss[0, 1][:, np.random.default_rng(1).permutation(SEEDS)]
    assert judge(runs, lowers_test_loss(OWN, ZERO)).verdict == INCONCLUSIVE


# --- runs that diverged ---------------------------------------------------------------------------------------------


def diverge(runs: Runs, seeds: int, lams: slice = slice(-1, None), regime: int = 1) -> Runs:
    """Let the first seeds of renyi diverge in epoch 12: by default under my_law at the largest lam."""
    for values in runs.columns.values():
        values[0, regime, lams, :seeds, 12:] = np.nan
    return runs


@pytest.mark.parametrize(
    "claim",
    [effective(OWN), collapses(OWN, ZERO), lowers_test_loss(OWN, ZERO), steadier(OWN, FIXED)],
    ids=lambda claim: claim.id,
)
def test_a_seed_that_diverged_is_kept_and_the_sentence_says_how_many_did(claim):
    runs = users_own().set("test_loss", S, "A", [3, 2, 2, 2, 3])
    before, after = judge(runs, claim), judge(diverge(runs, 1), claim)
    assert (before.estimate.n, after.estimate.n) == (SEEDS, SEEDS)
    assert "diverged" not in before.sentence
    assert "1 of 8 seeds diverged" in after.sentence


def test_a_run_that_diverged_is_not_effective():
    assert judge(users_own(), effective(OWN)).verdict == SUPPORTED
    some = judge(diverge(users_own(), 4), effective(OWN))
    assert some.estimate.value == pytest.approx(1 - 4 / (4 * SEEDS)), "four of the runs at four lam > 0"
    assert judge(diverge(users_own(), SEEDS, slice(2, None)), effective(OWN)).verdict == REFUTED


@pytest.mark.parametrize(("seeds", "verdict"), [(1, INCONCLUSIVE), (2, INCONCLUSIVE), (4, SUPPORTED), (8, SUPPORTED)])
def test_a_run_that_diverged_has_collapsed(seeds, verdict):
    judged = judge(diverge(users_own(), seeds), collapses(OWN, ZERO))
    assert judged.verdict == verdict
    assert judged.estimate.value == pytest.approx(1 - (1 - seeds / SEEDS) ** SEEDS, abs=0.06), "resamples with one"


@pytest.mark.parametrize(
    ("claim", "bend"),
    [
        (lowers_test_loss(OWN, ZERO), lambda g: g.set("test_loss", S, "B", LOWER)),
        (steadier(OWN, FIXED), lambda g: g.set("test_loss", S, "A", [3, 2, 2, 2, 3])),
    ],
    ids=["test loss", "steadier"],
)
def test_a_law_under_which_a_seed_diverged_at_the_lam_that_counts_has_not_shown_it(claim, bend):
    runs = users_own()
    bend(runs)
    assert judge(runs, claim).verdict == SUPPORTED
    judged = judge(diverge(runs, 8, slice(2, 3)), claim)
    assert judged.verdict in (REFUTED, INCONCLUSIVE)
    elsewhere = judge(diverge(users_own().set("test_loss", S, "B", LOWER), 1), lowers_test_loss(OWN, ZERO))
    assert elsewhere.verdict == SUPPORTED, "at another lam, which feedback does not choose"


def test_a_comparator_that_diverged_is_the_worst_there_is():
    judged = judge(diverge(users_own(), SEEDS, slice(0, 1), regime=0), lowers_test_loss(OWN, ZERO))
    assert judged.verdict == SUPPORTED
    assert judged.estimate.value == pytest.approx(-1)


# --- crossed seeds --------------------------------------------------------------------------------------------------


def crossed() -> xr.Dataset:
    """Eight data sets with three training seeds each, which are copies."""
    found = users_own().set("test_loss", S, "B", LOWER, 0.2).grid()
    thrice = found.isel(seed=np.repeat(range(8), 3))
    return thrice.assign_coords(seed=range(24), data_seed=("seed", np.repeat(range(8), 3))).assign_attrs(found.attrs)


@pytest.mark.parametrize(
    "claim",
    [effective(OWN), collapses(OWN, ZERO), lowers_test_loss(OWN, ZERO), steadier(OWN, FIXED)],
    ids=lambda claim: claim.id,
)
def test_training_seeds_of_a_data_set_add_no_data_set(claim):
    data = Data.of(crossed(), "made up")
    assert data.draws == 3
    eight = Data.of(data.grid.isel(seed=slice(None, None, 3)), "made up")
    ours, theirs = claim.judged(data, 400), claim.judged(eight, 400)
    assert (ours.verdict, ours.p) == (theirs.verdict, pytest.approx(theirs.p))
    numbers = ([each.value, each.low, each.high, each.n] for each in (ours.estimate, theirs.estimate))
    np.testing.assert_allclose(*numbers, rtol=1e-6, atol=1e-9)


def test_a_method_that_lacks_some_seeds_of_a_data_set_is_refused():
    found = crossed()
    never = found.attrs["missing"] = [f"renyi / my_law, lam0 {lam:g}, seed 5" for lam in LAMS]
    assert len(never) == 5
    with pytest.raises(ConfigError, match="3 seeds of each data set of renyi under my_law"):
        effective(OWN).judged(Data.of(found, "made up"), 100)


# --- log K ----------------------------------------------------------------------------------------------------------


def without_thermostats() -> Runs:
    runs = users_own()
    runs.names |= {"rl_thermostat": "another_law"}
    return runs


def test_log_k_is_read_from_a_thermostats_set_point_else_from_the_tasks_classes():
    runs = users_own()
    runs.set("setpoint", L, "C", np.log(7), noise=0, shared=False)
    assert Data.of(runs.grid(), "made up").chance_loss == pytest.approx(np.log(7))
    runs = without_thermostats()
    runs.classes = 5
    assert Data.of(runs.grid(), "made up").chance_loss == pytest.approx(np.log(5))


def test_log_k_is_not_read_from_a_law_of_a_users_own_that_is_called_thermostat():
    runs = Runs()
    runs.classes = 5
    found = runs.set("setpoint", L, "BC", 9, noise=0, shared=False).grid()
    for law in ("thermostat", "rl_thermostat"):
        found.attrs["config"][f"regime {law}"] = {"name": law, "_target_": "my_module.MyLaw", "gain": 2.0}
    assert Data.of(found, "made up").chance_loss == pytest.approx(np.log(5))
    found.attrs["config"]["task"]["classes"] = None
    with pytest.raises(ConfigError, match="log K: from runs under thermostat"):
        _ = Data.of(found, "made up").chance_loss


def test_log_k_is_not_read_from_a_thermostat_of_which_every_run_diverged_at_once():
    runs = Runs().set("setpoint", grid.SURROGATES, "B", np.nan)
    assert Data.of(runs.grid(), "made up").chance_loss == pytest.approx(np.log(4))


@pytest.mark.parametrize("claim", [collapses(OWN, ZERO), lowers_test_loss(OWN, ZERO)], ids=["collapses", "test loss"])
@pytest.mark.parametrize("loss", [1.4, 2.0, 4.0])
def test_without_log_k_neither_a_collapse_nor_a_lower_loss_is_settled(claim, loss):
    judged = judge(without_thermostats().set("test_loss", S, "B", loss).set("train_loss", S, "B", 1.38), claim)
    assert judged.verdict == INCONCLUSIVE
    assert "not settled, because a collapse cannot be told without log K: from runs under thermostat" in judged.sentence
    assert "90% of log K" not in judged.sentence


# --- what a grid allows ---------------------------------------------------------------------------------------------


def test_a_grid_has_the_claims_of_each_of_its_cells():
    claims = of_grid(users_own().grid())
    kinds = {
        law: ["effective", "collapses", "test loss", "steadier"][: 3 if law == "fixed" else 4]
        for law in ("fixed", "my_law", "rl_thermostat")
    }
    expected = [f"{s} / {law}: {kind}" for s in ("renyi", "variance", "logdet") for law in kinds for kind in kinds[law]]
    assert [claim.id for claim in claims] == expected
    says = {claim.id: claim.says for claim in claims}
    assert says["renyi / my_law: test loss"].endswith("relative to renyi under fixed at lam = 0")
    assert says["renyi / my_law: steadier"].endswith("than renyi under fixed")


@pytest.fixture(scope="module")
def ragged(tmp_path_factory):
    """A store in which variance never ran under my_law, and renyi under my_law at three lam and six seeds."""
    runs = users_own().drop(V, "B").set("test_loss", S, "A", [5, 2, 2, 2.5, 5])
    for values in runs.columns.values():
        values[0, 1, 0] = values[0, 1, -1] = np.nan
        values[0, 1, :, 6:] = np.nan
    (found,) = grid.load(runs.store(tmp_path_factory.mktemp("ragged") / "store")).values()
    return found


def test_a_cell_is_judged_at_its_own_lam_and_the_seeds_that_it_shares(ragged):
    assert Method("variance", "my_law") not in methods(ragged)
    assert OWN in methods(ragged)
    data = Data.of(ragged, "ragged")
    shared = steadier(OWN, FIXED).judged(data, 200)
    mine, fixed = (data.final(*method[:2], "test_loss")[1:4, :6].mean(-1) for method in (OWN, FIXED))
    assert shared.estimate.value == pytest.approx(np.ptp(mine) / np.ptp(fixed)), "over the three lam that both have"
    for claim in (effective(OWN), collapses(OWN, ZERO), lowers_test_loss(OWN, ZERO)):
        assert claim.judged(data, 200).estimate.n == 6


@pytest.mark.parametrize(
    ("claim", "lacks"),
    [
        (effective(Method("variance", "my_law")), "expected runs of variance under my_law"),
        (effective(Method("tsallis", "fixed")), "tsallis"),
        (lowers_test_loss(OWN, Method("renyi", "my_law", 0.0)), "expected runs of renyi under my_law at lam = 0"),
        (steadier(OWN, Method("variance", "my_law")), "expected runs of variance under my_law"),
        (steadier(OWN, Method("logdet", "fixed", 0.1)), "two base lam or more that renyi under my_law and logdet under fixed at lam = 0.1 both have"),
        (lowers_test_loss(Method("logdet", "fixed", 0.0), Method("logdet", "fixed", 0.0)), "at another base lam"),
    ],
)  # fmt: skip
def test_a_claim_that_cannot_be_stated_says_what_it_lacks(ragged, claim, lacks):
    with pytest.raises(ConfigError) as refusal:
        claim.judged(Data.of(ragged, "ragged"), 200)
    assert str(refusal.value).startswith("store=ragged: expected ")
    assert lacks in str(refusal.value)
