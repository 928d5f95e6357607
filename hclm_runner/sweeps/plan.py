"""What a sweep will do: which runs it has, which are missing, and in which bundles those train."""

import functools
import itertools
import json
import math
import os
import shutil
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
import psutil

from hclm_runner.config import RunConfig
from hclm_runner.config.schema import SlurmOptions
from hclm_runner.parts import ROOMS
from hclm_runner.refusal import ConfigError
from hclm_runner.store import answers

LARGEST = 80
"""Runs in a bundle: beyond about this many the cost of a run no longer falls."""

SMALLEST = 16
"""A bundle is not divided further just to keep a worker busy."""

SECONDS_PER_PRODUCT = 2.7e-10
"""Of one run, one sample that it trains on or measures, and one product of a weight, on one thread: rough (a
microsecond a sample for the 3,648 products of the reference network), and enough to order bundles, for `dry_run`'s
estimate and for `compile=auto`."""

WORTH_COMPILING = 120.0
"""Seconds of work of the runs that share their programs beyond which `compile=auto` compiles: torch takes half a minute
of a core to write them, and they save a quarter of a sweep."""

NOT_IN_PROGRAMS = "regime", "feedback", "epochs"
"""What of a shape the steps and measurements that are compiled do not depend on."""

Group = tuple[str, str | None]
"""Of runs that may train together: their shape key, and the epoch from which a checkpoint goes on."""


class Size(NamedTuple):
    """What one run takes: rough, and generous for memory."""

    bytes: float
    seconds: float
    alone: bool = False
    """Whether such runs train one after the other: a bundle of several gains nothing, and a kill would lose more."""
    small: bool = False
    """Whether it is small enough to gain from programs: a large network's time is that of its products."""


@dataclass(frozen=True)
class Plan:
    """A sweep over one store, before it runs."""

    axes: dict[str, list[str]]
    """Key -> its values, of the keys that vary."""
    stored: int
    diverged: list[str]
    """Titles of the stored runs that diverged."""
    bundles: list[list[RunConfig]]
    """The one with the most work first. Those of which compile is True are compiled, `compile=auto` is decided."""
    sizes: Mapping[str, Size]
    """Shape key -> what one such run takes."""
    workers: int
    threads: int
    device: str

    @property
    def runs(self) -> int:
        """How many runs will train."""
        return sum(map(len, self.bundles))

    def work(self, bundle: list[RunConfig]) -> float:
        """Return the seconds of one thread that a bundle takes, roughly."""
        return _work(bundle, self.sizes)

    def compiles(self, bundle: list[RunConfig]) -> bool:
        """Return whether a bundle is compiled, which is for a CPU."""
        return self.device == "cpu" and bundle[0].compile is True

    @property
    def seconds(self) -> float:
        """A rough estimate of the time this takes."""
        return sum(map(self.work, self.bundles)) / self.workers

    @property
    def gigabytes(self) -> float:
        """A rough estimate of the memory that the workers take together."""
        largest = max((len(bundle) * self.sizes[bundle[0].shape_key].bytes for bundle in self.bundles), default=0)
        return largest * self.workers / 2**30


def repays(size: Size, seconds: float) -> bool:
    """Return whether to compile, if it is left to us, programs with work of so many seconds of runs of a size."""
    return size.small and seconds > WORTH_COMPILING and _compiler() is not None


def _compiler() -> str | None:
    """Return the path of the C++ compiler that torch would call; None if there is none."""
    return shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++"))


def make_plan(
    configs: Mapping[str, RunConfig],
    known: pd.DataFrame,
    first: RunConfig,
    begun: Mapping[str, str] | None = None,
    apart: Sequence[list[RunConfig]] = (),
) -> Plan:
    """Plan the runs by run_id.

    Args:
        configs: The runs.
        known: The store's index.
        first: The execution options of all.
        begun: The checkpoint of a run that has one: what is in a bundle goes on from the same epoch.
        apart: Some of the runs, in bundles that stay as they are.

    Raises:
        ConfigError: If device=cuda and there is none.
    """
    there = stored(configs, known)
    diverged = [config.title for run_id, config in configs.items() if there.get(run_id) == "diverged"]
    planned = {run.run_id for bundle in apart for run in bundle}
    missing = [run_id for run_id in configs if run_id not in there and run_id not in planned]
    shapes = {run_id: config.shape_key for run_id, config in configs.items()} if missing or apart else {}
    groups: dict[Group, list[RunConfig]] = {}
    for run_id in missing:
        groups.setdefault((shapes[run_id], (begun or {}).get(run_id)), []).append(configs[run_id])
    # No scheduler is asked where nothing is left to train.
    device, workers, budget = _place(first) if groups or apart else ("cpu", 1, math.inf)
    one_of = {bundle[0].shape_key: bundle[0] for bundle in (*apart, *groups.values())}
    sizes = {key: size_of(run, device) for key, run in one_of.items()}
    parts = {}
    for (key, begun_at), group in groups.items():
        fitting = budget / workers / sizes[key].bytes
        largest = 1 if sizes[key].alone else max(1, int(min(LARGEST, fitting)))
        size = first.sweep.bundle if first.sweep.bundle != "auto" else largest
        parts[key, begun_at] = -(-len(group) // size)
    if first.sweep.bundle == "auto":
        _balance(parts, groups, workers, sizes)
    bundles = [bundle for key, group in groups.items() for bundle in _divide(group, parts[key])]
    bundles += apart
    if first.compile == "auto":
        at_once = min(workers, -(-len(configs) // SMALLEST))
        bundles = _decided(bundles, Counter(shapes.values()), sizes, at_once if first.sweep.on == "local" else None)
    bundles = _most_first(bundles, sizes)
    workers = max(1, min(workers, len(bundles)))
    threads = 1 if workers > 1 or device != "cpu" else min(2, _cores())
    axes = _axes(configs.values())
    return Plan(axes, len(there), diverged, bundles, sizes, workers, threads, device)


def stored(configs: Mapping[str, RunConfig], known: pd.DataFrame) -> dict[str, str]:
    """Return run_id -> status, of those of the runs that a store of this index need not train again."""
    there = known[["run_id", "status", "parameters"]].itertuples(index=False)
    return {key: found[0] for key, *found in there if key in configs and answers(configs[key], *found)}


def _place(first: RunConfig) -> tuple[str, int, float]:
    """Return device, workers, and the bytes that all workers may take; of a cluster, where a task finds its device."""
    if first.sweep.on != "local":
        asked = first.cluster
        if isinstance(asked, SlurmOptions):
            there: str = "cpu" if first.device == "auto" and not asked.gpus else first.device
            return there, asked.parallel, (asked.memory or math.inf) * asked.parallel * 2**29
        from hclm_runner.sweeps import dask

        slots, share = dask.room(asked.address)
        return "cpu" if first.device == "auto" else first.device, max(1, slots), share * max(1, slots)
    device = find_device(first.device)
    budget = first.sweep.memory * 2**30 if first.sweep.memory != "auto" else free_memory(device) / 2
    return device, _workers(first, device), budget


def size_of(run: RunConfig, device: str = "cpu") -> Size:
    """Return what a run takes on a device, asked of its task and its model: both are made once.

    A part that cannot be made takes nothing here: its bundle is refused when it trains, with the reason.
    """
    # Here, because torch takes seconds to import, and a stored sweep needs none.
    from hclm_runner.training.cost import PIECE, Cost, largest_piece, of_sample, trains_alone
    from hclm_runner.training.problem import DRAWS, Problem

    try:
        problem = Problem.of(run)
    except ConfigError:
        return Size(1.0, 0.0)
    parameters = sum(size for *_, size in problem.layout)
    try:
        cost = of_sample(problem)
        piece = largest_piece(problem, cost)
    except Exception:  # noqa: BLE001 - a model that does not run is refused when it trains
        cost, piece = Cost(0.0, float(parameters), 0.0, float(parameters)), PIECE
    samples = {name: len(x) for name, (x, _) in problem.task.splits().items()}
    measured = samples | {"train": run.measure_samples or samples["train"]}
    asked = run.premises + (run.metric_force is not None)
    # Forward and backward keep what a layer returns up to four times, of a piece of each split; a step, eight vectors
    # of the length of theta. Of the training set all samples are there, and the head reads them with draws of noise.
    in_pieces = 4.0 * sum(min(n, piece) for n in measured.values()) * cost.floats
    floats_kept = in_pieces + (cost.x + 4 * DRAWS * cost.head) * measured["train"] + 8 * parameters
    # On request: second derivatives, and the vectors of Lanczos' method, in float64.
    doubles_kept = (12.0 * measured["train"] * cost.floats + 30 * parameters) if asked else 0
    passes = samples["train"] + sum(measured.values()) + 150 * asked / run.measure_every * measured["train"]
    memory = floats_kept * (8 if run.dtype == "float64" else 4) + doubles_kept * 8
    seconds = run.epochs * passes * cost.products * SECONDS_PER_PRODUCT
    alone = trains_alone(cost, run.batch_size, device)
    small = device == "cpu" and not alone and measured["train"] <= piece
    return Size(memory, seconds, alone, small)


def _work(bundle: list[RunConfig], sizes: Mapping[str, Size]) -> float:
    """Return the seconds of one thread that a bundle takes."""
    return len(bundle) * sizes[bundle[0].shape_key].seconds


def _decided(
    bundles: Sequence[list[RunConfig]], shapes: Mapping[str, int], sizes: Mapping[str, Size], at_once: int | None
) -> list[list[RunConfig]]:
    """Return bundles with `compile=auto` decided, by the shapes of all runs of the sweep, those in the store too.

    The first of the processes that train `at_once` writes a program, and the others wait for it: what it saves must
    repay both. A task of a cluster, where that is None, may find no program that others have written.
    """
    programs = Counter[str]()
    for key, count in shapes.items():
        programs[_program(key)] += count
    work = {_program(key): programs[_program(key)] * size.seconds for key, size in sizes.items()}

    def repaid(bundle: list[RunConfig]) -> bool:
        size, own = sizes[bundle[0].shape_key], work[_program(bundle[0].shape_key)]
        return repays(size, min(own, sum(work.values()) / at_once) if at_once else _work(bundle, sizes))

    return [
        [run.model_copy(update={"compile": True}) for run in bundle] if repaid(bundle) else bundle for bundle in bundles
    ]


@functools.cache
def _program(shape_key: str) -> str:
    """Return what of a shape its programs follow from."""
    shape = json.loads(shape_key)
    return json.dumps({key: shape[key] for key in shape if key not in NOT_IN_PROGRAMS})


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


def _balance(
    parts: dict[Group, int], groups: Mapping[Group, list[RunConfig]], workers: int, sizes: Mapping[str, Size]
) -> None:
    """Divide the groups of which the parts are most work further until every worker gets as many, none a crumb."""
    while sum(parts.values()) % workers:
        divisible = [key for key, group in groups.items() if len(group) >= (parts[key] + 1) * SMALLEST]
        if not divisible:
            break
        parts[max(divisible, key=lambda key: _work(groups[key], sizes) / parts[key])] += 1


def _most_first(bundles: list[list[RunConfig]], sizes: Mapping[str, Size]) -> list[list[RunConfig]]:
    """Return the bundle with the most work first; of equal ones those whose programs are not the same."""
    before, ranks = Counter[tuple[str, int]](), list[tuple[float, int]]()
    for bundle in bundles:
        program = _program(bundle[0].shape_key), len(bundle)
        ranks.append((-_work(bundle, sizes), before[program]))
        before[program] += 1
    return [bundles[i] for i in sorted(range(len(bundles)), key=ranks.__getitem__)]


def _divide(runs: list[RunConfig], parts: int) -> list[list[RunConfig]]:
    bounds = [len(runs) * i // parts for i in range(parts + 1)]
    return [runs[a:b] for a, b in itertools.pairwise(bounds)]


def _axes(configs: Collection[RunConfig]) -> dict[str, list[str]]:
    """Return key -> values of what varies: of a group its label, or its options where the name is one for all."""
    axes: dict[str, list[object]] = {}
    for key in RunConfig.model_fields:
        # Runs of a grid share their values.
        values = list({id(value): value for value in (getattr(config, key) for config in configs)}.values())
        if key not in ROOMS:
            axes[key] = values
        elif len({choice.name for choice in values}) == 1:
            axes |= {f"{key}.{name}": [choice.options.get(name) for choice in values] for name in values[0].options}
        else:
            axes[key] = [config.label_of(key) for config in configs]
    shown = {key: list(dict.fromkeys(map(str, values))) for key, values in axes.items()}
    return {key: values for key, values in shown.items() if len(values) > 1}


def _workers(first: RunConfig, device: str) -> int:
    if first.sweep.workers != "auto":
        return first.sweep.workers
    return 1 if device != "cpu" else _cores()


def _cores() -> int:
    """Return the cores that this process may use: affinity, and what a container's cgroup allows."""
    from joblib import cpu_count

    return int(cpu_count())


def free_memory(device: str) -> float:
    """Return the free bytes of the machine, or of the GPU where that is the device."""
    if device != "cpu":
        import torch

        return float(torch.cuda.mem_get_info()[0])
    return float(psutil.virtual_memory().available)
