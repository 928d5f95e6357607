"""The numbers of the page's explorer: every run of every grid, rounded to 12 bits and packed as JSON."""

import base64
import gzip
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from numpy.typing import NDArray

from experiments import grid
from experiments.figures.draw import chosen_epoch
from hclm_runner.records import AT_ENDS, COLUMNS, JUDGED, ON_REQUEST, SPLITS

GROUPS = {
    "what a run is judged by": [*(f"{split}_{name}" for name in JUDGED for split in SPLITS), "gap"],
    "with a fitted temperature": [*AT_ENDS],
    "the entropy and its force": [
        *("entropy", "logdet_rate", "effective_rank", "force", "loss_force", "force_ratio", "alignment"),
        *("injection", "dissipation", "noisy_injection", "critical_lam"),
    ],
    "what an epoch did to S": ["injected", "dissipated", "other", "closure", "balancing_lam", "share"],
    "the law and its feedback": ["lam", "setpoint", "feedback", "feedback_utility", "reward"],
    "on request": [*ON_REQUEST],
}
"""The explorer's menu: its groups, and the columns of each."""
UNDEFINED, ZERO, LEVELS = 65535, 65534, 4095
"""Codes of `pack`: NaN, exactly 0 on a logarithmic scale, and the greatest of the others: finer than a screen."""
DECADES = 2.0
"""A column of no negative numbers whose positive ones span more than this is packed by its logarithm."""


def fit(grids: Mapping[str, xr.Dataset], room: int) -> tuple[Markup, int]:
    """Pack as many seeds as fit into so many bytes: all, or half of them, or a quarter, ...

    Args:
        grids: Task -> grid.
        room: Bytes there are for the numbers.

    Returns:
        JSON of task -> what `pack` returns, empty if not even one seed fits; and how many seeds are in it.
    """
    seeds = max(one.sizes["seed"] for one in grids.values())
    while seeds:
        packed = as_json({task: pack(one.isel(seed=slice(seeds))) for task, one in grids.items()})
        if len(packed) <= room:
            return packed, seeds
        seeds //= 2
    return Markup(), 0


def pack(one: xr.Dataset) -> dict[str, Any]:
    """Return a grid as JSON has it: its axes, the data set of each seed, each run's chosen epoch, and its columns.

    A chosen epoch is null for a run without any. A column, of those that were measured, is [surrogate, regime, lam0,
    seed, epoch], packed as codes of 16 bits. The codes 0..LEVELS are evenly spaced from `low` to `high`, its least and
    greatest value, logarithms where `log`; they are stored as their changes from epoch to epoch, modulo 2^16, all low
    bytes before all high bytes, compressed, in base64. So a number is off by at most half of 1/LEVELS of its column's
    range.
    """
    axes = {name: one[name].to_numpy().tolist() for name in (*grid.AXES, "epoch")}
    measured = [name for name in COLUMNS if np.isfinite(one[name]).any()]
    columns = {name: one[name].transpose(*grid.AXES, "epoch").to_numpy() for name in measured}
    chosen = [None if np.isnan(epoch) else int(epoch) for epoch in chosen_epoch(one).transpose(*grid.AXES).values.flat]
    return (
        axes
        | {"data_seed": one["data_seed"].to_numpy().tolist(), "chosen": chosen}
        | {"columns": {name: _pack(values) for name, values in columns.items()}}
    )


def compressed(data: bytes) -> str:
    """Return bytes by gzip, in base64; the same bytes give the same text on any day.

    At its usual level: the highest saves a hundredth of the page, and takes five times as long or more.
    """
    return base64.b64encode(gzip.compress(data, compresslevel=6, mtime=0)).decode()


def as_json(value: object) -> Markup:
    """Return a value as JSON that may stand in a script of a page: of ASCII only, with `<` and its like escaped."""
    dumps = partial(json.dumps, separators=(",", ":"), allow_nan=False)
    return htmlsafe_json_dumps(value, dumps=dumps)


def _pack(values: NDArray[np.float64]) -> dict[str, Any]:
    positive = values[values > 0]
    log = bool(len(positive) and not (values < 0).any() and np.log10(positive.max() / positive.min()) > DECADES)
    with np.errstate(divide="ignore"):
        scaled = np.log(values) if log else values
    finite = scaled[np.isfinite(scaled)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    step = (high - low) / LEVELS or 1.0
    codes = np.where(
        np.isfinite(scaled), np.round((np.where(np.isfinite(scaled), scaled, low) - low) / step), UNDEFINED
    )
    codes[np.isneginf(scaled)] = ZERO
    changes = np.diff(codes.astype(np.int64), axis=-1, prepend=0).astype("<u2").reshape(-1)
    planes = changes.view(np.uint8).reshape(-1, 2).T.tobytes()
    return {"low": low, "high": high, "log": log, "codes": compressed(planes)}
