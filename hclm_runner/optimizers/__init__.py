"""Optimisers, one file a family; `base` says what an optimiser is."""

from hclm_runner.optimizers.adam import Adam
from hclm_runner.optimizers.base import Looking, Memory, Optimizer, Splitting
from hclm_runner.optimizers.sam import SAM
from hclm_runner.optimizers.sgd import SGD

__all__ = ["SAM", "SGD", "Adam", "Looking", "Memory", "Optimizer", "Splitting"]
