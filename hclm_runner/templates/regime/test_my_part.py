"""What my law promises. Run by: python -m pytest test_my_part.py."""

import numpy as np
import torch

from hclm_runner import configure, train
from hclm_runner.regimes import Seen
from my_part import MyPart

SMALL = ["task.train=64", "task.feedback=64", "task.test=64", "epochs=2"]


def follow(lam0, epochs=5):
    law, state, nothing = MyPart(), MyPart().init(lam0, torch.full_like(lam0, 1.4)), torch.full_like(lam0, torch.nan)
    lams = []
    for epoch in range(epochs):
        state = law.update(state, Seen(epoch, torch.ones_like(lam0), *[nothing] * 6))
        lams.append(state["lam"])
    return torch.stack(lams)


def test_many_runs_are_each_as_it_is_alone():
    lam0 = torch.tensor([0.0, 0.1, 3.0], dtype=torch.float64)
    assert torch.equal(follow(lam0), torch.stack([follow(one) for one in lam0], dim=1))


def test_lam_fades_and_is_never_negative():
    lams = follow(torch.tensor(2.0, dtype=torch.float64))
    assert torch.allclose(lams, 2 * 0.9 ** torch.arange(1.0, 6.0, dtype=torch.float64))
    assert (lams >= 0).all()


def test_it_trains_and_lam_moves_as_it_says():
    records = train([configure(["regime=my_part.MyPart", "lam=1", *SMALL])])
    assert records.causes == [None]
    assert np.allclose(records.columns["lam"][0], [0.9, 0.81, 0.729])
