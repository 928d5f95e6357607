"""What my model promises. Run by: python -m pytest test_my_part.py."""

import torch

from hclm_runner import configure, train
from my_part import my_part

SMALL = ["task.train=64", "task.feedback=64", "task.test=64", "epochs=2"]


def test_encoder_and_head_have_the_shapes_asked_for():
    model = my_part((10,), 3, width=16, representation=5)
    Z = model.get_submodule("encoder")(torch.randn(7, 10))
    assert Z.shape == (7, 5)
    assert model.get_submodule("head")(Z).shape == (7, 3)


def test_all_its_parameters_are_in_encoder_and_head_and_it_has_no_buffers():
    model = my_part((10,), 3)
    assert {name.partition(".")[0] for name, _ in model.named_parameters()} == {"encoder", "head"}
    assert not list(model.buffers())


def test_it_trains_and_every_parameter_moves():
    still = train([configure(["model=my_part.my_part", "optimizer.lr=1e-30", *SMALL])])
    moved = train([configure(["model=my_part.my_part", *SMALL])])
    assert moved.causes == [None]
    assert (moved.theta != still.theta).all()
