"""The files of a store: pairs of parquet shards, written whole or not at all, and read while others replace them.

records/ holds one row per run and epoch, runs/ one row per run; a shard in one has its namesake in the other, and holds
runs that trained together, or that `compact` merged. Of a pair the file in runs/ is written last and removed first.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from hclm_runner.config import SCHEMA_VERSION

PARTS = ("records", "runs")

DONE = ("finished", "diverged")
"""The statuses of a result. A run that failed or was refused is tried again."""

WRITTEN = b"written_ns"
"""In the metadata of a merged file in runs/: when the newest of its rows were written."""

T = TypeVar("T")


class Shard(NamedTuple):
    """A shard as a reader sees it."""

    name: str
    runs: pd.DataFrame
    """Its rows of runs/, less those that another shard is read for."""
    stale: frozenset[str]
    """The runs that another shard is read for: one with a result before one without, and then the newer.

    Whoever wrote that drops them here a moment later. Where two machines tried a run of a store at a URL, they stay.
    """


# Writing


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold a store's files while they change, for a moment: another command may merge shards while a sweep writes."""
    with FileLock(folder / ".writing"):
        yield


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


def put(folder: Path, name: str, records: Callable[[str], object], runs: Callable[[str], object]) -> list[Path]:
    """Write a pair of files, each given as what writes it to a path; return the two paths.

    Raises:
        OSError: If the disk refuses; the store is as it was.
    """
    paths = [folder / part / f"{name}.parquet" for part in PARTS]

    def both(temporary: str) -> None:  # a disk that takes only one of the two keeps neither
        runs(temporary)
        atomically(paths[0], records)

    atomically(paths[1], both)
    return paths


def shard_name(ids: Iterable[str]) -> str:
    """Return what the shard of some runs, or of some shards, is called: it follows from them, in any order."""
    ordered = sorted(ids)
    return ordered[0] if len(ordered) == 1 else hashlib.sha256("\n".join(ordered).encode()).hexdigest()[:16]


def drop(folder: Path, name: str, ids: Collection[str]) -> None:
    """Take runs out of a shard; killed half-way the pair does not add up, `tidy` sets it aside and they train again."""
    for part in reversed(PARTS):
        path = folder / part / name
        written = written_ns(path)
        frame = pd.read_parquet(path)
        kept = frame[~frame["run_id"].isin(ids)]
        if part == "runs" and kept.empty:
            remove(folder, name)
            return
        atomically(path, partial(kept.to_parquet, index=False))
        if part == "runs":  # its rows are no newer than they were
            os.utime(path, ns=(written, written))


def remove(folder: Path, name: str) -> None:
    """Remove a shard, so that a reader who misses its records sees that it is gone from runs/."""
    for part in reversed(PARTS):
        (folder / part / name).unlink()


# Reading


def names(folder: Path) -> list[str]:
    """Return the names of the shards in runs/, in order."""
    return sorted(path.name for path in (folder / "runs").glob("[!.]*.parquet"))


def shards(folder: Path, columns: Collection[str] | None = None, among: Collection[str] | None = None) -> list[Shard]:
    """Return the shards that can be read, in order of name. Each run is in one of them.

    Args:
        folder: The store.
        columns: Those of runs/ that are read, where a shard has them; all if not given. run_id and status always are.
        among: Names of shards, the only ones that are looked at; all if not given.

    Raises:
        FileNotFoundError: If one was removed since they were listed: see `settled`.
    """
    frames, written = {}, {}
    for name in names(folder) if among is None else sorted(among):
        path = folder / "runs" / name
        try:
            with pq.ParquetFile(path) as file:  # pandas' own function takes several times as long to open one
                wanted = [
                    key for key in file.schema_arrow.names if columns is None or key in {"run_id", "status", *columns}
                ]
                frame, written[name] = file.read(columns=wanted).to_pandas(), written_ns(path, file.schema_arrow)
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowInvalid):  # torn; the next command that writes sets it aside
            continue
        if {"run_id", "status"} <= set(frame.columns):
            frames[name] = frame
    stale = _stale(frames, sorted(frames, key=lambda name: (written[name], name), reverse=True))
    return [Shard(name, _without(frame, stale[name]), stale[name]) for name, frame in frames.items()]


def written_ns(path: Path, schema: pa.Schema | None = None) -> int:
    """Return when the newest rows of a file in runs/ were written, which may be before they were merged into it.

    Args:
        path: The file.
        schema: Its schema; read from it if not given.
    """
    told = ((schema or pq.read_schema(path)).metadata or {}).get(WRITTEN)
    merged = path.stat().st_mtime_ns
    return min(merged, int(told)) if told else merged


def dated(runs: pa.Table, written: int) -> pa.Table:
    """Return rows for a merged file in runs/ that says when the newest of them were written."""
    return runs.replace_schema_metadata({**(runs.schema.metadata or {}), WRITTEN: str(written)})


def _stale(frames: Mapping[str, pd.DataFrame], newest: Sequence[str]) -> dict[str, frozenset[str]]:
    ids = {name: frozenset(frame["run_id"]) for name, frame in frames.items()}
    if _distinct(ids.values()):
        return dict.fromkeys(frames, frozenset())
    read: dict[str, str] = {}
    for statuses in (DONE, None):
        for name in newest:
            runs = frames[name] if statuses is None else frames[name][frames[name]["status"].isin(statuses)]
            for run_id in runs["run_id"]:
                read.setdefault(run_id, name)
    return {name: frozenset(run_id for run_id in own if read[run_id] != name) for name, own in ids.items()}


def _distinct(ids: Collection[frozenset[str]]) -> bool:
    return sum(map(len, ids)) == len(frozenset().union(*ids))


def repeated(folder: Path) -> dict[str, frozenset[str]]:
    """Return shard -> its runs that another shard is read for, of the shards that have any."""
    if _distinct([ids_of(folder / "runs" / name) for name in names(folder)]):
        return {}
    return {shard.name: shard.stale for shard in shards(folder) if shard.stale}


def read_rows(folder: Path, found: Collection[Shard], **how: object) -> pd.DataFrame:
    """Return the rows that shards have in records/; `how` is pandas'. A shard without rows is not opened.

    Raises:
        FileNotFoundError: If one was removed since: see `settled`.
    """
    paths = {folder / "records" / shard.name: shard.stale for shard in with_rows(found)}
    whole = [path for path, stale in paths.items() if not stale]
    frames: list[pd.DataFrame] = [pd.read_parquet(whole, **how)] if whole else []  # type: ignore[call-overload]
    frames += [_without(pd.read_parquet(path, **how), stale) for path, stale in paths.items() if stale]  # type: ignore[call-overload]
    return pd.concat(frames, ignore_index=True) if len(frames) != 1 else frames[0]


def columns(folder: Path, found: Collection[Shard]) -> list[str]:
    """Return the names of the columns of records/."""
    return list(pq.read_schema(folder / "records" / with_rows(found)[0].name).names)


def with_rows(found: Collection[Shard]) -> list[Shard]:
    """Return the shards that have rows in records/; all if none has, for their columns."""
    return [shard for shard in found if "rows" not in shard.runs or shard.runs["rows"].any()] or list(found)


def settled(folder: Path, read: Callable[[], T]) -> T:
    """Return what `read` returns. Where it meets a file that is gone because shards were replaced, it reads again.

    Raises:
        FileNotFoundError: If it meets one although nothing was replaced.
    """
    while True:
        before = names(folder)
        try:
            return read()
        except FileNotFoundError:
            if names(folder) == before:
                raise


def trusted(folder: Path, name: str) -> bool:
    """Return whether a pair is readable, of today's schema, and runs/ accounts for each row of records/."""
    try:
        with pq.ParquetFile(folder / "runs" / name) as file:
            runs = file.read()  # all of it: a damaged page is found here; without pandas, a quarter of the time
        rows = pq.read_metadata(folder / "records" / name).num_rows
    except (OSError, pa.ArrowInvalid):
        return False
    if not {"run_id", "status", "rows", "schema"} <= set(runs.column_names):
        return False
    return set(runs["schema"].to_pylist()) <= {SCHEMA_VERSION} and sum(runs["rows"].to_pylist()) == rows


def holding(folder: Path, ids: Collection[str]) -> set[str]:
    """Return the names of the readable shards that hold any of the runs."""
    wanted = set(ids)
    return {name for name in names(folder) if not wanted.isdisjoint(ids_of(folder / "runs" / name))}


def ids_of(path: Path) -> frozenset[str]:
    """Return the runs of a shard in runs/, none if it cannot be read.

    Each version of a file is read once a process: else each bundle that is written would read all shards before it.
    """
    try:
        found = path.stat()
        return read_ids(path, (found.st_ino, found.st_mtime_ns, found.st_size))
    except (OSError, pa.ArrowInvalid):
        return frozenset()


@lru_cache(maxsize=2**16)
def read_ids(path: Path, version: tuple[int, ...]) -> frozenset[str]:  # noqa: ARG001 - what it is remembered by
    """Return the runs of one version of a shard in runs/."""
    with pq.ParquetFile(path) as file:
        table = file.read(columns=["run_id"])
    return frozenset(table["run_id"].to_pylist()) if table.num_columns else frozenset()


def _without(frame: pd.DataFrame, ids: Collection[str]) -> pd.DataFrame:
    return frame[~frame["run_id"].isin(ids)] if ids else frame
