"""STATEMENTS.md follows from the statements, and the sweeps that make theory trains from them too."""

import re

from experiments.statements import STATEMENTS, page, trajectories
from hclm_runner.config import CONF


def test_the_page_in_the_repository_is_the_one_that_the_statements_make(tmp_path, capsys):
    page.main(["--out", str(tmp_path / "page.md")])
    assert str(tmp_path / "page.md") in capsys.readouterr().out.replace("\n", "")
    assert (tmp_path / "page.md").read_text() == page.PAGE.read_text()


def test_every_statement_has_a_row_and_every_finding_a_section():
    text = page.text()
    rows = re.findall(r"^\| \[(.+?)\]\((\w+)\.py\) \|", text, flags=re.MULTILINE)
    assert rows == [(statement.name, name) for name, statement in STATEMENTS.items()]
    for statement in STATEMENTS.values():
        assert statement.needs in text
        assert (f"### {statement.name}\n" in text) == bool(statement.findings)
        assert bool(statement.findings) == bool(statement.on_runs)


def test_what_the_page_links_is_there_and_every_picture_of_a_statement_is_on_it():
    links = set(re.findall(r"\]\(([^)]+)\)", page.text()))
    assert all((page.PAGE.parent / link).exists() for link in links)
    stems = [
        stem
        for name, one in STATEMENTS.items()
        for stem, has in ((name, one.draw), (f"{name}_on_runs", one.on_runs))
        if has
    ]
    assert {link for link in links if link.endswith(".png")} == {f"../pictures/{stem}.png" for stem in stems}


def test_the_cells_of_the_table_are_not_torn_by_a_bar(monkeypatch):
    one = STATEMENTS["theorem_2"]._replace(needs="|gL| > 0", gates=(), findings="")
    monkeypatch.setattr(page, "STATEMENTS", {"theorem_2": one})
    (row,) = [line for line in page.text().splitlines() if line.startswith("| [Theorem 2]")]
    assert r"\|gL\| > 0" in row
    assert "###" not in page.text()


def test_the_sweeps_are_printed_in_order_and_once_each(capsys):
    page.main(["--sweeps"])
    assert capsys.readouterr().out.splitlines() == ["premises", "descent", "samples", "width"]
    assert trajectories.SWEEPS == ("premises", "descent")
    assert all((CONF / "experiment" / f"{name}.yaml").exists() for name in page.sweeps())
