"""Models: an encoder and a head.

A model is a function ``model(in_features, out_features, *, options) -> torch.nn.Module`` whose module has an
`encoder` (x [B, in_features] -> Z [B, d]) and a `head` (Z -> logits [B, out_features]), and no parameters outside
them. It is built once for each seed, with torch's global generator seeded for the purpose, so any of torch's
initialisations may be used.
"""

import itertools

from torch import Tensor, nn

from hclm_runner.ranges import Count


class Linear(nn.Linear):
    """nn.Linear, its bias added in place: vectorised over runs, torch's own makes another pass over memory for it."""

    def forward(self, input: Tensor) -> Tensor:
        """Return input W^T + b, [B, out_features]."""
        return (input @ self.weight.mT).add_(self.bias)


def mlp(in_features: int, out_features: int, *, hidden: list[Count], representation: Count) -> nn.Module:
    """Tanh network into a linear representation, read by a ReLU and a linear head.

    Encoder: in_features -> hidden... (tanh after each) -> representation (linear). Head: ReLU -> out_features.
        Weights and biases start as torch's `nn.Linear` has them, U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
    """
    widths = [in_features, *hidden]
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [Linear(fan_in, fan_out), nn.Tanh()]
    encoder = nn.Sequential(*layers, Linear(widths[-1], representation))
    head = nn.Sequential(nn.ReLU(), Linear(representation, out_features))
    return nn.ModuleDict({"encoder": encoder, "head": head})
