"""Entropy surrogates S(Z), one file each; `base` says what a surrogate is, and what each of ours promises."""

from hclm_runner.surrogates.base import PROMISES, Surrogate
from hclm_runner.surrogates.logdet import logdet
from hclm_runner.surrogates.softmax import softmax
from hclm_runner.surrogates.variance import variance
from hclm_runner.surrogates.vib import vib

__all__ = ["PROMISES", "Surrogate", "logdet", "softmax", "variance", "vib"]
