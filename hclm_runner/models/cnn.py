"""A convolutional network."""

import itertools
import math
from typing import Literal

from torch import nn

from hclm_runner.models.base import axes
from hclm_runner.models.mlp import ACTIVATIONS, Linear
from hclm_runner.parts import part
from hclm_runner.ranges import Count
from hclm_runner.refusal import ConfigError


@part("model", "cnn", version=1)
def cnn(
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    channels: list[Count],
    kernel: Count,
    groups: Count,
    representation: Count,
    activation: Literal["tanh", "relu", "gelu"],
) -> nn.Module:
    """Convolutions into a linear representation, read by a ReLU and a linear head.

    Encoder, on [channels, length] or [channels, height, width]: for each number of channels a convolution with zeros
        beyond the edge, GroupNorm (Wu & He 2018, arXiv:1803.08494), activation, and the largest of every 2 (2 x 2)
        neighbours; at last a linear layer. Head: ReLU -> outputs. Weights start as torch has them.

    Raises:
        ConfigError: If the samples are flat or too small, the kernel is even, or the groups do not divide the channels.
    """
    sides = axes(input_shape, "cnn")
    if kernel % 2 == 0:
        raise ConfigError("model.kernel", kernel, "an odd number, so that each point is in the middle of its window")
    if any(width % groups for width in channels):
        raise ConfigError("model.groups", groups, f"a divisor of each of model.channels={channels}")
    if min(sides) < 2 ** len(channels):
        most = int(math.log2(min(sides)))
        raise ConfigError("model.channels", channels, f"at most {most} layers for samples of shape {list(input_shape)}")
    conv, pool = (nn.Conv1d, nn.MaxPool1d) if len(sides) == 1 else (nn.Conv2d, nn.MaxPool2d)
    layers: list[nn.Module] = []
    for above, width in itertools.pairwise([input_shape[0], *channels]):
        layers += [conv(above, width, kernel, padding=kernel // 2), nn.GroupNorm(groups, width)]
        layers += [ACTIVATIONS[activation](), pool(2)]
    features = [*input_shape[:1], *channels][-1] * math.prod(side >> len(channels) for side in sides)
    encoder = nn.Sequential(*layers, nn.Flatten(), Linear(features, representation))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Sequential(nn.ReLU(), Linear(representation, outputs))})
