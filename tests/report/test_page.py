"""The page of a store with the paper's grid, as a file."""

import itertools
import json
import re
import urllib.parse
from collections import Counter
from datetime import UTC, datetime

import jinja2
import numpy as np
import pytest
from outline import HEAD, Outline, section
from synthetic import EPOCHS, LAMS, claim

from experiments.__main__ import main as experiments_command
from experiments.report import gallery, main
from experiments.report import page as report
from hclm_runner.refusal import ConfigError

PAPER = "https://arxiv.org/abs/2605.22940"


def verdicts(text: str) -> list[str]:
    """Return the verdicts that stand in a piece of HTML."""
    return re.findall(r"</span> (\w+)</span>", text)


def test_the_page_is_well_formed_and_its_links_lead_somewhere(page):
    outline = Outline(page)
    ids = Counter(attributes["id"] for _, attributes in outline.elements if "id" in attributes)
    assert max(ids.values()) == 1
    targets = [attributes["href"] for attributes in outline.all("a")]
    assert targets.count(PAPER) == 1
    targets.remove(PAPER)
    assert targets
    assert all(target.startswith("#") and target[1:] in ids for target in targets)
    assert all("scope" in attributes for attributes in outline.all("th"))
    assert all(attributes.get("alt") is not None for attributes in outline.all("img"))
    assert len(outline.all("caption")) == len(outline.all("table"))
    headings = [tag for tag, _ in outline.elements if tag in ("h1", "h2", "h3")]
    assert headings == ["h1"] + ["h2"] * len(re.findall("<section", page))


def test_the_sections_come_in_the_order_of_a_reader(page):
    shown = re.findall(r'<section id="(.*?)" .*\n<h2 id="(.*?)-h">(.*?)</h2>', page)
    assert all(anchor == heading for anchor, heading, _ in shown)
    assert [(anchor, words) for anchor, _, words in shown] == [
        ("verdicts", "Verdicts"),
        ("baselines", "Against stopping early"),
        ("figures", "Figures"),
        ("explorer", "Explorer"),
        ("conventions", "Where this differs from, or completes, the paper"),
        ("runs-of-this-page", "What was run"),
    ]
    navigation = page[page.index("<nav") : page.index("</nav>")]
    assert re.findall(r'href="#(.*?)">(.*?)</a>', navigation) == [(anchor, words) for anchor, _, words in shown]


def test_what_was_run_stands_on_the_page(page):
    text = Outline(page).text
    assert f"{9 * len(LAMS) * 4} runs test the paper Human-Centered Learning Mechanics (K. P. Tran, 2026," in text
    for fact in ("surrogate softmax, variance, logdet", "lam0 0, 0.1, 1", "seed 0, 1, 2, 3", "1 diverged", "lr 0.05"):
        assert fact in text
    for fact in (f"{EPOCHS}, measured before", "torch 2", "1.0 minutes", "classes 4", "cpu"):
        assert fact in text


def test_a_row_for_each_claim_and_what_comes_from_data_is_escaped(page, claims):
    table = section(page, "verdicts")
    assert table.count('<tr id="claim-') == len(claims)
    assert "fewer than &lt;b&gt;1&lt;/b&gt; &amp; more" in table
    assert "<script>alert" not in page
    assert 'href="#figure-gaussian_mixture-22">Figure 22</a>' in table
    assert 'id="claim-gaussian_mixture-X1-raw"><th scope="row">X1 raw</th>' in table
    assert table.count("What was found of X1 raw.") == 2, "in the row, and behind the verdict of its only reading"
    assert "more part" not in table, "a claim of one part says all in its sentence"
    assert all(f'class="badge {name}"' in page for name in ("supported", "refuted", "collapse", "inconclusive"))
    tally = re.findall(r"</span> (\w+)</span> (\d+)\s*</li>", page)
    assert tally == [("SUPPORTED", "2"), ("REFUTED", "1"), ("INCONCLUSIVE", "1"), ("COLLAPSE", "1")]


def test_each_number_of_a_claim_stands_once_with_its_unit(folder, judge, tmp_path):
    one = claim("24", sentence="Late slope: 2 epochs; claimed above 1 epoch, which it is.")
    (part,) = one["parts"]
    other = part | {"text": "share", "unit": "%", "value": -0.1004, "low": -0.2, "high": 0.05, "ruling": "not settled"}
    last = other | {"text": "undefined", "value": None, "low": None, "high": None}
    store = link(folder, tmp_path / "other")
    judge(store, one | {"parts": [other, part, last], "decided": 1}, claim("25"))
    table = section(report.build(str(store)), "verdicts")
    assert table.count("late slope") == 0
    assert table.count("Late slope: 2 epochs; claimed above 1 epoch, which it is.") == 1, "its only reading is another"
    assert re.findall(r"</span> (\w+: .*?)</li>", re.sub(r"</span> [A-Z]+</span>", "</span>", table)) == [
        "share: −10.0% [−20.0%, 5.0%]; not settled",
        "undefined: –; not settled",
    ]
    assert re.findall(r"<summary>(\d.*?)</summary>", table) == ["2 more parts"]


def test_a_span_of_time_has_both_dates_where_they_differ():
    evening, night = (datetime(2026, 3, day, hour, 5, tzinfo=UTC) for day, hour in ((1, 23), (2, 0)))
    assert report.span([night, evening]) == "01 March 2026, 23:05 to 02 March 2026, 00:05"
    assert report.span([evening]) == "01 March 2026, 23:05 to 23:05"


def link(folder, target):
    """Make a store of the same runs, not judged."""
    target.mkdir()
    for part in ("records", "runs"):
        (target / part).symlink_to(folder / part)
    return target


def test_the_matrix_has_a_column_for_each_task_and_the_stores_own_verdicts_count(page, folder, judge, tmp_path):
    tasks = link(folder, tmp_path / "tasks")
    digits = [claim("22", "REFUTED", task="digits"), claim("99", task="digits")]
    judge(tasks, *digits, claim("22", "COLLAPSE"))
    shown = section(report.build(str(folder), str(tasks)), "tasks")
    assert re.findall(r'scope="col">(.*?)</th>', shown)[2:] == ["gaussian_mixture", "digits"]
    first = next(row for row in shown.splitlines() if ">22</th>" in row)
    assert verdicts(first) == ["SUPPORTED", "REFUTED"]
    assert "not judged" in next(row for row in shown.splitlines() if ">99</th>" in row)
    counts = next(row for row in shown.splitlines() if "how many are supported" in row)
    assert re.findall(r'<td data-label="(.*?): ">(.*?)</td>', counts) == [("gaussian_mixture", "2"), ("digits", "1")]
    assert '<section id="tasks"' not in page


def test_figures_are_embedded_whole_and_absent_ones_named(folder, page, claims, judge, tmp_path):
    images = [each for each in Outline(page).all("img") if "src" in each]
    assert [each["alt"].partition(".")[0] for each in images] == ["Figure 3", "Figure 22"]
    assert "logdet under fixed: test loss over epochs, a curve for each base lam; mean over seeds" in images[1]["alt"]
    assert all(each["src"].endswith("%3C/svg>") or each["src"].endswith("</svg>") for each in images)
    assert "fig22_logdet_fixed_test_loss_seeds" not in images[1]["src"]
    assert "Not drawn: Figure 23, Figure 24, Figure 25." in page
    links = re.findall(r'href="#(claim-\S+)" aria-label="(.*?)"', section(page, "figures"))
    assert links == [("claim-gaussian_mixture-22", "SUPPORTED: claim of figure 22")]
    bare = link(folder, tmp_path / "bare")
    judge(bare, *claims)
    assert "python -m experiments figures " in section(report.build(str(bare)), "figures")


def test_the_curves_of_a_figure_are_rounded_and_its_texts_are_not(tmp_path):
    path = tmp_path / "one.svg"
    path.write_text('<svg><path d="M 1.23456 10.5 L -0.98765 3"/><text x="0.12345">0.0031</text></svg>')
    shown = urllib.parse.unquote(gallery.image(path))
    assert '<path d="M 1.23 10.5 L -0.98 3"/><text x="0.12345">0.0031</text>' in shown


def test_a_figure_that_was_drawn_only_with_its_seeds_is_shown(folder, draw, judge, claims, tmp_path):
    store = link(folder, tmp_path / "seeds")
    judge(store, *claims)
    draw(store / "figures", "fig23_logdet_fixed_force_seeds")
    shown = section(report.build(str(store)), "figures")
    assert "<b>Figure 23.</b> logdet under fixed: force over epochs" in shown


def test_colours_have_the_contrast_of_wcag_aa():
    css = (report.HERE / "style.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.S)
    assert len(blocks) == 2
    for block in blocks:
        colours = dict(re.findall(r"--([\w-]+): (#\w{6})", block))
        for name in ("text", "quiet", "link", "supported", "refuted", "inconclusive", "collapse"):
            for ground in ("ground", "card"):
                assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def test_the_explorers_curves_stand_out_from_the_ground():
    script = (report.HERE / "explorer.js").read_text()
    for scheme, ground in (("light", "#ffffff"), ("dark", "#12161c")):
        palette = re.findall(r"#\w{6}", re.search(rf"{scheme}: (\[\"#.*?\])", script)[1])
        assert len(set(palette)) == len(palette) >= 6
        assert min(contrast(colour, ground) for colour in palette) >= 3


SEEN = {
    "all colours": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
"""What is seen of linear RGB (Machado, Oliveira & Fernandes 2009, doi:10.1109/TVCG.2009.113)."""


@pytest.mark.parametrize("sight", SEEN)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_any_two_colours_of_the_explorer_differ_for_the_colour_blind_too(scheme, sight):
    script = (report.HERE / "explorer.js").read_text()
    palette = re.findall(r"#\w{6}", re.search(rf"{scheme}: (\[\"#.*?\])", script)[1])
    seen = [oklab(np.clip(SEEN[sight] @ linear(colour), 0, 1)) for colour in palette]
    least = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    assert least > 0.07  # about 0.02 is just noticeable


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Return linear RGB in Ottosson's Oklab (https://bottosson.github.io/posts/oklab), where distances are alike."""
    lms = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]] @ rgb
    return [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]] @ np.cbrt(lms)


def linear(colour: str) -> np.ndarray:
    """Return a colour of sRGB as linear RGB."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Return the ratio of luminances of WCAG 2."""
    light, dark = sorted((float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_same_store_makes_the_same_page(folder, page):
    assert report.build(str(folder)) == page


def test_the_template_refuses_data_that_lack_what_it_shows(page):
    shown = report.Section("verdicts", "Verdicts", {"claims": [claim()], "drawn": {}})
    assert "What was found of 22." in report.render("A title", HEAD, [shown], {})
    lacking = {key: value for key, value in claim().items() if key != "sentence"}
    with pytest.raises(jinja2.UndefinedError, match="sentence"):
        report.render("A title", HEAD, [shown._replace(data={"claims": [lacking], "drawn": {}})], {})


def test_the_command_writes_the_page_and_refuses_in_one_line(folder, page, tmp_path, capsys):
    out = tmp_path / "page.html"
    main([str(folder), "--out", str(out)])
    assert out.read_text() == page
    assert len(page.encode()) < report.LIMIT
    assert str(out) in capsys.readouterr().out
    unjudged = link(folder, tmp_path / "unjudged")
    with pytest.raises(ConfigError, match="verdicts in it; they come from python -m experiments claims "):
        report.build(str(unjudged))
    for arguments in (["none"], [str(unjudged)], [str(folder), "--out", str(tmp_path / "no" / "such")]):
        with pytest.raises(SystemExit) as stop:
            experiments_command(["report", *arguments])
        error = capsys.readouterr().err
        assert stop.value.code == 2
        assert error.startswith("error: ")
        assert error.count("\n") == 1


# --- the theory -----------------------------------------------------------------------------------------------------


def theory(folder, anchor, figure):
    """Draw a figure of the theory, and return its section of the page."""
    figure.write_text("<svg/>")
    page = report.build(str(folder))
    Outline(page)
    return section(page, anchor)


def test_the_gates_of_the_theory_are_a_section_once_they_were_run(folder, page, tmp_path, monkeypatch):
    gate = {"statement": "Theorem <2>", "says": "S moves", "measured": "a slope", "value": 1.25, "tolerance": None}
    gate |= {"figure": "drawn"}
    gates = [gate | {"control": "sign", "passes": True}, gate | {"control": "none", "passes": False}]
    monkeypatch.setattr(report, "THEORY", tmp_path)
    assert 'id="theory"' not in page
    (tmp_path / "gates.json").write_text(json.dumps([*gates, gates[0] | {"figure": "not drawn"}]))
    shown = theory(folder, "theory", tmp_path / "drawn.svg")
    assert "2 of 3 gates hold" in shown
    assert "Theorem &lt;2&gt;" in shown
    cells = re.findall(r'data-label="(\w+):? ">(.*?)</td>', shown)[:3]
    assert cells == [("value", "1.25"), ("tolerance", "–"), ("control", "sign")]
    assert (shown.count("✗ FAILS"), shown.count("✓ holds")) == (1, 2)
    assert shown.count('alt="Theorem &lt;2&gt;"') == shown.count("<figure") == 1


def test_the_studies_on_real_runs_are_a_section_once_they_were_made(folder, page, tmp_path, monkeypatch):
    table = {
        "title": "Theorem <2> on runs",
        "note": "lr < 1",
        "head": ["optimiser", "closure"],
        "rows": [["sgd", "0.98 ± 0.01"]],
    }
    studies = {"trajectories": {"numbers": [], "tables": [table], "figures": {"one": "A & B", "two": "not drawn"}}}
    monkeypatch.setattr(report, "THEORY", tmp_path)
    assert 'id="studies"' not in page
    (tmp_path / "studies.json").write_text(json.dumps(studies))
    shown = theory(folder, "studies", tmp_path / "one.svg")
    assert "<caption>Theorem &lt;2&gt; on runs</caption>" in shown
    assert "<td>sgd</td><td>0.98 ± 0.01</td>" in shown
    assert "<p>lr &lt; 1</p>" in shown
    assert 'alt="A &amp; B"' in shown
    assert "not drawn" not in shown
