"""The page as a browser shows it."""

import html

import numpy as np
import pytest
from browser import EXECUTABLE, Browser
from outline import Outline
from synthetic import LAMS, claim, write

from experiments import grid
from experiments.estimate import of_seeds
from experiments.report import explore
from experiments.report import page as report
from hclm_runner.records import COLUMNS

pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="no chromium or google-chrome on PATH")
DRAWN = "document.getElementById('plot')?.data?.filter((one) => one.showlegend)"
TRACES = f"{DRAWN}.map(({{ name, y }}) => [name, y])"
CHOOSE = "(f.{}.value = '{}', f.dispatchEvent(new Event('change', {{ bubbles: true }})))"
STATUS = "document.getElementById('status').textContent"


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


def test_it_opens_from_disk_without_errors_and_without_the_network(opened, claims):
    assert opened.evaluate("document.querySelectorAll('#verdicts tbody tr').length") == len(claims)
    assert opened.evaluate("[...document.images].every((image) => !image.src || image.naturalWidth > 0)")


def test_the_page_forbids_itself_the_network(browser, page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page)
    browser.open(path.as_uri())
    assert browser.evaluate("fetch('https://example.org').then(() => 'fetched', () => 'refused')") == "refused"


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
    tolerance = float(force.max() - force.min()) / explore.LEVELS
    np.testing.assert_allclose([y for _, y in after], expected, rtol=0, atol=tolerance)
    assert "3 curves of force" in opened.evaluate(STATUS)


def test_a_store_of_two_tasks_has_both_in_the_verdicts_and_in_the_explorer(browser, judge, tmp_path):
    store = write(tmp_path / "two")
    write(store, overrides=["task=wine"], seeds=(5, 6))
    judge(store, claim("22"), claim("22", "REFUTED", task="wine"))
    path = tmp_path / "report.html"
    path.write_text(report.build(str(store)))
    browser.open(path.as_uri())
    browser.wait(DRAWN)
    before = browser.evaluate(TRACES)
    browser.evaluate(
        "(() => { const { task } = document.forms.choice; task.value = 'wine';"
        " task.dispatchEvent(new Event('change', { bubbles: true })) })()"
    )
    browser.wait(f"{STATUS}.includes('task wine')")
    after = browser.evaluate(TRACES)
    assert [name for name, _ in after] == [name for name, _ in before]
    assert after != before
    seeds = browser.evaluate("[...document.forms.choice.seed.options].map((each) => each.value)")
    assert seeds == ["mean", "all", "5", "6"]


def test_surrogates_and_laws_of_a_users_own_are_drawn_under_their_names(browser, folder, renamed, judge, tmp_path):
    names = {"softmax": "<script>alert(1)</script>", "variance": "<b>a, b</b> &amp;", "logdet": "renyi"}
    laws = {"fixed": "fixed", "thermostat": "my 'law'"}
    store = renamed(folder, tmp_path / "own", names, laws)
    judge(store, generic=[claim("effective renyi")])
    path = tmp_path / "report.html"
    path.write_text(report.build(str(store)))
    Outline(path.read_text())
    browser.emulate(1280, 900, "light")
    browser.open(path.as_uri())
    browser.wait(DRAWN)
    traces = browser.evaluate(TRACES)
    ours = sorted(names.values())
    assert [html.unescape(name) for name, _ in traces] == [f"{s} / fixed, lam {lam:g}" for s in ours for lam in LAMS]
    runs = grid.load(store)["gaussian_mixture"]["force"]
    expected = runs.sel(regime="fixed").mean("seed").to_numpy().reshape(len(traces), -1)
    tolerance = float(runs.max() - runs.min()) / explore.LEVELS
    np.testing.assert_allclose([y for _, y in traces], expected, rtol=0, atol=tolerance)
    legend = browser.evaluate("[...document.querySelectorAll('#plot .legendtext')].map((each) => each.textContent)")
    assert [text.split(" / ")[0] for text in legend[:: len(LAMS)]] == ours
    cells = browser.evaluate("[...document.querySelectorAll('#numbers tbody th')].map((each) => each.textContent)")
    assert [text.split(" / ")[0] for text in cells[:: len(LAMS)]] == ours
    boxes = "[...document.querySelectorAll('[name=surrogate]')]"
    assert browser.evaluate(f"{boxes}.map((each) => each.parentElement.textContent.trim())") == ours
    browser.evaluate(f"{boxes}[0].click()")
    browser.wait(f"{DRAWN}.length === {2 * len(LAMS)}")
    browser.open(browser.evaluate("location.href"))
    browser.wait(DRAWN)
    kept = [html.unescape(name).split(" / ")[0] for name, _ in browser.evaluate(TRACES)]
    assert kept[:: len(LAMS)] == ours[1:]
    assert browser.problems() == []


def test_any_number_of_surrogates_have_colours_of_their_own(opened):
    for scheme in ("light", "dark"):
        opened.emulate(1280, 900, scheme)
        assert opened.evaluate("new Set(Array.from({ length: 20 }, (_, i) => categorical(i))).size") == 20
    chosen = "{ surrogate: [...'abcdefgh'], regime: ['r', 's'], lam0: [0.1] }"
    place = "{ surrogate, regime: 's', lam0: 0.1 }"
    colours = opened.evaluate(
        f"(() => {{ const chosen = {chosen}, look = looks(chosen);"
        f" return chosen.surrogate.map((surrogate) => look({place}).line.color) }})()"
    )
    assert len(set(colours)) == 8


def choose(browser, name, value):
    """Choose a value of a list of the explorer."""
    browser.evaluate(f"(() => {{ const f = document.forms.choice; {CHOOSE.format(name, value)} }})()")


def test_seeds_are_drawn_alone_or_all_with_their_mean(opened):
    every = "document.getElementById('plot').data"
    for value, traces in (("all", 5 * len(LAMS)), ("2", len(LAMS))):
        choose(opened, "seed", value)
        opened.wait(f"{every}.length === {traces}")
    assert "seed 2" in opened.evaluate(STATUS)


def test_a_mean_has_the_interval_over_seeds_of_students_t(opened, folder):
    force = grid.load(folder)["gaussian_mixture"]["force"].sel(surrogate="logdet", regime="fixed")
    tolerance = 2 * float(force.max() - force.min()) / explore.LEVELS
    expected = of_seeds(force)
    half = float(expected.half.max())  # quantiles of t are rounded to three decimals in the page
    bands = opened.evaluate("document.getElementById('plot').data.filter((one) => one.fill).map(({ y }) => y)")
    for shown, low, high in zip(bands, expected.low.to_numpy(), expected.high.to_numpy(), strict=True):
        np.testing.assert_allclose(shown, [*high, *low[::-1]], rtol=0, atol=tolerance + half * 2e-4)


def test_final_values_over_base_lam_are_those_of_the_grid_with_their_intervals(opened, folder):
    choose(opened, "over", "lam")
    opened.evaluate(
        "document.querySelectorAll('[name=regime], [name=surrogate]').forEach((each) => each.checked || each.click())"
    )
    opened.wait(f"{STATUS}.includes('9 curves of force over base lam')")
    runs = grid.load(folder)["gaussian_mixture"]
    expected = of_seeds(grid.final(runs)["force"])
    tolerance = 2 * float(runs["force"].max() - runs["force"].min()) / explore.LEVELS
    curves = opened.evaluate(f"{DRAWN}.map(({{ name, x, y, error_y }}) => [name, x, y, error_y.array])")
    assert len(curves) == 9
    axis = opened.evaluate("document.getElementById('plot').layout.xaxis")
    places = axis["tickvals"]
    for name, x, y, half in curves:
        surrogate, regime = name.split(" / ")
        here = expected.at(lambda each, s=surrogate, r=regime: each.sel(surrogate=s, regime=r).to_numpy())
        assert x == [places[0], None, *places[1:]], "no line leads from lam = 0 to the next"
        np.testing.assert_allclose(np.delete(np.array(y, float), 1), here.value, rtol=0, atol=tolerance, err_msg=name)
        np.testing.assert_allclose(
            np.delete(np.array(half, float), 1), here.half, rtol=1e-3, atol=tolerance, err_msg=name
        )
    assert places[1:] == pytest.approx(np.log10(LAMS[1:]))
    assert places[0] < places[1]
    assert axis["ticktext"] == [f"{lam:g}" for lam in LAMS]
    assert axis["title"]["text"] == "base lam"


def test_values_at_the_chosen_epoch_over_base_lam_are_those_of_the_grid(opened, folder):
    choose(opened, "over", "chosen")
    opened.wait(f"{STATUS}.includes('1 curves of force over base lam, at the chosen epoch')")
    runs = grid.load(folder)["gaussian_mixture"]
    expected = of_seeds(grid.chosen(runs)["force"].sel(surrogate="logdet", regime="fixed"))
    tolerance = 2 * float(runs["force"].max() - runs["force"].min()) / explore.LEVELS
    ((y, half),) = opened.evaluate(f"{DRAWN}.map(({{ y, error_y }}) => [y, error_y.array])")
    for shown, exact in ((y, expected.value), (half, expected.half)):
        np.testing.assert_allclose(np.delete(np.array(shown, float), 1), exact, rtol=1e-3, atol=tolerance)


def test_an_interval_is_over_data_sets_where_seeds_are_crossed(opened):
    assert opened.evaluate("units([1, 3, 10, 20], [0, 0, 1, 1])") == [2, 15]
    assert opened.evaluate("half(units([1, 3, 10, 20], [0, 0, 1, 1]))") == pytest.approx(12.706 * 6.5, rel=1e-3)


def test_the_menu_has_the_columns_in_groups(opened):
    groups = "[...document.querySelectorAll('[name=column] optgroup')].map((one) => [one.label, one.children.length])"
    assert opened.evaluate(groups) == [[name, len(columns)] for name, columns in explore.GROUPS.items()]


def test_a_switch_shows_the_figures_over_base_lam_in_the_other_view(browser, folder, draw, judge, tmp_path):
    store = tmp_path / "views"
    store.mkdir()
    for part in ("records", "runs"):
        (store / part).symlink_to(folder / part)
    one = claim("16")
    both = [*one["readings"], one["readings"][0] | {"view": "chosen", "verdict": "REFUTED"}]
    of_path = claim("22")
    more = [*of_path["readings"], of_path["readings"][0] | {"view": "chosen", "verdict": "REFUTED"}]
    judge(store, one | {"readings": both}, of_path | {"readings": more})
    draw(store / "figures", "fig16_logdet_test_loss", "fig16_logdet_test_loss_chosen", "fig22_logdet_fixed_test_loss")
    path = tmp_path / "report.html"
    path.write_text(report.build(str(store)))
    Outline(path.read_text())
    browser.emulate(1280, 900, "light")
    browser.open(path.as_uri())
    seen = (
        "[...document.querySelectorAll('.zoom img, figcaption a')].filter((one) => one.checkVisibility())"
        ".map((one) => one.alt?.split('. ').slice(-2).join(' ') ?? one.textContent)"
    )
    of_16 = "logdet: test loss over the base lam, a curve for each regime; mean over seeds, 95% interval"
    of_22 = (
        "Figure 22 logdet under fixed: test loss over epochs, a curve for each base lam; mean over seeds, 95% interval."
    )
    assert browser.evaluate(seen) == [f"{of_16} At the end.", "✓ SUPPORTED", of_22, "✓ SUPPORTED"]
    browser.evaluate("document.getElementById('view-chosen').click()")
    assert browser.evaluate(seen) == [f"{of_16} At the chosen epoch.", "✗ REFUTED", of_22, "✓ SUPPORTED"]
    assert browser.problems() == []


def test_the_axis_has_the_unit_of_its_column(opened):
    for column, title in (("force", "force (nats per unit of θ)"), ("gap", "gap (nats)"), ("alignment", "alignment")):
        choose(opened, "column", column)
        opened.wait(f"document.getElementById('plot').layout.yaxis.title.text === '{title}'")


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
        rounding = (np.nanmax(exact) - np.nanmin(exact)) / explore.LEVELS / 2
        np.testing.assert_allclose(shown, exact, rtol=0, atol=rounding * (1 + 1e-6) + 1e-12, err_msg=column)


def test_the_address_keeps_the_choice(opened):
    opened.evaluate("document.querySelector('[name=regime][value=thermostat]').click()")
    opened.wait(f"{DRAWN}.length === {2 * len(LAMS)}")
    address = opened.evaluate("location.href")
    assert "#explorer?" in address
    opened.open(address)
    opened.wait(DRAWN)
    assert len(opened.evaluate(TRACES)) == 2 * len(LAMS)


def test_a_figure_opens_large_with_its_caption_and_escape_closes_it(opened):
    opened.evaluate("document.querySelectorAll('.zoom')[1].focus()")
    opened.press("Enter", 13, text="\r")
    opened.wait("document.getElementById('large').open")
    shown = "document.querySelector('#large p').textContent"
    assert opened.evaluate(shown).startswith("Figure 22. logdet under fixed: test loss over epochs")
    opened.press("Escape", 27)
    opened.wait("!document.getElementById('large').open")
    source = opened.evaluate(
        "[document.querySelector('#large img').src, document.querySelectorAll('.zoom img')[1].src]"
    )
    assert source[0] == source[1]
    opened.evaluate("document.querySelectorAll('.zoom')[1].click()")
    opened.evaluate("document.querySelector('#large p a').click()")  # to the verdict of its claim
    opened.wait("!document.getElementById('large').open")
    assert opened.evaluate("location.hash") == "#claim-gaussian_mixture-22"


def test_the_page_and_its_claims_are_as_wide_as_the_screen(opened):
    claims = "[...document.querySelectorAll('#verdicts .scroll')].every((box) => box.scrollWidth <= box.clientWidth)"
    for width in (320, 390, 820, 1280):
        opened.emulate(width, 800, "light")
        opened.wait(f"document.documentElement.scrollWidth <= {width}", seconds=10)
        opened.wait(f"byId('plot').querySelector('.main-svg').clientWidth <= {width}", seconds=10)
        assert opened.evaluate(claims), width


def test_dark_mode_reaches_the_plot_and_the_figures(opened):
    colour = "document.getElementById('plot').layout.font.color"
    figure = "getComputedStyle(document.querySelector('.zoom img')).filter"
    before = opened.evaluate(colour)
    assert opened.evaluate(figure) == "none"
    opened.emulate(1280, 900, "dark")
    opened.wait(f"{colour} !== '{before}'")
    assert "invert" in opened.evaluate(figure)


def test_every_control_has_a_name(opened):
    unnamed = "[...document.querySelectorAll('select, input')].filter((each) => !each.labels.length).length"
    assert opened.evaluate(unnamed) == 0
    assert opened.evaluate("[...document.querySelectorAll('#numbers th')].every((cell) => cell.scope)")
