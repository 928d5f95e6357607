"""What an optimiser is: an update rule for the flat parameter vector theta [p] of one run."""

from typing import Protocol

from torch import Tensor

Memory = dict[str, Tensor]
"""What a rule remembers from one step to the next, by name."""


class Optimizer(Protocol):
    """A frozen dataclass whose fields are its options."""

    def init(self, theta: Tensor) -> Memory:
        """Return the memory before the first step."""

    def update(self, theta: Tensor, g: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Return theta and memory after one step along the gradient g [p]; nothing is changed in place."""
