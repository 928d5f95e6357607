"""A network of a user's own."""

from torch import nn

from hclm_runner.ranges import Count


def convolutional(input_shape: tuple[int, ...], outputs: int, *, channels: Count, representation: Count) -> nn.Module:
    """Return a convolutional encoder of square pictures, each a row of its pixels, and a linear head."""
    side = round(input_shape[0] ** 0.5)
    encoder = nn.Sequential(
        nn.Unflatten(1, (1, side, side)),
        nn.Conv2d(1, channels, kernel_size=3, padding=1),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(channels * (side // 2) ** 2, representation),
        nn.Tanh(),
    )
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(representation, outputs)})
