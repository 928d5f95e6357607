"""The figures of a user's own surrogates and laws: which there are, what they show, and how they look next to ours."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_hex
from scipy import stats
from synthetic_own import LAMS, SEEDS, made_up, without, write

from experiments import grid
from experiments.figures import LOOKS, FigureRow
from experiments.figures.command import figures
from experiments.figures.draw import draw
from experiments.figures.table import COLUMNS, FIGURES, covered, general, looks
from hclm_runner.refusal import ConfigError

OURS = grid.SURROGATES
RUNS = made_up([*OURS, "renyi"], [*grid.REGIMES, "my_law"])
CURVES = {"fixed": "fixed", "thermostat": "thermostat", "rl_thermostat": "RL thermostat", "my_law": "my_law"}


def plain(text: str) -> str:
    """Return a text as a reader sees it, without spaces and line breaks."""
    return "".join(text.split()).replace(r"\$", "$")


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_surrogate_and_regime_has_a_figure_of_each_column():
    places = [*itertools.product([*OURS, "renyi"], [None, *grid.REGIMES, "my_law"])]
    assert {row[1:] for row in general(RUNS)} == {(*place, column) for place in places for column in COLUMNS}
    stems = [row.stem for row in general(RUNS)]
    assert len(set(stems)) == len(places) * 6
    assert {"renyi_force", "renyi_my_law_test_loss", "logdet_thermostat_reward"} <= set(stems)
    assert FigureRow(None, "a/b", None, "gap").stem == "a_b_gap", "a file, not a folder"
    labelled = FigureRow(None, "renyi(width=0.5, order=3)", "thermostat(kappa=2)", "gap")
    assert labelled.stem == "renyi_width=0.5_order=3_thermostat_kappa=2_gap", "no quotes on a command line"


def test_two_names_that_would_share_a_file_are_refused():
    with pytest.raises(ConfigError, match="but a_b_force is of a_b / all regimes and a / b"):
        general(made_up(["a", "a_b"], ["b"]))
    with pytest.raises(
        ConfigError, match="but fig07_softmax_force is of softmax / all regimes and fig07_softmax / all"
    ):
        general(made_up(["fig07_softmax"], ["b"]))


def test_a_figure_over_lam_has_the_users_law_next_to_ours():
    figure = draw(FigureRow(None, "renyi", None, "gap"), RUNS)
    assert sorted(legend(figure)) == sorted(CURVES.values())
    own = RUNS["gap"].sel(surrogate="renyi")
    for bars, regime in zip(figure.axes[0].containers, CURVES, strict=True):
        line, _, (ends,) = bars.lines
        assert bars.get_label() == CURVES[regime]
        values = own.sel(regime=regime).to_numpy()[..., -5:].mean(-1)  # [lam0, seed]
        y = line.get_ydata()
        np.testing.assert_allclose(y[np.isfinite(y)], values.mean(1), rtol=1e-12)
        segments = [segment[:, 1] for segment in ends.get_segments() if len(segment)]
        wanted = stats.t.interval(0.95, len(SEEDS) - 1, values[0].mean(), stats.sem(values[0]))
        np.testing.assert_allclose(segments[0], wanted, rtol=1e-9)
        x = line.get_xdata()
        np.testing.assert_allclose(x[np.isfinite(x)], LAMS, rtol=0.21, atol=0.011)
    force = draw(FigureRow(None, "renyi", None, "force"), RUNS)
    assert [axes.get_ylabel().split(" ")[1].split("\n")[0] for axes in force.axes[-2:]] == ["‖∇S‖", "of"]


def test_a_figure_over_epochs_is_of_one_surrogate_and_law():
    axes = draw(FigureRow(None, "renyi", "my_law", "test_loss"), RUNS).axes[0]
    own = RUNS["test_loss"].sel(surrogate="renyi", regime="my_law")
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    for lam in LAMS:
        np.testing.assert_allclose(lines[f"{lam:g}"], own.sel(lam0=lam).mean("seed"), rtol=1e-12)
    (level,) = [text.get_position()[1] for text in axes.texts if text.get_text() == "chance,\nlog K"]
    assert level == pytest.approx(np.log(4)), "known from the thermostat's runs, though they are not shown"


def test_only_what_was_tried_is_shown_and_what_is_missing_is_counted(tmp_path):
    ragged = without(RUNS, surrogate=list(OURS), regime="my_law")
    ragged = without(ragged, surrogate="renyi", lam0=3.0)
    loaded = grid.only(grid.load(write(tmp_path, ragged, failed=[("renyi", "my_law", 0.1, 2)])), None)
    assert legend(draw(FigureRow(None, "softmax", None, "gap"), loaded)) == ["fixed", "thermostat", "RL thermostat"]
    figure = draw(FigureRow(None, "renyi", "my_law", "gap"), loaded)
    assert legend(figure) == ["0", "0.1"]
    assert figure.get_supxlabel() == "incomplete: 5 of 6 runs"
    assert draw(FigureRow(None, "renyi", "fixed", "gap"), loaded).get_supxlabel() == ""
    assert "softmax_my_law_gap" not in figures(loaded).general


def test_each_regime_has_a_look_of_its_own_and_ours_keep_theirs():
    own = [f"law_{i:02}" for i in range(32)]
    found = looks([*grid.REGIMES, *own])
    assert {regime: found[regime] for regime in LOOKS} == LOOKS
    assert len({look[1:] for look in found.values()}) == 35
    assert len({found[regime].colour for regime in [*LOOKS, *own[:5]]}) == 8, "colours first"
    assert all(found[law].name == law for law in own)


def test_a_law_looks_the_same_in_all_figures_of_a_store():
    runs = made_up(["renyi", "tsallis"], ["a_law", "b_law"])
    runs = without(runs, surrogate="tsallis", regime="a_law")
    seen = set()
    for surrogate in ("renyi", "tsallis"):
        for bars in draw(FigureRow(None, surrogate, None, "gap"), runs).axes[0].containers:
            if bars.get_label() == "b_law":
                seen.add((to_hex(bars[0].get_color()), bars[0].get_marker()))
    assert len(seen) == 1


@pytest.mark.parametrize(
    "name",
    [
        "_mine",
        "cost$_x$",
        "a_law_with_a_rather_long_name",
        "ein_ganz_außerordentlich_langer_Name_für_ein_Gesetz",
        "thermostat(kappa=0.25, kp=0.125, ki=0.0625, lam_min=0.0001, lam_max=100, warmup=0)",
    ],
)
def test_any_name_stands_in_the_legend_as_it_is_and_fits(name):
    names = ["fixed", name, name + "_2", name + "_3"]
    figure = draw(FigureRow(None, name, None, "gap"), made_up([name], names))
    assert sorted(map(plain, legend(figure))) == sorted(map(plain, names))
    assert plain(name) in plain(figure.legends[0].get_title().get_text())
    box, frame = figure.legends[0].get_window_extent(), figure.bbox.padded(1)
    assert frame.x0 <= box.x0
    assert box.x1 <= frame.x1


def test_a_squared_error_has_no_nats():
    regression = RUNS.assign(reward=RUNS["reward"] * np.nan)
    row = FigureRow(None, "renyi", None, "gap")
    assert [draw(row, runs).axes[0].get_ylabel() for runs in (RUNS, regression)] == [
        "gap, test − train (nats)",
        "gap, test − train",
    ]


def test_what_the_paper_covers_is_not_drawn_twice_and_what_it_does_not_is_known():
    plain = made_up()
    by_place = {row[1:]: row for row in FIGURES}
    assert figures(plain).own == []
    rest = figures(plain).rest
    assert rest == [row.stem for row in general(plain) if row[1:] not in by_place]
    assert len(rest) == 3 * 6 + 9 * 6 - len(FIGURES)
    shows_more = [row for row in general(RUNS) if row.surrogate in OURS and row.regime is None]
    assert not any(covered(row, RUNS) for row in shows_more), "the user's law stands next to ours"
    assert covered(FigureRow(None, "logdet", "fixed", "force"), RUNS)
    assert not covered(FigureRow(None, "renyi", "fixed", "force"), RUNS)
    found = figures(RUNS)
    assert len(found.own) + len(found.rest) == len(general(RUNS)) - sum(row.regime is not None for row in FIGURES)
    assert len(found.own) == 4 * 6 + 4 * 6 + 3 * 6, "all over lam, renyi under each law, and my_law under ours"
    own = figures(made_up(["renyi", "softmax"]))
    assert (len(own.own), own.rest) == (len(own.general), [])


def test_the_papers_figures_are_of_the_papers_runs_whatever_else_a_store_has():
    plain, more = figures(made_up()).paper, figures(RUNS).paper
    assert list(plain) == list(more) == [str(row.number) for row in FIGURES]
    assert legend(next(iter(more["18"].pictures.values()))()) == ["fixed", "thermostat", "RL thermostat"]
    assert figures(made_up(OURS[:2])).paper == {}
