"""The comparison with the obvious: what is drawn, what is chosen at which budget, when a method helps, and its command."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.__main__ import main
from experiments.baselines import page
from experiments.baselines.figure import draw
from experiments.baselines.judged import COSTS, HARMS, HELPS, OPEN, against, interquartile, luck, result, tuned
from experiments.baselines.methods import COMMON, METHODS, Prior
from experiments.baselines.tuning import CRITERION, FIRST, affordable, configurations, curve, draws, scores, worth
from experiments.claims.statistics import WORST
from hclm_runner import configure, train
from hclm_runner.refusal import ConfigError

STEPS = 4
SMALL = ["task.train=32", "task.feedback=32", "task.test=32", "batch_size=16"]


# --- what is drawn --------------------------------------------------------------------------------------------------


def test_a_prior_is_its_quantile_function():
    u = np.random.default_rng(0).random(4000)
    for prior, law in (
        (Prior("log-uniform", (0.01, 10.0)), stats.loguniform(0.01, 10)),
        (Prior("uniform", (2.0, 5.0)), stats.uniform(2, 3)),
    ):
        values = np.array([prior.at(each) for each in u])
        np.testing.assert_allclose(values, law.ppf(u), rtol=1e-3)  # to 4 digits
    counts = np.bincount([int(COMMON["epochs"].at(each)) for each in u])
    assert counts[counts > 0] == pytest.approx([4000 / 3] * 3, abs=4 * 30)  # four standard errors of a count


def test_every_prior_has_a_range_and_every_method_can_be_configured():
    for method in METHODS.values():
        for prior in (*COMMON.values(), *method.own.values()):
            assert len(prior.points) >= 2
            assert [*prior.points] == sorted(set(prior.points))
            assert prior.kind != "log-uniform" or prior.points[0] > 0
    runs = configurations([each[0] for name, each in draws(METHODS, 1).items() if METHODS[name].reads is None], [3])
    assert len({run.run_id for run in runs}) == len(runs) == sum(each.reads is None for each in METHODS.values())
    assert {run.seed for run in runs} == {3}


def test_all_methods_draw_the_same_quantiles_and_more_draws_leave_the_first_as_they_are():
    drawn, more = draws(METHODS, 3), draws(METHODS, 9)
    for name, each in drawn.items():
        assert more[name][:3] == each
        assert [[draw.settings[key] for key in COMMON] for draw in each] == [
            [draw.settings[key] for key in COMMON] for draw in drawn["none"]
        ]
    assert drawn["early_stopping"] == drawn["none"], "it reads the same runs"


# --- what is chosen -------------------------------------------------------------------------------------------------


def made_up(drawn, values, seeds=range(FIRST, FIRST + 3), **columns) -> pd.DataFrame:
    """Return worths of the draws, their criterion values(method, place, view)."""
    own = {(draw.method, draw.place) for each in drawn.values() for draw in each}
    rows = [
        {"method": method, "draw": place, "seed": seed, "view": view, CRITERION: values(method, place, view)}
        for method, place in sorted(own)
        for seed in seeds
        for view in ("end", "chosen")
    ]
    return pd.DataFrame(rows).assign(**columns)


def test_the_draw_of_least_criterion_is_chosen_among_those_that_the_budget_affords():
    drawn = draws(["none", "early_stopping", "sam"], 6)
    worths = made_up(drawn, lambda _, place, view: 6.0 - place if view == "end" else 1.0 + place)
    chosen = tuned(worths, drawn, STEPS)
    spent = [int(draw.settings["epochs"]) * STEPS for draw in drawn["none"]]
    fits = max(k for k in range(7) if 2 * sum(spent[:k]) <= sum(spent))
    assert 0 < fits < 5
    assert {name: each.draw.place for name, each in chosen["trials"].items()} == {
        "none": 5,
        "early_stopping": 0,
        "sam": 5,
    }
    assert {name: each.draw.place for name, each in chosen["gradients"].items()} == {
        "none": 5, "early_stopping": 0, "sam": fits - 1,
    }  # fmt: skip
    assert chosen["trials"]["sam"].gradients == 2 * chosen["trials"]["none"].gradients == 2 * sum(spent)
    assert chosen["gradients"]["sam"].gradients <= sum(spent)
    assert affordable(drawn["sam"], 1, STEPS) == 1, "one at least"
    assert scores(worths, "early_stopping").tolist() == [1, 2, 3, 4, 5, 6]


def test_what_a_run_is_worth_is_read_from_its_last_rows_and_from_the_epoch_of_least_feedback_loss():
    records = train(configure(*SMALL, "epochs=9")).frame()
    found = worth(records, False)
    best = records[1:].sort_values("feedback_loss").iloc[0]
    assert found["chosen"]["loss"] == best["test_loss"]
    assert found["chosen"][CRITERION] == best["feedback_scaled_loss"]
    assert found["end"]["ece"] == pytest.approx(records["test_ece"][-5:].mean(), rel=1e-14)
    assert found["end"]["scaled_loss"] == records["test_scaled_loss"].iloc[-1]
    lost = worth(records, True)["end"]
    assert (lost["loss"], lost["accuracy"], lost[CRITERION]) == (WORST, -WORST, WORST)


def test_the_band_of_a_tuning_curve_covers_and_a_narrower_one_does_not(monkeypatch):
    """Scores are uniform, so the best of k has its median at 1 - 2^(-1/k)."""
    n, repetitions = 8, 400
    rng = np.random.default_rng(0)
    samples = rng.random((repetitions, n))
    truth = [1 - 0.5 ** (1 / k) for k in range(1, n + 1)]

    def covered() -> float:
        inside = [
            all(
                (point["low"] or 0) <= true and (point["high"] is None or true <= point["high"])
                for point, true in zip(curve(sample), truth, strict=True)
            )
            for sample in samples
        ]
        return float(np.mean(inside))

    assert covered() >= 0.95 - 2 * 0.011  # two standard errors of 400; it is of all levels, and here are eight
    reach = stats.kstwo.ppf(0.95, n)
    monkeypatch.setattr("experiments.baselines.tuning.CONFIDENCE", stats.kstwo.cdf(reach / 2, n))
    assert covered() < 0.9


def test_a_tuning_curve_falls_and_its_band_holds_it():
    points = curve(np.random.default_rng(1).random(20))
    best = [point["best"] for point in points]
    assert best == sorted(best, reverse=True)
    assert best[0] == np.sort(np.random.default_rng(1).random(20))[9], "the median of one draw"
    assert all((point["low"] or 0) <= point["best"] <= (point["high"] or 1) for point in points)
    assert points[-1]["low"] is None, "so few draws do not bound what a better one would bring"


# --- when a method helps --------------------------------------------------------------------------------------------


def values(loss: float, accuracy: float, seed: int = 0, n: int = 12) -> dict[str, np.ndarray]:
    """Return what a method is worth on n seeds: how hard a data set is moves all methods."""
    hard = np.random.default_rng(0).normal(size=n)
    noise = np.random.default_rng(seed).normal(size=(2, n)) / 100
    return {"scaled_loss": loss + hard + noise[0], "accuracy": accuracy - hard / 10 + noise[1]}


def test_a_method_helps_if_its_scaled_loss_is_lower_and_its_accuracy_is_not():
    given = {
        "none": values(1.0, 0.7, 1),
        "temperature": values(0.5, 0.9, 2),
        "dropout": values(0.8, 0.7, 3),
        "sam": values(0.8, 0.6, 4),
        "vib": values(1.3, 0.8, 5),
        "logdet": values(1.0, 0.9, 6),
    }
    found = against(given, "none")
    assert {name: each["verdict"] for name, each in found.items()} == {
        "dropout": HELPS, "sam": COSTS, "vib": HARMS, "logdet": OPEN,
    }, "a temperature leaves the scaled loss what it was: no verdict"  # fmt: skip
    assert found["dropout"]["scaled_loss"]["value"] == pytest.approx(-0.2, abs=0.01)
    reverse = against(given, "vib")
    assert reverse["none"]["verdict"] == COSTS


def test_a_difference_that_holm_does_not_keep_is_none():
    """Twelve methods alike but for noise, and one whose p-value alone is below 5%."""
    rng = np.random.default_rng(2)
    none = {"scaled_loss": np.zeros(8), "accuracy": np.zeros(8)}
    lower = np.array([-1.0, -1, -1, -1, -1, -1, -1, 0.2])
    names = [name for name in METHODS if name != "none" and not METHODS[name].scaled]
    given = {name: {"scaled_loss": rng.normal(size=8), "accuracy": np.zeros(8)} for name in names}
    given["sam"]["scaled_loss"] = lower
    assert against({"none": none, "sam": given["sam"]}, "none")["sam"]["verdict"] == HELPS
    assert against({"none": none, **given}, "none")["sam"]["verdict"] == OPEN


def test_a_run_that_diverged_is_the_worst_and_no_method_is_shown_to_help_by_it():
    better, none = values(0.8, 0.7, 3), values(1.0, 0.7, 1)
    better["scaled_loss"][4] = WORST
    assert against({"none": none, "dropout": better}, "none")["dropout"]["verdict"] == OPEN


def test_luck_is_the_share_of_resampled_draws_in_which_the_choice_is_better():
    """Theirs is better in the first of four draws, which a resample has with probability 1 - (3/4)^4, and else worse."""
    ours, theirs = np.full(4, 1.0), np.array([0.5, 2.0, 2.0, 2.0])
    assert luck((ours, ours), (theirs, theirs)) == pytest.approx(0.75**4, abs=0.02)  # four standard errors of 10 000
    assert luck((ours, ours), (theirs + 1, theirs + 1)) == 1
    misled = np.array([3.0, 1.0, 1.0, 1.0])  # the criterion prefers what is worse on the test split
    assert luck((ours, ours), (misled, theirs)) == pytest.approx(1 - 0.25**4, abs=0.02)


def test_the_interquartile_mean_is_that_of_the_middle_half():
    v = np.array([100.0, 1, 2, 3, 4, 5, 6, -100])
    found = interquartile(v)
    assert found.value == (2 + 3 + 4 + 5) / 4
    assert found.low < found.value < found.high
    assert np.isnan(interquartile(np.array([1.0, np.nan])).value)


# --- what is shown --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    """What is found of made-up worths, in which dropout is better than all, and log-det is worse."""
    drawn = draws(METHODS, 4)
    level = {"dropout": -0.2, "logdet": 0.2}
    noise = np.random.default_rng(0)

    def of(method, place, view):
        return 1.0 + 0.01 * place + level.get(method, 0.0) + noise.normal() / 1000 - (0.01 if view == "chosen" else 0)

    tuning, fresh = (made_up(drawn, of, seeds) for seeds in (range(FIRST, FIRST + 2), range(10)))
    same = {"accuracy": 0.7, "ece": 0.1, "reward": 0.5}
    tuning, fresh = (
        each.assign(loss=each[CRITERION] + 1, scaled_loss=each[CRITERION], **same) for each in (tuning, fresh)
    )
    about = {"task": "gaussian_mixture", "seeds": 10, "tuning_seeds": 2, "steps": STEPS}
    return about | result(tuning, fresh, drawn, STEPS)


def test_the_page_says_what_the_numbers_say(found):
    text = page.text(found)
    said = " ".join(text.split())
    assert "- Against no method. Better: early stopping and dropout. Worse: logdet." in said
    assert "Use dropout, tuned with its learning rate" in said
    assert "None of the paper's methods is." in said
    assert "logdet 16" in said
    assert all(max(map(len, block.splitlines())) <= 130 for block in text.split("\n\n") if block[0] not in "|!")
    nothing = json.loads(json.dumps(found).replace('"verdict": "helps"', '"verdict": "no difference shown"'))
    assert "Stop early: keep the epoch of least loss" in page.text(nothing)


def test_the_page_has_what_came_out_on_other_data(found):
    worse = json.loads(json.dumps(found).replace('"verdict": "helps"', '"verdict": "worse"'))
    few = {budget: {name: rows[name] for name in ("none", "logdet")} for budget, rows in found["budgets"].items()}
    text = page.text(found, [worse | {"task": "digits"}, found | {"task": "wine", "budgets": few}])
    section = " ".join(text[text.index("## On other data") :].split())
    assert "- On digits. Against early stopping." in section
    assert "- On wine. Against no method. Worse: logdet." in section
    dropout = next(line for line in section.split("| dropout |")[1:])
    assert ", worse |  |" in dropout or ", worse | |" in dropout, "wine has no runs of it"
    assert "## On other data" not in page.text(found)


def test_the_figure_has_a_line_for_each_method_and_a_panel_for_each_curve(found):
    figure = draw(found)
    forest, accuracy, *curves = figure.axes
    assert [tick.get_text() for tick in forest.get_yticklabels()] == [name.replace("_", " ") for name in METHODS]
    assert [axes.get_title() for axes in curves if axes.get_visible()] == [
        name.replace("_", " ") for name in METHODS if name != "temperature"
    ]
    assert accuracy.get_xlabel() == "test accuracy"


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_tunes_judges_and_draws_and_then_trains_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    given = [
        "baselines",
        *SMALL,
        "sweep.workers=1",
        "--name",
        "small",
        "--draws",
        "2",
        "--seeds",
        "6",
        "--tuning-seeds",
        "1",
    ]
    given += ["--methods", "early_stopping", "temperature", "sam", "vib"]
    main(given)
    out = capfd.readouterr().out
    folder = tmp_path / "outputs/small"
    found = json.loads((folder / "baselines.json").read_text())
    assert [*found["budgets"]["trials"]] == ["none", "temperature", "early_stopping", "sam", "vib"]
    assert all(row["runs"] == 6 for rows in found["budgets"].values() for row in rows.values())
    assert "equal trials: interquartile means over 6 fresh seeds" in out
    assert all((folder / f"baselines.{kind}").stat().st_size > 10_000 for kind in ("png", "pdf"))
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(page, "PICTURE", tmp_path / "picture.png")
    main([*given, "--page"])
    assert (tmp_path / "page.md").read_text() == page.text(found)
    assert (tmp_path / "picture.png").read_bytes() == (folder / "baselines.png").read_bytes()
    main(given)
    assert json.loads((folder / "baselines.json").read_text()) == found


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["epochs=3"], "error: epochs: expected no value: the experiment sets data_seed, dropout, epochs, lam"),
        (["task.train=0"], "error: task.train=0"),
        (["--page", "--name", "none_such"], "error: "),
    ],
)
def test_what_is_refused_is_one_line(arguments, line, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["baselines", *arguments])
    err = capfd.readouterr().err
    assert stop.value.code == 2
    assert err.startswith(line), err
    assert err.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_too_few_seeds_and_unknown_methods_are_refused(capfd):
    for arguments, said in (
        (["--seeds", "5"], "expected 6 to 1000, got 5"),
        (["--methods", "magic"], "invalid choice"),
    ):
        with pytest.raises(SystemExit):
            main(["baselines", *arguments])
        assert said in capfd.readouterr().err


def test_a_task_without_classes_is_refused(user_module, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    source = "from hclm_runner import Task\ndef line(rng):\n    x = rng.normal(size=(64, 2))\n    return Task(*[(x, x)] * 3, classes=None)\n"
    with pytest.raises(SystemExit):
        main(["baselines", f"task={user_module(source)}.line"])
    assert capfd.readouterr().err.startswith("error: task=line: expected a task of classes")


def test_an_override_that_the_experiment_sets_is_refused():
    with pytest.raises(ConfigError, match="rho: expected no value"):
        configurations(draws(["none"], 1)["none"], [0], ["rho=0.1"])
