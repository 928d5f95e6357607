"""What a model is: an encoder and a head, built once for each seed."""

from typing import Any, Protocol

from torch import nn


class Model(Protocol):
    """A function of the two sizes; its keyword-only parameters are its options."""

    def __call__(self, in_features: int, out_features: int, **options: Any) -> nn.Module:
        """Return a module with an `encoder` (x [B, in_features] -> Z [B, d]) and a `head` (Z -> [B, out_features]).

        It has no parameters outside them and no buffers. Torch's global generator is seeded for the purpose, so any of
        torch's initialisations may be used.
        """
