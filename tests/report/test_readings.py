"""The paper's claims in their readings and views, and what the head says of them."""

import re

import pytest
from outline import HEAD, Outline
from synthetic import claim

from experiments.report import page as report
from experiments.report import readings

END, CHOSEN = "end", "chosen"


def judged(id, verdict="SUPPORTED", others=(), **facts):
    """Return a claim whose literal reading at the end has a verdict; `others` are (reading, view, verdict)."""
    one = claim(id, verdict, **facts)
    (literal,) = one["readings"]
    more = [literal | {"reading": r, "view": v, "verdict": w, "words": f"{r} words"} for r, v, w in others]
    return one | {"readings": [literal, *more]}


def shown(*claims):
    section = report.Section("verdicts", "Verdicts", {"claims": claims, "drawn": {}})
    return report.render("A title", HEAD, [section], {})


def test_a_claim_has_a_row_for_each_reading_and_a_cell_for_each_view():
    others = [("literal", CHOSEN, "REFUTED"), ("charitable", END, "INCONCLUSIVE"), ("charitable", CHOSEN, "COLLAPSE")]
    page = shown(judged("22", others=others), judged("24"))
    rows = re.findall(r"<tr (?:id|class).*?</tr>", page, re.S)
    verdicts = [
        re.findall(r'data-label="at the (end|chosen epoch): ">(?:<details>.*?</span> (\w+)</span>|–)', r) for r in rows
    ]
    assert verdicts == [
        [("end", "SUPPORTED"), ("chosen epoch", "REFUTED")],
        [("end", "INCONCLUSIVE"), ("chosen epoch", "COLLAPSE")],
        [("end", "SUPPORTED"), ("chosen epoch", "")],
    ]
    assert rows[0].count('rowspan="2"') == 2
    assert "charitable words" in rows[1]
    assert "0.25 [0.125, 0.5] nats" in rows[1]
    Outline(page)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "Interval: exact sign flips. It survives Benjamini-Hochberg."),
        ({"survives_bh": False}, "Interval: exact sign flips. It does not survive Benjamini-Hochberg."),
        ({"verdict": "INCONCLUSIVE", "survives_bh": False}, "Interval: exact sign flips."),
    ],
)
def test_how_sure_a_verdict_is_stands_with_it(facts, words):
    one = claim("22") | facts
    assert readings.facts(one) == words
    assert words in shown(one)


def test_a_collapse_in_some_resamples_and_a_structural_claim_are_said():
    one = claim("22", structural="it is built that way")
    one["parts"][0] |= {"collapsed": 0.124, "method": "bootstrap, coverage 0.94"}
    text = Outline(shown(one, claim("24"))).text
    assert "Structural , no evidence: it is built that way." in text
    assert "Interval: bootstrap, coverage 0.94." in text
    assert "A collapsed cell decides the effect in 12% of the resamples." in text
    assert "SUPPORTED 2 (1 structural)" in text


def test_the_head_counts_verdicts_and_what_holds_everywhere():
    firm = [("literal", CHOSEN, "SUPPORTED"), ("charitable", END, "SUPPORTED")]
    claims = [
        judged("5", others=firm),
        judged("6", others=[("literal", CHOSEN, "REFUTED")]),
        judged("7", others=firm, structural="it cannot fail"),
        judged("8", "REFUTED", survives_bh=False),
        judged("9", "COLLAPSE", survives_bh=False),
        judged("10", "INCONCLUSIVE", survives_bh=False),
    ]
    assert readings.summary(claims) == [
        "Of 6 claims of the paper, read literally at the end of training, 3 supported, 1 refuted, 1 open,"
        " 1 true only by collapse. Of those supported 1 cannot fail as worded (structural): they are no evidence."
        " Of the other 2, 1 hold in every reading and view."
        " Of the 4 that are decided 3 survive Benjamini-Hochberg at 5%."
    ]
    two = readings.summary([claims[0], claims[0] | {"task": "wine"}])
    assert [text.split(":")[0] for text in two] == ["On gaussian_mixture", "On wine"]
    assert readings.summary([]) == []
