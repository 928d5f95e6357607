"""Training of universes: each is a store of its own, in which the same command trains only what is missing.

One store of all would be read whole for each universe: millions of rows. So a universe is `outputs/<name>/<its id>/`,
which every other command reads as any store, and which can fail without the others.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from experiments.multiverse import results
from experiments.multiverse.design import Design, Universe
from hclm_runner import store, terminal
from hclm_runner.config import RunConfig
from hclm_runner.refusal import ConfigError
from hclm_runner.sweeps import board, engine, plan

BEYOND_PLAN = 0.06
"""Seconds a run that a sweep's own estimate leaves out, start-up and measurement: measured on two cores."""


class Member(NamedTuple):
    """A universe of a multiverse, and what it still has to train."""

    id: str
    universe: Universe
    runs: list[RunConfig]
    """Those that its store lacks."""
    refused: str = ""
    """Why it has no configuration, if that is so."""


def members(design: Design, universes: Sequence[Universe], name: str) -> list[Member]:
    """Return the universes with the runs that their stores lack."""
    found = []
    for universe in terminal.track(universes, "composing"):
        own = design.identity(universe)
        try:  # no other store has a / in its name
            runs = [run.model_copy(update={"name": f"{name}/{own}"}) for run in design.runs(universe)]
        except ConfigError as error:
            found.append(Member(own, universe, [], str(error)))
            continue
        known = store.index(store.OUTPUTS / name / own)
        done = set(known.loc[known["status"].isin(store.DONE), "run_id"])
        found.append(Member(own, universe, [run for run in runs if run.run_id not in done]))
    return found


def seconds(member: Member) -> float:
    """Return about how long a universe takes to train, in seconds."""
    if not member.runs:
        return 0.0
    folder = store.OUTPUTS / member.runs[0].name
    planned = plan.make_plan({run.run_id: run for run in member.runs}, store.index(folder), member.runs[0])
    return planned.seconds + BEYOND_PLAN * len(member.runs)


def announce(found: Sequence[Member]) -> list[float]:
    """Print what is to train; return the estimate of each universe, in seconds."""
    each = [seconds(member) for member in terminal.track(found, "estimating")]
    missing = [member for member in found if member.runs]
    refused = sum(bool(member.refused) for member in found)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(
        f"{len(found)} universes; to train: {board.counted(sum(len(m.runs) for m in missing), 'run')} in "
        f"{len(missing)} of them, roughly {sum(each) / 60:.0f} minutes here"
        + (f"; {refused} refused" if refused else "")
    )
    return each


def train(design: Design, found: Sequence[Member], name: str) -> None:
    """Train what the universes lack. A universe that is refused or fails does not stop the others.

    Raises:
        KeyboardInterrupt: After Ctrl-C, once what is finished is written.
        OSError: If the disk refuses.
    """
    each = announce(found)
    write(design, found, name)
    started, done = time.perf_counter(), 0.0
    for i, (member, estimate) in enumerate(zip(found, each, strict=True)):
        if not member.runs:
            continue
        rate = (time.perf_counter() - started) / done if done else 1.0  # seconds a second of the estimate
        left = f"about {rate * sum(each[i:]) / 60:.0f} minutes left"
        terminal.say(f"universe {i + 1} of {len(found)}, {left}: {design.title(member.universe)}")
        try:
            code = engine.execute(member.runs)
        except ConfigError as error:
            terminal.say(f"error: {error}")
            continue
        if code == board.INTERRUPTED:
            raise KeyboardInterrupt
        done += estimate


def write(design: Design, found: Sequence[Member], name: str) -> None:
    """Write which universes there are, so that they can be judged without the design."""
    rows = [
        {
            "id": member.id,
            "title": design.title(member.universe),
            "reference_question": design.asks_ours(member.universe),
            "levels": member.universe,
            "refused": member.refused,
        }
        for member in found
    ]
    kinds = {name: choice.kind for name, choice in design.choices.items()}
    text = json.dumps({"choices": kinds, "universes": rows}, indent=1)
    folder = store.OUTPUTS / name
    folder.mkdir(parents=True, exist_ok=True)
    store.atomically(folder / results.LIST, lambda path: Path(path).write_text(text))
