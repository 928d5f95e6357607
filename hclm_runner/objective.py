"""What a run is worth to a sweeper that searches, such as Optuna's: the final value that `objective` names."""

import math

from hydra.conf import HydraConf
from hydra.types import RunMode
from omegaconf import DictConfig

from hclm_runner.config import RunConfig
from hclm_runner.refusal import ConfigError, NoResultError

GRIDS = ("fused", "basic")
"""The options of hydra/sweeper that run what they are given; any other chooses the next runs by the last ones'."""


def searches(hydra: HydraConf | DictConfig) -> bool:
    """Return whether these are jobs of a sweeper that chooses them by the objective of earlier ones."""
    return hydra.mode == RunMode.MULTIRUN and hydra.runtime.choices.get("hydra/sweeper") not in GRIDS


def check(run: RunConfig) -> None:
    """Refuse a run that a search could not learn from.

    Raises:
        ConfigError: If it has no objective, or would not train.
    """
    if run.objective is None:
        raise ConfigError("objective", "null", "feedback_loss, which a search such as hydra/sweeper=optuna minimises")
    if run.sweep.dry_run:
        raise ConfigError("sweep.dry_run", "true", "false: a search chooses its runs by the results of earlier ones")


def value(run: RunConfig) -> float:
    """Return a run's `objective` from its store: the mean over its last 5 epochs, in nats; infinity if it diverged.

    Raises:
        NoResultError: If the store has no result of it.
    """
    from hclm_runner import store  # pandas takes half a second to import, and refusals need none of it
    from hclm_runner.analysis import final

    folder = store.OUTPUTS / run.name
    known = store.find(folder, run.run_id)
    if known is None:
        raise NoResultError(f"{run.title} has no result, so a search cannot go on from it")
    if known["status"] == "diverged":
        return math.inf
    return float(final(store.read_records(folder, run.run_id))[str(run.objective)])
