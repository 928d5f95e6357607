"""Many runs from Python: what `python -m hclm_runner -m ...` does, of configurations that Python made."""

import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from hclm_runner import store
from hclm_runner.config import RunConfig, configure
from hclm_runner.parts import ROOMS
from hclm_runner.refusal import ConfigError
from hclm_runner.sweeps.board import INTERRUPTED
from hclm_runner.sweeps.engine import execute


def sweep(configs: RunConfig | Iterable[RunConfig], *, name: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train those of the runs that their store lacks, in any mix of parts and sizes, and return what it has of them.

    This is a multirun of the command line: bundles in processes of their own, one summary at the end, and the same
    call again trains only what is missing or failed. A run that fails does not stop the others: its `status` says so.

    With sweep.on=slurm it does not wait: it submits what is missing and returns what the store has by now. `python -m
    hclm_runner.sweeps wait <store>` waits, and the same call then returns the rest.

    Args:
        configs: What `configure` returned. The `device`, `callbacks` and `sweep` options of the first hold for all.
        name: The store, `outputs/<name>/`; that of the configurations unless given.

    Returns:
        (records, runs), as `load` returns them, of these runs alone and in their order.

    Raises:
        ConfigError: If there is no configuration, they name several stores and `name` is not given, or a part is
            defined in the notebook or script itself, where no other process can import it.
        KeyboardInterrupt: After Ctrl-C, once what is finished is written.
        RuntimeError: If the sweep ended before all runs were tried: the summary says why.
    """
    runs = [configs] if isinstance(configs, RunConfig) else list(configs)
    _check(runs)
    if name is not None:
        checked = configure(name=name).name
        runs = [run.model_copy(update={"name": checked}) for run in runs]
    names = list(dict.fromkeys(run.name for run in runs))
    if len(names) > 1:
        raise ConfigError("name", ", ".join(names), "one store for all runs, as in sweep(configs, name=...)")
    if execute(runs) == INTERRUPTED:
        raise KeyboardInterrupt
    found = _stored(names[0], [run.run_id for run in runs])
    missing = {run.run_id for run in runs} - set(found[1]["run_id"])
    if missing and not runs[0].sweep.dry_run and runs[0].sweep.on != "slurm":
        raise RuntimeError(f"runs that were not reached: {len(missing)}; the same call again trains them")
    return found


def _check(runs: Sequence[RunConfig]) -> None:
    """Refuse what no process could train."""
    if not runs or not all(isinstance(run, RunConfig) for run in runs):
        raise ConfigError("configs", None, "configurations, as in sweep([configure(seed=0), configure(seed=1)])")
    for run in runs:
        for group in ROOMS:
            target = getattr(run, group).target
            if re.split("[.:]", target)[0] == "__main__":
                wanted = "a part in a module of its own (a file that other processes can import)"
                raise ConfigError(f"{group}._target_", target, wanted)


def _stored(name: str, ids: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the records and the descriptions that a store has of some runs, in the order of their ids."""
    folder, known = store.OUTPUTS / name, store.index(store.OUTPUTS / name, [])
    order = {run_id: place for place, run_id in enumerate(dict.fromkeys(ids))}
    if not known["run_id"].isin(order).any():  # after a dry run there may be no store
        return pd.DataFrame(columns=["run_id"]), pd.DataFrame(columns=["run_id", "status"])
    records, runs = store.load(folder)
    return _chosen(records, order, "epoch"), _chosen(runs, order)


def _chosen(frame: pd.DataFrame, order: Mapping[str, int], *then: str) -> pd.DataFrame:
    """Return the rows of some runs, in their order, and of one run in that of other columns."""
    placed = frame.assign(place=frame["run_id"].map(order)).dropna(subset="place")
    return placed.sort_values(["place", *then], ignore_index=True).drop(columns="place")
