"""The laws from the literature and `balance`: each beside a loop of Python floats, and on plants whose response is known."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import HELD, HIGH, LOW, R, drive, see, start, steady

from hclm_runner import configure
from hclm_runner.refusal import ConfigError
from hclm_runner.regimes import Balance, Dual, NuPI, Proportional, Ziegler

OPTIONS = {
    Dual: {"eta": 0.4},
    Ziegler: {"gain": 0.7, "limit": 0.3},
    Proportional: {"kp": 0.2, "ki": 0.03},
    NuPI: {"kp": 0.08, "ki": 0.02, "nu": 0.6},
    Balance: {"k": 0.2},
}
EACH = pytest.mark.parametrize("kind", OPTIONS)


def law_of(kind, **options):
    return kind(**(HELD | OPTIONS[kind] | options))


# --- the recurrences, as their sources write them -----------------------------------------------------------------------


def clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def dual(lam, _warmup, eta):
    while True:
        y, *_, active = yield lam
        if active:
            lam = clip(math.exp(math.log(lam) + eta * (y - R) / R), LOW, HIGH)


def ziegler(lam, _warmup, gain, limit):
    while True:
        y, *_, active = yield lam
        if active:
            lam = clip(lam * (1 + gain * clip((y - R) / R, -limit, limit)), LOW, HIGH)


def proportional(lam, warmup, kp, ki):
    start = lam
    total = start - LOW - kp / 2
    while True:
        y, *_, active = yield lam
        P = kp / (1 + math.exp(R - y))
        if not active:
            total = start - LOW - P
            continue
        v = LOW + P + total
        lam = clip(v, LOW, HIGH)
        if not ((v > HIGH and y > R) or (v < LOW and y < R)):
            total += ki * (y - R)


def nupi(lam, _warmup, kp, ki, nu):
    xi = None
    while True:
        y, *_, active = yield lam
        xi_before = y - R if xi is None else xi
        xi = nu * xi_before + (1 - nu) * (y - R)
        if active:
            lam = clip(lam + ki * (y - R) + kp * (xi - xi_before), LOW, HIGH)


def balance(lam, _warmup, k):
    while True:
        y, F, critical, active = yield lam
        if active and F > 0:
            lam = clip(critical + k * (y - R) / F**2, LOW, HIGH)


LOOPS = {Dual: dual, Ziegler: ziegler, Proportional: proportional, NuPI: nupi, Balance: balance}


def by_hand(kind, lam0, S, F, critical, warmup, smoothing) -> Iterator[float]:
    """Yield lam_t by the loop of a law."""
    loop = LOOPS[kind](clip(lam0, LOW, HIGH), warmup, **OPTIONS[kind])
    next(loop)
    y = S[0]
    for t, each in enumerate(S):
        y = smoothing * each + (1 - smoothing) * y
        yield loop.send((y, F[t], critical[t], t >= warmup))


@EACH
@pytest.mark.parametrize(("lam0", "warmup", "smoothing"), [(0.1, 5, 1.0), (0.0, 0, 0.5), (50.0, 2, 0.3)])
def test_lam_follows_the_recurrence(kind, lam0, warmup, smoothing):
    rng = np.random.default_rng(0)
    S = R * np.exp(rng.normal(0.2 * np.sin(np.arange(60) / 4), 0.5))
    F, critical = rng.exponential(1, 60), rng.normal(0.3, 0.3, 60)
    F[7], critical[7] = 0.0, np.nan
    law = law_of(kind, warmup=warmup, smoothing=smoothing)
    seen = [see(t, S[t], force=F[t], critical=critical[t]) for t in range(60)]
    path = drive(law, lam0, seen)
    expected = [*by_hand(kind, lam0, S, F, critical, warmup, smoothing)]
    np.testing.assert_allclose(path["lam"], expected, rtol=1e-12)  # of sums of a few terms in another order
    assert len(set(expected)) > 20
    assert (path["setpoint"] == R).all()
    assert np.isnan(path["feedback"]).all()
    assert not kind.uses_feedback


# --- what each of them promises ------------------------------------------------------------------------------------------


@EACH
@given(
    S=st.lists(
        st.floats(0, 1e300) | st.sampled_from([0.0, -1.0, R, 5e-324]) | st.floats(0.1, 10), min_size=6, max_size=12
    ),
    F=st.sampled_from([0.0, 1e-170, 1e-3, 1.0, 1e6]),
    critical=st.floats(-1e300, 1e300) | st.floats(-1, 1),
    lam0=st.floats(0, 100),
)
@settings(max_examples=25, deadline=None)
def test_lam_never_leaves_its_bounds(kind, S, F, critical, lam0):
    seen = [see(t, each, force=F, critical=critical if F else np.nan) for t, each in enumerate(S)]
    lam = drive(law_of(kind), lam0, seen)["lam"]
    assert ((lam >= LOW) & (lam <= HIGH)).all()
    assert (lam[:5] == np.clip(lam0, LOW, HIGH)).all()


@EACH
@pytest.mark.parametrize("side", [1, -1])
def test_lam_rises_above_the_set_point_and_falls_below_it(kind, side):
    lam = drive(law_of(kind), 0.3, steady(R * np.exp(0.1 * side), 12, force=1.0, critical=0.3))["lam"]
    assert (lam[:5] == 0.3).all()
    assert (side * (lam[6:] - 0.3) > 0).all()
    assert (side * np.diff(lam[5:]) >= 0).all()


@EACH
def test_at_the_set_point_lam_stays(kind):
    lam = drive(law_of(kind), 0.3, steady(R, 12, force=2.0, critical=0.3))["lam"]
    np.testing.assert_allclose(lam, 0.3, rtol=1e-14)


@EACH
@pytest.mark.parametrize("side", [1, -1])
def test_a_bound_is_left_as_soon_as_the_error_turns(kind, side):
    epochs, facts = 130, {"force": 0.3, "critical": 0.3}
    held, turned = (R + 5 * side, epochs), (R - 5 * side, 3)
    path = [S for S, length in (held, turned) for _ in range(length)]
    lam = drive(law_of(kind), 0.3, [see(t, S, **facts) for t, S in enumerate(path)])["lam"]
    bound = HIGH if side > 0 else LOW
    assert lam[epochs - 1] == bound
    assert lam[epochs + 2] != bound


def test_the_papers_anti_windup_of_the_proportional_law_would_not_leave_the_bound():
    """Why ours looks at the sign of e: with the integral stopped whenever v is out of bounds, it is stopped for good."""
    integral = HIGH  # one step beyond it is enough
    for _ in range(100):
        v = LOW + 0.2 / (1 + math.exp(1)) + integral
        integral += 0.03 * -1 if LOW <= v <= HIGH else 0
    assert integral == HIGH


def test_the_proportional_law_comes_back_from_beyond_a_bound():
    law = law_of(Proportional, warmup=0, ki=1.0)
    lam = drive(law, 9.9, [see(0, R + 1), *(see(t, R - 0.3) for t in range(1, 6))])["lam"]
    assert lam[1] == HIGH
    assert lam[-1] < HIGH


def follow(law, plant: Callable[[float, float], float], S0: float, epochs: int, **of_plant) -> np.ndarray:
    """Return S by epoch, of a plant that gives the next S from S and the lam in force."""
    state, S, path = start(law, 0.3), S0, []
    for t in range(epochs):
        state = law.update(state, see(t, S, **of_plant))
        path.append(S)
        S = plant(S, state["lam"].item())
    return np.array(path)


@pytest.mark.parametrize("kind", [Dual, Ziegler, Proportional, NuPI])
@pytest.mark.parametrize("S0", [0.5, 4.0])
def test_on_a_plant_that_lam_drains_s_comes_to_the_set_point(kind, S0):
    S = follow(law_of(kind), lambda S, lam: S + 0.1 * (2.0 / (1 + lam) - S), S0, 400)
    assert S[-1] == pytest.approx(R, rel=1e-2)
    assert abs(S[5] - R) > 0.2  # so it had to come there


@pytest.mark.parametrize("k", [0.05, 0.4])
def test_on_the_entropy_balance_itself_balance_closes_the_error_by_k_exactly(k):
    """S' = S + (critical - lam) F^2, Proposition 2 in one step: the error shrinks by 1 - k each epoch."""
    F, critical = 1.7, 1.0
    S = follow(
        law_of(Balance, warmup=0, k=k),
        lambda S, lam: S + (critical - lam) * F**2,
        R + 1,
        30,
        force=F,
        critical=critical,
    )
    np.testing.assert_allclose(S - R, (1 - k) ** np.arange(30), rtol=1e-9, atol=1e-12)


def test_nupi_without_its_proportional_term_is_ascent_and_dual_is_ascent_on_the_logarithm():
    S = R + np.random.default_rng(1).normal(0, 0.2, 30)
    seen = [see(t, each) for t, each in enumerate(S)]
    sums = np.concatenate([np.zeros(5), np.cumsum(S[5:] - R)])
    np.testing.assert_allclose(drive(law_of(NuPI, kp=0.0), 0.3, seen)["lam"], 0.3 + 0.02 * sums, rtol=1e-12)
    np.testing.assert_allclose(np.log(drive(law_of(Dual), 0.3, seen)["lam"] / 0.3), 0.4 * sums / R, atol=1e-12)


def test_ziegler_steps_by_no_more_than_gain_times_limit():
    lam = drive(law_of(Ziegler), 0.3, steady(100 * R, 9))["lam"]
    np.testing.assert_allclose(lam[4:] / 0.3, (1 + 0.7 * 0.3) ** np.arange(5), rtol=1e-12)


# --- what is refused -----------------------------------------------------------------------------------------------------

REFUSED = {
    ("dual", "eta=0"): "regime.eta=0: expected a finite number > 0",
    ("dual", "lam_min=20"): r"regime.lam_min=20.0: expected less than regime.lam_max=10.0",
    ("ziegler", "gain=5"): r"regime.gain=5.0: expected less than 1 / regime.limit=5: lam would turn negative",
    ("proportional", "kp=9.999"): r"regime.kp=9.999: expected less than regime.lam_max - regime.lam_min=9.999",
    ("nupi", "nu=1"): "regime.nu=1",
    ("nupi", "ki=-0.1"): "regime.ki=-0.1: expected a finite number > 0",
    ("balance", "k=-1"): "regime.k=-1: expected a finite number > 0",
    ("balance", "holds=logdet_rate"): "regime.holds=logdet_rate: expected entropy",
}


@pytest.mark.parametrize(("law", "option"), REFUSED)
def test_options_that_make_no_sense_are_refused(law, option):
    with pytest.raises(ConfigError) as refused:
        configure(f"regime={law}", f"regime.{option}")
    assert str(refused.value).startswith(REFUSED[law, option])


def test_rate_is_the_thermostat_that_holds_the_rate_under_a_name_of_its_own():
    rate, thermostat = (
        configure("regime=rate"),
        configure("regime=thermostat", "regime.holds=logdet_rate", "regime.setpoint=1"),
    )
    assert rate.run_id == thermostat.run_id
    assert configure("regime=rate", "regime.setpoint=2").label_of("regime") == "rate(setpoint=2)"
