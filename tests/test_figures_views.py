"""Both views of a figure, the ring at the chosen epoch, intervals over data sets, Definition 1 and the balance."""

import numpy as np
import pytest
from scipy import stats
from synthetic_own import EPOCHS, LAMS, made_up, without

from experiments.figures import FIGURES, mechanics
from experiments.figures.command import figures
from experiments.figures.draw import draw
from hclm_runner.analysis import effectiveness

RUNS = made_up()
ROW = {row.number: row for row in FIGURES}


def chosen(runs, column):
    """Return each run's value at its epoch of least feedback loss, not before the first, [lam0, seed]."""
    found = np.empty(runs[column].shape[:2])
    for place in np.ndindex(found.shape):
        loss = runs["feedback_loss"].to_numpy()[place]
        found[place] = runs[column].to_numpy()[place][1 + int(np.argmin(loss[1:]))]
    return found


def means(axes, name):
    """Return the curve of a law over base lam and the ends of its bars, [lam0] and [lam0, 2]."""
    (bars,) = [each for each in axes.containers if each.get_label() == name]
    y = bars.lines[0].get_ydata()
    ends = [segment[:, 1] for segment in bars.lines[2][0].get_segments() if len(segment)]
    return y[np.isfinite(y)], np.array(ends)


@pytest.mark.parametrize("number", [5, 12, 18, 20])
def test_over_base_lam_a_second_picture_has_the_values_at_the_chosen_epoch(number):
    pictures = figures(RUNS).paper[str(number)].pictures
    assert [*pictures] == [ROW[number].stem, f"{ROW[number].stem}_chosen"]
    figure = pictures[f"{ROW[number].stem}_chosen"]()
    assert "at the chosen epoch" in figure.legends[0].get_title().get_text()
    own = RUNS.sel(surrogate=ROW[number].surrogate, regime="thermostat")
    y, _ = means(figure.axes[-1], "thermostat")
    column = "share" if ROW[number].column == "force" else ROW[number].column
    np.testing.assert_allclose(y, chosen(own, column).mean(1), rtol=1e-12)


def test_in_each_view_surrogates_have_one_range():
    limits = {}
    for view in ("end", "chosen"):
        seen = {draw(ROW[number], RUNS, view=view).axes[0].get_ylim() for number in (5, 11, 16)}
        (limits[view],) = seen
    assert limits["end"] != limits["chosen"]


def test_over_epochs_a_ring_marks_the_chosen_epoch_and_the_legend_says_so():
    figure = draw(ROW[22], RUNS)
    assert "○ at its chosen epoch" in figure.legends[0].get_title().get_text()
    rings = [line for line in figure.axes[0].lines if line.get_marker() == "o" and line.get_markersize() == 6]
    assert len(rings) == len(LAMS)
    for ring, lam in zip(rings, LAMS, strict=True):
        own = RUNS.sel(surrogate="logdet", regime="fixed", lam0=lam)
        at = (own["feedback_loss"].to_numpy()[:, 1:].argmin(1) + 1).mean()
        x, y = (float(np.squeeze(each)) for each in ring.get_data())
        assert x == pytest.approx(at)
        assert y == pytest.approx(np.interp(at, range(EPOCHS + 1), own["test_loss"].mean("seed")))


def test_intervals_are_over_data_sets_where_seeds_are_crossed():
    crossed = made_up(seeds=range(8)).assign_coords(data_seed=("seed", np.repeat(range(4), 2)))
    values = crossed["test_loss"].sel(surrogate="softmax", regime="fixed").to_numpy()  # [lam0, seed, epoch]
    sets = values.reshape(len(LAMS), 4, 2, -1).mean(2)
    _, ends = means(draw(ROW[5], crossed).axes[0], "fixed")
    late = sets[..., -5:].mean(-1)
    np.testing.assert_allclose(ends, np.transpose(stats.t.interval(0.95, 3, late.mean(1), stats.sem(late, axis=1))))
    own = crossed.sel(surrogate="logdet", regime="fixed", lam0=0.1)["test_loss"].to_numpy().reshape(4, 2, -1).mean(1)
    band = draw(ROW[22], crossed).axes[0].collections[1].get_paths()[0].vertices
    at = band[band[:, 0] == 5, 1]
    wanted = stats.t.interval(0.95, 3, own[:, 5].mean(), stats.sem(own[:, 5]))
    np.testing.assert_allclose([at.min(), at.max()], wanted)


def test_effective_is_as_the_package_has_it_and_a_diverged_run_is_not():
    runs = RUNS.copy(deep=True)
    runs["share"] = runs["share"].where(runs["epoch"] > 0) * np.random.default_rng(0).uniform(
        0, 0.1, len(runs["epoch"])
    )
    runs["train_loss"].loc[
        {"surrogate": "logdet", "regime": "fixed", "lam0": 3.0, "seed": 1, "epoch": slice(7, None)}
    ] = np.nan
    runs = without(runs, surrogate="variance", regime="fixed", lam0=0.1, seed=0)
    for f_min in (0.01, 0.05, 0.1, 0.5):
        found = mechanics.effective(runs, f_min)
        for place in ({"lam0": 0.1, "seed": 2}, {"lam0": 3.0, "seed": 0}, {"lam0": 3.0, "seed": 2}):
            at = {"surrogate": "logdet", "regime": "fixed", **place}
            records = runs.sel(at).to_dataframe().reset_index()
            assert found.sel(at).item() == effectiveness(records, f_min).effective
    assert mechanics.effective(runs, 0.0001).sel(surrogate="logdet", regime="fixed", lam0=3.0, seed=1) == 0
    assert np.isnan(mechanics.effective(runs, 0.05).sel(surrogate="variance", regime="fixed", lam0=0.1, seed=0))


def test_definition_1_is_a_curve_over_f_min_for_each_surrogate_and_law():
    runs = RUNS.copy(deep=True)
    level = {"softmax": 0.01, "variance": 0.1, "logdet": 2.0}
    for surrogate, share in level.items():
        runs["share"].loc[{"surrogate": surrogate}] = share
    runs["share"].loc[{"surrogate": "variance", "lam0": 3.0}] = 0.5
    (picture,) = figures(runs).mechanics["definition_1"].pictures.values()
    figure = picture()
    assert len(figure.axes) == 3
    for axes in figure.axes:
        curves = {line.get_label(): line.get_ydata() for line in axes.lines if not line.get_label().startswith("_")}
        assert [*curves] == [*level]
        f = mechanics.CONSTANTS
        np.testing.assert_array_equal(curves["softmax"], f <= 0.01)
        np.testing.assert_array_equal(curves["logdet"], 1)
        np.testing.assert_array_equal(curves["variance"], ((f <= 0.1) * 1.0 + (f <= 0.5)) / 2)
    assert "0.05" in [text.get_text() for text in figure.axes[0].texts]
    assert "definition_1" not in figures(runs.assign(share=runs["share"] * np.nan)).mechanics


def test_the_balance_shows_both_sides_the_change_and_by_how_much_they_miss_it():
    runs = RUNS.copy(deep=True)
    change = runs["entropy"] - runs["entropy"].shift(epoch=1)
    runs["closure"] = 0.1 * change
    runs["injected"] = change + 1
    runs["dissipated"] = 1 + 0.1 * change
    runs["other"] = 0 * change
    (picture,) = figures(runs).mechanics["balance"].pictures.values()
    figure = picture()
    assert [axes.get_ylabel().split("\n")[0] for axes in figure.axes] == ["base λ = 0.1"], "nearest to 0.03 and to 0.3"
    (axes,) = figure.axes
    assert axes.get_title(loc="right") == "closure error 10.00% of the change (rms)"
    curves = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert [*curves] == ["injected by the loss", "dissipated by the term", "change of S"], "what is 0 is not drawn"
    own = runs.sel(surrogate="logdet", regime="fixed", lam0=0.1).mean("seed")
    np.testing.assert_allclose(curves["dissipated by the term"].get_ydata(), -own["dissipated"].to_numpy()[1:])
    np.testing.assert_array_equal(curves["change of S"].get_xdata(), range(1, EPOCHS + 1))
    np.testing.assert_allclose(curves["change of S"].get_ydata(), np.diff(own["entropy"]))
    assert "balance" not in figures(made_up(["softmax"])).mechanics
