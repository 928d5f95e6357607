"""The answer to the page's question, from the runs: by how much each surrogate changes the test loss, at its best."""

import xarray as xr

from experiments import grid
from experiments.claims.judge import effect
from experiments.estimate import Estimate, of_seeds

MARGIN = 0.05
"""Lower by less than this share of the loss at lam = 0 is no help."""


def answer(task: str, one: xr.Dataset) -> str:
    """Return whether each surrogate of a task helps, in one sentence; empty where no run has fixed lam = 0.

    It helps if the 95% interval over seeds of the change of the final test loss lies below -5% of its mean at fixed
    lam = 0, at the regime and base lam where that is lowest.
    """
    if 0 not in one["lam0"] or "fixed" not in one["regime"]:
        return ""
    final = grid.final(one)["test_loss"]
    unit = "nats" if one["reward"].notnull().any() else ""
    helps: dict[str, list[str]] = {"yes": [], "no": []}
    for surrogate in one["surrogate"].to_numpy().tolist():
        own = final.sel(surrogate=surrogate)
        free = own.sel(regime="fixed", lam0=0, drop=True)
        change = (own - free).stack(cell=("regime", "lam0"))
        means = change.mean("seed", skipna=False)
        means = means.where(~((means["regime"] == "fixed") & (means["lam0"] == 0)))
        if means.isnull().all():
            continue
        regime, lam = means["cell"].to_numpy()[int(means.argmin("cell"))]
        found: Estimate = of_seeds(change.sel(cell=(regime, lam))).item()
        verdict = "yes" if found.high < -MARGIN * free.mean().item() else "no"
        helps[verdict].append(f"{surrogate} (test loss {effect(found, unit)}; {regime}, base lam {lam:g})")
    said = [f"{verdict} with {_listed(names)}" for verdict, names in helps.items() if names]
    return f"On {task}: {'; '.join(said)}." if said else ""


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
