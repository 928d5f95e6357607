"""Characters of a text, each of them told from those before it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hclm_runner.parts import part
from hclm_runner.ranges import Count, File
from hclm_runner.refusal import ConfigError
from hclm_runner.tasks.base import Split, Task

ALICE = Path(__file__).with_name("alice.txt")
"""Chapters I to VII of Alice's Adventures in Wonderland (Lewis Carroll, 1865; in the public domain), as the Canterbury
corpus has them (alice29.txt), without spaces at the ends of lines."""


@part("task", "text", version=1)
def text(rng: np.random.Generator, *, path: File, context: Count, train: Count, feedback: Count, test: Count) -> Task:
    """Characters of any text; the class of a token is the character after it.

    The text is cut into pieces of context + 1 characters, and each split draws its own, without replacement: no two
    samples overlap. x is all of a piece but its last character, y all but its first, [n, context]. The vocabulary is
    that of the whole text, K characters in the order of their code points.

    Args:
        rng: The only source of chance.
        path: A file in UTF-8; null for `ALICE`. What is in it is part of a run's identity, and not where it is.
        context: T, characters of a sample.
        train: Samples.
        feedback: Samples.
        test: Samples.

    Raises:
        ConfigError: If the file is missing, empty, not UTF-8, or has not as many pieces.
    """
    characters, tokens = np.unique(_code_points(path), return_inverse=True)
    whole = len(tokens) // (context + 1)
    if train + feedback + test > whole:
        wanted = f"train + feedback + test of at most {whole} samples: the text has {len(tokens)} characters"
        raise ConfigError("task.train", train, wanted)
    pieces = rng.permutation(tokens[: whole * (context + 1)].reshape(whole, -1))

    def split(first: int, size: int) -> Split:
        drawn = pieces[first : first + size]
        return drawn[:, :-1], drawn[:, 1:]

    splits = split(0, train), split(train, feedback), split(train + feedback, test)
    return Task(*splits, classes=len(characters), vocabulary=len(characters))


def _code_points(path: str | None) -> NDArray[np.uint32]:
    """Return the characters of a text as numbers."""
    try:
        read = Path(path or ALICE).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError("task.path", path, f"a file that can be read, got {error.strerror}") from error
    except UnicodeDecodeError as error:
        wanted = f"text in UTF-8, got the byte {error.object[error.start]:#04x} at {error.start}"
        raise ConfigError("task.path", path, wanted) from error
    if not read:
        raise ConfigError("task.path", path, "a text, got an empty file")
    return np.frombuffer(read.encode("utf-32-le"), "<u4")
