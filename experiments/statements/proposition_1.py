"""Proposition 1: where the entropy force vanishes, plain descent of the loss is left."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from experiments.statements.base import Gate, Measured, Statement, panel
from experiments.statements.systems import SURROGATES, Array, System, config, grad, largest, slope
from hclm_runner.picture import BLUE, GREY, KINDS, ORANGE, STYLE, save
from hclm_runner.training.trainer import train


def nothing(Z: Tensor) -> Tensor:
    """No surrogate at all: a constant, which theta does not reach."""
    return Z.new_zeros(())


def no_surrogate(lam: float = 0.0) -> Measured:
    """Proposition 1 at lam = 0: training is that of the loss alone, to the last bit.

    gE = gL + 0 gS, and x + 0 y = x in floating point for every finite y: the surrogate is computed, and moves nothing.
    Measured on whole runs of the trainer, with noise, minibatches and momentum: the largest difference between the
    losses of a run whose S is a constant and those of the three surrogates. Tolerance 0.
    Control: lam = 1e-6.
    """

    def losses(*surrogate: str) -> Array:
        run = config(*surrogate, f"lam={lam}", "epochs=3", "batch_size=16", "optimizer.momentum=0.9")
        table = train([run]).columns
        return np.stack([table[column][0] for column in ("train_loss", "test_loss", "loss_force")])

    alone = losses(f"surrogate={__name__}.nothing")
    worst = largest(np.abs(losses(f"surrogate={name}") - alone).max() for name in SURROGATES)
    return Measured(worst, 0.0, f"largest difference {worst:.1e} in losses and loss force, three surrogates")


class Fading(NamedTuple):
    """Steps with and without a surrogate whose force fades, at seven points of theta."""

    F: Array
    loss_force: Array
    apart: Array
    """Distance of the two steps over eta."""


def fade(lam_of_F: Callable[[float], float]) -> Fading:
    """Scale Z by t -> 0 (last layer times t): the softmax entropy loses its force, and the loss does not."""
    system, eta, rows = System("surrogate=softmax"), 0.05, []
    for t in np.logspace(-7, -1, 7):
        parameters = system.problem.parameters(system.theta)
        scaled = {name: p * t if name.startswith("encoder.2.") else p for name, p in parameters.items()}
        theta = torch.cat([p.flatten() for p in scaled.values()])
        F, gL = grad(system.entropy, theta).norm(), grad(system.loss, theta)
        gE = grad(system.at(lam_of_F(float(F))), theta)
        apart = (system.step(theta, gE, eta) - system.step(theta, gL, eta)).norm() / eta
        rows.append((F, gL.norm(), apart))
    return Fading(*np.array(rows, dtype=np.float64).T)


LAM_MAX = 10.0


def bounded(_: float) -> float:
    """Return the largest lam, whatever the force."""
    return LAM_MAX


def unbounded(F: float) -> float:
    """Return a lam that makes up for the force, however small it is."""
    return 1 / F


def step_apart(lam_of_F: Callable[[float], float] = bounded) -> Measured:
    """Proposition 1: with lam <= lam_max the update differs from plain descent by at most eta lam_max F.

    ||(theta - eta gE) - (theta - eta gL)|| = eta lam F. Measured with the project's step as F fades over six decades:
    the largest distance over eta lam_max F. Tolerance 1 + 1e-6: theta near 1 is rounded, and the least distance is
    1e-8. Control: lam = 1/F, which is unbounded.
    """
    path = fade(lam_of_F)
    worst = largest(path.apart / (LAM_MAX * path.F))
    return Measured(worst, 1 + 1e-6, f"distance at most {worst:.6g} of eta lam_max F, F down to {path.F.min():.1e}")


def plain_descent(lam_of_F: Callable[[float], float] = bounded) -> Measured:
    """Proposition 1: with lam <= lam_max and F -> 0 the update tends to plain descent.

    The distance relative to the plain step eta ||gL|| is lam F / ||gL||. It vanishes only if ||gL|| stays away from 0:
    the paper's relative statement needs that premise, for where gL vanishes too (at a minimum of L) the surrogate
    decides alone, however small its force.
    Measured where the premise holds: log of the relative distance against log F has slope 1; tolerance 0.01, since
    ||gL|| drifts by some percent on the way. Control: lam = 1/F, unbounded: slope 0.
    """
    path = fade(lam_of_F)
    relative = path.apart / path.loss_force
    power = slope(np.log(path.F), np.log(relative))
    text = f"slope {power:.4f}; {relative[0]:.1e} of the step at F = {path.F[0]:.1e}"
    return Measured(abs(power - 1), 0.01, f"{text}, ||gL|| >= {path.loss_force.min():.2f}")


def draw(folder: Path) -> list[Path]:
    """Draw how far the update is from plain descent over the force, and return the files' paths.

    Blue is what the statement is about, grey what it says, orange the control: the numbers of the gates.
    """
    kept, broken = fade(bounded), fade(unbounded)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4, 2.9), layout="constrained")
        axes = figure.subplots()
        axes.loglog(kept.F, LAM_MAX * kept.F, color=GREY, linestyle="--", label="lam$_{max}$ F")
        axes.loglog(kept.F, kept.loss_force, color=GREY, linestyle=":", label="‖∇L‖, plain step")
        axes.loglog(kept.F, kept.apart, "o", color=BLUE, markersize=3.5, label="lam = lam$_{max}$")
        axes.loglog(broken.F, broken.apart, "x", color=ORANGE, markersize=4, label="lam = 1/F")
        axes.set(xlabel="force F (nats / unit of θ)", ylabel="steps apart / η (nats / unit of θ)")
        panel(axes, "Proposition 1")
    return save(figure, folder / "proposition_1", KINDS)


GATES = (
    Gate(
        "lam = 0",
        "lam = 0 is bit-identical to no surrogate at all",
        no_surrogate,
        partial(no_surrogate, 1e-6),
        "lam = 1e-6",
    ),
    Gate(
        "step",
        "lam <= lam_max: the update is within eta lam_max F of plain descent",
        step_apart,
        partial(step_apart, unbounded),
        "lam = 1/F, unbounded",
    ),
    Gate(
        "",
        "bounded lam, F -> 0: the update tends to plain descent, where ||gL|| does not vanish",
        plain_descent,
        partial(plain_descent, unbounded),
        "lam = 1/F, unbounded",
    ),
)

STATEMENT = Statement(
    name="Proposition 1",
    says="An entropy force that vanishes leaves plain descent of the loss.",
    as_printed="holds",
    needs="a bounded lam: each step then differs from plain descent by at most eta lam F. Relative to the loss's own "
    "step it needs ‖∇L‖ bounded below too",
    gates=GATES,
    draw=draw,
)
