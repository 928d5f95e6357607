"""Stores at a URL. Each machine has a copy of one under outputs/, a store as any other; this keeps the two together.

    outputs/s3:/bucket/sweep/   the copy of   s3://bucket/sweep

Nothing that was written at the URL is ever changed, so several machines can write without a lock. A shard has a name
that follows from its runs and, if they were tried before, the number of the attempt; it is put where there is none of
that name, its records first. Of two that are put at once the first whole one wins. Where a run is in two shards of
different names, readers take the newer by the server's clock (`shards.shards`).

The copy notes in .remote what it has sent and brought, a line each. What is not noted is sent by the next command that
writes: so nothing is lost if the network or a process dies in between.
"""

import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from uuid import uuid4

from hclm_runner import shards
from hclm_runner.objects import Listed, objects_at, url_of
from hclm_runner.refusal import ConfigError
from hclm_runner.shards import PARTS

NOTES = ".remote"
AT_ONCE = 16
"""Shards that are fetched at the same time."""


class _Notes:
    """What a process has read of the notes of a copy: only what was added since is read again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.noted: dict[str, str] = {}
        self.end, self.last = 0, b""
        """Where the last line that was read ends, and that line."""

    def look(self) -> dict[str, str]:
        """Return key -> tag."""
        added = self._added()
        if not added.startswith(self.last):  # the copy was deleted, and this is another
            self.noted, self.end, self.last = {}, 0, b""
            added = self._added()
        for line in added[len(self.last) :].split(b"\n")[:-1]:  # one without its end was cut short
            tag, _, key = line.decode().partition(" ")
            self.noted[key], self.last = tag, line + b"\n"
            self.end += len(self.last)
        return self.noted

    def _added(self) -> bytes:
        """Return what the file has from the last line on that was read."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.end - len(self.last))
                return file.read()
        except FileNotFoundError:
            return b""


@cache
def _notes_at(path: Path) -> _Notes:
    return _Notes(path)


class _Copy:
    """The copy of a store that is at a URL."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.objects = folder, objects_at(url)
        self.noted = _notes_at(folder.resolve() / NOTES).look()
        """Key -> the tag of what the copy has sent or brought. The copy itself may have dropped it since."""

    def note(self, key: str, tag: str) -> None:
        """Note what is sent or brought, for whoever asks for the copy from now on."""
        with (self.folder / NOTES).open("a") as file:
            file.write(f"{tag} {key}\n")

    def waiting(self) -> list[str]:
        """Return the shards of the copy that are still to be sent."""
        return [name for name in shards.names(self.folder) if f"runs/{name}" not in self.noted]


def of(folder: Path) -> _Copy | None:
    """Return the copy that a folder is; None for any other store."""
    url = url_of(folder)
    return _Copy(folder, url) if url else None


def check(folder: Path) -> None:
    """See that what the copy writes can be sent: better now than after the training.

    Raises:
        ConfigError: If it cannot.
    """
    if copy := of(folder):
        probe = f"probe-{uuid4().hex}"
        with _refusing(copy, "written"):
            copy.objects.replace(probe, b"")
            copy.objects.delete(probe)


@contextmanager
def _refusing(copy: _Copy, used: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = str(error).removeprefix(f"{copy.objects.url}: ")
        raise ConfigError("name", copy.objects.url, f"a store that can be {used}, got {reason}") from error


def unused(folder: Path, stem: str) -> str:
    """Return the stem of a shard that is about to be written: with a number, where its runs were tried before."""
    copy = of(folder)
    if copy is None:
        return stem
    stems = (stem if attempt == 0 else f"{stem}.{attempt}" for attempt in itertools.count())
    keys = ((each, f"runs/{each}.parquet") for each in stems)
    return next(each for each, key in keys if key not in copy.noted and not (folder / key).exists())


# From the URL to the copy


def refresh(folder: Path) -> None:
    """Bring the copy of a store up to date, if it is one.

    Raises:
        ConfigError: If the server refuses, or does not answer.
    """
    if copy := of(folder):
        with _refusing(copy, "read"):
            pull(folder)


def pull(folder: Path) -> None:
    """Bring what others have written at the URL.

    A shard that is no longer at the URL goes from the copy too once its runs are in others, as after `compact`.

    Raises:
        OSError: If the server refuses, or does not answer.
    """
    copy = of(folder)
    if copy is None:
        return
    there = {name: found for name, found in copy.objects.listed("runs").items() if Path(name).suffix == ".parquet"}
    if not there:
        return
    (folder / "parameters").mkdir(parents=True, exist_ok=True)
    waiting = {*copy.waiting()}
    new = {name: found for name, found in there.items() if copy.noted.get(f"runs/{name}") != found.tag}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda name: _fetch(copy, name, new[name]), new.keys() - waiting))
        list(pool.map(partial(_fetch_parameters, copy), copy.objects.listed("parameters").items()))
    _follow(copy, {*there})


def _fetch(copy: _Copy, name: str, found: Listed) -> None:
    """Write a shard into the copy; not if it was removed since it was listed."""
    with suppress(FileNotFoundError):
        contents = [copy.objects.get(f"{part}/{name}") for part in PARTS]
        with shards.writing(copy.folder):
            _write(copy.folder, name, *contents)
            _agree(copy, name, found)


def _agree(copy: _Copy, name: str, found: Listed) -> None:
    """Note that the copy has a shard as it is at the URL, from when it is by the server's clock."""
    with suppress(FileNotFoundError):  # `compact` has merged it meanwhile
        os.utime(copy.folder / "runs" / name, ns=(found.written_ns, found.written_ns))
    copy.note(f"runs/{name}", found.tag)


def _write(folder: Path, name: str, *contents: bytes) -> None:
    for part in PARTS:
        (folder / part).mkdir(parents=True, exist_ok=True)
    records, runs = (lambda path, own=own: Path(path).write_bytes(own) for own in contents)
    shards.put(folder, name.removesuffix(".parquet"), records, runs)


def _fetch_parameters(copy: _Copy, listed: tuple[str, Listed]) -> None:
    key, tag = f"parameters/{listed[0]}", listed[1].tag
    if copy.noted.get(key) != tag:
        content = copy.objects.get(key)
        with shards.writing(copy.folder):
            shards.atomically(copy.folder / key, lambda path: Path(path).write_bytes(content))
        copy.note(key, tag)


def _follow(copy: _Copy, there: set[str]) -> None:
    """Remove the shards that are gone from the URL because others have their runs. What else is gone stays here."""
    noted = {key.removeprefix("runs/") for key in copy.noted if key.startswith("runs/")}
    gone = [name for name in shards.names(copy.folder) if name in noted - there]
    if not gone:
        return
    kept = {run_id for name in there for run_id in shards.ids_of(copy.folder / "runs" / name)}
    with shards.writing(copy.folder):
        for name in gone:
            if shards.ids_of(copy.folder / "runs" / name) <= kept:
                shards.remove(copy.folder, name)


# From the copy to the URL


def exchange(folder: Path) -> None:
    """Send what the copy of a store still has to send, and bring what others have written.

    Raises:
        ConfigError: If the server refuses, or does not answer; the copy is as it was.
    """
    if copy := of(folder):
        with _refusing(copy, "written"):
            send(folder)
            pull(folder)


def send(folder: Path) -> None:
    """Send what the copy of a store still has to send.

    Raises:
        OSError: If the server refuses, or does not answer; the copy is as it was.
    """
    if copy := of(folder):
        for name in copy.waiting():
            if shards.trusted(folder, name):
                _send(copy, name)


def push(folder: Path, paths: Sequence[Path]) -> list[Path]:
    """Send a shard of a copy, with the parameters of its runs, and return its paths: another's, if that was first.

    Raises:
        OSError: If it cannot be sent: the next command that writes to the store tries again.
    """
    copy = of(folder)
    if copy is None:
        return list(paths)
    try:
        name = _send(copy, paths[-1].name)
    except OSError as error:
        kept = f"what has trained is in {folder}/, and the same command sends it"
        raise OSError(f"{error}; {kept}") from error
    return [folder / part / name for part in PARTS]


def _send(copy: _Copy, name: str) -> str:
    """Put a shard where there is none of its name, and return the name that it has then."""
    folder = copy.folder
    try:
        records, runs = contents = [(folder / part / name).read_bytes() for part in PARTS]
    except FileNotFoundError:  # `compact` has merged it meanwhile, and sends that
        return name
    for run_id in shards.ids_of(folder / "runs" / name):
        own = f"parameters/{run_id}.safetensors"
        if (folder / own).exists():
            copy.objects.replace(own, (folder / own).read_bytes())
    won = copy.objects.create(f"records/{name}", records) and copy.objects.create(f"runs/{name}", runs)
    if not won and not _whole(copy, name):  # begun by one that died or still writes, or damaged: it stays as it is
        other = f"{unused(folder, name.removesuffix('.parquet'))}.parquet"
        with shards.writing(folder):
            _write(folder, other, *contents)
            shards.remove(folder, name)
        return _send(copy, other)
    found = copy.objects.look(f"runs/{name}")
    if won:
        _agree(copy, name, found)
    else:
        _fetch(copy, name, found)
    return name


def _whole(copy: _Copy, name: str) -> bool:
    """Return whether the shard of this name at the URL is one that can be trusted."""
    try:
        contents = [copy.objects.get(f"{part}/{name}") for part in PARTS]
    except FileNotFoundError:
        return False
    with tempfile.TemporaryDirectory() as scratch:
        _write(Path(scratch), name, *contents)
        return shards.trusted(Path(scratch), name)


def merged(folder: Path, name: str, replaced: Sequence[str]) -> None:
    """Send a merged shard of a copy, and delete those at the URL that it replaces: see `compact`.

    Raises:
        OSError: If the server refuses; what is sent stays, and each run is read once.
    """
    if copy := of(folder):
        _send(copy, name)
        for old in replaced:
            for part in reversed(PARTS):
                copy.objects.delete(f"{part}/{old}")
