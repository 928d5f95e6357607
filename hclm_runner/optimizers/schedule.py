"""How the learning rate moves from epoch to epoch."""

import math
from typing import Literal


def share(schedule: Literal["constant", "cosine"], warmup: int, epoch: int, epochs: int) -> float:
    """Return what lr is multiplied by in epoch t of T, the first of which is 1.

    With w epochs of warm-up: t / (w + 1) for t <= w; after that 1, or (1 + cos(pi (t - w - 1) / (T - w))) / 2, which
    begins at 1 and would be 0 in epoch T + 1 (Loshchilov & Hutter 2017, arXiv:1608.03983).

    Args:
        schedule: What follows the warm-up.
        warmup: w, 0 <= w < T.
        epoch: t, 1 <= t <= T; a later one counts as T.
        epochs: How many there are, T.
    """
    t = min(epoch, epochs)
    if t <= warmup:
        return t / (warmup + 1)
    return 1.0 if schedule == "constant" else (1 + math.cos(math.pi * (t - warmup - 1) / (epochs - warmup))) / 2
