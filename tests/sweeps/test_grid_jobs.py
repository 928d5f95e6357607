"""Jobs that are put together from parts are those that are composed whole, refusals word for word."""

import itertools
import shutil

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_automatic_config_search_path
from hydra.errors import HydraException
from hydra.types import RunMode
from hypothesis import given, settings
from hypothesis import strategies as st

from hclm_runner.config import CONF, ConfigError, explain, resolve
from hclm_runner.config.compose import Composer
from hclm_runner.config.grid import Grid


def composer_of(conf):
    loader = ConfigLoaderImpl(create_automatic_config_search_path(None, None, str(conf)))
    return Composer(loader, loader.load_configuration("config", [], RunMode.MULTIRUN))


@pytest.fixture(scope="module")
def composer():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        compose("config")  # registers the plugins
    return composer_of(CONF)


def product(*axes):
    return list(map(list, itertools.product(*axes)))


def outcome(way, overrides):
    """Return a job's configuration, or in which words it is refused."""
    try:
        return way(overrides)
    except ConfigError as error:
        return str(error)
    except (HydraException, ValueError) as error:
        return str(explain(error, overrides))


AXES = [
    ["lam=0.1", "lam=1", "lam=-1", "lam=1"],
    ["seed=0", "seed=1", "seed=4294967296", "+seed=2"],
    ["data_seed=null", "data_seed=3", "data_seed=${seed}"],
    ["sigma=1", "sigma=0", "sigma=1e-21"],
    ["surrogate=logdet", "surrogate=softmax", "surrogate=entropy"],
    ["surrogate.eps=0.1", "surrogate.eps=1e-40", "surrogate.eps=${lam}", "~surrogate.eps"],
    ["dtype=float32", "dtype=float64"],
    ["regime=fixed", "regime=thermostat", "regime=yoked"],
    ["regime.holds=entropy", "regime.holds=logdet_rate"],
    ["epochs=1", "epochs=3"],
    ["schedule_warmup=0", "schedule_warmup=2", "++schedule_warmup=1"],
    ["optimizer.lr=0.1", "optimizer.lr=0.5", "optimizer.lr=fast"],
    ["risk={miss_cost:2.0}", "risk.miss_cost=3.0", "risk.miss_cost=-1"],
    ["model.hidden=[8]", "model.hidden=[8,4]", "model.hidden=0"],
    ["name=a", "name=b", "name=/"],
    ["callbacks=[]", "rate=1"],
]


@given(st.data())
@settings(max_examples=8, deadline=None)
def test_every_job_of_a_grid_is_the_one_that_is_composed_whole(composer, data):
    chosen = data.draw(st.lists(st.sampled_from(AXES), min_size=2, max_size=2, unique_by=id))
    grid = Grid(composer)
    for overrides in product(*chosen):
        assert outcome(grid, overrides) == outcome(lambda job: resolve(composer(job)), overrides), overrides


# Each pair of keys that is valid alone and refused together, and each value that follows another.
FOLLOWING = {
    "eps of sigma": [["surrogate=logdet"], ["sigma=1", "sigma=2"], ["lam=0", "lam=1"]],
    "eps and dtype": [["surrogate=logdet"], ["surrogate.eps=1e-40", "surrogate.eps=1"], ["dtype=float64", "dtype=float32"]],
    "sigma and dtype": [["surrogate=logdet"], ["sigma=1e-21", "sigma=1"], ["dtype=float64", "dtype=float32"]],
    "holds and sigma": [["regime=thermostat"], ["regime.holds=entropy", "regime.holds=logdet_rate"], ["sigma=1", "sigma=0"], ["surrogate=softmax"]],
    "a law and sigma": [["surrogate=softmax"], ["regime=fixed", "regime=rate"], ["sigma=1", "sigma=0"]],
    "warm-up and epochs": [["schedule_warmup=0", "schedule_warmup=2"], ["epochs=3", "epochs=1"]],
    "a mapping": [["sigma=1", "sigma=2"], ["surrogate={eps:0.5}", "surrogate={name:mine}"]],
    "a reference": [["lam=1", "lam=2"], ["surrogate.eps=0.5", "surrogate.eps=${lam}"]],
    "a key twice": [["lam=1", "lam=2"], ["lam=3", "lam=4"]],
    "a group and its key": [["surrogate=logdet", "surrogate=softmax"], ["surrogate.eps=1", "surrogate.eps=2"]],
}  # fmt: skip


@pytest.mark.parametrize("name", FOLLOWING)
def test_keys_that_are_looked_at_together_are_one_part(composer, name):
    jobs, grid = product(*FOLLOWING[name]), Grid(composer)
    for overrides in (*jobs, *reversed(jobs)):
        assert outcome(grid, overrides) == outcome(lambda job: resolve(composer(job)), overrides), overrides


def test_a_product_is_composed_value_by_value(composer):
    seeds, lams = ([f"{key}={number}" for number in range(12)] for key in ("seed", "lam"))
    jobs, grid = product(["surrogate=logdet", "surrogate=softmax"], lams, seeds), Grid(composer)
    configs = [grid(job) for job in jobs]
    assert len({config.run_id for config in configs}) == len(jobs) == 288
    assert len(jobs) - grid.put_together == 12 + 12 - 1 + 1, "each value once, each surrogate once"
    rates = product(["optimizer.lr=0.1", "optimizer.lr=0.2"], ["surrogate.eps=1", "surrogate.eps=2"], lams)
    grid = Grid(composer)
    assert [grid(job) for job in rates] == [resolve(composer(job)) for job in rates]
    assert len(rates) - grid.put_together == 12 + 2


def test_a_sample_is_composed_hydras_own_way_and_a_difference_is_found(composer, tmp_path):
    jobs, grid = product(["lam=0", "lam=1"], ["seed=0", "seed=1"]), Grid(composer)
    for job in jobs:
        grid(job)
    grid.check(jobs, 2)
    edited = shutil.copytree(CONF, tmp_path / "conf") / "config.yaml"
    edited.write_text(edited.read_text().replace("epochs: 120", "epochs: 7"))
    grid.composer = composer_of(tmp_path / "conf")
    with pytest.raises(RuntimeError, match=r"epochs=120 .*, where Hydra composes .*epochs=7 "):
        grid.check(jobs, 1)
