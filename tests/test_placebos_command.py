"""The placebos of a store: whose run each twin repeats, its verdicts where the truth is known, and its command."""

import json

import numpy as np
import pandas as pd
import pytest
import synthetic
import xarray as xr

from experiments import placebos
from experiments.__main__ import main
from experiments.claims.claim import VIEWS
from experiments.claims.judge import COLLAPSE, REFUTED, SUPPORTED, judge
from experiments.placebos import OUTCOMES, PLACEBOS, compared, others, pairs
from hclm_runner import configure, store
from hclm_runner.records import describe
from hclm_runner.refusal import ConfigError
from hclm_runner.training.trainer import train

LOG_K = np.log(4)

# --- whose run is repeated ----------------------------------------------------------------------------------------------


def described(places, diverged=()) -> pd.DataFrame:
    """Return the runs of a method: (lam0, data_seed, seed) each, by an id that says it."""
    rows = [(f"{lam}/{data}/{seed}", lam, data, seed) for lam, data, seed in places]
    frame = pd.DataFrame(rows, columns=["run_id", "lam0", "data_seed", "seed"]).assign(label="logdet / thermostat / x")
    return frame.assign(status=["diverged" if row[0] in diverged else "finished" for row in rows])


def test_the_next_seed_on_the_same_data_is_repeated_in_a_circle():
    runs = described([(lam, data, seed) for lam in (1, 3) for data in (7, 8) for seed in (2, 0, 11)])
    found = others(runs, "s")
    assert found["1/7/0"] == "1/7/2"
    assert found["1/7/2"] == "1/7/11"
    assert found["1/7/11"] == "1/7/0"
    assert found["3/8/11"] == "3/8/0"
    assert len(set(found.values())) == len(runs), "each is repeated once"


def test_the_training_seeds_of_a_data_set_stand_together():
    places = [(lam, data, seed) for lam in (3, 1) for data in (8, 7) for seed in (2, 0)]
    table = placebos._table(described(places), "mine", "s")
    assert list(table.columns) == [(7, 0), (7, 2), (8, 0), (8, 2)]
    assert table.to_numpy()[0].tolist() == ["1/7/0", "1/7/2", "1/8/0", "1/8/2"]
    with pytest.raises(ConfigError, match="store=s: expected as many seeds of each data_seed of mine"):
        placebos._table(described([*places, (3, 8, 5), (1, 8, 5)]), "mine", "s")


def test_without_another_seed_on_the_same_data_it_is_that_of_the_next_data_set():
    runs = described([(1, seed, seed) for seed in range(3)], diverged=["1/1/1"])
    assert others(runs, "s") == {"1/0/0": "1/2/2", "1/1/1": "1/2/2", "1/2/2": "1/0/0"}
    with pytest.raises(
        ConfigError, match="store=s: expected two seeds that finished of logdet / thermostat / x, lam0 1"
    ):
        others(runs[:2], "s")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    """A store of the paper's surrogates and laws, of runs that were never trained."""
    folder = tmp_path_factory.mktemp("source") / "made_up"
    return str(synthetic.write(folder, seeds=range(6), overrides=["feedback.w=0.5"]))


def runs_of(source: str) -> pd.DataFrame:
    runs = store.load(source)[1]
    return runs[runs["surrogate"] == "logdet"]


def test_a_twin_is_the_run_itself_but_for_one_thing(source):
    runs = runs_of(source)
    found = pairs(runs, source)
    methods = {(pair.method["law"], pair.placebo) for pair in found}
    assert methods == {("thermostat", name) for name in ("yoked", "mean_matched", "shuffled")} | {
        ("rl_thermostat", name) for name in ("yoked_feedback", "no_feedback")
    }
    assert len(found) == 5
    known = runs.set_index("run_id")
    for pair in found:
        group = PLACEBOS[pair.placebo].group
        assert pair.draws == 1
        for run_id, twin in zip(pair.real.ravel(), pair.twins, strict=True):
            own, options = known.loc[run_id], getattr(twin, group).options
            if pair.placebo == "no_feedback":
                assert "run" not in options
            else:
                other = known.loc[options["run"]]
                assert (other["label"], other["lam0"]) == (own["label"], own["lam0"])
                assert other["seed"] == (own["seed"] + 1) % 6
            differs = {key for key, value in json.loads(own["config"]).items() if twin.as_dict()[key] != value}
            assert differs == {group}
            assert twin.feedback.options["w"] == 0.5, "the price of over-confidence stays that of the run"
    assert len({twin.run_id for pair in found for twin in pair.twins}) == sum(len(pair.twins) for pair in found)


def test_what_hears_no_feedback_is_a_thermostat(tmp_path):
    small = ["epochs=6", "task.train=64", "task.feedback=32", "task.test=32", "regime.warmup=1", "lam=0.3"]
    for policy in ("critique", "reinforce"):
        deaf = configure(*small, "regime=rl_thermostat", f"regime.policy={policy}", "feedback.observe=0")
        plain = configure(*small, "regime=thermostat")
        ours, theirs = (train([run]).frame() for run in (deaf, plain))
        np.testing.assert_array_equal(ours["lam"], theirs["lam"])
        np.testing.assert_array_equal(ours["test_brier"], theirs["test_brier"])


def test_a_configuration_from_before_an_option_was_new_is_the_same_run(source):
    row = runs_of(source).iloc[0]
    config = json.loads(row["config"])
    del config["clamp"], config["model"]["activation"], config["sweep"]["dry_run"]
    from hclm_runner.config import RunConfig

    assert RunConfig.model_validate(placebos._today(config)).run_id == row["run_id"]


def test_a_store_that_cannot_be_paired_is_refused(source):
    runs = runs_of(source)
    cases = {
        "runs under a law that moves lam, of which yoked is a placebo": runs[runs["regime"] == "fixed"],
        "the same seeds at each base lam of logdet / thermostat": runs.drop(
            runs[(runs["regime"] == "thermostat") & (runs["lam0"] == 0.1) & (runs["seed"] == 3)].index
        ),
        "runs of today's parts, but": runs.assign(
            config=[text.replace('"momentum": 0.9', '"momentum": 0.8') for text in runs["config"]]
        ),
    }
    for words, given in cases.items():
        with pytest.raises(ConfigError, match=words):
            pairs(given, source, ["yoked"])


# --- verdicts -----------------------------------------------------------------------------------------------------------


def made_up(gap: float, accuracy: float, train_loss: float = 0.1, seeds: int = 10) -> xr.Dataset:
    """Return runs of two base lam, whose columns scatter about these by 1%; the data sets are the same in each call."""
    own = 1 + 0.01 * np.random.default_rng(0).normal(size=(2, seeds, 1))
    shape = (2, seeds, 8)
    columns = {
        "gap": gap * own,
        "test_scaled_loss": gap * own,
        "test_brier": gap * own,
        "test_accuracy": accuracy * own,
        "reward": accuracy * own,
    }
    columns |= {"train_loss": train_loss * own, "test_loss": gap + train_loss * own, "feedback_loss": gap * own}
    return xr.Dataset(
        {name: (("lam0", "seed", "epoch"), np.broadcast_to(value, shape).copy()) for name, value in columns.items()},
        {"epoch": range(8)},
    )


TWINS = made_up(2.0, 0.6)
CASES = {
    "better": (made_up(1.6, 0.7), dict.fromkeys(OUTCOMES, SUPPORTED)),
    "the same": (made_up(2.0, 0.6), dict.fromkeys(OUTCOMES, REFUTED)),
    "worse": (made_up(2.4, 0.5), dict.fromkeys(OUTCOMES, REFUTED)),
    "by less than the margin": (made_up(1.95, 0.61), dict.fromkeys(OUTCOMES, REFUTED)),
    "nothing learnt": (
        made_up(0.01, 0.25, train_loss=LOG_K),
        dict.fromkeys(("gap", "test_scaled_loss", "test_brier"), COLLAPSE)
        | dict.fromkeys(("test_accuracy", "reward"), REFUTED),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_verdicts_where_the_truth_is_known(case):
    real, expected = CASES[case]
    for outcome, verdict in expected.items():
        found = judge([compared(real, TWINS, "end", outcome, LOG_K)], 500)
        if case == "by less than the margin":  # a gain that does not count: it is not better by 5%
            assert found.verdict != SUPPORTED
        else:
            assert found.verdict == verdict, outcome


def test_a_run_that_diverged_is_worse_than_any_twin():
    real = made_up(1.6, 0.7)
    for name in real:
        real[name][:, 3, 4:] = np.nan
    assert judge([compared(real, TWINS, "end", "gap", LOG_K)], 500).verdict != SUPPORTED


def test_what_is_measured_stays_with_its_run(source):
    records, runs = store.load(source)
    (pair, *_) = pairs(runs, source, ["yoked"])
    found = placebos.measured(records, pair.real)
    for place in ((0, 0), (1, 4), (2, 5)):
        own = records[records["run_id"] == pair.real[place]].sort_values("epoch")
        np.testing.assert_array_equal(found["gap"].to_numpy()[place], own["gap"])
    lams = runs.set_index("run_id")["lam0"][pair.real[:, 0]].tolist()
    assert lams == sorted(lams)


# --- the command --------------------------------------------------------------------------------------------------------


def test_all_that_is_judged_is_printed_and_counted(source, capsys):
    records, runs = store.load(source)
    found = pairs(runs[runs["surrogate"] == "logdet"], source, ["yoked", "yoked_feedback"])
    twins = {run_id: twin.run_id for pair in found for run_id, twin in zip(pair.real.ravel(), pair.twins, strict=True)}
    of_twins = records[records["run_id"].isin(twins)].replace({"run_id": twins})
    rows = [row for pair in found for row in placebos.judged(pair, records, of_twins)]
    assert len(rows) == 2 * len(VIEWS) * len(OUTCOMES)
    assert {row["value"] for row in rows} == {0.0}, "twins that are equal"
    placebos.show(rows, crossed=False)
    out = capsys.readouterr().out
    assert out.count("gap, chosen") == 2
    assert "logdet / thermostat / gaussian_mixture" in out
    assert "another data set" in out
    assert all(f"{claim}: {len(VIEWS) * len(OUTCOMES)}" in out for claim in ("control", "feedback")), out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nosuch"], "error: store=nosuch: expected a store of runs"),
        (["SOURCE", "lam=1"], "error: lam: expected no value: the runs are those of the store"),
        (["SOURCE", "sweep.dry_run=maybe"], "error: sweep.dry_run=maybe: expected"),
    ],
)
def test_what_is_refused_is_one_line(arguments, line, source, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["placebos", *(source if word == "SOURCE" else word for word in arguments), *ONLY])
    err = capfd.readouterr().err
    assert stop.value.code == 2
    assert err.startswith(line), err
    assert err.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


ONLY = ["--only", "yoked_feedback"]


@pytest.mark.slow
def test_the_command_trains_judges_and_then_trains_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    small = ["epochs=8", "batch_size=16", "task.train=64", "task.feedback=32", "task.test=32", "regime.warmup=1"]
    store.prepare(store.OUTPUTS / "small")
    for law in ("thermostat", "rl_thermostat"):
        runs = [
            configure(*small, f"regime={law}", lam=lam, data_seed=data, seed=seed)
            for lam in (0.1, 1.0)
            for data in range(6)
            for seed in (0, 1)
        ]
        records = train(runs)
        store.write(store.OUTPUTS / "small", records.frame(), describe(records, "cpu", 1.0))
    main(["placebos", "small", "sweep.workers=1"])
    out = capfd.readouterr().out
    assert "the same data set" in out
    path = store.OUTPUTS / "small_placebos/placebos.json"
    found = json.loads(path.read_text())
    assert found["same_data"]
    assert len(found["rows"]) == 5 * len(VIEWS) * len(OUTCOMES)
    assert len(store.index(path.parent)) == 5 * len(runs)
    main(["placebos", "small", "sweep.workers=1"])
    assert json.loads(path.read_text()) == found
    assert capfd.readouterr().out.endswith(out[out.index("a run relative") :])
