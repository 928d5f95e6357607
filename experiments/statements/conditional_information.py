"""f-CMI: a bound on the gap of Theorem 3 that holds, estimated on runs of its own.

Of n pairs of examples, fair coins U choose which of each pair is trained on; F are the predictions on all 2n. The gap
of the 0-1 loss is at most the mean over pairs of sqrt(2 I(F_i; U_i)) (Harutyunyan et al. 2021, arXiv:2110.01584).

Chosen before any outcome was seen:
- n = 64 pairs, the smallest n of the experiment `samples`, in one batch; the task, model and epochs are the defaults.
  Without a surrogate (lam = 0), and each surrogate at lam = 0.1. 5 supersamples of 60 seeds: two minutes of one core.
- The predictions are those at the last epoch, without noise. The supersample is the independent unit: intervals are
  over the five, so t with 4 degrees of freedom.
- I is the plug-in estimate (`information`), which is biased upward. With it goes what it reads if the coins are
  shuffled over the seeds, and so know nothing of the predictions: the mean of 20 shuffles.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.special import entr
from torch import Tensor
from torch.func import vmap

from experiments.estimate import Estimate, of_seeds
from experiments.statements.generalisation import expression
from hclm_runner import tasks, terminal
from hclm_runner.config import RunConfig, configure
from hclm_runner.ranges import Count, Whole
from hclm_runner.streams import stream
from hclm_runner.tasks import Task
from hclm_runner.training.problem import Problem
from hclm_runner.training.trainer import train

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

CONDITIONS = (("logdet", 0.0), ("softmax", 0.1), ("variance", 0.1), ("logdet", 0.1))
"""Surrogate and lam of the runs of `study`; at lam = 0 the surrogate is only measured."""

SHUFFLES = 20

SIZES = ("train", "feedback", "test")
"""The options of a task that say how large its splits are."""


def coins(rng: np.random.Generator, n: int) -> Integers:
    """Return U: which of each of n pairs is trained on, [n]."""
    return rng.integers(2, size=n)


def supersample(rng: np.random.Generator, *, which: Whole, train: Count, mixture: dict[str, Any]) -> Task:
    """Split 2 `train` samples of a Gaussian mixture into pairs, of which fair coins choose the one to train on.

    The samples z, and the centres of the mixture that they come from, follow from `which` alone, whatever the seed; the
    coins U from the seed. The test split is the other sample of each pair, in the order of the pairs.

    Args:
        rng: Of the run's seed.
        which: Of the supersamples, 0, 1, ...
        train: Pairs.
        mixture: The options of `gaussian_mixture` but for the sizes of its splits.
    """
    # A stream that no run has: the second word of theirs is the place of a purpose.
    fixed = np.random.default_rng([which, 2**31])
    drawn = tasks.gaussian_mixture(fixed, **mixture, train=2 * train, feedback=1, test=1)  # neither is used
    x, y = drawn.train
    chosen = 2 * np.arange(train) + coins(rng, train)
    left = chosen ^ 1
    return Task((x[chosen], y[chosen]), drawn.feedback, (x[left], y[left]), drawn.classes)


def pairs(run: RunConfig) -> tuple[Array, Integers, Integers]:
    """Return features x [n, 2, features] and labels y [n, 2] of a run's supersample, and the run's coins U [n]."""
    task = run.task.load()(stream(run.seed, "data"), **run.task.options)
    U = coins(stream(run.seed, "data"), len(task.train[1]))
    x, y = (np.stack([trained, tested], 1) for trained, tested in zip(task.train, task.test, strict=True))
    swapped = U == 1
    x[swapped], y[swapped] = x[swapped, ::-1], y[swapped, ::-1]
    return x, y, U


def predictions(runs: Sequence[RunConfig], theta: Tensor, x: Array) -> Integers:
    """Return the class that each run gives to each sample x [n, 2, features], without noise, [R, n, 2].

    Args:
        runs: R runs of one model.
        theta: Their parameters, [R, p].
        x: What all of them are asked.
    """
    problem = Problem.of(runs[0])

    def decide(theta: Tensor, x: Tensor) -> Tensor:
        parameters = problem.parameters(theta)
        return problem.read(parameters, problem.encode(parameters, x)).argmax(-1)

    flat = torch.as_tensor(x.reshape(-1, x.shape[-1]), dtype=theta.dtype)
    decided: Integers = vmap(decide, (0, None))(theta, flat).numpy().reshape(len(runs), *x.shape[:2])
    return decided


def information(symbols: Integers, U: Integers) -> Array:
    """Return the plug-in estimate of I(symbol; coin) of each pair over m runs, [n], nats, 0 to log 2.

    The coin is known to be fair, and only the law of the symbol given the coin is estimated, by its frequencies p0 and
    p1: I = H((p0 + p1)/2) - (H(p0) + H(p1))/2. That is convex in the pair (p0, p1), so by Jensen the estimate is
    never too small in the mean (its square root may be).

    Args:
        symbols: [m, n], 0, 1, ...
        U: [m, n], 0 or 1.

    Raises:
        ValueError: If a coin fell on one side only.
    """
    sides = np.stack([U == 0, U == 1])  # [2, m, n]
    counts = sides.sum(1)
    if not counts.all():
        raise ValueError(f"more than the {len(U)} runs given: a coin fell on one side only")
    is_symbol = symbols[..., None] == np.arange(symbols.max() + 1)  # [m, n, symbols]
    p = (is_symbol & sides[..., None]).sum(1) / counts[..., None]  # [2, n, symbols]
    estimate: Array = entr(p.mean(0)).sum(-1) - entr(p).sum(-1).mean(0)
    return np.maximum(estimate, 0)  # rounding


def bound(information: Array) -> float:
    """Return (1/n) sum over pairs of sqrt(2 I), I [n]: it bounds |E gap| of the 0-1 loss, given the supersample.

    The gap is the mean over pairs of +-Delta_i, with Delta_i = the difference of the two losses, in [-1, 1], and the
    sign U_i. Under the product of the laws of F_i and U_i a pair's term has mean 0 and is 1-sub-Gaussian, so by Donsker
    and Varadhan its mean under the joint law is at most sqrt(2 I(F_i; U_i)) (Harutyunyan et al. 2021,
    arXiv:2110.01584).
    Nothing more of F_i is used than Delta_i, so a function of it that keeps Delta_i serves as well, and is tighter.
    """
    return float(np.sqrt(2 * information).mean())


def estimates(F: Integers, U: Integers, y: Integers) -> dict[str, float]:
    """Return what m runs on one supersample say of the 0-1 gap.

    Args:
        F: Predictions, [m, n, 2].
        U: Coins, [m, n].
        y: Labels, [n, 2].

    Returns:
        gap: Mean over runs of test error - training error.
        f_information: Mean over pairs of I(F_i; U_i), nats; f_bound: the bound from it; f_floor: what that bound reads
            of shuffled coins.
        e_information, e_bound, e_floor: The same of whether each of the two predictions is wrong, in place of the
            predictions themselves: the evaluated version (Steinke & Zakynthinou 2020, arXiv:2001.09122).
    """
    wrong = (y != F).astype(np.int64)
    found = {"gap": float(np.mean((wrong[..., 0] - wrong[..., 1]) * (2 * U - 1)))}
    rng = np.random.default_rng(0)
    shuffled = [rng.permutation(U) for _ in range(SHUFFLES)]
    for name, pair in (("f", F), ("e", wrong)):
        symbols = pair[..., 0] * (pair.max() + 1) + pair[..., 1]
        known = information(symbols, U)
        floor = float(np.mean([bound(information(symbols, coin)) for coin in shuffled]))
        found |= {f"{name}_information": float(known.mean()), f"{name}_bound": bound(known), f"{name}_floor": floor}
    return found


class Condition(NamedTuple):
    """What the runs of one surrogate and lam say of the gap; estimates are over supersamples."""

    surrogate: str
    lam0: float
    n: int
    """Pairs of a supersample."""
    supersamples: int
    seeds: int
    """Runs on each supersample."""
    diverged: int
    """Runs that did: they predict with the last parameters that were finite, and have no part in the expression."""
    found: Mapping[str, Estimate]
    """Of each number that `estimates` returns, and of the paper's expression."""
    each: Sequence[Mapping[str, float]]
    """The same numbers of each supersample."""

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        found = {name: estimate.as_dict() for name, estimate in self.found.items()}
        each = [{name: value if np.isfinite(value) else None for name, value in one.items()} for one in self.each]
        return {**self._asdict(), "found": found, "each": each}


def study(
    *,
    n: int = 64,
    supersamples: int = 5,
    seeds: int = 60,
    conditions: Sequence[tuple[str, float]] = CONDITIONS,
    overrides: Sequence[str] = (),
) -> list[Condition]:
    """Train on supersamples, and return the gap with f-CMI, e-CMI and the paper's expression, for each condition.

    Args:
        n: Pairs of a supersample, and samples to train on, in one batch.
        supersamples: How many, with seeds of their own.
        seeds: Runs of each condition on each supersample.
        conditions: Surrogate and lam.
        overrides: More of the configuration.
    """
    jobs = [(*condition, which) for condition in conditions for which in range(supersamples)]
    found: dict[tuple[str, float], list[dict[str, float]]] = {}
    for surrogate, lam, which in terminal.track(jobs, "training on supersamples"):
        runs = configured(surrogate, lam, which, n, seeds, overrides)
        found.setdefault((surrogate, lam), []).append(_trained(runs))
    return [
        Condition(
            surrogate,
            lam,
            n,
            supersamples,
            seeds,
            diverged=sum(int(one["diverged"]) for one in each),
            found={name: _over_supersamples([one[name] for one in each]) for name in each[0] if name != "diverged"},
            each=each,
        )
        for (surrogate, lam), each in found.items()
    ]


def configured(surrogate: str, lam: float, which: int, n: int, seeds: int, overrides: Sequence[str]) -> list[RunConfig]:
    """Return the runs on one supersample; no two supersamples share a seed."""
    mixture = {key: value for key, value in configure().task.options.items() if key not in SIZES}
    base = configure(
        f"surrogate={surrogate}",
        f"lam={lam}",
        f"batch_size={n}",
        f"task={__name__}.supersample",
        f"task.which={which}",
        f"task.train={n}",
        *(f"+task.mixture.{key}={value}" for key, value in mixture.items()),
        *overrides,
    )
    return [base.model_copy(update={"seed": which * seeds + k}) for k in range(seeds)]


def _trained(runs: Sequence[RunConfig]) -> dict[str, float]:
    """Train runs on one supersample, and return what they say of the gap."""
    records = train(runs)
    x, y, _ = pairs(runs[0])
    U = np.stack([pairs(run)[2] for run in runs])
    F = predictions(runs, torch.as_tensor(records.theta), x)
    ended = records.diverged < 0
    rates = records.columns["logdet_rate"][ended, -1]
    return estimates(F, U, y) | {
        "expression": float(expression(rates, len(y)).mean()) if ended.any() else np.nan,
        "diverged": int((~ended).sum()),
    }


def _over_supersamples(values: Sequence[float]) -> Estimate:
    """Return their mean with its t interval: here the supersamples are the independent repetitions."""
    return of_seeds(xr.DataArray(values, dims="supersample"), "supersample").item()
