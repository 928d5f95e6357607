"""python -m experiments export: what other tools read back is what the store has."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
from scipy import stats

from experiments.__main__ import main
from experiments.export.series import choose, each_run, mean_over_seeds
from experiments.export.trackers import TRACKERS
from hclm_runner import store
from hclm_runner.config import configure
from hclm_runner.records import COLUMNS, Records, describe

DIVERGED = ("logdet", "fixed", 0.1, 2)
FIXED = ["--where", "surrogate=logdet", "regime=fixed", "lam=0.1"]
"""Three runs: of seeds 0 and 1, and of seed 2, which diverges in epoch 3."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A store of 81 runs, one of which diverged, and one that failed."""
    path = synthetic.write(tmp_path_factory.mktemp("export") / "made_up", seeds=(0, 1, 2), diverged=[DIVERGED])
    failed = Records.empty(configure("lam=5", "batch_size=32"))
    store.write(path, failed.frame(), describe(failed, "cpu", 0.0, status="failed", error="why"))
    return path


def rows_of(folder: Path, run_id: str) -> pd.DataFrame:
    return store.read_records(folder, run_id).set_index("epoch")[list(COLUMNS)].dropna(axis=1, how="all")


def run_of(folder: Path, **place: object) -> pd.Series:
    _, runs = store.load(folder)
    place = {"surrogate": "logdet", "regime": "fixed", "lam0": 0.1} | place
    return runs[np.logical_and.reduce([runs[key] == value for key, value in place.items()])].iloc[0]


def test_csv_has_every_run_and_number_and_names_what_it_has_not(folder, tmp_path, capsys):
    main(["export", str(folder), "--to", "csv", "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert out.splitlines() == [
        f"81 runs exported to {tmp_path}/out/",
        "1 run diverged: exported up to there: logdet / fixed / gaussian_mixture, epochs=12, lam0 0.1, seed 2",
        "1 run without a result: not exported: logdet / fixed / gaussian_mixture, batch_size=32, lam0 5, seed 0",
    ]
    records, runs = store.load(folder)
    back = pd.read_csv(tmp_path / "out/records.csv", float_precision="round_trip").set_index(["id", "epoch"])
    theirs = records.rename(columns={"run_id": "id"}).set_index(["id", "epoch"])[list(back.columns)]
    pd.testing.assert_frame_equal(back.sort_index(), theirs.sort_index(), rtol=1e-14, atol=0)
    assert set(COLUMNS) == set(back.columns)
    described = pd.read_csv(tmp_path / "out/runs.csv", float_precision="round_trip").set_index("id")
    assert list(described.index) == list(dict.fromkeys(back.index.get_level_values("id")))
    one = described.loc[run_of(folder, seed=2)["run_id"]]
    facts = {
        "lam": 0.1,
        "seed": 2,
        "surrogate": "logdet",
        "optimizer.lr": 0.05,
        "status": "diverged",
        "store": "made_up",
    }
    assert one[list(facts)].to_dict() == facts
    assert set(runs["run_id"]) - set(described.index) == {run_of(folder, lam0=5.0)["run_id"]}


def test_a_mean_is_over_the_seeds_that_finished_with_students_t_interval(folder, tmp_path, capsys):
    main(["export", str(folder), "--to", "csv", "--mean", "seed", *FIXED, "--out", str(tmp_path)])
    out = capsys.readouterr().out
    assert out.startswith(f"1 mean exported to {tmp_path}/\n1 run diverged: not in a mean: ")
    back = pd.read_csv(tmp_path / "records.csv", float_precision="round_trip").set_index("epoch")
    losses = np.stack([rows_of(folder, run_of(folder, seed=seed)["run_id"])["test_loss"] for seed in (0, 1)])
    np.testing.assert_allclose(back["test_loss"], losses.mean(0))
    low, high = stats.t.interval(0.95, 1, losses.mean(0), stats.sem(losses))
    np.testing.assert_allclose(back["test_loss_low"], low)
    np.testing.assert_allclose(back["test_loss_high"], high)
    (described,) = pd.read_csv(tmp_path / "runs.csv", float_precision="round_trip").to_dict("records")
    assert described["seeds"] == "0, 1"
    assert described["title"].endswith("lam0 0.1, mean over 2 seeds")
    assert "seed" not in described
    assert len(mean_over_seeds(choose(folder, []), "", COLUMNS)) == 27, "a group differs in more than its seeds"


def test_tensorboard_reads_back_scalars_by_epoch_and_settings(folder, tmp_path, capsys):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    for _ in range(2):  # the second export replaces the first
        main(["export", str(folder), "--to", "tensorboard", *FIXED, "--out", str(tmp_path)])
    assert f"3 runs exported to {tmp_path}/; tensorboard --logdir {tmp_path} shows them" in capsys.readouterr().out
    assert len(list(tmp_path.rglob("*tfevents*"))) == len(list(tmp_path.iterdir())) == 3
    for seed, epochs in ((0, 13), (2, 3)):
        run_id = run_of(folder, seed=seed)["run_id"]
        (own,) = tmp_path.glob(f"logdet_fixed_gaussian_mixture_epochs=12_lam0_0.1_seed_{seed}_{run_id[:8]}")
        read = EventAccumulator(str(own)).Reload()
        rows = rows_of(folder, run_id)
        assert set(read.Tags()["scalars"]) == set(rows.columns)
        for name in ("test_loss", "dissipation"):
            assert [event.step for event in read.Scalars(name)] == list(range(epochs))
            np.testing.assert_allclose([event.value for event in read.Scalars(name)], rows[name], rtol=1e-6)
        settings = read.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
        hparams = metadata.parse_session_start_info_plugin_data(settings).hparams
        assert hparams["seed"].number_value == seed
        assert hparams["surrogate"].string_value == "logdet"


@pytest.mark.parametrize("uri", ["file:{}", pytest.param("sqlite:///{}/mlflow.db", marks=pytest.mark.slow)])
def test_mlflow_reads_back_each_run_once(uri, folder, tmp_path, monkeypatch, capsys):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # the quick one; MLflow's own is the database
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    uri = uri.format(tmp_path)
    client = mlflow.MlflowClient(uri)
    killed = client.create_run(client.create_experiment("made_up"), tags={"id": run_of(folder, seed=0)["run_id"]})
    client.create_run(killed.info.experiment_id, run_name="a run of the user's own")
    export = ["export", str(folder), "--to", "mlflow", "--out", uri, "--columns", "test_loss", "setpoint"]
    main([*export, *FIXED, "seed=0"])
    main([*export, *FIXED])
    main([*export, *FIXED, "--mean", "seed"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "were there before" in line] == [lines[1]]
    assert "3 runs exported to MLflow's experiment made_up" in lines[1]
    assert "(1 of them were there before)" in lines[1]
    there = {run.info.run_name: run for run in client.search_runs([killed.info.experiment_id])}
    label = "logdet / fixed / gaussian_mixture, epochs=12, lam0 0.1"
    ends = [*(f"{label}, seed {seed}" for seed in range(3)), f"{label}, mean over 2 seeds"]
    assert sorted(there) == sorted(["a run of the user's own", *ends]), "the one that was killed is gone"
    last = there[ends[2]]
    assert last.info.status == "FINISHED"
    row = run_of(folder, seed=2)
    tags = {"run_id": row["run_id"], "store": "made_up", "status": "diverged", "label": row["label"]}
    assert tags.items() <= last.data.tags.items()
    assert {
        "lam": "0.1",
        "seed": "2",
        "optimizer.lr": "0.05",
        "surrogate": "logdet",
    }.items() <= last.data.params.items()
    history = client.get_metric_history(there[ends[1]].info.run_id, "test_loss")
    read = {metric.step: metric.value for metric in history}
    assert read == rows_of(folder, run_of(folder, seed=1)["run_id"])["test_loss"].to_dict()
    assert set(there[ends[1]].data.metrics) == {"test_loss"}, "no set point under a fixed law"
    assert set(there[ends[3]].data.metrics) == {"test_loss", "test_loss_low", "test_loss_high"}


def test_conditions_choose_runs_by_settings_and_labels(folder):
    def chosen(*where):
        return len(choose(folder, where).runs)

    assert chosen() == 82
    assert chosen("surrogate=logdet") == 28
    assert chosen("surrogate=logdet,softmax", "lam=0,1e-1", "seed=1") == 12
    assert chosen("batch_size=32") == chosen("status=failed") == 1
    assert chosen("model.hidden=[64]", "premises=false", "metric_force=null") == 82
    assert chosen(f"run_id={run_of(folder, seed=0)['run_id']}") == 1
    assert [series.parameters["seed"] for series in each_run(choose(folder, FIXED[1:]), "", COLUMNS)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["--where", "lam"], "--where=lam: expected KEY=VALUE, as in lam=0.1"),
        (["--where", "lamb=0"], "--where=lamb=0: expected a known key (did you mean lam?); keys: lam, seed, "),
        (["--where", "lam=7"], "--where=lam=7: expected a value that a run has: 5.0; 0.0; 0.1; 1.0"),
        (
            ["--where", "lam=5", "surrogate=softmax"],
            "--where=lam=5 surrogate=softmax: expected what some run has, but none of 82 has all of it",
        ),
        (["--where", "lam=5"], "store={}: expected runs with a result, got 1 without"),
        (["--where", "status=diverged", "--mean", "seed"], "store={}: expected runs that finished, got 1 without"),
        (["--columns", "tes_loss"], "--columns=tes_loss: expected what is measured (did you mean test_loss?): lam, "),
        (["--out", "/proc/none/x"], "[Errno 2] No such file or directory: "),
    ],
)
def test_what_it_cannot_do_is_one_line(given, line, folder, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["export", str(folder), "--to", "csv", *given])
    out, err = capsys.readouterr()
    assert (stop.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: " + line.format(folder))
    assert not (folder / "csv").exists()


@pytest.mark.parametrize("extra", ["tensorboard", "mlflow"])
def test_without_its_library_a_tracker_names_the_extra(extra, folder, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.partition(".")[0] == extra]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, extra, None)  # which Python takes for a module that is not installed
    with pytest.raises(SystemExit) as stop:
        main(["export", str(folder), "--to", extra])
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert err.startswith(
        f"error: --to={extra}: expected its own library; pip install 'hclm-runner[{extra}]' brings it ("
    )
    assert err.count("\n") == 1


def test_a_folder_of_tensorboard_that_was_killed_half_way_is_written_anew(folder, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    (series,) = each_run(choose(folder, [*FIXED[1:], "seed=0"]), "", COLUMNS)
    TRACKERS["tensorboard"].write([series], str(tmp_path), folder)
    (whole,) = tmp_path.iterdir()
    half = whole.rename(tmp_path / f".{whole.name}")
    (half / "events.out.tfevents.0.half").write_text("half")
    TRACKERS["tensorboard"].write([series], str(tmp_path), folder)
    assert [path.name for path in tmp_path.iterdir()] == [whole.name]
    assert len(list(whole.iterdir())) == 1


def test_parameters_are_text_that_yaml_would_give_back(folder):
    (series,) = each_run(choose(folder, [*FIXED[1:], "seed=0"]), "", COLUMNS)
    assert json.loads(series.parameters["model.hidden"]) == [64]
    assert not {"name", "device", "force", "callbacks", "objective"} & set(series.parameters)
