"""The paper's grid by this runner and by a program in JAX, in turn on the same cores.

    pip install --editable '.[bench]'
    python -m experiments benchmark jax            # a round: about twice what the grid takes the runner
    python -m experiments benchmark jax --full     # three rounds
    python -m experiments benchmark jax --quick    # a few short runs, to see that it works

The program (`jax_program`) computes the same columns, but those on request: on a few runs they are first compared with
the trainer's, in float64, and must agree. Then the grid is trained, in float32, by

- hclm_runner: `python -m hclm_runner -m experiment=paper compile=false` in an empty folder;
- compiled, cold and warm: the same with `compile=true`, without and with the code that torch has generated;
- JAX, cold: a process a core, each with its part of the seeds, one program a surrogate, compiled and run;
- JAX, warm: the same with the compilation cache that the cold one has left.

JAX's processes have one thread and a core each. They take configurations, data and random numbers from the runner's
own code, so that they import torch as well (`start`, which is reported apart); they write their rows as numpy arrays
instead of a store.

Reported are wall time; CPU time of all processes of a command, sampled four times a second; and milliseconds of a
process for a run and epoch, of training alone: from the start of a bundle's process to its end, and of JAX's program
without its compilation. The numbers go to outputs/benchmark_jax.json with the machine's description.
"""

import importlib.metadata
import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import psutil
from joblib import cpu_count
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from experiments.benchmarks.step import describe_machine
from experiments.benchmarks.sweep import family
from experiments.grid import REGIMES, SURROGATES
from hclm_runner import store
from hclm_runner.config import RunConfig, configure
from hclm_runner.records import COLUMNS, ON_REQUEST
from hclm_runner.refusal import ConfigError
from hclm_runner.sweeps.engine import ENVIRONMENT

TOLERANCE = 1e-9
"""Of a column, relative to its largest value, or to 1e-6 if that is less: `other` is nothing but rounding. The two sum
in different orders, which is 1e-15 at first and a hundred times as much after a few epochs."""

ALONE = ENVIRONMENT | {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "OMP_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
}
"""Environment of a process of JAX's: one thread, and memory kept as the runner's processes keep it."""


class Grid(NamedTuple):
    """What is trained: each surrogate, law, lam and seed."""

    lams: Sequence[float]
    seeds: int
    epochs: int
    rounds: int

    def runs(self, surrogate: str, seeds: Sequence[int], dtype: str = "float32") -> list[RunConfig]:
        """Return the runs of a surrogate and some of the seeds, in the order that `jax_program.program` wants."""
        one = [f"surrogate={surrogate}", f"dtype={dtype}", f"epochs={self.epochs}", "device=cpu"]
        chosen = itertools.product(seeds, REGIMES, self.lams)
        return [configure([*one, f"seed={seed}", f"regime={law}", f"lam={lam}"]) for seed, law, lam in chosen]

    @property
    def run_epochs(self) -> int:
        """How many epochs are trained, over all runs."""
        return len(SURROGATES) * len(REGIMES) * len(self.lams) * self.seeds * self.epochs


PAPER = (0, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1, 3)
GRIDS = {
    "default": Grid(PAPER, seeds=10, epochs=120, rounds=1),
    "full": Grid(PAPER, seeds=10, epochs=120, rounds=3),
    "quick": Grid((0.1,), seeds=2, epochs=3, rounds=1),
}
COMPARED = Grid((0, 0.1, 3), seeds=2, epochs=8, rounds=1)
"""The runs whose rows are compared: beyond the laws' warm-up."""


def disagreement(grid: Grid, surrogate: str) -> dict[str, float]:
    """Return column -> how far JAX's rows of a surrogate and the trainer's are `apart`, in float64."""
    from experiments.benchmarks.jax_program import program
    from hclm_runner.training.trainer import train

    runs = grid.runs(surrogate, range(grid.seeds), "float64")
    compiled, arguments = program(runs)
    theirs = {name: np.asarray(values).reshape(len(runs), -1) for name, values in compiled(*arguments).items()}
    found = {name: 0.0 for name in COLUMNS if name not in ON_REQUEST}
    for law in REGIMES:
        of_law = [place for place, run in enumerate(runs) if run.regime.name == law]
        ours = train([runs[place] for place in of_law]).columns
        for name, before in found.items():
            found[name] = max(before, apart(ours[name], theirs[name][of_law]))
    return found


def apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the largest difference of two columns, as TOLERANCE has it; infinite where only one has a number."""
    there = ~np.isnan(a)
    if (there == np.isnan(b)).any():
        return np.inf
    return float(np.abs(a - b)[there].max(initial=0) / np.abs(a)[there].max(initial=1e-6))


def compare(console: Console) -> None:
    """Compare the rows of both, and say how far they are apart.

    Raises:
        SystemExit: If that is farther than TOLERANCE.
    """
    found = {surrogate: disagreement(COMPARED, surrogate) for surrogate in SURROGATES}
    worst, name, surrogate = max((value, name, of) for of, columns in found.items() for name, value in columns.items())
    runs, where = COMPARED.run_epochs // COMPARED.epochs, f"{surrogate}, {name}"
    console.print(f"{runs} runs of {COMPARED.epochs} epochs in float64: apart by at most {worst:.1e} ({where})")
    if not worst <= TOLERANCE:
        raise SystemExit(f"error: that is more than {TOLERANCE}: the two do not compute the same")


@contextmanager
def timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Add the wall time of a block to that of a phase."""
    start = time.perf_counter()
    yield
    seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - start


def work(scale: str, worker: int, workers: int) -> dict[str, float]:
    """Train a part of the seeds in this process, on a core of its own, and write the rows; return seconds by phase."""
    seconds, grid = dict[str, float](), GRIDS[scale]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[worker]})
    import torch

    from experiments.benchmarks.jax_program import program

    torch.set_num_threads(1)
    seconds["start"] = time.time() - psutil.Process().create_time()
    for surrogate in SURROGATES:
        with timed(seconds, "compose and draw"):
            mapped, arguments = program(grid.runs(surrogate, range(worker, grid.seeds, workers)))
        with timed(seconds, "compile"):
            compiled = mapped.lower(*arguments).compile()
        with timed(seconds, "run"):
            rows = [np.asarray(values) for values in compiled(*arguments).values()]
        with timed(seconds, "write"):
            np.save(f"{surrogate}-{worker}.npy", np.stack(rows))
    return seconds


class Cost(NamedTuple):
    """What training the grid took, in seconds."""

    wall: float
    cpu: float
    training: float
    """Of all processes together."""
    phases: dict[str, float]
    """Of the process that took longest, where that says so."""


def finish(
    commands: Sequence[Sequence[str]], folder: str, environment: dict[str, str], codes: Collection[int] = (0,)
) -> tuple[float, float, list[str]]:
    """Run commands of Python side by side in a folder; return wall time, CPU time, and the last line of each.

    Raises:
        SystemExit: If the exit code of one is none of `codes`.
    """
    logs = [Path(folder, f"{place}.log") for place in range(len(commands))]
    spent: dict[int, float] = {}
    start = time.perf_counter()
    processes: list[subprocess.Popen[bytes]] = []
    for command, log in zip(commands, logs, strict=True):
        line, given = [sys.executable, *command], os.environ | environment
        with log.open("w") as file:
            processes.append(subprocess.Popen(line, cwd=folder, env=given, stdout=file, stderr=file))
    while running := [process for process in processes if process.poll() is None]:
        for pid in (member for process in running for member in family(process.pid)):
            with suppress(psutil.NoSuchProcess):
                spent[pid] = sum(psutil.Process(pid).cpu_times()[:2])
        time.sleep(0.25)
    wall, printed = time.perf_counter() - start, [log.read_text().strip() for log in logs]
    for process, text in zip(processes, printed, strict=True):
        if process.returncode not in codes:
            raise SystemExit(f"error: exit code {process.returncode} of {process.args!r}:\n{text[-2000:]}")
    return wall, sum(spent.values()), [text.rpartition("\n")[2] for text in printed]


def by_the_runner(grid: Grid, cache: str | None = None) -> Cost:
    """Train the grid with `python -m hclm_runner`; compiled, where there is a folder for what torch generates."""
    values = [f"lam={','.join(map(str, grid.lams))}", f"seed=range({grid.seeds})", f"epochs={grid.epochs}"]
    command = ["-m", "hclm_runner", "-m", "experiment=paper", *values, "device=cpu"]
    command += [f"compile={'true' if cache else 'false'}"]
    with tempfile.TemporaryDirectory() as folder:
        kept = {"TORCHINDUCTOR_CACHE_DIR": cache} if cache else {}
        wall, cpu, _ = finish([command], folder, kept, codes=(0, 1))  # 1: a run diverged
        runs = pd.read_parquet(Path(folder, store.OUTPUTS, "paper", "runs"))
    return Cost(wall, cpu, runs["wall_time"].sum(), {})


def by_jax(scale: str, cache: str) -> Cost:
    """Train the grid with the program in JAX, which keeps what it compiles in the folder `cache`."""
    workers = min(cpu_count(), GRIDS[scale].seeds)
    kept = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    commands = [["-m", __name__, scale, str(worker), str(workers)] for worker in range(workers)]
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu, printed = finish(commands, folder, {**ALONE, **kept})
    phases: list[dict[str, float]] = list(map(json.loads, printed))
    return Cost(wall, cpu, sum(each["run"] for each in phases), max(phases, key=lambda each: sum(each.values())))


def measure(scale: str) -> dict[str, list[Cost]]:
    """Return who -> what the grid took in each round."""
    grid, who = GRIDS[scale], ("hclm_runner", "JAX, cold", "JAX, warm", "compiled, cold", "compiled, warm")
    costs: dict[str, list[Cost]] = {each: [] for each in who}
    for _ in track(range(grid.rounds), "measuring", transient=True):
        costs["hclm_runner"].append(by_the_runner(grid))
        for name, by in (("JAX", partial(by_jax, scale)), ("compiled", partial(by_the_runner, grid))):
            with tempfile.TemporaryDirectory() as cache:
                costs[f"{name}, cold"].append(by(cache))
                costs[f"{name}, warm"].append(by(cache))
    return costs


def tabulate(costs: dict[str, list[Cost]], run_epochs: int) -> Table:
    """Return a column for each: the medians over rounds, and of the runner's time by its within a round."""
    table, ours = Table("", *costs), costs["hclm_runner"]
    shown = {
        "wall": ("wall, s", 1.0),
        "cpu": ("CPU, s", 1.0),
        "training": ("training, ms a run and epoch", 1e3 / run_epochs),
    }
    for field, (name, unit) in shown.items():
        medians = (statistics.median(getattr(cost, field) for cost in rounds) for rounds in costs.values())
        table.add_row(name, *(f"{median * unit:.2f}" for median in medians))
    for field, (name, _) in shown.items():
        pairs = (zip(ours, rounds, strict=True) for rounds in costs.values())
        ratios = (statistics.median(getattr(a, field) / getattr(b, field) for a, b in pair) for pair in pairs)
        table.add_row(f"hclm_runner / this, {name.partition(',')[0]}", *(f"{ratio:.2f}" for ratio in ratios))
    return table


def measure_and_write(scale: str) -> None:
    """Compare the rows, measure the grid of a scale, print the table, write the JSON.

    Raises:
        ConfigError: If there is no JAX.
    """
    if importlib.util.find_spec("jax") is None:
        raise ConfigError("benchmark", "jax", "JAX to be installed: pip install --editable '.[bench]'")
    grid, console = GRIDS[scale], Console()
    machine = describe_machine() | {"jax": importlib.metadata.version("jax")}
    compare(console)
    costs = measure(scale)
    console.print(f"{grid.run_epochs // grid.epochs} runs of {grid.epochs} epochs, {scale}: {machine}")
    console.print(tabulate(costs, grid.run_epochs))
    for who in ("JAX, cold", "JAX, warm"):
        phases = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in costs[who][-1].phases.items())
        console.print(f"{who}: {phases}")
    path = Path("outputs") / ("benchmark_jax_quick.json" if scale == "quick" else "benchmark_jax.json")
    path.parent.mkdir(exist_ok=True)
    kept = {who: [cost._asdict() for cost in rounds] for who, rounds in costs.items()}
    path.write_text(json.dumps({"machine": machine, "scale": scale, "costs": kept}, indent=1))
    console.print(f"  {path}")


if __name__ == "__main__":
    print(json.dumps(work(sys.argv[1], *map(int, sys.argv[2:]))))
