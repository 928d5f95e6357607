"""What my update rule promises. Run by: python -m pytest test_my_part.py."""

import torch

from hclm_runner import configure, train
from my_part import MyPart

SMALL = ["task.train=64", "task.feedback=64", "task.test=64", "epochs=2"]


def descend(rule, steps):
    """Return theta after some steps on the bowl |theta|^2 / 2, whose gradient is theta."""
    theta = torch.tensor([1.0, -2.0], dtype=torch.float64)
    memory = rule.init(theta)
    for _ in range(steps):
        theta, memory = rule.update(theta, theta, memory)
    return theta


def test_its_first_two_steps_are_those_of_the_formula():
    # From theta = 1: v = 1, then 0.9 + 0.905; theta = 1 - 0.05 (1 + 0.9), then 0.905 - 0.05 (0.905 + 0.9 v).
    assert torch.allclose(descend(MyPart(), 1)[0], torch.tensor(0.905, dtype=torch.float64))
    assert torch.allclose(descend(MyPart(), 2)[0], torch.tensor(0.778525, dtype=torch.float64))


def test_the_moves_of_two_parts_are_the_step():
    rule, theta, velocities = MyPart(), torch.ones(2, dtype=torch.float64), [torch.zeros(2, dtype=torch.float64)] * 2
    memory = rule.init(theta)
    for g in (torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])):
        moved, memory = rule.update(theta, g, memory)
        parts = zip((0.3 * g, 0.7 * g), velocities, strict=True)
        moves, velocities = zip(*(rule.split(part, v, memory) for part, v in parts), strict=True)
        assert torch.allclose(sum(moves), moved - theta)
        theta = moved


def test_it_goes_to_the_bottom_of_a_bowl():
    assert descend(MyPart(), 300).norm() < 1e-3


def test_it_trains_and_the_loss_falls():
    records = train([configure(["optimizer=my_part.MyPart", "lam=0", *SMALL])])
    assert records.causes == [None]
    assert records.columns["train_loss"][0, -1] < records.columns["train_loss"][0, 0]
