"""What a gate is: a statement of the paper, the number that checks it, and a control that must fail."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple


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


def run(gate: Gate) -> dict[str, Any]:
    """Run a gate: it passes if its check passes and its control does not; a control that is NaN shows nothing."""
    start = time.perf_counter()
    checked, control = gate.check(), gate.control()
    fails = bool(control.value > control.limit)
    return {
        "statement": gate.statement,
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
