"""The state of runs that still train, beside the store: checkpoints/, a file for each bundle, until its runs are done.

A run's random numbers are addressed by its epoch, not advanced (`streams`), so its state after an epoch is all that it
takes to go on, bit-equal. Each array has the runs as its first axis: some of them can go on without the others.
"""

import importlib.metadata
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pandas as pd

from hclm_runner import __version__, arrays, store
from hclm_runner.config import SCHEMA_VERSION, RunConfig
from hclm_runner.shards import shard_name

T = TypeVar("T")

Say = Callable[[str], object]
"""Takes a line for the person."""


class _Saved(NamedTuple):
    """What a file says of itself."""

    versions: Mapping[str, Any]
    device: str
    epoch: int
    ids: Sequence[str]
    causes: Sequence[str | None]
    form: Any
    """The state, with the name of an array in its place."""


class Checkpoint(NamedTuple):
    """Where a batch that trains keeps its state; nowhere unless said."""

    folder: Path | None = None
    """The store."""
    every: int = 0
    """Epochs from one time to the next; 0: never."""
    device: str = "cpu"
    say: Say = print

    def restore(self, runs: Sequence[RunConfig], causes: list[str | None], state: T) -> tuple[int, list[str | None], T]:
        """Return the epoch to go on with, causes and state as `save` was given them; epoch 0 and these if not."""
        import torch  # here, because the process that holds the store needs none

        if self.folder is None or runs[0].force:
            return 0, causes, state
        wanted = [run.run_id for run in runs]
        usable = {path: saved for path, saved in _usable(self.folder, self.device) if {*wanted} <= {*saved.ids}}
        if not usable:
            return 0, causes, state
        path, saved = max(usable.items(), key=lambda each: (each[1].epoch, each[0]))
        content, _ = arrays.read(path)
        places = [saved.ids.index(run_id) for run_id in wanted]
        tensors = {name: torch.from_numpy(array[places]).to(self.device) for name, array in content.items()}
        self.say(f"{len({*wanted})} of {len({*saved.ids})} runs go on after epoch {saved.epoch}: {path}")
        kept: T = _whole(saved.form, tensors)
        return saved.epoch + 1, [saved.causes[place] for place in places], kept

    def save(self, epoch: int, runs: Sequence[RunConfig], causes: Sequence[str | None], state: Any) -> None:
        """Write what runs carry from an epoch to the next, if it is time: tuples and dictionaries of tensors [R, ...].

        A disk that refuses costs a line, not the runs.
        """
        if self.folder is None or not self.every or epoch % self.every or not 0 < epoch < runs[0].epochs:
            return
        ids, content = [run.run_id for run in runs], arrays.Arrays()
        saved = _Saved(_versions(), self.device, epoch, ids, causes, _parts(state, content))
        path = self.folder / "checkpoints" / f"{shard_name({*ids})}.safetensors"
        try:
            arrays.write(path, content, {"saved": json.dumps(saved._asdict())})
        except OSError as error:
            self.say(f"no checkpoint after epoch {epoch}: {error.strerror or error}")


class Unfinished:
    """The checkpoints of a store, for the command that holds it."""

    def __init__(
        self, folder: Path, asked: Mapping[str, RunConfig], known: Callable[[], pd.DataFrame], device: str, say: Say
    ) -> None:
        """See what there is; set aside, with a line, what cannot be read or is of another version.

        Args:
            folder: The store, locked.
            asked: Run id -> configuration, of the runs that the command is to train unless the store has them.
            known: Returns the store's index; called where there are checkpoints, since a large store takes long.
            device: Where they train: those that began elsewhere begin anew. With auto that is seen later.
            say: Is told of what is not used.
        """
        self.folder, files = folder, _files(folder)
        index = known()[["run_id", "status", "parameters"]].itertuples(index=False) if files else ()
        self.done = {
            run_id
            for run_id, *found in index
            if (store.answers(asked[run_id], *found) if run_id in asked else found[0] in store.DONE)
        }
        self.of: dict[str, str] = {}
        """Run id -> the file from which it can go on."""
        for path in files:
            try:
                saved = _read(path)
            except (OSError, ValueError):
                saved = None
            if saved is not None and {*saved.ids} <= self.done:
                path.unlink()
            elif saved is None or saved.versions != _versions():
                aside = folder / "set_aside" / f"checkpoints-{path.name}"
                aside.parent.mkdir(exist_ok=True)
                say(f"checkpoint set aside, unreadable or of another version: {path.replace(aside)}")
            elif device not in ("auto", saved.device):
                say(f"checkpoint not used, of runs that began on {saved.device}: {path}")
            elif not {*saved.ids} & {*asked}:
                say(f"checkpoint not used, of {len({*saved.ids})} other runs: {path}")
            else:
                self.of |= dict.fromkeys(saved.ids, path.name)

    def drop(self, ids: Collection[str]) -> None:
        """Remove the checkpoints of which all runs are done, these among them."""
        self.done.update(ids)
        for path, saved in _readable(self.folder):
            if {*saved.ids} <= self.done:
                path.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("[!.]*.safetensors"))  # not what is being written


def _versions() -> dict[str, Any]:
    """Return what must be as it was, for a run to go on as it would have."""
    packages = {name: importlib.metadata.version(name) for name in ("torch", "numpy")}
    return {"schema": SCHEMA_VERSION, "hclm_runner": __version__, **packages}


def _read(path: Path) -> _Saved:
    """Return what a file says of itself.

    Raises:
        ValueError: If it is damaged, or no checkpoint.
        OSError: If it cannot be read.
    """
    try:
        return _Saved(**json.loads(arrays.read_text(path)["saved"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: no checkpoint") from error


def _readable(folder: Path) -> Iterator[tuple[Path, _Saved]]:
    for path in _files(folder):
        try:
            yield path, _read(path)
        except (OSError, ValueError):
            continue


def _usable(folder: Path, device: str) -> Iterator[tuple[Path, _Saved]]:
    for path, saved in _readable(folder):
        if saved.versions == _versions() and saved.device == device:
            yield path, saved


def _parts(state: Any, content: arrays.Arrays) -> Any:
    """Return a state with the name of each tensor in its place, and put them as arrays into `content`."""
    if isinstance(state, dict):
        return {key: _parts(value, content) for key, value in state.items()}
    if isinstance(state, tuple):
        return [_parts(value, content) for value in state]
    name = str(len(content))
    content[name] = state.detach().cpu().numpy()
    return name


def _whole(form: Any, tensors: Mapping[str, Any]) -> Any:
    """Return the state again: what `_parts` took apart."""
    if isinstance(form, dict):
        return {key: _whole(value, tensors) for key, value in form.items()}
    return tensors[form] if isinstance(form, str) else tuple(_whole(value, tensors) for value in form)
