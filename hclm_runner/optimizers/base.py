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

    def split(self, part: Tensor, velocity: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return the move of theta [p] that a part of the gradient made in the step of `update`, and its velocity [p].

        A step is linear in the gradients so far, given what else the rule remembers: so each part has a velocity of its
        own. What the moves of all parts leave of the step is the rule's own, such as weight decay.

        Args:
            part: Of the gradient, [p].
            velocity: Of the part after the step before, [p]; zero at first.
            memory: After the step.
        """


class Looking(Optimizer, Protocol):
    """One whose gradient is not that at theta."""

    def ahead(self, theta: Tensor, g: Tensor) -> Tensor:
        """Return where the gradient of the step is taken, [p], on the same minibatch: g [p] is that of E at theta."""
