"""One universe, judged: each claim's verdict, its parts, and what each data set contributes to a part.

What was found is kept in the universe's store, in judged.json, and read again while neither the runs nor the code of
the claims are newer. A universe that cannot be judged is a result too: it says why.
"""

import json
import math
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from experiments import claims, estimate, grid
from experiments.claims import paper
from experiments.claims.claim import Claim, Data
from experiments.claims.judge import Part
from experiments.claims.record import row
from experiments.claims.statistics import Array, whole
from experiments.figures.command import is_current
from hclm_runner import store, terminal
from hclm_runner.refusal import ConfigError

FILE = "judged.json"
CODE = [
    *Path(str(claims.__file__)).parent.rglob("*.py"),
    *(Path(str(each)) for each in (grid.__file__, estimate.__file__, __file__)),
]
WORKERS = 2

Judged = dict[str, Any]
"""`failed`: why there is nothing, or empty; `claims`: claim id -> its row of claims.json, each part with its
`contributions`, or {"failed": why}."""


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
    """Judge the paper's claims in one universe."""
    try:
        data = paper.read(grid.only(grid.load(folder), None), str(folder))
    except ConfigError as error:
        return {"failed": str(error), "claims": {}}
    return {"failed": "", "claims": {claim.id: _judge(claim, data, resamples) for claim in paper.CLAIMS}}


def _judge(claim: Claim, data: Data, resamples: int) -> dict[str, Any]:
    try:
        found = row("", claim, claim.judged(data, resamples))
    except ConfigError as error:
        return {"failed": str(error)}
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        parts = claim.parts(data)
    for part, judged in zip(parts, found["parts"], strict=True):
        judged["contributions"] = contributions(part)
    return found


def contributions(part: Part) -> list[float] | None:
    """Return what each seed contributes to a part, in the claimed sense, which a sign flip turns; None if undefined.

    With the statistic T of n seeds and T_-j without seed j, the jackknife's pseudo-value n T - (n - 1) T_-j, less the
    bound (Tukey 1958, doi:10.1214/aoms/1177706647). Of a mean it is the seed's own value.
    """
    values = part.sample[..., whole(part.sample)]
    n = values.shape[-1]
    if n < 2 or part.sense == "=":  # an equality has no side, so no sign
        return None
    others = np.array([np.delete(np.arange(n), j) for j in range(n)])

    def statistic(chosen: Any) -> Array:
        return part.statistic(values[..., chosen])

    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        pseudo = n * float(statistic(np.arange(n))) - (n - 1) * statistic(others)
    found = (pseudo - (0.0 if part.chance else part.bound)) * (1 if part.sense == ">" else -1)
    return [float(x) for x in found] if all(map(math.isfinite, found)) else None
