"""Why a run diverged: what was the first quantity that is not a finite number, and whose it is."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.func import vmap

from hclm_runner.config import RunConfig
from hclm_runner.physics.energy import total
from hclm_runner.training.batch import Shared, gradients, in_pieces
from hclm_runner.training.problem import Numbers, Pair, Problem

LARGE = 1e4
"""Entries of Z beyond which training has exploded, whatever a surrogate makes of them."""

WORDS = {
    "Z": "the representation was {value}",
    "L": "the loss was {value}",
    "S": "the surrogate {surrogate} returned {value}",
    "E": "the energy was {value}, of a finite loss and a finite surrogate,",
    "gL": "the gradient of the loss was {value}",
    "gS": "the gradient of the surrogate {surrogate} was {value}",
    "theta": "the parameters were {value} after a step",
    "lam": "the law {regime} returned a lam that is {value}, or negative",
}
"""What is said of each quantity, in the order in which they follow from each other."""

Step = Callable[..., tuple[Tensor, object, Pair]]


class Causes:
    """What of each run of a batch was not finite first; None of a run that did not diverge."""

    def __init__(self, problem: Problem, runs: Sequence[RunConfig], shared: Shared, piece: int) -> None:
        """Follow these runs, with their data, of which so many samples are looked at together."""
        self.problem, self.runs, self.shared, self.piece = problem, runs, shared, piece
        self.found: list[str | None] = [None] * len(runs)

    def trace(
        self,
        broken: Tensor,
        epoch: int,
        before: tuple[Tensor, object, Mapping[str, Tensor]],
        batches: Callable[[int], Iterable[tuple[Tensor, Tensor, Tensor, Numbers]]],
        step: Step,
        end: Mapping[str, Tensor],
    ) -> None:
        """Go through an epoch once more, for the runs that diverged in it.

        Args:
            broken: Which did, [R].
            epoch: The epoch.
            before: theta, the optimiser's memory and the law's state before it.
            batches: Epoch -> x, y and xi of each minibatch, [R, B, ...], and the runs' numbers.
            step: A training step.
            end: What was measured at its end: key of `WORDS` -> [R, ...].
        """
        if not broken.any():
            return
        theta, memory, state = before
        lam, moves = state["lam"], (torch.zeros_like(theta), torch.zeros_like(theta))
        if epoch > 0:
            for batch in batches(epoch):
                moved, memory, moves = step(theta, memory, moves, lam, *batch)
                theta = theta.detach().requires_grad_()
                L, S, rest = vmap(self.problem.terms)(theta, *batch)
                E, (gL, gS) = total(L, S, lam.to(theta.dtype), rest), gradients(theta, L, S)
                self._look(
                    broken, epoch, theta, batch[:1], {"L": L, "S": S, "E": E, "gL": gL, "gS": gS, "theta": moved}
                )
                theta = moved
        lam = torch.where(end["lam"] >= 0, end["lam"], torch.nan)
        samples = self.shared.samples("train", self.piece)
        self._look(broken, epoch, theta, samples, {**end, "lam": lam})

    def _look(
        self, broken: Tensor, epoch: int, theta: Tensor, samples: Iterable[Tensor], quantities: Mapping[str, Tensor]
    ) -> None:
        """Note which quantity of a broken run is not finite, if none was before."""
        Z = in_pieces(vmap(self.problem.represent), theta.detach(), samples)
        quantities = {"Z": Z, **quantities}
        for r in broken.nonzero().flatten().tolist():
            wrong = (name for name in WORDS if name in quantities and not quantities[name][r].isfinite().all())
            if self.found[r] is None and (name := next(wrong, None)):
                size = float(Z[r].abs().max())
                self.found[r] = _say(self.runs[r], epoch, name, quantities[name][r], size)


def _say(run: RunConfig, epoch: int, name: str, value: Tensor, size: float) -> str:
    """Return a cause in words; `size` is the largest entry of |Z|."""
    shown = "NaN" if value.isnan().any() else "inf"
    said = WORDS[name].format(value=shown, surrogate=run.surrogate.name, regime=run.regime.name)
    said += f" at epoch {epoch}"
    if name in ("S", "gS"):
        said += f", with entries of Z up to {size:.2g}"
    exploded = name in ("Z", "L", "gL", "theta") or (name in ("S", "gS") and size > LARGE)
    return said + ("; a smaller optimizer.lr may help" if exploded else "")
