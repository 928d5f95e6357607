"""A store as it fills, in a terminal: from any machine that sees its files, of which it reads the new ones."""

import time
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from hclm_runner import remote, store
from hclm_runner.sweeps import sharing, status

SHOWN = {"test_loss": "test loss", "entropy": "entropy S", "lam": "lam"}
"""Column of records/ -> what it is called here."""

RECENT = 80
"""Of how many runs, those that came last, the curves are; more where they came together."""

WIDTH = 40
"""Characters of a curve."""

PERIOD = 2.0
"""Seconds from one look to the next."""

BARS = "▁▂▃▄▅▆▇█"


class _File(NamedTuple):
    """A version of a file in runs/; one that a command takes in from a cluster's tasks stays the same."""

    written: int
    name: str
    inode: int
    """Another once runs were dropped from the file, which is then no newer."""


class Seen:
    """What has been read of a store."""

    def __init__(self, folder: Path) -> None:
        """Begin with nothing."""
        self.folder = folder
        self.statuses: dict[_File, dict[str, str]] = {}
        self.recent: list[pd.DataFrame] = []
        """Rows of records/ of the runs that came last, the newest first."""

    @property
    def ended(self) -> dict[str, str]:
        """Return run id -> status; of a run in two files, that of the newer."""
        return {run_id: end for file in sorted(self.statuses) for run_id, end in self.statuses[file].items()}

    def look(self) -> list[str]:
        """Read the files that are new or have changed, and return their names."""
        there: dict[_File, Path] = {}
        for place in (self.folder, self.folder / store.CLUSTER):
            for path in (place / "runs").glob("[!.]*.parquet"):
                try:
                    found = path.stat()
                    there[_File(found.st_mtime_ns, path.name, found.st_ino)] = place
                except FileNotFoundError:  # replaced, or taken in: it is there at the next look
                    continue
        known = set(self.ended)
        self.statuses = {file: self.statuses[file] for file in there.keys() & self.statuses.keys()}
        new = sorted(there.keys() - self.statuses.keys(), reverse=True)
        curves: list[pd.DataFrame] = []
        for file in new:
            try:
                runs = pd.read_parquet(there[file] / "runs" / file.name, columns=["run_id", "status"])
                if _runs(curves) < RECENT and not known.issuperset(runs["run_id"]):  # else only merged, or fewer
                    columns = ["run_id", "epoch", *SHOWN]
                    curves.append(pd.read_parquet(there[file] / "records" / file.name, columns=columns))
            except FileNotFoundError:
                continue
            except (OSError, pa.ArrowInvalid):  # torn; the next command that writes sets it aside
                runs = pd.DataFrame({"run_id": [], "status": []})
            self.statuses[file] = dict(zip(runs["run_id"], runs["status"], strict=True))
        for older in self.recent:
            if _runs(curves) < RECENT:
                curves.append(older)
        self.recent = curves
        return [file.name for file in new]


def watch(folder: Path) -> int:
    """Show a store until all that was planned has ended and no command writes to it, or until Ctrl-C; return 0."""
    console = Console(soft_wrap=True, highlight=False)
    seen, shown = Seen(folder), ""
    seen.look()
    started, first = time.monotonic(), len(seen.ended)
    with Live(console=console, auto_refresh=False) as live:  # where there is no terminal, it prints the last one
        try:
            while True:
                left = _left(folder, seen)
                line = progress(seen.ended, left, len(seen.ended) - first, time.monotonic() - started)
                live.update(page(folder, line, seen), refresh=console.is_terminal)
                if not console.is_terminal and line.partition(" runs")[0] != shown:
                    shown = line.partition(" runs")[0]
                    console.print(line)
                if not left and not status.held(folder):
                    return 0
                time.sleep(PERIOD)
                remote.pull(folder)
                seen.look()
        except KeyboardInterrupt:
            return 0


def progress(ended: dict[str, str], left: int, since: int, seconds: float) -> str:
    """Return a line: how many runs have ended, how many a second, how many without a result, and the time left.

    Args:
        ended: Run id -> status.
        left: How many have not ended.
        since: How many have, since it was looked first.
        seconds: How long ago that was.
    """
    rate = since / seconds if seconds else 0.0
    kinds = Counter(ended.values())
    without = ", ".join(f"{kinds[kind]} {kind}" for kind in status.ENDED[1:] if kinds[kind]) or "none without a result"
    until = f"  about {left / rate:.0f} s left" if rate and left else ""
    return f"{len(ended)}/{len(ended) + left} runs  {rate:.3g} runs/s  {without}{until}"


def page(folder: Path, line: str, seen: Seen) -> RenderableType:
    """Return what is on the screen."""
    if not any(map(len, seen.recent)):
        return Group(f"{folder}/", line)
    spread = quartiles(pd.concat(seen.recent))
    table = Table(title=f"{folder}/", title_justify="left", caption=line, caption_justify="left")
    table.add_column(f"the last {_runs(seen.recent)} runs")
    table.add_column(f"median, epochs 0 to {spread.index[-1]}")
    table.add_column("at the end", justify="right")
    table.add_column("quartiles", justify="right")
    for column, name in SHOWN.items():
        low, median, high = (spread[q, column].iloc[-1] for q in (0.25, 0.5, 0.75))
        curve = sparkline(spread[0.5, column].to_numpy())
        table.add_row(name, curve, f"{median:.4g}", f"{low:.4g} to {high:.4g}")
    return table


def quartiles(records: pd.DataFrame) -> pd.DataFrame:
    """Return, by epoch, the quartiles over runs of each column of `SHOWN`: columns (0.25 | 0.5 | 0.75, name)."""
    by_epoch = records.groupby("epoch")[list(SHOWN)]
    return pd.concat({q: by_epoch.quantile(q) for q in (0.25, 0.5, 0.75)}, axis="columns")


def sparkline(values: NDArray[np.float64], width: int = WIDTH) -> str:
    """Return values as a row of bars from their least to their greatest, a blank where one is not finite."""
    kept = values[np.linspace(0, len(values) - 1, min(width, len(values))).round().astype(int)]
    finite = kept[np.isfinite(kept)]
    if not len(finite):
        return " " * len(kept)
    scaled = (kept - finite.min()) / (np.ptp(finite) or 1.0)
    return "".join(BARS[int(height * (len(BARS) - 1) + 0.5)] if np.isfinite(height) else " " for height in scaled)


def _left(folder: Path, seen: Seen) -> int:
    """Return how many runs are planned, here or at the store's URL, and have not ended."""
    bundles = [*chain(*status.read_plans(folder).values()), *(bundle for bundle, _ in sharing.standing(folder))]
    planned = set(chain(*bundles))
    return len(planned - seen.ended.keys())


def _runs(frames: list[pd.DataFrame]) -> int:
    return sum(frame["run_id"].nunique() for frame in frames)
