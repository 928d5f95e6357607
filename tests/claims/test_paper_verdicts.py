"""Made-up runs that must support, refute or not settle each of the paper's claims."""

import json

import numpy as np
import pytest
import xarray as xr
from cases_across import worse_than_its_own_first
from made_up import CHARITABLE, EPOCHS, LOG_K, L, Runs, S, T, V, decay, each_seed, judge
from paper_cases import CASES
from scipy import stats

from experiments import grid
from experiments.claims import paper
from experiments.claims.judge import COLLAPSE, INCONCLUSIVE, REFUTED, SUPPORTED
from hclm_runner import store
from hclm_runner.config import SCHEMA_VERSION
from hclm_runner.refusal import ConfigError

GUARDED = {"6", "7", "12", "16", "17", "18", "22", "23", "24", "26", "30", "X1 raw", "X1 ratio"}
"""Claims that a collapsed cell can decide."""


@pytest.mark.parametrize(
    "one",
    CASES,
    ids=lambda one: f"{one.claim}-{one.reading}-{one.verdict}-{one.why}".replace(" ", "_"),
)
def test_a_claim_gets_the_verdict_its_runs_were_made_for(one):
    judged = judge(one.runs(), one.claim, reading=one.reading)
    parts = [part.verdict for part in judged.parts]
    shown = [(part.text, str(part.estimate), part.verdict) for part in judged.parts]
    assert judged.verdict == one.verdict, shown
    if one.part is not None:
        expected = [one.verdict if i == one.part else SUPPORTED for i in range(len(parts))]
        assert parts == expected, shown


def test_every_claim_has_a_case_for_each_verdict_and_one_in_which_each_part_alone_refutes_it():
    data = paper.read(Runs().grid(), "made up")
    for claim in paper.CLAIMS:
        own = [one for one in CASES if one.claim == claim.id and one.reading == "literal"]
        wanted = {SUPPORTED, REFUTED, INCONCLUSIVE} | ({COLLAPSE} if claim.id in GUARDED else set())
        assert {one.verdict for one in own} == wanted, claim.id
        refuting = {one.part for one in own if one.verdict == REFUTED} - {None}
        assert refuting == set(range(len(claim.parts(data)))), claim.id


def test_where_readings_differ_the_same_runs_get_another_verdict_by_the_literal_one():
    charitable = [one for one in CASES if one.reading == CHARITABLE]
    assert {one.claim for one in charitable} == {claim.id for claim in paper.CLAIMS if claim.charitable}
    for claim in {one.claim for one in charitable}:
        own = [one for one in charitable if one.claim == claim]
        assert any(judge(one.runs(), claim).verdict != one.verdict for one in own), claim


def test_claims_that_a_collapsed_cell_can_decide_are_guarded():
    data = paper.read(Runs().grid(), "made up")
    assert {claim.id for claim in paper.CLAIMS if any(part.collapse for part in claim.parts(data))} == GUARDED


def test_every_part_asks_for_the_margin_of_5_percent_or_has_a_bound_of_its_own():
    data = paper.read(Runs().grid(), "made up")
    own = {
        claim.id: bounds
        for claim in paper.CLAIMS
        if (bounds := {part.bound for part in claim.parts(data)} - {-0.05, 0.05, 0.95, 1.05})
    }
    moves, share = {0}, {0.5}
    assert own == {
        "8": {-0.2}, "9": moves, "12": {0.6}, "13": {1.5}, "14": {2, *moves}, "17": {-0.25}, "19": {0.1}, "20": share,
        "23": share, "24": {0.1}, "25": {0.5}, "26": {1, 1.5, *share}, "27": moves, "28": {0.1},
        "X2": {0}, "X3": {0},
    }  # fmt: skip


def test_claims_that_cannot_fail_as_worded_say_why():
    data = paper.read(Runs().grid(), "made up")
    judged = {claim.id: judge(data, claim.id) for claim in paper.CLAIMS}
    assert {claim for claim, found in judged.items() if found.structural} == {"14", "20", "25", "27", "31"}
    some = {claim for claim, found in judged.items() if any(part.structural for part in found.parts)}
    assert some == {"9", "11", "14", "16", "20", "25", "27", "31"}


def test_claims_about_trajectories_have_one_view():
    of_path = {claim.id for claim in paper.CLAIMS if claim.of_path}
    assert of_path == {"14", "19", "20", "22", "23", "24", "26", "27", "28", "30", "31"}


def test_a_claim_can_hold_at_the_end_and_not_at_the_chosen_epoch():
    """Under A the test loss rises after epoch 10, the epoch that the feedback split chooses."""
    rising = np.where(T > 10, 2.0, 1.0)[None] * np.array([1.02, 1, 1, 1, 1.02])[:, None]
    feedback = np.abs(T - 10)[None] + 1.0
    runs = Runs().set("test_loss", V, "A", rising).set("test_loss", V, "BC", 1).set("feedback_loss", V, "ABC", feedback)
    at_end, chosen = (judge(runs, "11", view=view).parts[0].verdict for view in ("end", "chosen"))
    assert (at_end, chosen) == (SUPPORTED, REFUTED)


def test_claims_are_those_of_figures_5_to_32_and_three_across():
    assert [claim.id for claim in paper.CLAIMS] == [*map(str, range(5, 33)), "X1 raw", "X1 ratio", "X2", "X3"]
    assert all(claim.id == str(claim.figure) or claim.figure is None for claim in paper.CLAIMS)


@pytest.mark.parametrize(("cross", "column"), [("X2", "gap"), ("X3", "reward")])
def test_rank_correlations_are_spearmans_over_the_cells_that_stand(cross, column):
    """Harm is measured from lam = 0 under the fixed law, whatever the regime."""
    runs = Runs(shared=0.3)
    worse_than_its_own_first(runs)
    for regime, half in zip("ABC", (3, 5, 9), strict=True):
        runs.set("force", L, regime, each_seed(lambda z, half=half: decay(1, 0.1, half * (2 + z))))

    def by_hand(regimes: str) -> float:
        own = [(grid.SURROGATES.index(L), "ABC".index(regime)) for regime in regimes]
        force = np.concatenate([runs.columns["force"][index] for index in own])
        fallen = np.log(force.max(-1) / force[..., -5:].mean(-1))
        final = np.concatenate([runs.columns[column][index][..., -5:].mean(-1) for index in own])
        return stats.spearmanr(fallen.ravel(), final.ravel()).statistic

    assert judge(runs, cross).parts[0].estimate.value == pytest.approx(by_hand("ABC")), "no cell was left out"
    runs.set("test_loss", L, "B", 2.2)  # a tenth above A at lam = 0
    assert judge(runs, cross).parts[0].estimate.value == pytest.approx(by_hand("AC")), "those of B were"


def test_a_surrogate_that_exerts_no_force_at_all_is_no_support_for_the_other():
    runs = Runs().set("force", S, "A", 0).set("force", L, "A", 0).set("force", V, "A", 0)
    assert judge(runs, "X1 raw").verdict == INCONCLUSIVE


def test_no_cell_left_settles_nothing():
    runs = Runs().set("train_loss", (L, V), "ABC", 1.38)
    assert judge(runs, "X2").verdict == INCONCLUSIVE


@pytest.mark.parametrize("lams", [(0.01, 0.1, 1), (0, 0.1)])
def test_lam_0_and_two_above_it_are_needed(lams):
    few = Runs().grid().sel(lam0=list(lams))
    with pytest.raises(ConfigError, match="base lam of 0 and two or more above, got 0"):
        paper.read(few, "made up")


def test_with_set_points_in_nats_log_k_is_that_of_the_task_and_without_it_the_store_is_refused():
    runs = Runs().grid()
    for law in ("regime thermostat", "regime rl_thermostat"):
        runs.attrs["config"][law]["setpoint"] = 1.0
    with pytest.raises(ConfigError, match="log K"):
        paper.read(runs, "made up")
    runs.attrs["config"]["task"]["classes"] = 4
    assert paper.read(runs, "made up").chance_loss == pytest.approx(LOG_K)


def test_a_law_that_holds_the_rate_is_near_its_set_point_by_the_rate():
    runs = (
        Runs().set("logdet_rate", L, "BC", LOG_K).set("entropy", L, "BC", 3).set("setpoint", L, "BC", LOG_K, 0).grid()
    )
    off = [part.estimate.value for part in judge(runs, "19").parts[2:]]
    runs.attrs["config"]["regime thermostat"]["holds"] = "logdet_rate"
    assert min(off) > 1
    assert max(part.estimate.value for part in judge(runs, "19").parts[2:]) < 0.05


@pytest.mark.parametrize("gone", ["softmax", "rl_thermostat"])
def test_a_surrogate_or_regime_that_is_not_there_is_named(gone):
    runs = Runs().grid()
    axis = "surrogate" if gone == "softmax" else "regime"
    with pytest.raises(ConfigError, match=gone):
        paper.read(runs.drop_sel({axis: gone}), "made up")


def test_what_a_user_ran_as_well_as_the_papers_grid_changes_no_claim(tmp_path):
    """A surrogate of a user's own, under one law, at a lam and a seed that the paper's runs do not have."""
    folder = Runs().store(tmp_path / "store")
    own = store.load(folder)[0].query("surrogate == 'softmax' and regime == 'fixed' and lam0 == 1")
    own = own.assign(
        surrogate="renyi",
        lam0=0.5,
        seed=own["seed"] + 1,
        data_seed=own["data_seed"] + 1,
        run_id="own-" + own["run_id"],
        label="renyi / fixed / made_up",
        train_loss=9.0,
    )
    labels = ["run_id", "label", "surrogate", "regime", "lam0", "seed", "data_seed", "task"]
    described = own.drop_duplicates("run_id")[labels].reset_index(drop=True)
    config = json.loads(store.load(folder)[1]["config"].iloc[0]) | {"surrogate": {"name": "renyi"}}
    config["regime"]["name"] = "fixed"
    facts = {"config": json.dumps(config), "code": "{}", "status": "finished", "rows": EPOCHS, "schema": SCHEMA_VERSION}
    before = paper.read(grid.load(folder)["made_up"], "store")
    store.write(folder, own, described.assign(**facts))
    (runs,) = grid.load(folder).values()
    assert "renyi" in runs["surrogate"]
    after = paper.read(runs, "store")
    xr.testing.assert_equal(after.grid, before.grid)
