"""Gates on the motion of theta: Propositions 1, 2 and 3, Theorems 1 and 2.

All on the project's own energy: the full training set, no noise, in float64. E = L + lam S + omega Omega + rho D,
gE = grad E, F = ||gS||; theta moves by gradient descent, theta' = theta - eta gE, or by its flow, dtheta/dt = -gE.
"""

from collections.abc import Callable, Iterable
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import vmap

from experiments.theory.gate import Gate, Measured, panel
from hclm_runner.config import RunConfig, configure
from hclm_runner.models import mlp
from hclm_runner.physics.energy import asymmetric_cost, group_sparsity
from hclm_runner.physics.observables import forces
from hclm_runner.physics.premises import force_premise, smoothness
from hclm_runner.picture import BLUE, GREY, ORANGE, STYLE, save
from hclm_runner.regimes import Seen
from hclm_runner.streams import stream
from hclm_runner.training.batch import build
from hclm_runner.training.problem import flatten
from hclm_runner.training.trainer import gradients, train

FIGURE = "dynamics"
"""The stem of the figure that `draw` writes."""

ROUNDING = 1e-12
"""What float64 leaves of a difference of energies near 1 nat."""

SURROGATES = ("logdet", "variance", "softmax")

Scalar = Callable[[Tensor], Tensor]
"""A function of theta [p]."""
Array = NDArray[np.float64]


@cache
def config(*overrides: str) -> RunConfig:
    """Return a small reference task in float64, its optimiser plain gradient descent."""
    sizes = ("classes=3", "signal=4", "nuisance=2", "train=48", "feedback=16", "test=16")
    small = [f"task.{size}" for size in sizes]
    return configure(["dtype=float64", "device=cpu", "optimizer.momentum=0.0", *small, *overrides])


def smooth(features: int, classes: int) -> nn.Module:
    """Return a network without ReLU: Theorem 1 needs a gradient that is Lipschitz, which no kink allows."""
    encoder = nn.Sequential(nn.Linear(features, 8), nn.Tanh(), nn.Linear(8, 4))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(4, classes)})


def linear(features: int, classes: int) -> nn.Module:
    """Return a linear encoder whose Z are the logits: S is quadratic in theta for `variance`, and gL is bounded."""
    return nn.ModuleDict({"encoder": nn.Linear(features, classes), "head": nn.Identity()})


class System:
    """One run without noise: the parts of its energy as functions of theta [p], and the project's own step."""

    def __init__(self, *overrides: str, model: Callable[[int, int], nn.Module] = smooth) -> None:
        """Draw the data and the weights of the run from its seed."""
        self.config = config(*overrides)
        task = self.config.task.load()(stream(self.config.seed, "data"), **self.config.task.options)
        self.x, self.y = (torch.as_tensor(part) for part in task.train)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            module = model(self.x.shape[1], task.classes).double()
        self.physics, self.theta = Physics(self.config, module, task.classes), flatten(module)
        self.classes: int = task.classes
        self.numbers = _first(self.physics.numbers([self.config], torch.float64, "cpu"))

    def entropy(self, theta: Tensor) -> Tensor:
        """Entropy of the training set, nats."""
        return self.physics.entropy(self._encode(theta), self.numbers)

    def loss(self, theta: Tensor) -> Tensor:
        """Loss on the training set, nats: the energy without its other terms."""
        return self.energy(theta, 0.0, omega=0.0, rho=0.0)

    def structure(self, theta: Tensor) -> Tensor:
        """Structural penalty."""
        return group_sparsity(self.physics.parameters(theta))

    def risk(self, theta: Tensor) -> Tensor:
        """Decision risk."""
        logits = self.physics.read(self.physics.parameters(theta), self._encode(theta))
        return asymmetric_cost(logits, self.y, **self.config.risk.options)

    def energy(self, theta: Tensor, lam: float | Tensor, **weights: float) -> Tensor:
        """Energy, Eq 2; `weights` replace the run's omega and rho."""
        xi = self.x.new_zeros(len(self.x), 1)
        return self.physics.energy(theta, self.x, self.y, xi, number(lam), self.numbers | weights)

    def step(self, theta: Tensor, g: Tensor, eta: float) -> Tensor:
        """Return theta after one step of the project's optimiser."""
        numbers = self.numbers | {"optimizer": self.numbers["optimizer"] | {"lr": number(eta)}}
        return self.physics.update(theta, g, self.physics.start(theta, numbers), numbers)[0]

    def at(self, lam: float | Tensor) -> Scalar:
        """Return theta -> E at this lam."""
        return lambda theta: self.energy(theta, lam)

    def _encode(self, theta: Tensor) -> Tensor:
        return self.physics.encode(self.physics.parameters(theta), self.x)


def number(value: float | Tensor) -> Tensor:
    """Return a scalar of float64."""
    return torch.as_tensor(value, dtype=torch.float64)


def largest(values: Iterable[float]) -> float:
    """Return the largest of the values; NaN if one is NaN, which Python's own max may pass over."""
    return float(np.max(list(values)))


def slope(x: Array, y: Array) -> float:
    """Return the least-squares slope of y against x."""
    x = x - x.mean()
    return float(x @ y / (x @ x))


def _first(numbers: Any) -> Any:
    """Return the numbers of the first run of a batch."""
    return {key: _first(value) for key, value in numbers.items()} if isinstance(numbers, dict) else numbers[0]


def value_and_grad(f: Scalar, theta: Tensor) -> tuple[float, Tensor]:
    """Return f(theta), and grad f(theta) [p] as the trainer takes it."""
    theta = theta.detach().requires_grad_()
    value = f(theta)
    return float(value.detach()), gradients(theta, value)[0]


def grad(f: Scalar, theta: Tensor) -> Tensor:
    """Return grad f(theta), [p]."""
    return value_and_grad(f, theta)[1]


# --- Proposition 1 --------------------------------------------------------------------------------------------------


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

    alone = losses("surrogate=custom", "surrogate._target_=experiments.theory.dynamics.nothing")
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
        parameters = system.physics.parameters(system.theta)
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


# --- Theorem 1 ------------------------------------------------------------------------------------------------------


class Descent(NamedTuple):
    """Full-batch gradient descent of E under a control law, for T steps."""

    eta: float
    E: Array
    """E(theta_t, lam_t), [T + 1]."""
    gg: Array
    """||gE(theta_t, lam_t)||^2, [T]."""
    W: Array
    """Control work sum_{u < t} (lam_{u+1} - lam_u)^+ S(theta_{u+1}), [T + 1]."""

    @property
    def steps(self) -> Array:
        """T = 1, 2, ..., [T]."""
        return np.arange(1.0, len(self.gg) + 1)

    @property
    def rise(self) -> Array:
        """E_{t+1} - E_t + (eta/2) ||gE_t||^2, [T]: above 0 where a step falls by less than the theorem says."""
        return np.diff(self.E) + self.eta / 2 * self.gg

    @property
    def least(self) -> Array:
        """min_{t<T} ||gE_t||^2, [T]."""
        return np.minimum.accumulate(self.gg)

    @property
    def fall(self) -> Array:
        """E_0 - E_T, nats, [T]: the least that may stand for E_0 - E_inf."""
        return self.E[0] - self.E[1:]

    def bound(self, budget: Array | float) -> Array:
        """Return 2 budget / (eta T), [T]; budget in nats."""
        return 2 * budget / (self.eta * self.steps)

    def excess(self, budget: Array | float) -> float:
        """Return max over T of min_{t<T} ||gE||^2 - 2 budget / (eta T): above 0 where the bound fails."""
        return float((self.least - self.bound(budget)).max())


def descend(system: System, eta: float, T: int) -> Descent:
    """Descend from the system's theta, lam set by the project's law of its configuration after every step."""
    law = build(system.config.regime, {})
    theta, missing = system.theta, number(torch.nan)
    state = law.init(number(system.config.lam), number(system.classes).log())
    E, gg, W = [], [], [0.0]
    for t in range(T + 1):
        S, before = system.entropy(theta), state["lam"]
        state = law.update(state, Seen(t, S, missing, missing, missing))
        if t > 0:
            W.append(W[-1] + float((state["lam"] - before).clamp(min=0) * S))
        value, g = value_and_grad(system.at(state["lam"]), theta)
        E.append(value)
        gg.append(float(g @ g))
        theta = system.step(theta, g, eta)
    return Descent(eta, np.array(E), np.array(gg[:-1]), np.array(W))


def steepest(system: System, lam: float, eta: float, T: int) -> float:
    """Return the largest ||H|| along a descent of E in small steps, of those at every quarter of it."""
    theta, norms = system.theta, []
    for t in range(T):
        if t % (T // 4) == 0:
            norms.append(smoothness(vmap(system.at(lam)), theta[None]).item())
        theta = system.step(theta, grad(system.at(lam), theta), eta)
    return largest(norms)


MARGIN = 1.25
"""beta over the largest ||H|| that `steepest` meets: it covers what lies between its points."""


@cache
def fixed_lam(eta_beta: float) -> Descent:
    """Return a descent at lam = 3 with eta = eta_beta / beta.

    beta, the Lipschitz constant of gE where the path runs, is `MARGIN` times the largest ||H|| met by a descent of the
    same length in steps half as long. At theta_0 alone it would not do: ||H|| grows along the way.
    """
    system, T = System("lam=3.0"), 40
    beta = MARGIN * steepest(system, 3.0, 0.1, 2 * T)
    return descend(system, eta_beta / beta, T)


def descent(eta_beta: float = 1.0) -> Measured:
    """Theorem 1, each step: gE beta-Lipschitz and eta <= 1/beta give E_{t+1} <= E_t - (eta/2) ||gE_t||^2.

    E(theta - eta g) <= E - eta ||g||^2 + (beta/2) eta^2 ||g||^2, and 1 - beta eta / 2 >= 1/2. On a network without
    kinks: the ReLU in the head of the project's `mlp` has no finite beta, so there the theorem is not available.
    Measured: the largest E_{t+1} - E_t + (eta/2) ||gE_t||^2 on the path; tolerance: float64 rounding of E near 1 nat.
    Control: eta = 3/beta.
    """
    path = fixed_lam(eta_beta)
    worst = float(path.rise.max())
    return Measured(worst, ROUNDING, f"largest excess {worst:.1e} nats a step in {len(path.gg)}, eta = {path.eta:.2f}")


def stationarity(eta_beta: float = 1.0) -> Measured:
    """Theorem 1: min_{t<T} ||gE_t||^2 <= 2 (E_0 - E_inf) / (eta T), E_inf a lower bound of E.

    Sum the descent of each step: (eta/2) sum_{t<T} ||gE_t||^2 <= E_0 - E_T <= E_0 - E_inf, and the least term is at
    most the mean. Measured with E_T for E_inf, the sharper form, at every T up to the last; tolerance: rounding.
    Control: eta = 3/beta.
    """
    path = fixed_lam(eta_beta)
    worst = path.excess(path.fall)
    text = f"min ||gE||^2 = {path.least[-1]:.1e} <= {path.bound(path.fall)[-1]:.1e} at the"
    return Measured(worst, ROUNDING, f"{text} end; largest excess {worst:.1e}")


@cache
def chattering() -> Descent:
    """Return a descent under a thermostat whose gain makes lam chatter between its bounds, eta = 1/beta.

    On a linear encoder with S = `variance` and a convex L beta is known: the Hessian of softmax cross-entropy in the
    logits is at most 1/2, so beta = lambda_max(X^T X / n) / 2 + lam_max lambda_max(C) / eps, X the features beside a 1,
    C their covariance.
    """
    gains = ("kp=10.0", "ki=0.0", "smoothing=1.0", "warmup=0", "setpoint=0.1", "lam_max=1.0")
    law = ["regime=thermostat", *(f"regime.{gain}" for gain in gains)]
    system = System("surrogate=variance", "lam=0.001", *law, model=linear)
    X = torch.cat([system.x, torch.ones_like(system.x[:, :1])], 1)
    C = torch.cov(system.x.T, correction=0)
    beta = _largest(X.T @ X / len(X)) / 2 + _largest(C) / system.config.surrogate.options["eps"]
    return descend(system, 1 / beta, 200)


def control_work(*, counted: bool = True) -> Measured:
    """Theorem 1 with adaptive lam: to E_0 - E_inf comes the work of the controller, sum (lam_{t+1} - lam_t)^+ S_{t+1}.

    E_t = E(theta_t, lam_t), S >= 0. Descent holds at fixed lam_t; then the change of lam adds (lam_{t+1} - lam_t)
    S(theta_{t+1}): E_{t+1} <= E_t - (eta/2) ||gE_t||^2 + (lam_{t+1} - lam_t)^+ S_{t+1}. Sum over t, as before. Without
    the work the theorem is false even for bounded lam: a controller that chatters feeds energy in as fast as descent
    takes it out, and ||gE|| never gets small.
    Measured on such a controller, `chattering`: the excess over the bound, E_T for E_inf, at every T; tolerance:
    rounding.
    Control: the work left out, and E_inf replaced by 0, which L, S >= 0 allow: the paper's bound at its weakest.
    """
    path = chattering()
    worst = path.excess(path.fall + path.W[1:] if counted else path.E[0])
    text = (
        f"largest excess {worst:.1e}; min ||gE||^2 = {path.gg.min():.2f}, E_0 = {path.E[0]:.1f}, work {path.W[-1]:.1f}"
    )
    return Measured(worst, ROUNDING, text)


def _largest(matrix: Tensor) -> float:
    return float(torch.linalg.eigvalsh(matrix)[-1])


def along(system: System, lam: float, T: int, beta: float) -> float:
    """Return a beta of at least `MARGIN` ||H|| at four points of T steps 1/beta: this one, doubled until it is.

    Longer steps come further, where ||H|| is larger, so that no path is known before its beta. `steepest` is asked of a
    third more steps: its four points are then the start, both thirds and the end.
    """
    while not MARGIN * steepest(system, lam, 1 / beta, 4 * T // 3) <= beta:  # NaN, of a path that diverged, too
        beta *= 2
    return beta


def whole_paths(*, start_only: bool = False) -> Measured:
    """Theorem 1 on fifteen paths, three surrogates from five seeds: it asks for the path's beta, not the start's.

    gE is to be beta-Lipschitz wherever the path runs, and ||H|| grows as weights do. Measured at lam = 1 in 90 steps of
    1/beta, beta by `along`: the largest excess, of any step and over the bound on min ||gE||^2 with E_T for E_inf;
    tolerance: rounding. Control: beta = `MARGIN` ||H|| at theta_0 alone.
    """
    excess, growth, T = [], [], 90
    for surrogate, seed in product(SURROGATES, range(5)):
        system = System(f"surrogate={surrogate}", f"seed={seed}", "lam=1.0")
        start = MARGIN * smoothness(vmap(system.at(1.0)), system.theta[None]).item()
        beta = start if start_only else along(system, 1.0, T, start)
        path = descend(system, 1 / beta, T)
        excess.append(largest([path.rise.max(), path.excess(path.fall)]))
        growth.append(beta / start)
    worst, broken = largest(excess), sum(not value <= ROUNDING for value in excess)
    text = f"largest excess {worst:.1e}, on {broken} of {len(excess)} paths above rounding"
    return Measured(worst, ROUNDING, text if start_only else f"{text}; beta up to {max(growth):.0f} times the start's")


# --- Theorem 2 and Proposition 2 ------------------------------------------------------------------------------------

SIGNS = (1, -1, -1, -1)
"""Of the terms of the balance: injection, lam F^2, omega <gS, gOmega>, rho <gS, gD>."""

FLIPPED = [tuple(-s if i == j else s for j, s in enumerate(SIGNS)) for i in range(len(SIGNS))]
"""One of them wrong, each in turn."""


def euler_error(surrogate: str, signs: tuple[int, ...] = SIGNS) -> tuple[Array, Array]:
    """Return steps eta, and by how much one step's dS/dt misses the balance, nats per unit of time; see `balance`."""
    system = System(f"surrogate={surrogate}", "lam=0.5", "omega=0.1", "rho=0.5")
    weights, theta, S = system.config, system.theta, system.entropy(system.theta)
    gS, gL, gOmega, gD = (grad(part, theta) for part in (system.entropy, system.loss, system.structure, system.risk))
    row = forces(gS, gL, number(weights.lam))
    terms = (row["injection"], row["dissipation"], weights.omega * gS @ gOmega, weights.rho * gS @ gD)
    rate = sum(sign * float(term) for sign, term in zip(signs, terms, strict=True))
    eta = np.array([2.0**-k for k in range(6, 13)])
    gE = grad(system.at(weights.lam), theta)
    return eta, np.array([abs(float(system.entropy(system.step(theta, gE, h)) - S) / h - rate) for h in eta])


def entropy_balance(surrogate: str, signs: tuple[int, ...] = SIGNS) -> float:
    """Return how far the slope of log error against log eta is from 1."""
    eta, error = euler_error(surrogate, signs)
    return abs(slope(np.log(eta), np.log(error)) - 1)


def balance() -> Measured:
    """Theorem 2: along the flow dS/dt = -<gS, gL> - lam F^2 - omega <gS, gOmega> - rho <gS, gD>.

    dS/dt = <gS, dtheta/dt> = -<gS, gE>, and gE = gL + lam gS + omega gOmega + rho gD.
    Measured, all four terms on: S before and after one step of the project's optimiser without momentum. Its rate of
    change misses the right-hand side, put together from the project's columns, by (eta/2) gE^T H gE + O(eta^2): first
    order, so log error against log eta has slope 1. Tolerance 0.1: the second order at the largest step. With
    momentum a step is not one of the flow, and the balance does not hold step by step.
    Control: the sign of one term flipped, each in turn: the error tends to twice that term, and the slope to 0.
    """
    worst = largest(entropy_balance(surrogate) for surrogate in SURROGATES)
    return Measured(worst, 0.1, f"slope of log error within {worst:.3f} of 1, three surrogates")


def flipped() -> Measured:
    """Return the nearest to slope 1 that any flip of a sign comes."""
    nearest = min(entropy_balance(surrogate, signs) for surrogate in SURROGATES for signs in FLIPPED)
    return Measured(nearest, 0.1, f"slope at least {nearest:.2f} from 1 for each of four terms, three surrogates")


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
        row = forces(grad(system.entropy, system.theta), grad(system.loss, system.theta), number(0.0))
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


# --- Proposition 3 --------------------------------------------------------------------------------------------------


def force_path(system: System, lam: float, T: int) -> tuple[Array, Array, Array]:
    """Return F, gS^T H gS / F^2 and |gS^T H gL| / F along a descent in small steps, each [T]; H the Hessian of S."""
    theta, rows = system.theta, []
    for _ in range(T):
        gS, gL = grad(system.entropy, theta), grad(system.loss, theta)
        found = force_premise(system.entropy, system.loss, theta)
        rows.append((gS.norm(), found["curvature"], found["coupling"]))
        theta = system.step(theta, gL + lam * gS, 0.1)
    F, along, across = np.array(rows, dtype=np.float64).T
    return F, along, across


def far_out() -> System:
    """Return the closed case of Proposition 3, started ten times too far out."""
    system = System("surrogate=variance", model=linear)
    system.theta = 10 * system.theta
    return system


def entering(lam: float) -> tuple[Array, float]:
    """Return F along a descent of `far_out` at this lam, and the limit C/mu of lam = 1; see `force_enters`."""
    paths = {each: force_path(far_out(), each, 100) for each in {1.0, lam}}
    _, mu, C = paths[1.0]
    return paths[lam][0], float(C.max() / mu.min())


def force_enters(lam: float = 1.0) -> Measured:
    """Proposition 3: if gS^T H gS >= mu F^2 and |gS^T H gL| <= C F wherever F > R0, F enters F <= max(R0, C/(lam mu)).

    d(F^2/2)/dt = gS^T H dtheta/dt = -gS^T H gL - lam gS^T H gS <= C F - lam mu F^2, negative beyond C/(lam mu).
    Measured where the premise holds exactly with R0 = 0: a linear encoder whose Z are the logits, S = `variance`,
    so H = 1/eps times the covariance of the features, positive, and ||gL|| bounded as for any logistic loss. mu and C
    are the least and the largest on the path at lam = 1, which is the flow in small steps. F over that path's limit,
    the largest in its second half; tolerance 1.
    Control: a hundredth of that lam, with the same limit: the loss holds the force outside.
    """
    F, limit = entering(lam)
    worst = float(F[50:].max()) / limit
    return Measured(worst, 1.0, f"F = {F[0]:.1f} -> {F[-1]:.2f}, limit C/(lam mu) = {limit:.2f}: {worst:.2f} of it")


def premise(surrogates: tuple[str, ...] = ("logdet", "softmax"), *, closed: bool = False) -> Measured:
    """Proposition 3, its premise: gS^T H gS >= mu F^2 with mu > 0 is not given, and fails on the project's network.

    Along a ray t Z the log-det's force falls as 1/t: where Z is large, F grows while S falls. The softmax entropy has
    its maximum at Z = 0, and is concave around it. `variance` has a positive mu as long as the encoder is linear.
    Measured on the reference architecture, descending the loss alone: the least gS^T H gS / F^2, which is negative for
    each surrogate; tolerance 0. Control: the closed case, where it is positive.
    """
    least, shares = [], []
    for surrogate in surrogates:
        system = far_out() if closed else System(f"surrogate={surrogate}", model=_reference)
        mu = force_path(system, 0.0, 100)[1]
        least.append(float(mu.min()))
        shares.append(f"{surrogate} {(mu > 0).mean():.0%}")
    return Measured(largest(least), 0.0, f"mu > 0 in {', '.join(shares)} of the path; least {max(least):.3f}")


def _reference(features: int, classes: int) -> nn.Module:
    return mlp(features, classes, hidden=[16], representation=8)


# --- The figure -----------------------------------------------------------------------------------------------------

MARKS = dict(zip(SURROGATES, "os^", strict=True))


def draw(folder: Path) -> list[Path]:
    """Draw each statement beside what was measured of it, write PDF, SVG and PNG, return their paths.

    Blue is what the statement is about, grey what it says, orange the control: the numbers of the gates.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 5.6), layout="constrained")
        (step, fixed, adaptive), (rates, still, force) = figure.subplots(2, 3)

        kept, broken = fade(bounded), fade(unbounded)
        step.loglog(kept.F, LAM_MAX * kept.F, color=GREY, linestyle="--", label="lam$_{max}$ F")
        step.loglog(kept.F, kept.loss_force, color=GREY, linestyle=":", label="‖∇L‖, plain step")
        step.loglog(kept.F, kept.apart, "o", color=BLUE, markersize=3.5, label="lam = lam$_{max}$")
        step.loglog(broken.F, broken.apart, "x", color=ORANGE, markersize=4, label="lam = 1/F")
        step.set(xlabel="force F (nats / unit of θ)", ylabel="steps apart / η (nats / unit of θ)")

        for times, colour in ((1, BLUE), (3, ORANGE)):
            path = fixed_lam(float(times))
            fixed.loglog(path.steps, path.least, color=colour, label=f"η = {times}/β")
            fixed.loglog(path.steps, path.bound(path.fall), color=colour, linestyle="--", label=f"bound, η = {times}/β")
        _broken(fixed, path, path.fall)

        path = chattering()
        adaptive.loglog(path.steps, path.least, color=BLUE, label="η = 1/β")
        for budget, colour, label in (
            (path.fall + path.W[1:], BLUE, "bound, with work"),
            (path.E[0], ORANGE, "bound, without"),
        ):
            adaptive.loglog(path.steps, path.bound(budget), color=colour, linestyle="--", label=label)
        _broken(adaptive, path, path.E[0])
        for axes in (fixed, adaptive):
            axes.set(xlabel="steps T", ylabel="least ‖∇E‖² so far (nats² / unit of θ²)")

        for name, mark in MARKS.items():
            eta, error = euler_error(name)
            rates.loglog(eta, error, mark, color=BLUE, markersize=3.5, label=name)
            rates.loglog(eta, error[0] * eta / eta[0], color=GREY, linestyle="--", linewidth=1)
        rates.plot([], [], color=GREY, linestyle="--", linewidth=1, label="slope 1")
        eta, error = euler_error("logdet", FLIPPED[1])
        rates.loglog(eta, error, "x", color=ORANGE, markersize=4, label="logdet, +lam F²")
        rates.set(xlabel="step η (units of time)", ylabel="error of dS/dt (nats / unit of time)")

        multiples = np.linspace(-1, 2, 13)
        still.plot(multiples, 1 - multiples, color=GREY, linestyle="--", label="1 − lam / critical lam")
        for k, (name, ratios) in enumerate(zip(SURROGATES, critical(*multiples), strict=True)):
            # On one line, so each surrogate shows every third point.
            still.plot(multiples[k::3], ratios[k::3], MARKS[name], color=BLUE, markersize=3.5, label=name)
        still.axhline(0, color=GREY, linewidth=0.7)
        still.axvline(1, color=GREY, linewidth=0.7)
        still.set(xlabel="lam / critical lam", ylabel="dS/dt, of that at lam = 0")

        for lam, colour in ((1.0, BLUE), (0.01, ORANGE)):
            F, limit = entering(lam)
            force.semilogy(np.arange(len(F)), F, color=colour, label=f"lam = {lam:g}")
        force.axhline(limit, color=GREY, linestyle="--", label="C / (lam μ), lam = 1")
        force.set(xlabel="steps of 0.1", ylabel="force F (nats / unit of θ)")

        panel(step, "Proposition 1")
        panel(fixed, "Theorem 1")
        panel(adaptive, "Theorem 1, adaptive lam")
        panel(rates, "Theorem 2")
        panel(still, "Proposition 2")
        panel(force, "Proposition 3")
    return save(figure, folder / FIGURE, ("pdf", "svg", "png"))


def _broken(axes: Axes, path: Descent, budget: Array | float) -> None:
    """Fill where the bound of this budget is below what it should bound."""
    bound = path.bound(budget)
    over = path.least > bound
    axes.fill_between(path.steps, bound, path.least, over, interpolate=True, color=ORANGE, alpha=0.25, linewidth=0)


GATES = [
    Gate(
        "Proposition 1, lam = 0",
        "lam = 0 is bit-identical to no surrogate at all",
        no_surrogate,
        partial(no_surrogate, 1e-6),
        "lam = 1e-6",
    ),
    Gate(
        "Proposition 1, step",
        "lam <= lam_max: the update is within eta lam_max F of plain descent",
        step_apart,
        partial(step_apart, unbounded),
        "lam = 1/F, unbounded",
        figure=FIGURE,
    ),
    Gate(
        "Proposition 1",
        "bounded lam, F -> 0: the update tends to plain descent, where ||gL|| does not vanish",
        plain_descent,
        partial(plain_descent, unbounded),
        "lam = 1/F, unbounded",
        figure=FIGURE,
    ),
    Gate(
        "Theorem 1, each step",
        "eta <= 1/beta: E falls by (eta/2)||gE||^2 or more",
        descent,
        partial(descent, 3.0),
        "eta = 3/beta",
    ),
    Gate(
        "Theorem 1",
        "min_{t<T} ||gE||^2 <= 2(E_0 - E_inf)/(eta T)",
        stationarity,
        partial(stationarity, 3.0),
        "eta = 3/beta",
        figure=FIGURE,
    ),
    Gate(
        "Theorem 1, adaptive lam",
        "the same with the work of the controller added to E_0 - E_inf, and not without",
        control_work,
        partial(control_work, counted=False),
        "the work left out",
        figure=FIGURE,
    ),
    Gate(
        "Theorem 1, whole paths",
        "fifteen paths keep both, beta measured along each",
        whole_paths,
        partial(whole_paths, start_only=True),
        "beta of the start alone",
        slow=True,
    ),
    Gate(
        "Theorem 2",
        "dS/dt = -<gS,gL> - lam F^2 - omega<gS,gOmega> - rho<gS,gD>",
        balance,
        flipped,
        "the sign of a term flipped",
        figure=FIGURE,
    ),
    Gate(
        "Proposition 2",
        "at critical_lam entropy stands still",
        stands_still,
        partial(stands_still, 0.9),
        "at 0.9 critical_lam",
        figure=FIGURE,
    ),
    Gate(
        "Proposition 2, sign",
        "dS/dt changes its sign at critical_lam",
        turns,
        partial(turns, -1.0),
        "around -critical_lam",
        figure=FIGURE,
    ),
    Gate(
        "Proposition 3",
        "curvature mu > 0 along gS and bounded C: force enters F <= C/(lam mu)",
        force_enters,
        partial(force_enters, 0.01),
        "lam a hundredth",
        figure=FIGURE,
    ),
    Gate(
        "Proposition 3, premise",
        "known limit: mu > 0 is not given for logdet and softmax on a network",
        premise,
        partial(premise, ("variance",), closed=True),
        "variance on a linear encoder",
    ),
]
