"""The page docs/does_it_help.md, written from baselines.json: change this, not the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.baselines.judged import COSTS, HARMS, HELPS, OPEN
from experiments.baselines.methods import METHODS, REFERENCES
from experiments.claims.page import prose, table
from experiments.estimate import Estimate

PAGE = Path(__file__).parents[2] / "docs/does_it_help.md"
PICTURE = Path(__file__).parents[1] / "pictures/baselines.png"
"""The figure, which the page shows."""

PAPERS = ("softmax", "variance", "logdet", "thermostat", "rl_thermostat")
"""The methods of the paper."""

COLUMNS = {"loss": "test loss", "scaled_loss": "scaled loss", "accuracy": "accuracy", "ece": "calibration error"}
COLUMNS |= {"reward": "reward"}


def text(found: Mapping[str, Any], others: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the page: of one task in full, and what came out on others."""
    rows, fewer = found["budgets"]["trials"], found["budgets"]["gradients"]
    other = {name: row for name, row in fewer.items() if row["settings"] != rows[name]["settings"]}
    said = [*(_against(rows, each) for each in REFERENCES if each in rows), _papers(rows)]
    common = "; ".join(f"`{key}`: {prior}" for key, prior in found["common"].items())
    drawn = prose(
        f"Every method draws a learning rate and when to stop ({common}), and what follows. What a method draws is the",
        "same quantile of each prior, so that all have the same luck.",
    )
    parts = [
        "# Does it help?",
        _head(found),
        "## What came out",
        "\n".join(prose(f"- {line}") for line in said),
        "## What to do on Monday",
        _advice(rows),
        "![Scaled loss and accuracy of each method, and what tuning brings](../experiments/pictures/baselines.png)",
        prose(
            "Above, each method at equal trials, with 95% intervals: blue helps, orange is worse than no method",
            "(dotted). An open mark is another draw, chosen at equal gradients. Below, the score that is tuned: the",
            "median of the best of so many draws, with the exact 95% band of so few draws; grey is no method.",
        ),
        "## At equal trials",
        _results(rows),
        "## At equal gradients",
        _gradients(found, other),
        "## Against other references",
        prose(
            "The difference of the scaled loss [95% interval], paired over seeds; and in what share of the resampled",
            "draws the loss is lower.",
        ),
        table(["method", *map(_name, REFERENCES)], _differences(rows)),
        *(["## On other data", _elsewhere(others)] if others else []),
        "## The priors",
        drawn,
        table(["method", "what it is", "draws"], _priors(found)),
    ]
    return "\n\n".join(parts) + "\n"


def _head(found: Mapping[str, Any]) -> str:
    draws = len(found["methods"]["none"]["draws"])
    how = prose(
        "An entropy term is worth its trouble only if it beats what costs less. Here each method, and training without",
        f"any, has {draws} draws of its hyper-parameters on the task {found['task']}, from the priors below.",
        "The draw with the least loss on the feedback split, with a fitted temperature, in the mean over",
        f"{found['tuning_seeds']} seeds is trained on {found['seeds']} fresh seeds, each with data of its own.",
        "`make baselines` does it, on other tasks too, and `python -m experiments baselines --page` writes this page.",
    )
    rule = prose(
        "A method *helps* if its scaled loss (the test loss with a temperature fitted on the feedback split) is lower",
        "and its accuracy is not. Differences are paired over seeds and judged by sign flips; p-values are Holm's over",
        "the methods. An accuracy is lower if its 95% interval is below 0. Values are interquartile means, with",
        "intervals by bootstrap. A run that diverged is the worst.",
    )
    luck = prose(
        f"Intervals are over seeds, for the {draws} draws that were made. Would other draws have brought the same?",
        "They are resampled, the same ones for both methods, and each takes its best again. Where fewer than",
        f"{SURE:.0%} of the resamples agree with a verdict, by the test loss on the tuning seeds, it may be the luck",
        "of the draws, and is marked. More draws settle it (`--draws`).",
    )
    return f"{how}\n\n{rule}\n\n{luck}"


def _against(rows: Mapping[str, Any], reference: str) -> str:
    """Return which methods do what to a reference, in words."""
    by: dict[str, list[str]] = {}
    for name, row in rows.items():
        if found := row.get("against", {}).get(reference):
            lucky = found["verdict"] != OPEN and not _sure(found)
            by.setdefault(found["verdict"], []).append(f"{_name(name)}{' (by luck?)' if lucky else ''}")
    said = [f"{says}: {_list(by[each])}" for each, says in SAYS.items() if each in by]
    return f"Against {_name(reference)}. {'. '.join(said)}."


def _sure(found: Mapping[str, Any]) -> bool:
    """Return whether resampled draws agree with a verdict."""
    share = 1 - found["luck"] if found["verdict"] == HARMS else found["luck"]
    return bool(share >= SURE)


SURE = 0.9
"""Share of resamples of the draws from which on a verdict is not thought the draws' luck."""

SAYS = {
    HELPS: "Better",
    COSTS: "A lower loss at the price of accuracy",
    HARMS: "Worse",
    OPEN: "No difference shown",
}


def _papers(rows: Mapping[str, Any]) -> str:
    """Return where the paper's methods stand among all."""
    order = sorted(rows, key=lambda name: rows[name]["scaled_loss"]["value"])
    places = [f"{_name(name)} {order.index(name) + 1}" for name in PAPERS if name in rows]
    best = next(name for name in order if name not in PAPERS)
    value = rows[best]["scaled_loss"]["value"]
    return (
        f"By scaled loss the paper's methods come, of {len(order)}, in these places: {', '.join(places)}. "
        f"The best of the others is {_name(best)}, with {value:.3f} nats."
    )


def _advice(rows: Mapping[str, Any]) -> str:
    """Return what a reader should do: the simplest thing that nothing is shown to beat."""
    reference = _reference(rows)
    against = {name: row["against"][reference] for name, row in rows.items() if reference in row.get("against", {})}
    better = [name for name, found in against.items() if found["verdict"] == HELPS and _sure(found)]
    if not better:
        return prose(
            "Stop early: keep the epoch of least loss on held-out data. No method here is shown to be better than",
            "that, whatever the draws, and it needs one run and no tuning but that of the learning rate. Then fit a",
            "temperature.",
        )
    best = min(better, key=lambda name: rows[name]["scaled_loss"]["value"])
    ours = [_name(name) for name in better if name in PAPERS]
    return prose(
        f"Use {_name(best)}, tuned with its learning rate: its scaled loss is",
        f"{shown(rows[best]['against'][reference]['scaled_loss'], '+.3f')} nats from that of {_name(reference)}.",
        f"Also better: {_list([_name(name) for name in better if name != best])}." if len(better) > 1 else "",
        f"Of the paper's methods, {_list(ours)}." if ours else "None of the paper's methods is.",
        "If there is no time to tune, stop early and fit a temperature.",
    )


def _reference(rows: Mapping[str, Any]) -> str:
    """Return what a method has to beat: early stopping, where it was tried."""
    return "early_stopping" if "early_stopping" in rows else "none"


def _results(rows: Mapping[str, Any]) -> str:
    lines = []
    for name, row in rows.items():
        verdict = row.get("against", {}).get("none", {}).get("verdict", "")
        lines.append([_name(name), *(shown(row[column]) for column in COLUMNS), verdict])
    return table(["method", *COLUMNS.values(), "against no method"], lines)


def _gradients(found: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return what is another draw where gradients are counted, not trials."""
    spent = {name: row["gradients"] for name, row in found["budgets"]["trials"].items()}
    twice = [_name(name) for name in spent if METHODS[name].gradients > 1]
    said = prose(
        f"The draws take {spent['none']} gradients a seed, and those of {_list(twice)} twice as many, two in a step."
        if twice
        else f"The draws of every method take {spent['none']} gradients a seed.",
        "With as many gradients as the others they have fewer draws, and" if twice else "",
        "the same ones are chosen." if twice and not other else "this is chosen:" if twice else "",
    )
    return f"{said}\n\n{_results(other)}" if other else said


def _differences(rows: Mapping[str, Any]) -> list[list[str]]:
    lines = []
    for name, row in rows.items():
        cells = [row.get("against", {}).get(reference) for reference in REFERENCES]
        if any(cells):
            lines.append([_name(name), *(_cell(cell) if cell else "" for cell in cells)])
    return lines


def _cell(cell: Mapping[str, Any]) -> str:
    return f"{shown(cell['scaled_loss'], '+.3f')}, {cell['verdict']}; {cell['luck']:.0%}"


def _elsewhere(others: Sequence[Mapping[str, Any]]) -> str:
    """Return what came out on other tasks, each tuned and judged in the same way."""
    by_task = {found["task"]: found["budgets"]["trials"] for found in others}
    lines = []
    for task, rows in by_task.items():
        lines.append(f"- On {task}. {_against(rows, _reference(rows))} {_papers(rows)}")
    names = [name for name in METHODS if any(name in rows for rows in by_task.values())]
    cells = [[_name(name), *(_worth(rows.get(name)) for rows in by_task.values())] for name in names]
    said = prose(
        "The same methods, priors and rule, on the data of other tasks. The table has the scaled loss and, where it is",
        "lower or higher than that of no method, the verdict. Where a network classifies its feedback split without an",
        "error, no temperature fits it best, and the scaled loss says little.",
    )
    return "\n\n".join([said, "\n".join(map(prose, lines)), table(["method", *by_task], cells)])


def _worth(row: Mapping[str, Any] | None) -> str:
    """Return the scaled loss of a method and what it does to no method; nothing where it was not tried."""
    if row is None:
        return ""
    verdict = row.get("against", {}).get("none", {}).get("verdict", OPEN)
    return shown(row["scaled_loss"]) + ("" if verdict == OPEN else f", {verdict}")


def _priors(found: Mapping[str, Any]) -> list[list[str]]:
    return [
        [_name(name), each["says"], "; ".join(f"`{key}`: {prior}" for key, prior in each["priors"].items())]
        for name, each in found["methods"].items()
    ]


def _name(method: str) -> str:
    return "no method" if method == "none" else method.replace("_", " ")


def shown(estimate: Mapping[str, Any], spec: str = ".3f") -> str:
    """Return an estimate of the JSON in words."""
    return format(Estimate.of_dict(estimate), spec).replace("-", "−")


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
