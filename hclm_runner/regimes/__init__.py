"""Regimes, the control laws of lam_t, one file each; `base` says what a law is, `setpoint` what most of them share."""

from hclm_runner.regimes.balance import Balance
from hclm_runner.regimes.base import Law, Seen, State
from hclm_runner.regimes.dual import Dual
from hclm_runner.regimes.excited import Excited
from hclm_runner.regimes.fixed import Fixed
from hclm_runner.regimes.nupi import NuPI
from hclm_runner.regimes.proportional import Proportional
from hclm_runner.regimes.replay import Replay
from hclm_runner.regimes.rl_thermostat import RLThermostat
from hclm_runner.regimes.thermostat import Thermostat
from hclm_runner.regimes.ziegler import Ziegler

__all__ = [
    "Balance",
    "Dual",
    "Excited",
    "Fixed",
    "Law",
    "NuPI",
    "Proportional",
    "RLThermostat",
    "Replay",
    "Seen",
    "State",
    "Thermostat",
    "Ziegler",
]
