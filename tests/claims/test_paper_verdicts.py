"""Made-up runs that must support, refute or not settle each of the paper's claims."""

import json

import pytest
import xarray as xr
from cases_across import worse_than_its_own_first
from made_up import BY_ID, EPOCHS, LAMS, SEEDS, L, Runs, S, V, judge
from paper_cases import CASES

from experiments import grid
from experiments.claims import paper
from experiments.claims.judge import COLLAPSE, INCONCLUSIVE, REFUTED, SUPPORTED
from hclm_runner import store
from hclm_runner.config import SCHEMA_VERSION
from hclm_runner.refusal import ConfigError


@pytest.mark.parametrize("one", CASES, ids=lambda one: f"{one.claim}-{one.verdict}-{one.why}".replace(" ", "_"))
def test_a_claim_gets_the_verdict_its_runs_were_made_for(one):
    judged = judge(one.runs(), one.claim)
    parts = [part.verdict for part in judged.parts]
    shown = [(part.text, str(part.estimate), part.verdict) for part in judged.parts]
    assert judged.verdict == one.verdict, shown
    if one.part is not None:
        expected = [one.verdict if i == one.part else SUPPORTED for i in range(len(parts))]
        assert parts == expected, shown


def test_every_claim_has_a_case_for_each_verdict_and_one_in_which_each_part_alone_refutes_it():
    data = paper.read(Runs().grid(), "made up")
    for claim in paper.CLAIMS:
        own = [one for one in CASES if one.claim == claim.id]
        wanted = {SUPPORTED, REFUTED, INCONCLUSIVE} | ({COLLAPSE} if claim.id in {"12", "17", "22"} else set())
        assert {one.verdict for one in own} == wanted, claim.id
        refuting = {one.part for one in own if one.verdict == REFUTED}
        assert refuting == set(range(len(claim.parts(data)))), claim.id


def test_claims_are_those_of_figures_5_to_32_and_three_across():
    assert [claim.id for claim in paper.CLAIMS] == [*map(str, range(5, 33)), "X1 raw", "X1 ratio", "X2", "X3"]
    assert all(claim.id == str(claim.figure) or claim.figure is None for claim in paper.CLAIMS)


@pytest.mark.parametrize("cross", ["X2", "X3"])
def test_harm_is_measured_from_lam_0_under_the_fixed_law_whatever_the_regime(cross):
    runs = Runs()
    worse_than_its_own_first(runs)
    parts = BY_ID[cross].parts(paper.read(runs.grid(), "made up"))
    assert all(part.sample.shape == (3, 3 * len(LAMS), SEEDS) for part in parts), "no cell was left out"
    for s in (L, V):
        runs.set("test_loss", s, "B", 2.2)  # a tenth above A at lam = 0
    parts = BY_ID[cross].parts(paper.read(runs.grid(), "made up"))
    assert all(part.sample.shape == (3, 2 * len(LAMS), SEEDS) for part in parts), "those of B were"


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


def test_a_set_point_in_nats_is_refused_because_log_k_is_read_from_it():
    runs = Runs().grid()
    runs.attrs["config"]["regime thermostat"]["setpoint"] = 1.0
    with pytest.raises(ConfigError, match=r"regime\.setpoint=1\.0: expected null in all runs"):
        paper.read(runs, "made up")


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
        run_id="own-" + own["run_id"],
        label="renyi / fixed / made_up",
        train_loss=9.0,
    )
    labels = ["run_id", "label", "surrogate", "regime", "lam0", "seed", "task"]
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
