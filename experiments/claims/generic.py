"""Claims of any surrogate under any law, so that a user's own is judged as the paper's are.

A method is a surrogate under a law (a regime), with all its base lam and seeds. Four claims are made of it:

- It is *effective* by Definition 1: more than half of its runs at a base lam > 0 are. A run is effective if its `share`
  ||D_S|| / ||D_L|| is 0.05 or more in a quarter of the epochs 1..T, as in hclm_runner.effectiveness; an undefined share
  does not count.
- It *collapses*: at a base lam > 0, as `Data.collapsed` says, in 95% of the resamples. So "does not collapse" is this
  claim refuted.
- It *lowers the validated test loss*: at its validated base lam the mean test loss is lower than the comparator's by 5%
  of the comparator's. The comparator is one base lam of a method, or a method at its own validated lam. A lower loss in
  a cell that has collapsed, compared with the comparator's, is COLLAPSE; a higher loss needs no collapse to explain it.
- It is *steadier over lam* than another method: the range over base lam of the mean test loss is the smaller one, over
  the base lam that both have. If it has collapsed at each of them, compared with the least of the other's, that is
  COLLAPSE.

Means are over runs; two methods are compared over the seeds that both have, so that each comparison is paired. Each
claim has one part. All but the first are judged in both views, at the end and at the chosen epoch.

What has no result counts in no law's favour:

- A run without a result, because it failed or was never made, at a base lam and a seed that the method was tried at:
  the method is refused, and the run is named. Of a method that was never tried nothing is said.
- A run that diverged has the worst value of each column, so that it has collapsed; and it is not effective. The
  sentence of each claim says how many seeds diverged, where any did.
- Where log K is not known, a collapse cannot be told: `collapses` and `lowers the test loss` are INCONCLUSIVE.
"""

import itertools
import math
from collections import Counter
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from experiments import grid
from experiments.claims.claim import (
    CELL,
    MARGIN,
    Claim,
    Data,
    array,
    collapsed,
    criterion,
    scored,
)
from experiments.claims.intervals import ALPHA
from experiments.claims.judge import Part, mean_part
from experiments.claims.statistics import Array, at_validated, relative, spread
from hclm_runner.refusal import ConfigError

VALIDATED = (criterion("test_loss")[0], *CELL)
"""The columns of a method whose test loss is validated: what chooses its lam, then those of a cell."""
TEST = VALIDATED.index("test_loss")


class Method(NamedTuple):
    """A surrogate under a law."""

    surrogate: str
    regime: str
    lam0: float | None = None
    """Of a comparator: the one base lam that counts. None: all of them, or the validated one."""

    @property
    def label(self) -> str:
        """Its name in the id of a claim."""
        at = "" if self.lam0 is None else f", lam0 {self.lam0:g}"
        return f"{self.surrogate} / {self.regime}{at}"

    def __str__(self) -> str:
        """Return its name in a sentence."""
        at = "" if self.lam0 is None else f" at lam = {self.lam0:g}"
        return f"{self.surrogate} under {self.regime}{at}"


def methods(runs: xr.Dataset) -> list[Method]:
    """Return the methods of a grid of which any run was tried."""
    names = itertools.product(runs["surrogate"].to_numpy().tolist(), runs["regime"].to_numpy().tolist())
    return [Method(*method) for method in names if all(_tried(runs, Method(*method), "grid").sizes.values())]


def of_grid(runs: xr.Dataset, against: Method | None = None) -> list[Claim]:
    """Return the claims of every method of a grid.

    Args:
        runs: The grid.
        against: What each method is compared with, other than itself. None: its surrogate under `fixed`, at lam = 0 for
            the validated test loss.
    """
    claims = []
    for method in methods(runs):
        fixed = method._replace(regime="fixed")
        claims += [effective(method), collapses(method, fixed._replace(lam0=0.0))]
        if against != method:
            claims.append(lowers_test_loss(method, against or fixed._replace(lam0=0.0)))
        if (other := against or fixed) != method:
            claims.append(steadier(method, other))
    return claims


def effective(method: Method) -> Claim:
    """Return the claim that more than half of a method's runs at lam > 0 are effective by Definition 1."""

    def parts(d: Data) -> list[Part]:
        runs = _above_zero(d, method)
        text = f"share of runs at lam > 0 that are effective by Definition 1{_diverged(runs)}"
        return [mean_part(text, array(grid.effective(runs).astype(float)), ">", 0.5)]

    says = f"{method} is effective by Definition 1"
    return Claim(f"{method.label}: effective", None, says, parts, of_path=True)


def collapses(method: Method, zero: Method) -> Claim:
    """Return the claim that a method collapses at one lam > 0 or more; `zero` is what it is compared with."""

    def parts(d: Data) -> list[Part]:
        ours, theirs = _paired(_above_zero(d, method), _runs(d, zero))
        v = np.concatenate([_values(d, runs, CELL) for runs in (ours, theirs)], axis=1)
        log_K, unknown = _chance(d)

        def at_lams(v: Array) -> NDArray[np.bool_]:
            cells = v.mean(-1)
            return collapsed(cells[:, :-1], cells[:, -1:], log_K)

        where = [f"{lam:g}" for lam, is_so in zip(_lams(ours), at_lams(v), strict=True) if is_so]
        at = f"; of all runs: at lam = {', '.join(where)}" if where else "; of all runs: at none"
        text = f"probability that it has collapsed at a lam > 0{at}{_diverged(ours, theirs)}"

        def anywhere(v: Array) -> Array:
            return at_lams(v).any(0).astype(float)

        return [Part(text, v, anywhere, ">", 1 - ALPHA, chance=True, unsettled=unknown)]

    return Claim(f"{method.label}: collapses", None, f"{method} collapses at one lam or more", parts)


def lowers_test_loss(method: Method, against: Method) -> Claim:
    """Return the claim that a method's validated test loss is lower than a comparator's."""

    def parts(d: Data) -> list[Part]:
        ours, theirs = _paired(_runs(d, method), _runs(d, against))
        if method[:2] == against[:2] and ours["lam0"].equals(theirs["lam0"]):
            raise ConfigError("store", d.source, f"runs of {method} at another base lam")
        n = ours.sizes["lam0"]
        v = np.concatenate([_values(d, runs, VALIDATED) for runs in (ours, theirs)], axis=1)
        log_K, unknown = _chance(d)

        def validated(v: Array) -> tuple[Array, Array]:
            m = v.mean(-1)
            mine, other = (np.stack([at_validated(column, arm[0]) for column in arm]) for arm in (m[:, :n], m[:, n:]))
            return mine, other

        def lowered(v: Array) -> Array:
            mine, other = validated(v)
            return relative(mine[TEST], other[TEST])

        def lower_by_collapse(v: Array) -> NDArray[np.bool_]:
            mine, other = validated(v)
            return collapsed(mine[1:], other[1:], log_K) & (mine[TEST] < other[TEST])

        text = f"test loss at the validated lam, relative to {against}{_diverged(ours, theirs)}"
        return [Part(text, v, lowered, "<", -MARGIN, lower_by_collapse, unsettled=unknown)]

    says = f"{method} lowers the validated test loss, relative to {against}"
    usual = against == method._replace(regime="fixed", lam0=0.0)
    return Claim(f"{method.label}: test loss{'' if usual else f' against {against.label}'}", None, says, parts)


def steadier(method: Method, against: Method) -> Claim:
    """Return the claim that a method's test loss depends less on the base lam than another method's."""

    def parts(d: Data) -> list[Part]:
        ours, theirs = xr.align(*_paired(_runs(d, method), _runs(d, against)), join="inner")
        if ours.sizes["lam0"] < 2:
            raise ConfigError("store", d.source, f"two base lam or more that {method} and {against} both have")
        cells = np.stack([_values(d, runs, CELL) for runs in (ours, theirs)])
        log_K, _ = _chance(d)

        def everywhere(cells: Array) -> NDArray[np.bool_]:
            mine, other = cells.mean(-1)
            return np.asarray(collapsed(mine, other[:, :1], log_K).all(0))

        text = f"range over lam of test loss, over that of {against}{_diverged(ours, theirs)}"
        return [Part(text, cells[:, CELL.index("test_loss")], spread, "<", 1, everywhere, cells, unit="×")]

    says = f"{method} is steadier over lam than {against}"
    usual = against == method._replace(regime="fixed", lam0=None)
    return Claim(f"{method.label}: steadier{'' if usual else f' against {against.label}'}", None, says, parts)


def _runs(d: Data, method: Method) -> xr.Dataset:
    """Return the runs of a method at its own base lam and seeds, [lam0, seed, epoch].

    Raises:
        ConfigError: If none was tried, some of them have no result, or a data set has fewer seeds than others.
    """
    runs = _tried(d.grid, method, d.source)
    lams = [lam for lam in _lams(runs) if method.lam0 in (None, lam)]
    if not lams:
        raise ConfigError("store", d.source, f"runs of {method}")
    runs = grid.complete(grid.require(runs, d.source, lam0=lams)).squeeze(("surrogate", "regime"))
    if set(Counter(runs["data_seed"].to_numpy().tolist()).values()) != {d.draws}:
        raise ConfigError("store", d.source, f"{d.draws} seeds of each data set of {method}")
    return runs


def _tried(runs: xr.Dataset, method: Method, source: str) -> xr.Dataset:
    """Return the runs of a method, at the base lam and seeds at which any of them was tried, whatever became of it.

    With the trajectories that these claims read: to narrow all columns takes long.
    """
    return grid.require(runs[["train_loss", "share"]], source, surrogate=[method.surrogate], regime=[method.regime])


def _above_zero(d: Data, method: Method) -> xr.Dataset:
    runs = _runs(d, method)
    if not (above := runs["lam0"].to_numpy() > 0).any():
        raise ConfigError("store", d.source, f"runs of {method} at a base lam above 0")
    return runs.isel(lam0=above)


def _lams(runs: xr.Dataset) -> list[float]:
    return list(runs["lam0"].to_numpy().tolist())


def _paired(ours: xr.Dataset, theirs: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Return both at the seeds that both have."""
    a, b = xr.align(ours, theirs, join="inner", exclude="lam0")
    return a, b


def _values(d: Data, runs: xr.Dataset, columns: tuple[str, ...]) -> Array:
    """Return columns of a method's runs as they are in the view, [column, lam, runs]."""
    finals = d.finals[[*columns]].sel({axis: runs[axis] for axis in grid.AXES})
    return np.stack([scored(finals, column) for column in columns])


def _chance(d: Data) -> tuple[float, str]:
    """Return log K and an empty text; or infinity, to which no loss is near, and what is needed to know it."""
    try:
        return d.chance_loss, ""
    except ConfigError as error:
        return math.inf, f"a collapse cannot be told without {error.expected}"


def _ended(runs: xr.Dataset) -> NDArray[np.bool_]:
    """Return which runs did not diverge, [lam, runs]."""
    return np.asarray(np.isfinite(array(runs["train_loss"])).all(-1))


def _diverged(*arms: xr.Dataset) -> str:
    """Return how many seeds diverged in any arm, as the text of a part has it; nothing if none did."""
    ended = np.concatenate([_ended(runs) for runs in arms])
    lost = int((~ended).any(0).sum())
    return f" ({lost} of {ended.shape[-1]} seeds diverged)" if lost else ""
