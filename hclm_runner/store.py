"""The store of finished runs: parquet shards under outputs/<name>/. Imports no torch.

records/ holds one row per run and epoch, runs/ one row per run; a shard in one has its namesake in the other, and holds
runs that trained together. parameters/ has a file for each run that saved them. A file is written under a temporary
name, flushed to the disk and renamed, so none is ever half there. A run counts as there once its row in runs/ is, which
is written last. Whoever writes holds the lock.
"""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from hclm_runner.config import EXECUTION, SCHEMA_VERSION, Choice, RunConfig
from hclm_runner.refusal import ConfigError

OUTPUTS = Path("outputs")
DONE = ("finished", "diverged")
"""The statuses of a result. A run that failed or was refused is tried again."""

PARTS = ("records", "runs")


def prepare(folder: Path) -> None:
    """Make the store's folders, and see that they can be written.

    Raises:
        ConfigError: If they cannot be written: better now than after the training.
    """
    try:
        for part in (*PARTS, "figures"):
            (folder / part).mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder / part, prefix=".probe-"):
                pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError("name", folder.name, f"a store that can be written at {folder}/, got {reason}") from error


@contextmanager
def locked(folder: Path, say: Callable[[str], None]) -> Iterator[list[Path]]:
    """Hold the store for writing, tidied; another command that holds it is waited for. Yields what `tidy` set aside.

    The lock is the operating system's: it falls with the process that holds it, however that dies.
    """
    prepare(folder)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0.2)
    except Timeout:
        say(f"waiting for another command that is writing to {folder}/")
        lock.acquire()
    try:
        yield tidy(folder)
    finally:
        lock.release()


def tidy(folder: Path) -> list[Path]:
    """Set aside the shards that cannot be trusted, and return where they went; remove half-written files.

    Trusted is a pair of readable files of today's schema in which runs/ accounts for each row of records/. A run that
    stands in two shards (a process was killed between writing the new and dropping the old) keeps the newer.
    """
    for leftover in (path for kind in ("parquet", "safetensors") for path in folder.glob(f"*/.*.{kind}")):
        leftover.unlink(missing_ok=True)
    names = {path.name for part in PARTS for path in (folder / part).glob("*.parquet")}
    aside = []
    for name in sorted(names):
        if _trusted(folder, name):
            continue
        for part in PARTS:
            if (folder / part / name).exists():
                target = folder / "set_aside" / f"{part}-{name}"
                target.parent.mkdir(exist_ok=True)
                (folder / part / name).replace(target)
                aside.append(target)
    newest_first = sorted((folder / "runs").glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    seen: set[str] = set()
    for path in newest_first:
        ids = _ids(path)
        if ids & seen:
            _drop(folder, path.name, ids & seen)
        seen |= ids
    return aside


def write(folder: Path, records: pd.DataFrame, runs: pd.DataFrame) -> list[Path]:
    """Write the rows of runs that trained together, then their descriptions; what the store had of them before goes.

    Args:
        folder: The store, locked.
        records: The runs' rows; none of a run that has no result.
        runs: A row for each run: `run_id`, `status`, `rows` (how many in `records`), `schema`, and more.

    Returns:
        The paths of the two files.

    Raises:
        OSError: If the disk refuses; the store is as it was.
    """
    ids = sorted(runs["run_id"])
    name = ids[0] if len(ids) == 1 else hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
    paths = [folder / part / f"{name}.parquet" for part in PARTS]
    older = _shards_of(folder, ids) - {paths[1].name}

    def both(temporary: str) -> None:  # a disk that takes only one of the two keeps neither
        runs.to_parquet(temporary, index=False)
        atomically(paths[0], partial(records.to_parquet, index=False))

    atomically(paths[1], both)
    for shard in older:
        _drop(folder, shard, set(ids))
    return paths


def claim(folder: Path, configs: Sequence[RunConfig]) -> list[Path]:
    """Make sure that a name stands for one part in a store, the one that is about to train; return what is set aside.

    Of a part whose code changed since, the runs that these configurations repeat are set aside, and so are those
    without a result; all of them with force=true.

    Raises:
        ConfigError: If two parts have one name, or the store has other runs of the part as it was.
    """
    chosen: dict[tuple[str, str], Choice] = {}
    for config in configs:
        for group in config.code():
            choice: Choice = getattr(config, group)
            known = chosen.setdefault((group, choice.name), choice)
            if known.code != choice.code:
                wanted = f"one part of this name, got {known.target} and {choice.target}; give one another name"
                raise ConfigError(f"{group}.name", choice.name, wanted)
    runs = index(folder)
    if "code" not in runs:
        return []
    changed = {text: _changed(json.loads(text), chosen) for text in runs["code"].unique()}
    older = runs[[changed[text] is not None for text in runs["code"]]]
    if older.empty:
        return []
    repeated = {(run.label, run.lam, run.drawn_from, run.seed) for run in configs}
    done = older[older["status"].isin(DONE)]
    places = done[["label", "lam0", "data_seed", "seed"]].itertuples(index=False, name=None)
    kept = [changed[text] for text, place in zip(done["code"], places, strict=True) if place not in repeated]
    if kept and (part := kept[0]) and not any(run.force for run in configs):
        wanted = f"the code of the {kept.count(part)} runs that {folder}/ has of {part.name}, but it changed since"
        raise ConfigError(
            part.group, part.target, f"{wanted}; another store (name=...), or force=true to set them aside"
        )
    return _set_aside(folder, set(older["run_id"]))


def _changed(stored: Mapping[str, Sequence[Any]], chosen: Mapping[tuple[str, str], Choice]) -> Choice | None:
    """Return the first part of a stored run, group -> (name, *code), whose code is not that of the chosen one."""
    for group, (name, *code) in stored.items():
        part = chosen.get((group, name))
        if part and code != list(part.code):
            return part
    return None


def _set_aside(folder: Path, ids: Collection[str]) -> list[Path]:
    """Move the rows of runs to shards in set_aside/, and return these."""
    moved = []
    for shard in _shards_of(folder, ids) if ids else ():
        for part in PARTS:
            frame = pd.read_parquet(folder / part / shard)
            target = folder / "set_aside" / f"{part}-{shard}"
            target.parent.mkdir(exist_ok=True)
            atomically(target, partial(frame[frame["run_id"].isin(ids)].to_parquet, index=False))
            moved.append(target)
        _drop(folder, shard, ids)
    own = (path for path in (parameters_of(folder, run_id) for run_id in ids) if path.exists())
    return [*moved, *(path.replace(folder / "set_aside" / f"parameters-{path.name}") for path in own)]


def parameters_of(folder: Path, run_id: str) -> Path:
    """Return where the parameters of a run are, if they were saved."""
    return folder / "parameters" / f"{run_id}.safetensors"


def answers(run: RunConfig, status: str, parameters: bool) -> bool:
    """Return whether a stored run of this status, its parameters there or not, is all that is asked for."""
    return status in DONE and not run.force and (parameters or not run.save_parameters or status == "diverged")


def index(folder: Path) -> pd.DataFrame:
    """Return the rows of runs/ that can be read, at least with the columns run_id and status.

    And with `parameters`: whether they are there.
    """
    frames = []
    for path in sorted((folder / "runs").glob("*.parquet")):
        try:
            frames.append(pd.read_parquet(path))
        except (OSError, pa.ArrowInvalid):  # torn; the next command that writes sets it aside
            continue
    usable = [frame for frame in frames if {"run_id", "status"} <= set(frame.columns)]
    runs = pd.concat(usable, ignore_index=True) if usable else pd.DataFrame({"run_id": [], "status": []})
    return runs.assign(parameters=runs["run_id"].isin([path.stem for path in (folder / "parameters").glob("*")]))


def find(folder: Path, run_id: str) -> pd.Series | None:
    """Return the description of a run that has a result, or None."""
    for name in _shards_of(folder, [run_id]):
        if _trusted(folder, name):
            runs = pd.read_parquet(folder / "runs" / name)
            row = runs[runs["run_id"] == run_id].iloc[0]
            if row["status"] in DONE:
                return row
    return None


def read_records(folder: Path, run_id: str) -> pd.DataFrame:
    """Return the rows of one run, in order of epoch."""
    shard = min(_shards_of(folder, [run_id]), default="")  # of an unknown run, the folder: nothing, with its columns
    rows = pd.read_parquet(folder / "records" / shard, filters=[("run_id", "==", run_id)])
    return rows.sort_values("epoch", ignore_index=True)


def locate(store: str | os.PathLike[str]) -> Path:
    """Return the folder of a store, given by its name under outputs/ or by its path.

    Raises:
        FileNotFoundError: If there is no store.
    """
    folder = next((path for path in (OUTPUTS / store, Path(store)) if (path / "runs").is_dir()), None)
    if folder is None:
        raise FileNotFoundError(errno.ENOENT, "no store of runs under outputs/, nor at the path", str(store))
    return folder


def load(store: str | os.PathLike[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (records, runs) of a store, given by its name under outputs/ or by its path.

    Both have a further column for each setting that varies between the runs and has none yet, under its key at the
    command line: `optimizer.lr`, `surrogate.eps`, `optimizer`; null where a run has no such setting.

    Raises:
        FileNotFoundError: If there is no store.
    """
    folder = locate(store)
    records, runs = pd.read_parquet(folder / "records"), pd.read_parquet(folder / "runs")
    if "config" not in runs:
        return records, runs
    varied = pd.DataFrame([settings(json.loads(text)) for text in runs["config"]], index=runs.index)
    varying = varied[[key for key in varied if key not in runs and len(varied[key].dropna().unique()) > 1]]
    runs = runs.join(varying)
    return records.merge(runs[["run_id", *varying]], on="run_id", how="left", validate="many_to_one"), runs


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's settings, key -> value: of a group its name, and each option; a list as JSON."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if key in {*EXECUTION, "lam"}:
            continue
        own = (
            {key: value} if not isinstance(value, Mapping) else {f"{key}.{name}": each for name, each in value.items()}
        )
        found |= {name: json.dumps(each) if isinstance(each, list | dict) else each for name, each in own.items()}
    return {key.removesuffix(".name"): value for key, value in found.items() if not key.endswith("._target_")}


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


def _trusted(folder: Path, name: str) -> bool:
    try:
        with pq.ParquetFile(folder / "runs" / name) as file:
            runs = file.read()  # all of it: a damaged page is found here; without pandas, a quarter of the time
        rows = pq.read_metadata(folder / "records" / name).num_rows
    except (OSError, pa.ArrowInvalid):
        return False
    if not {"run_id", "status", "rows", "schema"} <= set(runs.column_names):
        return False
    return set(runs["schema"].to_pylist()) <= {SCHEMA_VERSION} and sum(runs["rows"].to_pylist()) == rows


def _shards_of(folder: Path, ids: Collection[str]) -> set[str]:
    """Return the names of the readable shards that hold any of the runs."""
    wanted = set(ids)
    return {path.name for path in (folder / "runs").glob("*.parquet") if not wanted.isdisjoint(_ids(path))}


def _ids(path: Path) -> frozenset[str]:
    """Return the runs of a shard in runs/, none if it cannot be read.

    Each version of a file is read once a process: else each bundle that is written would read all shards before it.
    """
    try:
        found = path.stat()
        return _read_ids(path, (found.st_ino, found.st_mtime_ns, found.st_size))
    except (OSError, pa.ArrowInvalid):
        return frozenset()


@lru_cache(maxsize=2**16)
def _read_ids(path: Path, version: tuple[int, ...]) -> frozenset[str]:  # noqa: ARG001 - what it is remembered by
    with pq.ParquetFile(path) as file:
        table = file.read(columns=["run_id"])
    return frozenset(table["run_id"].to_pylist()) if table.num_columns else frozenset()


def _drop(folder: Path, name: str, ids: Collection[str]) -> None:
    """Take runs out of a shard; killed half-way the pair does not add up, `tidy` sets it aside and they train again."""
    for part in reversed(PARTS):
        path = folder / part / name
        frame = pd.read_parquet(path)
        kept = frame[~frame["run_id"].isin(ids)]
        if part == "runs" and kept.empty:
            for each in PARTS:
                (folder / each / name).unlink()
            return
        atomically(path, partial(kept.to_parquet, index=False))
