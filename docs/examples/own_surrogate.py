"""
A surrogate of your own against log-det
=======================================

Write an entropy as a function of the representations Z, and compare it with ours over lam.
"""

import inspect

import matplotlib.pyplot as plt
import my_surrogates

from hclm_runner import configure, final, sweep

# %%
# A surrogate stands in a module, because the processes of a sweep must be able to import it and
# because the file identifies the run: an edit makes new runs. This is ``my_surrogates.py``, in the
# same folder as this notebook.

print(inspect.getsource(my_surrogates))

# %%
# One configuration a run: two surrogates, four values of lam, three seeds. Yours is chosen by its dotted
# path, and its option is set as any other.

logdet = ["surrogate=logdet"]
renyi = ["surrogate=my_surrogates.renyi", "surrogate.width=2"]
runs = [
    configure(*surrogate, lam=lam, seed=seed, epochs=30)
    for surrogate in (logdet, renyi)
    for lam in (0.01, 0.1, 0.3, 1)
    for seed in range(3)
]

# %%
# ``sweep`` trains what the store ``outputs/own_surrogate/`` lacks, as ``python -m hclm_runner -m``
# does. Run this cell again and it trains nothing; add values of lam and it trains only those.

records, described = sweep(runs, name="own_surrogate")
described[["run_id", "surrogate", "lam0", "seed", "status"]].head()

# %%
# A final value is the mean of the last five epochs. The columns are the mean over seeds.

runs_of = records.groupby(["surrogate", "lam0", "seed"])
finals = runs_of[records.columns].apply(final).reset_index()
table = finals.pivot_table(["test_loss", "share"], "lam0", "surrogate")
table.round(3)

# %%
# Each point is a run, each line the mean over seeds. ``share`` compares the surrogate's push
# with the loss's, so it does not depend on the units of the surrogate.

figure, axes = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
shown = {"test_loss": "test loss (nats)", "share": "share of the moves ‖D_S‖ / ‖D_L‖"}
for axis, (column, label) in zip(axes, shown.items(), strict=True):
    for name, of_one in finals.groupby("surrogate"):
        (line,) = axis.plot(table.index, table[column, name], label=name)
        axis.scatter(of_one["lam0"], of_one[column], s=12, color=line.get_color())
    axis.set_xscale("log")
    axis.set(xlabel="lam", ylabel=label)
axes[0].legend()
plt.show()
