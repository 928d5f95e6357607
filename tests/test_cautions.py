"""What makes a run suspicious is said: in its row of runs/, and at the terminal."""

import numpy as np
import pytest

from hclm_runner import ConfigError, configure, load, train
from hclm_runner.cautions import cautions

OWN = """
import numpy as np
from hclm_runner import Task
from hclm_runner.surrogates import logdet

def detached(Z, eps: float = 1.0):
    return logdet(Z.detach(), eps=eps)

def moody(rng):
    x, y = np.random.default_rng().normal(size=(96, 3)).astype("float32"), rng.integers(2, size=96)
    return Task((x[:64], y[:64]), (x[64:80], y[64:80]), (x[80:], y[80:]), classes=2)

def constant(rng):
    x, y = np.ones((96, 3), "float32"), np.arange(96) % 2
    return Task((x[:64], y[:64]), (x[64:80], y[64:80]), (x[80:], y[80:]), classes=2)
"""


def measured(epochs, S, setpoint, lam, force=1.0):
    row = {"entropy": S, "setpoint": setpoint, "lam": lam, "force": force}
    return {name: np.broadcast_to(np.asarray(value, float), epochs + 1).copy() for name, value in row.items()}


def test_an_ordinary_run_has_none():
    run = configure(["regime=rl_thermostat", "epochs=30"])
    S, lam = np.linspace(3, 1, 31), np.linspace(0.1, 1, 31)
    assert cautions(run, measured(30, S, 1.4, lam)) == []  # it passes its set point
    assert cautions(run, measured(30, S, 0.4, lam)) == []  # it has not come to it yet, and lam still moves
    assert cautions(configure(["epochs=30"]), measured(30, S, np.nan, 0.1)) == []


@pytest.mark.parametrize(("setpoint", "side"), [(50.0, "below"), (0.5, "above")])
def test_a_set_point_that_is_out_of_reach(setpoint, side):
    run = configure(["regime=thermostat", "epochs=30"])
    lam = np.concatenate([np.linspace(0.1, 10, 20), np.full(11, 10.0)])
    (found,) = cautions(run, measured(30, np.linspace(3, 1, 31), setpoint, lam))
    assert found.startswith(f"the set point is out of reach: S is {side} it in every epoch")
    diverged = measured(30, np.linspace(3, 1, 31), setpoint, lam)
    diverged["entropy"][8:] = np.nan  # too short to say
    assert cautions(run, diverged) == []


def test_waits_that_are_longer_than_the_run():
    ordinary = measured(5, 1.0, 2.0, np.linspace(0.1, 1, 6))
    assert cautions(configure(["regime=thermostat", "epochs=6"]), ordinary) == []
    assert "regime.warmup" in cautions(configure(["regime=thermostat", "epochs=5"]), ordinary)[0]
    late = ["regime.warmup=0", "feedback=delayed", "epochs=10"]
    assert "feedback.delay" in cautions(configure(["regime=rl_thermostat", *late]), ordinary)[0]
    assert cautions(configure(["regime=thermostat", *late]), ordinary) == []  # it hears no annotator
    assert cautions(configure(["regime=rl_thermostat", *late, "epochs=11"]), ordinary) == []


def test_a_detached_surrogate_is_named_in_the_summary_and_in_the_store(cli, user_module):
    own = user_module(OWN)
    surrogate = ("surrogate=softmax", f"surrogate._target_={own}.detached", "epochs=1")
    alone = cli(*surrogate, "name=alone")
    together = cli("-m", *surrogate, "seed=0,1", "name=together")
    for outcome, name in ((alone, "alone"), (together, "together")):
        assert outcome.code == 0
        assert outcome.err.count("warning: the surrogate exerts no force") == 1
        assert load(name)[1]["warnings"].str.contains("is Z detached in it").all()
    assert "detached / fixed" in together.err
    assert "warning" not in cli("epochs=1", "name=alone").err


def test_a_task_that_ignores_its_rng_is_refused(user_module):
    own = user_module(OWN)
    ours = [f"~task.{key}" for key in configure([]).task.options]

    def run(name):
        return configure(["epochs=1", "batch_size=8", f"task._target_={own}.{name}", *ours])

    with pytest.raises(ConfigError, match=r"expected the same data for the same rng, .* got another train split"):
        train([run("moody")])
    assert len(train([run("constant")]).runs) == 1
