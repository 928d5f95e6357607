"""Write STATEMENTS.md, what each statement says and what was found: python -m experiments statements [--sweeps]."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.statements import STATEMENTS
from experiments.statements.base import Statement

PAGE = Path(__file__).with_name("STATEMENTS.md")
PICTURES = Path(__file__).parents[1] / "pictures"
"""PNG files that the page shows: of the gates named like the module, and of real runs with _on_runs after that."""

HEAD = """# The paper's statements, checked

`python -m experiments verify` (`make verify`) runs the gates, in under a minute; with `--slow` the statistical ones
too, in four. A gate is a number, its tolerance, and a control that must fail. Each statement is a module of this
folder, with its mathematics, its assumptions and its gates. `python -m experiments theory` then asks real runs what
the statements assume and conclude; `make theory` trains those runs first.

`python -m experiments statements` writes this page from the modules: change those, not the page.

## Four inconsistencies

1. **Theorem 3 and Corollary 1 are no bounds** for an encoder that was learnt. The gap exceeds the printed expression
   for a nearest-neighbour memoriser (0.50 against 0.02), and in every run we trained.
2. **Theorem 1 covers a constant lam only.** With a controller its work, the sum over t of (lam_{t+1} − lam_t)⁺ S_{t+1},
   comes to E_0 − E_inf; without it the bound is false, for bounded lam too.
3. **Proposition 1 needs a lower bound on the loss's force.** Where ‖∇L‖ vanishes too, a vanishing F is not small
   compared with it.
4. **Definition 1 is empty with free constants**: any surrogate with one non-zero force is effective. Here f_min = 0.05
   of lam F / ‖∇L‖, in a quarter of the epochs.

## Statement by statement

| statement | it says | as printed | what it needs, or where it fails | figures |
|---|---|---|---|---|
"""

RUNS = """
## On real runs

2240 runs of the reference task, 10 seeds; ± is half a 95% interval over seeds. What is counted was fixed before the
outcome was seen (except for two counts, which a review changed), and is said in each module. The theorems hold where
they speak: of descent without noise.
"""


def text() -> str:
    """Return the page, as Markdown."""
    rows = [_row(name, statement) for name, statement in STATEMENTS.items()]
    found = [_section(name, statement) for name, statement in STATEMENTS.items() if statement.findings]
    return HEAD + "".join(rows) + RUNS + "".join(found)


def sweeps() -> list[str]:
    """Return the sweeps that the statements are asked of, in order and once each."""
    return list(dict.fromkeys(sweep for statement in STATEMENTS.values() for sweep in statement.sweeps))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page, or print the sweeps.

    Raises:
        OSError: If the disk refuses.
    """
    parser = argparse.ArgumentParser(
        prog="python -m experiments statements", description="Write the page on the paper's statements."
    )
    parser.add_argument("--sweeps", action="store_true", help="print the sweeps that the statements need, one a line")
    parser.add_argument("--out", type=Path, default=PAGE, metavar="FILE", help="where to write")
    given = parser.parse_args(arguments)
    if given.sweeps:
        print("\n".join(sweeps()))
        return
    given.out.write_text(text(), encoding="utf-8")
    print(f"  {given.out}")


def _row(name: str, statement: Statement) -> str:
    links = [f"[{what}]({at})" for what, at in (("gates", _picture(name)), ("runs", _picture(f"{name}_on_runs"))) if at]
    cells = (
        f"[{statement.name}]({name}.py)",
        statement.says,
        statement.as_printed,
        statement.needs,
        ", ".join(links),
    )
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def _section(name: str, statement: Statement) -> str:
    picture = _picture(f"{name}_on_runs")
    shown = f"![{statement.name} on runs]({picture})\n\n" if picture else ""
    return f"\n### {statement.name}\n\n{shown}{statement.findings}\n"


def _picture(stem: str) -> str:
    """Return the address of a picture, relative to the page; nothing where there is none."""
    return f"../pictures/{stem}.png" if (PICTURES / f"{stem}.png").exists() else ""
