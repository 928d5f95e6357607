"""Figures 3-32, drawn from a small grid made up here, and read back from the axes and the files."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats

from experiments import figures, grid
from hclm_runner import picture, store
from hclm_runner.config import SCHEMA_VERSION
from hclm_runner.records import COLUMNS

LAMS, SEEDS, EPOCHS = [0.0, 0.1, 3.0], [0, 1, 2], 12
BOUNDS = {"lam_min": 0.001, "lam_max": 10.0}
LAWS = {
    "fixed": {},
    "thermostat": {"kappa": 0.5, "setpoint": None, **BOUNDS},
    "rl_thermostat": {"kappa": 0.5, "setpoint": None, **BOUNDS, "lam_max": 20.0},
}


def _made_up() -> xr.Dataset:
    """Return a grid as `grid.load` gives it: each run's own level in each column, drifting over epochs."""
    rng = np.random.default_rng(0)
    axes = {
        "surrogate": ["softmax", "variance", "logdet"],
        "regime": list(LAWS),
        "lam0": LAMS,
        "seed": SEEDS,
        "epoch": range(EPOCHS + 1),
    }
    shape = [len(values) for values in axes.values()]
    runs = xr.Dataset({name: (list(axes), rng.uniform(1, 2, shape)) for name in COLUMNS}, axes)
    runs["force"] *= 10.0 ** -runs["lam0"]  # three decades
    runs["lam"].loc[{"regime": "fixed"}] = runs["lam0"]
    runs["force_ratio"] *= runs["lam"]
    runs["setpoint"] = runs["setpoint"] * 0 + 0.5 * np.log(4)
    runs["setpoint"].loc[{"regime": "fixed"}] = np.nan
    shared = {"epochs": EPOCHS} | {f"regime {name}": {"name": name, **law} for name, law in LAWS.items()}
    return runs.assign_attrs(missing=[], diverged=[], config=shared)


RUNS = _made_up()
NUMBERS = range(3, 33)
ROW = {row.number: row for row in figures.FIGURES}


@cache
def drawn(number: int) -> Figure:
    return figures.figures(RUNS)[number][1]()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A store on the disk that holds the same grid."""
    path = tmp_path / "small"
    _store(path, RUNS)
    return path


def _store(path: Path, runs: xr.Dataset, drop: int = 0, task: str = "gaussian_mixture") -> None:
    records = runs.to_dataframe().reset_index()
    places = ["surrogate", "regime", "lam0", "seed"]
    records["run_id"] = task + records[places].astype(str).agg("/".join, axis=1)
    described = records.groupby("run_id", sort=False)[places].first().reset_index()[: -drop or None]
    records = records[records["run_id"].isin(described["run_id"])].assign(task=task)
    laws = [{"name": name, **LAWS[name]} for name in described["regime"]]
    configs = [
        {"surrogate": {"name": surrogate}, "regime": law, "epochs": EPOCHS}
        for surrogate, law in zip(described["surrogate"], laws, strict=True)
    ]
    described = described.assign(
        task=task,
        status="finished",
        rows=EPOCHS + 1,
        schema=SCHEMA_VERSION,
        config=[json.dumps(config) for config in configs],
    )
    store.prepare(path)
    store.write(path, records, described)


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


def _final(row: figures.Row, regime: str, column: str) -> np.ndarray:
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
    assert {row.number: row[1:] for row in figures.FIGURES} == wanted
    assert [row.number for row in figures.FIGURES] == list(range(5, 33))
    assert ROW[5].stem == "fig05_softmax_test_loss"
    assert ROW[22].stem == "fig22_logdet_fixed_test_loss"
    assert list(figures.figures(RUNS)) == list(NUMBERS)


@pytest.mark.parametrize("number", [5, 6, 8, 9, 10, 13, 18, 20])
def test_over_lam_mean_and_t_interval_of_the_final_values(number):
    row, axes = ROW[number], drawn(number).axes[0]
    curves = _curves(axes)
    for regime, name in (("fixed", "fixed"), ("thermostat", "thermostat"), ("rl_thermostat", "RL thermostat")):
        x, mean, band = curves[name]
        values = _final(row, regime, row.column)
        np.testing.assert_allclose(mean, values.mean(1), rtol=1e-12)
        np.testing.assert_allclose(x, LAMS, rtol=0.11, atol=0.01)
        for value, ends in zip(values, band, strict=True):
            if np.ptp(value) > 0:
                wanted = stats.t.interval(0.95, len(SEEDS) - 1, value.mean(), stats.sem(value))
                np.testing.assert_allclose(ends, wanted, rtol=1e-9)


@pytest.mark.parametrize("number", range(22, 33))
def test_over_epochs_mean_and_t_interval(number):
    row, axes = ROW[number], drawn(number).axes[0]
    lines = [line for line in axes.lines if re.fullmatch(r"[\d.]+", line.get_label())]
    assert [float(line.get_label()) for line in lines] == LAMS
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


def test_force_is_shown_beside_its_scale_free_ratio_where_surrogates_are_compared():
    for number in (7, 13, 18):
        force, ratio = drawn(number).axes
        assert "nats per unit of θ" in force.get_ylabel()
        _, mean, _ = _curves(ratio)["thermostat"]
        np.testing.assert_allclose(mean, _final(ROW[number], "thermostat", "force_ratio").mean(1))
        assert force.get_yscale() == "log"
    assert [len(drawn(number).axes) for number in (5, 23, 26, 30)] == [1, 1, 1, 1]
    narrow = RUNS.assign(force=RUNS["test_loss"])
    assert figures.draw(ROW[23], narrow).axes[0].get_yscale() == "linear"


def _levels(axes) -> dict[str, float]:
    """Return the thin horizontal lines by name."""
    return {text.get_text(): text.get_position()[1] for text in axes.texts}


def test_reference_lines():
    assert _levels(drawn(9).axes[0]) == {"λ min": 0.001, "λ max": 10.0}
    assert _levels(drawn(31).axes[0]) == {"λ min": 0.001, "λ max": 20.0}
    assert _levels(drawn(5).axes[0]) == pytest.approx({"log K": np.log(4)})
    assert drawn(9).axes[0].get_yscale() == "symlog"  # lam = 0 under `fixed`
    assert drawn(27).axes[0].get_yscale() == "log"
    for number in (8, 19):
        dotted = [line for line in drawn(number).axes[0].lines if line.get_linestyle() == ":" and len(line.get_xdata())]
        ends = [line.get_ydata()[-1] for line in dotted if np.isfinite(line.get_ydata()).any()]
        assert ends == pytest.approx([0.5 * np.log(4)] * 2)
    own = {**RUNS.attrs["config"], "regime thermostat": {"setpoint": 2.0, "kappa": 1.0, **BOUNDS}}
    assert _levels(figures.draw(ROW[5], RUNS.assign_attrs(config=own)).axes[0]) == {}  # log K is not known


def test_figures_3_and_4_have_the_exponents_of_the_scaling_model():
    def slopes(number: int) -> dict[str, float]:
        lines = drawn(number).axes[0].lines
        return {line.get_label().split(",")[0]: np.polyfit(*np.log(line.get_data()), 1)[0] for line in lines}

    assert slopes(3) == pytest.approx({"injection": 1, "weak": 0.5, "balanced": 1, "excessive": 1.5})
    assert slopes(4) == pytest.approx({"weak": 0.5, "balanced": 0, "excessive": -0.5}, abs=1e-9)


def test_each_seed_on_request():
    for number, curves in ((5, 3), (25, len(LAMS))):
        plain, with_seeds = (figures.draw(ROW[number], RUNS, seeds).axes[0] for seeds in (False, True))
        assert len(with_seeds.lines) - len(plain.lines) == curves * len(SEEDS)
    assert figures.figures(RUNS, seeds=True)[5][0] == "fig05_softmax_test_loss_seeds"


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

    axes = figures.draw(ROW[16], runs).axes[0]
    (cross,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert list(cross.get_xdata()) == [0.1, 3.0]
    assert "3 diverged" in [text.get_text() for text in axes.texts]
    _, mean, _ = _curves(axes)["fixed"]
    values = _final(ROW[16], "fixed", "test_loss")
    np.testing.assert_allclose(mean, [values[0].mean(), values[1, 1:].mean(), values[2, 0]])

    axes = figures.draw(ROW[22], runs).axes[0]
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
        figures.draw(ROW[number], everything)  # an empty figure, no failure


def test_an_incomplete_grid_is_refused_or_marked(folder, tmp_path, capfd):
    broken = tmp_path / "broken"
    _store(broken, RUNS, drop=2)
    assert figures.main([str(broken)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert "logdet / rl_thermostat, lam0 3, seed 2" in err
    assert not list(broken.glob("figures/fig*"))

    assert figures.main([str(broken), "--incomplete", "--only", "17"]) == 0
    assert "incomplete: 79 of 81 runs" in (broken / "figures" / "fig17_logdet_gap.svg").read_text()
    assert figures.main([str(folder), "--only", "17"]) == 0
    assert "incomplete" not in (folder / "figures" / "fig17_logdet_gap.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--only", "5", "40"], "--only=40: expected numbers from 3 to 32"),
        (["--task", "digits"], "task=digits: expected one of gaussian_mixture"),
    ],
)
def test_what_does_not_exist_is_refused_in_one_line(folder, arguments, named, capfd):
    assert figures.main([str(folder), *arguments]) == 2
    assert capfd.readouterr().err == f"error: {named}\n"


def test_a_store_that_does_not_exist(tmp_path, capfd):
    assert figures.main([str(tmp_path / "nowhere")]) == 2
    err = capfd.readouterr().err
    assert err.startswith("error: store=")
    assert len(err.splitlines()) == 1


def test_only_what_is_stale_is_drawn_again(folder, capfd):
    out = folder / "figures"

    def draw(*options: str) -> list[str]:
        capfd.readouterr()
        assert figures.main([str(folder), "--only", *options]) == 0
        *said, where = capfd.readouterr().out.splitlines()
        assert where == f"  {out}/"
        return said

    assert draw("22", "5", "5") == ["2 figures drawn: 5, 22"]
    stems = ("fig05_softmax_test_loss", "fig22_logdet_fixed_test_loss")
    assert sorted(path.name for path in out.iterdir()) == [
        f"{s}.{kind}" for s in stems for kind in ("pdf", "png", "svg")
    ]
    assert draw("5", "22") == ["2 figures up to date: 5, 22"]
    assert draw("5", "--force") == ["1 figure drawn: 5"]
    (out / f"{stems[0]}.pdf").unlink()
    assert draw("5", "22") == ["1 figure drawn: 5", "1 figure up to date: 22"]
    assert draw("5", "--seeds") == ["1 figure drawn: 5"]  # in files of its own
    assert draw("5", "22", "--incomplete") == ["2 figures up to date: 5, 22"]
    (shard,) = (folder / "records").iterdir()
    os.utime(shard)
    assert draw("5") == ["1 figure drawn: 5"]


@pytest.mark.parametrize("module", [figures, grid, picture])
def test_a_figure_older_than_the_code_that_draws_it_is_stale(tmp_path, module):
    source, files = Path(module.__file__), [tmp_path / f"fig.{kind}" for kind in figures.KINDS]
    for path in files:
        path.touch()
    assert figures.is_current(files, [source])
    os.utime(files[1], ns=(0, source.stat().st_mtime_ns))
    assert not figures.is_current(files, [source])


def test_each_task_has_a_folder_of_its_own(folder, capfd):
    _store(folder, RUNS, task="digits")
    assert figures.main([str(folder), "--only", "3"]) == 2
    assert "one of digits, gaussian_mixture" in capfd.readouterr().err
    assert figures.main([str(folder), "--only", "3", "--task", "digits"]) == 0
    assert (folder / "figures" / "digits" / "fig03_rates.png").exists()


def test_the_store_written_here_is_the_grid_made_up_here(folder):
    loaded = grid.only(grid.load(folder), None)
    xr.testing.assert_equal(loaded, RUNS)
    assert loaded.attrs["missing"] == []
    assert loaded.attrs["config"].items() >= RUNS.attrs["config"].items()


@pytest.mark.slow
def test_the_command_draws_the_same_bytes_in_another_process(folder, tmp_path):
    runs = grid.only(grid.load(folder), None)
    command = [sys.executable, "-m", "experiments.figures", str(folder), "--out", str(tmp_path / "there")]
    done = subprocess.run([*command, "--only", "3", "7", "24"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "here").mkdir()
    for number in (3, 7, 24):
        stem, draw = figures.figures(runs)[number]
        for path in picture.save(draw(), tmp_path / "here" / stem, figures.KINDS, dpi=300):
            assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes(), path.name
