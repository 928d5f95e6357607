"""The paper's claims across surrogates and runs."""

from functools import partial

import numpy as np

from experiments.claims.claim import Data, claim
from experiments.claims.judge import Part
from experiments.claims.paper.parts import LOGDET, SOFTMAX, VARIANCE, A, B, C, words
from experiments.claims.statistics import at_same_lam, mean_of_seeds, partial_spearman, whole


def _stronger(d: Data, column: str) -> list[Part]:
    """Geometric surrogates exert more force than softmax at the same fixed lam."""
    return [
        Part(
            f"{words(column)} of {geometric} over softmax, same lam",
            np.stack([d.final(surrogate, A, column)[1:] for surrogate in (geometric, SOFTMAX)]),
            partial(at_same_lam, mean_of_seeds),
            ">",
            1,
            unit="×",
        )
        for geometric in (LOGDET, VARIANCE)
    ]


def _goes_with(d: Data, column: str, sense: str) -> list[Part]:
    """Over runs of a surrogate, a deeper collapse of the force goes with a lower gap (or a higher reward).

    Spearman's correlation of log(F_max / F_final) with the column, partialled for the final lam, over base lam and
    regimes, without the cells that collapsed.
    """
    parts = []
    for surrogate in (LOGDET, VARIANCE):
        F = np.concatenate([d.path(surrogate, regime, "force") for regime in (A, B, C)])
        fallen = np.log(F.max(-1) / np.maximum(F[..., -5:].mean(-1), 1e-300))
        columns = (column, "lam", "test_loss", "train_loss")
        cells = [np.concatenate([d.final(surrogate, regime, name) for regime in (A, B, C)]) for name in columns]
        v = np.stack([fallen, *cells])  # [5, regime and lam, seed]; the first cell is A at lam = 0
        test, train = v[3:, :, whole(v)].mean(-1)
        kept = v[:3, ~d.collapsed(test, test[0], train)]
        text = f"partial rank correlation of the fall of force with {column}, {surrogate}"
        parts.append(Part(text, kept, partial_spearman, sense, 0))
    return parts


@claim("X1 raw", None, "geometric surrogates exert more force than softmax (raw)")
def x1_raw(d: Data) -> list[Part]:
    """By the raw force, which also ranks surrogates by their scaling."""
    return _stronger(d, "force")


@claim("X1 ratio", None, "geometric surrogates exert more force than softmax (lam F / |grad L|)")
def x1_ratio(d: Data) -> list[Part]:
    """By lam F / |grad L|, which is free of the surrogate's scale."""
    return _stronger(d, "force_ratio")


@claim("X2", None, "the collapse of the force goes with the contraction of the gap")
def x2(d: Data) -> list[Part]:
    """A deeper fall of the force goes with a lower gap."""
    return _goes_with(d, "gap", "<")


@claim("X3", None, "the collapse of the force goes with a higher reward")
def x3(d: Data) -> list[Part]:
    """A deeper fall of the force goes with a higher reward."""
    return _goes_with(d, "reward", ">")
