"""The store of finished runs: parquet shards under outputs/<name>/, or the copy there of one at a URL (`remote`).

A run counts as there once its row in runs/ is. A command that trains holds the store's lock from beginning to end;
whoever changes files holds a second one for that moment (`shards.writing`). Readers hold none, and see each run once.
parameters/ has a file for each run that saved them. Imports no torch.
"""

import errno
import importlib.util
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, reduce
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from hclm_runner import remote, shards
from hclm_runner.config import Choice, RunConfig
from hclm_runner.objects import is_url, url_of
from hclm_runner.records import settings
from hclm_runner.refusal import ConfigError
from hclm_runner.shards import DONE, PARTS, atomically, settled

OUTPUTS = Path("outputs")
CLUSTER = "cluster"
"""Where tasks on other machines write, in a store."""

__all__ = ["DONE", "OUTPUTS", "PARTS", "atomically", "find", "index", "load", "locate", "locked", "scan", "write"]


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


def hand_in(folder: Path, records: pd.DataFrame, runs: pd.DataFrame) -> None:
    """Write what a task on another machine has trained to where the next command that writes takes it in; no lock."""
    _put(folder / CLUSTER, records, runs)


def take_in(folder: Path) -> None:
    """Make what tasks on other machines have handed in a part of the store, which is locked.

    A run that has a result by then keeps it: a task that only seemed dead may hand in the same a second time.
    """
    inbox = folder / CLUSTER
    with shards.writing(folder):
        arrived = {name: shards.ids_of(inbox / "runs" / name) for name in shards.names(inbox)}
        known = ended(folder, frozenset[str]().union(*arrived.values()))
        done = frozenset(known.loc[known["status"].isin(DONE), "run_id"])
        for name, ids in arrived.items():
            if ids & done and shards.trusted(inbox, name):
                shards.drop(inbox, name, ids & done)
            taken = f"{remote.unused(folder, name.removesuffix('.parquet'))}.parquet"
            for part in PARTS:
                if (inbox / part / name).exists():  # else it was killed between the two, or nothing is left
                    (inbox / part / name).replace(folder / part / taken)
    remote.send(folder)


@contextmanager
def locked(folder: Path, say: Callable[[str], None]) -> Iterator[list[Path]]:
    """Hold the store for writing, tidied; another command that holds it is waited for. Yields what `tidy` set aside.

    What tasks on other machines have handed in is then part of it, and so is what others have written at its URL.
    The lock is the operating system's: it falls with the process that holds it, however that dies.
    """
    prepare(folder)
    remote.check(folder)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0.2)
    except Timeout:
        say(f"waiting for another command that is writing to {folder}/")
        lock.acquire()
    try:
        take_in(folder)
        remote.exchange(folder)
        yield tidy(folder)
    finally:
        lock.release()


def tidy(folder: Path) -> list[Path]:
    """Set aside the shards that cannot be trusted, and return where they went; remove half-written files.

    Trusted is a pair of readable files of today's schema in which runs/ accounts for each row of records/. A run that
    stands in two shards (a process was killed between writing the new and dropping the old) keeps the one that is read.
    """
    with shards.writing(folder):
        for leftover in (path for kind in ("parquet", "safetensors") for path in folder.glob(f"*/.*.{kind}")):
            leftover.unlink(missing_ok=True)
        names = {path.name for part in PARTS for path in (folder / part).glob("*.parquet")}
        aside = []
        for name in sorted(names):
            if shards.trusted(folder, name):
                continue
            for part in PARTS:
                if (folder / part / name).exists():
                    target = folder / "set_aside" / f"{part}-{name}"
                    target.parent.mkdir(exist_ok=True)
                    (folder / part / name).replace(target)
                    aside.append(target)
        for name, stale in shards.repeated(folder).items():
            shards.drop(folder, name, stale)
    return aside


def write(folder: Path, records: pd.DataFrame, runs: pd.DataFrame, known: Collection[str] | None = None) -> list[Path]:
    """Write the rows of runs that trained together, then their descriptions; what the store had of them before goes.

    Args:
        folder: The store, locked.
        records: The runs' rows; none of a run that has no result.
        runs: A row for each run: `run_id`, `status`, `rows` (how many in `records`), `schema`, and more.
        known: The runs of which the store may have word; if not given, all its shards are asked for these.

    Returns:
        The paths of the two files.

    Raises:
        OSError: If the disk refuses; the store is as it was. If its URL refuses; the rows are in the copy.
    """
    with shards.writing(folder):
        paths = _put(folder, records, runs)
        if not url_of(folder):  # there they stay, for other machines too: `shards.repeated` says which is read
            older = set(runs["run_id"]) if known is None else set(runs["run_id"]).intersection(known)
            _drop(folder, older, kept=paths[1].name)
    return remote.push(folder, paths)


def forget(folder: Path, ids: Collection[str]) -> None:
    """Drop runs that are about to be tried again elsewhere: until that ends there is no word of them."""
    with shards.writing(folder):
        _drop(folder, set(ids))


def _put(folder: Path, records: pd.DataFrame, runs: pd.DataFrame) -> list[Path]:
    write = (partial(frame.to_parquet, index=False) for frame in (records, runs))
    return shards.put(folder, remote.unused(folder, shards.shard_name(runs["run_id"])), *write)


def _drop(folder: Path, ids: set[str], kept: str = "") -> None:
    for older in shards.holding(folder, ids) - {kept} if ids else ():
        shards.drop(folder, older, ids)


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
    runs = index(folder, ["code", "label", "lam0", "data_seed", "seed"])
    if "code" not in runs:
        return []
    changed = {text: _changed(json.loads(text), chosen) for text in runs["code"].unique()}
    if not any(changed.values()):
        return []
    older = runs[[changed[text] is not None for text in runs["code"]]]
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
    with shards.writing(folder):
        for shard in shards.holding(folder, ids) if ids else ():
            for part in PARTS:
                frame = pd.read_parquet(folder / part / shard)
                target = folder / "set_aside" / f"{part}-{shard}"
                target.parent.mkdir(exist_ok=True)
                atomically(target, partial(frame[frame["run_id"].isin(ids)].to_parquet, index=False))
                moved.append(target)
            shards.drop(folder, shard, ids)
    own = (path for path in (parameters_of(folder, run_id) for run_id in ids) if path.exists())
    return [*moved, *(path.replace(folder / "set_aside" / f"parameters-{path.name}") for path in own)]


def parameters_of(folder: Path, run_id: str) -> Path:
    """Return where the parameters of a run are, if they were saved."""
    return folder / "parameters" / f"{run_id}.safetensors"


def answers(run: RunConfig, status: str, parameters: bool) -> bool:
    """Return whether a stored run of this status, its parameters there or not, is all that is asked for."""
    return status in DONE and not run.force and (parameters or not run.save_parameters or status == "diverged")


def index(folder: Path, columns: Collection[str] | None = None) -> pd.DataFrame:
    """Return the rows of runs/ that can be read, each run once: run_id, status, `parameters`, and other columns.

    Args:
        folder: The store.
        columns: Which others; all if not given, and then the configurations, each as long as a hundred ids.
    """
    runs = settled(folder, lambda: _described(shards.shards(folder, columns)))
    # Of each run, whether its parameters are there.
    return runs.assign(parameters=runs["run_id"].isin([path.stem for path in (folder / "parameters").glob("*")]))


def _described(found: Iterable[shards.Shard]) -> pd.DataFrame:
    frames = [shard.runs for shard in found]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"run_id": [], "status": []})


def ended(folder: Path, ids: Collection[str]) -> pd.DataFrame:
    """Return the rows of runs/ of those of the runs that it has, each once."""
    return settled(folder, lambda: _ended(folder, ids))


def _ended(folder: Path, ids: Collection[str]) -> pd.DataFrame:
    there = [name for name in shards.holding(folder, ids) if shards.trusted(folder, name)]
    runs = _described(shards.shards(folder, among=there))
    return runs[runs["run_id"].isin(ids)].reset_index(drop=True)


def find(folder: Path, run_id: str) -> pd.Series | None:
    """Return the description of a run that has a result, or None."""

    def read() -> pd.Series:
        runs = _ended(folder, [run_id])
        done = runs[runs["status"].isin(DONE)]
        if done.empty:
            raise FileNotFoundError(run_id)
        return done.iloc[0]

    try:
        return settled(folder, read)
    except FileNotFoundError:
        return None


def read_records(folder: Path, run_id: str) -> pd.DataFrame:
    """Return the rows of one run, in order of epoch."""

    def read() -> pd.DataFrame:
        found = shards.shards(folder, [], among=shards.holding(folder, [run_id]))
        # Of an unknown run, the folder: its columns.
        shard = next((shard.name for shard in found if run_id in shard.runs["run_id"].to_numpy()), "")
        return pd.read_parquet(folder / "records" / shard, filters=[("run_id", "==", run_id)])

    return settled(folder, read).sort_values("epoch", ignore_index=True)


def locate(store: str | os.PathLike[str]) -> Path:
    """Return the folder of a store, given by its name under outputs/, its path or its URL.

    That of a URL is its copy on this machine, with all that is there now. The path of a copy asks no server.

    Raises:
        FileNotFoundError: If there is no store.
        ConfigError: If the server at the URL refuses.
    """
    if is_url(store):
        remote.refresh(OUTPUTS / store)
    folder = next((path for path in (OUTPUTS / store, Path(store)) if (path / "runs").is_dir()), None)
    if folder is None:
        raise FileNotFoundError(errno.ENOENT, "no store of runs under outputs/, nor at the path", str(store))
    return folder


def load(
    store: str | os.PathLike[str], columns: Sequence[str] | None = None, filters: Sequence[Any] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (records, runs) of a store, given by its name under outputs/ or by its path.

    Both have a further column for each setting that varies between the runs and has none yet, under its key at the
    command line: `optimizer.lr`, `surrogate.eps`, `optimizer`; null where a run has no such setting.

    Args:
        store: Which.
        columns: Those of the records that are wanted, such settings too; all if not given. `run_id` is always there.
        filters: Conditions on the columns of records/, as `pandas.read_parquet` has them: `[("lam0", "<", 1), ("epoch",
            "==", 120)]`. Files whose statistics rule them out are not read. The runs are then those that have a row.

    Raises:
        FileNotFoundError: If there is no store.
        ConfigError: If a column is unknown.
    """
    folder = locate(store)
    records, runs = settled(folder, partial(_read, folder, columns, filters))
    if "config" not in runs or (columns is not None and set(columns) <= set(records)):
        return records, runs
    varied = pd.DataFrame([settings(json.loads(text)) for text in runs["config"]], index=runs.index)
    varying = varied[[key for key in varied if key not in runs and len(varied[key].dropna().unique()) > 1]]
    if unknown := set(columns or ()) - {*records, *varying}:
        known = ", ".join(map(str, varying)) or "none does"
        wanted = f"a column of {folder}/records, or a setting that varies: {known}"
        raise ConfigError("columns", ", ".join(sorted(unknown)), wanted)
    runs = runs.join(varying)
    joined = [key for key in varying if columns is None or key in columns]
    return records.merge(runs[["run_id", *joined]], on="run_id", how="left", validate="many_to_one"), runs


def _read(
    folder: Path, columns: Sequence[str] | None, filters: Sequence[Any] | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what the files of records/ and of runs/ have."""
    found = shards.shards(folder)
    runs = _described(found)
    if not found:
        return pd.DataFrame({"run_id": []}), runs
    known = shards.columns(folder, found)
    wanted = None if columns is None else ["run_id", *(key for key in columns if key in known and key != "run_id")]
    asked = [each[0] for part in filters or () for each in (part if isinstance(part, list) else [part])]
    if unknown := set(asked) - set(known):
        raise ConfigError("filters", ", ".join(sorted(unknown)), f"conditions on columns of {folder}/records")
    records = shards.read_rows(folder, found, columns=wanted, filters=filters)
    return records, runs[runs["run_id"].isin(records["run_id"])].reset_index(drop=True) if filters else runs


def scan(store: str | os.PathLike[str]) -> Any:
    """Return the records of a store as a lazy table: of polars, or of DuckDB where polars is not installed.

    It reads only what a query asks for, and only then. The table is that of the files of now: once `compact` has merged
    them, scan again.

    Returns:
        A `polars.LazyFrame`, or a `duckdb.DuckDBPyRelation`; with the columns of records/.

    Raises:
        FileNotFoundError: If there is no store, or it is empty.
        ConfigError: If neither is installed.
    """
    folder = locate(store)
    found = shards.with_rows(settled(folder, partial(shards.shards, folder, ["rows"])))
    if not found:
        raise FileNotFoundError(errno.ENOENT, "no runs in the store", str(folder))
    path = {shard.name: str(folder / "records" / shard.name) for shard in found}
    whole = [path[shard.name] for shard in found if not shard.stale]
    partly = [(path[shard.name], sorted(shard.stale)) for shard in found if shard.stale]
    if importlib.util.find_spec("polars"):
        import polars as pl

        tables = [pl.scan_parquet(whole)] if whole else []
        tables += [pl.scan_parquet(file).filter(~pl.col("run_id").is_in(ids)) for file, ids in partly]
        return pl.concat(tables)
    if importlib.util.find_spec("duckdb"):
        import duckdb

        run_id, constant = duckdb.ColumnExpression("run_id"), duckdb.ConstantExpression
        relations = [duckdb.read_parquet(whole)] if whole else []
        relations += [duckdb.read_parquet(file).filter(run_id.isnotin(*map(constant, ids))) for file, ids in partly]
        return reduce(duckdb.DuckDBPyRelation.union, relations)
    raise ConfigError("scan", None, "polars or duckdb to be installed: pip install polars")
