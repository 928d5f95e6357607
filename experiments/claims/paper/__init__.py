"""The paper's claims about its Figures 5-32 and across them, in its order: the one table of them.

A claim stands with the function that returns its parts, in the file of the surrogate it speaks of. They need exactly
the paper's surrogates and regimes, each at all the same lam and seeds: those that this package registers under these
names, not a user's own that is called the same.

- "Lower" and "higher" mean by 5%: of a loss, gap, force or reward, of the mean at lam = 0 of what it is compared with;
  of a ratio, below 0.95 or above 1.05. Where a bound is another, its line says why.
- What a collapsed cell decides is COLLAPSE, neither support nor refutation: a gap is small, a force falls and a loss is
  flat where nothing is learnt. `cells.guard` says when it decides.
- Where the sentence allows another reading, the charitable one stands with the claim, in a few words.
- The sentences are the reconstruction's summaries of the paper's, not its words.
"""

import xarray as xr

from experiments import grid
from experiments.claims.claim import Claim, Data
from experiments.claims.paper import across, logdet, softmax, trajectories, variance
from hclm_runner.refusal import ConfigError

CLAIMS = tuple(
    claim
    for module in (softmax, variance, logdet, trajectories, across)
    for claim in vars(module).values()
    if isinstance(claim, Claim)
)


def read(runs: xr.Dataset, source: str) -> Data:
    """Return what the paper's claims read of a grid: its surrogates and regimes, at every lam and seed they have.

    Raises:
        ConfigError: If the grid lacks a surrogate, a regime or a run; if it has no lam = 0, or fewer than two lam above
            it; or if log K is not known.
    """
    runs = grid.complete(grid.require(runs, source, surrogate=grid.SURROGATES, regime=grid.REGIMES))
    lams = runs["lam0"].to_numpy()
    if len(lams) < 3 or lams[0] != 0:
        raise ConfigError(
            "store", source, f"base lam of 0 and two or more above, got {', '.join(f'{x:g}' for x in lams)}"
        )
    data = Data.of(runs, source)
    _ = data.chance_loss  # refused here once, not claim by claim, where it is not known
    return data
