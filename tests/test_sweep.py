"""What a sweep promises: resume, isolation, one writer, the same as stock Hydra, and a clear end whatever happens."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_automatic_config_search_path
from hydra.types import RunMode

from hclm_runner import store
from hclm_runner.config import CONF
from hclm_runner.sweep.compose import Composer, plain

SMALL = ["task.train=32", "task.feedback=32", "task.test=32", "batch_size=16", "epochs=3"]
GRID = ["-m", "surrogate=logdet,softmax", "regime=fixed,thermostat", "lam=0,0.1", "seed=range(2)", *SMALL]


def table(folder: str = "outputs/default") -> pd.DataFrame:
    records, _ = store.load(Path(folder))
    return records.sort_values(["run_id", "epoch"], ignore_index=True)


def spawn(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hclm_runner", *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Path:
    """The store of one undisturbed sweep."""
    folder = tmp_path_factory.mktemp("clean")
    done = subprocess.run([sys.executable, "-m", "hclm_runner", *GRID], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_sweep_leaves_one_table_in_a_few_shards_and_says_how_to_load_it(clean):
    records, runs = store.load(clean / "outputs/default")
    assert len(runs) == 16
    assert (runs["status"] == "finished").all()
    assert len(records) == 16 * 4
    assert len(list((clean / "outputs/default/runs").iterdir())) == 4, "one shard a bundle, one bundle a shape"


def test_the_same_sweep_again_trains_nothing_and_a_larger_one_only_what_is_new(cli):
    first = cli(*GRID)
    assert first.code == 0
    assert "16 runs to train" in first.err
    before = {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("*.parquet")}
    again = cli(*GRID)
    assert again.code == 0
    assert "to train" not in again.err
    assert before == {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("*.parquet")}
    larger = cli(*[text.replace("range(2)", "range(3)") for text in GRID])
    assert "8 runs to train" in larger.err
    assert "16 in the store" in larger.err
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert len(table()) == 24 * 4


def test_a_single_run_finds_what_a_sweep_has_trained_and_force_replaces_it_alone(cli):
    cli(*GRID)
    whole = table()
    one = ["surrogate=softmax", "regime=thermostat", "lam=0.1", "seed=1", *SMALL]
    assert "Already in the store" in cli(*one).out
    assert "finished in" in cli(*one, "force=true").out
    pd.testing.assert_frame_equal(table(), whole)
    assert len(store.load("default")[1]) == 16


def test_the_stock_launcher_gives_the_same_store(cli, clean):
    done = cli(*GRID, "hydra/launcher=basic", "surrogate=logdet,softmax", "regime=thermostat", "lam=0.1", "seed=1")
    assert done.code == 0, done.err
    unfused, fused = table(), table(str(clean / "outputs/default"))
    assert unfused["run_id"].nunique() == 2
    same = fused[fused["run_id"].isin(unfused["run_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(unfused, same)


@pytest.mark.parametrize(
    ("grid", "count"),
    [
        (["surrogate=glob(*,exclude=[custom,logdet])", "lam=choice(0,0.1)", "seed=range(1,4,2)"], 8),
        (
            [
                "surrogate.name='a, b',\"c,d\"",
                "model.hidden=[8,4],[8]",
                "regime=thermostat",
                "regime.setpoint=null,1.5",
            ],
            8,
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
    unfused, fused = table(str(tmp_path / "outputs/default")), table(str(clean / "outputs/default"))
    assert unfused["run_id"].nunique() == 4
    same = fused[fused["run_id"].isin(unfused["run_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(unfused, same)
    commands = store.load(tmp_path / "outputs/default")[1]["command"]
    assert (commands == shlex.join(map(str, driver.args))).all(), "the person's command, not that of joblib's worker"


def test_a_run_that_fails_or_diverges_leaves_its_neighbours_as_they_are_alone(cli, user_module):
    source = """
def S(Z, *, k: float):
    return k * Z.square().mean()
"""
    name = user_module(source)
    grid = ["-m", "surrogate=custom", f"surrogate._target_={name}.S", "+surrogate.k=1", *SMALL]
    swept = cli(*grid, "optimizer.lr=0.05,1e25", "seed=0,1", "lam=0.1,-1")
    assert swept.code == 2
    assert "diverged: " in swept.err
    assert "error: lam=-1: expected a finite number >= 0 (4 jobs, the first: " in swept.err
    runs = store.load("default")[1]
    assert sorted(runs["status"]) == ["diverged", "diverged", "finished", "finished"]
    again = cli(*grid, "optimizer.lr=0.05,1e25", "seed=0,1", "lam=0.1")
    assert again.code == 1, "what diverged is not trained again, and not forgotten either"
    assert "to train" not in again.err
    assert "error: diverged, in the store: " in again.err
    assert again.err.count("lam0 0.1, seed") == 2
    assert (runs.loc[runs["status"] == "diverged", "diverged_epoch"] == 1).all()
    fused = table()
    for seed in (0, 1):
        alone = cli(*grid[1:], "optimizer.lr=0.05", f"seed={seed}", "lam=0.1", "name=alone")
        assert alone.code == 0, alone.err
    kept = fused[fused["epoch"].groupby(fused["run_id"]).transform("size") == 4].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, table("outputs/alone"))


POISON = """
import os, torch

class Hook(torch.autograd.Function):
    @staticmethod
    def forward(Z, k):
        return Z.clone()
    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[1])
    @staticmethod
    def backward(ctx, g):
        (k,) = ctx.saved_tensors
        if (k > 5).any():
            {deed}
        return g, None
    generate_vmap_rule = False
    @staticmethod
    def vmap(info, dims, Z, k):
        return Hook.apply(Z, k), 0

def S(Z, *, k: float):
    return Hook.apply(Z, k).square().mean()
"""


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("raise RuntimeError('the poison')", "RuntimeError: the poison"),
        pytest.param("os.kill(os.getpid(), 9)", "signal 9, SIGKILL", marks=pytest.mark.slow),
    ],
)
def test_the_run_at_fault_is_found_and_recorded_and_tried_again_when_mended(cli, user_module, tmp_path, deed, reason):
    name = user_module(POISON.format(deed=deed))
    grid = ["-m", "surrogate=custom", f"surrogate._target_={name}.S", "+surrogate.k=1,9", "seed=range(3)", *SMALL]
    swept = cli(*grid)
    assert swept.code == 1
    assert reason in swept.err
    runs = store.load("default")[1]
    assert sorted(runs["status"]) == ["failed"] * 3 + ["finished"] * 3
    failed = runs[runs["status"] == "failed"]
    assert failed["error"].str.contains(reason.partition(",")[0]).all()
    assert (failed["rows"] == 0).all()
    assert "3 runs to train" in cli(*grid).err, "what failed is tried again, what finished is not"
    assert len(store.load("default")[1]) == 6


HUNGRY = """
import torch

class Hook(torch.autograd.Function):
    @staticmethod
    def forward(Z):
        return Z.clone()
    @staticmethod
    def setup_context(ctx, inputs, output):
        pass
    @staticmethod
    def backward(ctx, g):
        return g
    @staticmethod
    def vmap(info, dims, Z):
        if info.batch_size > 2:
            {deed}
        return Hook.apply(Z), 0

def S(Z):
    return Hook.apply(Z).square().mean()
"""


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("raise torch.OutOfMemoryError('the device is full')", "OutOfMemoryError: the device is full"),
        pytest.param("torch.empty(2**60)", "can't allocate memory", marks=pytest.mark.slow),
        pytest.param("bytearray(2**60)", "MemoryError", marks=pytest.mark.slow),
    ],
)
def test_a_bundle_too_large_for_the_memory_is_halved_until_it_fits(cli, user_module, deed, reason):
    name = user_module(HUNGRY.format(deed=deed))
    swept = cli("-m", "surrogate=custom", f"surrogate._target_={name}.S", "seed=range(7)", *SMALL, "sweep.bundle=7")
    assert swept.code == 0, swept.err
    assert reason in swept.err
    halved = re.findall(r"a bundle of (\d+) runs", swept.err)
    assert sorted(halved) == ["3", "4", "7"], "then 1 + 2 and 2 + 2"
    assert (store.load("default")[1]["status"] == "finished").all()
    assert len(table()) == 7 * 4


@pytest.mark.parametrize(
    "damage", ["torn", "old", *(pytest.param(each, marks=pytest.mark.slow) for each in ("empty", "foreign", "orphan"))]
)
def test_shards_that_cannot_be_trusted_are_set_aside_named_and_run_again(cli, damage):
    cli(*GRID)
    whole = table()
    shard = sorted(Path("outputs/default/runs").iterdir())[0]
    twin = Path("outputs/default/records") / shard.name
    if damage == "torn":
        twin.write_bytes(twin.read_bytes()[:-100])
    elif damage == "empty":
        shard.write_bytes(b"")
    elif damage == "foreign":
        pd.DataFrame({"a": [1]}).to_parquet(shard)
    elif damage == "old":
        pd.read_parquet(shard).assign(schema=0).to_parquet(shard)
    else:
        shard.unlink()
    again = cli(*GRID)
    assert again.code == 0
    assert again.err.count("set aside") == (1 if damage == "orphan" else 2)
    assert twin.name in again.err
    assert "4 runs to train" in again.err
    pd.testing.assert_frame_equal(table(), whole)


def kill_and_resume(tmp_path: Path, clean: Path, delays: list[float]) -> None:
    for delay in delays:
        driver = spawn(tmp_path, *GRID, "sweep.bundle=2")
        time.sleep(delay)
        os.killpg(driver.pid, signal.SIGKILL)
        driver.communicate()
        for path in (tmp_path / "outputs").rglob("*.parquet") if (tmp_path / "outputs").exists() else ():
            if not path.name.startswith("."):
                pd.read_parquet(path)
    last = spawn(tmp_path, *GRID)
    assert last.wait(120) == 0
    pd.testing.assert_frame_equal(table(str(tmp_path / "outputs/default")), table(str(clean / "outputs/default")))


def test_sigkill_and_restart_end_in_the_same_table(tmp_path, clean):
    kill_and_resume(tmp_path, clean, [2.5, 4.0])


@pytest.mark.slow
def test_sigkill_at_twenty_moments(tmp_path, clean):
    kill_and_resume(tmp_path, clean, [0.5 + 0.3 * i for i in range(20)])


def test_two_drivers_at_once_share_one_store(tmp_path, clean):
    both = [spawn(tmp_path, *GRID, "sweep.bundle=2") for _ in range(2)]
    ended = [driver.communicate(timeout=120) for driver in both]
    assert [driver.returncode for driver in both] == [0, 0], ended
    pd.testing.assert_frame_equal(table(str(tmp_path / "outputs/default")), table(str(clean / "outputs/default")))
    assert sum("16 runs to train" in err for _, err in ended) == 1


def interrupt(tmp_path: Path, times: int) -> tuple[int, str, str]:
    driver = spawn(
        tmp_path, *[text for text in GRID if not text.startswith("epochs")], "epochs=40000", "sweep.workers=1"
    )
    assert driver.stderr is not None
    seen = []
    while "to train" not in "".join(seen):
        seen.append(driver.stderr.readline())
    time.sleep(1)
    rest: list[str] = []
    reader = threading.Thread(target=lambda: rest.extend(driver.stderr or ()))
    reader.start()
    for _ in range(times):
        driver.send_signal(signal.SIGINT)
        time.sleep(0.05)
    out = driver.stdout.read() if driver.stdout else ""
    code = driver.wait(30)
    reader.join()
    return code, out, "".join(rest)


def test_ctrl_c_writes_what_is_finished_and_exits_130(tmp_path):
    code, out, err = interrupt(tmp_path, 1)
    assert code == 130
    assert "stopping" in err
    assert "not reached" in out
    assert "Traceback" not in err


@pytest.mark.slow
def test_ctrl_c_twice_stops_at_once(tmp_path):
    code, _, err = interrupt(tmp_path, 2)
    assert code in (130, -signal.SIGINT), "a shell calls both 130"
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_one_clear_line_and_corrupts_nothing(tmp_path):
    arguments = shlex.join([*GRID, "epochs=60", "seed=range(8)"])
    command = f"ulimit -f 32; exec {sys.executable} -m hclm_runner {arguments}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "error: the store cannot be written: " in done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "outputs").rglob(".*.parquet"))
    for path in (tmp_path / "outputs").rglob("*.parquet"):
        pd.read_parquet(path)


@pytest.fixture
def small_disk(tmp_path, cli, monkeypatch) -> Path:
    """A file system of one MiB, where `cli` runs."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.strip()}")
    monkeypatch.chdir(disk)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path, leave: int) -> None:
    with (disk / "filler").open("ab") as file:
        file.write(b"0" * (shutil.disk_usage(disk).free - leave))


def test_a_full_disk_is_one_clear_line_and_what_is_lost_is_trained_again(cli, small_disk, clean):
    fill(small_disk, leave=2**16)
    swept = cli(*GRID)
    assert swept.code == 1
    assert swept.err.count("error: the store cannot be written: ") == 1
    assert "No space left on device" in swept.err
    fill(small_disk, leave=2**13)
    single = cli(*SMALL, "lam=0.7")
    assert (single.code, single.err.count("\n")) == (1, 1), single.err
    assert "No space left on device" in single.err
    (small_disk / "filler").unlink()
    again = cli(*GRID)
    assert again.code == 0
    assert "set aside" not in again.err
    pd.testing.assert_frame_equal(table(), table(str(clean / "outputs/default")))


def test_a_read_only_store_is_one_clear_line_and_can_still_be_read(cli, small_disk):
    known = ["surrogate=logdet", "lam=0", "seed=0", *SMALL]
    assert cli("-m", *known).code == 0
    whole = table()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for new in (["-m", *known, "seed=0,1"], [*known, "seed=1"]):
        refused = cli(*new)
        assert (refused.code, refused.err.count("\n"), refused.out) == (2, 1, "")
        assert refused.err.startswith("error: ")
        assert "Read-only file system" in refused.err
    assert "Already in the store" in cli(*known).out
    pd.testing.assert_frame_equal(table(), whole)


def test_dry_run_says_what_would_run_and_trains_nothing(cli):
    cli(*GRID)
    dry = cli(*[text.replace("range(2)", "range(5)") for text in GRID], "sweep.dry_run=true")
    assert dry.code == 0
    for text in ("40 runs, 16 in the store", "surrogate", "logdet, softmax", "24 runs would train in 4 bundles", "GiB"):
        assert text in dry.out, text
    assert len(store.load("default")[1]) == 16


def test_grids_inside_experiment_files_are_expanded_each(cli):
    done = cli("-m", "experiment=quick,optimizers", "epochs=1", "seed=0", "sweep.dry_run=true")
    assert done.code == 0, done.err
    assert "outputs/quick/: 27 runs" in done.out
    assert "outputs/optimizers/: 24 runs" in done.out
    assert sorted(path.name for path in Path("outputs").iterdir()) == ["optimizers", "quick"]


FEWER = {
    "paper": ["surrogate=logdet", "regime=fixed,thermostat"],
    "tasks": ["surrogate=logdet", "regime=fixed", "task=gaussian_mixture,wine"],
    "optimizers": ["regime=fixed"],
    "premises": ["surrogate=logdet", "regime=fixed", "optimizer=plain,adam"],
    "descent": ["surrogate=logdet", "regime=fixed"],
    "samples": ["surrogate=logdet", "task.train=64,128"],
    "width": ["surrogate=logdet", "model.hidden=[8],[16]"],
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

    assert "surrogate: custom, logdet" in run("--help").stdout
    assert "kappa: 1.0" in run("regime=thermostat", "--cfg", "job").stdout
    expanded = run("-m", "experiment=quick,optimizers", "epochs=1", "seed=0", "sweep.dry_run=true").stdout
    assert "outputs/quick/: 27 runs" in expanded
    assert "outputs/optimizers/: 24 runs" in expanded
    run(*GRID, "sweep.verify=5")
    pd.testing.assert_frame_equal(table(str(tmp_path / "outputs/default")), table(str(clean / "outputs/default")))
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
    for overrides in EDGES * 2:
        stock = loader.load_sweep_config(master, overrides)
        mine = composer(overrides)
        del stock._content["hydra"]  # type: ignore[union-attr]
        assert plain(mine) == plain(stock), overrides
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
        shutil.rmtree("outputs")
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


def test_hundred_thousand_runs_load_in_a_second(tmp_path):
    store.prepare(tmp_path)
    runs = pd.DataFrame({"run_id": [f"{i:016x}" for i in range(100_000)], "status": "finished", "rows": 0, "schema": 1})
    for part in range(100):
        store.atomically(tmp_path / "runs" / f"{part}.parquet", runs[part::100].to_parquet)
    start = time.perf_counter()
    assert len(store.index(tmp_path)) == 100_000
    assert time.perf_counter() - start < 5, "a second on a quiet machine"
