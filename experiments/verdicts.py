"""A store's verdicts, as experiments.claims wrote them to its claims.json; what the report and a comparison read."""

import json
import os
from typing import Any

from experiments import grid
from hclm_runner.config import ConfigError

SYMBOLS = {"SUPPORTED": "✓", "REFUTED": "✗", "INCONCLUSIVE": "?", "COLLAPSE": "⊘"}
"""Verdict -> the sign that stands beside its name."""

Claim = dict[str, Any]
"""A judged claim: task, id, figure, says, verdict, sentence, effect, low, high and parts."""


def load(source: str | os.PathLike[str]) -> list[Claim] | None:
    """Return the judged claims of a store, in the order of the paper; None if they were not judged yet.

    Raises:
        ConfigError: If there is no store, or its claims.json is not what experiments.claims writes.
    """
    path = grid.locate(source) / "claims.json"
    try:
        claims: list[Claim] | None = json.loads(path.read_text())["claims"] if path.exists() else None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError("claims.json", str(path), f"what experiments.claims writes, got {error!r}") from None
    return claims


def read(source: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return what claims.json says of a store, at least `claims` and `generic`; None if it was not judged yet.

    Raises:
        ConfigError: If there is no store, or its claims.json is not what experiments.claims writes.
    """
    if load(source) is None:
        return None
    return {"generic": []} | json.loads((grid.locate(source) / "claims.json").read_text())


def how(source: str | os.PathLike[str]) -> str:
    """Return the command that judges the claims of a store."""
    return f"python -m experiments claims {os.fspath(source)}"
