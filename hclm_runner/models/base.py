"""What a model is: an encoder and a head, built once for each seed."""

import inspect
from collections.abc import Callable
from typing import Any, Protocol

from torch import nn

from hclm_runner.refusal import ConfigError


class Model(Protocol):
    """A function of the shape of a sample and of a number; its keyword-only parameters are its options.

    A model whose first parameter has another name than `input_shape` gets the number of features there, and trains on
    flat samples only. One that has a parameter `vocabulary` gets how many tokens there are, and trains on tokens only:
    x [B, T], int64.
    """

    def __call__(self, input_shape: tuple[int, ...], outputs: int, **options: Any) -> nn.Module:
        """Return a module with an `encoder` (x [B, ...] -> Z [B, d]) and a `head` (Z -> [B, outputs]).

        Z may be tokens, [B, T, d]. Where each token has a class the head returns [B, T, outputs]. The module has no
        parameters outside them and no buffers. Torch's global generator is seeded for the purpose, so any of torch's
        initialisations may be used.

        Args:
            input_shape: Of one sample: (features,), (channels, length), (channels, height, width), or (T,) of tokens.
            outputs: Classes, or components of the target.
            **options: Its own.
        """


def axes(input_shape: tuple[int, ...], model: str) -> tuple[int, ...]:
    """Return the length, or height and width, of samples that have channels first.

    Raises:
        ConfigError: If they have none, or more axes than two.
    """
    if len(input_shape) not in (2, 3):
        wanted = (
            f"mlp, or a task of [channels, length] or [channels, height, width]: its samples are {list(input_shape)}"
        )
        raise ConfigError("model", model, wanted)
    return input_shape[1:]


def reads_shape(model: Callable[..., nn.Module]) -> bool:
    """Return whether a model is one of `input_shape`: else its first argument is the number of features."""
    return next(iter(inspect.signature(model).parameters)) == "input_shape"


def reads_tokens(model: Callable[..., nn.Module]) -> bool:
    """Return whether a model is one of tokens: it asks for their `vocabulary`."""
    return "vocabulary" in inspect.signature(model).parameters
