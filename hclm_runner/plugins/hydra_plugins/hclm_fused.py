"""Hydra's side of the sweep engine: `hydra/sweeper=fused` and `hydra/launcher=fused`, the defaults of this app.

This file is found as any Hydra plugin is: by standing in the namespace package hydra_plugins.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from hclm_runner.refusal import ConfigError, NoResultError

logging.getLogger("alembic").setLevel(logging.WARNING)  # which Optuna imports: it lists its plugins in our log


class FusedSweeper(BasicSweeper):
    """Hydra's basic sweeper, which also expands the grid inside each experiment of `experiment=a,b`.

    Where the launcher is ours it does not compose every job a second time to validate it: ours names those it cannot.
    """

    def setup(self, **given: Any) -> None:
        """Take what Hydra gives: hydra_context, task_function and config."""
        from hclm_runner.config.compose import without_secrets

        self.given = given
        super().setup(**given)
        self.config = without_secrets(given["config"])  # which Hydra writes to multirun.yaml; jobs are of the given one

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep.

        Raises:
            SystemExit: With the worst code of its jobs, if that is not 0.
        """
        assert self.config is not None
        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        swept = [override for override in parser.parse_overrides(arguments) if override.is_sweep_override()]
        _check_values(swept)
        experiments = next((list(o.sweep_string_iterator()) for o in swept if o.key_or_group == "experiment"), None)
        if experiments is None:
            results = super().sweep(arguments)
        else:
            rest = [text for text in arguments if not text.startswith("experiment=")]
            given, results = self.given["config"].hydra, []
            name, hydras = given.job.config_name, list(given.overrides.hydra)
            each = [[f"experiment={experiment}", *rest] for experiment in experiments]
            masters = [loader.load_configuration(name, [*hydras, *one], RunMode.MULTIRUN) for one in each]
            for master, one in zip(masters, each, strict=True):
                self.setup(**self.given | {"config": master})
                self.params, self.batch_index = dict(master.hydra.sweeper.params or {}), 0
                results += super().sweep(one) or []
        code = max((job.return_value or 0 for batch in results or [] for job in batch), default=0)
        if code:
            raise SystemExit(code)
        return results

    @staticmethod
    def split_arguments(overrides: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:
        """Return the jobs in batches, as Hydra's own sweeper.

        Raises:
            ConfigError: If a key has no values to run, or a batch no jobs.
        """
        _check_values(overrides)  # with those of the experiment
        if max_batch_size is not None and max_batch_size < 1:
            raise ConfigError("hydra.sweeper.max_batch_size", max_batch_size, "a whole number >= 1 or null")
        return BasicSweeper.split_arguments(overrides, max_batch_size)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose each job once more, for the launchers that do not say which job they cannot compose."""
        if not isinstance(self.launcher, FusedLauncher):
            super().validate_batch_is_legal(batch)


def _check_values(overrides: Sequence[Override]) -> None:
    """Refuse a key that has no values to run: a grid of no runs would end as if all went well.

    Raises:
        ConfigError: Naming the key.
    """
    for override in overrides:
        line = str(override.input_line)
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise ConfigError(line, None, "values to run, as in a,b or range(3): an interval has no number of them")
        try:
            empty = override.is_sweep_override() and not list(override.sweep_string_iterator())
        except ValueError as error:  # range(0,5,0)
            raise ConfigError(line, None, f"values to run, got {error}") from error
        if empty:
            raise ConfigError(line, None, "at least one value, got none")


class FusedLauncher(BasicLauncher):
    """Trains all jobs of a batch in a few fused bundles; one after the other where Hydra must do something for each."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Compose, train what the store lacks, and return one result a job.

        Its value is the exit code of them all; to a sweeper that searches, the job's own objective.

        Raises:
            ConfigError: If a sweeper searches and the jobs say for what not.
            SystemExit: If they were interrupted, or if one of a search was refused.
        """
        assert self.config is not None
        assert self.hydra_context is not None
        from hclm_runner import objective
        from hclm_runner.config import resolve
        from hclm_runner.config.compose import Composer
        from hclm_runner.sweeps.board import INTERRUPTED
        from hclm_runner.sweeps.engine import sweep
        from hclm_runner.terminal import say

        job = self.config.hydra.job
        if job.chdir or job.env_set or self.config.hydra.callbacks:
            say("one run after the other: hydra.job.chdir, hydra.job.env_set or hydra.callbacks asks for it")
            return super().launch(job_overrides, initial_job_idx)
        setup_globals()
        if OmegaConf.select(self.config, "sweep.job_dirs"):
            for number, overrides in enumerate(job_overrides, initial_job_idx):
                self._write_job_dir(number, list(overrides))
        composer = Composer(self.hydra_context.config_loader, self.config)
        searches = objective.searches(self.config.hydra)
        if searches:
            objective.check(resolve(composer(job_overrides[0])))
        code, runs = sweep(composer, job_overrides)
        if code == INTERRUPTED or (searches and len(runs) < len(job_overrides)):
            raise SystemExit(code)  # or the sweeper would go on
        folder = str(Path.cwd())
        if not searches:
            return [_result(overrides, folder, lambda: code) for overrides in job_overrides]
        return [
            _result(overrides, folder, partial(objective.value, run))
            for overrides, run in zip(job_overrides, runs, strict=True)
        ]

    def _write_job_dir(self, number: int, overrides: list[str]) -> None:
        """Have Hydra itself write what it would write of a job, by running one that does nothing."""
        from hclm_runner.config.compose import without_secrets

        assert self.config is not None
        assert self.hydra_context is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = str(number), number
            config.hydra.output_subdir, config.hydra.sweep.subdir = ".hydra", "jobs/${hydra.job.num}"
        run_job(
            hydra_context=self.hydra_context,
            task_function=lambda _: None,
            config=without_secrets(config),
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def _result(overrides: Sequence[str], folder: str, value: Callable[[], float]) -> JobReturn:
    result = JobReturn(overrides=overrides, working_dir=folder)
    try:
        result.return_value, result.status = value(), JobStatus.COMPLETED
    except NoResultError as error:  # raised again when the sweeper asks for the value
        result.return_value, result.status = error, JobStatus.FAILED
    return result


@dataclass
class FusedSweeperConf(BasicSweeperConf):
    """What Hydra instantiates for hydra/sweeper=fused."""

    _target_: str = "hydra_plugins.hclm_fused.FusedSweeper"
    params: dict[str, str] | None = field(default_factory=dict)  # Hydra's None takes no `hydra.sweeper.params={lam:1}`


@dataclass
class FusedLauncherConf:
    """What Hydra instantiates for hydra/launcher=fused."""

    _target_: str = "hydra_plugins.hclm_fused.FusedLauncher"


_store = ConfigStore.instance()
_store.store(group="hydra/sweeper", name="fused", node=FusedSweeperConf, provider="hclm_runner")
_store.store(group="hydra/launcher", name="fused", node=FusedLauncherConf, provider="hclm_runner")
