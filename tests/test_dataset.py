"""The task of any data set: what becomes of its samples, which split has which, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from hclm_runner.config import configure
from hclm_runner.refusal import ConfigError
from hclm_runner.streams import stream
from hclm_runner.training.trainer import train

SIZES = ["task.train=12", "task.feedback=6", "task.test=5"]


class Pictures:
    """Colour pictures of PIL, 4 wide and 3 high; the first byte says which it is."""

    read = 0

    def __init__(self, n: int, first: int = 0, sides: tuple[int, int] = (3, 4), classes: int = 3) -> None:
        self.n, self.first, self.sides, self.classes = n, first, sides, classes

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int):
        if i >= self.n:
            raise IndexError(i)
        Pictures.read += 1
        pixels = np.random.default_rng(i).integers(256, size=(*self.sides, 3), dtype=np.uint8)
        pixels[0, 0, 0] = self.first + i
        return Image.fromarray(pixels), i % self.classes


class Curves(Pictures):
    """Samples with names, tensors and float targets."""

    def __getitem__(self, i: int):
        return {"id": i, "in": torch.full((2,), float(i)).cumsum(0), "out": i / 2}


class TwoSizes(Pictures):
    def __getitem__(self, i: int):
        return np.zeros((1, 4, 4 + (i == 2))), i % 2


class Words(Pictures):
    def __getitem__(self, i: int):
        return np.zeros(3), "cat"


class Stream:
    def __init__(self, n: int) -> None:
        pass

    def __iter__(self):
        return iter([(np.zeros(3), 0)])


def draw(of: str, arguments: str, *overrides: str):
    given = [f"task.of={of if '.' in of else f'{__name__}.{of}'}", f"task.arguments={arguments}"]
    config = configure("task=dataset", *given, *SIZES, *overrides)
    return config.task.load()(stream(config.drawn_from, "data"), **config.task.options)


def places(task, most: int) -> list[np.ndarray]:
    """Which picture each sample is: its first value grows evenly from the least of them to the greatest, `most`."""
    first = [x[:, 0, 0, 0] for x, _ in task.splits().values()]
    least, greatest = min(map(np.min, first)), max(map(np.max, first))
    return [np.round((values - least) / (greatest - least) * most).astype(int) for values in first]


def test_pictures_have_their_channels_first_each_in_one_split_and_are_standardised_by_channel():
    task, before = draw("Pictures", "{n: 23}", "seed=4"), Pictures.read
    assert [x.shape for x, _ in task.splits().values()] == [(n, 3, 3, 4) for n in (12, 6, 5)]
    np.testing.assert_allclose(task.train[0].mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(task.train[0].std((0, 2, 3)), 1, atol=1e-6)
    found = places(task, 22)
    assert sorted(np.concatenate(found)) == list(range(23))
    for place, (x, y) in zip(found, task.splits().values(), strict=True):
        np.testing.assert_array_equal(y, place % 3)
        pixels = np.asarray(Pictures(23)[place[0]][0])
        assert np.corrcoef(x[0, 2].ravel(), pixels[..., 2].ravel())[0, 1] == pytest.approx(1), "rows and columns kept"
    assert task.classes == 3
    again, other = (draw("Pictures", "{n: 23}", f"seed={seed}") for seed in (4, 5))
    np.testing.assert_array_equal(task.train[0], again.train[0])
    assert not np.array_equal(task.train[0], other.train[0])
    assert Pictures.read == before + 3, "by this test alone: the set is read once"


def test_the_test_split_may_be_of_another_set():
    task = draw("Pictures", "{n: 18, classes: 2}", "task.test_arguments={n: 6, first: 100, classes: 4}")
    *_, test = places(task, 105)
    assert test.min() >= 100
    assert task.classes == 4, "those of both sets"


def test_samples_with_names_and_float_targets_are_a_regression():
    task = draw("Curves", "{n: 23}", "task.columns=[in,out]")
    assert task.classes is None
    for x, y in task.splits().values():
        np.testing.assert_allclose(x[:, 1], x[:, 0], atol=1e-6)  # of each feature by itself
        slope = np.diff(x[:, :1], axis=0) / np.diff(y, axis=0)
        np.testing.assert_allclose(slope, slope[0, 0], rtol=1e-4)
        assert y.shape == (len(x), 1)


@pytest.mark.parametrize(
    ("of", "arguments", "overrides", "message"),
    [
        ("Pictures", "{n: 22}", [], "^task.train=12: expected train . feedback . test of at most 22 samples"),
        ("Pictures", "{n: 18}", ["task.test_arguments={n: 4}"], "^task.test=5: expected at most 4 samples"),
        ("Pictures", "{n: 0}", [], "^task.of=.*: expected samples of one shape, got no sample"),
        ("Pictures", "{m: 3}", [], "^task.of=.*made from task.arguments, got TypeError: .*unexpected keyword argument 'm'"),
        ("Pictures", "{n: 23, classes: 1}", [], "at least two classes in the training split, got one"),
        ("TwoSizes", "{n: 23}", [], r"got x \[1, 4, 4\] with y \[\] and x \[1, 4, 5\] with y \[\]"),
        ("Words", "{n: 23}", [], "expected numbers x and y, got float64 and <U3"),
        ("Curves", "{n: 23}", [], r"got TypeError: a sample with the names \['id', 'in', 'out'\]: two of them are task.columns"),
        ("Curves", "{n: 23}", ["task.columns=[in,on]"], "got KeyError: 'on'"),
        ("Stream", "{n: 23}", [], r"pairs \(x, y\) with len\(\) and \[i\], .* got TypeError: object of type 'Stream' has no len"),
        ("SIZES", "{n: 23}", [], "got TypeError: 'list' object is not callable"),
        ("no_such.Set", "{n: 23}", [], "^task.of=no_such.Set: expected a dotted path that imports, got ModuleNotFoundError"),
        ("Pictures", "{n: 23, download: true}", [], "^task.arguments=.*: expected none that downloads"),
    ],
)  # fmt: skip
def test_what_is_no_such_data_set_is_refused_in_one_line(of, arguments, overrides, message):
    with pytest.raises(ConfigError, match=message) as refused:
        draw(of, arguments, *overrides)
    assert "\n" not in str(refused.value)


def test_a_network_trains_on_pictures_though_their_channels_came_last():
    given = ["task=dataset", f"task.of={__name__}.Pictures", "task.arguments={n: 23, sides: [4, 4]}", *SIZES]
    records = train(configure(*given, "model=cnn", "model.channels=[4]", "batch_size=6", "epochs=1"))
    assert np.isfinite(records.columns["test_loss"]).all()


@pytest.mark.parametrize(
    ("library", "given"),
    [
        ("torchvision", ("torchvision.datasets.FakeData", "{size: 30, image_size: [3, 8, 8], num_classes: 3}")),
        (
            "datasets",
            (
                "datasets.Dataset.from_dict",
                "{mapping: {image: [[1], [2], [3], [4], [5], [6]], label: [0, 1, 0, 1, 0, 1]}}",
                *("task.columns=[image,label]", "task.train=4", "task.feedback=1", "task.test=1"),
            ),
        ),
    ],
)
def test_the_libraries_have_such_data_sets(library, given):
    pytest.importorskip(library)
    assert draw(*given).classes in (2, 3)


def test_pictures_that_the_library_datasets_has_saved_are_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    images, labels = zip(*(Pictures(23)[i] for i in range(23)), strict=True)
    datasets.Dataset.from_dict({"image": images, "label": labels}).save_to_disk(tmp_path / "saved")
    task = draw("datasets.load_from_disk", f"{{dataset_path: {tmp_path}/saved}}", "task.columns=[image,label]")
    assert (task.train[0].shape, task.classes) == ((12, 3, 3, 4), 3)
    assert sorted(np.concatenate(places(task, 22))) == list(range(23))
