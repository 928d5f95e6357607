"""Which figures there are: rows of a table, the paper's and those of any surrogate and regime, and how each looks."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import xarray as xr

from experiments import grid
from experiments.claims.claim import VIEWS
from hclm_runner.picture import BLUE, GREEN, ORANGE, PINK, REWARD
from hclm_runner.refusal import ConfigError


class FigureRow(NamedTuple):
    """One figure of one column: of all regimes over base lam, or of one regime's base lams over epochs."""

    number: int | None
    """The paper's; None for a figure that the paper does not have."""
    surrogate: str
    regime: str | None
    """The regime whose epochs are shown; None for the final values of all regimes over base lam."""
    column: str

    @property
    def views(self) -> list[str]:
        """When its values are taken: over base lam at the end, and at the chosen epoch; over epochs in all of them."""
        return list(VIEWS)[: 1 if self.regime else None]

    @property
    def stem(self) -> str:
        """The name of its files, as in fig22_logdet_fixed_test_loss; without a number, renyi_width=5_fixed_test_loss.

        Those at the chosen epoch have `_chosen` after it. Of a label such as renyi(width=5, order=2) it keeps what
        needs no quotes on a command line.
        """
        number = None if self.number is None else f"fig{self.number:02}"
        parts = filter(None, [number, self.surrogate, self.regime, self.column])
        return "_".join(re.sub(r"[^\w.=+-]+", "_", part).removesuffix("_") for part in parts)


FIGURES = (
    FigureRow(5, "softmax", None, "test_loss"),
    FigureRow(6, "softmax", None, "gap"),
    FigureRow(7, "softmax", None, "force"),
    FigureRow(8, "softmax", None, "entropy"),
    FigureRow(9, "softmax", None, "lam"),
    FigureRow(10, "softmax", None, "reward"),
    FigureRow(11, "variance", None, "test_loss"),
    FigureRow(12, "variance", None, "gap"),
    FigureRow(13, "variance", None, "force"),
    FigureRow(14, "variance", None, "lam"),
    FigureRow(15, "variance", None, "reward"),
    FigureRow(16, "logdet", None, "test_loss"),
    FigureRow(17, "logdet", None, "gap"),
    FigureRow(18, "logdet", None, "force"),
    FigureRow(19, "logdet", None, "entropy"),
    FigureRow(20, "logdet", None, "lam"),
    FigureRow(21, "logdet", None, "reward"),
    FigureRow(22, "logdet", "fixed", "test_loss"),
    FigureRow(23, "logdet", "fixed", "force"),
    FigureRow(24, "logdet", "fixed", "entropy"),
    FigureRow(25, "logdet", "thermostat", "test_loss"),
    FigureRow(26, "logdet", "thermostat", "force"),
    FigureRow(27, "logdet", "thermostat", "lam"),
    FigureRow(28, "logdet", "thermostat", "reward"),
    FigureRow(29, "logdet", "rl_thermostat", "test_loss"),
    FigureRow(30, "logdet", "rl_thermostat", "force"),
    FigureRow(31, "logdet", "rl_thermostat", "lam"),
    FigureRow(32, "logdet", "rl_thermostat", "reward"),
)

COLUMNS = ("force", "entropy", "gap", "reward", "test_loss", "lam")
"""Drawn for every surrogate and regime; a force over base lam with the share of the moves in a panel below."""

LABELS = {
    "test_loss": "test loss (nats)",
    "gap": "gap, test − train (nats)",
    "force": "force ‖∇S‖\n(nats per unit of θ)",
    "share": "share of the moves\n‖D_S‖ / ‖D_L‖",
    "entropy": "entropy S (nats)",
    "lam": "adaptive λ",
    "reward": REWARD,
}
"""With units. Plain text, no TeX, which would take a second font: embedding fonts is most of the time of a PDF."""


class Look(NamedTuple):
    """How a regime looks, in every figure of a store."""

    name: str
    colour: str
    marker: str


LOOKS = {
    "fixed": Look("fixed", BLUE, "o"),
    "thermostat": Look("thermostat", ORANGE, "s"),
    "rl_thermostat": Look("RL thermostat", GREEN, "^"),
}
COLOURS = (PINK, "#56B4E9", "#E69F00", "black", "#F0E442")
"""What the paper's regimes leave of the palette of Okabe & Ito; yellow, which is faint on white, last."""
MARKERS = ("D", "v", "P", "X", "<", ">", "p")
"""Seven, so that with the five colours the first 35 regimes differ in one or the other."""


def looks(regimes: Iterable[str]) -> dict[str, Look]:
    """Return regime -> how it looks: the paper's as in LOOKS, others by their names, each in its own way."""
    regimes = list(regimes)
    own = [regime for regime in regimes if regime not in LOOKS]
    styles = {
        regime: Look(label(regime), COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)])
        for i, regime in enumerate(own)
    }
    return {regime: (LOOKS | styles)[regime] for regime in regimes}


def label(name: str) -> str:
    """Return a name that matplotlib shows as it is: it hides one that begins with _, and reads TeX between two $."""
    return (f" {name}" if name.startswith("_") else name).replace("$", r"\$")


def general(runs: xr.Dataset) -> list[FigureRow]:
    """Return the figures of every surrogate and regime that were tried: over base lam, then over epochs.

    Raises:
        ConfigError: If two of them, or one and one of the paper's, would have the same file name, as surrogate a_b and
            surrogate a under regime b.
    """
    regimes = {
        surrogate: grid.require(runs, "", surrogate=[surrogate])["regime"].to_numpy().tolist()
        for surrogate in runs["surrogate"].to_numpy().tolist()
    }
    places: list[tuple[str, str | None]] = [(surrogate, None) for surrogate in regimes]
    places += [(surrogate, regime) for surrogate, own in regimes.items() for regime in own]
    rows = [FigureRow(None, surrogate, regime, column) for surrogate, regime in places for column in COLUMNS]
    stems = {row.stem: row for row in FIGURES}
    for row in rows:
        if (other := stems.setdefault(row.stem, row)) != row:
            both = " and ".join(f"{each.surrogate} / {each.regime or 'all regimes'}" for each in (other, row))
            raise ConfigError("surrogate", row.surrogate, f"names whose figures differ, but {row.stem} is of {both}")
    return rows


def covered(row: FigureRow, runs: xr.Dataset) -> bool:
    """Return whether a figure of the paper shows all that this one would, in a store that has the paper's grid."""
    return (row.surrogate, row.regime, row.column) in {each[1:] for each in FIGURES} and not foreign(row, runs)


def foreign(row: FigureRow, runs: xr.Dataset) -> bool:
    """Return whether a figure shows a surrogate or a regime that is not the paper's."""
    shown = [row.regime] if row.regime else grid.require(runs, "", surrogate=[row.surrogate])["regime"].to_numpy()
    return row.surrogate not in grid.SURROGATES or not set(shown) <= set(grid.REGIMES)
