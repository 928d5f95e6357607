"""The store of one undisturbed sweep, trained once for all tests of sweeps."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sweeps import GRID

from hclm_runner import store


@pytest.fixture
def clean(once: Callable) -> Path:
    """The store of `GRID`, to be read."""
    folder, done = once(*GRID)
    assert done.code == 0, done.err
    return folder / store.OUTPUTS / "default"


@pytest.fixture
def trained(clean: Path, cli: Callable) -> Callable:
    """The command line in a folder whose default store has the runs of `GRID`."""
    shutil.copytree(clean, store.OUTPUTS / "default")  # with the times of its files, by which newer shards are known
    return cli
