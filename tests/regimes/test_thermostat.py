"""The laws without feedback, on plants and errors whose response is known exactly."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import HIGH, LOW, R, drive, number, see, start, steady, thermostat

from hclm_runner.regimes import Fixed, Thermostat

# --- fixed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lam0", [0.0, 0.3, 1e6])
def test_fixed_never_moves_and_hears_nothing(lam0):
    rng = np.random.default_rng(0)
    path = drive(Fixed(), lam0, [see(t, *rng.exponential(5, 4)) for t in range(20)])
    assert (path["lam"] == lam0).all()
    assert np.isnan(path["setpoint"]).all()
    assert np.isnan(path["feedback"]).all()
    assert not Fixed.uses_feedback


# --- thermostat: open loop ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("e", [-0.9, -0.2, 0.0, 0.1, 0.7])
@pytest.mark.parametrize(("warmup", "kp", "ki"), [(5, 0.5, 0.1), (1, 0.3, 0.02), (7, 2.0, 0.05)])
def test_constant_error_moves_log_lam_by_ki_e_an_epoch_and_without_a_bump(e, warmup, kp, ki):
    path = drive(thermostat(warmup=warmup, kp=kp, ki=ki), 0.1, steady(R * np.exp(e), 25))
    t = np.arange(25)
    # In warm-up I = -kp e, so at t = warmup the proportional term is cancelled and only the integral moves.
    np.testing.assert_allclose(path["lam"], 0.1 * np.exp(ki * e * np.maximum(t - warmup, 0)), rtol=1e-12)
    assert (path["setpoint"] == R).all()
    assert np.isnan(path["feedback"]).all()


def test_without_warm_up_the_proportional_term_acts_at_once():
    path = drive(thermostat(warmup=0), 0.1, steady(R * np.exp(0.6), 20))
    np.testing.assert_allclose(path["lam"], 0.1 * np.exp(0.5 * 0.6 + 0.1 * 0.6 * np.arange(20)), rtol=1e-12)


@pytest.mark.parametrize("smoothing", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("e", [-0.8, 0.7])
def test_step_response_is_that_of_a_proportional_integral_law_on_the_smoothed_entropy(smoothing, e):
    warmup, after, kp, ki = 5, 20, 0.5, 0.1
    law = thermostat(smoothing=smoothing, kp=kp, ki=ki, warmup=warmup)
    S1 = R * np.exp(e)
    path = drive(law, 0.1, [see(t, R if t < warmup else S1) for t in range(warmup + after)])
    y = S1 + (R - S1) * (1 - smoothing) ** np.arange(1, after + 1)
    error = np.log(y / R)
    log_lam = np.log(0.1) + kp * error + ki * np.concatenate([[0], np.cumsum(error)[:-1]])
    np.testing.assert_allclose(path["lam"][:warmup], 0.1, rtol=1e-13)
    np.testing.assert_allclose(path["lam"][warmup:], np.exp(log_lam), rtol=1e-12)


def test_moving_average_starts_at_the_first_entropy_seen():
    law = thermostat(smoothing=0.25, warmup=1, ki=0.0)
    S = [3.0, 1.0, 2.0, 1.5]
    path = drive(law, 0.1, [see(t, s) for t, s in enumerate(S)])
    y = [3.0, 2.5, 2.375, 2.15625]
    np.testing.assert_allclose(path["lam"], 0.1 * (np.array(y) / y[0]) ** 0.5, rtol=1e-12)


@pytest.mark.parametrize(("entropy", "e"), [(1e300, 1), (20 * R, 1), (R / 20, -1), (0, -1), (-1, -1)])
def test_error_is_clipped_to_one_e_fold(entropy, e):
    path = drive(thermostat(warmup=0), 0.1, steady(entropy, 3))
    np.testing.assert_allclose(path["lam"], 0.1 * np.exp(e * (0.5 + 0.1 * np.arange(3))), rtol=1e-12)


def test_set_point_is_kappa_times_the_reference_or_the_option():
    assert start(thermostat(kappa=0.5), 0.1)["setpoint"].item() == 0.5 * R
    assert start(thermostat(kappa=0.5, setpoint=3.0), 0.1)["setpoint"].item() == 1.5
    held = drive(thermostat(kappa=0.5, setpoint=3.0), 0.1, steady(1.5, 20))
    np.testing.assert_allclose(held["lam"], 0.1, rtol=1e-13)


@given(
    S=st.floats(1e-6, 1e6),
    lam0=st.floats(LOW, HIGH),
    warmup=st.integers(1, 6),
    smoothing=st.floats(0.1, 1),
    kp=st.floats(0.01, 5),
)
@settings(max_examples=40, deadline=None)
def test_taking_over_is_bumpless_whatever_the_error(S, lam0, warmup, smoothing, kp):
    law = thermostat(warmup=warmup, smoothing=smoothing, kp=kp)
    lam = drive(law, lam0, steady(S, warmup + 1))["lam"]
    np.testing.assert_allclose(lam, lam0, rtol=1e-9)


def test_taking_over_answers_to_what_the_error_moved_in_the_last_epoch_of_warm_up():
    S = [R * np.exp(e) for e in (0.9, -0.5, 0.2, 0.2, 0.3)]
    lam = drive(thermostat(warmup=4), 0.1, [see(t, s) for t, s in enumerate(S)])["lam"]
    assert lam[4] == pytest.approx(0.1 * np.exp(0.5 * (0.3 - 0.2)), rel=1e-12)


# --- thermostat: closed loop ----------------------------------------------------------------------------------------


def close_loop(law: Thermostat, lam0: float, plant: Callable[[int, float], float], epochs: int) -> np.ndarray:
    """Return log S and log lam by epoch: the lam set at the end of an epoch is in force in the next."""
    state, rows = start(law, lam0), []
    for t in range(epochs):
        log_S = plant(t, state["lam"].log().item())
        state = law.update(state, see(t, np.exp(log_S)))
        rows.append([log_S, state["lam"].log().item()])
    return np.array(rows).T


@pytest.mark.parametrize("b", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("smoothing", [1.0, 0.5])
def test_closed_loop_on_a_log_linear_plant_settles_on_the_set_point(b, smoothing):
    law = thermostat(smoothing=smoothing)
    # The plant is disturbed half-way; integral action removes that error too.
    log_S, log_lam = close_loop(law, 0.1, lambda t, u: np.log(R) - 0.4 - b * (u + 1) - 0.3 * (t > 300), 600)
    for end, disturbance in ((300, 0), (599, 0.3)):
        assert log_S[end] == pytest.approx(np.log(R), abs=1e-4)
        assert log_lam[end] == pytest.approx(-1 - (0.4 + disturbance) / b, abs=1e-3)


def test_without_integral_action_the_error_stays():
    log_S, _ = close_loop(thermostat(ki=0.0), 0.1, lambda _, u: np.log(R) - 0.4 - (u + 1), 300)
    assert log_S[-1] - np.log(R) == pytest.approx(-0.4 - (np.log(0.1) + 1), rel=1e-9)


@pytest.mark.parametrize(("kp", "ki", "b"), [(0.5, 0.1, 1.0), (0.5, 0.1, 0.3), (1.1, 0.3, 0.8)])
def test_closed_loop_follows_the_linear_recurrence_exactly(kp, ki, b):
    warmup, epochs, u0, a = 3, 60, np.log(0.3), np.log(R) + 0.5
    log_S, log_lam = close_loop(thermostat(kp=kp, ki=ki, warmup=warmup), 0.3, lambda _, u: a - b * (u - u0), epochs)
    # State (u, I, 1), with e = g - b u:  u' = u0 + kp e + I,  I' = I + ki e.
    g = a - np.log(R) + b * u0
    M = np.array([[-kp * b, 1, u0 + kp * g], [-ki * b, 1, ki * g], [0, 0, 1]])
    assert np.sort(abs(np.linalg.eigvals(M)))[1] < 1
    first = np.array([u0, -kp * (g - b * u0), 1])
    expected = [(np.linalg.matrix_power(M, n) @ first)[0] for n in range(1, epochs - warmup + 1)]
    assert max(abs(log_S - np.log(R))) < 1  # the error is nowhere clipped
    np.testing.assert_allclose(log_lam[warmup:], expected, rtol=0, atol=1e-12)
    assert np.ptp(expected) > 0.3


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("anti_windup", "soonest", "latest"), [(1.0, 1, 2), (0.0, 100, 1000)])
def test_anti_windup_leaves_a_bound_as_soon_as_the_error_turns(side, anti_windup, soonest, latest):
    law = thermostat(anti_windup=anti_windup)
    held = [see(t, R * np.exp(side)) for t in range(200)]
    turned = [see(t, R * np.exp(-side)) for t in range(200, 1300)]
    lam = drive(law, 0.1, held + turned)["lam"]
    bound = HIGH if side > 0 else LOW
    assert (lam[100:200] == bound).all()
    left = np.flatnonzero(lam[200:] != bound)
    assert len(left) > 0
    epochs_at_bound = left[0] + 1
    assert soonest <= epochs_at_bound <= latest


@given(
    entropies=st.lists(
        st.floats(0, 1e300) | st.sampled_from([0.0, -1.0, 5e-324, R, 2 * R]) | st.floats(0.1, 10),
        min_size=8,
        max_size=30,
    ),
    lam0=st.floats(0, 100),
    smoothing=st.floats(0.01, 1),
    kp=st.floats(0.01, 10),
    ki=st.floats(0, 10),
    anti_windup=st.sampled_from([0.0, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_lam_never_leaves_its_bounds(entropies, lam0, smoothing, kp, ki, anti_windup):
    law = thermostat(smoothing=smoothing, kp=kp, ki=ki, anti_windup=anti_windup)
    assert LOW <= start(law, lam0)["lam"].item() <= HIGH
    lam = drive(law, lam0, [see(t, S) for t, S in enumerate(entropies)])["lam"]
    assert ((lam >= LOW) & (lam <= HIGH)).all()
    assert (lam[:5] == np.clip(lam0, LOW, HIGH)).all()


@pytest.mark.parametrize(
    ("key", "option", "value"), [("lam", "lam_min", 0.7), ("lam", "lam_max", 0.01), ("setpoint", "setpoint", 2.3)]
)
@pytest.mark.parametrize("given_as", [number, float])
def test_options_are_not_rounded_to_float32(key, option, value, given_as):
    law = thermostat(**{option: given_as(value)})
    lam0 = 0.0 if option == "lam_min" else 100.0
    assert start(law, lam0)[key].item() == value
