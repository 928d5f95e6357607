"""When is an approximation of the log-det good enough to steer a thermostat? Its error against its cost, as d grows.

    python -m experiments benchmark logdet            # to d = 1024
    python -m experiments benchmark logdet --full     # to d = 4096: a quarter of an hour
    python -m experiments benchmark logdet --quick    # to d = 64, to see that it works

Of a batch Z [d, d], whose Sigma has the spectrum 10 / j in a random basis, eps = 1:

- cost: CPU milliseconds on one thread, of S and its force together, float64 within as in training;
- error: the root mean square of S' / S - 1 over orders of the batch, S by Cholesky of all of Sigma;
- cosine of the force and of that of S, each step's own; and along, their inner product over that of S with itself,
  which is 1 on average where the force is right but for noise across it.

Then the law itself: runs of the reference task with a representation of d columns and `regime=thermostat`, which holds
what the surrogate says at log K. What it holds in truth is the exact rate, the column logdet_rate, in the last five
epochs. An approximation is good enough to steer where that is, in each seed, within 10% of what the exact log-det
holds: the band in which the paper's claims call an entropy held.
The numbers go to outputs/benchmark_logdet.json, and to a figure beside it.
"""

import json
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from experiments.benchmarks.step import describe_machine
from experiments.figures.table import COLOURS
from hclm_runner import picture
from hclm_runner.analysis import LATE
from hclm_runner.config import configure
from hclm_runner.surrogates import logdet, logdet_blockwise, logdet_lowrank, logdet_stochastic
from hclm_runner.training.trainer import train

METHODS: dict[str, tuple[Any, dict[str, int]]] = {
    "logdet": (logdet, {}),
    "blocks 4": (logdet_blockwise, {"blocks": 4}),
    "blocks 16": (logdet_blockwise, {"blocks": 16}),
    "rank 8": (logdet_lowrank, {"rank": 8}),
    "rank 32": (logdet_lowrank, {"rank": 32}),
    "rank 8, 4 probes": (logdet_stochastic, {"rank": 8, "probes": 4, "steps": 8}),
    "rank 32, 16 probes": (logdet_stochastic, {"rank": 32, "probes": 16, "steps": 8}),
}
SCALES: dict[str, tuple[list[int], list[int], list[str]]] = {
    "quick": ([32, 64], [32], ["epochs=3", "task.train=64"]),
    "default": ([64, 128, 256, 512, 1024], [32, 128], ["epochs=40"]),
    "full": ([64, 128, 256, 512, 1024, 2048, 4096], [32, 128, 512], ["epochs=120"]),
}
"""The widths that are timed, those that a thermostat holds, and how long."""
ORDERS, SEEDS, BAND = 5, 3, 0.1

PALETTE = ("black", picture.BLUE, picture.ORANGE, *COLOURS[:3], picture.GREEN)

Row = dict[str, Any]


def batch(d: int) -> Tensor:
    """Return Z [d, d] whose population has the eigenvalues 10 / j in a random basis."""
    rng = np.random.default_rng(d)
    basis, _ = np.linalg.qr(rng.standard_normal((d, d)))
    return torch.from_numpy(rng.standard_normal((d, d)) * (10 / np.arange(1, d + 1)) ** 0.5 @ basis.T)


def value_and_force(name: str, Z: Tensor) -> tuple[float, Tensor]:
    """Return S and its gradient, [B, d]."""
    of, options = METHODS[name]
    Z = Z.clone().requires_grad_()
    S = of(Z, eps=1.0, **options)
    return S.item(), torch.autograd.grad(S, Z)[0]


def measured(name: str, d: int) -> Row:
    """Return cost and error of a method, of a batch of d samples of width d."""
    Z, rng = batch(d), np.random.default_rng(0)
    S, force = value_and_force("logdet", Z)
    value_and_force(name, Z)
    spent, found = [], []
    for _ in range(ORDERS):
        order = torch.from_numpy(rng.permutation(d))
        start = time.process_time()
        value, own = value_and_force(name, Z[order])
        spent.append(time.process_time() - start)
        inner = (own * force[order]).sum()
        found.append([value / S - 1, inner / own.norm() / force.norm(), inner / force.square().sum()])
    error, cosine, along = np.array(found).T
    rms = float(np.sqrt((error**2).mean()))
    return {"method": name, "d": d, "ms": 1e3 * min(spent), "error": rms, "bias": float(error.mean()),
            "cosine": float(cosine.mean()), "along": float(along.mean())}  # fmt: skip


def steered(name: str, d: int, overrides: list[str]) -> dict[str, NDArray[np.float64]]:
    """Return the exact rate that a thermostat with this surrogate holds, its lam and the test loss, [SEEDS]."""
    of, options = METHODS[name]
    own = [f"surrogate={of.__name__}", *(f"surrogate.{key}={value}" for key, value in options.items())]
    base = ["regime=thermostat", "device=cpu", f"model.representation={d}", *own, *overrides]
    columns = train([configure(*base, seed=seed) for seed in range(SEEDS)]).columns
    return {key: columns[key][:, -LATE:].mean(1) for key in ("logdet_rate", "lam", "test_loss")}


def against_exact(d: int, found: dict[str, dict[str, NDArray[np.float64]]]) -> list[Row]:
    """Return a row for each method: what it holds over what the exact log-det holds, seed by seed."""
    rows = []
    for name, own in found.items():
        held = own["logdet_rate"] / found["logdet"]["logdet_rate"]
        means = {key: float(values.mean()) for key, values in own.items()}
        steers = bool((np.abs(held - 1) <= BAND).all())
        rows.append({"method": name, "d": d, **means, "held / exact": float(held.mean()), "steers": steers})
    return rows


def draw(errors: list[Row], held: list[Row]) -> Figure:
    """Return the figure: cost, error and force over d, and what a thermostat holds."""
    panels = (("ms", "CPU ms, S and its force"), ("error", "error of S, relative"), ("cosine", "cosine of the force"))
    with mpl.rc_context(picture.STYLE):
        figure = Figure(figsize=(11, 3.2), layout="constrained")
        axes = figure.subplots(1, 4)
        for i, name in enumerate(METHODS):
            look = {"color": PALETTE[i], "marker": "osD^vPX"[i], "ms": 4}
            for ax, (key, _) in zip(axes, panels, strict=False):
                points = [(row["d"], row[key]) for row in errors if row["method"] == name and row[key] > 1e-12]
                ax.plot(*zip(*points, strict=True) if points else ([], []), label=name, **look)
            own = [(row["d"], row["held / exact"]) for row in held if row["method"] == name]
            axes[3].plot(*zip(*own, strict=True), **look)
        for ax, title in zip(axes, [*(title for _, title in panels), "rate held / by exact log-det"], strict=True):
            ax.set(xlabel="d", title=title, xscale="log")
            ax.set_xticks(sorted({row["d"] for row in (held if ax is axes[3] else errors)}), minor=False)
            ax.xaxis.set_major_formatter("{x:.0f}")
            ax.xaxis.set_minor_locator(NullLocator())
        axes[0].set_yscale("log")
        axes[1].set_yscale("log")
        axes[3].axhspan(1 - BAND, 1 + BAND, color=picture.GREY, alpha=0.3, lw=0)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(METHODS))
    return figure


def measure_and_write(scale: str) -> None:
    """Measure, print the tables, write the JSON and the figure."""
    torch.set_num_threads(1)
    widths, held_widths, overrides = SCALES[scale]
    pairs = [(name, d) for d in widths for name in METHODS]
    errors = [measured(*pair) for pair in track(pairs, "errors and costs", transient=True)]
    held: list[Row] = []
    for d in track(held_widths, "thermostats", transient=True):
        held += against_exact(d, {name: steered(name, d, overrides) for name in METHODS})
    console, machine = Console(), describe_machine()
    for title, rows in (("Of a batch", errors), ("Held by a thermostat", held)):
        table = Table(*rows[0], title=f"{title}. {machine}")
        for row in rows:
            table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
        console.print(table)
    path = Path("outputs/benchmark_logdet.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "errors": errors, "held": held}, indent=1))
    for each in [path, *picture.save(draw(errors, held), path.with_suffix(""))]:
        console.print(f"  {each}")
