"""A sweep's jobs are those that Hydra composes: by its own launchers, sweepers and releases, in every notation."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_automatic_config_search_path
from hydra.types import RunMode
from sweeps import GRID, SMALL, spawn, table

from hclm_runner import store
from hclm_runner.config import CONF
from hclm_runner.config.compose import Composer, plain


def test_the_stock_launcher_gives_the_same_store(cli, clean):
    done = cli(*GRID, "hydra/launcher=basic", "surrogate=logdet,softmax", "regime=thermostat", "lam=0.1", "seed=1")
    assert done.code == 0, done.err
    unfused, fused = table(), table(clean)
    assert unfused["run_id"].nunique() == 2
    same = fused[fused["run_id"].isin(unfused["run_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(unfused, same)


@pytest.mark.parametrize(
    ("grid", "count"),
    [
        (["surrogate=glob(*,exclude=[logdet*,vib])", "lam=choice(0.1)", "seed=range(1,4,2)"], 4),
        (
            [
                "lam=0.1,0.2",
                "model.hidden=[8,4],[8]",
                "regime=thermostat",
                "regime.setpoint=null",
            ],
            4,
        ),
        pytest.param(["seed=sort(3,1,2,reverse=true)", "lam=tag(a,b,choice(0.1,0.2))"], 6, marks=pytest.mark.slow),
    ],
)
def test_every_way_to_write_a_grid_gives_the_jobs_of_hydras_basic_launcher(cli, grid, count):
    assert cli("-m", *SMALL, "epochs=1", *grid).code == 0
    ids = set(store.load("default")[1]["run_id"])
    assert len(ids) == count
    stock = cli("-m", *SMALL, "epochs=1", *grid, "hydra/launcher=basic", "hydra/sweeper=basic")
    assert stock.code == 0, stock.err
    assert len(store.load("default")[1]) == count, "it trains nothing"
    found = re.findall(r"Already in the store as (\w+)", stock.out)
    assert len(found) == count
    assert set(found) == ids


@pytest.mark.slow
def test_the_joblib_launcher_gives_the_same_store(tmp_path, clean):
    grid = [*GRID, "surrogate=logdet,softmax", "regime=thermostat", "lam=0.1"]
    driver = spawn(tmp_path, *grid, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    _, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, err
    unfused, fused = table(tmp_path / "outputs/default"), table(clean)
    assert unfused["run_id"].nunique() == 4
    same = fused[fused["run_id"].isin(unfused["run_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(unfused, same)
    commands = store.load(tmp_path / "outputs/default")[1]["command"]
    assert (commands == shlex.join(map(str, driver.args))).all(), "the person's command, not that of joblib's worker"


def test_grids_inside_experiment_files_are_expanded_each(cli):
    done = cli("-m", "experiment=quick,optimizers", "epochs=1", "seed=0", "sweep.dry_run=true")
    assert done.code == 0, done.err
    assert "outputs/quick/: 27 runs" in done.out
    assert "outputs/optimizers/: 24 runs" in done.out
    assert sorted(path.name for path in Path("outputs").iterdir()) == ["optimizers", "quick"]


FEWER = {
    "quick": ["surrogate=logdet", "regime=fixed,rl_thermostat"],
    "paper": ["surrogate=logdet", "regime=fixed,thermostat"],
    "paper_full": ["surrogate=logdet,softmax", "regime=fixed"],
    "tasks": ["surrogate=logdet", "regime=fixed", "task=gaussian_mixture,wine"],
    "optimizers": ["regime=fixed"],
    "premises": ["surrogate=logdet", "regime=fixed", "optimizer=plain,adam"],
    "descent": ["surrogate=logdet", "regime=fixed"],
    "samples": ["surrogate=logdet", "task.train=64,128"],
    "width": ["surrogate=logdet", "model.hidden=[8],[16]"],
    "equal_rate": ["surrogate=logdet", "regime=thermostat"],
}
"""Values of what an experiment varies: each bundle of different shape is a process that imports torch."""


@pytest.mark.parametrize("experiment", sorted(path.stem for path in (CONF / "experiment").iterdir()))
def test_every_experiment_runs_small_and_composes_as_hydra_does(cli, experiment):
    small = ["epochs=1", "lam=0.1", "seed=0", "sweep.verify=6", *FEWER.get(experiment, [])]
    done = cli("-m", f"experiment={experiment}", *small)
    assert done.code == 0, done.err
    assert (store.load(experiment)[1]["status"] == "finished").all()


@pytest.mark.slow
def test_the_release_candidate_of_hydra_1_4_gives_the_same_store_without_a_warning(tmp_path, clean):
    newer = ["hydra-core>=1.4.0rc1,<1.5", "omegaconf>=2.4.0rc1,<2.5"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--pre", "--no-deps", "--target", str(tmp_path / "site")]
    fetched = subprocess.run([*pip, *newer], capture_output=True, text=True)
    if fetched.returncode:
        pytest.skip(f"cannot be downloaded: {fetched.stderr.strip().splitlines()[-1]}")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hclm_runner", *arguments]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        return done

    assert "surrogate: logdet" in run("--help").stdout
    assert "kappa: 1.0" in run("regime=thermostat", "--cfg", "job").stdout
    expanded = run("-m", "experiment=quick,optimizers", "epochs=1", "seed=0", "sweep.dry_run=true").stdout
    assert "outputs/quick/: 27 runs" in expanded
    assert "outputs/optimizers/: 24 runs" in expanded
    run(*GRID, "sweep.verify=5")
    pd.testing.assert_frame_equal(table(tmp_path / "outputs/default"), table(clean))
    versions = store.load(tmp_path / "outputs/default")[1]["versions"]
    assert versions.str.contains(r'"hydra-core": "1\.4').all()


EDGES = [
    ["surrogate=variance", "lam=3"],
    ["+surrogate.k=2"],
    ["+task@other=wine"],
    ["~rho"],
    ["risk={miss_cost:2.0}"],
    ["name='a,b'"],
    ["regime=thermostat", "regime.setpoint=null", "sigma=0.5"],
    ["model.hidden=[8,[1,2]]"],
    ["hydra.job.name=x", "lam=2"],
    ["surrogate.eps=${lam}", "lam=0.25"],
    ["+note=${hydra:job.num}"],
    ["optimizer=adam", "optimizer.lr=1e-2", "feedback=noisy"],
]


def test_edge_cases_compose_as_hydra_composes_them():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        compose("config")  # registers the plugins
    loader = ConfigLoaderImpl(create_automatic_config_search_path(None, None, str(CONF)))
    master = loader.load_configuration("config", [], RunMode.MULTIRUN)
    composer = Composer(loader, master)
    for overrides in EDGES:
        stock = loader.load_sweep_config(master, overrides)
        del stock._content["hydra"]  # type: ignore[union-attr]
        for call in ("first", "second"):  # the second takes what the first has kept
            mine = composer(overrides)
            assert plain(mine) == plain(stock), (overrides, call)
            assert list(mine) == list(stock)


LAUNCHERS = {
    "_target_: hydra._internal.core_plugins.basic_launcher.BasicLauncher\n": "_target_: hydra_plugins.hclm_fused.FusedLauncher\n",
    "- hydra/launcher=basic\n": "- hydra/launcher=fused\n",
    "hydra/launcher: basic\n": "hydra/launcher: fused\n",
}
"""All in which hydra.yaml of a job may differ: basic -> fused."""


def test_job_folders_on_request_are_hydras_own(cli):
    grid = ["-m", "lam=0,0.1", "seed=0", *SMALL, "sweep.job_dirs=true"]
    where = ["hydra.output_subdir=.hydra", "hydra.sweep.subdir=jobs/${hydra.job.num}"]
    written = {}
    for launcher in ("fused", "basic"):
        done = cli(*grid, *where, f"hydra/launcher={launcher}")
        assert done.code == 0, done.err
        files = Path("outputs/default/jobs").rglob("*.yaml")
        written[launcher] = {str(path): path.read_text() for path in files}
        shutil.rmtree("outputs/default/jobs")  # the runs stay: the second launcher trains nothing
    assert sorted(Path(path).name for path in written["fused"]) == sorted(
        2 * ["config.yaml", "hydra.yaml", "overrides.yaml"]
    )
    for path, text in written["basic"].items():
        expected = text
        for basic, fused in LAUNCHERS.items():
            assert text.count(basic) == path.endswith("hydra.yaml"), (path, basic)
            expected = expected.replace(basic, fused)
        assert written["fused"][path] == expected, path
    assert cli(*grid).code == 0, "and without saying where"
    assert len(list(Path("outputs/default/jobs").rglob("hydra.yaml"))) == 2
