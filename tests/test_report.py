"""The report as a file, and as a browser shows it."""

import html.parser
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from browser import EXECUTABLE, Browser
from synthetic import EPOCHS, LAMS, claim, judge, write

from experiments import grid, report
from hclm_runner.refusal import ConfigError
from hclm_runner.records import COLUMNS

CLAIMS = (
    claim("22"),
    claim("23", "REFUTED", says="fewer than <b>1</b> & more", sentence="</script><script>alert(1)</script>"),
    claim("24", "INCONCLUSIVE"),
    claim("25", "COLLAPSE", effect=None, low=None, high=None),
    claim("X1 raw"),
)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><text x="1" y="9">50% #1 λ &amp;</text></svg>'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A judged store with two figures, and a run that diverged."""
    store = write(tmp_path_factory.mktemp("stores") / "small", diverged={("softmax", "thermostat", 0.1, 2)})
    judge(store, *CLAIMS)
    (store / "figures").mkdir(exist_ok=True)
    for stem in ("fig03_rates", "fig22_logdet_fixed_test_loss", "fig22_logdet_fixed_test_loss_seeds"):
        (store / "figures" / f"{stem}.svg").write_text(SVG.replace("50%", stem))
    return store


@pytest.fixture(autouse=True, scope="module")
def _no_theory(tmp_path_factory):
    """Leave out what `make verify` and `make theory` may have written in this folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "THEORY", tmp_path_factory.mktemp("none"))
        yield


@pytest.fixture(scope="module")
def page(folder):
    return report.build(str(folder))


class Outline(html.parser.HTMLParser):
    """What the tests ask of a page: that elements nest, and the attributes of each."""

    VOID = frozenset({"meta", "img", "br", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("script", "style"):
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_page_is_well_formed_and_its_links_lead_somewhere(page):
    outline = Outline(page)
    ids = Counter(attributes["id"] for _, attributes in outline.elements if "id" in attributes)
    assert max(ids.values()) == 1
    targets = [attributes["href"] for attributes in outline.all("a")]
    assert targets
    assert all(target.startswith("#") and target[1:] in ids for target in targets)
    assert all("scope" in attributes for attributes in outline.all("th"))
    assert all(attributes.get("alt") is not None for attributes in outline.all("img"))
    assert len(outline.all("caption")) == len(outline.all("table"))
    headings = [tag for tag, _ in outline.elements if tag in ("h1", "h2", "h3")]
    assert headings == ["h1"] + ["h2"] * 7


def test_the_sections_come_in_the_order_of_a_reader(page):
    shown = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert shown == [
        "What was run",
        "Verdicts",
        "Where the data differ from the paper",
        "Claims and tasks",
        "Figures",
        "Explorer",
        "Where this differs from, or completes, the paper",
    ]


def test_what_was_run_stands_on_the_page(page):
    text = " ".join(Outline(page).texts)
    assert f"{9 * len(LAMS) * 4} runs" in text
    for fact in ("surrogate softmax, variance, logdet", "lam0 0, 0.1, 1", "seed 0, 1, 2, 3", "1 diverged", "lr 0.05"):
        assert fact in text
    for fact in (f"{EPOCHS}, measured before", "torch 2", "1.0 minutes", "classes 4", "cpu"):
        assert fact in text


def test_a_row_for_each_claim_and_what_comes_from_data_is_escaped(page):
    table = page[page.index("The claims, judged") : page.index('id="against"')]
    assert table.count('<tr id="claim-') == len(CLAIMS)
    assert "fewer than &lt;b&gt;1&lt;/b&gt; &amp; more" in table
    assert "<script>alert" not in page
    assert 'href="#figure-gaussian_mixture-22">Figure 22</a>' in table
    assert 'scope="row">X1 raw</th>' in table
    assert "0.25<br>[0.125, 0.5]" in table
    assert "–<br></td>" in table
    assert "p &lt; 0.001" in table
    assert [page.count(f'class="badge {name}"') > 0 for name in ("supported", "refuted", "collapse")] == [True] * 3
    tally = re.findall(r"</span> (\w+)</span> (\d+)</li>", page)
    assert tally == [("SUPPORTED", "2"), ("REFUTED", "1"), ("INCONCLUSIVE", "1"), ("COLLAPSE", "1")]


def test_the_claims_that_fail_are_listed_apart():
    listed = report.against(CLAIMS)
    assert re.findall(r"</span> (\w+)</span>", listed) == ["REFUTED", "COLLAPSE", "INCONCLUSIVE"]
    assert "every claim is supported" in report.against(CLAIMS[:1])


def test_the_matrix_has_a_column_for_each_task_and_the_stores_own_verdicts_count():
    digits = [claim("22", "REFUTED", task="digits"), claim("99", task="digits")]
    shown = report.matrix(CLAIMS, [*digits, claim("22", "COLLAPSE")])
    assert re.findall(r'scope="col">(.*?)</th>', shown)[2:] == ["gaussian_mixture", "digits"]
    first = next(row for row in shown.splitlines() if ">22</th>" in row)
    assert re.findall(r"</span> (\w+)</span>", first) == ["SUPPORTED", "REFUTED"]
    assert "not judged" in next(row for row in shown.splitlines() if ">99</th>" in row)
    assert shown.splitlines()[-3].endswith("<td>2</td><td>1</td></tr>")
    assert "make tasks" in report.matrix(CLAIMS)


def test_figures_are_embedded_whole_and_absent_ones_named(folder, page):
    assert [picture.number for picture in report.figures(folder / "figures", ["t"])] == [3, 22]
    images = [each["src"] for each in Outline(page).all("img") if "src" in each]
    assert len(images) == 2
    assert "fig22_logdet_fixed_test_loss_seeds" not in images[1]
    assert "Not drawn: Figure 23, Figure 24, Figure 25." in page
    assert "experiments.figures small" in report.gallery([], CLAIMS, "small")


def test_the_readmes_table_of_conventions_is_taken_over(page, monkeypatch, tmp_path):
    rows = re.findall(
        r"^\| (?!matter|---)", report.README.read_text().split("## Where this differs")[1].split("\n## ")[0], re.M
    )
    conventions = page[page.index("Conventions of this project") :]
    assert conventions.count('<th scope="row">') == len(rows) > 10
    assert "<code>surrogate.eps</code>" in conventions
    monkeypatch.setattr(report, "README", tmp_path / "none")
    assert report._readme_section("Where this differs from, or completes, the paper") == ""


def test_colours_have_the_contrast_of_wcag_aa():
    css = Path(report.__file__).with_suffix(".css").read_text()
    for block in re.findall(r":root \{(.*?)\}", css, re.S):
        colours = dict(re.findall(r"--([\w-]+): (#\w{6})", block))
        for name in ("text", "quiet", "link", "supported", "refuted", "inconclusive", "collapse"):
            for ground in ("ground", "card"):
                assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def contrast(one: str, other: str) -> float:
    """Return the ratio of luminances of WCAG 2."""

    def luminance(colour: str) -> float:
        c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_same_store_makes_the_same_page(folder, page):
    assert report.build(str(folder)) == page


def test_a_store_too_large_for_a_page_shows_fewer_seeds_and_says_so(folder):
    grids = grid.load(folder)
    whole, seeds = report.fit(grids, room=10**9)
    assert seeds == 4
    room = len(report._json(whole)) - 1
    halved, seeds = report.fit(grids, room)
    assert seeds == 2
    assert len(report._json(halved)) <= room
    assert "The first 2 of 4 seeds" in report.explorer(2, 4)
    assert report.fit(grids, room=0) == ({}, 0)
    assert "too many" in report.explorer(0, 4)


def test_the_command_writes_the_page_and_refuses_in_one_line(folder, page, tmp_path, capsys):
    out = tmp_path / "page.html"
    report.main([str(folder), "--out", str(out)])
    assert out.read_text() == page
    assert len(page.encode()) < report.LIMIT
    assert str(out) in capsys.readouterr().out
    unjudged = tmp_path / "unjudged"
    unjudged.mkdir()
    for part in ("records", "runs"):
        (unjudged / part).symlink_to(folder / part)
    with pytest.raises(ConfigError, match="verdicts in it"):
        report.build(str(unjudged))
    for arguments in (["none"], [str(unjudged)], [str(folder), "--out", str(tmp_path / "no" / "such")]):
        with pytest.raises(SystemExit) as stop:
            report.main(arguments)
        error = capsys.readouterr().err
        assert stop.value.code == 2
        assert error.startswith("error: ")
        assert error.count("\n") == 1


# --- in a browser ---------------------------------------------------------------------------------------------------

needs_browser = pytest.mark.skipif(EXECUTABLE is None, reason="no chromium or google-chrome on PATH")
DRAWN = "document.getElementById('plot')?.data"
TRACES = "document.getElementById('plot').data.map(({ name, y }) => [name, y])"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Browser(tmp_path_factory.mktemp("profile"))
    yield one
    one.close()


@pytest.fixture
def opened(browser, page, tmp_path):
    """The page, opened from disk at its default choice, on a desktop."""
    path = tmp_path / "report.html"
    path.write_text(page)
    browser.emulate(1280, 900, "light")
    browser.open(path.as_uri())
    browser.wait(DRAWN)
    yield browser
    assert browser.problems() == []
    assert browser.requests() == [path.as_uri()]


@needs_browser
def test_it_opens_from_disk_without_errors_and_without_the_network(opened):
    assert opened.evaluate("document.querySelectorAll('#verdicts tbody tr').length") == len(CLAIMS)
    assert opened.evaluate("[...document.images].every((image) => !image.src || image.naturalWidth > 0)")


@needs_browser
def test_the_page_forbids_itself_the_network(browser, page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page)
    browser.open(path.as_uri())
    assert browser.evaluate("fetch('https://example.org').then(() => 'fetched', () => 'refused')") == "refused"


@needs_browser
def test_another_choice_draws_other_runs(opened, folder):
    before = opened.evaluate(TRACES)
    assert [name for name, _ in before] == [f"logdet / fixed, lam {lam:g}" for lam in LAMS]
    opened.evaluate("document.querySelector('[name=surrogate][value=softmax]').click()")
    opened.wait(f"{DRAWN}.length === {2 * len(LAMS)}")
    opened.evaluate("document.querySelector('[name=surrogate][value=logdet]').click()")
    opened.wait(f"{DRAWN}.length === {len(LAMS)}")
    after = opened.evaluate(TRACES)
    assert [name for name, _ in after] == [f"softmax / fixed, lam {lam:g}" for lam in LAMS]
    force = grid.load(folder)["gaussian_mixture"]["force"]
    expected = force.sel(surrogate="softmax", regime="fixed").mean("seed")
    tolerance = float(force.max() - force.min()) / report.LEVELS
    np.testing.assert_allclose([y for _, y in after], expected, rtol=0, atol=tolerance)
    assert "3 curves of force" in opened.evaluate("document.getElementById('status').textContent")


@needs_browser
def test_a_store_of_two_tasks_has_both_in_the_verdicts_and_in_the_explorer(browser, tmp_path):
    store = write(tmp_path / "two")
    write(store, overrides=["task=wine"], seeds=(5, 6))
    judge(store, claim("22"), claim("22", "REFUTED", task="wine"))
    (store / "figures" / "wine").mkdir()
    (store / "figures" / "wine" / "fig22_logdet_fixed_test_loss.svg").write_text(SVG)
    page = report.build(str(store))
    Outline(page)
    assert page.count('<tr id="claim-') == 2
    assert 'href="#figure-wine-22"' in page
    assert 'href="#figure-gaussian_mixture-22"' not in page
    path = tmp_path / "report.html"
    path.write_text(page)
    browser.open(path.as_uri())
    browser.wait(DRAWN)
    before = browser.evaluate(TRACES)
    browser.evaluate(
        "(() => { const { task } = document.forms.choice; task.value = 'wine';"
        " task.dispatchEvent(new Event('change', { bubbles: true })) })()"
    )
    browser.wait("document.getElementById('status').textContent.includes('task wine')")
    after = browser.evaluate(TRACES)
    assert [name for name, _ in after] == [name for name, _ in before]
    assert after != before
    assert browser.evaluate("[...document.forms.choice.seed.options].map((each) => each.value)") == [
        "mean",
        "all",
        "5",
        "6",
    ]


@needs_browser
def test_seeds_are_drawn_alone_or_all_with_their_mean(opened):
    choose = "(f.seed.value = '{}', f.dispatchEvent(new Event('change', {{ bubbles: true }})))"
    for value, traces in (("all", 5 * len(LAMS)), ("2", len(LAMS))):
        opened.evaluate(f"(() => {{ const f = document.forms.choice; {choose.format(value)} }})()")
        opened.wait(f"{DRAWN}.length === {traces}")
    assert "seed 2" in opened.evaluate("document.getElementById('status').textContent")


@needs_browser
def test_numbers_in_the_page_are_those_of_the_records_within_the_rounding_it_states(opened, folder):
    runs = grid.load(folder)["gaussian_mixture"].transpose(*grid.AXES, "epoch")
    here = "JSON.parse(byId('runs').textContent).gaussian_mixture"
    logarithmic = set(opened.evaluate(f"Object.entries({here}.columns).filter(([, {{ log }}]) => log).map(([n]) => n)"))
    assert {"train_loss", "dissipation"} <= logarithmic < set(COLUMNS)
    for column in COLUMNS:
        exact = runs[column].to_numpy().ravel()
        decoded = opened.evaluate(f"decode({here}, '{column}').then((values) => Array.from(values))")
        shown = np.array([np.nan if value is None else value for value in decoded])
        np.testing.assert_array_equal(np.isnan(shown), np.isnan(exact), column)
        if column in logarithmic:
            np.testing.assert_array_equal(shown == 0, exact == 0, column)
            positive = exact > 0
            shown, exact = np.log(shown[positive]), np.log(exact[positive])
        rounding = (np.nanmax(exact) - np.nanmin(exact)) / report.LEVELS / 2
        np.testing.assert_allclose(shown, exact, rtol=0, atol=rounding * (1 + 1e-6) + 1e-12, err_msg=column)


@needs_browser
def test_the_address_keeps_the_choice(opened):
    opened.evaluate("document.querySelector('[name=regime][value=thermostat]').click()")
    opened.wait(f"{DRAWN}.length === {2 * len(LAMS)}")
    address = opened.evaluate("location.href")
    assert "#explorer?" in address
    opened.open(address)
    opened.wait(DRAWN)
    assert len(opened.evaluate(TRACES)) == 2 * len(LAMS)


@needs_browser
def test_a_figure_opens_large_and_escape_closes_it(opened):
    opened.evaluate("document.querySelector('.zoom').focus()")
    opened.press("Enter", 13, text="\r")
    opened.wait("document.getElementById('large').open")
    opened.press("Escape", 27)
    opened.wait("!document.getElementById('large').open")
    source = opened.evaluate("[document.querySelector('#large img').src, document.querySelector('.zoom img').src]")
    assert source[0] == source[1]


@needs_browser
def test_the_page_is_as_wide_as_the_screen_and_wide_tables_scroll_in_their_box(opened):
    for width in (320, 390, 768, 1280):
        opened.emulate(width, 800, "light")
        opened.wait(f"document.documentElement.scrollWidth <= {width}", seconds=10)
        opened.wait(f"byId('plot').querySelector('.main-svg').clientWidth <= {width}", seconds=10)
        boxes = "[...document.querySelectorAll('#verdicts .scroll')].map((box) => box.scrollWidth > box.clientWidth)"
        assert opened.evaluate(boxes) == [width < 800]


@needs_browser
def test_dark_mode_reaches_the_plot_and_leaves_figures_on_white(opened):
    colour = "document.getElementById('plot').layout.font.color"
    before = opened.evaluate(colour)
    opened.emulate(1280, 900, "dark")
    opened.wait(f"{colour} !== '{before}'")
    assert opened.evaluate("getComputedStyle(document.querySelector('.zoom')).backgroundColor") == "rgb(255, 255, 255)"


@needs_browser
def test_every_control_has_a_name(opened):
    unnamed = "[...document.querySelectorAll('select, input')].filter((each) => !each.labels.length).length"
    assert opened.evaluate(unnamed) == 0
    assert opened.evaluate("[...document.querySelectorAll('#numbers th')].every((cell) => cell.scope)")


def section_of(folder, anchor, figure):
    """Draw a figure of the theory, and return the page from a section on."""
    figure.write_text("<svg/>")
    page = report.build(str(folder))
    Outline(page)
    return page[page.index(f'id="{anchor}"') :]


def test_the_gates_of_the_theory_are_a_section_once_they_were_run(folder, tmp_path, monkeypatch):
    gate = {"statement": "Theorem <2>", "says": "S moves", "measured": "a slope", "value": 1.25, "tolerance": None}
    gate |= {"figure": "drawn"}
    gates = [gate | {"control": "sign", "passes": True}, gate | {"control": "none", "passes": False}]
    monkeypatch.setattr(report, "THEORY", tmp_path)
    assert 'id="theory"' not in report.build(str(folder))
    (tmp_path / "gates.json").write_text(json.dumps([*gates, gates[0] | {"figure": "not drawn"}]))
    section = section_of(folder, "theory", tmp_path / "drawn.svg")
    assert "2 of 3 gates hold" in section
    assert "Theorem &lt;2&gt;" in section
    assert (section.count("✗ FAILS"), section.count("✓ holds")) == (1, 2)
    assert section.count('alt="Theorem &lt;2&gt;"') == section.count("<figure") == 1


def test_the_studies_on_real_runs_are_a_section_once_they_were_made(folder, tmp_path, monkeypatch):
    table = {
        "title": "Theorem <2> on runs",
        "note": "lr < 1",
        "head": ["optimiser", "closure"],
        "rows": [["sgd", "0.98 ± 0.01"]],
    }
    studies = {"trajectories": {"numbers": [], "tables": [table], "figures": {"one": "A & B", "two": "not drawn"}}}
    monkeypatch.setattr(report, "THEORY", tmp_path)
    (tmp_path / "studies.json").write_text(json.dumps(studies))
    section = section_of(folder, "studies", tmp_path / "one.svg")
    assert "<caption>Theorem &lt;2&gt; on runs</caption>" in section
    assert "<td>sgd</td><td>0.98 ± 0.01</td>" in section
    assert "<p>lr &lt; 1</p>" in section
    assert 'alt="A &amp; B"' in section
    assert "not drawn" not in section


def test_a_column_that_nobody_asked_for_is_not_in_the_explorer(folder):
    runs = grid.load(folder)["gaussian_mixture"]
    runs["metric_force"] = runs["metric_force"] * np.nan
    assert set(report.pack(runs)["columns"]) == set(COLUMNS) - {"metric_force"}
