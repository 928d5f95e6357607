"""The store of finished runs: parquet files under outputs/<name>/. Imports no torch.

records/ holds one row per run and epoch, runs/ one row per run. A file is written under a temporary name, flushed to
the disk and renamed, so none is ever half there. A run counts as there once its row in runs/ is, which is written
last.
"""

import errno
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hclm_runner.config import ConfigError

OUTPUTS = Path("outputs")


def prepare(folder: Path) -> None:
    """Make the store's folders, see that they can be written.

    Raises:
        ConfigError: If they cannot be written: better now than after the training.
    """
    try:
        for part in (folder / "records", folder / "runs", folder / "figures"):
            part.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=part, prefix=".probe-"):
                pass
    except OSError as error:
        raise ConfigError(
            "name", folder.name, f"a store that can be written at {folder}/, got {error.strerror or error}"
        ) from error


def write(folder: Path, records: pd.DataFrame, run: pd.DataFrame) -> list[Path]:
    """Write one run's rows, then its description; what the store had under its id is replaced.

    Args:
        folder: The store, made by `prepare`.
        records: The run's rows; none if it diverged before its first.
        run: Its one row of runs/, with a `run_id`.

    Returns:
        The paths of the two files.

    Raises:
        OSError: If the disk refuses; the store is as it was.
    """
    name = f"{run['run_id'].iloc[0]}.parquet"
    paths = [folder / "records" / name, folder / "runs" / name]
    for path, frame in zip(paths, (records, run), strict=True):
        atomically(path, partial(frame.to_parquet, index=False))
    return paths


def find(folder: Path, identity: str) -> pd.Series | None:
    """Return the description of a run, or None where the store has none that can be read, with its records.

    A torn, empty or foreign file describes nothing: the run trains again and replaces it.
    """
    name = f"{identity}.parquet"
    try:
        pq.ParquetFile(folder / "records" / name)
        frame = pq.ParquetFile(folder / "runs" / name).read().to_pandas()
    except (OSError, pa.ArrowInvalid):
        return None
    return frame.iloc[0] if list(frame.get("run_id", [])) == [identity] else None


def read_records(folder: Path, identity: str) -> pd.DataFrame:
    """Return the rows of one run, in order of epoch."""
    return pd.read_parquet(folder / "records" / f"{identity}.parquet").sort_values("epoch", ignore_index=True)


def load(store: str | os.PathLike[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (records, runs) of a store, given by its name under outputs/ or by its path.

    Raises:
        FileNotFoundError: If there is no store.
    """
    folder = next((path for path in (OUTPUTS / store, Path(store)) if (path / "runs").is_dir()), None)
    if folder is None:
        raise FileNotFoundError(errno.ENOENT, "no store of runs under outputs/, nor at the path", str(store))
    return pd.read_parquet(folder / "records"), pd.read_parquet(folder / "runs")


def atomically(path: Path, write: Callable[[str], object]) -> None:
    """Call `write` with a temporary path in the same folder, flush what it wrote to the disk, and rename it to `path`.

    The temporary name starts with a dot, which readers of a parquet folder pass over.

    Raises:
        OSError: If the disk refuses; `path` is as it was.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(str(temporary))
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
