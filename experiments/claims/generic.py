"""Claims of any surrogate under any law, so that a user's own is judged as the paper's are.

A method is a surrogate under a law (a regime), with all its base lam and seeds. Four claims are made of it:

- It is *effective* by Definition 1: more than half of its runs at a base lam > 0 are. A run is effective if
  lam F / ||grad L|| >= 0.05 in a quarter of the epochs 1..T, as in hclm_runner.effectiveness; an undefined ratio does
  not count.
- It *collapses*: at a base lam > 0, the worst in each resample, the mean training loss is above 90% of log K, or the
  mean test loss above 105% of that at lam = 0. So "does not collapse" is this claim refuted.
- It *lowers the validated test loss*: at its validated base lam the mean test loss is lower than the comparator's by 5%
  of the comparator's. The comparator is one base lam of a method, or a method at its own validated lam. If the training
  loss at the validated lam is within 10% of log K then nothing was learnt, and the verdict is COLLAPSE.
- It is *steadier over lam* than another method: the range over base lam of the mean test loss is the smaller one, over
  the base lam that both have.

Means are over seeds; two methods are compared over the seeds that both have, so that each comparison is paired. Each
claim has one part, so p-values are not corrected for how many claims there are.

What has no result counts in no law's favour:

- A run without a result, because it failed or was never made, at a base lam and a seed that the method was tried at:
  the method is refused, and the run is named. Of a method that was never tried nothing is said.
- A run that diverged is not effective.
- A run that diverged counts as collapsed: a method also collapses at a lam if more than half of its runs there did so.
  The mean losses that decide otherwise are over the runs that did not diverge.
- The test loss and its range over lam are stated on the seeds without divergence. If more than half of the seeds of
  either method diverged at any one lam, the verdict is INCONCLUSIVE.
- The sentence of each claim says how many seeds diverged, where any did.
- Where log K is not known, a collapse cannot be told: `collapses` and `lowers the test loss` are INCONCLUSIVE.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from experiments import grid
from experiments.claims.claim import MARGIN, NEAR_CHANCE, Claim, Data
from experiments.claims.judge import Part
from experiments.claims.statistics import Array, at_validated, mean, relative, spread, whole
from hclm_runner.analysis import F_MIN, SHARE
from hclm_runner.refusal import ConfigError


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
        ratios = _array(runs["force_ratio"])
        share = (ratios[..., 1:] >= F_MIN).mean(-1)
        ended = np.asarray(np.isfinite(_array(runs["train_loss"])).all(-1))
        text = f"share of runs at lam > 0 that are effective by Definition 1{_diverged(ended)}"
        return [Part(text, np.where(ended & (share >= SHARE), 1.0, 0.0), mean, ">", 0.5)]

    return Claim(f"{method.label}: effective", None, f"{method} is effective by Definition 1", parts)


def collapses(method: Method, zero: Method) -> Claim:
    """Return the claim that a method collapses at one lam > 0 or more; `zero` is what it is compared with."""

    def parts(d: Data) -> list[Part]:
        ours, theirs = _paired(grid.final(_above_zero(d, method)), grid.final(_runs(d, zero)))
        n = ours.sizes["lam0"]
        log_K, unknown = _chance(d)
        losses = np.stack([_both(ours[column], theirs[column]) for column in ("train_loss", "test_loss")])
        ended = np.asarray(np.isfinite(losses).all(0))
        v = np.stack([*np.where(ended, losses, 0), ended])  # a diverged run is in the sample too

        def excess(v: Array) -> Array:
            train, test, ended = v
            ours, both = ended[:n], ended[:n] * ended[n:]
            near_chance = _mean_where(ours, train[:n]) / (NEAR_CHANCE * log_K)
            harm = _mean_where(both, test[:n]) / ((1 + MARGIN) * _mean_where(both, test[n:]))
            return np.asarray(np.fmax(np.fmax(near_chance, harm), 2 * (1 - ours.mean(-1))))

        measures = [] if unknown else ["training loss over 90% of log K (chance level)"]
        measures += ["test loss over 105% of that at lam = 0"]
        measures += [] if ended[:n].all() else ["twice the share of runs that diverged"]
        largest = ("", "the larger of ", "the largest of ")[len(measures) - 1]
        worst = float(ours["lam0"][int(excess(v).argmax())])
        text = f"{largest}{' and '.join(measures)}, at the worst lam > 0 ({worst:g}){_diverged(ended)}"
        why = _mostly_diverged(theirs, zero) or unknown
        return [Part(text, v, lambda v: excess(v).max(0), ">", 1, unsettled=why, unit="×")]

    return Claim(f"{method.label}: collapses", None, f"{method} collapses at one lam or more", parts)


def lowers_test_loss(method: Method, against: Method) -> Claim:
    """Return the claim that a method's validated test loss is lower than a comparator's."""

    def parts(d: Data) -> list[Part]:
        ours, theirs = _paired(grid.final(_runs(d, method)), grid.final(_runs(d, against)))
        if method[:2] == against[:2] and ours["lam0"].equals(theirs["lam0"]):
            raise ConfigError("store", d.source, f"runs of {method} at another base lam")
        n = ours.sizes["lam0"]
        columns = ("test_loss", "feedback_loss", "train_loss")
        v = np.stack([_both(ours[column], theirs[column]) for column in columns])

        def lowered(v: Array) -> Array:
            test, feedback, _ = v.mean(-1)
            return relative(at_validated(test[:n], feedback[:n]), at_validated(test[n:], feedback[n:]))

        there = v[..., whole(v)]
        _, feedback, train = there[:, :n].mean(-1)
        log_K, unknown = _chance(d)
        collapsed = bool(at_validated(train, feedback) >= NEAR_CHANCE * log_K and lowered(there) < -MARGIN)
        text = f"test loss at the validated lam, relative to {against}{_diverged(np.isfinite(v))}"
        why = _mostly_diverged(ours, method) or _mostly_diverged(theirs, against) or unknown
        return [Part(text, v, lowered, "<", -MARGIN, collapsed, unsettled=why)]

    says = f"{method} lowers the validated test loss, relative to {against}"
    usual = against == method._replace(regime="fixed", lam0=0.0)
    return Claim(f"{method.label}: test loss{'' if usual else f' against {against.label}'}", None, says, parts)


def steadier(method: Method, against: Method) -> Claim:
    """Return the claim that a method's test loss depends less on the base lam than another method's."""

    def parts(d: Data) -> list[Part]:
        ours, theirs = _paired(grid.final(_runs(d, method)), grid.final(_runs(d, against)))
        why = _mostly_diverged(ours, method) or _mostly_diverged(theirs, against)
        ours, theirs = xr.align(ours, theirs, join="inner")
        if ours.sizes["lam0"] < 2:
            raise ConfigError("store", d.source, f"two base lam or more that {method} and {against} both have")
        v = np.stack([_array(each["test_loss"]) for each in (ours, theirs)])
        text = f"range over lam of test loss, over that of {against}{_diverged(np.isfinite(v))}"
        return [Part(text, v, spread, "<", 1, unsettled=why, unit="×")]

    says = f"{method} is steadier over lam than {against}"
    usual = against == method._replace(regime="fixed", lam0=None)
    return Claim(f"{method.label}: steadier{'' if usual else f' against {against.label}'}", None, says, parts)


def _runs(d: Data, method: Method) -> xr.Dataset:
    """Return the runs of a method at its own base lam and seeds, [lam0, seed, epoch].

    Raises:
        ConfigError: If none was tried, or some of them have no result.
    """
    runs = _tried(d.grid, method, d.source)
    lams = [lam for lam in runs["lam0"].to_numpy().tolist() if method.lam0 in (None, lam)]
    if not lams:
        raise ConfigError("store", d.source, f"runs of {method}")
    return grid.complete(grid.require(runs, d.source, lam0=lams)).squeeze(("surrogate", "regime"))


def _tried(runs: xr.Dataset, method: Method, source: str) -> xr.Dataset:
    """Return the runs of a method, at the base lam and seeds at which any of them was tried, whatever became of it."""
    return grid.require(runs, source, surrogate=[method.surrogate], regime=[method.regime])


def _above_zero(d: Data, method: Method) -> xr.Dataset:
    runs = _runs(d, method)
    if not (above := runs["lam0"].to_numpy() > 0).any():
        raise ConfigError("store", d.source, f"runs of {method} at a base lam above 0")
    return runs.isel(lam0=above)


def _paired(ours: xr.Dataset, theirs: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Return both at the seeds that both have."""
    a, b = xr.align(ours, theirs, join="inner", exclude="lam0")
    return a, b


def _chance(d: Data) -> tuple[float, str]:
    """Return log K and an empty text; or infinity, to which no loss is near, and what is needed to know it."""
    try:
        return d.chance_loss, ""
    except ConfigError as error:
        return math.inf, f"a collapse cannot be told without {error.expected}"


def _diverged(ended: NDArray[np.bool_]) -> str:
    """Return how many seeds diverged in any arm of [..., seeds], as the text of a part has it; nothing if none did."""
    lost = int((~ended).any(tuple(range(ended.ndim - 1))).sum())
    return f" ({lost} of {ended.shape[-1]} seeds diverged)" if lost else ""


def _mostly_diverged(final: xr.Dataset, method: Method) -> str:
    """Return that more than half of a method's seeds diverged at one lam, and at which; nothing if that is not so."""
    lost = (~np.isfinite(_array(final["train_loss"]))).sum(-1)
    worst, seeds = int(lost.argmax()), final.sizes["seed"]
    if 2 * lost[worst] <= seeds:
        return ""
    at = f"{float(final['lam0'][worst]):g} ({lost[worst]} of {seeds})"
    return f"more than half of the seeds of {method._replace(lam0=None)} diverged at lam = {at}"


def _mean_where(there: Array, values: Array) -> Array:
    """Return the mean over the seeds that are there; NaN if there are none."""
    return np.asarray((values * there).sum(-1) / there.sum(-1))


def _both(ours: xr.DataArray, theirs: xr.DataArray) -> Array:
    """Return the values of ours, then those of theirs, [lam, seed]."""
    return np.concatenate([_array(ours), _array(theirs)])


def _array(values: xr.DataArray) -> Array:
    return values.transpose("lam0", "seed", ...).to_numpy()
