"""The sentence that answers the page's question."""

import pytest
from outline import Outline
from synthetic import claim

from experiments import grid
from experiments.report import answer
from experiments.report import page as report

GOOD, BAD, OPEN, DEAD = "SUPPORTED", "REFUTED", "INCONCLUSIVE", "COLLAPSE"
FALLS = "the test loss falls by"


def judged(surrogate, regime, verdict, value=-0.1):
    """Return the verdict that a surrogate under a law lowers the test loss."""
    part = claim()["parts"][0] | {"value": value, "bound": -0.05, "unit": "%"}
    return claim(f"{surrogate} / {regime}: test loss", verdict, parts=[part])


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([("a", "x", GOOD), ("a", "y", GOOD)], f"Yes: with a under every law {FALLS} 10.0%."),
        ([("a", "x", BAD)], "No: with a under x it does not fall by 5.0%."),
        ([("a", "x", DEAD)], "No: with a under x it falls only because nothing is learnt."),
        ([("a", "x", OPEN)], "These runs do not show that it does: with a under x these seeds do not settle it."),
        (
            [("a", "x", GOOD), ("a", "y", OPEN), ("b", "x", OPEN), ("b", "y", OPEN)],
            f"It depends on the surrogate and on the law: with a under x {FALLS} 10.0%;"
            " with a under y and b under every law these seeds do not settle it.",
        ),
    ],
)
def test_a_sentence_says_each_verdict_once(verdicts, expected):
    assert answer.sentence({(s, r): judged(s, r, verdict) for s, r, verdict in verdicts}) == expected


def test_the_effects_are_from_the_least_to_the_greatest():
    values = {("a", "x"): -0.643, ("b", "x"): -0.701, ("c", "x"): -0.685}
    text = answer.sentence({method: judged(*method, GOOD, value) for method, value in values.items()})
    assert text == f"Yes: with a under x, b under x and c under x {FALLS} 64.3% to 70.1%."


def test_the_page_answers_from_its_own_verdicts_and_not_without_them(folder, judge, page, tmp_path):
    grids = grid.load(folder)
    assert answer.answers(grids, [judged("logdet", "fixed", GOOD), claim("softmax / fixed: effective")]) == [
        f"Yes: with logdet under fixed {FALLS} 10.0%."
    ]
    against = judged("logdet", "fixed", GOOD) | {"id": "logdet / fixed: test loss against softmax / fixed"}
    assert answer.answers(grids, [against]) == []
    two = grids | {"wine": grids["gaussian_mixture"]}
    assert answer.answers(two, [judged("logdet", "fixed", BAD) | {"task": "wine"}]) == [
        "On wine: No: with logdet under fixed it does not fall by 5.0%."
    ]
    assert 'class="answer"' not in page
    store = tmp_path / "answered"
    store.mkdir()
    for part in ("records", "runs"):
        (store / part).symlink_to(folder / part)
    judge(store, generic=[judged("softmax", "thermostat", OPEN)])
    shown = Outline(report.build(str(store))).text
    assert shown.index("Does an entropy regulariser help?") < shown.index("These runs do not show that it does")
