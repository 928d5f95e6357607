"""What a finished run says: pure functions of its records. Imports no torch."""

from typing import NamedTuple

import pandas as pd

from hclm_runner.records import AT_ENDS, COLUMNS

LATE = 5
"""A final value is the mean of this many last epochs."""

F_MIN, SHARE = 0.05, 0.25
"""Definition 1: the least share of the moves, and the least share of epochs that have it. Values of ours."""


def final(records: pd.DataFrame) -> pd.Series:
    """Return the final value of each measured column of one run: its mean over the last `LATE` epochs after epoch 0.

    A temperature and the losses at it are those of the last epoch: they have no value at most others.

    Raises:
        ValueError: If the records are of several runs: group them by run_id.
    """
    if len(records["run_id"].unique()) > 1:
        raise ValueError("records of several runs; use records.groupby('run_id').apply(final)")
    trained = records[records["epoch"] > 0].nlargest(LATE, "epoch")
    found = trained[list(COLUMNS)].mean()
    found[list(AT_ENDS)] = trained.iloc[0][list(AT_ENDS)].astype(float)  # nlargest has the last epoch first
    return found


class Effectiveness(NamedTuple):
    """Definition 1 on one run. Shares are of the epochs 1..T."""

    raw_share: float
    """Share of epochs with force >= f_min."""
    share: float
    """Share of epochs with ||D_S|| / ||D_L|| >= f_min: of what moves the encoder, scale-free."""
    effective: bool
    """Whether the scale-free share is at least the required one."""


def effectiveness(records: pd.DataFrame, f_min: float = F_MIN, required: float = SHARE) -> Effectiveness:
    """Judge by Definition 1 whether a surrogate was effective along the trajectory of one run.

    The paper leaves its constants free, and then every surrogate with one non-zero force qualifies; and a raw force
    ranks surrogates by their scaling conventions. So the verdict takes the column `share`: how far the entropy term
    moved the encoder in an epoch, over how far the loss did. (Not force_ratio: the loss force without noise vanishes
    where the training set is fitted, and then any force is large.) f_min and the share of epochs are named. A share
    that is undefined is no evidence of a force and does not count.
    """
    trained = records[records["epoch"] > 0]
    raw, scale_free = ((trained[column] >= f_min).mean() for column in ("force", "share"))
    return Effectiveness(float(raw), float(scale_free), bool(scale_free >= required))
