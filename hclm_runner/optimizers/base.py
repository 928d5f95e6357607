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


class Splitting(Optimizer, Protocol):
    """One that also says what each part of the gradient has done: without it the balance of entropy is null."""

    def split(self, theta: Tensor, parts: Tensor, velocities: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return the moves and the velocities of parts of the gradient in the step that `update` has made.

        A step is linear in the gradients so far, given what else the rule remembers: so each part has a velocity of its
        own, and the moves of all parts add up to the step.

        Args:
            theta: [p], before the step.
            parts: [k, p], of the gradient; the last takes what the rule itself adds to it, such as weight decay.
            velocities: [k, p], as they were after the step before; zero at first.
            memory: After the step.

        Returns:
            Moves of theta [k, p], and velocities [k, p].
        """
