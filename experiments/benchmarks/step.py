"""What an epoch of a run costs, training and measurement apart, next to its matrix products alone and a plain loop.

    python -m experiments benchmark step

In microseconds of a core for a run and an epoch: CPU time on one thread, with memory kept as in the processes of a
sweep. Recorded is how a sweep trains, eager how a short run does (hclm_runner/training/recorded.py), compiled what
`compile=true` makes of it. The runs are of the reference task with the log-det surrogate, float32, eight to a seed.
Training is the steps of an epoch with their minibatches; measurement is what is measured at its end, with the two
gradients. Control and records are in neither: they are tens of operations on [R]. All are timed in turn within each
round of one process, so that a slow spell of the machine meets all of them. A time is the least over rounds, a ratio
the median of those within a round.

What `metric_force` and `premises` ask for is timed by whole calls of `train`, with and without, that measure at epochs
0 and 20: the metric force takes more iterations the further training is.

Then a step of networks of several sizes, vectorised and one run after the other, on which `cost.LARGE` stands.
The numbers go to outputs/benchmark.json with the machine's description.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from operator import add, truediv
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from hclm_runner.config import RunConfig, configure
from hclm_runner.surrogates import logdet
from hclm_runner.sweeps.engine import ENVIRONMENT
from hclm_runner.training.batch import Shared, distinct
from hclm_runner.training.cost import of_sample
from hclm_runner.training.problem import DRAWS, Problem, draw_task, flatten
from hclm_runner.training.trainer import train
from hclm_runner.training.vectorised import Vectorised

BATCHES = (1, 8, 80, 240)
PER_SEED = 8
"""Runs of one seed, as in the paper's sweep: its values of lam."""
ROUNDS = 9
EPOCHS, RUNS = 20, 40
ON_REQUEST = ("metric_force=ggn", "metric_force=fisher", "premises=true")
PICTURES = ["task=dataset", "task.of=experiments.benchmarks.step.pictures", "task.arguments={number: 80}"]
NETWORKS = {
    "mlp": [],
    "cnn, 1 x 40": ["task=mnist1d", "model=cnn"],
    "transformer, 1 x 40": ["task=mnist1d", "model=transformer"],
    "cnn [64, 128], 1 x 40": ["task=mnist1d", "model=cnn", "model.channels=[64,128]"],
    "transformer, 1 x 28 x 28": [*PICTURES, "model=transformer"],
    "cnn [8, 16], 1 x 28 x 28": [*PICTURES, "model=cnn", "model.channels=[8,16]"],
    "cnn, 1 x 28 x 28": [*PICTURES, "model=cnn"],
}
TOGETHER = (1, 10, 80)
Work = Callable[[], object]


def pictures(number: int) -> list[tuple[Tensor, int]]:
    """Return pictures of noise, [1, 28, 28], of ten classes."""
    return [(x, i % 10) for i, x in enumerate(torch.randn(number, 1, 28, 28))]


def runs_of(number: int, *overrides: str) -> list[RunConfig]:
    """Return runs of the reference task, a new seed every few."""
    config = configure(["device=cpu", *overrides])
    return [config.model_copy(update={"seed": i // PER_SEED}) for i in range(number)]


def this_trainer(runs: list[RunConfig], compile: bool, alone: bool = False, calls: int = 0) -> dict[str, Work]:
    """Return the training and the measurement of an epoch, as `hclm_runner.training.trainer.train` does them.

    Vectorised over the runs, or where `alone` for one after the other, whatever their size.
    """
    problem = Problem.of(runs[0])
    do = Vectorised(problem, "cpu", compile=compile, steps=calls, looks=calls)
    do.alone = alone
    runs = [*runs, *runs] if len(runs) == 1 and not alone else runs  # as `train` has it
    drawn, of_task = distinct(runs, lambda run: [run.drawn_from, run.task.options])
    shared = Shared([draw_task(run) for run in drawn], of_task, runs, torch.float32, "cpu")
    numbers = problem.numbers(runs, torch.float32, "cpu")
    lam = torch.full((len(runs),), 0.1)
    start = flatten(problem.model).repeat(len(runs), 1)
    memory = do.start(start, numbers)
    d, B = runs[0].model.options["representation"], runs[0].batch_size
    of_noise = DRAWS // 2, shared.measured, d

    def training() -> None:
        theta, v, moves = start, memory, (torch.zeros_like(start), torch.zeros_like(start))
        for batch in shared.batches(1, B, (d,), lambda _: numbers):
            theta, v, moves = do.step(theta, v, moves, lam, *batch)

    def measurement() -> None:
        xi = shared.draw("balance", 1, lambda rng: rng.standard_normal(of_noise)).float()
        do.look(start, xi, numbers, shared)

    return {"training": training, "measurement": measurement}


def matrix_products(runs: list[RunConfig]) -> dict[str, Work]:
    """Return the matrix products of an epoch's training and measurement, as torch.bmm: the floor of this layout.

    Without those of the surrogate and of the geometry of Z, which are small.
    """
    problem, B = Problem.of(runs[0]), runs[0].batch_size
    weights = [torch.randn(len(runs), *shape) for _, shape, _ in problem.layout if len(shape) == 2]
    widths = [weights[0].shape[2], *(W.shape[1] for W in weights)]

    def activations(samples: int) -> list[Tensor]:
        return [torch.randn(len(runs), samples, width) for width in widths]

    splits = {name: activations(len(x)) for name, (x, _) in problem.task.splits().items()}
    noisy = activations(DRAWS // 2 * len(problem.task.train[0]))[-2:]
    minibatch, steps = activations(B), len(problem.task.train[0]) // B

    def training() -> None:
        for _ in range(steps):
            forward(minibatch, weights)
            backward(minibatch, weights)  # gL
            backward(minibatch, weights[:-1])  # gS, which the head does not reach

    def measurement() -> None:
        for a in splits.values():
            forward(a, weights)
        backward(splits["train"], weights)  # gL
        for _ in range(2):  # gS, and E_xi gL below the head
            backward(splits["train"], weights[:-1])
        for _ in range(2):  # the head, on Z + sigma xi and on Z - sigma xi
            forward(noisy, weights[-1:])
            torch.bmm(noisy[1], weights[-1])

    return {"training": training, "measurement": measurement}


def forward(a: list[Tensor], weights: list[Tensor]) -> None:
    """Multiply as a forward pass does; a holds the inputs of the layers, [R, samples, width], and the output."""
    for x, W in zip(a, weights, strict=False):
        torch.bmm(x, W.mT)


def backward(a: list[Tensor], weights: list[Tensor]) -> None:
    """Multiply as a backward pass does: to the weights of each layer, and to its inputs but for the first's."""
    for i, W in enumerate(weights):
        torch.bmm(a[i + 1].mT, a[i])
        if i > 0:
            torch.bmm(a[i + 1], W)


def plain_loop(runs: list[RunConfig]) -> Work:
    """Return the training of an epoch as one would write it: a module and an optimiser each, run after run."""
    problem = Problem.of(runs[0])
    x, y = torch.as_tensor(problem.task.train[0], dtype=torch.float32), torch.as_tensor(problem.task.train[1])
    make = problem.config.model.load()
    models: list[nn.ModuleDict] = [make(x.shape[1:], problem.classes, **problem.config.model.options) for _ in runs]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9) for model in models]

    def training() -> None:
        for model, optimizer in zip(models, optimizers, strict=True):
            for k in torch.split(torch.randperm(len(x)), problem.config.batch_size):
                Z = model["encoder"](x[k])
                output = model["head"](Z + torch.randn_like(Z))
                loss = nn.functional.cross_entropy(output, y[k]) + 0.1 * logdet(Z, eps=1.0)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()

    return training


def works(number: int) -> dict[str, Work]:
    """Return what is timed for so many runs together, by name."""
    runs = runs_of(number)
    kinds = {
        "eager": this_trainer(runs, compile=False),
        "recorded": this_trainer(runs, compile=False, calls=10**6),
        "compiled": this_trainer(runs, compile=True),
        "products": matrix_products(runs),
    }
    apart = {f"{part}, {kind}": work for kind, parts in kinds.items() for part, work in parts.items()}
    return {"training, plain loop": plain_loop(runs), **apart}


def microseconds(work: Work, repeat: int) -> float:
    """Return the CPU time of one call."""
    start = time.process_time()
    for _ in range(repeat):
        work()
    return (time.process_time() - start) / repeat * 1e6


def measure(works: dict[int, dict[str, Work]]) -> dict[int, dict[str, list[float]]]:
    """Return runs -> name -> microseconds of a core for a run and an epoch, in each round."""
    for named in track(works.values(), "compiling, warming up", transient=True):
        for work in named.values():
            microseconds(work, 2)
    rounds: dict[int, dict[str, list[float]]] = {runs: {name: [] for name in named} for runs, named in works.items()}
    for _ in track(range(ROUNDS), "measuring", transient=True):
        for runs, named in works.items():
            for name, work in named.items():
                repeat = 1 if name == "training, plain loop" else max(1, 80 // runs)
                rounds[runs][name].append(microseconds(work, repeat) / runs)
    return rounds


def summarise(rounds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return the least time by name, and the median over rounds of ratios of whole epochs, and to the plain loop."""
    kinds = "eager", "recorded", "compiled"
    epochs = {
        kind: list(map(add, rounds[f"training, {kind}"], rounds[f"measurement, {kind}"]))
        for kind in (*kinds, "products")
    }
    pairs = {f"epoch, {kind} / products": (epochs[kind], epochs["products"]) for kind in kinds}
    pairs["training, plain loop / recorded"] = rounds["training, plain loop"], rounds["training, recorded"]
    return {
        "microseconds": {name: min(values) for name, values in rounds.items()},
        "ratios": {name: statistics.median(map(truediv, *pair)) for name, pair in pairs.items()},
    }


def on_request() -> dict[str, list[float]]:
    """Return milliseconds per run in each round: of an epoch, and of each measurement on request."""
    every = [f"epochs={EPOCHS}", f"measure_every={EPOCHS}"]
    runs = {asked: runs_of(RUNS, *every, *filter(None, [asked])) for asked in ("", *ON_REQUEST)}
    rounds: dict[str, list[float]] = {"an epoch": [], **{asked: [] for asked in ON_REQUEST}}
    for _ in track(range(ROUNDS // 2), "measuring what is asked for", transient=True):
        plain, *asked = (microseconds(partial(train, own), 1) / RUNS / 1e3 for own in runs.values())
        rounds["an epoch"].append(plain / EPOCHS)
        for name, whole in zip(ON_REQUEST, asked, strict=True):
            rounds[name].append((whole - plain) / 2)
    return rounds


def networks() -> list[dict[str, Any]]:
    """Return for each network the floats of a minibatch, and runs -> milliseconds of a core for a run's step."""
    rows = []
    sizes = ["task.train=64", "task.feedback=8", "task.test=8"]
    for name, options in track(NETWORKS.items(), "measuring networks", transient=True):
        own = {number: runs_of(number, *options, *sizes) for number in TOGETHER}
        floats = of_sample(Problem.of(own[1][0])).floats * own[1][0].batch_size
        row: dict[str, Any] = {"network": name, "floats": floats}
        for number, runs in own.items():
            kinds = [this_trainer(runs, compile=False, alone=alone)["training"] for alone in (False, True)]
            rounds = [[microseconds(work, max(1, 10 // number)) / number / 1e3 for work in kinds] for _ in range(4)]
            row[str(number)] = [min(times) for times in zip(*rounds[1:], strict=True)]
        rows.append(row)
    return rows


def describe_machine() -> dict[str, object]:
    """Return what the numbers depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    cpu = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    return {"cpu": cpu, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def measure_and_write() -> None:
    """Measure, print the tables, write the JSON; in a process of its own, which keeps memory as those of a sweep do."""
    subprocess.run([sys.executable, "-m", __name__], env=os.environ | ENVIRONMENT, check=True)


def main() -> None:
    """Do so in this process."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    machine, console = describe_machine(), Console()
    results: list[dict[str, Any]] = [
        {"runs": runs, **summarise(rounds), "rounds": rounds}
        for runs, rounds in measure({runs: works(runs) for runs in BATCHES}).items()
    ]
    console.print(f"Microseconds of a core for a run and an epoch, the least of {ROUNDS} rounds. {machine}")
    table = Table("runs together", *map(str, BATCHES))
    for what, digits in (("microseconds", 0), ("ratios", 1)):
        for name in results[0][what]:
            table.add_row(name, *(f"{result[what][name]:.{digits}f}" for result in results))
        table.add_section()
    console.print(table)
    asked = on_request()
    table = Table("measured on request", "ms per run", "epochs it costs")
    for name, values in asked.items():
        epochs = statistics.median(map(truediv, values, asked["an epoch"]))
        table.add_row(name, f"{statistics.median(values):.1f}", f"{epochs:.1f}")
    console.print(table)
    sized = networks()
    table = Table("ms of a step: vectorised / one after the other", "floats", *map(str, TOGETHER))
    for row in sized:
        times = (" / ".join(f"{ms:.3g}" for ms in row[str(number)]) for number in TOGETHER)
        table.add_row(row["network"], f"{row['floats'] / 1e6:.2g}M", *times)
    console.print(table)
    path = Path("outputs/benchmark.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"machine": machine, "results": results, "on_request": asked, "networks": sized}, indent=1)
    )
    console.print(f"  {path}")


if __name__ == "__main__":
    main()
