"""Gates on information: Assumption 3, Theorem 3 with Corollary 1, and Proposition 4. Nats everywhere.

Theorem 3 is the one statement that does not hold as printed. Its gate passes when the expression fails as a bound, and
two bounds that hold stand beside it.
"""

from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import KDTree

from experiments.theory.gate import Gate, Measured, panel
from hclm_runner import surrogates
from hclm_runner.models import mlp
from hclm_runner.picture import BLUE, GREY, ORANGE, STYLE, save

Array = NDArray[np.float64]

FIGURE = "information"
"""The stem of the figure that `draw` writes."""

HALF = 0.5
"""s of the 0-1 loss: bounded in an interval of length 1, it is sub-Gaussian with s = 1/2 (Hoeffding)."""

# --- Assumption 3 ---------------------------------------------------------------------------------------------------


def rate(Z: Array, eps: float) -> float:
    """Return S(Z), the project's log-det surrogate; Z [B, d]."""
    return float(surrogates.logdet(torch.from_numpy(Z), eps=eps))


def gaussians(eps_over_sigma2: float) -> tuple[Array, Array]:
    """Return S and I(X; Zn) of nine linear encoders of a Gaussian X, nats, each [9]; see `linear_gaussian`."""
    rng, k, rows = np.random.default_rng(0), 6, []
    for d, sigma in product((1, 4, 20), (0.1, 1.0, 10.0)):
        mixing, A = rng.standard_normal((k, k)), rng.standard_normal((d, k))
        C = np.eye(k) + mixing @ mixing.T
        root = np.linalg.cholesky(C)
        X = np.sqrt(k) * np.concatenate([root.T, -root.T])
        posterior = np.linalg.slogdet(C)[1] + np.linalg.slogdet(np.linalg.inv(C) + A.T @ A / sigma**2)[1]
        rows.append((rate(X @ A.T, eps_over_sigma2 * sigma**2), posterior / 2))
    S, information = np.array(rows).T
    return S, information


def linear_gaussian(eps_over_sigma2: float = 1.0) -> Measured:
    """Assumption 3 with equality: for X ~ N(0, C) and Z = A X, I(X; Zn) = S at eps = sigma^2.

    S takes a batch, and the statement is about a population: the 2k points +-sqrt(k) r_j, r_j the columns of a root of
    C [k, k], have mean 0 and covariance exactly C, hence their images under A exactly that of Z. I comes from the other
    side, the posterior of X: I = h(X) - h(X | Zn) = 1/2 log det C + 1/2 log det(C^-1 + A^T A / sigma^2).
    Measured: the largest |S - I| over narrow and wide encoders, so both Gram forms, and over weak and strong signals;
    tolerance 1e-10 nats, rounding of I near 30. Control: eps = 4 sigma^2.
    """
    S, information = gaussians(eps_over_sigma2)
    worst = float(np.abs(S - information).max())
    return Measured(worst, 1e-10, f"largest |S - I| = {worst:.1e} nats, d = 1, 4, 20, sigma = 0.1, 1, 10")


def mixture_information(Z: Array, sigma: float) -> float:
    """Return I(X; Zn) in nats for X uniform on the n rows of Z [n, 2] and Zn = Z + sigma xi.

    Zn is a mixture of n Gaussians, and I = h(Zn) - log(2 pi e sigma^2). h by the trapezoid rule on a grid of step
    sigma/2 that ends 9 sigma outside: for a sum of Gaussians its error falls like exp(-2 (pi sigma / step)^2), here
    below rounding, and that of p log p with it.
    """
    step = sigma / 2
    axes = [np.arange(low - 9 * sigma, high + 9 * sigma, step) for low, high in zip(Z.min(0), Z.max(0), strict=True)]
    u, v = (np.exp(-((axis - z[:, None]) ** 2) / (2 * sigma**2)) for axis, z in zip(axes, Z.T, strict=True))
    p = u.T @ v / (len(Z) * 2 * np.pi * sigma**2)
    h = -np.sum(p * np.log(np.where(p > 0, p, 1))) * step**2
    return float(h - np.log(2 * np.pi * np.e * sigma**2))


STRENGTHS = np.logspace(-2, 2, 9)
"""Of the signal: the standard deviation of Z over sigma."""

SAMPLES = 32


def encoders(eps_over_sigma2: float) -> tuple[Array, Array]:
    """Return S and I(X; Zn) of random encoders at `STRENGTHS`, nats, each [3, 9]; see `nonlinear`."""
    rows = []
    for seed in range(3):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = mlp(6, 2, hidden=[16], representation=2).get_submodule("encoder").double()
            Z = encoder(torch.randn(SAMPLES, 6, dtype=torch.float64)).detach().numpy()
        scaled = [Z * strength / Z.std() for strength in STRENGTHS]
        rows.append([(rate(z, eps_over_sigma2), mixture_information(z, 1.0)) for z in scaled])
    S, information = np.moveaxis(np.array(rows), -1, 0)
    return S, information


def nonlinear(eps_over_sigma2: float = 1.0) -> Measured:
    """Assumption 3: I(X; Zn) <= S at eps = sigma^2, whatever the encoder.

    Of all Zn with the covariance Sigma + sigma^2 I the Gaussian has the largest entropy, so I = h(Zn) - h(sigma xi) <=
    1/2 log det(I + Sigma/sigma^2) = S, and a larger eps gives less than S. X is uniform on a training set, so that
    Sigma is the surrogate's own, and I is known by quadrature.
    Measured on random encoders of the project, 32 samples, at nine strengths of the signal: the largest I - S, beside
    I <= log 32, which binds where S is far above. Tolerance 1e-9 nats: the quadrature.
    Control: eps = 4 sigma^2, which S needs to be small to break: so weak signals are among them.
    """
    S, information = encoders(eps_over_sigma2)
    slack = S - information
    worst = float(np.max([-slack.min(), information.max() - np.log(SAMPLES)]))
    text = f"largest I - S = {-slack.min():.1e} nats in {slack.size} encoders"
    return Measured(worst, 1e-9, f"{text}; S - I from {slack.min():.1e} to {slack.max():.1f}")


# --- Theorem 3 and Corollary 1 --------------------------------------------------------------------------------------


def expression(S: Any, n: Any) -> Any:
    """Return the right side of Theorem 3 and Corollary 1, sqrt(2 s^2 (S + b)/n), for the 0-1 loss; S in nats.

    b is what Assumption 3 leaves open, 0 at eps = sigma^2.
    """
    return np.sqrt(2 * HALF**2 * S / n)


def memorise(n: int, *, learned: bool = True) -> tuple[Array, Array]:
    """Return gap and expression of a nearest neighbour memoriser on twenty samples of n, each [20].

    Labels are fair coins, and the encoder sends x to +-2 sigma by the label of its nearest neighbour in the sample, or,
    unless `learned`, in another one; the head reads the sign.
    """
    rng, sigma = np.random.default_rng(0), 1.0
    gaps, expressions = [], []
    for _ in range(20):
        x, x_test, x_other = rng.standard_normal((3, n, 5))
        y, y_test, y_other = rng.integers(2, size=(3, n))
        memory, answers = (x, y) if learned else (x_other, y_other)
        tree = KDTree(memory)
        Z, Z_test = (2 * sigma * (2.0 * answers[tree.query(points)[1]] - 1) for points in (x, x_test))
        gaps.append(np.mean((Z_test > 0) != y_test) - np.mean((Z > 0) != y))
        expressions.append(expression(rate(Z[:, None], sigma**2), n))
    return np.array(gaps), np.array(expressions)


def memoriser(*, learned: bool = True) -> Measured:
    """Theorem 3 / Corollary 1: gap <= sqrt(2 s^2 (S + b) / n) is a diagnostic, not a bound, for a learned encoder.

    The argument bounds the gap by the information between the sample and what is learned from it, and puts I(X; Zn) in
    its place. That compares inputs with their representations under one fixed encoder, and knows nothing of how the
    encoder came from the sample.
    Counterexample: `memorise`. Training error 0, test error 1/2, and S = 1/2 log(1 + 4) = 0.80 nats.
    Measured at n = 1000, over twenty samples: the expression over the gap; below 1 it is no bound.
    Control: an encoder of another sample, fixed before the data: there the gap is 0, and the expression above it.
    """
    gaps, expressions = memorise(1000, learned=learned)
    gap, expected = abs(float(np.mean(gaps))), float(np.mean(expressions))
    return Measured(expected / gap, 1.0, f"gap {gap:.3f}, expression {expected:.3f}: {expected / gap:.2f} of it")


TEMPERATURES = (0.05, 0.1, 0.2, 0.5, 1.0)


def enumerated(share: float) -> Array:
    """Return gap over bound at `TEMPERATURES`, [5], with this share of I in the bound; see `xu_raginsky`."""
    n, samples = 5, np.array(list(product(range(4), repeat=5)))
    W = np.array(list(product((0, 1), repeat=2)))
    loss = (W[:, [0, 0, 1, 1]] != np.array([0, 1, 0, 1])).astype(float)  # [w, z], z = (x, y)
    error = loss[:, samples].mean(-1).T  # [D, w]
    ratios = []
    for temperature in TEMPERATURES:
        q = np.exp(-error / temperature)
        q /= q.sum(1, keepdims=True)
        information = np.sum(q * np.log(q / q.mean(0))) / len(q)
        gap = np.mean(np.sum(q * (loss.mean(1) - error), 1))
        ratios.append(abs(gap) / np.sqrt(2 * HALF**2 * share * information / n))
    return np.array(ratios)


def xu_raginsky(share: float = 1.0) -> Measured:
    """A bound that holds: |E gap| <= sqrt(2 s^2 I(W; D) / n) (Xu & Raginsky 2017, arXiv:1705.07809, Theorem 1).

    W is what is learned, D the sample of n: by Donsker and Varadhan, E[loss of W on D] under the joint law and under
    the product of its marginals differ by at most sqrt(2 (s^2/n) I(W; D)), the loss of a fixed W on D being
    s/sqrt(n)-sub-Gaussian, and under the product it is the test loss.
    Measured by enumerating every sample: x of two values, fair-coin labels, n = 5, W a table of labels drawn with
    probability proportional to exp(-error on D / temperature), five temperatures. The largest gap over bound;
    tolerance 1. The bound is within a few percent of the gap, so that the control, half of I, already breaks it.
    """
    worst = float(enumerated(share).max())
    return Measured(worst, 1.0, f"largest gap / bound {worst:.3f}, {4**5} samples, {len(TEMPERATURES)} temperatures")


def labelled(share: float) -> tuple[Array, Array]:
    """Return gap, and gap over bound with this share of I in it, of a memoriser, each [labellings]; see `conditional`.

    The ratio is NaN where gap and I are 0, and infinite where only I is.
    """
    n = 5
    x = np.random.default_rng(0).random(2 * n)
    coins = np.array(list(product((0, 1), repeat=n)))  # [U, n]
    trained = 2 * np.arange(n) + coins
    tested = 4 * np.arange(n) + 1 - trained
    nearest = np.take_along_axis(trained, np.abs(x[:, None] - x[trained][:, None]).argmin(-1), 1)  # [U, 2n]
    gaps, information = [], []
    for y in np.array(list(product((0, 1), repeat=2 * n))):
        F = y[nearest]
        wrong = (y != F).astype(float)
        gaps.append(np.mean(np.take_along_axis(wrong, tested, 1) - np.take_along_axis(wrong, trained, 1)))
        p = np.unique(F @ 2 ** np.arange(2 * n), return_counts=True)[1] / len(coins)
        information.append(-np.sum(p * np.log(p)))
    gap, bound = np.array(gaps), np.sqrt(2 * share * np.array(information) / n)
    with np.errstate(divide="ignore", invalid="ignore"):
        return gap, np.abs(gap) / bound


def conditional(share: float = 1.0) -> Measured:
    """A bound that holds for a memoriser: |E gap| <= sqrt(2 I(F; U) / n) (Harutyunyan et al. 2021, arXiv:2110.01584).

    Of n pairs of examples z, fair coins U choose which of each pair is trained on; F are the predictions on all 2n.
    Given z, the gap is a mean of n terms in [-1, 1] whose signs U are hidden but for what F tells: Donsker and Varadhan
    again.
    Measured by enumeration, for every labelling of ten points on a line and every U: a nearest neighbour memoriser, so
    that F is a function of U and I(F; U) = H(F). The largest gap over bound of all labellings; tolerance 1.
    Control: a quarter of I.
    """
    gap, ratio = labelled(share)
    worst = float(np.nanmax(ratio))
    return Measured(worst, 1.0, f"largest gap / bound {worst:.3f}; mean gap {gap.mean():.2f}, {gap.size} labellings")


# --- Proposition 4 --------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """Least-squares slopes of r data sets over one design, each [r], with m - 2 degrees of freedom."""

    slope: Array
    variance: Array
    freedom: int


def fit(x: Array, y: Array) -> Line:
    """Fit y [r, m] on x [m]."""
    centred = x - x.mean()
    weights = centred / (centred @ centred)
    slope = y @ weights
    residual = y - y.mean(1, keepdims=True) - slope[:, None] * centred
    freedom = len(x) - 2
    return Line(slope, (residual**2).sum(1) / freedom * (weights @ weights), freedom)


def exponent(injection: Line, dissipation: Line, risk: Line) -> tuple[Array, Array]:
    """Return alpha = kappa (a - b) and the half-width of its 95% interval, each [r].

    a, b are the slopes of log I and log D on log s, and kappa minus that of log risk on log(I/D), of independent data.
    To first order var alpha = (a - b)^2 var kappa + kappa^2 (var a + var b); Student's t with Welch and Satterthwaite's
    degrees of freedom, since each variance is itself estimated from a few points.
    """
    kappa, difference = -risk.slope, injection.slope - dissipation.slope
    parts = [difference**2 * risk.variance, kappa**2 * injection.variance, kappa**2 * dissipation.variance]
    variance = sum(parts, np.zeros_like(kappa))
    fits = (risk, injection, dissipation)
    freedom = variance**2 / sum(part**2 / line.freedom for part, line in zip(parts, fits, strict=True))
    return kappa * difference, stats.t.ppf(0.975, freedom) * np.sqrt(variance)


class Truth(NamedTuple):
    """What the synthetic studies are drawn from."""

    kappa: float = 0.8
    a: float = 1.2
    b: float = 0.7

    @property
    def alpha(self) -> float:
        """The exponent of Proposition 4."""
        return self.kappa * (self.a - self.b)


def studies(truth: Truth, count: int = 2000, scales: int = 12, noise: float = 0.1) -> tuple[Line, Line, Line]:
    """Return the fits of I, D and risk in studies of so many scales and ratios, over two decades, noise in all logs."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, np.log(100), scales)
    powers = (truth.a, truth.b, -truth.kappa)
    injection, dissipation, risk = (
        fit(x, power * x + noise * rng.standard_normal((count, scales))) for power in powers
    )
    return injection, dissipation, risk


def without_error(line: Line) -> Line:
    """Return the fit as if its slope were exact."""
    return line._replace(variance=np.zeros_like(line.variance))


def held(truth: Truth, alpha: Array, half_width: Array) -> NDArray[np.bool_]:
    """Return which intervals hold the true alpha, [r]."""
    return np.abs(alpha - truth.alpha) <= half_width


def coverage(*, rates_exact: bool = False, wrong_sign: bool = False) -> Measured:
    """Proposition 4: I = I0 s^a, D = D0 s^b and excess risk R ~ (I/D)^-kappa give R ~ s^-(kappa (a - b)).

    Substitute. It predicts R from rates, so what must be honest is the prediction's interval: `exponent`. kappa is
    calibrated where I/D is set, without error: regressed on a measured I/D it would be biased to 0.
    Measured on 2000 synthetic studies of 12 scales and 12 ratios, two decades each, noise 0.1 in every logarithm
    (kappa 0.8, a 1.2, b 0.7, alpha 0.4): how far the share of 95% intervals that hold alpha is from 0.95. Tolerance:
    three binomial standard errors, 0.015.
    Control: rates taken for exact, and b of the wrong sign (a + b).
    """
    truth, count = Truth(), 2000
    injection, dissipation, risk = studies(truth, count)
    if rates_exact:
        injection, dissipation = without_error(injection), without_error(dissipation)
    if wrong_sign:
        dissipation = dissipation._replace(slope=-dissipation.slope)
    alpha, half_width = exponent(injection, dissipation, risk)
    covered = float(held(truth, alpha, half_width).mean())
    text = f"alpha = {alpha.mean():.3f} +- {alpha.std():.3f} of {truth.alpha:.3f}; intervals hold it {covered:.1%} of"
    return Measured(abs(covered - 0.95), 3 * float(np.sqrt(0.95 * 0.05 / count)), f"{text} the time")


def dishonest() -> Measured:
    """Return the better of the two controls of `coverage`."""
    return min(coverage(rates_exact=True), coverage(wrong_sign=True), key=lambda measured: measured.value)


def designs(*, normal: bool = False) -> Measured:
    """Proposition 4: the interval stays honest when it rests on few points and much noise.

    `exponent` is approximate twice, in a variance to first order and in Welch and Satterthwaite's t.
    Measured: how far its coverage is from 0.95, at worst over 4, 6 and 12 scales, noise 0.02, 0.1 and 0.5, and three
    truths: that of `coverage`, no exponent at all (a = b), and a weak kappa of 0.2; 20 000 studies each, whose
    binomial error is 0.0015. Tolerance 0.03: where the noise is 0.5 and kappa 0.2, the first order leaves 0.02.
    (Where kappa = 0 and a = b it vanishes, and the interval, which holds in 99.7%, is too wide.)
    Control: the normal quantile 1.96, that of very many degrees of freedom, in place of Student's.
    """
    shares = []
    for truth, scales, noise in product((Truth(), Truth(b=1.2), Truth(kappa=0.2)), (4, 6, 12), (0.02, 0.1, 0.5)):
        injection, dissipation, risk = (
            line._replace(freedom=10**9) if normal else line for line in studies(truth, 20_000, scales, noise)
        )
        shares.append(float(held(truth, *exponent(injection, dissipation, risk)).mean()))
    low, high = min(shares), max(shares)
    text = f"coverage from {low:.1%} to {high:.1%} over {len(shares)} designs"
    return Measured(max(0.95 - low, high - 0.95), 0.03, text)


# --- The figure -----------------------------------------------------------------------------------------------------

SIZES = (10, 30, 100, 300, 1000)
"""Of the memoriser's sample; the last is the gate's."""


def draw(folder: Path) -> list[Path]:
    """Draw each statement beside what was measured of it, write PDF, SVG and PNG, return their paths.

    Blue is what the statement is about, grey what it says, orange the control: the numbers of the gates.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 5.6), layout="constrained")
        (equal, below, gap), (learner, memory, study) = figure.subplots(2, 3)

        for times, mark, colour in ((1, "o", BLUE), (4, "x", ORANGE)):
            S, information = gaussians(float(times))
            equal.loglog(information, S, mark, color=colour, markersize=4, label=f"ε = {times if times > 1 else ''}σ²")
        equal.loglog(*[[information.min(), information.max()]] * 2, color=GREY, linestyle="--", label="S = I")
        equal.set(xlabel="I(X; Zₙ) (nats)", ylabel="S (nats)")

        S, information = encoders(1.0)
        short, _ = encoders(4.0)
        below.loglog(STRENGTHS, information.T, color=BLUE, linewidth=1, label=["I(X; Zₙ)", None, None])
        below.loglog(STRENGTHS, S.T, color=GREY, linestyle="--", linewidth=1, label=["S, ε = σ²", None, None])
        below.loglog(STRENGTHS, short.T, color=ORANGE, linestyle="--", linewidth=1, label=["S, ε = 4σ²", None, None])
        below.axhline(np.log(SAMPLES), color=GREY, linestyle=":", label=f"log {SAMPLES}")
        below.set(xlabel="standard deviation of Z / σ", ylabel="information (nats)")

        for learned, mark, colour, label in ((True, "o", BLUE, "memoriser"), (False, "x", ORANGE, "encoder fixed")):
            drawn = np.array([memorise(n, learned=learned)[0] for n in SIZES])
            error = 2 * drawn.std(1, ddof=1) / np.sqrt(drawn.shape[1])
            gap.errorbar(SIZES, drawn.mean(1), error, fmt=mark, color=colour, markersize=4, linewidth=1, label=label)
        gap.plot(SIZES, [memorise(n)[1].mean() for n in SIZES], color=GREY, linestyle="--", label="√(2s²S/n)")
        gap.set(xscale="log", xlabel="samples n", ylabel="gap ± 2 standard errors")

        for share, mark, colour, label in ((1.0, "o", BLUE, "I(W; D)"), (0.5, "x", ORANGE, "half of it")):
            learner.semilogx(TEMPERATURES, enumerated(share), mark, color=colour, markersize=4, label=label)
        learner.set(xlabel="temperature (units of error)", ylabel="gap / bound", ylim=(0, 1.5))

        bins = np.arange(0, 1.55, 0.05)
        for share, colour, label in ((1.0, BLUE, "I(F; U)"), (0.25, ORANGE, "a quarter of it")):
            memory.hist(labelled(share)[1], bins, color=colour, alpha=0.5, label=label)
        memory.set(xlabel="gap / bound", ylabel="labellings")
        learner.axhline(1, color=GREY, linestyle="--", label="the bound")
        memory.axvline(1, color=GREY, linestyle="--", label="the bound")

        truth = Truth()
        injection, dissipation, risk = studies(truth)
        rates = (without_error(injection), without_error(dissipation))
        shares = [
            _intervals(study, place, truth, *exponent(*lines))
            for place, lines in enumerate(((injection, dissipation, risk), (*rates, risk)))
        ]
        study.axhline(truth.alpha, color=GREY, linestyle="--", label="κ (a − b)")
        study.set(ylabel="exponent, 95% interval")
        study.set_xticks([0, 1], [f"as it is\n{shares[0]:.1%} hold", f"rates exact\n{shares[1]:.1%} hold"])
        study.grid(visible=False, axis="x")

        panel(equal, "Assumption 3, equality")
        panel(below, "Assumption 3")
        panel(gap, "Theorem 3, Corollary 1")
        panel(learner, "Theorem 3, with I(W; D)")
        panel(memory, "Theorem 3, with f-CMI")
        panel(study, "Proposition 4")
    return save(figure, folder / FIGURE, ("pdf", "svg", "png"))


def _intervals(axes: Axes, place: int, truth: Truth, alpha: Array, half_width: Array) -> float:
    """Draw forty intervals side by side about a place, those that miss in orange; return the share of all that hold."""
    x, holds = place + np.linspace(-0.4, 0.4, 40), held(truth, alpha, half_width)
    ends = np.stack([alpha - half_width, alpha + half_width])[:, : len(x)]
    for which, colour, label in ((holds, BLUE, "holds it"), (~holds, ORANGE, "misses it")):
        shown = which[: len(x)]
        named = label if place else "_"  # which keeps it out of the legend
        axes.vlines(x[shown], *ends[:, shown], color=colour, linewidth=1, label=named)
    return float(holds.mean())


GATES = [
    Gate(
        "Assumption 3, equality",
        "I(X; Zn) = S for a linear Gaussian encoder at eps = sigma^2",
        linear_gaussian,
        partial(linear_gaussian, 4.0),
        "eps = 4 sigma^2",
        figure=FIGURE,
    ),
    Gate(
        "Assumption 3",
        "I(X; Zn) <= S for any encoder at eps = sigma^2",
        nonlinear,
        partial(nonlinear, 4.0),
        "eps = 4 sigma^2",
        figure=FIGURE,
    ),
    Gate(
        "Theorem 3, Corollary 1",
        "known inconsistency: sqrt(2 s^2 (S + b)/n) is below the gap of a memoriser, so no bound",
        memoriser,
        partial(memoriser, learned=False),
        "an encoder fixed before the data",
        figure=FIGURE,
    ),
    Gate(
        "Theorem 3, with I(W; D)",
        "Xu and Raginsky: gap <= sqrt(2 s^2 I(W; D)/n)",
        xu_raginsky,
        partial(xu_raginsky, 0.5),
        "half of I",
        figure=FIGURE,
    ),
    Gate(
        "Theorem 3, with f-CMI",
        "gap <= sqrt(2 I(F; U)/n), for a memoriser too",
        conditional,
        partial(conditional, 0.25),
        "a quarter of I",
        figure=FIGURE,
    ),
    Gate(
        "Proposition 4",
        "the exponent kappa (a - b) is recovered, with an honest interval",
        coverage,
        dishonest,
        "rates taken for exact, or a + b",
        figure=FIGURE,
    ),
    Gate(
        "Proposition 4",
        "the interval stays honest with few scales and much noise",
        designs,
        partial(designs, normal=True),
        "the normal quantile for Student's",
        slow=True,
    ),
]
