"""Parameters that a store keeps, and the networks that come back from them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hclm_runner import load_model, parameters, store
from hclm_runner.config import configure
from hclm_runner.records import describe
from hclm_runner.refusal import ConfigError
from hclm_runner.sweeps.plan import make_plan
from hclm_runner.training.problem import draw_task
from hclm_runner.training.trainer import train

SMALL = ["task.train=32", "task.feedback=32", "task.test=32", "batch_size=16", "epochs=2"]
OWN = """
import numpy as np
from torch import nn
from hclm_runner.tasks import Task

def line(rng):
    x = rng.standard_normal((48, 3))
    return Task(*((x[i : i + 16], x[i : i + 16, :2] * 2) for i in (0, 16, 32)), classes=None)

def net(in_features, out_features, *, width: int):
    return nn.ModuleDict({"encoder": nn.Linear(in_features, width), "head": nn.Linear(width, out_features)})
"""


def keep(folder: Path, *overrides: str, base=SMALL):
    """Train a run and write it as the command does; return its configuration and its records."""
    run = configure(base, "save_parameters=true", *overrides)
    trained = train(run)
    store.prepare(folder)
    parameters.save(folder, trained)
    store.write(folder, trained.frame(), describe(trained, "cpu", 1.0))
    return run, trained


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "parameters").glob("*"))


def test_a_run_gives_back_the_network_that_it_trained(tmp_path):
    run, trained = keep(tmp_path, "seed=3")
    network = load_model(tmp_path, run.run_id)
    assert isinstance(network, torch.nn.Module)
    assert not network.training
    theta = torch.nn.utils.parameters_to_vector(network.parameters()).detach()
    np.testing.assert_array_equal(theta.numpy(), trained.theta[0])
    x, y = (torch.from_numpy(array) for array in draw_task(run).test)
    loss = torch.nn.functional.cross_entropy(network(x.float()), y).item()
    assert loss == pytest.approx(trained.columns["test_loss"][0, -1], rel=1e-5), "of float32, summed in another order"
    assert network.encoder(x.float()).shape == (32, 16)


def test_it_needs_no_data_and_keeps_the_dtype(tmp_path, user_module):
    module = user_module(OWN)
    own = [f"task={module}.line", f"model={module}.net", "model.width=5", "dtype=float64"]
    run, trained = keep(tmp_path, *own, base=["batch_size=16", "epochs=1"])
    network = load_model(tmp_path, run.run_id)
    np.testing.assert_array_equal(network.encoder.weight.detach().numpy().ravel(), trained.theta[0, :15])
    assert network(torch.zeros(7, 3, dtype=torch.float64)).shape == (7, 2)


def test_to_save_parameters_is_no_part_of_what_a_run_is_but_a_run_without_them_is_not_all_that_was_asked(tmp_path):
    plain, asking = configure(*SMALL), configure(*SMALL, "save_parameters=true")
    assert plain.run_id == asking.run_id

    def stored(run) -> int:
        return make_plan({run.run_id: run}, store.index(tmp_path), run).stored

    keep(tmp_path, "save_parameters=false")
    assert (saved(tmp_path), stored(plain), stored(asking)) == ([], 1, 0)
    keep(tmp_path)
    assert (saved(tmp_path), stored(plain), stored(asking)) == ([f"{plain.run_id}.safetensors"], 1, 1)
    assert stored(asking.model_copy(update={"force": True})) == 0
    keep(tmp_path, "save_parameters=false")
    assert saved(tmp_path) == [], "they go with the rows that they belong to"


def test_what_cannot_be_loaded_is_refused_in_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="no store"):
        load_model(tmp_path / "nowhere", "abc")
    bare, diverged = (keep(tmp_path, *more)[0] for more in (["save_parameters=false"], ["optimizer.lr=1e30", "seed=1"]))
    assert saved(tmp_path) == [], "what diverged has no parameters to keep"
    plan = make_plan({diverged.run_id: diverged}, store.index(tmp_path), diverged)
    assert plan.stored == 1, "so that it is not tried for ever"
    refused = {
        "abc": f"a run with a result in {tmp_path}/",
        bare.run_id: "a run whose parameters were saved; the same run with save_parameters=true saves them",
        diverged.run_id: "a run that finished, got one with status diverged",
    }
    for run_id, reason in refused.items():
        with pytest.raises(ConfigError) as error:
            load_model(tmp_path, run_id)
        assert str(error.value) == f"run_id={run_id}: expected {reason}"


def test_a_file_that_is_cut_short_is_refused_wherever_that_is(tmp_path):
    run, _ = keep(tmp_path)
    path = store.parameters_of(tmp_path, run.run_id)
    content = path.read_bytes()
    for kept in (0, 7, 600, len(content) - 1):
        path.write_bytes(content[:kept])
        with pytest.raises(ConfigError, match="expected a run whose parameters can be read") as error:
            load_model(tmp_path, run.run_id)
        assert "\n" not in str(error.value)


def test_parameters_of_a_model_whose_code_changed_are_refused_and_set_aside_with_the_run(tmp_path, user_module):
    source = "from hclm_runner.models import mlp\n\ndef net(input_shape, outputs, *, width: int):\n" \
             "    return mlp(input_shape, outputs, hidden=[width], representation=2, activation='{}')\n"  # fmt: skip
    module = user_module(source.format("tanh"))
    before, _ = keep(tmp_path, f"model={module}.net", "model.width=3")
    (tmp_path / f"{module}.py").write_text(source.format("relu"))
    with pytest.raises(ConfigError, match=r"net: expected the code that run \w+ trained, but it changed since"):
        load_model(tmp_path, before.run_id)
    after = configure(*SMALL, f"model={module}.net", "model.width=3")
    assert tmp_path / f"set_aside/parameters-{before.run_id}.safetensors" in store.claim(tmp_path, [after])
    assert saved(tmp_path) == []


def test_records_name_their_parameters():
    records = train([configure(*SMALL, f"seed={seed}") for seed in range(2)])
    named = records.parameters(1)
    assert named["encoder.0.weight"].shape == (64, 40)
    assert named["head.1.bias"].shape == (4,)
    np.testing.assert_array_equal(np.concatenate([part.ravel() for part in named.values()]), records.theta[1])
    with pytest.raises(ValueError, match="no parameters"):
        records._replace(theta=None).parameters(0)


@pytest.mark.slow
def test_the_command_saves_one_run_and_a_sweep_each(cli):
    asked = [*SMALL, "save_parameters=true"]
    assert cli(*asked).code == 0
    assert cli("-m", *asked, "seed=0,1,2", "sweep.workers=2").code == 0
    runs = [configure(*SMALL, f"seed={seed}") for seed in range(3)]
    assert saved(Path("outputs/default")) == sorted(f"{run.run_id}.safetensors" for run in runs)
    for run, theta in zip(runs, train(runs).theta, strict=True):
        network = load_model("default", run.run_id)
        np.testing.assert_array_equal(torch.nn.utils.parameters_to_vector(network.parameters()).detach(), theta)
    again = cli(*asked)
    assert "Already in the store" in again.out
    assert f"parameters/{runs[0].run_id}.safetensors" in again.out


def test_the_summary_of_a_run_names_the_file(cli):
    config = configure(SMALL, "save_parameters=true")
    assert f"  outputs/default/parameters/{config.run_id}.safetensors\n" in cli(*SMALL, "save_parameters=true").out
