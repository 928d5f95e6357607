"""Figures 3-32, drawn from a small grid made up here, and read back from the axes."""

import re
from functools import cache

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats
from synthetic_own import BOUNDS, EPOCHS, LAMS, SEEDS, made_up

from experiments.figures import FIGURES, FigureRow
from experiments.figures.command import figures
from experiments.figures.draw import draw

RUNS = made_up()
NUMBERS = range(3, 33)
ROW = {row.number: row for row in FIGURES}


@cache
def drawn(number: int) -> Figure:
    return next(iter(figures(RUNS).every()[str(number)].pictures.values()))()


def _curves(axes) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return label -> x, mean and the ends of the error bars [points, 2], without the gap after 0."""
    found = {}
    for bars in axes.containers:
        if bars.get_label() == "set point":  # in the legend only
            continue
        line, _, (ends,) = bars.lines
        x, y = line.get_data()
        segments = [segment[:, 1] for segment in ends.get_segments() if len(segment)]
        found[bars.get_label()] = (x[np.isfinite(x)], y[np.isfinite(x)], np.array(segments))
    return found


def _final(row: FigureRow, regime: str, column: str) -> np.ndarray:
    """Return the mean of the last 5 epochs, [lam0, seed]."""
    values = RUNS[column].sel(surrogate=row.surrogate, regime=regime).to_numpy()
    return values[..., -5:].mean(-1)


def test_the_table_is_that_of_the_paper():
    lam = ["test_loss", "gap", "force", "entropy", "lam", "reward"]
    without_entropy = ["test_loss", "gap", "force", "lam", "reward"]
    adaptive = ["test_loss", "force", "lam", "reward"]
    wanted = {
        **{number: ("softmax", None, y) for number, y in zip(range(5, 11), lam, strict=True)},
        **{number: ("variance", None, y) for number, y in zip(range(11, 16), without_entropy, strict=True)},
        **{number: ("logdet", None, y) for number, y in zip(range(16, 22), lam, strict=True)},
        22: ("logdet", "fixed", "test_loss"),
        23: ("logdet", "fixed", "force"),
        24: ("logdet", "fixed", "entropy"),
        **{number: ("logdet", "thermostat", y) for number, y in zip(range(25, 29), adaptive, strict=True)},
        **{number: ("logdet", "rl_thermostat", y) for number, y in zip(range(29, 33), adaptive, strict=True)},
    }
    assert {row.number: row[1:] for row in FIGURES} == wanted
    assert [row.number for row in FIGURES] == list(range(5, 33))
    assert ROW[5].stem == "fig05_softmax_test_loss"
    assert ROW[22].stem == "fig22_logdet_fixed_test_loss"
    assert [*figures(RUNS).model, *figures(RUNS).paper] == list(map(str, NUMBERS))


@pytest.mark.parametrize("number", [5, 6, 8, 9, 10, 13, 18, 20])
def test_over_lam_mean_and_t_interval_of_the_final_values(number):
    row, axes = ROW[number], drawn(number).axes[0]
    curves = _curves(axes)
    for regime, name in (("fixed", "fixed"), ("thermostat", "thermostat"), ("rl_thermostat", "RL thermostat")):
        x, mean, band = curves[name]
        values = _final(row, regime, row.column)
        np.testing.assert_allclose(mean, values.mean(1), rtol=1e-12)
        np.testing.assert_allclose(x, LAMS, rtol=0.21, atol=0.011)
        for value, ends in zip(values, band, strict=True):
            if np.ptp(value) > 0:
                wanted = stats.t.interval(0.95, len(SEEDS) - 1, value.mean(), stats.sem(value))
                np.testing.assert_allclose(ends, wanted, rtol=1e-9)


@pytest.mark.parametrize("number", range(22, 33))
def test_over_epochs_mean_and_t_interval(number):
    row, axes = ROW[number], drawn(number).axes[0]
    lines = [line for line in axes.lines if re.match(r"[\d.]+", line.get_label())]
    assert [float(line.get_label().removesuffix(", from λ min")) for line in lines] == LAMS
    for line, band, lam in zip(lines, axes.collections, LAMS, strict=True):
        values = RUNS[row.column].sel(surrogate="logdet", regime=row.regime, lam0=lam).to_numpy()
        np.testing.assert_array_equal(line.get_xdata(), range(EPOCHS + 1))
        np.testing.assert_allclose(line.get_ydata(), values.mean(0), rtol=1e-12)
        if np.ptp(values, axis=0).any():
            low, high = stats.t.interval(0.95, len(SEEDS) - 1, values.mean(0), stats.sem(values))
            ends = band.get_paths()[0].vertices
            for epoch in (0, 5, EPOCHS):
                at = ends[ends[:, 0] == epoch, 1]
                np.testing.assert_allclose([at.min(), at.max()], [low[epoch], high[epoch]], rtol=1e-9)
    assert (lines[0].get_color(), lines[0].get_linestyle()) == ("black", "--")  # lam = 0


@pytest.mark.parametrize("number", range(5, 22))
def test_lam_0_has_its_place_left_of_the_others_beyond_a_break(number):
    assert [label.get_text() for label in drawn(number).axes[-1].get_xticklabels()] == ["0", "0.1", "3"]
    for axes in drawn(number).axes:
        places = axes.transData.transform([(tick, 1) for tick in axes.get_xticks()])[:, 0]
        assert places[1] - places[0] > 20
        assert (np.diff(places) > 0).all()
        slashes = [line for line in axes.lines if not isinstance(line.get_marker(), str)]
        (x,) = [line.get_xdata() for line in slashes if not np.any(line.get_ydata())]
        assert 0 < min(x) < max(x) < 0.1
        for line in axes.containers[0].lines[:1]:
            assert np.isnan(line.get_xdata()[1])  # no line leads over the break


def test_no_legend_hides_data_and_nothing_is_clipped_or_too_small_to_read():
    for number in NUMBERS:
        figure = drawn(number)
        (legend,) = figure.legends
        frame = figure.bbox.padded(1)
        box = legend.get_window_extent()
        assert figure.get_figwidth() == 3.4
        for text in figure.findobj(Text):
            if text.get_text() and text.get_visible():
                assert text.get_fontsize() >= 7, (number, text)
        for axes in figure.axes:
            assert not box.overlaps(axes.get_window_extent()), number
            assert not box.overlaps(axes.get_tightbbox()), number
        for part in (box, *(axes.get_tightbbox() for axes in figure.axes)):
            assert frame.x0 <= part.x0, number
            assert part.x1 <= frame.x1, number
            assert frame.y0 <= part.y0, number
            assert part.y1 <= frame.y1, number


def test_a_regime_looks_the_same_in_every_figure():
    looks = {"fixed": set(), "thermostat": set(), "RL thermostat": set()}
    for number in range(5, 22):
        for axes in drawn(number).axes:
            for bars in axes.containers:
                if bars.get_label() in looks:
                    looks[bars.get_label()].add((to_hex(bars[0].get_color()), bars[0].get_marker()))
    assert all(len(seen) == 1 for seen in looks.values()), looks
    assert len(set.union(*looks.values())) == 3


def test_force_is_shown_with_the_share_of_the_moves_where_surrogates_are_compared():
    for number in (7, 13, 18):
        *enlarged, force, share = drawn(number).axes
        assert len(enlarged) <= 1
        assert "nats per unit of θ" in force.get_ylabel()
        assert share.get_ylabel() == "share of the moves\n‖D_S‖ / ‖D_L‖"
        _, mean, _ = _curves(share)["thermostat"]
        np.testing.assert_allclose(mean, _final(ROW[number], "thermostat", "share").mean(1))
        assert force.get_yscale() == "log"
    assert [len(drawn(number).axes) for number in (5, 23, 26, 30)] == [1, 1, 1, 1]
    narrow = RUNS.assign(force=RUNS["test_loss"])
    assert draw(ROW[23], narrow).axes[0].get_yscale() == "linear"


def test_a_crowd_on_a_log_axis_is_enlarged():
    level = {0.0: 1.2, 0.1: 1.3, 3.0: 0.01}
    few = RUNS.copy(deep=True)
    for lam, value in level.items():
        few["force"].loc[{"lam0": lam}] = value
    above, whole, share = draw(ROW[18], few).axes
    low, high = above.get_ylim()
    assert low < min(level[0.0], level[0.1])
    assert max(level[0.0], level[0.1]) < high < 2
    assert (above.get_yscale(), whole.get_yscale()) == ("linear", "log")
    assert above.get_ylabel().startswith("enlarged")
    assert "share" in share.get_ylabel()


def test_surrogates_are_drawn_over_one_range_but_for_what_depends_on_their_scale():
    for numbers, shared in (((5, 11, 16), True), ((6, 12, 17), True), ((10, 15, 21), True), ((8, 19), False)):
        limits = {drawn(number).axes[-1].get_ylim() for number in numbers}
        assert (len(limits) == 1) == shared, numbers


def test_an_interval_that_goes_down_to_0_is_marked_on_a_log_axis_and_none_is_cut():
    runs = RUNS.copy(deep=True)
    place = {"surrogate": "softmax", "regime": "thermostat", "lam0": 3.0}
    runs["share"].loc[place] = 0.02
    runs["share"].loc[place | {"seed": SEEDS[0]}] = 2.0
    axes = draw(ROW[7], runs).axes[-1]
    marks = [line for line in axes.lines if line.get_marker() == "v" and len(line.get_xdata())]
    assert len(marks) == 1
    assert marks[0].get_ydata()[-1] >= axes.get_ylim()[0] > 0 or axes.get_yscale() == "symlog"


def _levels(axes) -> dict[str, float]:
    """Return the thin horizontal lines by name."""
    return {text.get_text(): text.get_position()[1] for text in axes.texts}


def test_reference_lines():
    assert _levels(drawn(9).axes[0]) == {"λ min": 0.001, "λ max": 10.0}
    assert _levels(drawn(31).axes[0]) == {"λ min": 0.001, "λ max": 20.0}
    assert _levels(drawn(5).axes[0]) == pytest.approx({"chance,\nlog K": np.log(4)})
    assert drawn(9).axes[0].get_yscale() == "symlog"  # lam = 0 under `fixed`
    assert drawn(27).axes[0].get_yscale() == "log"
    for number in (8, 19):
        dotted = [line for line in drawn(number).axes[0].lines if line.get_linestyle() == ":" and len(line.get_xdata())]
        ends = [line.get_ydata()[-1] for line in dotted if np.isfinite(line.get_ydata()).any()]
        assert ends == pytest.approx([0.5 * np.log(4)] * 2)
    own = {**RUNS.attrs["config"], "regime thermostat": {"setpoint": 2.0, "kappa": 1.0, **BOUNDS}}
    assert _levels(draw(ROW[5], RUNS.assign_attrs(config=own)).axes[0]) == {}  # log K is not known


def test_figures_3_and_4_have_the_exponents_of_the_scaling_model():
    def slopes(number: int) -> dict[str, float]:
        lines = drawn(number).axes[0].lines
        return {line.get_label().split(",")[0]: np.polyfit(*np.log(line.get_data()), 1)[0] for line in lines}

    assert slopes(3) == pytest.approx({"injection": 1, "weak": 0.5, "balanced": 1, "excessive": 1.5})
    assert slopes(4) == pytest.approx({"weak": 0.5, "balanced": 0, "excessive": -0.5}, abs=1e-9)


def test_each_seed_on_request():
    for number, curves in ((5, 3), (25, len(LAMS))):
        plain, with_seeds = (draw(ROW[number], RUNS, seeds).axes[0] for seeds in (False, True))
        assert len(with_seeds.lines) - len(plain.lines) == curves * len(SEEDS)
    seeds = figures(RUNS, seeds=True).paper
    assert [*seeds["5"].pictures] == ["fig05_softmax_test_loss_seeds", "fig05_softmax_test_loss_chosen_seeds"]
    assert [*seeds["22"].pictures] == ["fig22_logdet_fixed_test_loss_seeds"]


def _ended(runs: xr.Dataset, **place) -> xr.Dataset:
    """Return the grid with a run that ended before epoch 7."""
    runs = runs.copy(deep=True)
    for name in runs:
        runs[name].loc[{**place, "epoch": slice(7, None)}] = np.nan
    return runs


def test_runs_that_diverged_are_left_out_and_marked():
    runs = RUNS
    for lam, seed in ((3.0, 1), (3.0, 2), (0.1, 0)):
        runs = _ended(runs, surrogate="logdet", regime="fixed", lam0=lam, seed=seed)

    axes = draw(ROW[16], runs).axes[0]
    (cross,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert list(cross.get_xdata()) == [0.1, 3.0]
    assert "3 diverged" in [text.get_text() for text in axes.texts]
    _, mean, _ = _curves(axes)["fixed"]
    values = _final(ROW[16], "fixed", "test_loss")
    np.testing.assert_allclose(mean, [values[0].mean(), values[1, 1:].mean(), values[2, 0]])

    axes = draw(ROW[22], runs).axes[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[7], [7, 7]]
    assert [text.get_text() for text in axes.texts if "diverged" in text.get_text()] == ["1 diverged", "2 diverged"]
    top = axes.get_window_extent().y1
    assert all(line.get_window_extent().y0 > top for line in crosses)
    (mean,) = [line for line in axes.lines if line.get_label() == "3"]
    alone = RUNS["test_loss"].sel(surrogate="logdet", regime="fixed", lam0=3.0, seed=0)
    np.testing.assert_array_equal(mean.get_ydata(), alone)

    everything = xr.full_like(RUNS, np.nan)
    for number in (7, 9, 16, 23, 27):
        draw(ROW[number], everything)  # an empty figure, no failure


def test_a_run_that_diverged_has_its_chosen_epoch_from_before_that():
    runs = _ended(RUNS, surrogate="logdet", regime="fixed", lam0=3.0, seed=1)
    axes = draw(ROW[16], runs, view="chosen").axes[0]
    assert not [line for line in axes.lines if line.get_marker() == "x"]
    own = runs.sel(surrogate="logdet", regime="fixed", lam0=3.0)
    stop = own["feedback_loss"].to_numpy()[:, 1:7].argmin(1) + 1
    every = RUNS.sel(surrogate="logdet", regime="fixed", lam0=3.0)["feedback_loss"].to_numpy()[:, 1:].argmin(1) + 1
    wanted = own["test_loss"].to_numpy()[SEEDS, [every[0], stop[1], every[2]]].mean()
    assert _curves(axes)["fixed"][1][-1] == pytest.approx(wanted, rel=1e-12)
