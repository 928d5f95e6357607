"""VERDICTS.md: each claim once under its verdict, with the numbers of claims.json; and what stands before the claims."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from made_up import LAMS, LOG_K, L, Runs, S, V

from experiments import grid
from experiments.claims import findings, judge, page, paper, record
from experiments.claims.claim import Claim, Data
from experiments.claims.judge import COLLAPSE, INCONCLUSIVE, REFUTED, SUPPORTED, effect, mean_part
from experiments.claims.remarks import REMARKS, Remark
from experiments.estimate import Estimate
from hclm_runner.refusal import ConfigError

NOISE = np.array([-0.1, 0.1, -0.2, 0.2, -0.3, 0.3, -0.4, 0.4])
EFFECT = {SUPPORTED: 1.25, REFUTED: -1.5, INCONCLUSIVE: 0.001, COLLAPSE: 2.5}


def verdict(name: str, shift: float = 0.0, structural: str = "") -> judge.Verdict:
    """One of two parts decides: the second."""
    facts = {"collapse": lambda v: np.full(v.shape[-2], True)} if name == COLLAPSE else {}
    holds = mean_part("what holds", 9 + shift + NOISE, ">", 0, structural=structural)
    found = judge.judge([holds, mean_part(f"what is |{name}|", EFFECT[name] + shift + NOISE, ">", 0, **facts)], 200)
    assert found.verdict == name
    return found


def row(id: str, literal: Sequence[str], charitable: Sequence[str] = ()) -> record.ClaimRow:
    """A judged claim; its verdicts in each reading, at the end and at the chosen epoch. A trajectory has one view."""
    claim = Claim(id, None, f"{id} is so", lambda _: [], ("in another way", lambda _: []) if charitable else None)
    readings = (("literal", literal, 0.0), ("charitable", charitable, 0.5))
    judged = {
        (reading, view): verdict(name, shift + 0.25 * (view == "chosen"), "it cannot fail")
        for reading, verdicts, shift in readings
        for view, name in zip(("end", "chosen"), verdicts, strict=False)
    }
    return record.row("made_up", claim, judged)


ROWS = [
    row("a", [SUPPORTED, REFUTED], [SUPPORTED, REFUTED]),
    row("b", [REFUTED, SUPPORTED]),
    row("c", [INCONCLUSIVE]),
    row("d", [COLLAPSE, SUPPORTED], [REFUTED, SUPPORTED]),
    row("e", [SUPPORTED, SUPPORTED]),
]
record.mark_survivors(ROWS)
OF_ROWS = {one["id"]: Remark(one["verdict"], f"Remark on {one['id']}.") for one in ROWS}


def claims_of(text: str) -> dict[str, tuple[str, str]]:
    """Id -> head of the section that a claim is in, and what is said of it."""
    found = {}
    for head, section in re.findall(r"^## (.*)\n((?:(?!## ).*\n?)*)", text, flags=re.MULTILINE):
        for name, said in re.findall(r"^### (.*?) · .*\n((?:(?!### ).*\n?)*)", section, flags=re.MULTILINE):
            assert name not in found, "twice on the page"
            found[name] = head, said
    return found


def test_every_claim_is_once_on_the_page_under_its_verdict_with_the_numbers_of_claims_json():
    said = claims_of(page.sections(ROWS, OF_ROWS))
    assert list(said) == ["b", "d", "c", "a", "e"], "by verdict, and in the paper's order"
    for one in ROWS:
        head, text = said[one["id"]]
        assert head == page.SECTIONS[one["verdict"]]
        for reading in one["readings"]:
            part = reading["parts"][reading["decided"]]
            sign = record.SYMBOLS[reading["verdict"]]
            shown = effect(Estimate.of_dict(part), part["unit"])
            cell = f"{sign} **{reading['verdict']}** (part {reading['decided'] + 1} of 2): "
            cell += f"{reading['sentence'].split(':')[0]}: {shown}; ".replace("|", r"\|")
            assert text.count(cell) == 1, cell
        assert text.count("| charitable: in another way |") == (one["id"] in "ad")
        assert ("at the chosen epoch" in text) == (one["id"] != "c"), "a trajectory has one view"
        assert f"Remark on {one['id']}. Structural: 1 of 2 parts, it cannot fail." in text
        assert f"BH: {'yes' if one['survives_bh'] else 'no'}." in text
    assert "A collapse decides it in 100.0% of the resamples." in said["d"][1]
    assert "collapse decides" not in said["b"][1], "it decides in none"


def test_verdicts_are_counted_in_each_reading_and_view_and_a_missing_one_is_that_which_there_is():
    rows = re.findall(r"^\| (literal|charitable) \|.*?\| (\d) \| (\d) \| (\d) \| (\d) \|", page.overview(ROWS), re.M)
    counts = [tuple(map(int, numbers)) for _, *numbers in rows]
    assert counts == [(2, 1, 1, 1), (3, 1, 1, 0), (2, 2, 1, 0), (3, 1, 1, 0)]
    assert "2 of the claims have one verdict in all" in " ".join(page.overview(ROWS).split())


def test_a_claim_without_a_remark_or_with_one_of_another_verdict_is_named():
    remarks = OF_ROWS | {"b": Remark(SUPPORTED, "It holds.")}
    del remarks["d"]
    assert page.unfit(ROWS, OF_ROWS) == []
    stale, lacking = page.unfit(ROWS, remarks)
    assert stale == "the remark on claim b is of SUPPORTED, now it is REFUTED"
    assert lacking.startswith("claim d has no remark")
    said = claims_of(page.sections(ROWS, remarks))
    assert "It holds. (Written when the verdict was SUPPORTED.)" in said["b"][1]
    assert "\n\nStructural" in said["d"][1]


def test_every_claim_of_the_paper_has_its_remark_and_no_other_has():
    assert list(REMARKS) == [claim.id for claim in paper.CLAIMS]


# --- before the claims ----------------------------------------------------------------------------------------------


def overfitting() -> Runs:
    """Runs that reach a test loss of 1 at epoch 3 and lose it again; variance at the third lam reaches 0.9."""
    runs = Runs(shared=0)
    path = np.full(25, 3.0)
    path[3] = 1
    better = np.tile(path, (len(LAMS), 1))
    better[2, 3] = 0.9
    for column in ("feedback_loss", "test_loss"):
        runs.set(column, (S, V, L), "ABC", path[None], noise=0)
        runs.set(column, V, "A", better, noise=0)
    runs.set("test_accuracy", (S, V, L), "ABC", 0.75 - path[None] / 20, noise=0)
    for column in ("test_scaled_loss", "feedback_scaled_loss", "test_ece"):
        runs.set(column, (S, V, L), "ABC", 0.875, noise=0)
    runs.set("share", S, "A", 0.3 * (LAMS > 0), noise=0)
    runs.set("share", (V, L), "A", 0.6 * (LAMS > 0), noise=0)
    return runs


@pytest.fixture(scope="module")
def data() -> Data:
    return paper.read(overfitting().grid(), "made up")


def test_each_surrogate_and_law_is_compared_with_lam_0_stopped_early(data):
    end, chosen = (findings.best(data.at(view)) for view in ("end", "chosen"))
    assert [(one.surrogate, one.regime) for one in chosen] == [(s, r) for s in grid.SURROGATES for r in grid.REGIMES]
    assert [one.loss.value for one in end] == pytest.approx([2] * 9)
    assert [one.accuracy.value for one in end] == pytest.approx([-0.1] * 9)
    assert [one.loss.value for one in chosen] == pytest.approx([0, 0, 0, -0.1, 0, 0, 0, 0, 0])
    assert findings.lower(chosen) == [], "8 data sets are too few for nine comparisons"
    (better,) = findings.lower(chosen[3:5])
    assert (better.surrogate, better.regime, better.lam) == (V, "fixed", LAMS[2])
    assert better == findings.first(chosen)
    assert findings.beyond_temperature(data, better, "test_loss").value == pytest.approx(3 - 0.875)


def test_final_values_are_read_once_in_each_view_and_cannot_be_changed(data):
    end, chosen = (view.final(V, "fixed", "test_loss") for view in (data, data.at("chosen")))
    assert data.final(V, "fixed", "test_loss") is end
    assert not np.array_equal(end, chosen)
    with pytest.raises(ValueError, match="read-only"):
        end[0] = 0.0


def test_a_collapsed_cell_is_marked():
    runs = overfitting().set("train_loss", L, "A", LOG_K, noise=0)
    cells = findings.best(paper.read(runs.grid(), "made up"))
    assert [one.collapsed for one in cells] == [(one.surrogate, one.regime) == (L, "fixed") for one in cells]


def test_training_seeds_of_a_data_set_count_as_one(data):
    twice = np.repeat(range(8), 2)
    crossed = data.grid.isel(seed=twice).assign_coords(seed=range(16), data_seed=("seed", twice))
    assert "8 data sets, 2 training seeds of each, 5 lam" in page.head(replace(data, grid=crossed))
    ours = twice + np.tile([0.0, 2], 8)
    estimate, p = findings.difference(replace(data, grid=crossed), ours, np.zeros(16))
    assert (estimate.value, estimate.n, p) == (4.5, 8, 2 / 2**8)


def test_definition_1_separates_between_the_shares(data):
    assert findings.effective(data, 0.05) == {S: 1, V: 1, L: 1}
    assert findings.effective(data, 0.5) == {S: 0, V: 1, L: 1}
    assert 0.3 < findings.separating(data) <= 0.6


def test_the_command_writes_the_page_and_names_what_is_missing(tmp_path, capsys):
    folder, out = overfitting().store(tmp_path / "store"), tmp_path / "page.md"
    with pytest.raises(ConfigError, match="python -m experiments claims"):
        page.main([str(folder), "--out", str(out)])
    record.write(record.Record(ROWS, [], []), str(folder), 200)
    with pytest.raises(ConfigError, match="task=digits: expected one of made_up"):
        page.main([str(folder), "--out", str(out), "--task", "digits"])
    page.main([str(folder), "--out", str(out)])
    text = " ".join(out.read_text().split())
    assert "claim a has no remark" in capsys.readouterr().out
    assert "the test loss is 3.00 nats at the end of training, with an accuracy of 0.600" in text
    assert "takes it to 1.000, with an accuracy of 0.700" in text
    assert "those below 0: variance under fixed at lam = 0.1. After Holm's correction: none." in text
    assert "The largest reduction is 10.0%; the claims below count effects from 5%." in text
    assert "- variance: fixed, −0.100 [−0.100, −0.100]; thermostat, 0.000 [0.000, 0.000]" in text
    assert list(claims_of(out.read_text())) == ["b", "d", "c", "a", "e"]


def test_too_few_data_sets_are_refused(tmp_path):
    few = overfitting().grid().isel(seed=slice(5))
    with pytest.raises(ConfigError, match="6 data sets or more, got 5"):
        page.text(paper.read(few, "made up"), ROWS)
