"""The thermostat under examination: a late reading and a test signal, against loops of their own."""

import numpy as np
import pytest
import torch
from laws import HIGH, LOW, RL, R, drive, number, rl_thermostat, see, start, thermostat

from hclm_runner.regimes import Excited, Seen

OPTIONS = RL | {"alpha": 0.0, "delay": 0, "excites": "lam", "amplitude": 0.0, "period": 4}


def excited(**options) -> Excited:
    return Excited(**(OPTIONS | options))


def wandering(epochs: int, seed: int = 0) -> list[Seen]:
    rng = np.random.default_rng(seed)
    S = R * np.exp(0.4 * rng.standard_normal(epochs))
    return [see(t, S[t], critique=0.1 * rng.standard_normal(), xi=rng.standard_normal()) for t in range(epochs)]


def test_without_signal_and_delay_it_is_a_thermostat_and_with_alpha_one_that_hears():
    seen = wandering(40)
    for options, law in (({}, thermostat()), ({"alpha": 0.5}, rl_thermostat())):
        for key in ("lam", "setpoint"):
            np.testing.assert_array_equal(drive(excited(**options), 0.1, seen)[key], drive(law, 0.1, seen)[key])


@pytest.mark.parametrize("delay", [1, 3, 50])
def test_it_reads_the_entropy_of_so_many_epochs_ago(delay):
    seen = wandering(40)
    late = [now._replace(entropy=seen[max(t - delay, 0)].entropy) for t, now in enumerate(seen)]
    np.testing.assert_array_equal(drive(excited(delay=delay), 0.1, seen)["lam"], drive(thermostat(), 0.1, late)["lam"])


def test_what_is_read_late_is_what_is_held():
    seen = [now._replace(entropy=number(99.0), logdet_rate=now.entropy) for now in wandering(30)]
    held = drive(excited(holds="logdet_rate", delay=2), 0.1, seen)["lam"]
    np.testing.assert_array_equal(held, drive(excited(delay=2), 0.1, wandering(30))["lam"])


def signal(seen: list[Seen], warmup: int, period: int) -> np.ndarray:
    b, signs = 0.0, []
    for t, now in enumerate(seen):
        if t >= warmup and (t - warmup) % period == 0:
            b = -1.0 if now.xi.item() < 0 else 1.0
        signs.append(b)
    return np.array(signs)


@pytest.mark.parametrize(("period", "amplitude"), [(1, 0.3), (4, -0.3), (7, 0.01)])
def test_the_signal_is_added_to_the_logarithm_of_what_the_law_sets(period, amplitude):
    seen = wandering(60)
    b = signal(seen, 5, period)
    assert {-1.0, 0.0, 1.0} == set(b)
    quiet, law = drive(thermostat(), 0.1, seen), {"amplitude": amplitude, "period": period}
    loud = drive(excited(**law), 0.1, seen)
    np.testing.assert_allclose(np.log(loud["lam"] / quiet["lam"]), amplitude * b, atol=1e-12)
    np.testing.assert_array_equal(loud["setpoint"], quiet["setpoint"])
    moved = drive(excited(excites="setpoint", **law), 0.1, seen)
    np.testing.assert_allclose(np.log(moved["setpoint"] / R), amplitude * b, atol=1e-12)
    shifted = [now._replace(entropy=now.entropy * np.exp(-amplitude * b[t])) for t, now in enumerate(seen)]
    np.testing.assert_allclose(moved["lam"], drive(thermostat(), 0.1, shifted)["lam"], rtol=1e-12)


def test_lam_stays_in_its_bounds_whatever_the_signal():
    lam = drive(excited(amplitude=20.0, period=2), 0.1, wandering(60))["lam"]
    assert {LOW, HIGH} <= set(lam)
    assert ((lam >= LOW) & (lam <= HIGH)).all()


def test_many_runs_with_options_of_their_own_move_exactly_as_each_alone():
    runs, epochs, rng = 7, 30, np.random.default_rng(3)
    options = {
        "delay": rng.integers(0, 9, runs),
        "period": rng.integers(1, 6, runs),
        "warmup": rng.integers(0, 8, runs),
    }
    options |= {"amplitude": rng.normal(0, 0.3, runs), "kp": rng.uniform(0.1, 2, runs)}
    seen = [wandering(epochs, seed=k) for k in range(runs)]

    def alone(k: int | slice) -> list[dict]:
        law = excited(**{key: torch.as_tensor(value)[k] for key, value in options.items()})
        state = law.init(torch.full((runs,), 0.1, dtype=torch.float64)[k], number(R).expand(runs)[k])
        states = []
        for t in range(epochs):
            each = (torch.stack([seen[i][t][j] for i in range(runs)])[k] for j in range(1, len(Seen._fields)))
            states.append(state := law.update(state, Seen(t, *each)))
        return states

    together = alone(slice(None))
    for k in range(runs):
        for t, state in enumerate(alone(k)):
            for key in ("lam", "setpoint", "y", "I", "sign"):
                assert torch.equal(state[key].nan_to_num(-9), together[t][key][k].nan_to_num(-9)), (k, t, key)
    assert start(excited(delay=3), 0.1)["readings"].shape == (4,)
