"""A model of my own. Its keyword-only parameters are its options."""

import math

from torch import nn

from hclm_runner.ranges import Count


def my_part(input_shape: tuple[int, ...], outputs: int, *, width: Count = 32, representation: Count = 8) -> nn.Module:
    """Encoder with one hidden layer of GELU units; linear head.

    Args:
        input_shape: Of a sample: (features,), or (channels, height, width) of an image.
        outputs: Classes, or components of the target.
        width: Units of the hidden layer.
        representation: d, the width of Z.

    Returns:
        A module with `encoder` (x -> Z) and `head` (Z -> outputs). All its parameters are in these two; it has no
        buffers (so no running statistics of a batch normalisation) and draws no random numbers (so no dropout).
    """
    features = math.prod(input_shape)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(features, width), nn.GELU(), nn.Linear(width, representation))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(representation, outputs)})
