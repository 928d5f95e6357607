"""Section 9.6: a memory that is recovered for a while although no attractor keeps it.

From an overlap m0 a memory is *recovered by T* if sup over t <= T of m(t) is at least m_c, and *kept* if m_inf is. M_T
is the share of the times 0..T with m >= m_c; a reading at time t finds the memory if m(t) >= m_c. The networks are in
`hopfield`.

Ours: m_c = 0.9, T = 60, and m_inf = m(60), though at load 0.2 the mean overlap still falls, by 0.02 from t = 40 to 60.
All neurons are updated at once (Little's dynamics, doi:10.1016/0025-5564(74)90031-5): time then counts readings of the
whole state, and m(1) = erf(m0/sqrt(2 alpha)) in closed form. Updates one by one have the same ends and a lower peak: at
load 0.2 and m0 = 0.8 they reach 0.90 in the mean, and pass 0.9 in half of the networks only, since the neurons updated
late in a sweep already see the correlations that those updated early have made.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import erf

from experiments.statements.base import Gate, Measured, Statement, panel
from experiments.statements.hopfield import HORIZON, energy, larger, networks, one_by_one, overlaps, states, together
from hclm_runner.picture import BLUE, GREY, KINDS, ORANGE, STYLE, save

Array = NDArray[np.float64]

M_C = 0.9
"""The overlap from which a memory counts as found (ours): a wrong sign in twenty neurons."""

CAPACITY = 0.138
"""The largest load with attractors near the patterns, N -> infinity (Amit, Gutfreund & Sompolinsky 1985,
doi:10.1103/PhysRevLett.55.1530)."""

# ---------------------------------------------------------------------------------------------------------------------
# What section 9.6 reads from m(t) [1 + T, count]
# ---------------------------------------------------------------------------------------------------------------------


def recovered(m: Array) -> float:
    """Return the share of networks with sup over t <= T of m(t) >= m_c."""
    return float((m.max(axis=0) >= M_C).mean())


def kept(m: Array) -> float:
    """Return the share of networks with m_inf >= m_c."""
    return float((m[-1] >= M_C).mean())


def effectiveness(m: Array) -> float:
    """Return M_T, the share of the times 0..T with m >= m_c, in the mean over networks."""
    return float((m >= M_C).mean())


def readout_sensitivity(m: Array) -> float:
    """Return the share of networks in which a reading at T misses what a reading at the best time finds.

    The best time is the same for all networks, as who reads a network does not know its own.
    """
    found = (m >= M_C).mean(axis=1)
    return float(found.max() - found[-1])


# ---------------------------------------------------------------------------------------------------------------------
# The gates
# ---------------------------------------------------------------------------------------------------------------------


def attractor(alpha: float) -> Measured:
    """Below capacity the memory is kept: at load 0.05 the overlap ends at 1.00.

    The other 50 patterns give each neuron a noise of variance 0.05 and a signal of 1: a wrong sign in 4e-6 of them.
    Measured: the mean overlap at T over 40 networks, at least 0.99. Control: load 0.2, above the capacity 0.138.
    """
    end = float(overlaps(alpha)[-1].mean())
    return Measured(-end, -0.99, f"mean overlap at T = {HORIZON}: {end:.3f}")


def basin(m0: float) -> Measured:
    """An attractor is reached from within its basin only.

    From m0 the first update leads to erf(m0/sqrt(2 alpha)): from 0.05 at load 0.05 to 0.18, within reach of the other
    patterns' pull. Measured: the share of 40 networks that recover the memory by T, at least 0.99. Control: m0 = 0.05.
    """
    share = recovered(overlaps(0.05, m0))
    return Measured(-share, -0.99, f"recovered in {share:.1%} of networks")


def transient(alpha: float) -> Measured:
    """Above capacity a memory is recovered although no attractor keeps it: sup m >= m_c, m_inf < m_c.

    At load 0.2 the mean overlap peaks above 0.9 and ends below 0.6. Measured: by how much the worse of the two misses
    its mark. (The peak of the mean, which is lower than the mean of the peaks.) One network in 40 does keep the memory:
    the capacity is a limit of N -> infinity. Control: load 0.05, where an attractor exists.
    """
    m = overlaps(alpha).mean(axis=1)
    peak, end = float(m.max()), float(m[-1])
    return Measured(max(M_C - peak, end - 0.6), 0.0, f"mean overlap peaks at {peak:.3f}, is {end:.3f} at T = {HORIZON}")


def effective(alpha: float) -> Measured:
    """M_T separates a memory that is kept from one that is lost again; recovery by T does not.

    At load 0.05 M_T is 60/61, as only the start is below m_c. Measured: M_T, at least 0.9. Control: load 0.2, where
    nearly every network recovers the memory too, and loses it within a few updates.
    """
    m = overlaps(alpha)
    share = effectiveness(m)
    return Measured(-share, -0.9, f"M_T = {share:.3f}, recovered in {recovered(m):.1%} of networks")


def readout(alpha: float) -> Measured:
    """Above capacity it matters when the state is read.

    Measured: the share of 40 networks in which reading at T misses what reading at the best time finds, at least 0.5 at
    load 0.2. Control: load 0.05, where it is 0.
    """
    lost = readout_sensitivity(overlaps(alpha))
    return Measured(-lost, -0.5, f"lost to a late reading: {lost:.1%} of networks")


def first_update(t: int) -> Measured:
    """The first update leads from m to erf(m/sqrt(2 alpha)): the rise needs no attractor.

    The start is independent of the other patterns, so their sum at a neuron is a Gaussian of variance alpha (N large)
    added to a signal m; the sign is right with probability (1 + erf(m/sqrt(2 alpha)))/2. Measured at load 0.2: the
    distance of the mean over 40 networks in standard errors, at most 4. Control: the same law for the second update,
    when the state is correlated with every pattern; that correlation is what undoes the recovery.
    """
    alpha = 0.2
    before, after = overlaps(alpha)[t - 1 : t + 1]
    error = after.std(ddof=1) / np.sqrt(after.size)
    law = float(erf(before / np.sqrt(2 * alpha)).mean())
    distance = float(abs(after.mean() - law) / error)
    return Measured(distance, 4.0, f"overlap {after.mean():.4f}, the law {law:.4f}: {distance:.1f} standard errors")


def lyapunov(update: Callable[[Array, Array], Array]) -> Measured:
    """Updates one by one never raise the energy, which is why their ends are attractors.

    Each takes the sign of lower energy, the others as they are. Measured: the largest rise in one of 20 sweeps over 10
    networks with 200 patterns, from random states, in whole numbers, so without rounding. Control: all neurons at once,
    where none can rely on the others: states that alternate raise the energy at every other update.
    """
    xi, s = networks(200, 10, m0=0.0)
    E = [energy(xi, state) for state in states(xi, s, update, 20)]
    rise = float(max((after - before).max() for before, after in pairwise(E)))
    return Measured(rise, 0.0, f"largest change of energy in a sweep {rise:.0f}")


def dense(n: int) -> Measured:
    """A steeper energy holds far more: with n = 3 the capacity grows as N^2, so load 0.5 is far below it.

    Signal 3 N^2 m^2 over noise 3 N sqrt(3 P) is sqrt(N/(3 alpha)) m^2 = 16 at alpha = 0.5 and m = 0.8: no neuron errs.
    Measured: the mean overlap at T over 5 networks with 500 patterns, at least 0.99. Control: n = 2, Hopfield's.
    """
    end = float(overlaps(0.5, count=5, n=n)[-1].mean())
    return Measured(-end, -0.99, f"mean overlap at T = {HORIZON}: {end:.3f}")


def grows(alpha: float) -> Measured:
    """The transient is no matter of a small N: at N = 4000 every network at load 0.2 loses the memory, and M_T is low.

    As N grows the first update's erf(0.8/sqrt(0.4)) = 0.926, above m_c, becomes exact, and no network keeps the memory
    by chance. Measured in 40 networks of 4000: by how much the worst misses its mark, of the mean overlap's peak (0.9)
    and end (0.6), of the share recovered but not kept (0.95) and of M_T (0.1). Control: load 0.13, just below capacity.
    """
    m = larger(alpha, 4000)
    mean, passed = m.mean(axis=1), recovered(m) - kept(m)
    worst = max(M_C - mean.max(), mean[-1] - 0.6, 0.95 - passed, effectiveness(m) - 0.1)
    text = f"mean overlap peaks at {mean.max():.3f}, is {mean[-1]:.3f} at T = {HORIZON}"
    return Measured(float(worst), 0.0, f"{text}; {passed:.0%} recovered and lost, M_T = {effectiveness(m):.3f}")


def sharpens(alpha: float) -> Measured:
    """Capacity is a limit of N -> infinity: just above it the share of networks that keep the memory falls with N.

    Measured at load 0.15: kept in 100 networks of 500, less kept in 100 of 4000, in standard errors, at least 3.
    (In most of the large ones the overlap still falls at T.) Control: load 0.13, just below, where the share rises.
    """
    shares = [kept(larger(alpha, size, 100)) for size in (500, 4000)]
    # By Laplace's rule, lest a share of 1 should have no error.
    error = np.sqrt(sum(p * (1 - p) / 100 for p in ((100 * share + 1) / 102 for share in shares)))
    fall = float((shares[0] - shares[1]) / error)
    return Measured(-fall, -3.0, f"kept in {shares[0]:.0%} at N = 500, {shares[1]:.0%} at 4000: {fall:.1f} errors less")


def draw(folder: Path) -> list[Path]:
    """Draw "recoverable though no attractor exists", write PDF, SVG and PNG, return their paths.

    Overlap over time at several loads, 40 networks each: their mean, and the range of nine in ten. Then
    over the load the highest and the last overlap; and what is recovered, M_T and what is kept.
    """
    loads = np.array([0.02, 0.05, 0.08, 0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.18, 0.2, 0.22, 0.25, 0.3])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 3.0), layout="constrained")
        time, overlap, share = figure.subplots(1, 3)

        shades = iter(mpl.colormaps["viridis"](np.linspace(0.05, 0.87, 5)))
        for alpha in (0.05, 0.13, 0.15, 0.2, 0.3):
            _band(time, np.arange(HORIZON + 1.0), overlaps(alpha), next(shades), "-", f"α = {alpha:g}")
        time.axhline(M_C, color=GREY, linewidth=0.7, label="$m_c$")
        time.set_xscale("symlog", linthresh=1)
        time.set(xlabel="time t (updates)", ylabel="overlap m", xlim=(0, HORIZON), ylim=(0, 1.02))
        time.set_xticks([0, 1, 3, 10, 30], ["0", "1", "3", "10", "30"])

        runs = [overlaps(float(alpha)) for alpha in loads]
        _band(overlap, loads, np.array([m.max(axis=0) for m in runs]), BLUE, "-", "highest, t ≤ T")
        _band(overlap, loads, np.array([m[-1] for m in runs]), ORANGE, "--", "last, t = T")
        overlap.axhline(M_C, color=GREY, linewidth=0.7, label="$m_c$")
        overlap.set(ylabel="overlap m", ylim=(0, 1.02))

        share.fill_between(
            loads, [kept(m) for m in runs], [recovered(m) for m in runs], color=GREY, alpha=0.2, linewidth=0
        )
        share.plot(loads, [recovered(m) for m in runs], color=BLUE, label="recovered by T")
        share.plot(loads, [effectiveness(m) for m in runs], color="black", linestyle=":", label="$M_T$")
        share.plot(loads, [kept(m) for m in runs], color=ORANGE, linestyle="--", label="kept at T")
        share.set(ylabel="share of networks; of times", ylim=(-0.02, 1.02))

        for axes in (overlap, share):
            axes.axvline(CAPACITY, color=GREY, linestyle="-.", linewidth=1, label=f"$α_c$ = {CAPACITY}")
            axes.set(xlabel="load α = P/N", xlim=(0, 0.31))
        for axes, title in ((time, "over time"), (overlap, "over load"), (share, "recovered, not kept")):
            panel(axes, title)
    return save(figure, folder / "section_9_6", KINDS)


def _band(axes: Axes, x: Array, m: Array, colour: Any, line: str, label: str) -> None:
    """Plot the mean of m [x, count] with the range of nine networks in ten."""
    low, high = np.quantile(m, [0.05, 0.95], axis=1)
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, m.mean(axis=1), color=colour, linestyle=line, label=label)


GATES = (
    Gate(
        "",
        "Below capacity the memory is kept: load 0.05 ends at overlap 1.00.",
        partial(attractor, 0.05),
        partial(attractor, 0.2),
        "load 0.2",
    ),
    Gate(
        "",
        "A start at overlap 0.8 is within its basin.",
        partial(basin, 0.8),
        partial(basin, 0.05),
        "a start at overlap 0.05",
    ),
    Gate(
        "",
        "Above capacity it is recovered, then lost: load 0.2 peaks above 0.9 and ends below 0.6.",
        partial(transient, 0.2),
        partial(transient, 0.05),
        "load 0.05",
    ),
    Gate(
        "",
        "M_T, the share of time with m >= m_c, separates a memory that is kept from one that is lost again.",
        partial(effective, 0.05),
        partial(effective, 0.2),
        "load 0.2",
    ),
    Gate(
        "",
        "Above capacity it matters when the state is read.",
        partial(readout, 0.2),
        partial(readout, 0.05),
        "load 0.05",
    ),
    Gate(
        "",
        "The first update needs no attractor: it leads to erf(m/sqrt(2 alpha)).",
        partial(first_update, 1),
        partial(first_update, 2),
        "the second update",
    ),
    Gate(
        "",
        "Updates one by one never raise the energy.",
        partial(lyapunov, one_by_one),
        partial(lyapunov, together),
        "all neurons at once",
    ),
    Gate(
        "",
        "A dense associative memory (n = 3) keeps load 0.5.",
        partial(dense, 3),
        partial(dense, 2),
        "Hopfield's, n = 2",
    ),
    Gate(
        "",
        "In networks of 4000 load 0.2 is recovered and lost as in those of 1000.",
        partial(grows, 0.2),
        partial(grows, 0.13),
        "load 0.13",
        slow=True,
    ),
    Gate(
        "",
        "Just above capacity fewer keep the memory the larger they are.",
        partial(sharpens, 0.15),
        partial(sharpens, 0.13),
        "load 0.13, just below",
        slow=True,
    ),
)
"""A load's overlaps are computed once, by the first gate that reads them."""


STATEMENT = Statement(
    name="Section 9.6",
    says="A memory can be recovered for a while although no attractor keeps it.",
    as_printed="holds",
    needs="all neurons to be updated at once: at load 0.2 the overlap then peaks at 0.93 and ends at 0.38 (N = 1000) "
    "or 0.31 (N = 4000). One neuron at a time it peaks at 0.90",
    gates=GATES,
    draw=draw,
)
