"""What a statement of the paper is here: its gates, the sweeps that ask it of real runs, and its figures."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes


class Measured(NamedTuple):
    """A number, and the limits that it must keep."""

    value: float
    limit: float
    """value <= limit passes; of a value that must reach something, both are negated or the distance is taken."""
    text: str
    """What the value is, in words and units."""

    @property
    def passes(self) -> bool:
        """Whether the limit is kept; never by a NaN."""
        return bool(self.value <= self.limit)


class Gate(NamedTuple):
    """A number that checks a statement, and a control that must fail."""

    part: str
    """Which part of the statement, as in "adaptive lam"; empty for the statement itself."""
    says: str
    """One sentence."""
    check: Callable[[], Measured]
    control: Callable[[], Measured]
    """The same measurement where the statement must fail: wrong sign, step too large, eps != sigma^2."""
    control_says: str
    slow: bool = False
    """Whether it needs more than a few seconds: run on request."""


class Table(NamedTuple):
    """What real runs say of a statement, in words and numbers: for the terminal and for the report."""

    title: str
    note: str
    """What its columns are."""
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Found(NamedTuple):
    """What real runs say of a statement."""

    numbers: Any
    """As JSON has them."""
    tables: Sequence[Table]
    figures: Mapping[str, str]
    """Stem of its files -> what a figure shows."""
    paths: Sequence[Path]
    """Of those files."""


class Statement(NamedTuple):
    """A proposition, theorem, assumption or section of the paper: all that this project knows of it, in one value."""

    name: str
    """As the paper numbers it: Theorem 2."""
    says: str
    """What the paper states, in one sentence."""
    as_printed: str
    """Whether it holds as printed, in a word or two."""
    needs: str
    """What else it needs, or where it fails, with the numbers that show it."""
    gates: Sequence[Gate] = ()
    draw: Callable[[Path], list[Path]] | None = None
    """Draws the gates' figure into a folder, as PDF, SVG and PNG named like the module, and returns their paths."""
    sweeps: Sequence[str] = ()
    """The experiments, files of conf/experiment/, whose stores `on_runs` reads."""
    on_runs: Callable[[Path], Found] | None = None
    """Asks the statement of those stores, drawing into a folder."""
    findings: str = ""
    """Markdown: what was found, for the page."""


def run(statement: Statement, gate: Gate) -> dict[str, Any]:
    """Run a gate: it passes if its check passes and its control does not; a control that is NaN shows nothing."""
    start = time.perf_counter()
    checked, control = gate.check(), gate.control()
    fails = bool(control.value > control.limit)
    return {
        "statement": title(statement, gate),
        "says": gate.says,
        "measured": checked.text,
        "value": checked.value,
        "tolerance": checked.limit,
        "control": f"{gate.control_says}: {control.text}",
        "control_value": control.value,
        "control_fails": fails,
        "passes": checked.passes and fails,
        "seconds": time.perf_counter() - start,
    }


def title(statement: Statement, gate: Gate) -> str:
    """Return which part of which statement a gate checks: Theorem 1, adaptive lam."""
    return f"{statement.name}, {gate.part}" if gate.part else statement.name


def panel(axes: Axes, title: str, columns: int = 2) -> None:
    """Head one panel of a figure of gates, and set its legend under it, where it hides no data."""
    axes.set_title(title, loc="left", fontsize=8, fontweight="bold")
    axes.legend(
        fontsize=6.5, loc="upper center", bbox_to_anchor=(0.45, -0.22), ncols=columns, handlelength=1.8, columnspacing=1
    )
