"""The claims of Figures 11-15, each bent to each verdict.

In each case all but the named part leave the claim standing, so the part named has decided alone.
"""

import numpy as np
from made_up import CHARITABLE, EPOCHS, LAM_MIN, Case, T, V, cases, nothing, wave

from experiments.claims.judge import COLLAPSE, INCONCLUSIVE, REFUTED, SUPPORTED

CASES: list[Case] = []


def bowl(g, surrogate, high=3.0):
    g.set("test_loss", surrogate, "A", [high, 2.2, 2, 2.2, high])
    g.set("test_loss", surrogate, "BC", 1.5)


CASES += cases(
    "11", lambda g: bowl(g, V, 2.5),
    (SUPPORTED, "lower and flat", None, nothing),
    (REFUTED, "B no lower", 0, lambda g: g.set("test_loss", V, "B", 2.28)),
    (REFUTED, "C no lower", 1, lambda g: g.set("test_loss", V, "C", 2.28)),
    (REFUTED, "B as dependent on lam", 2, lambda g: g.set("test_loss", V, "B", [1, 1, 1.5, 1, 2])),
    (REFUTED, "C as dependent on lam", 3, lambda g: g.set("test_loss", V, "C", [1, 1, 1.5, 1, 2])),
    (INCONCLUSIVE, "lower by the margin", 0, lambda g: g.set("test_loss", V, "B", 2.28 - 0.125, 0.1)),
)  # fmt: skip
CASES += cases(
    "12", lambda g: g.set("gap", V, "A", [2, 1.5, 1.5, 1.5, 2]),
    (SUPPORTED, "three of four", None, nothing),
    (SUPPORTED, "three of four, the fourth collapsed", None, lambda g: g.set("train_loss", V, "A", [0.1] * 4 + [1.35])),
    (REFUTED, "one of four", 0, lambda g: g.set("gap", V, "A", [2, 2, 2, 1.5, 2])),
    (REFUTED, "a negative gap that grows towards 0", 0, lambda g: g.set("gap", V, "A", [-2, -1.5, -1.5, -1.5, -2])),
    (INCONCLUSIVE, "two of four, one at the margin", 0,
     lambda g: g.set("gap", V, "A", [2, 1.5, 1.5, 1.9, 2], 0.05)),
    (COLLAPSE, "training loss at log K", 0, lambda g: g.set("train_loss", V, "A", [0.1, 1.35, 1.35, 1.35, 1.35])),
    (COLLAPSE, "test loss harmed", 0, lambda g: g.set("test_loss", V, "A", [2, 2.3, 2.3, 2.3, 2])),
    (COLLAPSE, "accuracy lost", 0, lambda g: g.set("test_accuracy", V, "A", [0.6, 0.5, 0.5, 0.5, 0.6])),
    (SUPPORTED, "two of four, which are most of the range of log lam", None,
     lambda g: g.set("gap", V, "A", [2, 2, 1.5, 1.5, 2]), CHARITABLE),
    (REFUTED, "two of four, which are little of the range of log lam", 0,
     lambda g: g.set("gap", V, "A", [2, 1.5, 2, 2, 1.5]), CHARITABLE),
)  # fmt: skip


def spiked(level, spike, where=-3):
    path = np.full(EPOCHS, float(level))
    path[where] *= spike
    return path[None]


CASES += cases(
    "13", lambda g: g.set("force", V, "C", 0.8),
    (SUPPORTED, "lower, calm", None, nothing),
    (SUPPORTED, "a spike before the late epochs", None, lambda g: g.set("force", V, "C", spiked(0.8, 3, 4))),
    (REFUTED, "A as low", 0, lambda g: g.set("force", V, "A", 0.8)),
    (REFUTED, "B as low", 1, lambda g: g.set("force", V, "B", 0.8)),
    (REFUTED, "a late spike", 2, lambda g: g.set("force", V, "C", spiked(0.5, 3, -7 + 2))),
    (INCONCLUSIVE, "lower by the margin", 0, lambda g: g.set("force", V, "A", 0.8 / 0.95, 0.05)),
)  # fmt: skip
LOW = LAM_MIN * (1.25 + 0.2 * np.sin(T))[None]
CASES += cases(
    "14", nothing,
    (SUPPORTED, "off the bound, moving", None, nothing),
    (REFUTED, "B near its bound", 0, lambda g: g.set("lam", V, "B", LOW, shared=False)),
    (REFUTED, "B stands still", 1, lambda g: g.set("lam", V, "B", 0.4)),
    (REFUTED, "C near its bound", 2, lambda g: g.set("lam", V, "C", LOW, shared=False)),
    (REFUTED, "C stands still", 3, lambda g: g.set("lam", V, "C", 0.4)),
    (INCONCLUSIVE, "twice the bound", 0, lambda g: g.set("lam", V, "B", LOW * 1.6 * np.ones((5, 1)), 0.3)),
)  # fmt: skip
CASES += cases(
    "15", lambda g: (g.set("reward", V, "A", 0.5, 0.2), g.set("reward", V, "C", 0.7, 0.03)),
    (SUPPORTED, "higher, steadier", None, nothing),
    (REFUTED, "not higher", 0, lambda g: g.set("reward", V, "C", 0.42, 0.03)),
    (REFUTED, "less steady", 1, lambda g: (g.set("reward", V, "A", 0.5, 0.03), g.set("reward", V, "C", 0.8, 0.2))),
    (INCONCLUSIVE, "higher by the margin", 0, lambda g: g.set("reward", V, "C", 0.525, 0.03)),
    (INCONCLUSIVE, "as steady", 1, lambda g: (g.set("reward", V, "A", 0.5, 0.05), g.set("reward", V, "C", 0.8, 0.031))),
    (SUPPORTED, "less steady over seeds, steadier over epochs", None,
     lambda g: (g.set("reward", V, "A", wave(0.5, 0.05), 0.03), g.set("reward", V, "C", wave(0.8, 0.01), 0.2)), CHARITABLE),
    (REFUTED, "steadier over seeds, less steady over epochs", 1,
     lambda g: (g.set("reward", V, "A", wave(0.5, 0.01), 0.2), g.set("reward", V, "C", wave(0.8, 0.05), 0.03)), CHARITABLE),
)  # fmt: skip
