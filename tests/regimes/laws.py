"""What the tests of the control laws share: the laws with one set of options, and a way to drive them by hand."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from hclm_runner.regimes import Law, RLThermostat, Seen, State, Thermostat

R = np.log(4)
LOW, HIGH = 1e-3, 10.0
HELD = {
    "holds": "entropy",
    "kappa": 1.0,
    "setpoint": None,
    "lam_min": LOW,
    "lam_max": HIGH,
    "warmup": 5,
    "smoothing": 1.0,
}
"""The options of every law with a set point."""
PI = HELD | {"kp": 0.5, "ki": 0.1, "anti_windup": 1.0}
RL = PI | {"policy": "critique", "alpha": 0.5, "c0": 0.03, "m_min": -2.0, "m_max": 1.0, "explore": 0.2, "baseline": 0.1}


def thermostat(**options) -> Thermostat:
    return Thermostat(**(PI | options))


def rl_thermostat(**options) -> RLThermostat:
    return RLThermostat(**(RL | options))


def number(value: float | Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def see(
    epoch: int, entropy, utility=np.nan, critique=np.nan, xi=0.0, rate=np.nan, force=np.nan, critical=np.nan
) -> Seen:
    return Seen(epoch, *map(number, (entropy, utility, critique, xi, rate, force, critical)))


def start(law: Law, lam0) -> State:
    return law.init(number(lam0), number(R))


def drive(law: Law, lam0: float, seen: Iterable[Seen]) -> dict[str, np.ndarray]:
    """Return what the law set after each epoch, name -> one number an epoch."""
    state, states = start(law, lam0), []
    for each in seen:
        state = law.update(state, each)
        states.append(state)
    return {key: np.array([s[key].item() for s in states]) for key in ("lam", "setpoint", "feedback")}


def steady(entropy: float, epochs: int, **reports) -> list[Seen]:
    return [see(t, entropy, **reports) for t in range(epochs)]
