"""A residual network."""

from typing import Any

from torch import Tensor, nn

from hclm_runner.models.base import axes
from hclm_runner.models.mlp import Linear
from hclm_runner.parts import part
from hclm_runner.ranges import Count
from hclm_runner.refusal import ConfigError


class Block(nn.Module):
    """shortcut(x) + two convolutions, each on ReLU of GroupNorm (He et al. 2016, arXiv:1603.05027)."""

    def __init__(self, conv: Any, above: int, width: int, groups: int, stride: int) -> None:
        """Go from `above` channels to `width`; a shortcut that cannot be x itself is a convolution of one point."""
        super().__init__()
        self.inner = nn.Sequential(
            *(nn.GroupNorm(groups, above), nn.ReLU(), conv(above, width, 3, stride=stride, padding=1)),
            *(nn.GroupNorm(groups, width), nn.ReLU(), conv(width, width, 3, padding=1)),
        )
        same = stride == 1 and above == width
        self.shortcut = nn.Identity() if same else conv(above, width, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum, of every second point of x where `stride` is 2."""
        added: Tensor = self.shortcut(x) + self.inner(x)
        return added


class Points(nn.Module):
    """The mean over the points of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, channels] of x [B, channels, ...]."""
        return x.flatten(2).mean(2)


@part("model", "resnet", version=1)
def resnet(
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    channels: list[Count],
    blocks: Count,
    groups: Count,
    representation: Count,
) -> nn.Module:
    """Residual blocks into a linear representation, read by a ReLU and a linear head.

    Encoder, on [channels, length] or [channels, height, width]: a convolution to the first number of channels; for each
        of them `blocks` residual blocks (`Block`), the first of which halves the sides, but for the first number; ReLU
        of GroupNorm, mean over points, linear. Convolutions have windows of 3 and zeros beyond the edge. Head: ReLU ->
        outputs. Weights start as torch has them.

    Raises:
        ConfigError: If the samples are flat, there are no channels, or the groups do not divide them.
    """
    conv = nn.Conv1d if len(axes(input_shape, "resnet")) == 1 else nn.Conv2d
    if not channels or any(width % groups for width in channels):
        wanted = f"one number or more, each divisible by model.groups={groups}"
        raise ConfigError("model.channels", channels, wanted)
    above = channels[0]
    layers: list[nn.Module] = [conv(input_shape[0], above, 3, padding=1)]
    for stage, width in enumerate(channels):
        for block in range(blocks):
            layers.append(Block(conv, above, width, groups, stride=2 if stage > 0 and block == 0 else 1))
            above = width
    encoder = nn.Sequential(*layers, nn.GroupNorm(groups, above), nn.ReLU(), Points(), Linear(above, representation))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Sequential(nn.ReLU(), Linear(representation, outputs))})
