"""Universes, trained, judged, drawn and shown: two small ones and one that is refused."""

import copy
import json
import os
import shutil

import matplotlib as mpl
import numpy as np
import pytest

from experiments.__main__ import main
from experiments.claims import page, paper
from experiments.claims.judge import Part, mean_part, quotient_part
from experiments.multiverse import figure, judged, results, train
from experiments.multiverse.design import CHOICES, Choice, Design, sets
from experiments.multiverse.section import depends, otherwise, section, together, verdicts
from hclm_runner import store
from hclm_runner.refusal import ConfigError

DESIGN = Design(
    {
        "largest lam": CHOICES["largest lam"]._replace(levels=(3,)),
        "kp": Choice("setting", (0.5, 0.1, -1), sets("regime.kp"), ("thermostat", "rl_thermostat")),
        "samples": Choice("question", (32, 48), sets("task.train")),
    },
    seeds=6,
    lams=3,
    base=("task.feedback=32", "task.test=32", "batch_size=16", "epochs=8", "task.separation=4"),
)
UNIVERSES = [DESIGN.reference, DESIGN.reference | {"samples": 48}, DESIGN.reference | {"kp": -1}]
BY_ID = {claim.id: claim for claim in paper.CLAIMS}
REST = ("INCONCLUSIVE", "COLLAPSE", "FAILED")
IDS = [*map(DESIGN.identity, UNIVERSES)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a multiverse that was trained, under outputs/."""
    where = tmp_path_factory.mktemp("multiverse")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        found = train.members(DESIGN, UNIVERSES, "few")
        assert [len(member.runs) for member in found] == [162, 162, 0]
        assert all(train.seconds(member) > 0 for member in found[:2])
        train.train(DESIGN, found, "few")
    return where / "outputs/few"


@pytest.fixture(scope="module")
def found(folder):
    return results.build(folder, resamples=100)


def test_the_same_command_again_trains_only_what_is_missing(folder, monkeypatch):
    monkeypatch.chdir(folder.parents[1])
    assert [len(member.runs) for member in train.members(DESIGN, UNIVERSES, "few")] == [0, 0, 0]
    more = train.members(DESIGN._replace(seeds=7), UNIVERSES[:1], "few")
    assert {run.seed for run in more[0].runs} == {6}
    assert len(more[0].runs) == 27


def test_each_universe_is_a_store_that_can_be_read_alone(folder):
    records, runs = store.load(folder / IDS[0])
    assert len(runs) == 162
    assert set(runs["status"]) == {"finished"}
    assert records.groupby("run_id").size().eq(9).all()


def test_every_claim_has_a_verdict_in_each_universe_and_the_refused_one_says_why(found):
    assert [universe["id"] for universe in found["universes"]] == IDS
    assert [bool(universe["failed"]) for universe in found["universes"]] == [False, False, True]
    assert "regime.kp=-1" in found["universes"][2]["failed"]
    assert [claim["id"] for claim in found["claims"]] == [claim.id for claim in paper.CLAIMS]
    for claim in found["claims"]:
        verdicts = [row["verdict"] for row in claim["universes"]]
        assert claim["failed"] == {}
        assert verdicts[2] == "FAILED"
        assert claim["reconstructions"][verdicts[0]] == claim["reconstructions"]["FAILED"] == 1
        assert sum(claim["questions"].values()) == claim["questions"][verdicts[1]] == 1
        assert claim["explained"] is None
        assert claim["joint"] is None or claim["joint"]["universes"] <= 1


def test_a_verdict_is_that_of_the_claims_command(folder, found):
    read = paper.read(judged.grid.only(judged.grid.load(folder / IDS[1]), None), "few")
    for claim, row in zip(paper.CLAIMS[::6], found["claims"][::6], strict=True):
        assert row["universes"][1]["verdict"] == claim.judged(read, 100).verdict


def test_a_universe_is_judged_again_only_when_something_changed(folder, found):
    path = folder / IDS[0] / judged.FILE
    before = path.stat().st_mtime_ns
    judged.judge_all([folder / IDS[0]], 100)
    assert path.stat().st_mtime_ns == before
    runs = next((folder / IDS[0] / "runs").glob("*.parquet"))
    os.utime(runs)
    judged.judge_all([folder / IDS[0]], 100)
    assert path.stat().st_mtime_ns > before


def test_a_universe_that_lacks_runs_is_a_result(folder, tmp_path):
    (tmp_path / "runs").mkdir()
    assert "store" in judged.judge(tmp_path / "nothing", 100)["failed"]


def test_a_universe_without_runs_counts_nowhere_until_it_is_trained(folder, found, tmp_path):
    there = tmp_path / "partial"
    shutil.copytree(folder, there)
    listed = results.listing(there)
    listed["universes"].append(listed["universes"][0] | {"id": "ffffffff", "refused": ""})
    (there / results.LIST).write_text(json.dumps(listed))
    again = results.build(there, found["resamples"])
    assert again["untrained"] == 1
    assert again["claims"] == found["claims"]


# --- contributions ----------------------------------------------------------------------------------------------------


def test_of_a_mean_the_contributions_are_the_seeds_own_numbers_less_the_bound():
    x = np.array([1.0, 2, 3, 4, 5, 7])
    part = mean_part("a mean", x, ">", 2.0)
    assert judged.contributions(part) == pytest.approx(list(x - 2))
    assert judged.contributions(part._replace(sense="<")) == pytest.approx(list(2 - x))
    assert judged.contributions(part._replace(sense="=")) is None
    assert judged.contributions(part._replace(contrast=None)) == pytest.approx(list(x - 2)), "its pseudo-values"
    undefined = Part("undefined", x, lambda v: v.mean(-1) * np.nan, ">", 2.0)
    assert judged.contributions(undefined) is None


def test_a_data_set_contributes_the_mean_of_its_training_seeds():
    x = np.array([1.0, 3, 2, 2, 5, 9])
    for part in (mean_part("a mean", x, ">", 2.0), Part("a mean", x, lambda v: v.mean(-1), ">", 2.0)):
        assert judged.contributions(part._replace(draws=2)) == pytest.approx([0, 0, 5])


def test_of_a_ratio_of_means_they_add_up_to_0_at_the_bound():
    over, under = np.array([1.0, 2, 3]), np.array([-1.0, -2, -1])
    part = quotient_part("a ratio", over, under, "<", 1.5)
    assert judged.contributions(part) == pytest.approx([0.5, 1, -1.5])


def test_of_another_statistic_they_are_pseudo_values():
    x = np.array([[1.0, 2, 3, 4, 5, 7], [2.0, 2, 2, 3, 3, 3]])
    part = Part("a ratio", x, lambda v: v[0].mean(-1) / v[1].mean(-1), ">", 1.0)
    whole, n = x[0].mean() / x[1].mean(), 6
    without = [np.delete(x[0], j).mean() / np.delete(x[1], j).mean() for j in range(n)]
    assert judged.contributions(part) == pytest.approx([n * whole - (n - 1) * each - 1 for each in without])


def test_a_part_is_the_same_one_in_universes_with_other_lam():
    row = {"decided": 1, "parts": [{"text": "gap at lam = 0.1"}, {"text": "gap at lam = 3"}, {"text": "reward"}]}
    assert results.key(row["parts"][0]) == results.key({"text": "gap at lam = 1.5e-05"}) == "gap at lam = …"
    assert results.part_of(row, "gap at lam = …")["text"] == "gap at lam = 3", "of several, the one that decided"
    assert results.part_of(row, "reward")["text"] == "reward"
    assert results.part_of(row, "another") == results.part_of({}, "reward") == {}


# --- what is shown ----------------------------------------------------------------------------------------------------


def many(found, claim):
    """A claim in the design's 85 universes, with an effect that epochs make, and one that only diverged runs reach."""
    design = Design()
    levels = design.universes(64, 16)
    universes = [
        {"id": design.identity(one), "title": design.title(one), "levels": one, "failed": "",
         "reference_question": design.asks_ours(one)} for one in levels
    ]  # fmt: skip
    effects = [0.1 * (one["epochs"] == 30) + 0.001 * i for i, one in enumerate(levels)]
    effects[3] = 1e9
    own = [
        {"structural": "", "readings": [
            {"reading": "literal", "view": "end", "verdict": "SUPPORTED" if x > 0.1 else "REFUTED", "decided": 0,
             "parts": [{"text": "a gap", "value": x, "low": x - 0.01, "high": x + 0.01, "unit": "%", "sense": ">",
                        "bound": 0.05, "contributions": [x - 0.05, x, x, x, x, x, x, x]}]}]} for x in effects
    ]  # fmt: skip
    judgements = [{"failed": "", "claims": {claim: row}} for row in own[:-1]] + [{"failed": "why", "claims": {}}]
    kinds = {name: choice.kind for name, choice in CHOICES.items()}
    row = results.together(BY_ID[claim], ("literal", "end"), universes, judgements)
    return {"resamples": 100, "kinds": kinds, "universes": universes, "claims": [row]}


def test_the_specification_curve_has_each_universe_its_verdict_and_its_choices(found, tmp_path):
    shown = many(found, "16")
    claim = shown["claims"][0]
    assert claim["explained"]["epochs"] > 0.5
    assert {CHOICES[name].kind for name in claim["explained"]} == {"setting"}, "questions are counted by themselves"
    drawn = figure.specification(claim, shown["universes"], shown["kinds"])
    curve, matrix = drawn.axes
    signs = [text.get_text() for text in curve.texts if text.get_text() in "✓✗?⊘–"]
    verdicts = [row["verdict"] for row in claim["universes"]]
    assert sorted(signs) == sorted(figure.SIGNS[verdict] for verdict in verdicts)
    assert len(signs) == 85
    points = [line.get_ydata()[0] for line in curve.lines if line.get_marker() == "o"]
    assert points == sorted(points), "the effect ascends"
    assert len(points) == 83, "one failed; one only diverged runs reach, and it is an arrow"
    assert len([line for line in curve.lines if line.get_marker() == "^"]) == 1
    assert sum(len(dots.get_offsets()) for dots in matrix.collections) == 85 * len(CHOICES)
    assert len(matrix.get_yticks()) == sum(len(choice.levels) for choice in CHOICES.values())
    assert [text.get_text() for text in curve.texts if text.get_text() == "the reference"]
    assert f"{claim['explained']['epochs']:.0%}" in [text.get_text() for text in matrix.texts]


def test_the_overview_has_each_claims_shares_and_says_that_they_are_no_probability(found):
    drawn = figure.overview(found)
    for axes, group in zip(drawn.axes, ("reconstructions", "questions"), strict=True):
        assert "not a probability" in axes.get_xlabel()
        widths = np.array([bar.get_width() for bar in axes.patches]).reshape(len(figure.VERDICTS), -1)
        assert widths.sum(0) == pytest.approx(1)
        total = sum(found["claims"][0][group].values())
        assert widths[:, 0] * total == pytest.approx(
            [found["claims"][0][group][verdict] for verdict in figure.VERDICTS]
        )


def test_the_colours_of_verdicts_differ_in_lightness_or_hue_and_each_has_a_sign():
    assert len(set(figure.SIGNS.values())) == len(set(figure.COLOURS.values())) == 5
    assert all(mpl.colors.is_color_like(colour) for colour in figure.COLOURS.values())


def test_the_section_is_the_table_of_a_page(found, tmp_path):
    shown = many(found, "16")
    assert section(tmp_path) is None
    results.write(shown, tmp_path)
    paths = figure.write(shown, tmp_path)
    assert {path.name for path in paths} == {
        f"{stem}.{kind}" for stem in ("overview", "claim_16") for kind in ("png", "svg")
    }
    page = section(tmp_path)
    assert "not a probability" in page.note
    ours = sum(universe["reference_question"] for universe in shown["universes"])
    assert page.head[2:] == [
        f"In {ours} reconstructions",
        "Otherwise judged",
        f"In {85 - ours} other questions",
        "Depends on",
        "Together",
    ]
    assert {len(row) for row in page.rows} == {len(page.head)}
    assert page.pictures == {"": tmp_path / "figures/overview.svg", "16": tmp_path / "figures/claim_16.svg"}
    assert page.rows[0][5].startswith("epochs ")


def test_the_page_of_the_verdicts_has_each_claims_shares_in_both_views(found):
    found = copy.deepcopy(found)
    of_16 = next(claim for claim in found["claims"] if claim["id"] == "16")
    of_16 |= {"robust": "REFUTED", "reconstructions": {"REFUTED": 9, "SUPPORTED": 1} | dict.fromkeys(REST, 0)}
    view = next(one for one in of_16["readings"] if (one["reading"], one["view"]) == ("literal", "chosen"))
    view["reconstructions"] = {"SUPPORTED": 3, "REFUTED": 1} | dict.fromkeys(REST, 0)
    text = page.reconstructions(found)
    rows = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if line.startswith("| ")}
    assert list(rows) == ["claim", *BY_ID]
    assert "✗ 90%, ✓ 10% (robust) | ✓ 75%, ✗ 25% | " in rows["16"]
    trajectories = [claim.id for claim in paper.CLAIMS if len(claim.views) == 1]
    assert [" | – | " in rows[each] for each in trajectories] == [True] * len(trajectories)
    said = " ".join(text.split())
    assert "trained 3 universes, with the same seeds in each: 2 choose values" in said
    assert "0 robustly SUPPORTED, 1 robustly REFUTED, 0 robustly COLLAPSE, and none for" in said


def test_words_of_the_table():
    counts = {"SUPPORTED": 1, "REFUTED": 9, "INCONCLUSIVE": 0, "COLLAPSE": 0, "FAILED": 0}
    claim = {"reading": "literal", "view": "end", "reconstructions": counts, "robust": "REFUTED", "structural": ""}
    assert verdicts(claim) == "✗ 90%, ✓ 10% (robust)"
    assert verdicts(claim | {"robust": None, "structural": "a bound"}) == "✗ 90%, ✓ 10% (structural in the reference)"
    other = {"reading": "charitable", "view": "chosen", "reconstructions": counts | {"REFUTED": 1}}
    both = {"readings": [{"reading": "literal", "view": "end", "reconstructions": counts}, other]}
    assert otherwise(claim | both) == "charitable, at the chosen epoch: ✓ 50%, ✗ 50%"
    assert depends({"explained": {"a": 0.05, "b": 0.2, "c": 0.31}}) == "c 31%, b 20%"
    assert depends({"explained": {"a": 0.05}}) == "no choice by itself"
    joint = {"universes": 60, "p": 0.0078, "claimed": 31, "against": 2, "floor": 0.0078}
    assert together({"joint": joint}) == "31 as claimed, 2 against, of 60 (p = 0.0078)"


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_dry_run_says_how_long_it_takes_and_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["multiverse", "--universes", "0", "--questions", "0", "--seeds", "1", "--dry-run"])
    assert "5 universes; to train: 360 runs in 5 of them, roughly" in capsys.readouterr().out
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--judge-only"], "a multiverse, which python -m experiments multiverse trains"),
        (["--seeds", "0"], "expected a whole number of 1 or more, got 0"),
        (["a/b"], "name=a/b: expected a name of letters"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["multiverse", *arguments])
    assert stopped.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert message in error


def test_results_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / results.FILE).write_text("{")
    with pytest.raises(ConfigError, match=r"multiverse\.json"):
        section(tmp_path)


def test_the_kept_results_are_json_to_the_letter(found, tmp_path):
    path = results.write(found, tmp_path)
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == json.loads(json.dumps(found))
