"""Proposition 2: at critical_lam = -<gS, gL> / F^2 entropy stands still."""

from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from experiments.statements.base import Gate, Measured, Statement, panel
from experiments.statements.systems import MARKS, SURROGATES, System, grad, largest
from hclm_runner.physics.observables import forces
from hclm_runner.picture import BLUE, GREY, KINDS, STYLE, save


def entropy_rate(system: System, lam: float) -> float:
    """Return dS/dt under the flow at this lam, from S alone: a central difference along gE, error O(h^2)."""
    gE, h = grad(system.at(lam), system.theta), 1e-4
    after, before = (float(system.entropy(system.step(system.theta, gE, sign * h))) for sign in (1, -1))
    return (after - before) / (2 * h)


def critical(*multiples: float) -> list[list[float]]:
    """Return dS/dt at these multiples of critical_lam over dS/dt at lam = 0, for each surrogate."""
    rates = []
    for surrogate in SURROGATES:
        system = System(f"surrogate={surrogate}")
        gL = grad(system.loss, system.theta)  # of full batches without noise, as the flow has it
        row = forces(grad(system.entropy, system.theta), gL, gL, system.problem.encoder)
        free = entropy_rate(system, 0.0)
        rates.append([entropy_rate(system, m * float(row["critical_lam"])) / free for m in multiples])
    return rates


def stands_still(multiple: float = 1.0) -> Measured:
    """Proposition 2: at critical_lam = -<gS, gL> / F^2 entropy stands still.

    Theorem 2 with omega = rho = 0 is linear in lam: dS/dt = -<gS, gL> - lam F^2, zero at critical_lam. (With the other
    terms on, their -(omega <gS, gOmega> + rho <gS, gD>) / F^2 comes to it, which the column does not hold.)
    Measured: |dS/dt| there, from S alone, over its value at lam = 0; tolerance 1e-3, well above the difference's h^2.
    Control: 0.9 critical_lam, where a tenth of it is left.
    """
    worst = largest(abs(rate) for (rate,) in critical(multiple))
    return Measured(worst, 1e-3, f"|dS/dt| is {worst:.1e} of its value at lam = 0, three surrogates")


def turns(centre: float = 1.0) -> Measured:
    """Proposition 2: the sign of dS/dt changes at critical_lam.

    Relative to lam = 0 the rate is 1 - lam / critical_lam: 0.1 at nine tenths of it, -0.1 at eleven, product -0.01.
    Tolerance: at most -0.009. Control: the same on either side of -critical_lam.
    """
    worst = largest(below * above for below, above in critical(0.9 * centre, 1.1 * centre))
    return Measured(worst, -0.009, f"rates at 0.9 and 1.1 of it: product {worst:.4f}, three surrogates")


def draw(folder: Path) -> list[Path]:
    """Draw the rate of entropy over lam, and return the files' paths.

    Blue is what the statement is about, grey what it says.
    """
    multiples = np.linspace(-1, 2, 13)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4, 2.9), layout="constrained")
        axes = figure.subplots()
        axes.plot(multiples, 1 - multiples, color=GREY, linestyle="--", label="1 − lam / critical lam")
        for k, (name, ratios) in enumerate(zip(SURROGATES, critical(*multiples), strict=True)):
            # On one line, so each surrogate shows every third point.
            axes.plot(multiples[k::3], ratios[k::3], MARKS[name], color=BLUE, markersize=3.5, label=name)
        axes.axhline(0, color=GREY, linewidth=0.7)
        axes.axvline(1, color=GREY, linewidth=0.7)
        axes.set(xlabel="lam / critical lam", ylabel="dS/dt, of that at lam = 0")
        panel(axes, "Proposition 2")
    return save(figure, folder / "proposition_2", KINDS)


STATEMENT = Statement(
    name="Proposition 2",
    says="Entropy balances at the critical lam, −⟨∇S, ∇L⟩ / F².",
    as_printed="holds",
    needs="omega = rho = 0; otherwise their terms join the balance",
    gates=(
        Gate(
            "",
            "at critical_lam entropy stands still",
            stands_still,
            partial(stands_still, 0.9),
            "at 0.9 critical_lam",
        ),
        Gate(
            "sign",
            "dS/dt changes its sign at critical_lam",
            turns,
            partial(turns, -1.0),
            "around -critical_lam",
        ),
    ),
    draw=draw,
)
