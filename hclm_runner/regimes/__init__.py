"""Regimes, the control laws of lam_t, one file each; `base` says what a law is."""

from hclm_runner.regimes.base import Law, Seen, State
from hclm_runner.regimes.excited import Excited
from hclm_runner.regimes.fixed import Fixed
from hclm_runner.regimes.rl_thermostat import RLThermostat
from hclm_runner.regimes.thermostat import Thermostat

__all__ = ["Excited", "Fixed", "Law", "RLThermostat", "Seen", "State", "Thermostat"]
