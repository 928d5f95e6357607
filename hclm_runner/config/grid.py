"""The jobs of one multirun as checked configurations: what repeats in a grid is composed and checked once.

A grid is a product, and most of its jobs are new only as a combination. A job is put together where each of its parts
was part of an earlier job that was composed whole and not refused. A part is what is looked at together: a key and
those that its value refers to (`surrogate.eps` follows `sigma`), or the keys of one check (`resolve.TOGETHER`). All
other jobs are composed whole, and those that are refused are among them: their words are the same.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hydra.core.override_parser.types import Override

from hclm_runner.config.compose import Composer, plain
from hclm_runner.config.resolve import TOGETHER, resolve
from hclm_runner.config.schema import RunConfig
from hclm_runner.parts import ROOMS

FIELDS = {*RunConfig.model_fields}

FREE = FIELDS - {*ROOMS, "sweep", "cluster"}.union(*TOGETHER)
"""Keys of one value each, which is checked by itself: it is the same in any job."""


class _Word(NamedTuple):
    """What an override does."""

    sort: str
    """The key of a value; of a choice of a group, all of it."""
    sets: str | None
    """Of a value, the first part of its key."""


class _Part(NamedTuple):
    """What some of the overrides of a job decide."""

    places: tuple[int, ...]
    """Which overrides."""
    fields: tuple[str, ...]
    """What they decide, and no other does; nothing, where they are only checked together."""
    seen: dict[tuple[str, ...], Mapping[str, Any]]
    """The overrides -> those fields, of jobs that were not refused."""


class _Sort(NamedTuple):
    """Jobs that choose the same groups and set the same keys."""

    base: Mapping[str, Any]
    """The fields of one of them."""
    parts: Sequence[_Part]


class Grid:
    """The jobs of one multirun."""

    def __init__(self, composer: Composer) -> None:
        """Take what composes a job whole."""
        self.composer = composer
        self.put_together = 0
        """How many jobs were not composed whole."""
        self._words: dict[str, _Word | None] = {}
        self._sorts: dict[tuple[str, ...], _Sort | None] = {}
        self._free: dict[tuple[str, ...], Mapping[str, Any]] = {}

    def __call__(self, overrides: Sequence[str]) -> RunConfig:
        """Return the configuration of one job.

        Raises:
            HydraException: As `Composer`.
            ConfigError: As `resolve`.
        """
        words = [word for word in map(self._word, overrides) if word]
        name = tuple(word.sort for word in words)
        if len(words) < len(overrides):
            return resolve(self.composer(overrides))
        if (sort := self._sorts.get(name)) and (fields := _put_together(sort, overrides)):
            self.put_together += 1
            return RunConfig.model_construct(_fields_set=FIELDS, **fields)  # one set for all: it is large
        cfg = self.composer(overrides)
        config = resolve(cfg)
        if name not in self._sorts:
            parts = self._parts(words, plain(cfg))
            self._sorts[name] = None if parts is None else _Sort(dict(config), parts)
        sort = self._sorts[name]
        for part in sort.parts if sort else ():
            part.seen[_of(part, overrides)] = {field: getattr(config, field) for field in part.fields}
        return config

    def check(self, jobs: Sequence[Sequence[str]], sample: int) -> None:
        """Compose some jobs that are not refused, drawn at random, Hydra's own way too.

        Raises:
            RuntimeError: If a configuration differs.
        """
        for overrides in random.Random(0).sample(jobs, min(sample, len(jobs))):
            ours, stock = self(overrides), resolve(self.composer.stock(overrides))
            if ours != stock:
                raise RuntimeError(f"composed {ours} for {overrides}, where Hydra composes {stock}")

    def _word(self, text: str) -> _Word | None:
        """Return what an override does; None if its job is always composed whole."""
        if text not in self._words:
            override = self.composer.parse(text)
            self._words[text] = _read(override, self.composer.chooses(override))
        return self._words[text]

    def _parts(self, words: Sequence[_Word], written: Mapping[str, Any]) -> list[_Part] | None:
        """Return the parts of a job, given its configuration as it is written; None if that does not say it."""
        refers: dict[str, set[str]] = {}
        for field in FIELDS:
            texts = [text for text in _texts(written.get(field)) if "${" in text]
            if any(re.search(r"\$\{[^{}:]*\$\{|\$\{(?!square:)[\w.]+:", text) for text in texts):
                return None  # a key that is computed, or a resolver that may look anywhere
            refers[field] = {field}.union(*(re.findall(r"\w+", text) for text in texts)) & FIELDS
        decided: dict[tuple[int, ...], list[str]] = {}
        for fields in (*([field] for field in RunConfig.model_fields), *TOGETHER):
            keys = _closure(fields, refers)
            if places := tuple(place for place, word in enumerate(words) if word.sets in keys):
                decided.setdefault(places, []).extend(fields if len(fields) == 1 else ())
        alone: dict[tuple[int, ...], list[str]] = {
            (place,): [word.sort] for place, word in enumerate(words) if word.sort in FREE
        }
        return [
            _Part(places, tuple(fields), self._free if alone.get(places) == fields else {})
            for places, fields in decided.items()
        ]


def _read(override: Override, chooses: bool) -> _Word | None:
    text, key = str(override.input_line), override.key_or_group.partition(".")[0]
    if key == "hydra" or "${" in text:
        return None
    if chooses:
        return _Word(text, None)
    changes = not (override.is_add() or override.is_force_add() or override.is_delete() or override.package)
    merges = isinstance(override.value(), dict)  # so that what else refers to other keys depends on what is in it
    return _Word(override.key_or_group, key) if changes and not merges and key in FIELDS else None


def _put_together(sort: _Sort, overrides: Sequence[str]) -> dict[str, Any] | None:
    """Return the fields of a job from its parts; None if one of them is new."""
    fields = dict(sort.base)
    for part in sort.parts:
        found = part.seen.get(_of(part, overrides))
        if found is None:
            return None
        fields.update(found)
    return fields


def _of(part: _Part, overrides: Sequence[str]) -> tuple[str, ...]:
    return tuple([overrides[place] for place in part.places])


def _closure(fields: Sequence[str], refers: Mapping[str, set[str]]) -> set[str]:
    """Return the keys on which fields depend."""
    keys, new = set[str](), {*fields}
    while new:
        keys |= new
        new = set[str]().union(*(refers[key] for key in new)) - keys
    return keys


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
