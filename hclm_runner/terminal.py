"""What a person at a terminal sees: progress, summaries, the paths of what was written."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress import track as rich_track
from rich.table import Table

from hclm_runner.analysis import LATE, effectiveness, final

T = TypeVar("T")
Row = Mapping[str, "np.ndarray[tuple[int], np.dtype[np.float64]]"]


@contextmanager
def progress_line(epochs: int) -> Iterator[Callable[[int, Row], None]]:
    """Yield a callback for `train` that keeps one line up to date; silent where the output is not a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("epoch {task.completed:>4.0f}/{task.total:.0f}"),
        BarColumn(24),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        line = bar.add_task("preparing the data", total=epochs)

        def show(epoch: int, row: Row) -> None:
            loss, entropy, lam = (row[key][0] for key in ("train_loss", "entropy", "lam"))
            bar.update(line, completed=epoch, description=f"loss {loss:.3f}  entropy {entropy:.3f}  lam {lam:.3g}")

        yield show


def say(message: str) -> None:
    """Print a line to standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(message, markup=False)


def track(jobs: Sequence[T], what: str) -> Iterable[T]:
    """Yield from a sequence, with a bar if that takes long and the output is a terminal."""
    console = Console(stderr=True)
    return rich_track(jobs, what, console=console, transient=True, disable=not console.is_terminal)


def set_aside(paths: Sequence[Path]) -> None:
    """Name the shards that cannot be trusted, or whose code is no longer what it was."""
    for path in paths:
        say(f"set aside, unreadable, incomplete, or of another version of the code: {path}")


def first(titles: Sequence[str], most: int) -> str:
    """Return the first few titles, and how many more there are."""
    return "; ".join(titles[:most]) + (f"; and {len(titles) - most} more" if len(titles) > most else "")


def summary(records: pd.DataFrame, paths: Sequence[Path], headline: str) -> None:
    """Print the summary of one finished run to standard output: a table, then the paths of what was written."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(headline)
    if len(records) > 1:
        console.print(_table(records))
    for path in paths:
        console.print(f"  {path}", markup=False)


def _table(records: pd.DataFrame) -> Table:
    last, judged = final(records), effectiveness(records)
    target = f" (set point {last['setpoint']:.3f})" if pd.notna(last["setpoint"]) else " (no set point)"
    nats = " nats" if pd.notna(last["reward"]) else ""  # a squared error is in the units of its target
    trained = records[records["epoch"] > 0]
    stopped = trained.iloc[int(trained["feedback_loss"].argmin())]
    after = f"after {stopped['epoch']:.0f} epochs, chosen on feedback"
    scaled = f"{last['test_scaled_loss']:.4f} nats (T = {last['temperature']:.3g}, fitted on feedback)"
    calibrated = {"test loss of logits / T": scaled} if pd.notna(last["temperature"]) else {}
    verdict = f"{'yes' if judged.effective else 'no'} (||D_S||/||D_L|| >= 0.05 in {judged.share:.0%} of epochs)"
    shown = {
        "test loss": f"{last['test_loss']:.4f}{nats}",
        **calibrated,
        "test loss, stopped early": f"{stopped['test_loss']:.4f}{nats} ({after})",
        "gap, test - train": f"{last['gap']:.4f}{nats}",
        "entropy S": f"{last['entropy']:.4f} nats{target}",
        "lam": f"{last['lam']:.4g}",
        "force ||grad S||": f"{last['force']:.4g}",
        "effective, Definition 1": verdict,
        "reward": f"{last['reward']:.4f}" if pd.notna(last["reward"]) else "undefined without classes",
    }
    table = Table()
    table.add_column("quantity")
    table.add_column(f"mean of the last {min(LATE, len(records) - 1)} epochs")
    for quantity, value in shown.items():
        table.add_row(quantity, value)
    return table
