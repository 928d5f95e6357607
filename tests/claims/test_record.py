"""What claims.json says of a judged claim, and who refuses what is not that."""

import json
import re

import numpy as np
import pytest
from made_up import Runs

from experiments.claims import command, judge, record
from experiments.claims.claim import Claim
from experiments.claims.judge import COLLAPSE, INCONCLUSIVE, REFUTED, SUPPORTED, Verdict, mean_part
from hclm_runner import store
from hclm_runner.refusal import ConfigError

ESTIMATE = ("value", "low", "high", "n")
HEADLINE = ("verdict", *ESTIMATE, "p", "decided", "parts")
PART = {"unit", "p", "holm", "method", "collapsed", "sense", "bound", "structural", "verdict", "ruling"}


# --- what claims.json says of a claim -------------------------------------------------------------------------------


def in_views(end: str, chosen: str | None) -> dict[tuple[str, str], Verdict]:
    """Verdicts of a literal reading at the end and at the chosen epoch, or at the end alone."""
    views = {"end": end} | ({"chosen": chosen} if chosen else {})
    mean = {SUPPORTED: 1.0, REFUTED: -1.0, INCONCLUSIVE: 0.0}
    noise = np.array([-0.1, 0.1, -0.2, 0.2, -0.3, 0.3])
    return {
        ("literal", view): judge.judge([mean_part("it", mean[verdict] + noise, ">", 0)])
        for view, verdict in views.items()
    }


CLAIM = Claim("it", None, "it is so", lambda _: [])


@pytest.mark.parametrize(
    ("end", "chosen", "says"),
    [
        (SUPPORTED, SUPPORTED, ""),
        (SUPPORTED, None, ""),
        (REFUTED, INCONCLUSIVE, ""),
        (SUPPORTED, REFUTED, " This is shown only at the last epochs: at the epoch that the feedback split chooses, the verdict is REFUTED."),
        (REFUTED, SUPPORTED, " At the epoch that the feedback split chooses, the verdict is SUPPORTED."),
    ],
)  # fmt: skip
def test_a_claim_that_holds_in_one_view_only_says_so_in_its_sentence(end, chosen, says):
    judged = in_views(end, chosen)
    one = record.row("t", CLAIM, judged)
    assert one["verdict"] == end
    assert one["sentence"] == judged["literal", "end"].sentence + says
    assert [reading["verdict"] for reading in one["readings"]] == [each for each in (end, chosen) if each]
    assert all("shown only" not in reading["sentence"] for reading in one["readings"])


def rows_of(*facts: tuple[str, float]) -> list[dict]:
    return [{"task": "t", "verdict": verdict, "p": p, "structural": ""} for verdict, p in facts]


def test_what_survives_is_counted_over_all_claims_and_shown_with_what_is_structural():
    """Of five, the two smallest p-values survive: 0.03 is above 3/5 of 5%, and what is open counts, with p = 1."""
    rows = rows_of((SUPPORTED, 0.002), (REFUTED, 0.004), (SUPPORTED, 0.031), (INCONCLUSIVE, 0.001), (COLLAPSE, 1.0))
    record.mark_survivors(rows)
    assert [one["survives_bh"] for one in rows] == [True, True, False, False, False]
    rows[2]["structural"] = "it cannot fail"
    wanted = "2 SUPPORTED (1 of them structural), 1 REFUTED, 1 INCONCLUSIVE, 1 COLLAPSE"
    assert command.tally(rows) == f"{wanted}; 2 of 3 decided survive Benjamini-Hochberg at 5%"
    fewer = rows_of((SUPPORTED, 0.002), (REFUTED, 0.004), (SUPPORTED, 0.031))
    record.mark_survivors(fewer)
    assert all(one["survives_bh"] for one in fewer), "alone they all do"


# --- what reads claims.json -----------------------------------------------------------------------------------------


def test_what_is_loaded_is_what_was_written_and_none_before_that(tmp_path):
    folder = Runs().store(tmp_path / "store")
    assert record.load(folder) is None
    one = record.row("made_up", CLAIM, in_views(SUPPORTED, REFUTED))
    record.mark_survivors([one])
    record.write(record.Record([one], [], ["a line"]), str(folder), 100)
    found = record.load(folder)
    assert found == {
        "store": str(folder), "resamples": 100, "confidence": 0.95, "against": None, "claims": [one], "generic": [],
        "lacking": ["a line"],
    }  # fmt: skip
    assert set(one["parts"][0]) == {"text", *ESTIMATE, *PART}
    assert set(one["readings"][0]) == {"reading", "view", "words", "sentence", *HEADLINE}
    decided = one["parts"][one["decided"]]
    assert [decided[key] for key in ESTIMATE] == [one[key] for key in ESTIMATE]
    assert decided["text"].lower() in one["sentence"].lower()
    for gone in ("readings", "structural", "survives_bh"):
        (folder / "claims.json").write_text(json.dumps(found | {"claims": [{k: one[k] for k in one if k != gone}]}))
        with pytest.raises(ConfigError, match=gone):
            record.load(folder)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"claims": []}', '{"claims": [{"effect": 1, "low": 0, "high": 2, "parts": []}], "generic": []}'],
    ids=["torn", "a list", "empty", "without generic", "of before Estimate"],
)
def test_a_claims_json_of_another_form_is_refused_with_the_command_that_writes_it(tmp_path, text):
    store.prepare(tmp_path)
    (tmp_path / "claims.json").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(f"expected what python -m experiments claims {tmp_path} writes")):
        record.load(tmp_path)
