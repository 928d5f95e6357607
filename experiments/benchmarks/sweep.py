"""A sweep next to stock Hydra: what a job costs besides training, wall time, memory, and cost as the sweep grows.

    python -m experiments benchmark sweep
    python -m experiments benchmark sweep --full     # three rounds, and growth to 28800 runs: half an hour more
    python -m experiments benchmark sweep --quick    # tiny versions of everything, to see that it works

Stock Hydra is its basic sweeper with its basic or joblib launcher, on the same configuration, with a task of a few
lines: it does nothing, or trains one run with the same trainer and writes it as our store does, without our pictures
and locks. It would need hours, so it is timed on two samples of the paper's runs, each pair of surrogate and regime
as often, and what the larger costs beyond the smaller is extrapolated. Each command is a process of its own in an
empty folder. Memory (GiB) is the peak, over samples four times a second, of what the command's processes take together,
pages that they share counted once (PSS); that of basic and joblib is the larger sample's. Files are those that a
command leaves under outputs/.
The numbers go to outputs/benchmark_sweep.json with the machine's description.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table

from experiments.benchmarks.step import describe_machine

FUSED = ["-m", "hclm_runner", "-m"]
STOCK = ["stock.py", "-m", "hydra/sweeper=basic"]
LAMS = "0,0.003,0.01,0.03,0.1,0.3,1,3"

LAUNCHERS = {
    "basic": (["hydra/launcher=basic"], 1, 2),
    "joblib": (["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], 2, 4),
}
"""Options, and the seeds of the two samples, which give each process as many runs."""

Timing = dict[str, float | str]

TASK = """
import hydra, torch
from hclm_runner import store
from hclm_runner.config import CONF, resolve
from hclm_runner.records import describe
from hclm_runner.training.trainer import train

@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def task(cfg):
    if {trains}:
        torch.set_num_threads(1)
        records = train([resolve(cfg)])
        store.write(store.OUTPUTS / "stock", records.frame(), describe(records, "cpu", 0.0))

if __name__ == "__main__":
    store.prepare(store.OUTPUTS / "stock")
    task()
"""


class Scale(NamedTuple):
    """How much is measured; jobs are the paper's 9 pairs of surrogate and regime x values of lam x seeds."""

    lams: str
    epochs: int
    overhead: tuple[int, ...]
    """Seeds of the sweeps whose overhead is measured."""
    rounds: int
    sweep: int
    """Seeds of the sweep that is run to its end."""
    growth: tuple[int, ...]
    """Seeds of the sweeps that grow."""
    growth_epochs: int

    def jobs(self, seeds: int) -> int:
        """Return the size of the grid with so many seeds."""
        return 9 * len(self.lams.split(",")) * seeds

    def grid(self, seeds: int, epochs: int) -> list[str]:
        """Return the grid on the command line."""
        return ["experiment=paper", f"lam={self.lams}", f"seed=range({seeds})", f"epochs={epochs}"]


SCALES = {
    "default": Scale(LAMS, 120, overhead=(10, 139), rounds=1, sweep=10, growth=(10, 100), growth_epochs=12),
    "full": Scale(LAMS, 120, overhead=(10, 139), rounds=3, sweep=10, growth=(10, 100, 400), growth_epochs=12),
    "quick": Scale("0", 1, overhead=(2, 3), rounds=1, sweep=2, growth=(1, 2), growth_epochs=1),
}


class Cost(NamedTuple):
    """What a command took."""

    seconds: float
    gigabytes: float
    files: int = 0


class Command(NamedTuple):
    """A command line after `python`, and, of stock Hydra's, whether its jobs train."""

    arguments: Sequence[str]
    trains: bool = True


def run(command: Command) -> Cost:
    """Run a command in an empty folder and return what it took.

    Raises:
        SystemExit: If it ends with anything but 0, or 1, which a grid with a run that diverges has.
    """
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        (Path(folder) / "stock.py").write_text(TASK.format(trains=command.trains))
        start, peak = time.perf_counter(), 0.0
        line = [sys.executable, *command.arguments]
        process = subprocess.Popen(line, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        while True:
            try:
                code = process.wait(0.25)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, sum(map(memory, family(process.pid))))
        seconds = time.perf_counter() - start
        if code not in (0, 1):
            log.seek(0)
            raise SystemExit(f"error: exit code {code} of {line}:\n{log.read()[-2000:]}")
        files = sum(path.is_file() for path in (Path(folder) / "outputs").rglob("*"))
    return Cost(seconds, peak, files)


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it; itself alone where there is no /proc."""
    children: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += map(int, thread.read_text().split())
        except OSError:  # it has just ended
            continue
    return [pid, *(member for child in children for member in family(child))]


def memory(pid: int) -> float:
    """Return the GiB of a process, its share of the pages it has in common with others; 0 if it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("Pss:")), 0.0)


def commands(scale: Scale) -> dict[str, Command]:
    """Return name -> command, each once a round for the overhead, whose names begin with it, and once for the rest."""
    one = ["surrogate=logdet", "regime=fixed", "lam=0"]
    chosen = {
        f"overhead fused {scale.jobs(seeds)}": Command(
            [*FUSED, *scale.grid(seeds, scale.epochs), "sweep.dry_run=true", "device=cpu"]
        )
        for seeds in scale.overhead
    }
    first = scale.grid(1, scale.epochs)
    chosen["overhead fused 1"] = Command([*FUSED, *first, *one, "sweep.dry_run=true", "device=cpu"])
    chosen["overhead basic 1"] = Command([*STOCK, "hydra/launcher=basic", *first, *one], trains=False)
    chosen[f"overhead basic {scale.jobs(1)}"] = Command([*STOCK, "hydra/launcher=basic", *first], trains=False)
    for launcher, (options, *samples) in LAUNCHERS.items():
        for seeds in samples:
            sample = [*scale.grid(seeds, scale.epochs), "lam=0.1"]
            chosen[f"sweep {launcher} {9 * seeds}"] = Command([*STOCK, *options, *sample])
    chosen["sweep fused"] = Command([*FUSED, *scale.grid(scale.sweep, scale.epochs)])
    for seeds in scale.growth:
        chosen[f"growth {scale.jobs(seeds)}"] = Command([*FUSED, *scale.grid(seeds, scale.growth_epochs)])
    return chosen


def measure(scale: Scale) -> dict[str, list[Cost]]:
    """Return name -> what the command took in each of its rounds."""
    todo = commands(scale)
    rounds = [name for name in todo if name.startswith("overhead")] * scale.rounds
    once = [name for name in todo if not name.startswith("overhead")]
    run(todo["overhead fused 1"])  # reads from the disk what the others then find in memory
    costs: dict[str, list[Cost]] = {name: [] for name in todo}
    for name in track([*rounds, *once], "measuring", transient=True):
        costs[name].append(run(todo[name]))
    return costs


def overhead(scale: Scale, costs: dict[str, list[Cost]]) -> list[Timing]:
    """Return a row for each size: milliseconds per job beyond the command's start, and stock Hydra's as a ratio."""

    def slopes(launcher: str, jobs: int) -> list[float]:
        pairs = zip(costs[f"overhead {launcher} {jobs}"], costs[f"overhead {launcher} 1"], strict=True)
        return [(many.seconds - one.seconds) / (jobs - 1) * 1e3 for many, one in pairs]

    stock, rows = slopes("basic", scale.jobs(1)), list[Timing]()
    for jobs in map(scale.jobs, scale.overhead):
        fused = slopes("fused", jobs)
        ratio = statistics.median(theirs / ours for theirs, ours in zip(stock, fused, strict=True))
        medians = {"fused ms": statistics.median(fused), "basic ms": statistics.median(stock)}
        rows.append({"jobs": jobs, **medians, "basic / fused": ratio})
    return rows


def wall_times(scale: Scale, costs: dict[str, list[Cost]]) -> list[Timing]:
    """Return a row for each launcher: seconds for the whole sweep, measured or extrapolated, and as a ratio."""
    jobs = scale.jobs(scale.sweep)
    (fused,) = costs["sweep fused"]
    rows: list[Timing] = [
        {"launcher": "fused", "runs measured": jobs, "seconds": fused.seconds, "/ fused": 1.0, "GiB": fused.gigabytes}
    ]
    for launcher, (_, *samples) in LAUNCHERS.items():
        few, many = (9 * seeds for seeds in samples)
        (small,), (large,) = costs[f"sweep {launcher} {few}"], costs[f"sweep {launcher} {many}"]
        seconds = small.seconds + (large.seconds - small.seconds) / (many - few) * (jobs - few)
        row = {"seconds": seconds, "/ fused": seconds / fused.seconds, "GiB": large.gigabytes}
        rows.append({"launcher": launcher, "runs measured": many, **row})
    return rows


def growth(scale: Scale, costs: dict[str, list[Cost]]) -> list[Timing]:
    """Return a row for each size: seconds, milliseconds per run, start-up included, memory and files."""
    rows = list[Timing]()
    for jobs in map(scale.jobs, scale.growth):
        (cost,) = costs[f"growth {jobs}"]
        each = cost.seconds / jobs * 1e3
        took = {"seconds": cost.seconds, "ms per run": each, "GiB": cost.gigabytes}
        rows.append({"runs": jobs, **took, "files": cost.files})
    return rows


def tabulate(rows: Sequence[Timing]) -> Table:
    """Return rows as a table."""
    table = Table()
    for key in rows[0]:
        table.add_column(key, justify="right")
    for row in rows:
        table.add_row(*(f"{value:.1f}" if isinstance(value, float) else str(value) for value in row.values()))
    return table


def measure_and_write(name: str) -> None:
    """Measure at one of the SCALES, print the tables, write the JSON."""
    scale, machine, console = SCALES[name], describe_machine(), Console()
    costs = measure(scale)
    tables = {
        f"ms per job besides training; basic: on {scale.jobs(1)} jobs that do nothing": overhead(scale, costs),
        f"{scale.jobs(scale.sweep)} runs of {scale.epochs} epochs; joblib has 2 processes": wall_times(scale, costs),
        f"as a sweep grows: runs of {scale.growth_epochs} epochs, start-up included": growth(scale, costs),
    }
    console.print(f"{name}: {machine}")
    for title, rows in tables.items():
        console.print(title)
        console.print(tabulate(rows))
    path = Path("outputs") / ("benchmark_sweep_quick.json" if name == "quick" else "benchmark_sweep.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "scale": name, "tables": tables, "costs": costs}, indent=1))
    console.print(f"  {path}")
