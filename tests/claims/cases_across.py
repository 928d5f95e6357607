"""The claims across surrogates and runs, each bent to each verdict.

In each case all but the named part leave the claim standing, so the part named has decided alone.
"""

import numpy as np
from made_up import CHARITABLE, EPOCHS, LAMS, SEEDS, Case, L, T, V, cases, nothing

from experiments import grid
from experiments.claims.judge import COLLAPSE, INCONCLUSIVE, REFUTED, SUPPORTED

CASES: list[Case] = []

for cross, column in (("X1 raw", "force"), ("X1 ratio", "force_ratio")):
    CASES += cases(
        cross, lambda g, k=column: g.set(k, L, "A", 2).set(k, V, "A", 3),
        (SUPPORTED, "stronger", None, nothing),
        (SUPPORTED, "stronger at lam > 0, not at 0", None, lambda g, k=column: g.set(k, L, "A", [0, 2, 2, 2, 2])),
        (REFUTED, "logdet weaker", 0, lambda g, k=column: g.set(k, L, "A", 0.5)),
        (REFUTED, "variance weaker", 1, lambda g, k=column: g.set(k, V, "A", 0.5)),
        (INCONCLUSIVE, "logdet as strong", 0, lambda g, k=column: g.set(k, L, "A", 1.05, 0.2)),
        (COLLAPSE, "weaker only where it learns nothing", 0, lambda g, k=column: (
            g.set(k, L, "A", [2, 2, 2, 0.001, 0.001]), g.set("train_loss", L, "A", [0.1] * 3 + [1.35] * 2))),
    )  # fmt: skip


CASES += cases(
    "X1 ratio", lambda g: g.set("force_ratio", L, "A", 0.5),
    (SUPPORTED, "weaker by lam F / |grad L|, stronger by the share", None,
     lambda g: g.set("share", L, "A", 2).set("share", V, "A", 3), CHARITABLE),
)  # fmt: skip


def linked(g, surrogate, column, sign, level=2.0, cells=None):
    """Let the fall of the force drive a column, in the same direction in all cells."""
    for regime in "ABC":
        f = 1 + 0.3 * g.unit(len(LAMS), SEEDS)[..., None]
        path = np.exp(f * np.interp(T, [0, EPOCHS - 6], [1, 0]))  # log(F_max / F_final) = f
        follows = np.broadcast_to(level + sign * 0.2 * (f - 1) / 0.3 + 0.1 * g.rng.normal(size=f.shape), path.shape)
        g.set("force", surrogate, regime, path, 0, shared=False)
        g.set(column, surrogate, regime, follows, 0, shared=False)


def cut_where_collapsed(g, column, sign):
    """The opposite in A at the two largest lam, as strong as can be; but these have collapsed."""
    for s in (L, V):
        index = (grid.SURROGATES.index(s), 0, slice(3, None))
        fallen = np.log(g.columns["force"][index][..., :1])
        g.columns[column][index] = 2 - 20 * sign * (fallen - 1)
        g.set("train_loss", s, "A", [0.1, 0.1, 0.1, 1.35, 1.35])


def worse_than_its_own_first(g):
    """Under B all but the first lam have a test loss above B's first, but far below A's at lam = 0: no harm done."""
    for s in (L, V):
        g.set("test_loss", s, "B", [0.5, 0.6, 0.6, 0.6, 0.6])


for cross, column, sign in (("X2", "gap", -1), ("X3", "reward", 1)):
    CASES += cases(
        cross, lambda g, k=column, b=sign: (linked(g, L, k, b), linked(g, V, k, b)),
        (SUPPORTED, "linked", None, nothing),
        (SUPPORTED, "the opposite only where collapsed", None, lambda g, k=column, b=sign: cut_where_collapsed(g, k, b)),
        (REFUTED, "the opposite in logdet", 0, lambda g, k=column, b=sign: linked(g, L, k, -b)),
        (REFUTED, "the opposite in variance", 1, lambda g, k=column, b=sign: linked(g, V, k, -b)),
        (INCONCLUSIVE, "not linked", 0, lambda g, k=column: linked(g, L, k, 0)),
    )  # fmt: skip
