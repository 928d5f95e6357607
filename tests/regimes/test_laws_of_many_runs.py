"""A law of many runs at once, each with options of its own, beside the law of each run alone."""

import numpy as np
import pytest
import torch
from laws import R, number

from hclm_runner.regimes import Balance, Dual, NuPI, Proportional, RLThermostat, Seen, State, Thermostat, Ziegler

HELD = {"kappa": (0.5, 2), "lam_min": (1e-4, 1e-2), "lam_max": (1, 10), "smoothing": (0.1, 1)}
PI = {"kp": (0.1, 1), "ki": (0, 0.3), "anti_windup": (0, 1)}
RL = {"alpha": (0, 1), "c0": (-0.1, 0.1), "m_min": (-2, -1), "m_max": (0, 1), "explore": (0.1, 0.5), "baseline": (0, 1)}
LAWS = {
    "thermostat": (Thermostat, PI, {}),
    "critique": (RLThermostat, PI | RL, {"policy": "critique"}),
    "reinforce": (RLThermostat, PI | RL, {"policy": "reinforce"}),
    "dual": (Dual, {"eta": (0.1, 1)}, {}),
    "ziegler": (Ziegler, {"gain": (0.1, 1), "limit": (0.1, 0.5)}, {}),
    "proportional": (Proportional, {"kp": (0.1, 0.5), "ki": (0, 0.1)}, {}),
    "nupi": (NuPI, {"kp": (0, 0.1), "ki": (0.01, 0.1), "nu": (-0.5, 0.9)}, {}),
    "balance": (Balance, {"k": (0.1, 0.5)}, {}),
}
"""Name -> a law, the ranges of its own options, and what is no number."""


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("setpoint", [None, 2.0])
def test_a_vector_of_runs_moves_exactly_as_each_run_alone(name, setpoint):
    kind, own, fixed = LAWS[name]
    runs, epochs = 11, 40
    rng = np.random.default_rng(0)
    options = {key: rng.uniform(*ends, runs) for key, ends in (HELD | own).items()}
    options["warmup"] = rng.integers(0, 8, runs)
    lam0, S = rng.uniform(0, 12, runs), rng.exponential(2, (epochs, runs))
    told = np.where(rng.random((2, epochs, runs)) < 0.3, np.nan, rng.normal(0, 0.3, (2, epochs, runs)))
    xi, (rate, F), critical = (
        rng.standard_normal((epochs, runs)),
        rng.exponential(2, (2, epochs, runs)),
        rng.normal(0.5, 1, (epochs, runs)),
    )

    def alone(k: int | slice) -> list[State]:
        numbers = {key: torch.as_tensor(value)[k] for key, value in options.items()}
        law = kind(setpoint=setpoint, holds="entropy", **fixed, **numbers)
        state = law.init(number(lam0)[k], torch.full((runs,), R, dtype=torch.float64)[k])
        states = []
        for t in range(epochs):
            seen = (S[t], told[0, t], told[1, t], xi[t], rate[t], F[t], critical[t])
            state = law.update(state, Seen(t, *(torch.as_tensor(x)[k] for x in seen)))
            states.append(state)
        return states

    together, lams = alone(slice(None)), []
    for k in range(runs):
        for t, state in enumerate(alone(k)):
            for key, value in state.items():
                assert torch.equal(value.nan_to_num(-99), together[t][key][k].nan_to_num(-99)), (k, t, key)
            lams.append(state["lam"].item())
    assert len(set(lams)) > runs * epochs / 2
