"""The law whose set point moves by feedback: the critique's step, and the policy gradient."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from laws import R, drive, rl_thermostat, see, start, steady, thermostat
from torch import Tensor

from hclm_runner.regimes import RLThermostat, Seen, Thermostat

# --- feedback moves the set point: critique -------------------------------------------------------------------------


@pytest.mark.parametrize("c", [-0.05, 0.03, 0.1])
@pytest.mark.parametrize("kappa", [1.0, 0.5])
def test_a_constant_critique_moves_the_log_set_point_linearly(c, kappa):
    path = drive(rl_thermostat(kappa=kappa), 0.1, steady(R, 15, critique=c))
    heard = np.maximum(np.arange(15) - 4, 0)  # from t = warmup = 5 on
    np.testing.assert_allclose(path["setpoint"], kappa * R * np.exp(-0.5 * (c - 0.03) * heard), rtol=1e-12)
    assert (path["setpoint"][:5] == kappa * R).all()
    assert (path["feedback"][5:] == c).all()


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
    np.testing.assert_array_equal(path["feedback"], critiques)


def test_over_confidence_raises_lam_and_without_a_step_size_it_is_a_thermostat():
    seen = [see(t, R * np.exp(0.3 * np.sin(t)), critique=0.5) for t in range(30)]
    plain = drive(thermostat(), 0.1, seen)
    deaf = drive(rl_thermostat(alpha=0.0), 0.1, seen)
    hearing = drive(rl_thermostat(), 0.1, seen)
    np.testing.assert_array_equal(deaf["lam"], plain["lam"])
    np.testing.assert_array_equal(deaf["setpoint"], plain["setpoint"])
    assert (hearing["lam"][5:] > plain["lam"][5:]).all()
    assert RLThermostat.uses_feedback
    assert not Thermostat.uses_feedback


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
        state = law.update(state, Seen(t, torch.full_like(m, R), reward(m), nothing, draws, *[nothing] * 3))
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
    assert held["feedback"].isnan()
    assert state["feedback"] == pytest.approx(0.9)
    # What it does on the next reward is what it would have done without the gap.
    after, without_gap = (law.update(s, see(11, R, utility=0.5, xi=0.3)) for s in (held, state))
    assert after["setpoint"] == without_gap["setpoint"]
    assert after["setpoint"] != held["setpoint"]


def test_policy_waits_for_the_end_of_warm_up():
    law = rl_thermostat(policy="reinforce")
    path = drive(law, 0.1, [see(t, R, utility=t, xi=1.0) for t in range(7)])
    assert (path["setpoint"][:5] == R).all()
    assert np.log(path["setpoint"][5] / R) == pytest.approx(0.2)
