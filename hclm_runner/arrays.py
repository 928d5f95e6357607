"""Files of arrays, in the format safetensors: a table of names, shapes and numbers, and some lines of text.

Unlike a pickle such a file holds no code, and one that is cut short is known by its length. Imports no torch.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hclm_runner.store import atomically

Arrays = dict[str, NDArray[Any]]


def write(path: Path, arrays: Mapping[str, NDArray[Any]], text: Mapping[str, str]) -> None:
    """Write arrays and text, under a temporary name first.

    Raises:
        OSError: If the disk refuses; `path` is as it was.
    """
    from safetensors import SafetensorError  # here and below, because most commands need neither
    from safetensors.numpy import save_file

    whole = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    path.parent.mkdir(exist_ok=True)
    try:
        atomically(path, lambda temporary: save_file(whole, temporary, dict(text)))
    except SafetensorError as error:  # its errors of the disk
        raise OSError(str(error)) from error


def read(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Return the arrays and the text of a file.

    Raises:
        ValueError: If it is cut short, or none of this format.
        OSError: If it cannot be read.
    """
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def read_text(path: Path) -> dict[str, str]:
    """Return the text of a file, without its arrays; raises as `read` does."""
    with _opened(path) as file:
        return file.metadata() or {}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path}: {error}") from error
