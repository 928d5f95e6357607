"""What is measured of a loop, on signals whose swing, settling and overshoot are known."""

import numpy as np
import pytest

from experiments.stability.response import overshoot, settling, swing

T = np.arange(241.0)


def test_the_swing_of_a_cycle_is_twice_its_amplitude_and_drift_is_none():
    """5% to 95% of a sine is 1.975 amplitudes; the parabola takes a little of a slow one."""
    for period in (2.5, 7.3, 30.0, 60.0):
        assert swing(0.6 * np.sin(2 * np.pi * T / period)) == pytest.approx(0.6 * 1.975, rel=0.1), period
    assert swing(3 + 0.02 * T - 1e-4 * T**2) == pytest.approx(0, abs=1e-10)
    assert swing(np.where(T < 120, 5 * np.sin(T), 1.0)) == pytest.approx(0, abs=1e-10), "only the second half"


def test_runs_are_judged_each_by_itself_and_one_that_diverged_swings_without_bound():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2, 241))
    x[1, 1, 200:] = np.nan
    found = swing(x)
    for i, j in np.ndindex(3, 2):
        assert found[i, j] == (np.inf if (i, j) == (1, 1) else pytest.approx(swing(x[i, j])))
    # White noise of standard deviation 1: 2 x 1.645, with about 7% of sampling error for 120 epochs.
    assert np.median(found) == pytest.approx(3.29, rel=0.2)


def test_settling_is_the_first_epoch_after_which_the_error_stays_small():
    decay = np.exp(-T / 10)
    assert settling(decay) == np.flatnonzero(decay <= 0.1)[0]
    late = np.where(T == 100, 0.3, decay)
    assert settling(late) == 101
    assert np.isnan(settling(np.where(T == 240, 0.3, decay))), "outside at the end"
    assert settling(0 * T) == 0
    assert np.isnan(settling(np.where(T > 200, np.nan, decay))), "diverged"


@pytest.mark.parametrize("side", [1, -1])
def test_overshoot_is_what_is_on_the_other_side_of_where_control_began(side):
    ringing = side * np.exp(-T / 20) * np.cos(2 * np.pi * T / 20)
    first = -ringing[10] * side
    assert overshoot(ringing, 0) == pytest.approx(first)
    assert overshoot(np.where(T < 5, -side * 9.0, ringing), 5) == pytest.approx(overshoot(ringing[5:], 0)), "not before"
    assert overshoot(side * np.exp(-T / 20), 0) == 0
