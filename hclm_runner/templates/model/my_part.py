"""A model of my own. Its keyword-only parameters are its options."""

from torch import nn

from hclm_runner.ranges import Count


def my_part(in_features: int, out_features: int, *, width: Count = 32, representation: Count = 8) -> nn.Module:
    """Encoder with one hidden layer of GELU units; linear head.

    Args:
        in_features: Width of x.
        out_features: Classes, or components of the target.
        width: Units of the hidden layer.
        representation: d, the width of Z.

    Returns:
        A module with `encoder` (x -> Z) and `head` (Z -> outputs). All its parameters are in these two; it has no
        buffers (so no batch normalisation) and draws no random numbers (so no dropout).
    """
    encoder = nn.Sequential(nn.Linear(in_features, width), nn.GELU(), nn.Linear(width, representation))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(representation, out_features)})
