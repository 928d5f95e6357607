"""The claims of Figures 5-10, each bent to each verdict.

In each case all but the named part leave the claim standing, so the part named has decided alone.
"""

from made_up import CHARITABLE, Case, L, S, cases, nothing

from experiments.claims.judge import COLLAPSE, INCONCLUSIVE, REFUTED, SUPPORTED

CASES: list[Case] = []

CASES += cases(
    "5", nothing,
    (SUPPORTED, "flat", None, nothing),
    (SUPPORTED, "lower only where feedback does not choose", None, lambda g: g.set("test_loss", S, "A", [2, 1, 2, 1, 1])),
    (REFUTED, "a fifth lower", 0, lambda g: g.set("test_loss", S, "A", [2, 2, 1.6, 2, 2])),
    (INCONCLUSIVE, "at the bound", 0, lambda g: g.set("test_loss", S, "A", [2, 2, 1.9, 2, 2], 0.05)),
    (SUPPORTED, "a fifth lower, with an accuracy 20 points lower", None,
     lambda g: (g.set("test_loss", S, "A", [2, 2, 1.6, 2, 2]), g.set("test_accuracy", S, "A", [0.6, 0.6, 0.4, 0.6, 0.6])),
     CHARITABLE),
)  # fmt: skip
CASES += cases(
    "6", lambda g: g.set("gap", S, "A", [2, 2, 2, 2.4, 2.4]),
    (SUPPORTED, "flat, then up", None, nothing),
    (REFUTED, "lower at the first lam", 0, lambda g: g.set("gap", S, "A", [2, 1.5, 2, 2.4, 2.4])),
    (REFUTED, "lower at the second", 1, lambda g: g.set("gap", S, "A", [2, 2, 1.5, 2.4, 2.4])),
    (REFUTED, "lower at the third", 2, lambda g: g.set("gap", S, "A", [2, 2, 2, 1.5, 3.3])),
    (REFUTED, "lower at the last", 3, lambda g: g.set("gap", S, "A", [2, 2, 2, 3.3, 1.5])),
    (REFUTED, "not up at the end", 4, lambda g: g.set("gap", S, "A", 2)),
    (INCONCLUSIVE, "up by just the margin", 4, lambda g: g.set("gap", S, "A", [2, 2.2, 2.2, 2.1, 2.1], 0.05)),
    (INCONCLUSIVE, "down by just the margin", 1, lambda g: g.set("gap", S, "A", [2, 2.2, 1.9, 2.4, 2.4], 0.03)),
    (COLLAPSE, "lower where nothing is learnt", 3,
     lambda g: (g.set("gap", S, "A", [2, 2, 2, 4, 1]), g.set("train_loss", S, "A", [0.1] * 4 + [1.35]))),
    (SUPPORTED, "higher where test loss is harmed", None, lambda g: g.set("test_loss", S, "A", [2, 2, 2, 2.4, 2.4])),
    (SUPPORTED, "lower where nothing is learnt", None,
     lambda g: (g.set("gap", S, "A", [2, 2, 2.4, 2.4, 1]), g.set("train_loss", S, "A", [0.1] * 4 + [1.35])), CHARITABLE),
)  # fmt: skip


def fig07(g, column="force", force=0.2, noise=0.2, theirs=0.05):
    g.set(column, S, "A", force, noise)
    g.set(column, L, "A", 1.0, theirs)


CASES += cases(
    "7", lambda g: (fig07(g, "force"), fig07(g, "force_ratio")),
    (SUPPORTED, "small and noisy", None, nothing),
    (REFUTED, "ratio larger", 0, lambda g: fig07(g, "force_ratio", force=2)),
    (REFUTED, "ratio steadier", 1, lambda g: fig07(g, "force_ratio", noise=0.005, theirs=0.2)),
    (REFUTED, "force larger", 2, lambda g: fig07(g, "force", force=2)),
    (REFUTED, "force steadier", 3, lambda g: fig07(g, "force", noise=0.005, theirs=0.2)),
    (INCONCLUSIVE, "as noisy", 3, lambda g: fig07(g, "force", noise=0.05)),
    (COLLAPSE, "smaller where nothing is learnt", 2, lambda g: (
        g.set("force", S, "A", [1, 2, 2, 0.001, 0.001], 0.2), g.set("train_loss", S, "A", [0.1] * 3 + [1.35] * 2))),
    (SUPPORTED, "by lam F / |grad L| larger, by the share smaller", None,
     lambda g: (fig07(g, "force_ratio", force=2), fig07(g, "share")), CHARITABLE),
)  # fmt: skip
CASES += cases(
    "8", lambda g: g.set("entropy", S, "A", [2, 2, 2, 1.5, 1]),
    (SUPPORTED, "entropy alone falls", None, nothing),
    (REFUTED, "entropy falls by a tenth", 0, lambda g: g.set("entropy", S, "A", [2, 2, 2, 2, 1.8])),
    (REFUTED, "the rate falls", 1, lambda g: g.set("logdet_rate", S, "A", [2, 2, 2, 2, 1.6])),
    (REFUTED, "the rank falls", 2, lambda g: g.set("effective_rank", S, "A", [3, 3, 3, 3, 2])),
    (INCONCLUSIVE, "at the bound", 0, lambda g: g.set("entropy", S, "A", [2, 2, 2, 2, 1.6], 0.05)),
    (SUPPORTED, "the rate falls at the largest lam, and not below it", None,
     lambda g: g.set("logdet_rate", S, "A", [2, 2, 2, 2, 1.6]), CHARITABLE),
    (REFUTED, "the rate falls wherever entropy does", 1,
     lambda g: g.set("logdet_rate", S, "A", [2, 2, 2, 1.6, 1.6]), CHARITABLE),
    (INCONCLUSIVE, "collapsed at every lam", None, lambda g: g.set("train_loss", S, "A", [0.1] + [1.35] * 4), CHARITABLE),
)  # fmt: skip
CASES += cases(
    "9", nothing,
    (SUPPORTED, "moves, no gain", None, nothing),
    (REFUTED, "stands still", 0, lambda g: g.set("lam", S, "B", 0.3, noise=0.1)),
    (REFUTED, "gains", 1, lambda g: g.set("test_loss", S, "B", 1.5)),
    (REFUTED, "gains on what feedback chose, not on the best", 1,
     lambda g: (g.set("test_loss", S, "B", 1.8), g.set("test_loss", S, "A", [2, 1.5, 2, 2, 2]))),
    (INCONCLUSIVE, "gains the margin", 1, lambda g: g.set("test_loss", S, "B", 1.9, 0.1)),
)  # fmt: skip
UNSTEADY = [0.02, 0.02, 0.02, 0.1, 0.1]
CASES += cases(
    "10", lambda g: g.set("reward", S, "C", 0.6, UNSTEADY),
    (SUPPORTED, "higher, unsteady at the end", None, nothing),
    (SUPPORTED, "unsteady at 0 too", None, lambda g: g.set("reward", S, "C", 0.6, [0.1, 0.02, 0.02, 0.1, 0.1])),
    (REFUTED, "not higher", 0, lambda g: g.set("reward", S, "C", 0.5, UNSTEADY)),
    (REFUTED, "steady at the end", 1, lambda g: g.set("reward", S, "C", 0.6, [0.01, 0.01, 0.3, 0.01, 0.01])),
    (INCONCLUSIVE, "higher by the margin", 0, lambda g: g.set("reward", S, "C", 0.525, UNSTEADY)),
    (INCONCLUSIVE, "as unsteady at the end as in the middle", 1, lambda g: g.set("reward", S, "C", 0.6, 0.05)),
    (SUPPORTED, "higher by less than the margin", None,
     lambda g: (g.set("reward", S, "A", 0.5, 0.001), g.set("reward", S, "C", 0.515, [0.002] * 3 + [0.01] * 2)), CHARITABLE),
)  # fmt: skip
