"""What came out, as architectures.json has it: the matrix of claims by networks, and what each network does."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from experiments import grid
from experiments.architectures.design import RATES, ROWS, Row
from experiments.claims import record
from experiments.estimate import Estimate, of_seeds
from hclm_runner import store
from hclm_runner.refusal import ConfigError

FILE = "architectures.json"
NAME = "architectures"
"""The usual store."""
FIXED = grid.REGIMES[0]
LOGDET = "logdet"
SUBJECTS = {"Force collapse": ("23", "26", "30"), "Entropy balance": ("19", "20", "24")}
"""What section 9.5 asks about -> the paper's claims on it."""
PENDING = "not judged"


def titled(grids: Mapping[str, xr.Dataset], source: str) -> dict[str, str]:
    """Return context -> title of its network and task, in the order of `ROWS`.

    Raises:
        ConfigError: If two contexts are of one network and task, or one is of none of `ROWS`.
    """
    found: dict[str, str] = {}
    for context, one in grids.items():
        title = next((row.title for row in ROWS if _is(one.attrs["config"], row)), None)
        if title is None or title in found.values():
            raise ConfigError("store", source, f"one training of each network of the experiment, got {context}")
        found[context] = title
    return {context: row.title for row in ROWS for context, title in found.items() if title == row.title}


def build(grids: Mapping[str, xr.Dataset], judged: record.Record, source: str) -> dict[str, Any]:
    """Return what came out of a judged store.

    Returns:
        `networks`, what `measured` says of each; `summary`, sentences; and `claims` and `generic`, each a matrix of
        claims by networks, as `record.matrix` has it.

    Raises:
        ConfigError: If the store has other runs than the experiment's.
    """
    titles = titled(grids, source)

    def matrix(claims: Sequence[record.ClaimRow]) -> dict[str, Any]:
        own = [claim | {"task": title} for context, title in titles.items() for claim in claims
               if claim["task"] == context]  # fmt: skip
        return record.matrix(own)

    untrained = [row.title for row in ROWS if row.title not in titles.values()]
    claims = matrix(judged.claims)
    return {
        "networks": {title: measured(grids[context]) for context, title in titles.items()},
        "summary": [*summary(claims, untrained), _run(grids[context] for context in titles)],
        "claims": claims,
        "generic": matrix(judged.generic),
    }


def measured(one: xr.Dataset) -> dict[str, Any]:
    """Return what a network does: accuracies at lam = 0, and forces and entropies of log-det, as means over seeds.

    Returns:
        `accuracy`, view -> that of the test split at lam = 0, under fixed; `force`, that before
        training; and `arms`, arm -> `force`, that at the end over that before training, and at the end `entropy`, `lam`
        and the `setpoint`, where there is one.
    """
    free = one.sel(surrogate=LOGDET, regime=FIXED, lam0=0.0)
    ends = {"end": grid.final(free), "chosen": grid.chosen(free)}
    return {
        "accuracy": {view: of_seeds(values["test_accuracy"]).item().as_dict() for view, values in ends.items()},
        "force": of_seeds(free["force"].isel(epoch=0)).item().as_dict(),
        "arms": {arm: _arm(own) for arm, own in arms(one).items()},
    }


def _run(grids: Iterable[xr.Dataset]) -> str:
    """Return how much was run, and whether all of it ended."""
    places, diverged = [], 0
    for one in grids:
        places.append(one.sizes["seed"])
        diverged += len(one.attrs["diverged"])
    return f"{min(places)} data sets of each network; {diverged or 'no'} run{'s' * (diverged > 1)} diverged."


def arms(one: xr.Dataset, surrogate: str = LOGDET) -> dict[str, xr.Dataset]:
    """Return arm -> its runs, [seed, epoch]: fixed at lam = 0 and at the middle lam, and each law from there."""
    lams = one["lam0"].to_numpy()
    middle = float(lams[len(lams) // 2])
    laws = [name for name in one["regime"].to_numpy().tolist() if name != FIXED]
    places = {"lam = 0": (FIXED, 0.0), f"lam = {middle:g}": (FIXED, middle)} | {law: (law, middle) for law in laws}
    return {arm: one.sel(surrogate=surrogate, regime=law, lam0=lam) for arm, (law, lam) in places.items()}


def _arm(own: xr.Dataset) -> dict[str, Any]:
    late = grid.final(own)
    setpoint = float(late["setpoint"].mean())
    return {
        "force": of_seeds(late["force"] / own["force"].isel(epoch=0)).item().as_dict(),
        "entropy": of_seeds(late["entropy"]).item().as_dict(),
        "setpoint": setpoint if np.isfinite(setpoint) else None,
        "lam": of_seeds(late["lam"]).item().as_dict(),
    }


def summary(claims: Mapping[str, Any], untrained: Sequence[str]) -> list[str]:
    """Return what came out in sentences: what section 9.5 asks about, and how many claims hold where.

    Args:
        claims: The matrix of the paper's claims.
        untrained: Titles of the networks that were not trained.
    """
    by_id = {claim: (says, verdicts) for claim, says, verdicts in claims["rows"]}
    said = []
    for subject, ids in SUBJECTS.items():
        for claim in (claim for claim in ids if claim in by_id):
            says, verdicts = by_id[claim]
            said.append(f"{subject}, claim {claim} ({says}): {_where(claims['tasks'], verdicts)}.")
    if by_id:
        everywhere = [set(verdicts) for _, verdicts in by_id.values()]
        supported, refuted = (sum(each == {verdict} for each in everywhere) for verdict in ("SUPPORTED", "REFUTED"))
        nowhere = sum("SUPPORTED" not in each for each in everywhere)
        said.append(
            f"Of the paper's {len(by_id)} claims every network on every task supports {supported} and refutes "
            f"{refuted}; {nowhere} are supported by none."
        )
        counts = [f"{title} {count}" for title, count in zip(claims["tasks"], claims["supported"], strict=True)]
        said.append(f"Claims that are supported: {', '.join(counts)}.")
    if untrained:
        said.append(f"Not trained, and so left out: {', '.join(untrained)}.")
    return said


def _where(titles: Sequence[str], verdicts: Sequence[str | None]) -> str:
    """Return on which networks a claim has which verdict."""
    by: dict[str, list[str]] = {}
    for title, verdict in zip(titles, verdicts, strict=True):
        by.setdefault(verdict.lower() if verdict else PENDING, []).append(title)
    return "; ".join(
        f"{verdict} {'everywhere' if len(own) == len(titles) else 'on ' + ', '.join(own)}"
        for verdict, own in by.items()
    )


def tried(records: Any, runs: Any) -> dict[str, dict[str, Any]]:
    """Return title -> learning rate -> the means over trial seeds that a rate is chosen by, of a store of trials.

    Args:
        records: Of the trials.
        runs: Their descriptions.

    Returns:
        Of each rate the `loss` on the feedback split at the epoch where it is least, and the test `accuracy` there.
    """
    found: dict[str, dict[str, Any]] = {}
    configs = {run: json.loads(text) for run, text in zip(runs["run_id"], runs["config"], strict=True)}
    trained = records[records["epoch"] > 0]
    best = trained.loc[trained.groupby("run_id")["feedback_loss"].idxmin()].set_index("run_id")
    for row in ROWS:
        for lr in RATES:
            own = [run for run, config in configs.items() if _is(config, row) and config["optimizer"]["lr"] == lr]
            if own:
                means = best.loc[own, ["feedback_loss", "test_accuracy"]].mean()
                cell = {"loss": float(means["feedback_loss"]), "accuracy": float(means["test_accuracy"])}
                found.setdefault(row.title, {})[f"{lr:g}"] = cell
    return found


def _is(config: Mapping[str, Any], row: Row) -> bool:
    return (config["task"]["name"], config["model"]["name"]) == (row.task, row.model)


def stem(surrogate: str) -> str:
    """Return the name of the files of a surrogate's figure."""
    return f"architectures_{surrogate}"


def write(found: Mapping[str, Any], folder: Path) -> Path:
    """Write architectures.json into the store, and return its path."""
    text = json.dumps(found, indent=1, allow_nan=False)
    store.atomically(folder / FILE, lambda path: Path(path).write_text(text))
    return folder / FILE


def load(source: str = NAME) -> dict[str, Any] | None:
    """Return what architectures.json says of a store; None if there is none.

    Raises:
        ConfigError: If it cannot be read.
    """
    path = store.OUTPUTS / source / FILE
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        for network in found["networks"].values():
            Estimate.of_dict(network["force"])
    except (ValueError, KeyError, TypeError) as error:
        wanted = f"what python -m experiments architectures writes, got {error!r}"
        raise ConfigError(FILE, str(path), wanted) from None
    return found
