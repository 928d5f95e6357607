"""A transformer that tells each token from those before it: a language model."""

from torch import nn

from hclm_runner.models.mlp import Linear
from hclm_runner.models.transformer import Positions, blocks
from hclm_runner.parts import part
from hclm_runner.ranges import Count


@part("model", "causal_transformer", version=1)
def causal_transformer(
    input_shape: tuple[int, ...],
    outputs: int,
    vocabulary: int,
    *,
    width: Count,
    depth: Count,
    heads: Count,
    representation: Count,
) -> nn.Module:
    """Transformer over tokens [B, T], its Z a linear map of each, [B, T, d]; the head is a ReLU and a linear map too.

    Encoder (Radford et al. 2019, GPT-2): a learnt vector of each token of the vocabulary and of each place, both from
        N(0, 0.02^2); `depth` blocks of attention to the token itself and those before it and of an MLP (width ->
        4 width, GELU -> width), each on LayerNorm and added; LayerNorm, linear. Head, on each token: ReLU -> outputs.

    Raises:
        ConfigError: If the heads do not divide the width.
    """
    (length,) = input_shape
    embedding = nn.Embedding(vocabulary, width)
    embedding.weight.data *= 0.02
    encoder = nn.Sequential(
        *(embedding, Positions(length, width)),
        *blocks(width, depth, heads, causal=True),
        *(nn.LayerNorm(width), Linear(width, representation)),
    )
    return nn.ModuleDict({"encoder": encoder, "head": nn.Sequential(nn.ReLU(), Linear(representation, outputs))})
