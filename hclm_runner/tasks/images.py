"""Images in files that are on this machine already: nothing is downloaded, and nothing is unpickled."""

import gzip
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hclm_runner.parts import part
from hclm_runner.ranges import Count, Folder, Probability
from hclm_runner.refusal import ConfigError, one_line
from hclm_runner.tasks.base import Split, Task

Published = tuple[Split, Split]
"""The training and the test set: x [n, channels, height, width] of bytes, and y [n]."""

SCALES = {"fashion_mnist": ([0.2860], [0.3530]), "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])}
"""Mean and standard deviation of each channel over the published training set, in units of the largest value, 255."""


@part("task", "fashion_mnist", version=1)
def fashion_mnist(
    rng: np.random.Generator,
    *,
    root: Folder,
    image: bool,
    label_noise: Probability,
    train: Count,
    feedback: Count,
    test: Count,
) -> Task:
    """Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747): 28 x 28 grey pictures of 10 kinds of clothes; see `_subsets`.

    `root` has the four IDX files of the data set, plain or .gz: 60000 pictures to train on, 10000 to test.
    """
    return _subsets(rng, _idx(root), "fashion_mnist", image, label_noise, (train, feedback, test))


@part("task", "cifar10", version=1)
def cifar10(
    rng: np.random.Generator,
    *,
    root: Folder,
    image: bool,
    label_noise: Probability,
    train: Count,
    feedback: Count,
    test: Count,
) -> Task:
    """CIFAR-10 (Krizhevsky 2009): 32 x 32 colour pictures of 10 kinds of things; see `_subsets`.

    `root` has the six files of the binary version: 50000 pictures to train on, 10000 to test.
    """
    return _subsets(rng, _cifar(root), "cifar10", image, label_noise, (train, feedback, test))


def _subsets(
    rng: np.random.Generator, sets: Published, name: str, image: bool, label_noise: float, sizes: tuple[int, int, int]
) -> Task:
    """Draw the training and the feedback split from the published training set, the test split from the test set.

    Without replacement, and in the order of the files: a split of a whole set is the same for every seed. Values are
    standardised by `SCALES`, so that a picture is the same in every split. x is [n, channels, height, width], or
    [n, pixels] where `image` is false, float32. Labels are redrawn uniformly with probability `label_noise`.
    """
    (pool, _), (held_out, _) = sets
    train, feedback, test = sizes
    if train + feedback > len(pool):
        raise ConfigError("task.train", train, f"train + feedback of at most {len(pool)} samples")
    if test > len(held_out):
        raise ConfigError("task.test", test, f"at most {len(held_out)} samples")
    mean, deviation = (np.array(scale, np.float32)[:, None, None] for scale in SCALES[name])

    def split(of: Split, rows: NDArray[np.int64]) -> Split:
        rows = np.sort(rows)
        x = (of[0][rows] / np.float32(255) - mean) / deviation
        y = np.where(rng.random(len(rows)) < label_noise, rng.integers(10, size=len(rows)), of[1][rows])
        return (x if image else x.reshape(len(x), -1)), y

    order = rng.permutation(len(pool))
    parts = split(sets[0], order[:train]), split(sets[0], order[train : train + feedback])
    return Task(*parts, split(sets[1], rng.permutation(len(held_out))[:test]), classes=10)


@lru_cache(maxsize=2)
def _idx(root: str) -> Published:
    """Return what the four IDX files of a data set like MNIST hold."""

    def read(name: str, dimensions: int) -> NDArray[np.uint8]:
        path = next((path for path in (Path(root, name), Path(root, f"{name}.gz")) if path.is_file()), None)
        if path is None:
            package = "the Debian package dataset-fashion-mnist puts one at /usr/share/datasets/fashion-mnist"
            raise ConfigError("task.root", root, f"a folder with the file {name} or {name}.gz; {package}")
        data, head = _bytes(path), 4 + 4 * dimensions
        # Two zeros, 8 for bytes, the number of dimensions; then each dimension in four bytes, the highest first.
        shape = np.frombuffer(data[4:head], ">u4").astype(int) if len(data) >= head else np.zeros(0, int)
        if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) != head + shape.prod():
            raise ConfigError("task.root", path, f"a whole IDX file of bytes, in {dimensions} dimensions")
        return np.frombuffer(data, np.uint8, offset=head).reshape(shape)

    def pair(prefix: str) -> Split:
        x, y = read(f"{prefix}-images-idx3-ubyte", 3), read(f"{prefix}-labels-idx1-ubyte", 1)
        if len(x) != len(y):
            raise ConfigError("task.root", root, f"a label for each of the {len(x)} {prefix} images, got {len(y)}")
        return x[:, None], y

    return pair("train"), pair("t10k")


@lru_cache(maxsize=2)
def _cifar(root: str) -> Published:
    """Return what the files of the binary version of CIFAR-10 hold: 3073 bytes a sample, its label first."""

    def read(name: str) -> NDArray[np.uint8]:
        path = Path(root, name)
        if not path.is_file():
            raise ConfigError("task.root", root, f"a folder with the file {name}, of the binary version of CIFAR-10")
        data = _bytes(path)
        if not data or len(data) % 3073:
            raise ConfigError("task.root", path, f"whole samples of 3073 bytes, got {len(data)} bytes")
        return np.frombuffer(data, np.uint8).reshape(-1, 3073)

    def pair(*names: str) -> Split:
        samples = np.concatenate([read(name) for name in names])
        return samples[:, 1:].reshape(-1, 3, 32, 32), samples[:, 0]

    return pair(*(f"data_batch_{i}.bin" for i in range(1, 6))), pair("test_batch.bin")


def _bytes(path: Path) -> bytes:
    """Return what is in a file, unpacked."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError("task.root", path, f"a file that can be read, got {one_line(error)}") from error
