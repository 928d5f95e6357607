"""What a sweep will do: which runs it has, which are missing, and in which bundles those train."""

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from hclm_runner.config import INPUTS, ConfigError, RunConfig
from hclm_runner.store import DONE

LARGEST = 80
"""Runs in a bundle: beyond about this many the cost of a run no longer falls."""

SMALLEST = 16
"""A bundle is not divided further just to keep a worker busy."""

SECONDS_PER_SAMPLE = 1.2e-6
"""Of one run and one sample of one epoch, on one thread, for the reference network: rough, and enough for dry_run's
estimate and for `compiles`."""

WORTH_COMPILING = 300.0
"""Seconds of work in a bundle beyond which `compile=auto` compiles: that costs up to a minute a bundle."""


@dataclass(frozen=True)
class Plan:
    """A sweep over one store, before it runs."""

    axes: dict[str, list[str]]
    """Key -> its values, of the keys that vary."""
    stored: int
    diverged: list[str]
    """Titles of the stored runs that diverged."""
    bundles: list[list[RunConfig]]
    workers: int
    threads: int
    device: str

    @property
    def runs(self) -> int:
        """How many runs will train."""
        return sum(map(len, self.bundles))

    @property
    def seconds(self) -> float:
        """A rough estimate of the time this takes."""
        return sum(sum(map(_seconds, bundle)) for bundle in self.bundles) / self.workers

    @property
    def gigabytes(self) -> float:
        """A rough estimate of the memory that the workers take together."""
        return max((sum(map(_bytes, bundle)) for bundle in self.bundles), default=0) * self.workers / 2**30


def compiles(bundle: list[RunConfig]) -> bool:
    """Return whether to compile a bundle: as the user says, or, left to us, if its work repays it."""
    choice = bundle[0].compile
    return sum(map(_seconds, bundle)) > WORTH_COMPILING if choice == "auto" else choice


def make_plan(configs: Mapping[str, RunConfig], known: pd.DataFrame, first: RunConfig) -> Plan:
    """Plan the runs by run_id; `known` has the store's run_id and status, `first` the execution options of all.

    Raises:
        ConfigError: If device=cuda and there is none.
    """
    device = find_device(first.device)
    status = known.loc[known["status"].isin(DONE)].set_index("run_id")["status"].to_dict()
    stored = {run_id: config for run_id, config in configs.items() if run_id in status and not config.force}
    diverged = [config.title for run_id, config in stored.items() if status[run_id] == "diverged"]
    todo = [config for run_id, config in configs.items() if run_id not in stored]
    workers = _workers(first, device)
    groups: dict[str, list[RunConfig]] = {}
    for config in todo:
        groups.setdefault(config.shape_key, []).append(config)
    budget = first.sweep.memory * 2**30 if first.sweep.memory != "auto" else _free_memory() / 2
    bundles = []
    for group in groups.values():
        fitting = int(budget / workers / max(map(_bytes, group)))
        size = first.sweep.bundle if first.sweep.bundle != "auto" else max(1, min(LARGEST, fitting))
        bundles += _divide(group, -(-len(group) // size))
    if first.sweep.bundle == "auto":
        bundles = _balance(bundles, workers)
    workers = max(1, min(workers, len(bundles)))
    threads = 1 if workers > 1 or device != "cpu" else min(2, _cores())
    return Plan(_axes(list(configs.values())), len(stored), diverged, bundles, workers, threads, device)


def find_device(wanted: str) -> str:
    """Return the device that `device=auto|cpu|cuda` means here.

    Raises:
        ConfigError: If it is cuda and there is none.
    """
    if wanted == "cpu":
        return "cpu"
    import torch

    if not torch.cuda.is_available() and wanted == "cuda":
        raise ConfigError("device", "cuda", "a machine with a CUDA device, or device=auto or cpu")
    return "cuda" if torch.cuda.is_available() else "cpu"


def _balance(bundles: list[list[RunConfig]], workers: int) -> list[list[RunConfig]]:
    """Divide the largest bundles until every worker gets as many, and put the long ones first."""
    bundles = sorted(bundles, key=len, reverse=True)
    while bundles and len(bundles) % workers and len(bundles[0]) >= 2 * SMALLEST:
        bundles = sorted([*_divide(bundles[0], 2), *bundles[1:]], key=len, reverse=True)
    return bundles


def _divide(runs: list[RunConfig], parts: int) -> list[list[RunConfig]]:
    bounds = [len(runs) * i // parts for i in range(parts + 1)]
    return [runs[a:b] for a, b in itertools.pairwise(bounds)]


def _axes(configs: list[RunConfig]) -> dict[str, list[str]]:
    """Return key -> values of what varies: of a group its name, or its options where the name is one for all."""
    keys = [key for key in RunConfig.model_fields if key not in INPUTS]
    columns = {key: [str(getattr(config, key)) for config in configs] for key in keys}
    for group in INPUTS:
        chosen = [getattr(config, group) for config in configs]
        columns[group] = [choice.name for choice in chosen]
        if len(set(columns[group])) == 1:
            columns |= {
                f"{group}.{name}": [str(choice.options.get(name)) for choice in chosen] for name in chosen[0].options
            }
    return {key: list(dict.fromkeys(values)) for key, values in columns.items() if len(set(values)) > 1}


def _workers(first: RunConfig, device: str) -> int:
    if first.sweep.workers != "auto":
        return first.sweep.workers
    return 1 if device != "cpu" else _cores()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_memory() -> float:
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return 4 * 2**30


def _samples(config: RunConfig, *splits: str) -> int:
    """Return the samples of the splits, or of all, where the task's options say how many; a guess of 1024 otherwise."""
    sizes = [config.task.options.get(split) for split in splits or ("train", "feedback", "test")]
    return sum(size if isinstance(size, int) else 1024 for size in sizes)


def _bytes(config: RunConfig) -> int:
    """Return a rough, generous estimate of a run's memory: its data and the activations of its largest pass."""
    width: int = sum(config.model.options.get("hidden", [256])) + 128
    passes = 4.0 * _samples(config) * (8 if config.dtype == "float64" else 4)
    if config.premises or config.metric_force:  # second derivatives, in float64
        passes += 12.0 * _samples(config, "train") * 8
    return int(passes * width)


def _seconds(config: RunConfig) -> float:
    """Return a rough estimate of a run's time; what is measured on request costs some passes over the training set."""
    passes = 150 * (config.premises + (config.metric_force is not None)) / config.measure_every
    return config.epochs * (_samples(config) + passes * _samples(config, "train")) * SECONDS_PER_SAMPLE
