"""
A first run
===========

Train one network with the log-det entropy in its loss, see how hard that term pushes, and ask whether it helped.
"""

import matplotlib.pyplot as plt
import pandas as pd

from hclm_runner import configure, effectiveness, final, train

# %%
# A configuration is what the command line takes: groups (``surrogate``, ``regime``, ...) and
# numbers (``lam``, ``epochs``). Text is an override as you would type it; a keyword has a value of
# Python.

held = configure("surrogate=logdet", "regime=thermostat", lam=0.1, epochs=60)
print(held.title)

# %%
# ``train`` writes nothing. What it returns shows the id of each run with its settings.

records = train(held)
records

# %%
# ``frame`` has one row per epoch. ``entropy`` is S in nats, ``setpoint`` the target of the
# thermostat, ``lam`` the coefficient that it sets, and ``force`` the norm of the gradient of S with
# respect to the parameters.

rows = records.frame()
shown = ["epoch", "entropy", "setpoint", "lam", "force", "share", "test_loss"]
rows[shown].iloc[::10]

# %%
# The thermostat raises lam for as long as the entropy is above its set point.

figure, (above, below) = plt.subplots(2, 1, sharex=True, layout="constrained")
above.plot(rows["epoch"], rows["entropy"], label="entropy S")
above.plot(rows["epoch"], rows["setpoint"], "--", label="set point")
above.set_ylabel("nats")
above.legend()
below.plot(rows["epoch"], rows["lam"], color="tab:orange")
below.set_yscale("log")
below.set(xlabel="epoch", ylabel="coefficient lam")
plt.show()

# %%
# Was the surrogate effective, in the sense of the paper's Definition 1? It was if what it moved
# the encoder (``share``, of what the loss did) was at least 5% in at least a quarter of the epochs.

effectiveness(rows)

# %%
# Did it help? The same seed without the term has the same data, first weights and order of batches.

without = train(configure(lam=0, epochs=60)).frame()
shown = ["train_loss", "test_loss", "gap", "test_accuracy", "entropy"]
pd.DataFrame({"thermostat": final(rows)[shown], "lam = 0": final(without)[shown]})
