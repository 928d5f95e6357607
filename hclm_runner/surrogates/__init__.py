"""Entropy surrogates S(Z), one file each; `base` says what a surrogate is, and what each of ours promises."""

from hclm_runner.surrogates.base import PROMISES, Surrogate
from hclm_runner.surrogates.logdet import logdet
from hclm_runner.surrogates.logdet_bounds import logdet_blockwise, logdet_lowrank, logdet_stochastic
from hclm_runner.surrogates.softmax import softmax
from hclm_runner.surrogates.variance import variance
from hclm_runner.surrogates.vib import vib

__all__ = [
    "PROMISES",
    "Surrogate",
    "logdet",
    "logdet_blockwise",
    "logdet_lowrank",
    "logdet_stochastic",
    "softmax",
    "variance",
    "vib",
]
