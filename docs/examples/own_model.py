"""
A torch model of your own
=========================

Train a convolutional network on the digits, and get its weights back.
"""

import inspect

import matplotlib.pyplot as plt
import my_models
import torch

from hclm_runner import configure, train
from hclm_runner.training.problem import draw_task

# %%
# A model is a function of the shape of a sample and the number of outputs. It returns a module with an
# ``encoder``, whose output is the representation Z, and a ``head``. This is ``my_models.py``, in
# the same folder as this notebook.

print(inspect.getsource(my_models))

# %%
# The entropy acts on whatever the encoder returns. Two runs of one shape train as one batch:
# without and with the term.

model = ["model=my_models.convolutional", "model.channels=8", "model.representation=16"]
runs = [configure("task=digits", *model, lam=lam, epochs=15) for lam in (0, 0.03)]
records = train(runs)
records

# %%
rows = records.frame()
figure, axes = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
for lam, of_one in rows.groupby("lam0"):
    axes[0].plot(of_one["epoch"], of_one["test_accuracy"], label=f"lam = {lam:g}")
    axes[1].plot(of_one["epoch"], of_one["entropy"])
axes[0].set(xlabel="epoch", ylabel="test accuracy")
axes[1].set(xlabel="epoch", ylabel="entropy S (nats)")
axes[0].legend()
plt.show()

# %%
# ``records.theta`` has the parameters at the end, one row a run, in the order of the model's
# ``parameters()``. So the trained network is an ordinary torch module again.

x, y = (torch.as_tensor(part) for part in draw_task(runs[1]).test)
network = my_models.convolutional(x.shape[1:], 10, channels=8, representation=16)
theta = torch.from_numpy(records.theta[1])
torch.nn.utils.vector_to_parameters(theta, network.parameters())
with torch.no_grad():
    predicted = network["head"](network["encoder"](x.float())).argmax(1)
accuracy = (predicted == y).double().mean().item()
recorded = rows["test_accuracy"].iloc[-1]
f"{accuracy:.4f} here, {recorded:.4f} in the last row of the records"
