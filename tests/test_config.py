"""The typed edge: what conf/ says is complete, what determines a run determines its id, what reaches Python is plain."""

import math
import os
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml

from hclm_runner.config import CONF, EXECUTION, configure
from hclm_runner.parts import ROOMS
from hclm_runner.refusal import ConfigError

FILES = sorted(CONF.rglob("*.yaml"))
CHOICES = [(path.parent.name, path.stem) for path in FILES if path.parent.name in ROOMS]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_line_of_yaml_says_what_it_means(path):
    for number, line in enumerate(path.read_text().split("\nhydra:")[0].splitlines(), 1):
        structural = re.match(r"\s*(#|$|defaults:|_target_:|- _self_|- override|- \w+$)", line)
        assert structural or "#" in line, f"{path.name}:{number}: {line}"


@pytest.mark.parametrize(("group", "option"), CHOICES)
def test_every_option_composes_and_gives_all_its_target_needs(group, option, needs):
    chosen = getattr(configure(f"{group}={option}", needs(group, option)), group)
    assert chosen.name == option
    assert callable(chosen.load())


def test_the_defaults_are_the_reference_experiment():
    config = configure("surrogate=logdet", "regime=thermostat")
    task = {"classes": 4, "clusters": 2, "separation": 1.2, "signal": 20, "nuisance": 20, "label_noise": 0.15}
    assert config.task.options == task | {"train": 256, "feedback": 512, "test": 1024}
    assert config.model.options == {"hidden": [64], "representation": 16, "activation": "tanh"}
    assert config.optimizer.options == {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0}
    law = config.regime.options
    assert (law["kp"], law["ki"], law["kappa"], law["smoothing"], law["warmup"]) == (0.5, 0.1, 1.0, 0.5, 5)
    assert (law["lam_min"], law["lam_max"]) == (1e-3, 10.0)
    critic = configure("regime=rl_thermostat").regime.options
    assert (critic["alpha"], critic["c0"], critic["m_min"], critic["m_max"], critic["policy"]) == (
        0.5,
        0.03,
        -2.0,
        1.0,
        "critique",
    )
    assert (config.epochs, config.batch_size, config.sigma, config.omega, config.rho) == (120, 64, 1.0, 0.0, 0.0)


def test_eps_follows_sigma_unless_it_is_given():
    assert configure("sigma=0.5").surrogate.options["eps"] == 0.25
    assert configure("sigma=0.5", "surrogate.eps=2").surrogate.options["eps"] == 2.0
    assert configure("sigma=0", "surrogate.eps=2").surrogate.options["eps"] == 2.0


def test_a_configuration_is_frozen_and_comes_back_as_it_was_written():
    config = configure("surrogate=variance", "lam=3")
    with pytest.raises(Exception, match="frozen"):
        config.lam = 1.0
    plain = config.as_dict()
    assert plain["surrogate"] == {"name": "variance", "_target_": "variance", "eps": 1.0}
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain


def test_the_id_is_of_the_result_not_of_how_it_was_asked_for_or_executed():
    same = configure("lam=1", "surrogate=logdet", "seed=3").run_id
    assert configure("seed=3", "lam=1.0").run_id == same
    how = {
        "name": "other",
        "device": "cpu",
        "force": True,
        "compile": True,
        "callbacks": ["a.b"],
        "save_parameters": True,
        "checkpoint_every": 5,
    }
    for key, value in how.items():
        assert configure("lam=1", "seed=3", **{key: value}).run_id == same
    for text in ("sweep.workers=3", "sweep.on=slurm", "cluster.minutes=9"):
        assert configure("lam=1", "seed=3", text).run_id == same
    assert set(EXECUTION) == {*how, "objective", "sweep", "cluster"}
    different = [
        "lam=2",
        "seed=4",
        "surrogate.eps=2",
        "surrogate=variance",
        "regime=thermostat",
        "task.train=128",
        "epochs=5",
    ]
    different += [
        "dtype=float64",
        "optimizer.lr=0.1",
        "feedback=noisy",
        "model.hidden=[32]",
        "rho=0.1",
        "omega=0.1",
    ]
    ids = {configure("lam=1", "seed=3", other).run_id for other in different}
    assert len(ids) == len(different)
    assert same not in ids


def test_the_id_does_not_depend_on_the_sign_of_zero_nor_on_terms_that_are_off():
    assert configure("lam=-0.0").run_id == configure("lam=0").run_id
    assert configure("risk.miss_cost=2").run_id == configure().run_id
    later = {"dropout", "schedule", "schedule_warmup", "clip", "measure_samples"}
    assert not later & set(configure()._used())  # nor in the ids of stores that are older than they
    assert configure("dropout=0.1").run_id != configure("dropout=0.2").run_id != configure().run_id
    assert configure("risk.miss_cost=2", "rho=1").run_id != configure("rho=1").run_id


def test_a_refusal_travels_between_processes():
    error = pickle.loads(pickle.dumps(ConfigError("lam", -1, "a number")))
    assert (str(error), error.key) == ("lam=-1: expected a number", "lam")


@pytest.mark.parametrize(
    ("overrides", "values", "said"),
    [
        (["surrogate=null"], {}, "surrogate=null: expected one of logdet"),
        (["=3"], {}, "=3: expected key=value"),
        (["hydra=null"], {}, "must be a string"),
        ([0.3], {}, r"configure\(0.3\): expected text, as in"),
        (["lam=0,1"], {}, r"lam=0,1: expected one value; for several, a list of configurations"),
        ([], {"lam": "0.1"}, "lam='0.1': expected a finite number >= 0, without quotes"),
        ([], {"lam": math.inf}, "lam=inf: expected a finite number"),
        ([], {"lam": np.ones(3)}, r"lam=array.*expected a number, text"),
        ([], {"lamb": 1}, r"lamb: expected a known key \(did you mean lam\?\)"),
        ([], {"surrogate": "logdte"}, "did you mean logdet"),
    ],
    ids=str,
)
def test_python_gets_the_same_refusals(overrides, values, said):
    with pytest.raises(ConfigError, match=said):
        configure(*overrides, **values)


def test_keywords_are_overrides_with_values_of_python():
    options = {"optimizer.lr": np.float64(0.5), "model.hidden": (8, 4)}
    config = configure(
        "lam=1", "regime=fixed", regime="thermostat", lam=0.25, premises=True, metric_force=None, **options
    )
    texts = ["regime=thermostat", "lam=0.25", "premises=true", "optimizer.lr=0.5", "model.hidden=[8,4]"]
    assert config == configure(*texts), "and the last one given holds"
    for text in ("it's", 'C:\\a "b"', "a,b", "null", "1e3"):
        asked = configure(surrogate=f"{__name__}.named", **{"surrogate.mark": text})
        assert asked.surrogate.options == {"mark": text}


def named(Z, *, mark: str):
    return Z.sum()


def test_a_refusal_names_key_value_and_what_was_expected():
    with pytest.raises(ConfigError) as refused:
        configure("regime=thermostat", "regime.kp=0")
    assert (refused.value.key, refused.value.value, refused.value.expected) == ("regime.kp", 0, "a finite number > 0")


def test_another_process_imports_no_torch_and_gives_the_same_id():
    code = """
import sys, hclm_runner, hclm_runner.store, hclm_runner.analysis, hclm_runner.runner
assert "matplotlib" not in sys.modules
import hclm_runner.picture
print("torch" in sys.modules, hclm_runner.configure("lam=1", "regime=thermostat").run_id)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "5"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", configure("lam=1", "regime=thermostat").run_id]
