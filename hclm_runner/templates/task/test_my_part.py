"""What my task promises. Run by: python -m pytest test_my_part.py."""

import numpy as np

from hclm_runner import configure, train
from my_part import my_part


def test_three_splits_of_the_size_asked_for_with_both_classes():
    task = my_part(np.random.default_rng(0), samples=100)
    for x, y in task.splits().values():
        assert x.shape == (100, 2)
        assert set(y) == {0, 1}
    assert not np.array_equal(task.train[0], task.test[0])


def test_the_same_rng_gives_the_same_data_and_another_gives_others():
    first, again, other = (my_part(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(first.train[0], again.train[0])
    assert not np.array_equal(first.train[0], other.train[0])


def test_without_noise_the_class_is_what_the_signs_say():
    x, y = my_part(np.random.default_rng(0), noise=0.0).train
    assert np.array_equal(y, np.sign(x[:, 0]) == np.sign(x[:, 1]))


def test_it_trains():
    records = train([configure(["task=my_part.my_part", "epochs=2"])])
    assert records.causes == [None]
    assert ((records.columns["train_accuracy"] > 0) & (records.columns["train_accuracy"] <= 1)).all()
