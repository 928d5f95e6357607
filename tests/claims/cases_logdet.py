"""The claims of Figures 16-32, each bent to each verdict.

In each case all but the named part leave the claim standing, so the part named has decided alone.
"""

import numpy as np
from cases_variance import bowl
from made_up import (
    CHARITABLE,
    EPOCHS,
    LAM_MAX,
    LAM_MIN,
    LOG_K,
    Case,
    L,
    S,
    T,
    V,
    cases,
    each_seed,
    nothing,
    wave,
)

from experiments.claims.judge import COLLAPSE, INCONCLUSIVE, REFUTED, SUPPORTED

CASES: list[Case] = []

CASES += cases(
    "16", lambda g: bowl(g, L),
    (SUPPORTED, "a bowl, and flat", None, nothing),
    (REFUTED, "no worse at 0", 0, lambda g: g.set("test_loss", L, "A", [2, 2.2, 2, 2.2, 3])),
    (REFUTED, "no worse at the top", 1, lambda g: g.set("test_loss", L, "A", [3, 2.2, 2, 2.2, 2])),
    (REFUTED, "B fails at 0", 2, lambda g: g.set("test_loss", L, "B", [2, 1.5, 1.5, 1.5, 1.5])),
    (REFUTED, "B fails at the top", 3, lambda g: g.set("test_loss", L, "B", [1.5, 1.5, 1.5, 1.5, 2])),
    (REFUTED, "C fails at 0", 4, lambda g: g.set("test_loss", L, "C", [2, 1.5, 1.5, 1.5, 1.5])),
    (REFUTED, "C fails at the top", 5, lambda g: g.set("test_loss", L, "C", [1.5, 1.5, 1.5, 1.5, 2])),
    (INCONCLUSIVE, "worse by the margin", 0, lambda g: g.set("test_loss", L, "A", [2 / 0.95, 2.2, 2, 2.2, 4], 0.05)),
    (INCONCLUSIVE, "B worse by the margin at 0", 2,
     lambda g: g.set("test_loss", L, "B", [1.65, 1.5, 1.5, 1.5, 1.5], 0.05)),
    (SUPPORTED, "A fails at the top by collapse", None, lambda g: g.set("train_loss", L, "A", [0.1] * 4 + [1.35])),
    (COLLAPSE, "no worse at the top, where nothing is learnt", 1,
     lambda g: (g.set("test_loss", L, "A", [3, 2.2, 2, 2.2, 2]), g.set("train_loss", L, "A", [0.1] * 4 + [1.35]))),
    (COLLAPSE, "B is flat, because it learns nothing", None, lambda g: g.set("train_loss", L, "B", 1.35)),
    (COLLAPSE, "the best of A has collapsed", None, lambda g: g.set("train_loss", L, "A", [0.1, 0.1, 1.35, 0.1, 0.1])),
    (SUPPORTED, "by reward, not by loss", None,
     lambda g: (g.set("test_loss", L, "A", 2), g.set("reward", L, "A", [0.3, 0.5, 0.5, 0.5, 0.2])), CHARITABLE),
    (SUPPORTED, "by accuracy at 0 and by reward at the top, not by loss", None,
     lambda g: (g.set("test_loss", L, "A", 2), g.set("test_accuracy", L, "A", [0.5, 0.6, 0.6, 0.6, 0.6]),
                g.set("reward", L, "A", [0.5, 0.5, 0.5, 0.5, 0.2])), CHARITABLE),
    (REFUTED, "by loss, not by reward or accuracy", None, nothing, CHARITABLE),
)  # fmt: skip


def gaps(g, softmax=1.8, variance=1.3, logdet=0.8, noise=0.01):
    for surrogate, gap in ((S, softmax), (V, variance), (L, logdet)):
        g.set("gap", surrogate, "A", [2, gap, gap, gap, gap], noise)
        g.set("gap", surrogate, "BC", gap, noise)


def collapsed(g, loss=1.35):
    g.set("train_loss", L, "A", [0.1, loss, loss, loss, loss]).set("train_loss", L, "BC", loss)


def harmed(g):
    g.set("test_loss", L, "A", [2, 2.3, 2.3, 2.3, 2.3]).set("test_loss", L, "BC", 2.3)


CASES += cases(
    "17", gaps,
    (SUPPORTED, "in order", None, nothing),
    (SUPPORTED, "collapsed where feedback does not choose", None, lambda g: g.set("train_loss", L, "A", [1.35] * 2 + [0.1] * 3)),
    (SUPPORTED, "under C, which feedback chooses, alone", None,
     lambda g: g.set("gap", L, "AB", 2).set("feedback_loss", L, "C", 1)),
    (REFUTED, "a tenth lower", 0, lambda g: gaps(g, 2.2, 2, 1.8)),
    (REFUTED, "a tenth lower, and collapsed: there is no contraction to explain", None,
     lambda g: (gaps(g, 2.2, 2, 1.8), collapsed(g))),
    (REFUTED, "variance as low", 1, lambda g: gaps(g, variance=0.8)),
    (REFUTED, "softmax as low as variance", 2, lambda g: gaps(g, softmax=1.3)),
    (INCONCLUSIVE, "a quarter lower", 0, lambda g: gaps(g, 2.2, 1.8, 1.5, 0.05)),
    (COLLAPSE, "training loss at log K", None, collapsed),
    (COLLAPSE, "test loss harmed", None, harmed),
    (COLLAPSE, "variance lower than logdet, where it learns nothing", None,
     lambda g: (gaps(g, variance=0.5), g.set("train_loss", V, "ABC", [0.1, 0.1, 1.35, 0.1, 0.1]))),
    (SUPPORTED, "in order, by less than the margin", None, lambda g: gaps(g, 0.86, 0.83, 0.8, 0.005), CHARITABLE),
)  # fmt: skip


def forces(g, b=1.0, c=1.0, noise=0.01):
    g.set("force", L, "A", [2, 1.5, 1, 0.5, 0.1], noise).set("force", L, "B", b, noise).set("force", L, "C", c, noise)


def top_collapsed(g):
    g.set("train_loss", L, "A", [0.1] * 4 + [1.35])


CASES += cases(
    "18", forces,
    (SUPPORTED, "between", None, nothing),
    (REFUTED, "B as at 0", 0, lambda g: forces(g, b=2)),
    (REFUTED, "B as at the top", 1, lambda g: forces(g, b=0.1)),
    (REFUTED, "C as at 0", 2, lambda g: forces(g, c=2)),
    (REFUTED, "C as at the top", 3, lambda g: forces(g, c=0.1)),
    (INCONCLUSIVE, "B below by the margin", 0, lambda g: forces(g, b=1.9, noise=0.1)),
    (COLLAPSE, "A learns nothing at the top", None, top_collapsed),
    (COLLAPSE, "B below A at 0 only where it learns nothing", 0, lambda g: (
        g.set("force", L, "B", [2, 2, 2, 0.3, 0.3]), g.set("train_loss", L, "B", [0.1] * 3 + [1.35] * 2))),
    (SUPPORTED, "between those that learn", None, top_collapsed, CHARITABLE),
    (REFUTED, "below those that learn", None, lambda g: (top_collapsed(g), forces(g, b=0.4, c=0.4)), CHARITABLE),
)  # fmt: skip


def entropies(g, a=0.1, b=0.01, c=0.01, level_b=LOG_K, level_c=LOG_K, noise=0.01):
    for regime, level, size in (("A", 2, a), ("B", level_b, b), ("C", level_c, c)):
        g.set("entropy", L, regime, wave(level, size), noise, shared=False)


def over_lam(g, regime, size):
    """An entropy that is steady, and higher at every other lam."""
    g.set("entropy", L, regime, LOG_K + np.array([0, size, 0, size, 0]), 0.0001, shared=False)


CASES += cases(
    "19", entropies,
    (SUPPORTED, "steady, at the set point", None, nothing),
    (REFUTED, "B restless", 0, lambda g: entropies(g, a=0.03, b=0.06)),
    (REFUTED, "C restless", 1, lambda g: entropies(g, a=0.03, c=0.06)),
    (REFUTED, "B off", 2, lambda g: entropies(g, level_b=1.7)),
    (REFUTED, "C off, below", 3, lambda g: entropies(g, level_c=1.1)),
    (INCONCLUSIVE, "B as restless", 0, lambda g: (
        entropies(g, a=0.05),
        g.set("entropy", L, "B", each_seed(lambda z: wave(LOG_K, 0.05 * (1 + z / 2))), 0, shared=False))),
    (SUPPORTED, "restless, and the same at each lam", None, lambda g: (
        entropies(g, b=0.06, c=0.06), g.set("entropy", L, "A", [4, 3, 2, 1, 0.1])), CHARITABLE),
    (REFUTED, "steady, and another at each lam", 0, lambda g: (
        over_lam(g, "A", 0.005), over_lam(g, "B", 0.04), over_lam(g, "C", 0.001)), CHARITABLE),
)  # fmt: skip


def pinned(bound: float, epochs: int = 8) -> np.ndarray:
    """Return a lam that is free, but at a bound in the last epochs."""
    return np.where(EPOCHS - epochs <= T, bound, 0.4 + 0.01 * T)[None]


def some_pinned(bound: float, epochs=(6, 6, 6, 6, 0, 0, 0, 0)) -> np.ndarray:
    return each_seed(lambda n: pinned(bound, int(n)), epochs)


def keep(g, regime, path):
    g.set("lam", L, regime, path, noise=0, shared=False)


CASES += cases(
    "20", nothing,
    (SUPPORTED, "free", None, nothing),
    (SUPPORTED, "at the bound in 2 of 6 late epochs", None, lambda g: keep(g, "B", pinned(LAM_MIN, 2))),
    (REFUTED, "B at its lower bound", 0, lambda g: keep(g, "B", pinned(LAM_MIN))),
    (REFUTED, "B at its upper bound", 0, lambda g: keep(g, "B", pinned(LAM_MAX))),
    (REFUTED, "C at its upper bound", 1, lambda g: keep(g, "C", pinned(LAM_MAX))),
    (INCONCLUSIVE, "half of the seeds", 0, lambda g: keep(g, "B", some_pinned(LAM_MIN))),
)  # fmt: skip
CASES += cases(
    "21", lambda g: g.set("reward", L, "C", 0.7),
    (SUPPORTED, "first", None, nothing),
    (SUPPORTED, "another is higher, where feedback does not choose", None, lambda g: g.set("reward", V, "B", [0.9, 0.9, 0.5, 0.9, 0.9])),
    (SUPPORTED, "another is higher, where the loss would choose and the utility does not", None,
     lambda g: (g.set("reward", V, "B", [0.9, 0.5, 0.5, 0.5, 0.5]), g.set("feedback_loss", V, "B", [1, 2, 2, 2, 2]))),
    (REFUTED, "second", 0, lambda g: g.set("reward", S, "A", 0.8)),
    (INCONCLUSIVE, "as good", 0, lambda g: (g.set("reward", L, "C", 0.7, 0.05), g.set("reward", V, "B", 0.7, 0.05))),
)  # fmt: skip
