"""What a gate is: a statement of the paper, the number that checks it, and a control that must fail."""

import time
from collections.abc import Callable
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
    """A row of the table."""

    statement: str
    """As the paper numbers it: Theorem 2."""
    says: str
    """One sentence."""
    check: Callable[[], Measured]
    control: Callable[[], Measured]
    """The same measurement where the statement must fail: wrong sign, step too large, eps != sigma^2."""
    control_says: str
    slow: bool = False
    """Whether it needs more than a few seconds: run on request."""
    figure: str = ""
    """The figure that shows it, by the stem of its files; empty where none does."""


def run(gate: Gate) -> dict[str, Any]:
    """Run a gate: it passes if its check passes and its control does not; a control that is NaN shows nothing."""
    start = time.perf_counter()
    checked, control = gate.check(), gate.control()
    fails = bool(control.value > control.limit)
    return {
        "statement": gate.statement,
        "says": gate.says,
        "figure": gate.figure,
        "measured": checked.text,
        "value": checked.value,
        "tolerance": checked.limit,
        "control": f"{gate.control_says}: {control.text}",
        "control_value": control.value,
        "control_fails": fails,
        "passes": checked.passes and fails,
        "seconds": time.perf_counter() - start,
    }


def panel(axes: Axes, title: str, columns: int = 2) -> None:
    """Head one panel of a figure of gates, and set its legend under it, where it hides no data."""
    axes.set_title(title, loc="left", fontsize=8, fontweight="bold")
    axes.legend(
        fontsize=6.5, loc="upper center", bbox_to_anchor=(0.45, -0.22), ncols=columns, handlelength=1.8, columnspacing=1
    )
