"""What the page of a store says of the placebos of its controlled runs."""

import json

import pytest
from outline import HEAD, Outline, section

from experiments import placebos
from experiments.report import page as report

ROWS = [
    {"surrogate": surrogate, "law": "thermostat", "context": "digits", "placebo": name, "outcome": outcome}
    | {"view": "end", "verdict": verdict, "shown": shown}
    for surrogate in ("softmax", "my<own>")
    for outcome in ("gap", "reward")
    for name, verdict, shown in (("yoked", "SUPPORTED", "−7.0%"), ("mean_matched", "REFUTED", f"1.0% of {outcome}"))
]


def test_a_method_is_a_table_of_outcomes_by_placebos():
    one, other = placebos.tables(ROWS)
    assert (one.method, other.method) == ("softmax / thermostat / digits", "my<own> / thermostat / digits")
    assert one.placebos == ["yoked", "mean_matched"]
    assert one.rows["reward, end"] == [("SUPPORTED", "−7.0%"), ("REFUTED", "1.0% of reward")]


def test_the_page_shows_what_was_judged_beside_the_store_and_nothing_if_nothing_was(tmp_path):
    (tmp_path / "mine_placebos").mkdir()
    (tmp_path / "mine_placebos/placebos.json").write_text(json.dumps({"rows": ROWS}))
    assert placebos.of_store(tmp_path / "other") == []
    shown = report.Section("placebos", "Is it feedback?", placebos.of_store(tmp_path / "mine"))
    page = report.render("A title", HEAD, [shown], {})
    text = Outline(page).text
    assert page.count("<tbody>") == 2
    assert page.count('data-label="mean matched: "') == 4
    assert text.count("✓ SUPPORTED −7.0%") == 4
    assert "my<own> / thermostat / digits, better than its placebo" in text


@pytest.mark.slow
def test_the_page_of_a_judged_store_has_the_section(folder, page, tmp_path):
    assert "Is it feedback?" not in page
    twins = folder.with_name(f"{folder.name}_placebos")
    twins.mkdir()
    (twins / "placebos.json").write_text(json.dumps({"rows": ROWS}))
    try:
        assert "Is it feedback?" in section(report.build(str(folder)), "placebos")
    finally:
        (twins / "placebos.json").unlink()
        twins.rmdir()
