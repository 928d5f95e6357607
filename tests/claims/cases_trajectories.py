"""The claims of Figures 22-32, each bent to each verdict.

In each case all but the named part leave the claim standing, so the part named has decided alone.
"""

import numpy as np
from cases_logdet import keep, pinned, some_pinned
from cases_variance import bowl
from made_up import (
    CHARITABLE,
    EPOCHS,
    LAM_MAX,
    LAM_MIN,
    Case,
    L,
    T,
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


def tilted(level, slope, spread=0.002):
    return each_seed(lambda z: (level + (slope + spread * z) * T)[None])


def slopes(g, zero=0.06, chosen=0.0, spread=0.002, level=2):
    paths = at({0: tilted(level, zero, spread), 2: tilted(1.8, chosen, spread)}, tilted(1.8, 0.05))
    g.set("test_loss", L, "A", paths, 0, shared=False)


CASES += cases(
    "22", slopes,
    (SUPPORTED, "rises, level", None, nothing),
    (REFUTED, "falls at 0", 0, lambda g: slopes(g, zero=-0.06, level=4)),
    (REFUTED, "rises at the validated lam", 1, lambda g: slopes(g, chosen=0.06)),
    (REFUTED, "falls at the validated lam", 1, lambda g: slopes(g, chosen=-0.04)),
    (REFUTED, "level at 0", 0, lambda g: slopes(g, zero=0.0)),
    (INCONCLUSIVE, "rises by the margin at 0", 0, lambda g: slopes(g, zero=0.0205)),
    (COLLAPSE, "training loss at log K", 1, lambda g: g.set("train_loss", L, "A", [0.1, 0.1, 1.35, 0.1, 0.1])),
    (COLLAPSE, "test loss harmed", 1, lambda g: g.set("test_loss", L, "A", at({0: tilted(1, 0.03), 2: tilted(3, 0)}, tilted(1.8, 0.05)), 0)),
    (SUPPORTED, "level at the best lam that does not collapse", None, lambda g: (
        g.set("test_loss", L, "A", at({0: tilted(2, 0.06), 1: tilted(1.8, 0)}, tilted(1.8, 0.05)), 0, shared=False),
        g.set("train_loss", L, "A", [0.1, 0.1, 1.35, 0.1, 0.1]), g.set("feedback_loss", L, "A", [2, 1.8, 1.5, 1.9, 2])),
     CHARITABLE),
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
    (COLLAPSE, "early only where nothing is learnt", 0, lambda g: g.set("train_loss", L, "A", [0.1] + [1.35] * 4)),
    (COLLAPSE, "late only where nothing is learnt", 0, lambda g: (
        g.set("force", L, "A", at({0: FLAT, 4: LATER}, EARLY)), g.set("train_loss", L, "A", [0.1] * 4 + [1.35]))),
    (SUPPORTED, "early at the middle lam, never at the least", None,
     lambda g: g.set("force", L, "A", at({0: FLAT, 1: FLAT}, EARLY)), CHARITABLE),
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
    (COLLAPSE, "no compression only where nothing is learnt", 1, lambda g: (
        g.set("entropy", L, "A", at({0: RISING, 4: RISING}, hill(0.6, 2, 1))),
        g.set("train_loss", L, "A", [0.1] * 4 + [1.35]))),
    (SUPPORTED, "a hill at the middle lam, none at the least", None,
     lambda g: g.set("entropy", L, "A", at({0: RISING, 1: RISING}, hill(0.6, 2, 1))), CHARITABLE),
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
    (COLLAPSE, "later than A, which halves where it learns nothing", 1, lambda g: (
        g.set("force", L, "A", at({3: step(1), 4: step(1)}, step(9))), g.set("force", L, "B", step(8)),
        g.set("train_loss", L, "A", [0.1] * 3 + [1.35] * 2))),
    (SUPPORTED, "later than A, which halves where it learns nothing", None, lambda g: (
        g.set("force", L, "A", at({3: step(1), 4: step(1)}, step(9))), g.set("force", L, "B", step(8)),
        g.set("train_loss", L, "A", [0.1] * 3 + [1.35] * 2)), CHARITABLE),
    (COLLAPSE, "halves only where it learns nothing", 0, lambda g: (
        g.set("force", L, "A", FLAT), g.set("force", L, "B", at({0: FLAT, 1: FLAT}, step(3))),
        g.set("train_loss", L, "B", [0.1] * 2 + [1.35] * 3))),
)  # fmt: skip
ALMOST = each_seed(lambda z: (0.4 + (z > 1.2) * 0.01 * T)[None])
CASES += cases(
    "27", nothing,
    (SUPPORTED, "moves", None, nothing),
    (REFUTED, "stands still", 0, lambda g: g.set("lam", L, "B", 0.3, noise=0.1)),
    (REFUTED, "moves in the warm-up alone", 0, lambda g: g.set("lam", L, "B", np.where(T < 6, 1 + 0.1 * T, 0.4)[None])),
    (INCONCLUSIVE, "moves in one seed", 0, lambda g: keep(g, "B", ALMOST)),
)  # fmt: skip


def dip(level: float, share: float) -> np.ndarray:
    """A reward that is lower in one late epoch."""
    return np.where(EPOCHS - 2 == T, share * level, level)[None]


def rewards(lost: float) -> np.ndarray:
    return np.interp(T, [0, 8, EPOCHS - 1], [0.2, 0.5, 0.5 * (1 - lost)])[None]


CASES += cases(
    "28", nothing,
    (SUPPORTED, "stays", None, nothing),
    (SUPPORTED, "low in the beginning", None, lambda g: g.set("reward", L, "B", rewards(0.05))),
    (REFUTED, "falls", 0, lambda g: g.set("reward", L, "B", rewards(0.4))),
    (REFUTED, "negative, and falls", 0, lambda g: g.set("reward", L, "B", np.linspace(-0.3, -0.5, EPOCHS)[None])),
    (INCONCLUSIVE, "falls by the bound", 0, lambda g: g.set("reward", L, "B", each_seed(lambda z: rewards(0.1 + 0.03 * z)))),
    (SUPPORTED, "one bad epoch", None, lambda g: g.set("reward", L, "B", dip(0.5, 0.7)), CHARITABLE),
)  # fmt: skip
CASES += cases(
    "29", lambda g: (g.set("test_loss", L, "C", 1.6), g.set("test_loss", L, "B", 2, 0.1)),
    (SUPPORTED, "lower, steadier", None, nothing),
    (SUPPORTED, "higher by less than the margin", None, lambda g: (g.set("test_loss", L, "C", 2.04), g.set("test_loss", L, "B", 2, 0.05))),
    (REFUTED, "higher", 0, lambda g: g.set("test_loss", L, "C", 3)),
    (REFUTED, "less steady", 1, lambda g: (g.set("test_loss", L, "C", 1.5, 0.1), g.set("test_loss", L, "B", 2, 0.01))),
    (SUPPORTED, "less steady over seeds, steadier over epochs", None, lambda g: (
        g.set("test_loss", L, "C", wave(1.5, 0.01), 0.1), g.set("test_loss", L, "B", wave(2, 0.1), 0.01)), CHARITABLE),
    (INCONCLUSIVE, "higher by the margin", 0, lambda g: g.set("test_loss", L, "C", 2.1)),
)  # fmt: skip


def rough(size: float) -> np.ndarray:
    return np.exp(wave(0, size))


CASES += cases(
    "30", lambda g: g.set("force", L, "A", rough(0.2)).set("force", L, "C", decay(1, 0.1, 5)),
    (SUPPORTED, "smooth", None, nothing),
    (REFUTED, "rough", 0, lambda g: g.set("force", L, "C", rough(0.4))),
    (INCONCLUSIVE, "as rough", 0, lambda g: g.set("force", L, "C", each_seed(lambda z: rough(0.2 * (1 + z / 2))))),
    (COLLAPSE, "smooth only where it learns nothing", 0, lambda g: (
        g.set("force", L, "C", at({3: decay(1, 0.1, 5), 4: decay(1, 0.1, 5)}, rough(0.2))),
        g.set("train_loss", L, "C", [0.1] * 3 + [1.35] * 2))),
    (SUPPORTED, "rough only where the force does not collapse", None,
     lambda g: g.set("force", L, "C", at({0: rough(0.3), 1: rough(0.3)}, decay(1, 0.1, 2))), CHARITABLE),
    (INCONCLUSIVE, "the force collapses nowhere", 0, lambda g: g.set("force", L, "C", rough(0.1)), CHARITABLE),
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
    (SUPPORTED, "less steady over seeds, steadiest over epochs", None, lambda g: (
        g.set("reward", L, "A", wave(0.4, 0.1), 0.01), g.set("reward", L, "B", wave(0.5, 0.1), 0.01),
        g.set("reward", L, "C", wave(0.7, 0.01), 0.15)), CHARITABLE),
)  # fmt: skip
