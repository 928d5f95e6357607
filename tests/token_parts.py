"""Tokens for tests: a task of them, and a network that looks each of them up."""

import numpy as np
from torch import nn
from torch.nn.functional import embedding

from hclm_runner.models.transformer import Mean
from hclm_runner.tasks import Task


def tokens(rng: np.random.Generator, *, train: int, feedback: int, test: int, each: bool = True) -> Task:
    """Of five, three a sample. The class of a token is how often it was there before; of a sample, that of its last."""

    def split(n):
        x = rng.integers(5, size=(n, 3))
        y = np.array([[list(row[:k]).count(row[k]) for k in range(3)] for row in x])
        return x, y if each else y[:, -1]

    return Task(split(train), split(feedback), split(test), classes=3, vocabulary=5)


class Lookup(nn.Linear):
    """Row k of W^T, plus b, for the token k: what a linear layer makes of its one-hot vector."""

    def forward(self, input):
        return embedding(input, self.weight.mT) + self.bias


def token_mlp(input_shape, outputs, vocabulary, *, hidden: int = 4, representation: int = 3, mean: bool = False):
    """Reads each token alone; the head gives each a class, or with `mean` all of them one."""
    encoder = Lookup(vocabulary, hidden), nn.Tanh(), nn.Linear(hidden, representation)
    head = nn.ReLU(), *([Mean()] if mean else []), nn.Linear(representation, outputs)
    return nn.ModuleDict({"encoder": nn.Sequential(*encoder), "head": nn.Sequential(*head)})


def of_patches(input_shape, outputs, vocabulary):
    """Z [B, T, 1, 1], which is neither rows nor tokens."""
    encoder = nn.Sequential(Lookup(vocabulary, 1), nn.Unflatten(-1, (1, 1)))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(1, outputs)})
