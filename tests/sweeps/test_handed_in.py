"""What tasks on other machines hand in, and what is said where a dask scheduler cannot be used; tests/cluster/ has a real one."""

import sys

import pytest
from synthetic_runs import configs, described, write

from hclm_runner import store
from hclm_runner.config import configure
from hclm_runner.refusal import ConfigError
from hclm_runner.sweeps.engine import execute

DASK = ["sweep.on=dask", "cluster=dask", "cluster.address=tcp://127.0.0.1:1"]


@pytest.fixture
def folder(tmp_path):
    store.prepare(tmp_path / "s" / store.CLUSTER)
    store.prepare(tmp_path / "s")
    return tmp_path / "s"


def hand_in(folder, runs, lam=None, status=None):
    """Hand in a shard whose records say which attempt they are of."""
    records, runs = described(runs, status)
    store.hand_in(folder, records.assign(lam=lam), runs)


@pytest.mark.parametrize("then", [range(4), range(2), range(2, 6), [3]], ids=["whole", "half", "overlap", "alone"])
def test_of_a_task_that_ran_twice_the_first_counts(folder, then):
    runs = configs(6)
    hand_in(folder, runs[:4], lam=1.0)
    store.take_in(folder)
    hand_in(folder, [runs[place] for place in then], lam=2.0)
    with store.locked(folder, print) as aside:
        assert aside == []
    records, known = store.load(folder)
    lam = records.groupby("run_id")["lam"].agg(["size", "unique"])
    assert len(lam) == len(known) == len({*range(4), *then})
    for place in {*range(4), *then}:
        assert lam.loc[runs[place].run_id, "size"] == 4
        assert list(lam.loc[runs[place].run_id, "unique"]) == [1.0 if place < 4 else 2.0]
    assert not list((folder / store.CLUSTER).rglob("*.parquet"))


def test_a_result_counts_more_than_that_an_earlier_attempt_failed(folder):
    runs = configs(1)
    store.write(folder, *described(runs, "failed"))
    hand_in(folder, runs, lam=2.0)
    store.take_in(folder)
    assert list(store.index(folder)["status"]) == ["finished"]


def test_where_distributed_is_missing_a_sweep_on_dask_is_one_line(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = cli("-m", "lam=0,1", "epochs=3", *DASK)
    wanted = "error: sweep.on=dask: expected distributed to be installed: pip install 'hclm-runner[dask]'\n"
    assert (done.code, done.err) == (2, wanted)


@pytest.mark.parametrize("on", [DASK, ["sweep.on=slurm"]], ids=["dask", "slurm"])
def test_where_the_store_has_all_runs_no_cluster_is_asked(tmp_path, monkeypatch, on):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    for package in ("distributed", "submitit"):
        monkeypatch.setitem(sys.modules, package, None)
    runs = configs(3, *on)
    write(store.OUTPUTS / "default", runs[:2])
    assert execute(runs[:2]) == 0
    with pytest.raises(ConfigError, match=on[0]):
        execute(runs)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["sweep.on=dask"], "sweep.on=dask: expected cluster=dask cluster.address=... beside it"),
        (["sweep.on=slurm", *DASK[1:]], "sweep.on=slurm: expected cluster=slurm beside it"),
        (["cluster=dask"], "cluster.address=???: expected the address of a running scheduler, as in tcp://"),
        (["cluster=dask", "cluster.address=here"], "cluster.address=here: expected the address of a running scheduler"),
        ([*DASK, "cluster.minutes=3"], "cluster.minutes: expected a known key (a key of cluster=slurm); keys: address"),
    ],
)
def test_options_of_dask_that_do_not_fit_are_refused(overrides, said):
    with pytest.raises(ConfigError) as refused:
        configure(overrides)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
