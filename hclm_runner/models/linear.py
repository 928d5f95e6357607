"""A linear classifier."""

import math

from torch import nn

from hclm_runner.models.mlp import Linear
from hclm_runner.parts import part
from hclm_runner.ranges import Count


@part("model", "linear", version=1)
def linear(input_shape: tuple[int, ...], outputs: int, *, representation: Count) -> nn.Module:
    """Linear representation, linear head: with `representation` >= outputs, logistic (or linear) regression.

    Encoder: features -> representation; what is not flat is flattened first. Head: representation -> outputs. Weights
        start as torch has them.
    """
    encoder = nn.Sequential(nn.Flatten(), Linear(math.prod(input_shape), representation))
    return nn.ModuleDict({"encoder": encoder, "head": Linear(representation, outputs)})
