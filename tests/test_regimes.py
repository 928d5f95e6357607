"""Control laws on plants and errors whose response is known exactly."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hclm_runner.regimes import Fixed, RLThermostat, Seen, State, Thermostat

R = np.log(4)
LOW, HIGH = 1e-3, 10.0
PI = {
    "kappa": 1.0,
    "setpoint": None,
    "lam_min": LOW,
    "lam_max": HIGH,
    "warmup": 5,
    "smoothing": 1.0,
    "kp": 0.5,
    "ki": 0.1,
    "anti_windup": 1.0,
}
RL = PI | {"policy": "critique", "alpha": 0.5, "c0": 0.03, "m_min": -2.0, "m_max": 1.0, "explore": 0.2, "baseline": 0.1}


def thermostat(**options) -> Thermostat:
    return Thermostat(**(PI | options))


def rl_thermostat(**options) -> RLThermostat:
    return RLThermostat(**(RL | options))


def number(value: float | Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def see(epoch: int, entropy, utility=np.nan, critique=np.nan, xi=0.0) -> Seen:
    return Seen(epoch, number(entropy), number(utility), number(critique), number(xi))


def start(law: Fixed | Thermostat, lam0) -> State:
    return law.init(number(lam0), number(R))


def drive(law: Fixed | Thermostat, lam0: float, seen: Iterable[Seen]) -> dict[str, np.ndarray]:
    """Return what the law set after each epoch, name -> one number an epoch."""
    state, states = start(law, lam0), []
    for each in seen:
        state = law.update(state, each)
        states.append(state)
    return {key: np.array([s[key].item() for s in states]) for key in ("lam", "setpoint", "told")}


def steady(entropy: float, epochs: int, **told) -> list[Seen]:
    return [see(t, entropy, **told) for t in range(epochs)]


# --- fixed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lam0", [0.0, 0.3, 1e6])
def test_fixed_never_moves_and_hears_nothing(lam0):
    rng = np.random.default_rng(0)
    path = drive(Fixed(), lam0, [see(t, *rng.exponential(5, 4)) for t in range(20)])
    assert (path["lam"] == lam0).all()
    assert np.isnan(path["setpoint"]).all()
    assert np.isnan(path["told"]).all()
    assert not Fixed.hears_feedback


# --- thermostat: open loop ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("e", [-0.9, -0.2, 0.0, 0.1, 0.7])
@pytest.mark.parametrize(("warmup", "kp", "ki"), [(5, 0.5, 0.1), (1, 0.3, 0.02), (7, 2.0, 0.05)])
def test_constant_error_moves_log_lam_by_ki_e_an_epoch_and_without_a_bump(e, warmup, kp, ki):
    path = drive(thermostat(warmup=warmup, kp=kp, ki=ki), 0.1, steady(R * np.exp(e), 25))
    t = np.arange(25)
    # In warm-up I = -kp e, so at t = warmup the proportional term is cancelled and only the integral moves.
    np.testing.assert_allclose(path["lam"], 0.1 * np.exp(ki * e * np.maximum(t - warmup, 0)), rtol=1e-12)
    assert (path["setpoint"] == R).all()
    assert np.isnan(path["told"]).all()


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


# --- many runs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Thermostat, RLThermostat])
@pytest.mark.parametrize("policy", ["critique", "reinforce"])
@pytest.mark.parametrize("setpoint", [None, 2.0])
def test_a_vector_of_runs_moves_exactly_as_each_run_alone(kind, policy, setpoint):
    runs, epochs = 11, 40
    rng = np.random.default_rng(0)
    options = {
        "kappa": rng.uniform(0.5, 2, runs),
        "lam_min": rng.uniform(1e-4, 1e-2, runs),
        "lam_max": rng.uniform(1, 10, runs),
        "warmup": rng.integers(0, 8, runs),
        "smoothing": rng.uniform(0.1, 1, runs),
        "kp": rng.uniform(0.1, 1, runs),
        "ki": rng.uniform(0, 0.3, runs),
        "anti_windup": rng.uniform(0, 1, runs),
    }
    if kind is RLThermostat:
        options |= {
            "alpha": rng.uniform(0, 1, runs),
            "c0": rng.normal(0, 0.1, runs),
            "m_min": rng.uniform(-2, -1, runs),
            "m_max": rng.uniform(0, 1, runs),
            "explore": rng.uniform(0.1, 0.5, runs),
            "baseline": rng.uniform(0, 1, runs),
        }
    fixed = {"setpoint": setpoint} | ({"policy": policy} if kind is RLThermostat else {})
    lam0, S = rng.uniform(0, 12, runs), rng.exponential(2, (epochs, runs))
    told = np.where(rng.random((2, epochs, runs)) < 0.3, np.nan, rng.normal(0, 0.3, (2, epochs, runs)))
    xi = rng.standard_normal((epochs, runs))

    def alone(k: int | slice) -> list[State]:
        law = kind(**fixed, **{key: torch.as_tensor(value)[k] for key, value in options.items()})
        state = law.init(number(lam0)[k], torch.full((runs,), R, dtype=torch.float64)[k])
        states = []
        for t in range(epochs):
            state = law.update(state, Seen(t, *(torch.as_tensor(x)[k] for x in (S[t], told[0, t], told[1, t], xi[t]))))
            states.append(state)
        return states

    together, lams = alone(slice(None)), []
    for k in range(runs):
        for t, state in enumerate(alone(k)):
            for key, value in state.items():
                assert torch.equal(value.nan_to_num(-99), together[t][key][k].nan_to_num(-99)), (k, t, key)
            lams.append(state["lam"].item())
    assert len(set(lams)) > runs * epochs / 2


# --- feedback moves the set point: critique -------------------------------------------------------------------------


@pytest.mark.parametrize("c", [-0.05, 0.03, 0.1])
@pytest.mark.parametrize("kappa", [1.0, 0.5])
def test_a_constant_critique_moves_the_log_set_point_linearly(c, kappa):
    path = drive(rl_thermostat(kappa=kappa), 0.1, steady(R, 15, critique=c))
    heard = np.maximum(np.arange(15) - 4, 0)  # from t = warmup = 5 on
    np.testing.assert_allclose(path["setpoint"], kappa * R * np.exp(-0.5 * (c - 0.03) * heard), rtol=1e-12)
    assert (path["setpoint"][:5] == kappa * R).all()
    assert (path["told"][5:] == c).all()


@pytest.mark.parametrize(("c", "end"), [(0.9, -2.0), (-0.9, 1.0)])
def test_set_point_stops_at_its_bounds_and_turns_back_at_once(c, end):
    law = rl_thermostat()
    seen = [see(t, R, critique=c if t < 40 else -c) for t in range(42)]
    m = np.log(drive(law, 0.1, seen)["setpoint"] / R)
    assert m[20:40] == pytest.approx(end)
    assert m[40] == pytest.approx(end - 0.5 * (-c - 0.03))


def test_missing_critique_holds_the_last_set_point():
    critiques = np.array([np.nan] * 5 + [0.4, np.nan, np.nan, 0.2, np.nan])
    path = drive(rl_thermostat(), 0.1, [see(t, R, utility=0.7, critique=c) for t, c in enumerate(critiques)])
    m = np.log(path["setpoint"] / R)
    first, second = -0.5 * 0.37, -0.5 * (0.37 + 0.17)
    np.testing.assert_allclose(m, [0] * 5 + [first] * 3 + [second] * 2, atol=1e-14)
    assert path["setpoint"][5] == path["setpoint"][6] == path["setpoint"][7]
    np.testing.assert_array_equal(path["told"], critiques)


def test_over_confidence_raises_lam_and_without_a_step_size_it_is_a_thermostat():
    seen = [see(t, R * np.exp(0.3 * np.sin(t)), critique=0.5) for t in range(30)]
    plain = drive(thermostat(), 0.1, seen)
    deaf = drive(rl_thermostat(alpha=0.0), 0.1, seen)
    hearing = drive(rl_thermostat(), 0.1, seen)
    np.testing.assert_array_equal(deaf["lam"], plain["lam"])
    np.testing.assert_array_equal(deaf["setpoint"], plain["setpoint"])
    assert (hearing["lam"][5:] > plain["lam"][5:]).all()
    assert RLThermostat.hears_feedback
    assert not Thermostat.hears_feedback


def test_entropy_is_held_at_the_set_point_that_feedback_chose():
    law, state = rl_thermostat(), start(rl_thermostat(), 0.1)
    for t in range(200):
        S = np.exp(0.2 - state["lam"].log().item())
        state = law.update(state, see(t, S, critique=0.43 if t == 50 else np.nan))
    assert np.exp(0.2) / state["lam"].item() == pytest.approx(R * np.exp(-0.5 * 0.4), rel=1e-3)


# --- feedback moves the set point: reinforce ------------------------------------------------------------------------


def bandit(reward: Callable[[Tensor], Tensor], xi: Tensor, **options) -> Tensor:
    """Return m by epoch [T, runs], without warm-up, where the reward is a function of the m in force; xi [T, runs]."""
    law = rl_thermostat(policy="reinforce", warmup=0, **options)
    runs = xi.shape[1]
    state = law.init(torch.full((runs,), 0.1, dtype=torch.float64), torch.full((runs,), R, dtype=torch.float64))
    nothing, path = torch.full((runs,), np.nan, dtype=torch.float64), []
    for t, draws in enumerate(xi):
        m = (state["setpoint"] / R).log()
        state = law.update(state, Seen(t, torch.full_like(m, R), reward(m), nothing, draws))
        path.append((state["setpoint"] / R).log())
    return torch.stack(path)


def test_expected_update_of_the_policy_is_the_gradient_of_the_reward():
    """m1 = s xi is judged against the first reward r(0); E[mu2] = alpha r'(0) for a quadratic r, exactly."""
    best, alpha, runs = 0.5, 0.02, 100_000
    xi = torch.from_numpy(np.random.default_rng(0).standard_normal((2, runs)))
    xi[1] = 0  # so that m shows mu
    mu = bandit(lambda m: -((m - best) ** 2), xi, alpha=alpha)[-1]
    standard_error = mu.std().item() / runs**0.5
    assert mu.mean().item() == pytest.approx(alpha * 2 * best, abs=4 * standard_error)
    assert standard_error < 0.02 * alpha * 2 * best  # so the test can tell


@pytest.mark.parametrize("best", [-0.6, 0.5])
def test_policy_climbs_to_the_best_set_point_on_average(best):
    runs, epochs = 400, 400
    xi = torch.from_numpy(np.random.default_rng(1).standard_normal((epochs, runs)))
    xi[-1] = 0
    mu = bandit(lambda m: -((m - best) ** 2), xi, alpha=0.02)[-1]
    assert mu.mean().item() == pytest.approx(best, abs=0.02)
    # Negative control: with the reward turned round it ends far from there.
    away = bandit(lambda m: (m - best) ** 2, xi, alpha=0.02)[-1]
    assert ((away - best).abs() > 0.2).double().mean() > 0.95


def test_policy_updates_follow_the_rule_of_williams():
    rng = np.random.default_rng(2)
    rewards, xi = rng.normal(0.3, 0.2, 30), rng.standard_normal(30)
    alpha, s, w, low, high = 0.05, 0.3, 0.2, -0.4, 0.5
    options = {"alpha": alpha, "explore": s, "baseline": w, "m_min": low, "m_max": high}
    law = rl_thermostat(policy="reinforce", warmup=0, **options)
    m = np.log(drive(law, 0.1, [see(t, R, utility=rewards[t], xi=xi[t]) for t in range(30)])["setpoint"] / R)
    mu, b, a, expected = 0.0, rewards[0], 0.0, []
    for r, x in zip(rewards, xi, strict=True):
        mu = min(max(mu + alpha * (r - b) * (a - mu) / s**2, low), high)
        b = (1 - w) * b + w * r
        a = mu + s * x
        expected.append(min(max(a, low), high))
    assert {low, high} <= set(expected)  # both clips are met
    np.testing.assert_allclose(m, expected, rtol=0, atol=1e-12)


def test_policy_does_not_move_on_a_constant_reward():
    xi = torch.from_numpy(np.random.default_rng(3).standard_normal((50, 20)))
    xi[-1] = 0
    assert (bandit(lambda m: torch.full_like(m, 0.37), xi)[-1] == 0).all()


def test_missing_reward_holds_everything_that_the_policy_learned():
    law = rl_thermostat(policy="reinforce", warmup=0)
    state = start(law, 0.1)
    for t in range(10):
        state = law.update(state, see(t, R, utility=0.1 * t, xi=(-1) ** t))
    held = law.update(state, see(10, R, critique=0.9, xi=2.5))
    assert held["setpoint"] == state["setpoint"]
    assert held["told"].isnan()
    assert state["told"] == pytest.approx(0.9)
    # What it does on the next reward is what it would have done without the gap.
    after, without_gap = (law.update(s, see(11, R, utility=0.5, xi=0.3)) for s in (held, state))
    assert after["setpoint"] == without_gap["setpoint"]
    assert after["setpoint"] != held["setpoint"]


def test_policy_waits_for_the_end_of_warm_up():
    law = rl_thermostat(policy="reinforce")
    path = drive(law, 0.1, [see(t, R, utility=t, xi=1.0) for t in range(7)])
    assert (path["setpoint"][:5] == R).all()
    assert np.log(path["setpoint"][5] / R) == pytest.approx(0.2)
