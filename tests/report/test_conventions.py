"""The page of conventions, from Markdown to the report."""

import re

from outline import HEAD, Outline, section

from experiments.report import conventions, page

TEXT = """# A heading

Prose with `code`, *stress* and <b>tags</b>.

| matter | here | option |
|---|---|---|
| sign | lam > 0 \\| less, see [the records](records.md#columns) | `surrogate.eps` |
| last batch | dropped |

More ![a picture](pictures/one.png)prose.
"""


def test_prose_and_table_are_told_apart_and_html_is_text():
    found = conventions.parse(TEXT)
    assert found.prose == (
        "<p>Prose with <code>code</code>, <em>stress</em> and &lt;b&gt;tags&lt;/b&gt;.</p>\n<p>More prose.</p>\n"
    )
    assert found.head == ["matter", "here", "option"]
    assert found.rows == [
        ["sign", "lam &gt; 0 | less, see the records", "<code>surrogate.eps</code>"],
        ["last batch", "dropped", ""],
    ]


def test_a_page_without_a_table_is_its_prose():
    assert conventions.parse("# A heading\n\nNothing else.\n") == ("<p>Nothing else.</p>\n", [], [])


def test_the_projects_own_page_is_a_section_of_the_report():
    text = conventions.DOCUMENT.read_text()
    rows = re.findall(r"^\| (?!matter|---)", text, re.M)
    found = conventions.read(conventions.DOCUMENT)
    heading = "Where this differs from, or completes, the paper"
    assert text.startswith(f"# {heading}\n")
    shown = page.render("A title", HEAD, [page.Section("conventions", heading, found)], {})
    Outline(shown)
    table = section(shown, "conventions")
    assert table.count('<th scope="row">') == len(rows) > 10
    assert "<caption>Conventions of this project</caption>" in table
    assert "<code>surrogate.eps</code></td>" in table


def test_without_the_file_there_is_no_such_section(monkeypatch, folder, tmp_path):
    document = tmp_path / "conventions.md"
    monkeypatch.setattr(conventions, "DOCUMENT", document)
    assert 'id="conventions"' not in page.build(str(folder))
    document.write_text(TEXT)
    assert "<p>More prose.</p>" in section(page.build(str(folder)), "conventions")
