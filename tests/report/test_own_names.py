"""Stores of a user's own surrogates, laws, figures and claims, whatever their names are made of."""

import re

import pytest
from outline import Outline, runs, section
from synthetic import claim, write

from experiments.report import page as report

HOSTILE = "<script>alert(1)</script>"
LAW = """my "law" & 'co'"""


@pytest.fixture(scope="module")
def own(tmp_path_factory, folder, renamed, judge, draw):
    """A store of which nothing is the paper's, with figures and claims of its own."""
    place = tmp_path_factory.mktemp("own") / """sto"re's <b>"""
    made = renamed(folder, place, {"softmax": HOSTILE, "logdet": "renyi"}, {"fixed": LAW, "thermostat": "my_law"})
    judge(
        made,
        generic=[
            claim(f"{HOSTILE} / {LAW}: effective", says=f"{HOSTILE} is effective"),
            claim("renyi / my_law: collapses", "REFUTED"),
            claim("renyi / my_law: effective", "COLLAPSE"),
            claim("renyi / my_law: test loss against x: y", "INCONCLUSIVE", value=None, low=None, high=None),
        ],
        lacking=[f"{HOSTILE} has no runs at lam = 0"],
    )
    draw(made / "figures", "renyi_my_law_force", "renyi_test_loss", "a_run_of_mine", "a_run_of_mine_seeds")
    return made


@pytest.fixture(scope="module")
def shown(own):
    return report.build(str(own))


def test_names_from_data_stay_text(shown, page):
    outline = Outline(shown)
    assert len(outline.all("script")) == len(Outline(page).all("script"))
    assert not any(tag == "b" for tag, _ in outline.elements)
    attributes = {attribute for _, given in outline.elements for attribute in given}
    assert attributes <= {attribute for _, given in Outline(page).elements for attribute in given} | {"data-label"}
    assert f"surrogate {HOSTILE}, renyi; regime {LAW}, my_law; lam0" in outline.text
    assert """sto"re's <b>""" in outline.text
    assert shown.count(HOSTILE) == 0


def test_the_explorer_has_the_stores_own_axes(shown):
    packed = runs(shown)["gaussian_mixture"]
    assert packed["surrogate"] == [HOSTILE, "renyi"]
    assert packed["regime"] == [LAW, "my_law"]
    assert {"force", "test_loss", "lam"} <= packed["columns"].keys()


def test_claims_for_any_surrogate_are_a_section_and_the_papers_say_what_they_need(shown, page):
    table = section(shown, "generic")
    assert re.findall(r'scope="col">(.*?)</th>', table) == ["Surrogate / law", "Effective?", "Collapses?", "y"]
    rows = re.findall(r'<tr><th scope="row">.*?</tr>', table, re.S)
    cells = [re.findall(r"</span> ([a-z ]+)</span>|>(–)</td>", row) for row in rows]
    answers = [[answer or dash for answer, dash in row] for row in cells]
    assert answers == [["yes", "–", "–"], ["only by collapse", "no", "–"], ["–", "–", "open"]]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; is effective." in table
    assert "<li>&lt;script&gt;alert(1)&lt;/script&gt; has no runs at lam = 0</li>" in table
    needed = "they need every run of softmax, variance, logdet under fixed, thermostat, rl_thermostat."
    assert shown.count(needed) == section(shown, "verdicts").count(needed) == 1
    assert 'id="generic"' not in page


def test_claims_of_both_kinds_stand_on_one_page(folder, claims, judge, tmp_path):
    both = tmp_path / "both"
    both.mkdir()
    for part in ("records", "runs"):
        (both / part).symlink_to(folder / part)
    judge(both, *claims, generic=[claim("logdet / fixed: effective", "REFUTED")])
    page = report.build(str(both))
    Outline(page)
    order = [page.index(f'<section id="{anchor}"') for anchor in ("verdicts", "generic", "figures")]
    assert order == sorted(order)
    assert section(page, "verdicts").count("<tr id=") == len(claims)
    assert section(page, "generic").count('<tr><th scope="row">logdet / fixed</th>') == 1
    assert "logdet / fixed" not in section(page, "verdicts")
    assert "What could not be judged" not in page
    judge(both, *claims, lacking=["no run at lam = 0"])
    lacking = section(report.build(str(both)), "generic")
    assert "<li>no run at lam = 0</li>" in lacking
    assert "<table" not in lacking


def test_figures_of_any_name_are_shown_after_the_papers_and_say_what_they_draw(shown, own, draw):
    def captions(page):
        texts = section(page, "figures").split("<figcaption>")[1:]
        return [text.partition("</figcaption>")[0].strip() for text in texts]

    force = "renyi under my_law: force over epochs, a curve for each base lam; mean over seeds, 95% interval."
    loss = "renyi: test loss over the base lam, a curve for each regime; mean over seeds, 95% interval."
    assert captions(shown) == ["a run of mine.", force, loss]
    draw(own / "figures", "fig03_rates")
    assert captions(report.build(str(own)))[0].startswith("<b>Figure 3.</b> The scaling model")
    (own / "figures" / "fig03_rates.svg").unlink()


def test_a_surrogate_whose_name_looks_like_a_figure_of_the_paper_is_none(tmp_path, folder, renamed, judge, draw):
    made = renamed(folder, tmp_path / "own", {"softmax": "fig07"}, {"fixed": "fixed"})
    judge(made, generic=[claim("effective fig07")])
    draw(made / "figures", "fig07_force", "fig07_fixed_lam", "fig04_ratio", "fig07_softmax_force_seeds")
    shown = section(report.build(str(made)), "figures")
    assert shown.count("<b>Figure 7.</b> softmax: force over the base lam") == 1
    assert shown.count("<b>Figure 7.</b>") == 1
    assert "fig07: force over the base lam, a curve for each regime; mean over seeds" in shown
    assert "fig07 under fixed: adaptive lam over epochs, a curve for each base lam; mean over seeds" in shown
    places = [shown.index(text) for text in ("Figure 4.", "Figure 7.", "fig07 under fixed:", "fig07: force")]
    assert places == sorted(places)


def test_only_runs_that_the_papers_claims_were_judged_on_test_the_paper(shown, page):
    for text, against in ((shown, False), (page, True)):
        assert ("runs test the paper" in Outline(text).text) is against


def test_the_papers_names_come_first(tmp_path, folder, renamed, judge):
    made = renamed(
        folder,
        tmp_path / "mixed",
        {"softmax": "variance", "variance": "aaa", "logdet": "softmax"},
        {"fixed": "thermostat", "thermostat": "fixed", "rl_thermostat": "aaa"},
    )
    judge(made, generic=[claim("effective aaa")])
    packed = runs(report.build(str(made)))["gaussian_mixture"]
    assert packed["surrogate"] == ["softmax", "variance", "aaa"]
    assert packed["regime"] == ["fixed", "thermostat", "aaa"]


def test_two_tasks_have_figures_and_claims_of_their_own(tmp_path, judge, draw):
    made = write(tmp_path / "two", seeds=(0, 1))
    write(made, overrides=["task=wine"], seeds=(5, 6))
    judge(made, claim("22"), claim("22", "REFUTED", task="wine"))
    draw(made / "figures" / "wine", "fig22_logdet_fixed_test_loss", "renyi")
    page = report.build(str(made))
    Outline(page)
    assert page.count('<tr id="claim-') == 2
    assert 'href="#figure-wine-22"' in page
    assert 'href="#figure-gaussian_mixture-22"' not in page
    assert "renyi; task wine." in page


def test_anchors_of_different_names_differ():
    names = ["a b", "a-b", "a.b", "a~b", "a_b", "a<b", "a~2d~b"]
    anchors = {report.slug("claim", name) for name in names}
    assert len(anchors) == len(names)
    assert all(set(anchor) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_~") for anchor in anchors)
