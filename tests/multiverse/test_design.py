"""The table of choices, and how universes are drawn from it."""

import itertools

import pytest

from experiments import grid
from experiments.multiverse.design import CHOICES, REFERENCE, Choice, Design, sets
from hclm_runner import configure

DESIGN = Design()
SMALL = Design(seeds=1, lams=3)


def levels(universes, name):
    return {universe[name] for universe in universes}


def test_the_choices_are_those_of_the_specification():
    numbers = {name: len(choice.levels) for name, choice in CHOICES.items()}
    assert numbers == {
        "epochs": 3, "sigma": 3, "eps": 3, "set point": 5, "kp": 3, "ki": 3, "policy": 2, "alpha": 2, "m_min": 2,
        "largest lam": 3, "optimizer": 3, "lr / default": 3, "hidden": 3, "representation": 3, "activation": 2,
        "label noise": 3, "training samples": 3, "separation": 3,
    }  # fmt: skip
    questions = [name for name, choice in CHOICES.items() if choice.kind == "question"]
    assert questions == ["label noise", "training samples", "separation"]


def test_the_reference_is_the_projects_defaults():
    runs = DESIGN.runs(DESIGN.reference)
    assert len(runs) == 3 * 3 * 8 * 8
    ours = {run.run_id for run in runs}
    for surrogate in grid.SURROGATES:
        for regime in grid.REGIMES:
            for lam in (0, 0.003, 3):
                assert configure(surrogate=surrogate, regime=regime, lam=lam, seed=5).run_id in ours
    assert DESIGN.title(DESIGN.reference) == REFERENCE


def test_the_first_universes_cover_each_level_and_are_as_few_as_can_be():
    cover = DESIGN.cover()
    assert cover[0] == DESIGN.reference
    assert len(cover) == max(len(choice.levels) for choice in CHOICES.values())
    for name, choice in CHOICES.items():
        assert levels(cover, name) == set(choice.levels), name


def test_more_points_leave_the_earlier_universes_as_they_are():
    few, many = DESIGN.universes(5, 3), DESIGN.universes(40, 20)
    assert len(many) == len({DESIGN.identity(universe) for universe in many}) == 5 + 40 + 20
    assert [DESIGN.identity(universe) for universe in few[:10]] == [DESIGN.identity(universe) for universe in many[:10]]
    assert all(universe in many for universe in few)


def test_the_sobol_points_are_balanced_over_levels_and_leave_the_question_alone():
    drawn = DESIGN.universes(64, 0)[5:]
    assert len(drawn) == 64
    assert all(map(DESIGN.asks_ours, drawn))
    for name, choice in CHOICES.items():
        if choice.kind == "setting":
            counts = [sum(universe[name] == level for universe in drawn) for level in choice.levels]
            assert max(counts) - min(counts) <= 2, name
    others = [universe for universe in DESIGN.universes(0, 16)[5:] if not DESIGN.asks_ours(universe)]
    assert len(others) >= 15, "one in 27 asks the reference's question by chance"


def test_a_level_reaches_only_the_runs_that_have_its_key():
    universe = SMALL.reference | {"eps": 0.01, "ki": 0, "alpha": 0.1, "optimizer": "adam", "lr / default": "1/3"}
    runs = {(run.surrogate.name, run.regime.name): run for run in SMALL.runs(universe | {"hidden": 32})}
    assert "eps" not in runs["softmax", "fixed"].surrogate.options
    assert runs["variance", "fixed"].surrogate.options["eps"] == 0.01
    assert runs["softmax", "thermostat"].regime.options["ki"] == 0
    assert runs["softmax", "rl_thermostat"].regime.options["alpha"] == 0.1
    for run in runs.values():
        assert run.optimizer.options["lr"] == pytest.approx(0.001 / 3, rel=1e-5)
        assert run.model.options["hidden"] == [32]


def test_eps_follows_sigma_unless_it_is_chosen():
    one = next(run for run in SMALL.runs(SMALL.reference | {"sigma": 0.1}) if run.surrogate.name == "logdet")
    assert one.surrogate.options["eps"] == pytest.approx(0.01)


def test_the_base_lam_reach_from_0_to_the_universes_largest():
    ladder = DESIGN.ladder(0.3)
    assert ladder[:2] == [0, 0.003]
    assert ladder[-1] == 0.3
    ratios = [b / a for a, b in itertools.pairwise(ladder[1:])]
    assert ratios == pytest.approx([100 ** (1 / 6)] * 6, rel=0.01)
    assert {run.lam for run in DESIGN.runs(DESIGN.reference | {"largest lam": 0.3})} == set(ladder)


def test_a_universes_name_is_its_content():
    turned = dict(reversed(DESIGN.reference.items()))
    assert DESIGN.identity(turned) == DESIGN.identity(DESIGN.reference)
    assert DESIGN.identity(DESIGN.reference | {"sigma": 0.1}) != DESIGN.identity(DESIGN.reference)
    assert DESIGN._replace(base=("task.train=64",)).identity(DESIGN.reference) != DESIGN.identity(DESIGN.reference)


def test_every_level_of_the_table_is_a_setting_that_is_taken():
    for universe in DESIGN.cover():
        assert len(SMALL.runs(universe)) == 3 * 3 * 3


def test_a_choice_of_ones_own_is_a_row_of_the_table():
    own = Design(
        {"largest lam": CHOICES["largest lam"], "batch": Choice("setting", (64, 32), sets("batch_size"))}, 1, 3
    )
    assert [universe["batch"] for universe in own.cover()].count(32) >= 1
    assert {run.batch_size for run in own.runs(own.reference | {"batch": 32})} == {32}
