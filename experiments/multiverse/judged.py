"""One universe, judged: each claim's verdict, its parts, and what each data set contributes to a part.

What was found is kept in the universe's store, in judged.json, and read again while neither the runs nor the code of
the claims are newer. A universe that cannot be judged is a result too: it says why.
"""

import itertools
import json
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from experiments import claims, estimate, grid
from experiments.claims import paper
from experiments.claims.claim import VIEWS, Claim, Data
from experiments.claims.judge import Part
from experiments.claims.record import row
from experiments.claims.statistics import whole
from experiments.figures.command import is_current
from hclm_runner import store, terminal
from hclm_runner.refusal import ERRORS, ConfigError, one_line

FILE = "judged.json"
CODE = [
    *Path(str(claims.__file__)).parent.rglob("*.py"),
    *(Path(str(each)) for each in (grid.__file__, estimate.__file__, __file__)),
]
WORKERS = 2

Judged = dict[str, Any]
"""`failed`: why there is nothing, or empty; `claims`: claim id -> its row of claims.json, in which each part of each
reading has its `contributions`, or {"failed": why}."""


def judge_all(folders: Sequence[Path], resamples: int) -> list[Judged]:
    """Return what each universe says, judged in two processes where it was not judged before."""
    stale = [folder for folder in folders if not _is_judged(folder, resamples)]
    if stale:
        with ProcessPoolExecutor(WORKERS) as pool:
            jobs = [pool.submit(_keep, folder, resamples) for folder in stale]
            for job in terminal.track(jobs, "judging universes"):
                job.result()
    return [json.loads((folder / FILE).read_text()) for folder in folders]


def _is_judged(folder: Path, resamples: int) -> bool:
    path = folder / FILE
    return is_current([path], [*(folder / "runs").glob("*.parquet"), *CODE]) and (
        json.loads(path.read_text())["resamples"] == resamples
    )


def _keep(folder: Path, resamples: int) -> None:
    found = {"resamples": resamples, **judge(folder, resamples)}
    text = json.dumps(found, indent=1, allow_nan=False)
    folder.mkdir(parents=True, exist_ok=True)  # of a universe that was refused there is nothing else
    store.atomically(folder / FILE, lambda path: Path(path).write_text(text))


def judge(folder: Path, resamples: int) -> Judged:
    """Judge the paper's claims in one universe, in each reading and view."""
    try:
        data = paper.read(grid.only(grid.load(folder), None), str(folder))
    except ConfigError as error:
        return {"failed": str(error), "claims": {}}
    views = {view: data.at(view) for view in VIEWS}
    return {"failed": "", "claims": {claim.id: _judge(claim, views, resamples) for claim in paper.CLAIMS}}


def _judge(claim: Claim, views: Mapping[str, Data], resamples: int) -> dict[str, Any]:
    ways = [*itertools.product(claim.readings, claim.views)]
    try:
        found = row("", claim, {(how, view): claim.judged(views[view], resamples, how) for how, view in ways})
    except ERRORS as error:  # what cannot be judged is a result of this universe, and must not end the others
        return {"failed": one_line(error)}
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        for (how, view), one in zip(ways, found["readings"], strict=True):
            parts = claim.readings[how].parts(views[view])
            for part, judged in zip(parts, one["parts"], strict=True):
                judged["contributions"] = contributions(part._replace(draws=views[view].draws))
    return found


def contributions(part: Part) -> list[float] | None:
    """Return what each data set contributes to a part, in the claimed sense, for sign flips; None if it is undefined.

    Of a ratio of means that is over - bound |under|, whose sum is 0 where the ratio is at its bound. Of another
    statistic T of n data sets, with T_-j that without data set j, it is the jackknife's pseudo-value
    n T - (n - 1) T_-j, less the bound (Tukey 1958, doi:10.1214/aoms/1177706647). Of a mean the two are the same.
    """
    data_sets = whole(part.sample).reshape(-1, part.draws).all(-1)
    n, side = int(data_sets.sum()), 1 if part.sense == ">" else -1
    if n < 2 or part.sense == "=":  # an equality has no side, so no sign
        return None
    if part.contrast is not None:
        over, under = (each.reshape(-1, part.draws)[data_sets].mean(-1) for each in part.contrast)
        found = over - part.bound * np.abs(under)
    else:
        values = part.sample[..., np.repeat(data_sets, part.draws)]
        runs = np.arange(n * part.draws).reshape(n, part.draws)
        others = np.array([np.delete(runs, j, axis=0).ravel() for j in range(n)])
        together = float(part.statistic(values[..., runs.reshape(1, -1)])[0])
        bound = 0.0 if part.chance else part.bound  # a chance is that of a positive statistic
        found = n * together - (n - 1) * part.statistic(values[..., others]) - bound
    return [side * float(x) for x in found] if np.isfinite(found).all() else None
