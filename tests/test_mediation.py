"""The mediation experiment: what it draws, its statistics, its verdicts where the truth is known, and its command."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

from experiments import mediation
from experiments.__main__ import main
from experiments.claims.judge import INCONCLUSIVE, REFUTED, SUPPORTED, judge
from experiments.claims.statistics import quotient
from experiments.mediation import ARMS, DESIGNS, OUTCOMES, Runs, of_force, of_outcome, share, slope
from hclm_runner import configure, train
from hclm_runner.refusal import ConfigError

LOG_K = np.log(4)
EPOCHS = 12


def made_up(held: float, natural: float = -1.0, response: float = 0.0, seeds: int = 40, noise: float = 0.1) -> Runs:
    """Return runs whose gap falls by so many nats a decade of lam from 3 nats, with and without a force that responds."""
    rng = np.random.default_rng(1)
    own = noise * rng.normal(size=seeds)  # how hard a data set is, in all arms
    design = DESIGNS["logdet"]
    of_lam, of_c = mediation.drawn(seeds)
    dose = {"natural": design.lam(of_lam), "held": design.lam(of_lam), "dosed": design.lam(of_c)}
    measured = {}
    for arm, effect in {"natural": natural, "held": held, "dosed": held}.items():
        x = np.log10(dose[arm] / design.middle)
        gap = 3 + effect * x + own + 0.05 * rng.normal(size=seeds)
        columns = {
            "gap": gap,
            "test_loss": gap + 0.01,
            "test_accuracy": 0.6 - 0.1 * effect * x,
            "train_loss": 0.01 + 0 * x,
        }
        columns |= {"feedback_loss": gap, "force": 1.4 * 10 ** (response * x)}
        over_epochs = {
            name: (("seed", "epoch"), np.repeat(each[:, None], EPOCHS + 1, 1)) for name, each in columns.items()
        }
        measured[arm] = xr.Dataset(over_epochs, {"seed": range(seeds), "epoch": range(EPOCHS + 1)})
    return Runs(dose, measured)


def verdicts(runs: Runs, outcome: str = "gap") -> dict[str, str]:
    return {
        row["question"]: row["verdict"] for row in mediation.judged(runs, "logdet") if row["outcome"] in (outcome, None)
    }


# --- what is drawn --------------------------------------------------------------------------------------------------


def test_natural_and_held_have_the_same_lam_on_the_same_data_and_dosed_one_lam_alone():
    runs = mediation.configurations(8)
    assert len(runs) == len(DESIGNS) * len(ARMS) * 8
    assert len({run.run_id for run in runs}) == len(runs)
    for i, (surrogate, design) in enumerate(DESIGNS.items()):
        natural, held, dosed = (runs[8 * (3 * i + j) : 8 * (3 * i + j + 1)] for j in range(3))
        assert {run.surrogate.name for run in (*natural, *held, *dosed)} == {surrogate}
        assert [run.seed for run in natural] == [run.seed for run in held] == [run.seed for run in dosed] == [*range(8)]
        assert [run.lam for run in natural] == [run.lam for run in held]
        assert {run.clamp for run in natural} == {None}
        assert {run.clamp for run in held} == {design.c}
        assert {run.lam for run in dosed} == {design.middle}
        assert len({run.clamp for run in dosed}) == 8
        pushes = np.array([run.lam * run.clamp for run in dosed]) / design.c
        np.testing.assert_allclose(pushes, design.lam(mediation.drawn(8)[1]), rtol=2e-3)


def test_lam_is_log_uniform_and_more_seeds_leave_the_first_ones_as_they_are():
    design = DESIGNS["variance"]
    of_lam, of_c = mediation.drawn(2000)
    assert np.array_equal(mediation.drawn(60)[0], of_lam[:60])
    assert abs(np.corrcoef(of_lam, of_c)[0, 1]) < 0.05
    lam = design.lam(of_lam)
    assert design.low <= lam.min() < lam.max() <= design.high
    quarters = np.histogram(np.log(lam), 4, (np.log(design.low), np.log(design.high)))[0]
    assert (np.abs(quarters - 500) < 80).all()


def test_a_step_has_only_the_product_of_lam_and_a_held_force():
    small = ["epochs=3", "task.train=64", "task.feedback=64", "task.test=64", "dtype=float64", "batch_size=32"]
    runs = [configure(*small, lam=lam, clamp=c) for lam, c in ((0.02, 3.0), (0.06, 1.0), (0.02, 1.0))]
    same, also, other = map(torch.from_numpy, train(runs).theta)
    torch.testing.assert_close(same, also, rtol=1e-9, atol=1e-9)
    assert (same - other).abs().max() > 1e-3


# --- the statistics -------------------------------------------------------------------------------------------------


def test_the_slope_is_that_of_least_squares_and_what_sign_flips_judge():
    rng = np.random.default_rng(0)
    x, y, over = rng.normal(size=(3, 30))
    over = over + 5
    expected = np.polyfit(x, y, 1)[0] / over.mean()
    assert slope(np.stack([x, y, over])) == pytest.approx(expected)
    part = mediation.effect("", x, y, over, "<", 0.0)
    assert quotient(np.stack(part.contrast)) == pytest.approx(expected)
    resampled = rng.integers(0, 30, size=(4, 30))
    each = [np.polyfit(x[i], y[i], 1)[0] / over[i].mean() for i in resampled]
    np.testing.assert_allclose(slope(np.stack([x, y, over])[:, resampled]), each)
    held = rng.normal(size=30)
    assert share(np.stack([x, y, held])) == pytest.approx(1 - np.polyfit(x, held, 1)[0] / np.polyfit(x, y, 1)[0])


def test_the_interval_of_a_slope_covers_it():
    def covers(i: int) -> bool:
        rng = np.random.default_rng(i)
        x = rng.random(40) * 1.5
        y = 3 - 0.9 * x + (0.2 + 0.3 * x) * rng.normal(size=40)
        estimate = judge([mediation.effect("", x, y, np.ones(40), "<", 0.0)], 100).estimate
        return bool(estimate.low <= -0.9 <= estimate.high)

    assert 0.9 <= np.mean([covers(i) for i in range(150)]) <= 0.99


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (made_up(held=0.0), {"total": SUPPORTED, "held": REFUTED, "dosed": REFUTED, "share": SUPPORTED}),
        (made_up(held=-1.0), {"total": SUPPORTED, "held": SUPPORTED, "dosed": SUPPORTED, "share": REFUTED}),
        (made_up(held=-1.6), {"total": SUPPORTED, "held": SUPPORTED, "dosed": SUPPORTED, "share": REFUTED}),
        (made_up(held=-0.5), {"total": SUPPORTED, "held": SUPPORTED, "share": INCONCLUSIVE}),
        (made_up(held=0.0, natural=0.0), {"total": REFUTED, "held": REFUTED, "share": INCONCLUSIVE}),
    ],
    ids=["all through the force", "none", "the force works against it", "half", "no effect"],
)
def test_verdicts_where_the_truth_is_known(runs, expected):
    found = verdicts(runs)
    assert {name: found[name] for name in expected} == expected
    assert found["product"] == SUPPORTED, "held and dosed have one slope here"


def test_where_lam_has_no_effect_its_share_is_said_to_be_unsettled():
    rows = list(mediation.judged(made_up(held=0.0, natural=0.0), "logdet"))
    (share_of_gap,) = (row for row in rows if (row["question"], row["outcome"], row["view"]) == ("share", "gap", "end"))
    assert "not settled, because lam has no such effect" in share_of_gap["sentence"]


@pytest.mark.parametrize(("response", "verdict"), [(-0.3, SUPPORTED), (0.0, REFUTED)])
def test_the_response_of_the_force_to_lam(response, verdict):
    part = of_force(made_up(-1.0, response=response))["response"]
    found = judge([part], 200)
    assert found.verdict == verdict
    assert found.estimate.value == pytest.approx(response, abs=1e-9)


def test_the_fall_of_force_is_that_of_claim_x2():
    runs = made_up(-1.0)
    force = runs.measured["natural"]["force"]
    peak = (runs.dose["natural"] / 0.01) ** 0.4  # rises with lam; the end is the same
    force[:, 3] = force[:, 3] * peak
    found = judge([of_force(runs)["collapse"]], 200)
    fallen = np.log10(np.maximum(peak, 1))
    expected = np.polyfit(np.log10(runs.dose["natural"]), fallen, 1)[0]
    assert found.estimate.value == pytest.approx(expected)


def test_arms_that_disagree_are_found():
    runs = made_up(held=-1.0)
    runs.measured["dosed"]["gap"] = 6 - runs.measured["dosed"]["gap"]
    part = of_outcome(runs, "end", "gap")["product"]
    assert judge([part], 500).verdict == REFUTED
    assert part.structural


# --- collapse -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["nothing learnt", "diverged"])
@pytest.mark.parametrize("arm", ARMS)
def test_all_arms_end_below_the_least_dose_at_which_a_run_collapsed(arm, how):
    runs = made_up(-1.0)
    assert len(runs.kept(LOG_K).dose["held"]) == 40, "none collapsed: all are kept"
    at = int(np.argsort(runs.dose[arm])[30])
    loss = runs.measured[arm]["train_loss"]
    loss[at, 4:] = np.nan if how == "diverged" else 0.91 * LOG_K
    limit, kept = runs.dose[arm][at], runs.kept(LOG_K)
    together = (runs.dose["natural"] < limit) & (runs.dose["dosed"] < limit)
    for each in ARMS:
        assert kept.dose[each].tolist() == runs.dose[each][together].tolist()
        assert kept.measured[each]["seed"].to_numpy().tolist() == np.flatnonzero(together).tolist()
    loss[at, 4:] = 0.89 * LOG_K
    assert len(runs.kept(LOG_K).dose["held"]) == 40, "close to it is no collapse"


def test_too_few_runs_below_a_collapse_are_refused_by_the_surrogates_name():
    runs = made_up(-1.0)
    runs.measured["natural"]["train_loss"][:] = LOG_K
    with pytest.raises(
        ConfigError, match="logdet: expected 6 seeds or more below the least dose that collapses, got 0"
    ):
        list(mediation.judged(runs.kept(LOG_K), "logdet"))


# --- the command ----------------------------------------------------------------------------------------------------

TINY = [
    "epochs=8",
    "batch_size=16",
    "task.train=64",
    "task.separation=4",
    "task.feedback=32",
    "task.test=32",
    "sweep.workers=1",
]


@pytest.mark.slow
def test_the_command_trains_judges_and_draws_and_then_trains_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    main(["mediation", *TINY, "--seeds", "6", "--name", "small"])
    out = capfd.readouterr().out
    assert all(f"\n{name}: " in out for name in DESIGNS)
    folder = tmp_path / "outputs/small"
    found = json.loads((folder / "mediation.json").read_text())
    assert {row["question"] for row in found["rows"]} == {
        "total",
        "held",
        "dosed",
        "share",
        "product",
        "response",
        "collapse",
    }
    assert len(found["rows"]) == len(DESIGNS) * (2 + 2 * len(OUTCOMES) * 5)
    assert all((folder / f"mediation.{kind}").stat().st_size > 10_000 for kind in ("png", "svg"))
    main(["mediation", *TINY, "--seeds", "6", "--name", "small"])
    assert json.loads((folder / "mediation.json").read_text()) == found
    assert "nothing" in (again := capfd.readouterr()).out + again.err or "54" in again.out


def test_a_dry_run_trains_and_writes_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    main(["mediation", *TINY, "sweep.dry_run=true", "--seeds", "6"])
    captured = capfd.readouterr()
    assert "54" in captured.out + captured.err
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["lam=1"], "error: lam: expected no value: the experiment sets surrogate, regime, lam"),
        (["epochs=x"], "error: epochs=x"),
    ],
)
def test_what_is_refused_is_one_line(arguments, line, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["mediation", *arguments])
    err = capfd.readouterr().err
    assert stop.value.code == 2
    assert err.startswith(line), err
    assert err.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_a_task_without_classes_is_refused(user_module):
    source = "from hclm_runner import Task\ndef line(rng):\n    x = rng.normal(size=(64, 2))\n    return Task(*[(x, x)] * 3, classes=None)\n"
    with pytest.raises(ConfigError, match="a task of classes"):
        mediation.guessing_loss(configure(f"task={user_module(source)}.line"))
