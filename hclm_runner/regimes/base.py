"""What a regime is: a control law for the entropy coefficient lam_t."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, TypedDict

import torch
from torch import Tensor


class State(TypedDict):
    """What a law carries from epoch to epoch; a law's own state extends it. One run is a 0-d tensor, many a vector."""

    lam: Tensor
    """The coefficient in force during the next epoch, >= 0."""
    setpoint: Tensor
    """The target for S, nats; NaN where the law has none."""
    feedback: Tensor
    """What the annotator reported to the law; NaN where nothing was reported, or the law does not use it."""


class Seen(NamedTuple):
    """What a law sees at the end of epoch t (epoch 0 is before training)."""

    epoch: int
    entropy: Tensor
    """S on the training set, nats."""
    utility: Tensor
    """The annotator's scalar, NaN where missing."""
    critique: Tensor
    """The annotator's critique confidence - accuracy, NaN where missing."""
    xi: Tensor
    """A standard normal draw, for policies that explore."""
    logdet_rate: Tensor
    """The rate of the channel Z + sigma xi on the training set, nats: one unit for all surrogates; NaN at sigma = 0."""
    force: Tensor
    """F = ||grad S||, on the training set."""
    critical_lam: Tensor
    """The lam at which injection and dissipation balance (Proposition 2); NaN where F = 0."""


class Law(ABC):
    """A frozen dataclass whose fields are its options: `init` the state, `update` it once an epoch.

    Laws are elementwise, so that one run is a 0-d tensor and many runs are a vector; under the trainer an option is a
    vector too. They see numbers only: no gradient reaches theta through them.
    """

    uses_feedback: ClassVar[bool]
    """Whether the law uses the annotator's reports: each law says so, and such a law is refused where there are none
    (the annotator judges classes, so a regression has none)."""

    @classmethod  # noqa: B027 - most laws have nothing to add
    def check(cls, **options: Any) -> None:
        """Refuse options that contradict each other, as numbers from the command line.

        Raises:
            ConfigError: Its key the name of an option.
        """

    @abstractmethod
    def init(self, lam0: Tensor, reference: Tensor) -> Any:
        """Return the state before epoch 0.

        Args:
            lam0: Base coefficient.
            reference: log K, nats, for a task of K classes; NaN for a regression, and where each token has a class.
        """

    @abstractmethod
    def update(self, state: Any, seen: Seen) -> Any:
        """Return the state after seeing epoch t."""


def clip(value: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Return value in [low, high]; torch.clamp takes bounds that are both numbers or both tensors, and of its dtype."""
    return torch.clamp(
        value, *(torch.as_tensor(bound, dtype=value.dtype, device=value.device) for bound in (low, high))
    )
