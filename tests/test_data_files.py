"""Tasks whose data are files, and MNIST-1D: what is read, what is drawn, what is refused."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from hclm_runner.config import configure
from hclm_runner.refusal import ConfigError
from hclm_runner.streams import stream
from hclm_runner.tasks.mnist1d import TEMPLATES, signals

SIZES = ["task.train=20", "task.feedback=10", "task.test=12"]


def draw(*overrides: str):
    config = configure(*overrides)
    return config.task.load()(stream(config.drawn_from, "data"), **config.task.options)


# --- files -----------------------------------------------------------------------------------------------------------


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def fashion(tmp_path):
    """A data set of 40 and 12 pictures, half of its files packed."""
    rng = np.random.default_rng(0)
    for prefix, n in (("train", 40), ("t10k", 12)):
        images, labels = rng.integers(256, size=(n, 28, 28), dtype=np.uint8), (np.arange(n) % 10).astype(np.uint8)
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path


@pytest.fixture
def cifar(tmp_path):
    rng = np.random.default_rng(1)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        samples = rng.integers(256, size=(12, 3073), dtype=np.uint8)
        samples[:, 0] = np.arange(12) % 10
        (tmp_path / f"{name}.bin").write_bytes(samples.tobytes())
    return tmp_path


def pixels(task) -> list[np.ndarray]:
    """The bytes of each split's pictures, by the inverse of what `fashion_mnist` does."""
    return [
        np.round((x * np.float32(0.3530) + np.float32(0.2860)) * 255).astype(int) for x, _ in task.splits().values()
    ]


def test_pictures_are_read_byte_for_byte_and_no_picture_is_in_two_splits(fashion):
    whole = gzip.decompress((fashion / "train-images-idx3-ubyte.gz").read_bytes())
    published = {whole[16 + 784 * i : 16 + 784 * (i + 1)]: i for i in range(40)}
    task = draw("task=fashion_mnist", f"task.root={fashion}", *SIZES, "seed=3")
    assert task.train[0].shape == (20, 1, 28, 28)
    train, feedback, test = pixels(task)
    places = [published[bytes(image.astype(np.uint8))] for image in (*train, *feedback)]
    assert len(set(places)) == 30
    np.testing.assert_array_equal(np.concatenate([task.train[1], task.feedback[1]]), np.array(places) % 10)
    assert bytes(test.astype(np.uint8)) == gzip.decompress((fashion / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    flat = draw("task=fashion_mnist", f"task.root={fashion}", *SIZES, "seed=3", "task.image=false")
    np.testing.assert_array_equal(flat.train[0], task.train[0].reshape(20, 784))


def test_subsets_follow_the_data_seed_and_a_whole_set_is_the_same_for_all(fashion):
    first, again, other = (draw("task=fashion_mnist", f"task.root={fashion}", *SIZES, f"seed={s}") for s in (3, 3, 4))
    np.testing.assert_array_equal(first.train[0], again.train[0])
    assert not np.array_equal(first.train[0], other.train[0])
    np.testing.assert_array_equal(first.test[0], other.test[0])
    noisy = draw("task=fashion_mnist", f"task.root={fashion}", *SIZES, "seed=3", "task.label_noise=1")
    np.testing.assert_array_equal(noisy.train[0], first.train[0])
    assert (noisy.train[1] != first.train[1]).any()


def test_cifar_is_read_byte_for_byte(cifar):
    task = draw("task=cifar10", f"task.root={cifar}", *SIZES)
    x, y = task.test
    sample = (cifar / "test_batch.bin").read_bytes()[5 * 3073 : 6 * 3073]
    mean, deviation = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    for c, i, j in ((0, 0, 0), (1, 0, 5), (2, 31, 30)):
        value = sample[1 + 1024 * c + 32 * i + j]
        assert x[5, c, i, j] == pytest.approx((value / 255 - mean[c]) / deviation[c], rel=1e-5)
    assert y[5] == sample[0] == 5


def test_where_the_files_lie_is_no_part_of_what_a_run_is(fashion):
    here, there, more = (
        configure("task=fashion_mnist", *SIZES, f"task.root={root}", *rest)
        for root, rest in ((fashion, []), ("/elsewhere", []), (fashion, ["task.image=false"]))
    )
    assert (here.run_id, here.label) == (there.run_id, there.label)
    assert here.run_id != more.run_id
    assert "root" not in here.label


def spoilt(folder: Path, name: str, change) -> None:
    path = folder / name
    data = change(path.read_bytes())
    path.unlink() if data is None else path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("t10k-labels-idx1-ubyte", lambda _: None, "with the file t10k-labels-idx1-ubyte or .*dataset-fashion-mnist"),
        ("train-labels-idx1-ubyte", lambda data: data[:-1], "a whole IDX file of bytes, in 1 dimensions"),
        ("train-labels-idx1-ubyte", lambda data: data[:3], "a whole IDX file of bytes, in 1 dimensions"),
        ("train-labels-idx1-ubyte", lambda _: idx(np.zeros(39, np.uint8)), "a label for each of the 40 train images, got 39"),
        ("train-images-idx3-ubyte.gz", lambda data: data[:-9], "a file that can be read, got EOFError"),
        ("train-images-idx3-ubyte.gz", lambda data: b"x" + data, "a file that can be read, got BadGzipFile"),
    ],
)  # fmt: skip
def test_files_that_are_missing_or_damaged_are_named_in_one_line(fashion, name, change, message):
    spoilt(fashion, name, change)
    with pytest.raises(ConfigError, match=f"^task.root=.*{message}") as refused:
        draw("task=fashion_mnist", f"task.root={fashion}", *SIZES)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("data_batch_4.bin", lambda _: None, "a folder with the file data_batch_4.bin"),
        ("test_batch.bin", lambda data: data[:-1], "whole samples of 3073 bytes, got 36875 bytes"),
    ],
)
def test_files_of_cifar_too(cifar, name, change, message):
    spoilt(cifar, name, change)
    with pytest.raises(ConfigError, match=f"^task.root=.*{message}"):
        draw("task=cifar10", f"task.root={cifar}", *SIZES)


def test_more_than_there_is_is_refused(fashion):
    for override, message in (("task.train=31", "train . feedback of at most 40"), ("task.test=13", "at most 12")):
        with pytest.raises(ConfigError, match=message):
            draw("task=fashion_mnist", f"task.root={fashion}", *SIZES, override)


# --- MNIST-1D --------------------------------------------------------------------------------------------------------


def published(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    """The published recipe, sample by sample, from the same random numbers."""
    n = len(y)
    zeros, sizes = rng.integers(36, 61, size=n), rng.random((n, 1)) - 0.5
    moves, noise = rng.integers(48, size=(n, 1)), rng.standard_normal((n, 72))
    fine, slopes = rng.standard_normal((n, 72)), rng.random((n, 1)) - 0.5
    made = []
    for i in range(n):
        shape = TEMPLATES[y[i]] - TEMPLATES[y[i]].mean()
        shape = shape / shape.std()
        shape = (shape - shape[0]) / 6 + 1e-8  # so that no point of it is taken for empty
        x = np.concatenate([shape, np.zeros(zeros[i])])
        x = np.interp(np.linspace(0, 1, 72), np.linspace(0, 1, len(x)), x)
        x = np.roll(x * (1 + 0.4 * sizes[i]), moves[i, 0])
        x = np.where(x != 0, x, gaussian_filter1d(0.25 * noise[i], 2))
        x = x + 0.02 * fine[i] - 0.75 * slopes[i] * np.linspace(-0.5, 0.5, 72)
        made.append(np.interp(np.linspace(0, 1, 40), np.linspace(0, 1, 72), x))
    return np.array(made)


def test_mnist1d_is_the_published_recipe():
    y = np.arange(200) % 10
    # 1e-6: the recipe's own 1e-8 on the shape, over its smallest spacing.
    np.testing.assert_allclose(signals(np.random.default_rng(0), y), published(np.random.default_rng(0), y), atol=1e-6)


def test_mnist1d_is_balanced_standardised_and_drawn_from_the_seed():
    task, again, other = (draw("task=mnist1d", *SIZES, "task.train=2000", f"seed={seed}") for seed in (0, 0, 1))
    x, y = task.train
    assert x.shape == (2000, 1, 40)
    np.testing.assert_array_equal(np.bincount(y), 200)
    assert abs(x.mean()) < 1e-12
    assert abs(x.std() - 1) < 1e-12
    np.testing.assert_array_equal(x, again.train[0])
    assert not np.array_equal(x, other.train[0])
    flat = draw("task=mnist1d", *SIZES, "task.train=2000", "seed=0", "task.image=false")
    np.testing.assert_array_equal(flat.train[0], x[:, 0])
