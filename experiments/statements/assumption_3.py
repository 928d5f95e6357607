"""Assumption 3: the log-det surrogate bounds the information that the noisy representation keeps, I(X; Zn) <= S.

Nats everywhere.
"""

import math
from functools import partial
from itertools import product
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.statements.base import Gate, Measured, Statement, panel
from hclm_runner import surrogates
from hclm_runner.models import mlp
from hclm_runner.picture import BLUE, GREY, KINDS, ORANGE, STYLE, save

Array = NDArray[np.float64]


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
    return float(h - np.log(2 * np.pi * math.e * sigma**2))


STRENGTHS = np.logspace(-2, 2, 9)
"""Of the signal: the standard deviation of Z over sigma."""

SAMPLES = 32


def encoders(eps_over_sigma2: float) -> tuple[Array, Array]:
    """Return S and I(X; Zn) of random encoders at `STRENGTHS`, nats, each [3, 9]; see `nonlinear`."""
    rows = []
    for seed in range(3):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = mlp((6,), 2, hidden=[16], representation=2, activation="tanh").get_submodule("encoder").double()
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
    Measured on random encoders of the project, 32 samples, at nine strengths of the signal: the largest I - S, and
    I <= log 32, which binds where S is far above. Tolerance 1e-9 nats: the quadrature.
    Control: eps = 4 sigma^2, which S needs to be small to break: so weak signals are among them.
    """
    S, information = encoders(eps_over_sigma2)
    slack = S - information
    worst = float(np.max([-slack.min(), information.max() - np.log(SAMPLES)]))
    text = f"largest I - S = {-slack.min():.1e} nats in {slack.size} encoders"
    return Measured(worst, 1e-9, f"{text}; S - I from {slack.min():.1e} to {slack.max():.1f}")


def draw(folder: Path) -> list[Path]:
    """Draw S against I(X; Zn) of linear encoders, and both over the signal's strength of others; return the paths.

    Blue is I, grey what the assumption says, orange the control: the numbers of the gates.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 2.9), layout="constrained")
        equal, below = figure.subplots(1, 2)

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

        panel(equal, "linear encoders of a Gaussian", 3)
        panel(below, "networks on a training set", 4)
    return save(figure, folder / "assumption_3", KINDS)


GATES = (
    Gate(
        "equality",
        "I(X; Zn) = S for a linear Gaussian encoder at eps = sigma^2",
        linear_gaussian,
        partial(linear_gaussian, 4.0),
        "eps = 4 sigma^2",
    ),
    Gate(
        "",
        "I(X; Zn) <= S for any encoder at eps = sigma^2",
        nonlinear,
        partial(nonlinear, 4.0),
        "eps = 4 sigma^2",
    ),
)

STATEMENT = Statement(
    name="Assumption 3",
    says="I(X; Zn) ≤ S for the log-det surrogate.",
    as_printed="holds",
    needs="eps = sigma², with equality for a Gaussian representation. At eps = 4 sigma² it fails",
    gates=GATES,
    draw=draw,
)
