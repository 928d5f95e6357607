"""What my surrogate promises. Run by: python -m pytest test_my_part.py."""

import math

import pytest
import torch

from hclm_runner import configure, train
from my_part import my_part

SMALL = ["task.train=64", "task.feedback=64", "task.test=64", "epochs=2"]


@pytest.fixture
def Z():
    return torch.randn(32, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_it_is_a_scalar_between_its_bounds_and_falls_to_zero_where_all_points_coincide(Z):
    S = my_part(Z)
    assert S.shape == ()
    assert 0 < S < math.log(len(Z))
    assert abs(my_part(0 * Z)) < 1e-12
    assert my_part(2 * Z) > S


def test_it_depends_neither_on_the_order_of_the_batch_nor_on_where_the_origin_is(Z):
    assert torch.allclose(my_part(Z.flip(0) + 3), my_part(Z))


def test_it_has_a_force(Z):
    (gradient,) = torch.autograd.grad(my_part(Z.requires_grad_()), Z)
    assert gradient.isfinite().all()
    assert gradient.norm() > 1e-3


def test_it_trains_and_pushes():
    records = train([configure(["surrogate=my_part.my_part", "lam=1", *SMALL])])
    assert records.causes == [None]
    assert (records.columns["force"] > 0).all()
