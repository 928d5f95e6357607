"""Surrogates compared at an equal rate: claims made to hold, to fail and to stay open."""

import copy

import numpy as np
import pytest
from made_up import LOG_K, L, Runs, S, V

from experiments.claims.claim import Data
from experiments.claims.equal_rate import better, holds, of_grid
from experiments.claims.judge import COLLAPSE, INCONCLUSIVE, REFUTED, SUPPORTED
from hclm_runner.refusal import ConfigError

LAW = "thermostat"


def held(runs: Runs, *laws: str):
    """Return the grid of runs whose laws hold the rate."""
    grid = runs.grid()
    config = copy.deepcopy(grid.attrs["config"])
    for law in laws:
        config[f"regime {law}"]["holds"] = "logdet_rate"
    return grid.assign_attrs(config=config)


def runs() -> Runs:
    return Runs().set("logdet_rate", (S, V, L), "BC", LOG_K)


def judge(runs: Runs, claim):
    return claim.judged(Data.of(held(runs, LAW), "made up"), 400)


CASES = [
    (holds(L, LAW), SUPPORTED, "at the set point", lambda g: g),
    (holds(L, LAW), REFUTED, "a fifth above", lambda g: g.set("logdet_rate", L, "B", 1.2 * LOG_K)),
    (holds(L, LAW), REFUTED, "a fifth below", lambda g: g.set("logdet_rate", L, "B", 0.8 * LOG_K)),
    (holds(L, LAW), REFUTED, "above at some lam, below at others", lambda g: g.set("logdet_rate", L, "B", LOG_K * np.array([0.7, 1.3, 0.7, 1.3, 1]))),
    (better(L, V, LAW, "test_loss"), SUPPORTED, "a fifth lower", lambda g: g.set("test_loss", L, "B", 1.6)),
    (better(L, V, LAW, "test_loss"), REFUTED, "equal", lambda g: g),
    (better(L, V, LAW, "test_loss"), REFUTED, "higher, which is no collapse", lambda g: g.set("test_loss", L, "B", 2.4)),
    (better(L, V, LAW, "test_loss"), INCONCLUSIVE, "lower by the margin", lambda g: g.set("test_loss", L, "B", 1.9, 0.1)),
    (better(L, V, LAW, "test_loss"), COLLAPSE, "lower, because nothing is learnt", lambda g: g.set("test_loss", L, "B", 1.4).set("train_loss", L, "B", 1.38)),
    (better(L, V, LAW, "test_loss"), INCONCLUSIVE, "lower at another rate", lambda g: g.set("test_loss", L, "B", 1.6).set("logdet_rate", L, "B", 2)),
    (better(L, V, LAW, "gap"), SUPPORTED, "a lower gap", lambda g: g.set("gap", L, "B", 1.5)),
    (better(L, V, LAW, "gap"), COLLAPSE, "a lower gap at six points of accuracy", lambda g: g.set("gap", L, "B", 1.5).set("test_accuracy", L, "B", 0.54)),
    (better(L, V, LAW, "reward"), SUPPORTED, "a higher reward", lambda g: g.set("reward", L, "B", 0.6)),
    (better(L, V, LAW, "reward"), REFUTED, "a lower reward", lambda g: g.set("reward", L, "B", 0.4)),
    (better(L, V, LAW, "test_accuracy"), SUPPORTED, "more accurate", lambda g: g.set("test_accuracy", L, "B", 0.7)),
    (better(L, V, LAW, "test_accuracy"), REFUTED, "more accurate under another law", lambda g: g.set("test_accuracy", L, "C", 0.7)),
    (better(V, S, LAW, "test_accuracy"), REFUTED, "the other way round", lambda g: g.set("test_accuracy", S, "B", 0.7)),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "verdict", "why", "bend"), CASES, ids=[f"{case[0].id}, {case[2]}" for case in CASES])
def test_a_claim_bent_to_its_verdict(claim, verdict, why, bend):
    assert judge(bend(runs()), claim).verdict == verdict, why


def test_two_rates_that_differ_are_named():
    found = judge(runs().set("logdet_rate", L, "B", 2), better(L, V, LAW, "gap"))
    assert "the rates differ, 2.00 nats against 1.39" in found.sentence


def test_the_claims_are_of_the_laws_that_hold_the_rate():
    assert of_grid(held(runs())) == []
    claims = of_grid(held(runs(), LAW))
    assert len(claims) == 3 + 3 * 4
    assert all(LAW in claim.id and "rl_" not in claim.id for claim in claims)
    assert {claim.id for claim in of_grid(held(runs(), LAW, "rl_thermostat"))} > {claim.id for claim in claims}


def test_a_missing_run_is_named():
    grid = held(runs(), LAW).assign_attrs(missing=["logdet / thermostat, lam0 0.1, seed 3"])
    with pytest.raises(ConfigError, match=r"lam0 0\.1, seed 3"):
        better(L, V, LAW, "gap").judged(Data.of(grid, "made up"), 400)
