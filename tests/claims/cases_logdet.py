"""The claims of Figures 16-32, each bent to each verdict.

In each case all but the named part leave the claim standing, so the part named has decided alone.
"""

import numpy as np
from cases_variance import bowl
from made_up import (
    EPOCHS,
    LAM_MAX,
    LAM_MIN,
    LOG_K,
    Case,
    L,
    S,
    T,
    V,
    at,
    cases,
    decay,
    each_seed,
    everywhere,
    hill,
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
    (REFUTED, "B as dependent on lam", 2, lambda g: g.set("test_loss", L, "B", [1, 1, 2, 1, 1])),
    (REFUTED, "C as dependent on lam", 3, lambda g: g.set("test_loss", L, "C", [1, 1, 2, 1, 1])),
    (INCONCLUSIVE, "worse by the margin", 0, lambda g: g.set("test_loss", L, "A", [2 / 0.95, 2.2, 2, 2.2, 4], 0.05)),
    (INCONCLUSIVE, "half as dependent", 2, lambda g: g.set("test_loss", L, "B", [1, 1, 1.5, 1, 1], 0.05)),
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
    (REFUTED, "a tenth lower, and collapsed: there is no contraction to explain", 0,
     lambda g: (gaps(g, 2.2, 2, 1.8), collapsed(g))),
    (REFUTED, "variance as low", 1, lambda g: gaps(g, variance=0.8)),
    (REFUTED, "softmax as low as variance", 2, lambda g: gaps(g, softmax=1.3)),
    (INCONCLUSIVE, "a quarter lower", 0, lambda g: gaps(g, 2.2, 1.8, 1.5, 0.05)),
    (COLLAPSE, "training loss at log K", 0, collapsed),
    (COLLAPSE, "test loss harmed", 0, harmed),
)  # fmt: skip


def forces(g, b=1.0, c=1.0, noise=0.01):
    g.set("force", L, "A", [2, 1.5, 1, 0.5, 0.1], noise).set("force", L, "B", b, noise).set("force", L, "C", c, noise)


CASES += cases(
    "18", forces,
    (SUPPORTED, "between", None, nothing),
    (REFUTED, "B as at 0", 0, lambda g: forces(g, b=2)),
    (REFUTED, "B as at the top", 1, lambda g: forces(g, b=0.1)),
    (REFUTED, "C as at 0", 2, lambda g: forces(g, c=2)),
    (REFUTED, "C as at the top", 3, lambda g: forces(g, c=0.1)),
    (INCONCLUSIVE, "B below by the margin", 0, lambda g: forces(g, b=1.9, noise=0.1)),
)  # fmt: skip


def entropies(g, a=0.1, b=0.01, c=0.01, level_b=LOG_K, level_c=LOG_K, noise=0.01):
    for regime, level, size in (("A", 2, a), ("B", level_b, b), ("C", level_c, c)):
        g.set("entropy", L, regime, wave(level, size), noise, shared=False)


CASES += cases(
    "19", entropies,
    (SUPPORTED, "steady, at the set point", None, nothing),
    (REFUTED, "B restless", 0, lambda g: entropies(g, a=0.03, b=0.06)),
    (REFUTED, "C restless", 1, lambda g: entropies(g, a=0.03, c=0.06)),
    (REFUTED, "B off", 2, lambda g: entropies(g, level_b=1.7)),
    (REFUTED, "C off, below", 3, lambda g: entropies(g, level_c=1.1)),
    (INCONCLUSIVE, "B as restless", 0, lambda g: (
        entropies(g),
        g.set("entropy", L, "B", each_seed(lambda z: wave(LOG_K, 0.1 * (1 + z / 2))), 0, shared=False))),
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
    (REFUTED, "second", 0, lambda g: g.set("reward", S, "A", 0.8)),
    (INCONCLUSIVE, "as good", 0, lambda g: (g.set("reward", L, "C", 0.7, 0.05), g.set("reward", V, "B", 0.7, 0.05))),
)  # fmt: skip


def tilted(level, slope, spread=0.002):
    return each_seed(lambda z: (level + (slope + spread * z) * T)[None])


def slopes(g, zero=0.02, chosen=0.0, spread=0.002, level=2):
    paths = at({0: tilted(level, zero, spread), 2: tilted(1.8, chosen, spread)}, tilted(1.8, 0.05))
    g.set("test_loss", L, "A", paths, 0, shared=False)


CASES += cases(
    "22", slopes,
    (SUPPORTED, "rises, level", None, nothing),
    (REFUTED, "falls at 0", 0, lambda g: slopes(g, zero=-0.02, level=2.8)),
    (REFUTED, "rises at the validated lam", 1, lambda g: slopes(g, chosen=0.02)),
    (REFUTED, "falls at the validated lam", 1, lambda g: slopes(g, chosen=-0.02)),
    (INCONCLUSIVE, "level at 0", 0, lambda g: slopes(g, zero=0.0)),
    (COLLAPSE, "training loss at log K", 1, lambda g: g.set("train_loss", L, "A", [0.1, 0.1, 1.35, 0.1, 0.1])),
    (COLLAPSE, "test loss harmed", 1, lambda g: g.set("test_loss", L, "A", at({0: tilted(1, 0.02), 2: tilted(3, 0)}, tilted(1.8, 0.05)), 0)),
)  # fmt: skip
FLAT, EARLY, LATER = np.ones((1, EPOCHS)), decay(1, 0.1, 1), decay(1, 0.1, 9)
SOME = each_seed(lambda z: EARLY if z > 0 else FLAT)


CASES += cases(
    "23", lambda g: g.set("force", L, "A", at({0: FLAT}, EARLY)),
    (SUPPORTED, "early; never", None, nothing),
    (REFUTED, "one lam never", 0, lambda g: g.set("force", L, "A", at({0: FLAT, 1: FLAT}, EARLY))),
    (REFUTED, "one lam late", 0, lambda g: g.set("force", L, "A", at({0: FLAT, 4: LATER}, EARLY))),
    (REFUTED, "at 0 too, late", 1, lambda g: g.set("force", L, "A", at({0: LATER}, EARLY))),
    (INCONCLUSIVE, "half of the seeds", 0,
     lambda g: g.set("force", L, "A", at({0: everywhere(FLAT), 3: SOME}, everywhere(EARLY)))),
)  # fmt: skip
RISING = 2 - decay(1.4, 0, 2)
FALLS = each_seed(lambda z: hill(0.6, 2, 2 * (0.9 + 0.03 * z)))
CASES += cases(
    "24", lambda g: g.set("entropy", L, "A", at({0: RISING}, hill(0.6, 2, 1))),
    (SUPPORTED, "a hill; a rise", None, nothing),
    (REFUTED, "compression without expansion", 0, lambda g: g.set("entropy", L, "A", at({0: RISING, 4: decay(2, 1, 3)}, hill(0.6, 2, 1)))),
    (REFUTED, "expansion without compression", 1, lambda g: g.set("entropy", L, "A", at({0: RISING, 1: RISING}, hill(0.6, 2, 1)))),
    (REFUTED, "flat at 0", 2, lambda g: g.set("entropy", L, "A", at({0: FLAT}, hill(0.6, 2, 1)))),
    (REFUTED, "a hill at 0", 3, lambda g: g.set("entropy", L, "A", hill(0.6, 2, 1))),
    (INCONCLUSIVE, "falls by the bound", 1,
     lambda g: g.set("entropy", L, "A", at({0: everywhere(RISING), 2: FALLS}, everywhere(hill(0.6, 2, 1))))),
)  # fmt: skip
CASES += cases(
    "25", lambda g: bowl(g, L),
    (SUPPORTED, "flat", None, nothing),
    (REFUTED, "as dependent on lam", 0, lambda g: g.set("test_loss", L, "B", [1, 1, 2, 1, 1])),
    (INCONCLUSIVE, "half as dependent", 0, lambda g: g.set("test_loss", L, "B", [1, 1, 1.5, 1, 1], 0.05)),
)  # fmt: skip


def step(at: float) -> np.ndarray:
    """A force that is at 0.3 of its peak from an epoch on."""
    return np.where(at > T, 1.0, 0.3)[None]


CASES += cases(
    "26", lambda g: g.set("force", L, "A", step(6)).set("force", L, "B", step(3)),
    (SUPPORTED, "earlier", None, nothing),
    (SUPPORTED, "where A never does", None, lambda g: g.set("force", L, "A", FLAT)),
    (REFUTED, "never, and neither does A", 0, lambda g: g.set("force", L, "A", FLAT).set("force", L, "B", FLAT)),
    (REFUTED, "later", 1, lambda g: g.set("force", L, "B", step(12))),
    (REFUTED, "a late spike", 2, lambda g: g.set("force", L, "B", np.where(T == EPOCHS - 2, 0.9, step(3)))),
    (INCONCLUSIVE, "a seed earlier, a seed later", 1,
     lambda g: g.set("force", L, "B", each_seed(step, (4, 10, 5, 9, 6, 8, 7, 7)))),
)  # fmt: skip
ALMOST = each_seed(lambda z: (0.4 + (z > 1.2) * 0.01 * T)[None])
CASES += cases(
    "27", nothing,
    (SUPPORTED, "moves", None, nothing),
    (REFUTED, "stands still", 0, lambda g: g.set("lam", L, "B", 0.3, noise=0.1)),
    (REFUTED, "moves in the warm-up alone", 0, lambda g: g.set("lam", L, "B", np.where(T < 6, 1 + 0.1 * T, 0.4)[None])),
    (INCONCLUSIVE, "moves in one seed", 0, lambda g: keep(g, "B", ALMOST)),
)  # fmt: skip


def rewards(lost: float) -> np.ndarray:
    return np.interp(T, [0, 8, EPOCHS - 1], [0.2, 0.5, 0.5 * (1 - lost)])[None]


CASES += cases(
    "28", nothing,
    (SUPPORTED, "stays", None, nothing),
    (SUPPORTED, "low in the beginning", None, lambda g: g.set("reward", L, "B", rewards(0.05))),
    (REFUTED, "falls", 0, lambda g: g.set("reward", L, "B", rewards(0.4))),
    (REFUTED, "negative, and falls", 0, lambda g: g.set("reward", L, "B", np.linspace(-0.3, -0.5, EPOCHS)[None])),
    (INCONCLUSIVE, "falls by the bound", 0, lambda g: g.set("reward", L, "B", each_seed(lambda z: rewards(0.1 + 0.03 * z)))),
)  # fmt: skip
CASES += cases(
    "29", lambda g: (g.set("test_loss", L, "C", 1.6), g.set("test_loss", L, "B", 2, 0.1)),
    (SUPPORTED, "lower, steadier", None, nothing),
    (SUPPORTED, "higher by less than the margin", None, lambda g: (g.set("test_loss", L, "C", 2.04), g.set("test_loss", L, "B", 2, 0.05))),
    (REFUTED, "higher", 0, lambda g: g.set("test_loss", L, "C", 3)),
    (REFUTED, "less steady", 1, lambda g: (g.set("test_loss", L, "C", 1.5, 0.2), g.set("test_loss", L, "B", 2, 0.01))),
    (INCONCLUSIVE, "higher by the margin", 0, lambda g: g.set("test_loss", L, "C", 2.1)),
)  # fmt: skip


def rough(size: float) -> np.ndarray:
    return np.exp(wave(0, size))


CASES += cases(
    "30", lambda g: g.set("force", L, "A", rough(0.2)).set("force", L, "C", decay(1, 0.1, 5)),
    (SUPPORTED, "smooth", None, nothing),
    (REFUTED, "rough", 0, lambda g: g.set("force", L, "C", rough(0.4))),
    (INCONCLUSIVE, "as rough", 0, lambda g: g.set("force", L, "C", each_seed(lambda z: rough(0.2 * (1 + z / 2))))),
)  # fmt: skip
CASES += cases(
    "31", nothing,
    (SUPPORTED, "free", None, nothing),
    (SUPPORTED, "B at a bound", None, lambda g: keep(g, "B", pinned(LAM_MIN))),
    (REFUTED, "at the lower bound in 2 of 6 late epochs", 0, lambda g: keep(g, "C", pinned(LAM_MIN, 2))),
    (REFUTED, "at the upper bound", 0, lambda g: keep(g, "C", pinned(LAM_MAX))),
    (INCONCLUSIVE, "one seed at a bound, a little", 0, lambda g: keep(g, "C", some_pinned(LAM_MIN, (0,) * 7 + (2,)))),
)  # fmt: skip


def ranked(g, a=0.4, b=0.5, c=0.7, noise=(0.2, 0.15, 0.01)):
    for regime, level, size in zip("ABC", (a, b, c), noise, strict=True):
        g.set("reward", L, regime, level, size)


CASES += cases(
    "32", ranked,
    (SUPPORTED, "in order", None, nothing),
    (REFUTED, "C no higher than B", 0, lambda g: ranked(g, c=0.45)),
    (REFUTED, "B no higher than A", 1, lambda g: ranked(g, b=0.38)),
    (REFUTED, "B steadier", 2, lambda g: ranked(g, noise=(0.3, 0.005, 0.06))),
    (REFUTED, "A steadier", 3, lambda g: ranked(g, noise=(0.005, 0.3, 0.06))),
    (INCONCLUSIVE, "B higher than A by the margin", 1, lambda g: ranked(g, b=0.42)),
)  # fmt: skip
