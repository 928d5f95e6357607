"""Tune every method at an equal budget and judge it on fresh seeds: python -m experiments baselines."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.baselines import page
from experiments.baselines.figure import draw, label
from experiments.baselines.judged import BUDGETS, result, tuned
from experiments.baselines.methods import METHODS
from experiments.baselines.tuning import FIRST, JUDGED, configurations, draws, trained
from experiments.claims.judge import FEWEST
from hclm_runner import store
from hclm_runner.picture import save
from hclm_runner.refusal import ConfigError


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, judge, write baselines.json and the figure, and print the table.

    Raises:
        ConfigError: If a run is refused or has no result.
    """
    parser = argparse.ArgumentParser(
        prog="python -m experiments baselines",
        description="Does an entropy term beat the obvious? Tunes each method at an equal budget, judges it anew.",
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of every run, as in task=digits")
    parser.add_argument("--draws", type=int, default=8, help="of the hyper-parameters of each method (default: 8)")
    parser.add_argument("--seeds", type=int, default=30, help="fresh seeds that a method is judged on (default: 30)")
    parser.add_argument("--tuning-seeds", type=int, default=5, help="seeds that a draw is chosen on (default: 5)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS], metavar="METHOD",
                        help=f"which (default: all), of {', '.join(METHODS)}; none is always there")  # fmt: skip
    parser.add_argument("--name", default="baselines", help="the store, outputs/NAME/ (default: baselines)")
    parser.add_argument(
        "--page", action="store_true", help="write docs/does_it_help.md from what was judged: NAME in full, then NAME_*"
    )
    given = parser.parse_intermixed_args(arguments)
    folder = store.OUTPUTS / given.name
    if given.page:
        read, *others = (json.loads((each / "baselines.json").read_text()) for each in (folder, *_others(folder)))
        page.PAGE.write_text(page.text(read, others))
        page.PICTURE.write_bytes((folder / "baselines.png").read_bytes())
        print(page.PAGE, page.PICTURE, sep="\n")
        return
    ranges = {"draws": (2, 1000), "seeds": (FEWEST, FIRST), "tuning_seeds": (1, 1000)}
    for key, (least, most) in ranges.items():
        if not least <= (value := getattr(given, key)) <= most:
            parser.error(f"argument --{key.replace('_', '-')}: expected {least} to {most}, got {value}")
    names = [name for name in METHODS if name in {"none", *given.methods}]
    tuning, seeds = range(FIRST, FIRST + given.tuning_seeds), range(given.seeds)
    found = compare(names, given.draws, tuning, seeds, given.overrides, given.name)
    if found is None:
        return
    written = json.dumps(found, indent=1, allow_nan=False)
    store.atomically(folder / "baselines.json", lambda path: Path(path).write_text(written))
    show(found, [folder / "baselines.json", *save(draw(found), folder / "baselines", ("pdf", "png"))])


def _others(folder: Path) -> list[Path]:
    """Return the stores whose names begin with that of a store, and that were judged: other tasks."""
    return sorted(path.parent for path in folder.parent.glob(f"{folder.name}_*/baselines.json"))


def compare(
    names: Sequence[str], number: int, tuning: Sequence[int], seeds: Sequence[int], overrides: Sequence[str], name: str
) -> dict[str, Any] | None:
    """Tune the methods, train what is chosen on fresh seeds, and return what was found; None after a dry run.

    Raises:
        ConfigError: If a run is refused or has no result, or the task has no classes.
    """
    from hclm_runner.training.problem import draw_task

    drawn = draws(names, number)
    own = [draw for method, each in drawn.items() if METHODS[method].reads is None for draw in each]
    config = configurations(own[:1], seeds[:1], overrides)[0]
    task = draw_task(config)
    if task.classes is None:
        raise ConfigError("task", config.task.name, "a task of classes: without them no temperature is fitted")
    worths = trained(own, tuning, overrides, name)
    if worths is None:
        print(f"then the chosen draws would train on {len(seeds)} fresh seeds")
        return None
    steps = len(task.train[0]) // config.batch_size
    chosen = tuned(worths, drawn, steps)
    best = {(each.draw.method, each.draw.place): each.draw for budget in BUDGETS for each in chosen[budget].values()}
    fresh = trained([*best.values()], seeds, overrides, name)
    if fresh is None:
        return None
    facts = {"task": config.label_of("task"), "seeds": len(seeds), "tuning_seeds": len(tuning), "steps": steps}
    return facts | result(worths, fresh, drawn, steps)


def table(found: Mapping[str, Any], budget: str) -> list[list[str]]:
    """Return the table of a budget: heads, then a row for each method."""
    heads = ["method", *(label(column) for column in JUDGED), "gradients", "against none", "difference"]
    rows = [heads]
    for name, row in found["budgets"][budget].items():
        to_none = row.get("against", {}).get("none")
        verdict = [to_none["verdict"], page.shown(to_none["scaled_loss"])] if to_none else ["", ""]
        rows.append([label(name), *(page.shown(row[column]) for column in JUDGED), f"{row['gradients']}", *verdict])
    return rows


def show(found: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """Print the table at equal trials, what differs at equal gradients, and what was written."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    trials, gradients = (table(found, budget) for budget in BUDGETS)
    differ = [row for row, other in zip(gradients[1:], trials[1:], strict=True) if row != other]
    for title, rows in (("equal trials", trials), ("equal gradients", [trials[0], *differ])):
        widths = [max(map(len, column)) for column in zip(*trials, *differ, strict=True)]
        console.print(f"{title}: interquartile means over {found['seeds']} fresh seeds, test split")
        for row in rows:
            console.print("  " + "  ".join(map(str.ljust, row, widths)).rstrip())
    for path in paths:
        console.print(f"  {path}")
