"""A transformer encoder that classifies."""

import torch
from torch import Tensor, nn

from hclm_runner.models.base import axes
from hclm_runner.models.mlp import Linear
from hclm_runner.parts import part
from hclm_runner.ranges import Count
from hclm_runner.refusal import ConfigError


class Patches(nn.Module):
    """Samples cut into patches: [B, channels, length] or [B, channels, height, width] -> [B, T, channels * pixels]."""

    def __init__(self, patch: int) -> None:
        """Cut into patches of so many points, or so many by so many."""
        super().__init__()
        self.patch = patch

    def forward(self, x: Tensor) -> Tensor:
        """Return the patches, row by row, each with its channels first."""
        for axis in range(2, x.dim()):
            at = 2 * axis - 2
            x = x.reshape(*x.shape[:at], -1, self.patch, *x.shape[at + 1 :])  # [B, channels, rows, points, ...]
        where, within = range(2, x.dim(), 2), range(3, x.dim(), 2)
        return x.permute(0, *where, 1, *within).flatten(1, len(where)).flatten(2)


class Attention(nn.Module):
    """Softmax attention of several heads (Vaswani et al. 2017, arXiv:1706.03762), by matrix products.

    Torch's fused kernel has no backward pass that is vectorised over runs.
    """

    def __init__(self, width: int, heads: int, *, causal: bool = False) -> None:
        """Attend with `heads` heads of width / heads each, to all tokens; `causal`: to itself and those before."""
        super().__init__()
        self.heads, self.causal = heads, causal
        self.inputs, self.output = Linear(width, 3 * width), Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return softmax(Q K^T / sqrt(width / heads)) V of each head, joined and mapped: [B, T, width]."""
        q, k, v = self.inputs(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()  # [B, heads, T, -1]
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if self.causal:
            scores = scores.masked_fill(torch.ones_like(scores[0, 0], dtype=torch.bool).triu(1), -torch.inf)
        joined: Tensor = self.output((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return joined


class Residual(nn.Module):
    """x + inner(LayerNorm(x)): the normalisation comes first (Xiong et al. 2020, arXiv:2002.04745)."""

    def __init__(self, width: int, inner: nn.Module) -> None:
        """Add what `inner` makes of x."""
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(width), inner

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum, of the shape of x."""
        added: Tensor = x + self.inner(self.norm(x))
        return added


class Positions(nn.Module):
    """Adds to each token what is learnt of its place."""

    def __init__(self, tokens: int, width: int) -> None:
        """Begin with N(0, 0.02^2)."""
        super().__init__()
        self.table = nn.Parameter(0.02 * torch.randn(tokens, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return x [B, T, width] plus the table."""
        return x + self.table


class Mean(nn.Module):
    """The mean over tokens."""

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, width] of x [B, T, width]."""
        return x.mean(1)


def blocks(width: int, depth: int, heads: int, *, causal: bool) -> list[nn.Module]:
    """Return `depth` times attention and an MLP (width -> 4 width, GELU -> width), each on LayerNorm and added.

    Raises:
        ConfigError: If the heads do not divide the width.
    """
    if width % heads:
        raise ConfigError("model.heads", heads, f"a divisor of model.width={width}")
    made: list[nn.Module] = []
    for _ in range(depth):
        made.append(Residual(width, Attention(width, heads, causal=causal)))
        made.append(Residual(width, nn.Sequential(Linear(width, 4 * width), nn.GELU(), Linear(4 * width, width))))
    return made


@part("model", "transformer", version=1)
def transformer(
    input_shape: tuple[int, ...],
    outputs: int,
    *,
    patch: Count,
    width: Count,
    depth: Count,
    heads: Count,
    representation: Count,
) -> nn.Module:
    """Transformer over patches into a linear representation, read by a ReLU and a linear head.

    Encoder (Dosovitskiy et al. 2021, arXiv:2010.11929), on [channels, length] or [channels, height, width]: patches ->
        width (linear), learnt positions, `depth` blocks of attention and of an MLP (width -> 4 width, GELU -> width),
        each on LayerNorm and added; LayerNorm, mean over tokens, linear. Head: ReLU -> outputs.

    Raises:
        ConfigError: If the samples are flat, the patch does not divide their sides, or the heads the width.
    """
    sides = axes(input_shape, "transformer")
    if any(side % patch for side in sides):
        raise ConfigError("model.patch", patch, f"a divisor of the sides of a sample, {list(sides)}")
    tokens, pixels = 1, input_shape[0]
    for side in sides:
        tokens, pixels = tokens * (side // patch), pixels * patch
    encoder = nn.Sequential(
        *(Patches(patch), Linear(pixels, width), Positions(tokens, width)),
        *blocks(width, depth, heads, causal=False),
        *(nn.LayerNorm(width), Mean(), Linear(width, representation)),
    )
    return nn.ModuleDict({"encoder": encoder, "head": nn.Sequential(nn.ReLU(), Linear(representation, outputs))})
