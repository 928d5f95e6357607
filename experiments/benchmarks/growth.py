"""What a store costs as it grows, without any training: CPU time, memory, files.

    python -m experiments benchmark growth             # to 7200 runs
    python -m experiments benchmark growth --full      # to 28800: 2 GB on the disk
    python -m experiments benchmark growth --million   # 10^4, 10^5 and 10^6 runs of 4 epochs: half an hour, 4 GB
    python -m experiments benchmark growth --quick     # to 216, to see that it works

Each size is the paper's 9 pairs of surrogate and regime x 8 lam x seeds, in a store of its own. That is filled with
random numbers, 121 rows a run, 5 with --million, by the store's own functions, in the bundles that a sweep would train.
What is timed:

- compose, plan, write: the parts of filling it, in one process;
- write, end / start: the last tenth of the bundles by the first tenth;
- one run: the records of one run, read from the full store;
- dry run: the command with sweep.dry_run=true, on an empty store;
- resume: the command on the full store, with nothing left to do;
- status, compact: these verbs of `python -m hclm_runner.sweeps`;
- one column: `pandas.read_parquet` of one column of the records;
- groups: the mean final force of each (surrogate, regime, lam), by `load` and by `scan`, where polars is installed.

From resume on, all is measured again on the merged shards. Times are CPU seconds of the process itself, so that what
else a machine does counts little. From the dry run on they are whole commands, with Python's start. A part grows as
n^k: k from the increases over the smallest size, 1 where the time is linear in the runs. GiB is the largest resident
set of the process.
The numbers go to outputs/benchmark_growth.json, or benchmark_growth_<scale>.json, with the machine's description.
"""

import importlib.util
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from experiments.grid import REGIMES, SURROGATES
from hclm_runner import store
from hclm_runner.config import RunConfig
from hclm_runner.config.grid import Grid
from hclm_runner.config.resolve import composer
from hclm_runner.records import COLUMNS, Records, describe

SIZES = {
    "quick": (120, (1, 2, 3)),
    "default": (120, (1, 10, 100)),
    "full": (120, (1, 10, 100, 400)),
    "million": (4, (139, 1389, 13889)),
}
"""Epochs, and the seeds of the stores, 72 runs each."""

NAME = "growth"
AXES: dict[str, Sequence[str]] = {
    "surrogate": SURROGATES,
    "regime": REGIMES,
    "lam": ["0", "0.003", "0.01", "0.03", "0.1", "0.3", "1", "3"],
}
COMMAND = ["-m", "hclm_runner", "-m", f"name={NAME}", *(f"{key}={','.join(values)}" for key, values in AXES.items())]
VERB = ["-m", "hclm_runner.sweeps"]
COLUMN = ["-c", f"import pandas; pandas.read_parquet('outputs/{NAME}/records', columns=['force'])"]
CELL = ("surrogate", "regime", "lam0")
LOAD = f"""
import hclm_runner
columns, last = [*{CELL}, "force"], hclm_runner.load("{NAME}", ["epoch"], [("seed", "==", 0)])[0]["epoch"].max()
records, _ = hclm_runner.load("{NAME}", columns, [("epoch", "==", last)])
print(records.groupby([*{CELL}])["force"].mean().sum())
"""
SCAN = f"""
import hclm_runner, polars
found = hclm_runner.scan("{NAME}").filter(polars.col("epoch") == polars.col("epoch").max()).group_by({CELL})
print(found.agg(polars.col("force").mean()).collect()["force"].sum())
"""

Measured = dict[str, float]
"""Name -> CPU seconds, or what the name says."""


@contextmanager
def timed(seconds: Measured, part: str) -> Iterator[None]:
    """Add the CPU time of a block to that of a part."""
    start = time.process_time()
    yield
    seconds[part] = seconds.get(part, 0.0) + time.process_time() - start


def fill(seeds: int, epochs: int) -> Measured:
    """Fill the store of this folder, as a sweep would, with random numbers for the runs of so many seeds."""
    from hclm_runner.sweeps.plan import make_plan  # imports torch, which the process that reports does not need

    seconds, folder = Measured(), store.OUTPUTS / NAME
    store.prepare(folder)
    grid = Grid(composer())  # starts Hydra, which is not a job's
    chosen = [[f"{key}={value}" for value in values] for key, values in AXES.items()]
    with timed(seconds, "compose"):
        same = [[f"name={NAME}"], [f"epochs={epochs}"]]
        runs = [grid(job) for job in itertools.product(*same, *chosen, [f"seed={seed}" for seed in range(seeds)])]
    with timed(seconds, "plan"):
        bundles = make_plan({run.run_id: run for run in runs}, store.index(folder), runs[0]).bundles
    write(folder, bundles[0])  # the first time takes longer, whatever there is to write
    each: list[float] = []
    for bundle in bundles:
        with timed(seconds, "write"):
            write(folder, bundle)
        each.append(seconds["write"] - sum(each))
    tenth = math.ceil(len(bundles) / 10)
    seconds["write, end / start"] = sum(each[-tenth:]) / sum(each[:tenth])
    with timed(seconds, "one run"):
        store.read_records(folder, runs[-1].run_id)
    return seconds


def write(folder: Path, bundle: Sequence[RunConfig]) -> None:
    """Write a bundle of runs with random numbers for rows."""
    rng = np.random.default_rng(int(bundle[0].run_id, 16))
    values = rng.standard_normal((len(COLUMNS), len(bundle), bundle[0].epochs + 1))
    records = Records(bundle, dict(zip(COLUMNS, values, strict=True)), np.full(len(bundle), -1))
    store.write(folder, records.frame(), describe(records, "cpu", 0.0), known=())


def run(folder: str, *arguments: str) -> tuple[float, float, str]:
    """Run Python in a folder; return its CPU seconds, its largest resident set in GiB, and what it printed last.

    Raises:
        SystemExit: If it fails.
    """
    with (Path(folder) / "log").open("w+") as log:
        process = subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        printed = log.read().strip()
    if process.returncode:
        raise SystemExit(f"error: exit code {process.returncode} of {arguments}:\n{printed[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return used.ru_utime + used.ru_stime, used.ru_maxrss * unit / 2**30, printed.rpartition("\n")[2]


def measure(seeds: int, epochs: int) -> Measured:
    """Return what a store of so many seeds costs."""
    sweep = [*COMMAND, f"epochs={epochs}", f"seed=range({seeds})"]
    reading = {"resume": sweep, "status": [*VERB, "status", NAME], "one column": COLUMN, "groups, load": ["-c", LOAD]}
    reading |= {"groups, scan": ["-c", SCAN]} if importlib.util.find_spec("polars") else {}
    commands = {"dry run": [*sweep, "sweep.dry_run=true", "device=cpu"], **reading, "compact": [*VERB, "compact", NAME]}
    commands |= {f"{name}, compacted": words for name, words in reading.items()}
    with tempfile.TemporaryDirectory() as folder:
        *_, filling, printed = run(folder, "-m", __name__, str(seeds), str(epochs))
        shards = len(list(Path(folder, store.OUTPUTS, NAME).rglob("*.parquet")))
        found: Measured = json.loads(printed)
        memory = {"GiB, compose, plan, write": filling}
        for name, arguments in commands.items():
            found[name], memory[f"GiB, {name}"], _ = run(folder, *arguments)
        files = [path.stat().st_size for path in Path(folder, store.OUTPUTS, NAME).rglob("*.parquet")]
    return found | memory | {"files": shards, "files, compacted": len(files), "MB": sum(files) / 1e6}


def exponent(runs: Sequence[int], values: Sequence[float]) -> float:
    """Return k of values that grow as a + b n^k, from their increases over the first to the last two; NaN if none."""
    first, *_, middle, last = values
    if not first < middle < last:
        return math.nan
    return math.log((last - first) / (middle - first)) / math.log((runs[-1] - runs[0]) / (runs[-2] - runs[0]))


def tabulate(runs: Sequence[int], results: Sequence[Measured]) -> Table:
    """Return a row for each part: its value at each size, and k."""
    table = Table("runs", *map(str, runs), "k")
    for name in results[0]:
        values = [result[name] for result in results]
        k = "" if "/" in name else f"{exponent(runs, values):.2f}"
        table.add_row(name, *(f"{value:.0f}" if value >= 100 else f"{value:.2f}" for value in values), k)
    return table


def measure_and_write(scale: str) -> None:
    """Measure at the SIZES of a scale, print the table, write the JSON."""
    from experiments.benchmarks.step import describe_machine  # imports torch

    (epochs, seeds), machine, console = SIZES[scale], describe_machine(), Console()
    results = [measure(number, epochs) for number in track(seeds, "measuring", transient=True)]
    runs = [72 * number for number in seeds]
    console.print(f"CPU seconds as a store grows, {scale}: {machine}")
    console.print(tabulate(runs, results))
    path = Path("outputs") / f"benchmark_growth{'' if scale == 'default' else f'_{scale}'}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "runs": runs, "results": results}, indent=1))
    console.print(f"  {path}")


if __name__ == "__main__":
    print(json.dumps(fill(*map(int, sys.argv[1:]))))
