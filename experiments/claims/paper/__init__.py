"""The paper's claims about its Figures 5-32 and across them, in its order: the one table of them.

A claim stands with the function that returns its parts, in the file of the surrogate it speaks of. They need exactly
the paper's surrogates and regimes, each at all the same lam and seeds: those that this package registers under these
names, not a user's own that is called the same.

- "Lower" and "higher" of a loss, gap, force or reward mean by 5% of the mean at lam = 0 of what it is compared with.
- A contraction of the gap bought by training loss within 10% of log K, or by a test loss 5% above that of lam = 0, is
  COLLAPSE: no support, whatever the interval.
"""

import xarray as xr

from experiments import grid
from experiments.claims.claim import Claim, Data
from experiments.claims.paper import across, logdet, softmax, variance
from hclm_runner.refusal import ConfigError

CLAIMS = tuple(
    claim
    for module in (softmax, variance, logdet, across)
    for claim in vars(module).values()
    if isinstance(claim, Claim)
)


def read(runs: xr.Dataset, source: str) -> Data:
    """Return what the paper's claims read of a grid: its surrogates and regimes, at every lam and seed they have.

    Raises:
        ConfigError: If the grid lacks a surrogate, a regime or a run; if it has no lam = 0, or fewer than two lam above
            it; or if the set point was given in nats, which leaves nothing to read log K from.
    """
    runs = grid.complete(grid.require(runs, source, surrogate=grid.SURROGATES, regime=grid.REGIMES))
    lams = runs["lam0"].to_numpy()
    if (setpoint := runs.attrs["config"]["regime thermostat"]["setpoint"]) is not None:
        raise ConfigError("regime.setpoint", setpoint, "null in all runs: log K is read from the set point")
    if len(lams) < 3 or lams[0] != 0:
        raise ConfigError(
            "store", source, f"base lam of 0 and two or more above, got {', '.join(f'{x:g}' for x in lams)}"
        )
    return Data.of(runs, source)
