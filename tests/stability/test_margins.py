"""The predicted boundary, where it is known in closed form, where the project's law runs in the loop, and elsewhere."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.stability.identify import Plant
from experiments.stability.margins import Loop, critical_gain, margins, outer, thermostat
from hclm_runner.regimes import Seen, Thermostat

INTEGRATOR = Plant(np.array([1.0]), np.array([1.0]), 0)


def loop_of(plant: Plant) -> Loop:
    """Return the loop of a plant alone, fed back with its sign turned."""
    numerator = np.concatenate([np.zeros(1 + plant.delay), plant.b])
    return Loop(numerator, np.array([1.0, *-plant.a]))


@pytest.mark.parametrize("delay", [0, 1, 2, 5, 20])
def test_an_integrator_with_delay_is_stable_below_the_gain_of_levin_and_may(delay):
    """x_{t+1} = x_t - k x_{t-d} is stable for 0 < k < 2 cos(d pi / (2 d + 1)) (doi 10.1016/0040-5809(76)90043-5)."""
    found = critical_gain(loop_of(INTEGRATOR).late(delay))
    assert found == pytest.approx(2 * np.cos(delay * np.pi / (2 * delay + 1)), rel=1e-10)


@pytest.mark.parametrize("a", [-0.5, 0.0, 0.3, 0.9])
def test_a_first_order_plant_has_the_boundary_of_its_polynomial(a):
    plant = loop_of(Plant(np.array([a]), np.array([1.0]), 0))
    assert critical_gain(plant) == pytest.approx(1 + a), "z = a - k"
    if a >= 0:
        assert critical_gain(plant.late(1)) == pytest.approx(1), "z^2 - a z + k: the product of its roots is k"


def test_outer_loop_round_a_static_plant_is_an_integrator():
    """m_{t+1} = m_t - alpha g m_t, late by d."""
    for delay, g in ((0, 0.4), (3, 0.4), (7, 2.0)):
        boundary = critical_gain(outer(Plant(np.array([0.0]), np.array([g]), 0), 1.0, delay))
        assert boundary == pytest.approx(2 / g * np.cos(delay * np.pi / (2 * delay + 1)), rel=1e-9)


plants = st.builds(
    lambda r, s, g: Plant(np.array([r + s, -r * s]), np.array([-g * (1 - r) * (1 - s)]), 0),
    *(st.floats(-0.6, 0.95), st.floats(0.0, 0.9), st.floats(0.1, 3)),
)


@given(plant=plants, ratio=st.just(0.0) | st.floats(0.01, 1), smoothing=st.floats(0.2, 1), delay=st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_the_loop_is_stable_below_the_critical_gain_and_not_above(plant, ratio, smoothing, delay):
    loop = thermostat(plant, 1.0, ratio, smoothing, delay)
    least = critical_gain(loop)
    assert 0 < least < np.inf
    assert loop.times(0.999 * least).stable
    assert not loop.times(1.001 * least).stable
    # At the boundary a root is on the unit circle, and none outside.
    assert np.abs(loop.times(least).roots).max() == pytest.approx(1, abs=1e-6)


@given(plant=plants, smoothing=st.floats(0.2, 1))
@settings(max_examples=25, deadline=None)
def test_delays_within_the_delay_margin_are_stable_and_the_next_is_not(plant, smoothing):
    loop = thermostat(plant, 1.0, 0.3, smoothing)
    loop = loop.times(0.3 * critical_gain(loop))
    found = margins(loop)
    assert found.gain == pytest.approx(1 / 0.3)
    if found.delay < 100 and abs(found.delay - round(found.delay)) > 1e-3:
        assert loop.late(int(found.delay)).stable
        assert not loop.late(int(found.delay) + 1).stable
    assert margins(loop.times(4.0)) is None, "a loop that is not stable has no margins"


def test_a_plant_that_answers_the_wrong_way_has_no_stable_gain():
    assert critical_gain(thermostat(Plant(np.array([0.5]), np.array([0.3]), 0), 1.0, 0.2, 0.5)) == 0


@pytest.mark.parametrize(("a", "b"), [([0.6], [-0.3]), ([1.2, -0.5], [-0.2])])
@pytest.mark.parametrize(("ki", "smoothing", "delay"), [(0.2, 0.5, 0), (0.2, 0.5, 4), (1.0, 1.0, 1)])
def test_the_law_itself_in_a_loop_decays_and_grows_as_the_roots_say(a, b, ki, smoothing, delay):
    """The project's `Thermostat` on a plant of logarithms: 1% below the boundary and 1% above it.

    The rate is that of the largest root to 1e-3 an epoch: the swing is small enough (1e-3) for the average of S to be
    that of log S.
    """
    plant = Plant(np.array(a), np.array(b), 0)
    boundary = critical_gain(thermostat(plant, 1.0, ki, smoothing, delay))
    for times in (0.99, 1.01):
        kp = times * boundary
        options = {"holds": "entropy", "kappa": 1.0, "setpoint": 1.0, "lam_min": 1e-3, "lam_max": 10.0, "warmup": 0}
        law = Thermostat(**options, smoothing=smoothing, kp=kp, ki=ki * kp, anti_windup=1.0)
        state = law.init(torch.tensor(0.1, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))
        y, u = [0.0, 1e-7], [0.0] * (delay + 2)
        for t in range(160):
            S = torch.tensor(np.exp(y[-1 - delay] if len(y) > delay else 0.0), dtype=torch.float64)
            state = law.update(state, Seen(**dict.fromkeys(Seen._fields, S) | {"epoch": t}))
            u.append(state["lam"].log().item() - np.log(0.1))
            past = sum(c * y[-1 - i] for i, c in enumerate(a))
            y.append(past + b[0] * u[-1])
        size = [max(abs(np.array(y[t : t + 40]))) for t in (60, 120)]
        assert max(size) < 1e-3
        rate = (size[1] / size[0]) ** (1 / 60)
        assert rate == pytest.approx(np.abs(thermostat(plant, kp, ki * kp, smoothing, delay).roots).max(), abs=1e-3)
        assert (rate < 1) == (times < 1)


@pytest.mark.slow  # for its import
def test_margins_are_those_of_python_control():
    control = pytest.importorskip("control")
    plant = Plant(np.array([1.1, -0.35]), np.array([-0.2]), 0)
    for ki, delay in ((0.1, 0), (0.2, 3), (1.0, 8), (0.0, 1)):
        loop = thermostat(plant, 1.0, ki, 0.5, delay)
        loop = loop.times(0.6 * critical_gain(loop))
        size = max(len(loop.numerator), len(loop.denominator))
        num, den = (np.pad(part, (0, size - len(part))) for part in (loop.numerator, loop.denominator))
        gain, phase, _, _, crossover, _ = control.stability_margins(control.tf(num, den, 1), method="poly")
        found = margins(loop)
        assert found.gain == pytest.approx(gain, rel=1e-6)
        if np.isfinite(found.phase):
            assert found.phase == pytest.approx(phase, rel=1e-5)
            assert found.delay == pytest.approx(np.radians(phase) / crossover, rel=1e-5)
