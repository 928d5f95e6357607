"""Other networks, trained hard: what is trained, which claims hold on which network, and what the page says of it."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from experiments import grid
from experiments.__main__ import main
from experiments.architectures import command, design, figure, page, results
from experiments.claims import record
from experiments.claims.command import judge
from hclm_runner import store
from hclm_runner.records import describe
from hclm_runner.refusal import ConfigError
from hclm_runner.training.trainer import train

MLP, CNN, *_, LANGUAGE = design.ROWS

# --- what is trained ----------------------------------------------------------------------------------------------------


def test_every_network_has_the_same_grid_and_a_training_of_its_own():
    rows = (CNN, LANGUAGE)
    runs = design.runs(design.SMALL, rows)
    where = [(run.task.name, run.model.name, run.surrogate.name, run.regime.name, run.lam, run.seed) for run in runs]
    assert len(set(where)) == len(runs) == design.count(design.SMALL, rows) == 216 + 144
    for row in rows:
        own = [run for run in runs if (run.task.name, run.model.name) == (row.task, row.model)]
        assert {run.optimizer.options["lr"] for run in own} == {row.lr}
        assert {run.lam for run in own} == set(design.SMALL.lams)
        assert {run.seed for run in own}.isdisjoint(design.TRIALS)


def test_only_fashion_mnist_has_a_folder(tmp_path):
    assert design.configured(design.ROWS[4], design.SMALL, root=str(tmp_path)).task.options["root"] == str(tmp_path)
    assert design.configured(CNN, design.SMALL, root=str(tmp_path)) == design.configured(CNN, design.SMALL)


def test_a_trial_is_the_network_without_the_term_at_another_rate():
    runs = design.trials([CNN])
    assert [run.optimizer.options["lr"] for run in runs] == [lr for lr in design.RATES for _ in design.TRIALS]
    assert {(run.lam, run.seed in design.TRIALS) for run in runs} == {(0.0, True)}
    (same,) = {run.shape_key for run in (runs[0], design.configured(CNN, design.SMALL))}
    assert same == runs[0].shape_key


def test_the_numbers_of_runs_are_those_that_are_said():
    text = page.PAGE.read_text()
    for size in (design.SMALL, design.WHOLE):
        assert f"{design.count(size)} runs" in design.outlook()
        assert f"{design.count(size)} runs" in text


@pytest.mark.parametrize("override", ["lam=1", "optimizer.lr=0.1", "task=digits", "data_seed=1"])
def test_what_the_experiment_sets_is_refused_in_one_line(override, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["architectures", override])
    err = capfd.readouterr().err
    assert stop.value.code == 2
    assert err.startswith(f"error: {override.partition('=')[0]}: expected no value: the experiment sets data_seed, lam")
    assert err.count("\n") == 1


def test_networks_whose_data_are_not_there_are_left_out_by_name(tmp_path):
    rows, lacking = design.there(root=str(tmp_path / "nowhere"))
    assert [row.task for row in rows] == ["mnist1d"] * 3 + ["text"]
    assert list(lacking) == ["fashion_mnist"]
    assert "dataset-fashion-mnist" in lacking["fashion_mnist"]


# --- what comes out -----------------------------------------------------------------------------------------------------


def judged(**verdicts: str) -> list[record.ClaimRow]:
    return [
        {"task": title, "id": claim, "says": f"words of {claim[1:]}", "verdict": verdict}
        for claim, of_titles in verdicts.items()
        for title, verdict in zip(("mnist1d / mlp", "mnist1d / cnn"), of_titles.split(), strict=True)
    ]


def test_the_summary_says_where_a_claim_holds():
    claims = record.matrix([
        {**row, "id": row["id"].removeprefix("c")}
        for row in judged(c23="SUPPORTED REFUTED", c19="COLLAPSE COLLAPSE", c20="SUPPORTED SUPPORTED", c5="REFUTED REFUTED")
    ])  # fmt: skip
    said = results.summary(claims, ["text / causal_transformer"])
    assert said == [
        "Force collapse, claim 23 (words of 23): supported on mnist1d / mlp; refuted on mnist1d / cnn.",
        "Entropy balance, claim 19 (words of 19): collapse everywhere.",
        "Entropy balance, claim 20 (words of 20): supported everywhere.",
        "Of the paper's 4 claims, 1 are supported by every network on every task, 2 by none, and 1 are refuted by all "
        "of them.",
        "Claims that are supported: mnist1d / mlp 2, mnist1d / cnn 1.",
        "Not trained, for their data were not on the machine: text / causal_transformer.",
    ]


def runs_of(force: np.ndarray, task: str = "mnist1d", model: str = "cnn") -> xr.Dataset:
    """Return a grid of two regimes, three lam and two seeds, whose force over epochs this is."""
    axes = {"surrogate": ["logdet"], "regime": ["fixed", "rate"], "lam0": [0.0, 0.1, 1.0], "seed": [0, 1]}
    coords = axes | {"epoch": range(len(force))}
    shape = [len(values) for values in coords.values()]
    factor = 1 + np.arange(2)[:, None]  # of the seeds; it cancels in the ratio
    columns = dict.fromkeys(("train_loss", "feedback_loss", "test_accuracy", "entropy", "setpoint", "lam"), np.ones(1))
    data = {name: (list(coords), np.broadcast_to(value, shape).copy()) for name, value in columns.items()}
    data["force"] = (list(coords), np.broadcast_to(factor * force, shape).copy())
    config = {"task": {"name": task}, "model": {"name": model}}
    return xr.Dataset(data, coords, {"config": config, "diverged": []})


def test_a_force_is_over_that_before_training_in_each_run():
    one = runs_of(2.0 ** -np.arange(9))
    found = results.measured(one)
    expected = np.mean(2.0 ** -np.arange(4, 9))  # of the last five epochs
    assert list(found["arms"]) == ["lam = 0", "lam = 0.1", "rate"]
    for arm in found["arms"].values():
        assert arm["force"] == {"value": expected, "low": expected, "high": expected, "n": 2}
    assert found["force"]["value"] == 1.5


@pytest.mark.parametrize("model", ["mlp", "resnet"])
def test_a_store_of_other_runs_is_refused(model):
    one = runs_of(np.ones(3), model="mlp")
    other = runs_of(np.ones(3), model=model)
    with pytest.raises(ConfigError, match="store=s: expected one training of each network of the experiment, got b"):
        results.titled({"a": one, "b": other}, "s")


def test_the_rate_of_least_feedback_loss_is_the_bold_one():
    configs = {
        f"{lr}": {"task": {"name": "mnist1d"}, "model": {"name": "cnn"}, "optimizer": {"lr": lr}}
        for lr in design.RATES[:2]
    }
    runs = pd.DataFrame({"run_id": list(configs), "config": [json.dumps(config) for config in configs.values()]})
    rows = [(run, epoch, loss, accuracy) for run, path in zip(configs, ((9.0, 2.0, 3.0), (0.1, 4.0, 1.5)), strict=True)
            for epoch, (loss, accuracy) in enumerate(zip(path, (0.1, 0.7, 0.8), strict=True))]  # fmt: skip
    records = pd.DataFrame(rows, columns=["run_id", "epoch", "feedback_loss", "test_accuracy"])
    tried = results.tried(records, runs)
    assert tried == {
        "mnist1d / cnn": {"0.001": {"loss": 2.0, "accuracy": 0.7}, "0.003": {"loss": 1.5, "accuracy": 0.8}}
    }
    assert "| mnist1d / cnn | 2.000 (70%) | **1.500 (80%)** | – | – |" in page.rates(tried)


# --- from runs to the page ----------------------------------------------------------------------------------------------


def test_two_networks_are_trained_judged_drawn_and_told_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store.prepare(store.OUTPUTS / "small")
    tiny = ["epochs=4", "task.train=64", "task.feedback=32", "task.test=32", "measure_samples=32", "surrogate=logdet"]
    for row in (MLP, CNN):
        for law in ("fixed", "thermostat"):
            base = design.configured(row, design.SMALL, [*tiny, f"regime={law}"])
            runs = [base.model_copy(update={"lam": lam, "seed": seed}) for lam in (0.0, 0.1) for seed in range(6)]
            records = train(runs)
            store.write(store.OUTPUTS / "small", records.frame(), describe(records, "cpu", 1.0))
    found, grids = judge("small", 100), grid.load("small")
    results.write(results.build(grids, found, "small"), store.OUTPUTS / "small")
    read = results.load("small")
    assert list(read["networks"]) == [MLP.title, CNN.title]
    assert read["claims"]["rows"] == []
    assert read["generic"]["tasks"] == [MLP.title, CNN.title]
    assert {claim for claim, *_ in read["generic"]["rows"]} >= {"logdet / thermostat: effective"}
    assert read["summary"][-1] == "6 data sets of each network; no run diverged."
    assert "Not trained" in read["summary"][-2]
    drawn = figure.draw({title: grids[context] for context, title in results.titled(grids, "small").items()}, "logdet")
    assert len(drawn.axes) == 4
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(page, "PICTURE", tmp_path / "picture.png")
    (tmp_path / "page.md").write_text(f"# Ours\n\n{page.MARK}\n\nold")
    (store.OUTPUTS / "small/architectures_logdet.png").write_bytes(b"drawn")
    page.write("small", "no_trials")
    text = (tmp_path / "page.md").read_text()
    assert text.startswith(f"# Ours\n\n{page.MARK}\n\n## What came out\n")
    assert "old" not in text
    assert "| mnist1d / mlp | thermostat |" in text
    assert "learning rates" not in text
    assert (tmp_path / "picture.png").read_bytes() == b"drawn"


def test_a_page_of_what_was_not_judged_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="store=nothing: expected what came out; first python -m experiments arch"):
        command.main(["--name", "nothing", "--page"])


@pytest.mark.slow
def test_the_command_trains_judges_and_then_trains_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(design, "ROWS", (MLP, CNN))
    line = ["architectures", "--root", "nowhere", "--resamples", "100", "epochs=4", "task.train=64", "task.test=32"]
    line += ["task.feedback=32", "measure_samples=32", "sweep.workers=1"]
    main(line)
    out = capfd.readouterr().out
    assert out.count("left out, fashion_mnist: ") == 1
    path = store.OUTPUTS / "architectures/architectures.json"
    found = json.loads(path.read_text())
    assert len(found["claims"]["rows"]) == 32
    assert len(store.index(path.parent)) == 4 * 216 + 144 - 216
    main(line)
    assert json.loads(path.read_text()) == found
