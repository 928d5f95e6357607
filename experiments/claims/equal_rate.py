"""Surrogates compared at equal information: where a law holds the rate of the channel, not the surrogate's own value.

Two surrogates at one lam, or at one value of S, keep different amounts of information. So a law with
holds="logdet_rate" holds the rate log det(I + Sigma / sigma^2) / 2 of the channel Z + sigma xi, nats, which means the
same whatever the surrogate. Of each such law two kinds of claims are made:

- A surrogate *holds the rate*: the rate is within 10% of its set point, in the mean over runs of the distance.
- A surrogate is *better at equal rate* than another: its test loss or gap is lower, or its reward or accuracy higher,
  by 5% of the other's. Values are means over base lam, which such a law makes little of; a comparison is paired.

A comparison of two surrogates whose mean rates differ by more than 10% is not one at equal rate, and INCONCLUSIVE: one
of them cannot hold the set point, or the law moves the set point of each its own way.
"""

import itertools

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from experiments import grid
from experiments.claims.claim import CELL, MARGIN, Claim, Data, collapsed
from experiments.claims.judge import Part, mean_part, quotient_part
from experiments.claims.statistics import Array

HELD = "logdet_rate"
WITHIN = 0.1
"""The relative distance up to which two rates are the same."""
OUTCOMES = {"test_loss": "<", "gap": "<", "reward": ">", "test_accuracy": ">"}
"""Column -> where a better surrogate has it."""


def of_grid(runs: xr.Dataset) -> list[Claim]:
    """Return the claims of a grid about its laws that hold the rate; none where it has no such law."""
    names = runs["surrogate"].to_numpy().tolist()
    laws = [law for law in runs["regime"].to_numpy().tolist() if _holds_rate(runs, law)]
    claims = [holds(surrogate, law) for law in laws for surrogate in names]
    pairs = [(ours, theirs) for theirs, ours in itertools.combinations(names, 2)]
    return claims + [better(*pair, law, column) for law in laws for pair in pairs for column in OUTCOMES]


def _holds_rate(runs: xr.Dataset, law: str) -> bool:
    return runs.attrs["config"].get(f"regime {law}", {}).get("holds") == HELD


def holds(surrogate: str, law: str) -> Claim:
    """Return the claim that a surrogate holds the rate at its set point."""

    def parts(d: Data) -> list[Part]:
        rate, target = (_final(d, surrogate, law, column) for column in (HELD, "setpoint"))
        text = f"distance of the rate from its set point, relative to it, {surrogate}"
        return [mean_part(text, np.abs(rate / target - 1), "<", WITHIN)]

    return Claim(f"{surrogate} / {law}: holds the rate", None, f"{surrogate} holds the rate under {law}", parts)


def better(ours: str, theirs: str, law: str, column: str) -> Claim:
    """Return the claim that a surrogate has a better value of a column than another at the same rate."""
    sense, words = OUTCOMES[column], column.replace("_", " ")

    def parts(d: Data) -> list[Part]:
        values = np.stack([
            [_final(d, each, law, name).mean(0) for name in (column, *CELL)] for each in (ours, theirs)
        ])  # fmt: skip
        rates = [float(_final(d, each, law, HELD).mean()) for each in (ours, theirs)]

        def by_collapse(values: Array) -> NDArray[np.bool_]:
            mine, other = values.mean(-1)
            return collapsed(mine[1:], other[1:], d.chance_loss) & (mine[0] < other[0])

        unequal = abs(rates[0] - rates[1]) > WITHIN * rates[1]
        why = f"the rates differ, {rates[0]:.2f} nats against {rates[1]:.2f}" if unequal else ""
        (a, *_), (b, *_) = values
        facts = {"collapse": by_collapse, "cells": values} if sense == "<" else {}  # nothing learnt raises no reward
        text = f"{words} of {ours} relative to {theirs}, at equal rate"
        return [quotient_part(text, a - b, b, sense, MARGIN if sense == ">" else -MARGIN, unsettled=why, **facts)]

    says = f"at equal rate {ours} has a {'higher' if sense == '>' else 'lower'} {words} than {theirs} under {law}"
    return Claim(f"{ours} / {law}: {words} against {theirs} at equal rate", None, says, parts)


def _final(d: Data, surrogate: str, law: str, column: str) -> Array:
    """Return a column of complete runs, [lam, runs].

    Raises:
        ConfigError: If runs are missing.
    """
    grid.complete(d.grid)
    return d.final(surrogate, law, column)
