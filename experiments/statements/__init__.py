"""The paper, statement by statement: one module each, which ends in its `STATEMENT`.

`base` says what a statement is. `verify` runs the gates, `studies` asks real runs, and `page` writes STATEMENTS.md; all
three go through `STATEMENTS`. A new statement is a module, and its name in `NAMES`.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module

from experiments.statements.base import Statement

NAMES = (
    "equation_5",
    "definition_1",
    "proposition_1",
    "theorem_1",
    "theorem_2",
    "proposition_2",
    "proposition_3",
    "assumption_3",
    "theorem_3",
    "proposition_4",
    "theorem_4",
    "theorem_5",
    "section_9_6",
)
"""The modules of the statements, in the paper's order."""


class Statements(Mapping[str, Statement]):
    """Module -> its statement. A module, and torch with it, is imported when its statement is asked for."""

    def __getitem__(self, name: str) -> Statement:
        """Return the statement of a module."""
        if name not in NAMES:
            raise KeyError(name)
        statement: Statement = import_module(f"{__name__}.{name}").STATEMENT
        return statement

    def __iter__(self) -> Iterator[str]:
        """Go through the modules, in the paper's order."""
        return iter(NAMES)

    def __len__(self) -> int:
        """Return how many statements there are."""
        return len(NAMES)


STATEMENTS = Statements()
