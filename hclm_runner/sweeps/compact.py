"""Few large files in place of many small ones, while sweeps write and figures read."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hclm_runner import remote, shards, store

ROWS = 122_880
"""Of records/ in a file: about fifty megabytes, and what DuckDB and others take as one group of rows."""


def compact(folder: Path, rows: int = ROWS) -> tuple[int, int]:
    """Merge the shards of a store into files of about `rows` rows, and return how many shards there were and are.

    Each merged pair is written whole before those that it replaces are removed, and readers take each run from one
    file. Writers wait while one pair is written, and no longer. Killed at any moment, nothing is lost.

    Raises:
        OSError: If the disk refuses, or the URL of the store; what is merged by then stays merged.
    """
    store.prepare(folder)
    remote.exchange(folder)
    store.tidy(folder)
    before = len(shards.names(folder))
    for group in _groups(folder, rows):
        with shards.writing(folder):
            merged = _merge(folder, group)
        if merged:
            remote.merged(folder, *merged)
    return before, len(shards.names(folder))


def _groups(folder: Path, rows: int) -> list[list[str]]:
    """Return the names of the shards that are smaller than that, in groups of about so many rows; none alone."""
    groups: list[list[str]] = [[]]
    held = 0
    for name in shards.names(folder):
        own = pq.read_metadata(folder / "records" / name).num_rows
        if own >= rows:
            continue
        if groups[-1] and held + own > rows:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += own
    return [group for group in groups if len(group) > 1]


def _merge(folder: Path, group: Sequence[str]) -> tuple[str, list[str]] | None:
    """Replace those of the shards that are still there by one; return its name and theirs."""
    there = [name for name in group if shards.trusted(folder, name)]
    ids = [run_id for name in there for run_id in shards.ids_of(folder / "runs" / name)]
    if len(there) < 2 or len(set(ids)) < len(ids):  # a run in two shards: the next command that writes drops the older
        return None
    records, runs = (_together([folder / part / name for name in there]) for part in shards.PARTS)
    runs = shards.dated(runs, max(shards.written_ns(folder / "runs" / name) for name in there))
    write = partial(pq.write_table, row_group_size=ROWS)
    # Named after what it replaces, and not after its runs: else it could have the name of one of them.
    paths = shards.put(folder, shards.shard_name(there), partial(write, records), partial(write, runs))
    for name in there:
        shards.remove(folder, name)
    return paths[0].name, there


def _together(paths: Sequence[Path]) -> pa.Table:
    """Return the rows of files as one table; a column that is all null in one takes its type from the others."""
    tables = [pq.ParquetFile(path).read() for path in paths]
    tables.sort(key=lambda table: table.num_rows == 0)  # the first says what pandas makes of the columns
    return pa.concat_tables(tables, promote_options="permissive")
