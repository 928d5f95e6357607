"""The task of characters: what is read, which pieces of it are drawn, what a run of it is, and what is refused."""

from collections import Counter

import numpy as np
import pytest

from hclm_runner.config import configure
from hclm_runner.refusal import ConfigError
from hclm_runner.streams import stream
from hclm_runner.tasks.text import ALICE
from hclm_runner.training.trainer import train

SIZES = ["task.context=4", "task.train=3", "task.feedback=1", "task.test=2"]


def draw(*overrides: str):
    config = configure("task=text", *overrides)
    return config.task.load()(stream(config.drawn_from, "data"), **config.task.options)


def pieces(task, text: str) -> dict[str, list[str]]:
    """The pieces of each split, put together from what is read and what is to be told."""
    names = sorted(set(text))
    return {
        split: ["".join(names[k] for k in (*a, b[-1])) for a, b in zip(x, y, strict=True)]
        for split, (x, y) in task.splits().items()
    }


def test_samples_are_pieces_of_the_text_each_drawn_once():
    task, text = draw("seed=3"), ALICE.read_text()
    assert (task.vocabulary, task.classes) == (67, 67)
    for x, y in task.splits().values():
        assert x.shape == y.shape == (len(x), 32)
        np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    drawn, there = pieces(task, text), Counter(text[i : i + 33] for i in range(0, len(text), 33))
    assert [len(drawn[split]) for split in ("train", "feedback", "test")] == [1536, 384, 512]
    assert not Counter(piece for split in drawn.values() for piece in split) - there
    assert "CHAPTER VII\n" in text
    assert "CHAPTER VIII" not in text


def test_pieces_follow_the_data_seed():
    first, again, other = (draw(f"data_seed={data}", f"seed={seed}") for data, seed in ((1, 0), (1, 5), (2, 0)))
    np.testing.assert_array_equal(first.train[0], again.train[0])
    assert not np.array_equal(first.train[0], other.train[0])


def test_a_character_is_one_whatever_its_bytes_and_a_mark_at_the_beginning_is_none(tmp_path):
    for name, written in (("a.txt", "λéa\n字" * 6), ("b.txt", "\ufeffλéa\r\n字" * 1 + "λéa\n字" * 5)):
        (tmp_path / name).write_bytes(written.encode())
        task = draw(f"task.path={tmp_path / name}", *SIZES)
        assert task.vocabulary == 5
        assert {piece for drawn in pieces(task, "λéa\n字").values() for piece in drawn} == {"λéa\n字"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "^task.path=.*tale.txt: expected a file that can be read, got No such file or directory"),
        (b"", "^task.path=.*tale.txt: expected a text, got an empty file"),
        (b"caf\xe9 au lait", "^task.path=.*tale.txt: expected text in UTF-8, got the byte 0xe9 at 3"),
        (b"abcde" * 5, "^task.train=3: expected train . feedback . test of at most 5 samples: the text has 25 characters"),
        (b"a" * 99, "at least two classes in the training split, got one"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_text_or_too_short_is_refused_in_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "tale.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as refused:
        draw(f"task.path={tmp_path / 'tale.txt'}", *SIZES)
    assert "\n" not in str(refused.value)


def test_what_is_in_the_file_is_part_of_a_run_and_where_it_is_is_not(tmp_path):
    here, there = tmp_path / "tale.txt", tmp_path / "moved.txt"
    for path in (here, there):
        path.write_text("once upon a time, " * 9)
    first, moved = (configure("task=text", f"task.path={path}") for path in (here, there))
    assert first.run_id == moved.run_id
    assert first.label_of("task").startswith("text(path=tale.txt-")
    assert configure("task=text").label_of("task") == "text"
    first.task.check_unchanged()
    here.write_text("there was a king, " * 9)
    edited = configure("task=text", f"task.path={here}")
    assert edited.run_id != first.run_id
    assert edited.label != first.label
    with pytest.raises(
        ConfigError, match=r"task.path=.*: expected the file that this sweep began with, but it was edited"
    ):
        first.task.check_unchanged()


def test_a_language_model_learns_what_follows_what(tmp_path):
    (tmp_path / "tale.txt").write_text("abcde" * 200)
    model = ["model=causal_transformer", "model.width=8", "model.depth=1", "model.heads=2", "model.representation=8"]
    steps = ["optimizer=adam", "optimizer.lr=0.02", "batch_size=8", "epochs=4", "sigma=0.1", "lam=0.001"]
    sizes = ["task.context=6", "task.train=96", "task.feedback=16", "task.test=24"]
    run = configure("task=text", f"task.path={tmp_path / 'tale.txt'}", *sizes, *model, *steps)
    loss = train(run).columns["test_loss"][0]
    assert loss[0] == pytest.approx(np.log(5), rel=0.1)
    assert loss[-1] < 0.3, "one character tells the next: training comes to 0.1, and goes to 0"
