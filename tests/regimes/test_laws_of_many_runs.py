"""A law of many runs at once, each with options of its own, beside the law of each run alone."""

import numpy as np
import pytest
import torch
from laws import R, number

from hclm_runner.regimes import RLThermostat, Seen, State, Thermostat


@pytest.mark.parametrize(
    ("kind", "policy"), [(Thermostat, None), (RLThermostat, "critique"), (RLThermostat, "reinforce")]
)
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
    fixed = {"setpoint": setpoint, "holds": "entropy"} | ({"policy": policy} if kind is RLThermostat else {})
    lam0, S = rng.uniform(0, 12, runs), rng.exponential(2, (epochs, runs))
    told = np.where(rng.random((2, epochs, runs)) < 0.3, np.nan, rng.normal(0, 0.3, (2, epochs, runs)))
    xi, rate = rng.standard_normal((epochs, runs)), rng.exponential(2, (epochs, runs))

    def alone(k: int | slice) -> list[State]:
        law = kind(**fixed, **{key: torch.as_tensor(value)[k] for key, value in options.items()})
        state = law.init(number(lam0)[k], torch.full((runs,), R, dtype=torch.float64)[k])
        states = []
        for t in range(epochs):
            seen = (S[t], told[0, t], told[1, t], xi[t], rate[t])
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
