"""What a training step costs next to a plain PyTorch loop and its matrix products, and what is measured on request.

    python -m experiments benchmark step

All are timed in turn within each round of one process, so that a slow spell of the machine meets all of them, and a
ratio is the median over rounds of the ratio within a round. The reference network (40-64-16-4, batch 64) and the
log-det surrogate, float32, CPU. What is timed is the step (energy, gradient, update), not data, measurement or control.
What `metric_force` and `premises` ask for is timed by whole calls of `train`, with and without, that measure at epochs
0 and 20: the metric force takes more iterations the further training is.
The numbers go to outputs/benchmark.json with the machine's description.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from operator import truediv
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torch.func import vmap

from hclm_runner.config import configure
from hclm_runner.surrogates import logdet
from hclm_runner.training.batch import gradients
from hclm_runner.training.problem import Problem, flatten
from hclm_runner.training.trainer import train

BATCHES = (1, 8, 80, 240)
ROUNDS = 9
BATCH, IN, HIDDEN, D, CLASSES = 64, 40, 64, 16, 4
RATIOS = (("plain loop", "eager"), ("plain loop", "compiled"), ("eager", "products"), ("compiled", "products"))
EPOCHS, RUNS = 20, 40
ON_REQUEST = ("metric_force=ggn", "metric_force=fisher", "premises=true")
Step = Callable[[], object]


def plain_loop(runs: int) -> Step:
    """Return one step of the same runs as one would write it: a module and an optimiser each, one after the other."""
    models = [build_model() for _ in range(runs)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9) for model in models]
    x, y, xi = torch.randn(runs, BATCH, IN), torch.randint(CLASSES, (runs, BATCH)), torch.randn(runs, BATCH, D)

    def step() -> None:
        for i, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
            Z = model["encoder"](x[i])
            loss = nn.functional.cross_entropy(model["head"](Z + xi[i]), y[i]) + 0.1 * logdet(Z, eps=1.0)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()

    return step


def build_model() -> nn.ModuleDict:
    """Return the reference network."""
    config = configure()
    model: nn.ModuleDict = config.model.load()(IN, CLASSES, **config.model.options)
    return model


def this_trainer(runs: int, compile: bool) -> Step:
    """Return one step of `hclm_runner.training.trainer.train` for as many runs."""
    config = configure()
    problem = Problem.of(config)
    parts: list[Callable[..., Any]] = [vmap(problem.energy), vmap(problem.update)]
    energy, update = [torch.compile(part, dynamic=False) for part in parts] if compile else parts
    numbers = problem.numbers([config] * runs, torch.float32, "cpu")
    lam = torch.full((runs,), 0.1)
    x, y, xi = torch.randn(runs, BATCH, IN), torch.randint(CLASSES, (runs, BATCH)), torch.randn(runs, BATCH, D)
    theta = flatten(problem.model).repeat(runs, 1)
    memory = vmap(problem.start)(theta, numbers)

    def step() -> None:
        nonlocal theta, memory
        theta.requires_grad_()
        (g,) = gradients(theta, energy(theta, x, y, xi, lam, numbers))
        theta, memory = update(theta.detach(), g, memory, numbers)

    return step


def matrix_products(runs: int) -> Step:
    """Return the eight matrix products of one step, as torch.bmm over runs: a floor for this layout."""
    inputs = [torch.randn(runs, BATCH, width) for width in (IN, HIDDEN, D)]
    weights = [torch.randn(runs, *shape) for shape in ((IN, HIDDEN), (HIDDEN, D), (D, CLASSES))]
    outputs = [torch.randn(runs, BATCH, width) for width in (HIDDEN, D, CLASSES)]

    def step() -> list[Tensor]:
        forward = [torch.bmm(a, W) for a, W in zip(inputs, weights, strict=True)]
        to_weights = [torch.bmm(a.mT, g) for a, g in zip(inputs, outputs, strict=True)]
        to_inputs = [torch.bmm(g, W.mT) for g, W in zip(outputs[1:], weights[1:], strict=True)]
        return forward + to_weights + to_inputs

    return step


def seconds(step: Step, repeat: int) -> float:
    """Return the mean time of one call."""
    start = time.perf_counter()
    for _ in range(repeat):
        step()
    return (time.perf_counter() - start) / repeat


def measure(steps: dict[int, dict[str, Step]]) -> dict[int, dict[str, list[float]]]:
    """Return runs -> kind -> microseconds per run and step in each round."""
    for kinds in track(steps.values(), "compiling, warming up", transient=True):
        for step in kinds.values():
            seconds(step, 2)
    rounds: dict[int, dict[str, list[float]]] = {runs: {kind: [] for kind in kinds} for runs, kinds in steps.items()}
    for _ in track(range(ROUNDS), "measuring", transient=True):
        for runs, kinds in steps.items():
            for kind, step in kinds.items():
                repeat = 1 if kind == "plain loop" else max(2, 160 // runs)
                rounds[runs][kind].append(seconds(step, repeat) / runs * 1e6)
    return rounds


def on_request() -> dict[str, list[float]]:
    """Return milliseconds per run in each round: of an epoch, and of each measurement on request."""
    every = ["device=cpu", f"epochs={EPOCHS}", f"measure_every={EPOCHS}"]
    runs = {
        asked: [configure(*every, *filter(None, [asked]), f"seed={i}") for i in range(RUNS)]
        for asked in ("", *ON_REQUEST)
    }
    rounds: dict[str, list[float]] = {"an epoch": [], **{asked: [] for asked in ON_REQUEST}}
    for _ in track(range(ROUNDS // 2), "measuring what is asked for", transient=True):
        plain, *asked = (seconds(partial(train, own), 1) / RUNS * 1e3 for own in runs.values())
        rounds["an epoch"].append(plain / EPOCHS)
        for name, whole in zip(ON_REQUEST, asked, strict=True):
            rounds[name].append((whole - plain) / 2)
    return rounds


def summarise(rounds: dict[str, list[float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the medians by kind, and the median of each ratio of two kinds within a round."""
    medians = {kind: statistics.median(values) for kind, values in rounds.items()}
    ratios = {f"{a} / {b}": statistics.median(map(truediv, rounds[a], rounds[b])) for a, b in RATIOS}
    return medians, ratios


def describe_machine() -> dict[str, object]:
    """Return what the numbers depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    cpu = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    return {"cpu": cpu, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def measure_and_write() -> None:
    """Measure, print the tables, write the JSON."""
    torch.set_flush_denormal(True)
    steps: dict[int, dict[str, Step]] = {
        runs: {
            "plain loop": plain_loop(runs),
            "eager": this_trainer(runs, compile=False),
            "compiled": this_trainer(runs, compile=True),
            "products": matrix_products(runs),
        }
        for runs in BATCHES
    }
    machine, results = describe_machine(), []
    table = Table("runs", *steps[1], *(f"{a} / {b}" for a, b in RATIOS))
    for runs, rounds in measure(steps).items():
        medians, ratios = summarise(rounds)
        table.add_row(
            str(runs), *(f"{value:.0f}" for value in medians.values()), *(f"{r:.1f}" for r in ratios.values())
        )
        results.append({"runs": runs, "microseconds": medians, "ratios": ratios, "rounds": rounds})
    console = Console()
    console.print(f"Microseconds per run and step, medians of {ROUNDS} rounds. {machine}")
    console.print(table)
    asked = on_request()
    table = Table("measured on request", "ms per run", "epochs it costs")
    for name, values in asked.items():
        epochs = statistics.median(map(truediv, values, asked["an epoch"]))
        table.add_row(name, f"{statistics.median(values):.1f}", f"{epochs:.1f}")
    console.print(table)
    path = Path("outputs/benchmark.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "results": results, "on_request": asked}, indent=1))
    console.print(f"  {path}")
