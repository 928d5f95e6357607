"""Runs that were never trained, with plausible values, to be bent until a claim holds or fails."""

import copy
import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from experiments import grid
from experiments.claims import paper
from experiments.claims.claim import Data
from experiments.claims.judge import Verdict
from hclm_runner import store
from hclm_runner.config import SCHEMA_VERSION
from hclm_runner.records import COLUMNS

LAMS = np.array([0, 0.01, 0.1, 1, 3])
SEEDS, EPOCHS = 8, 25
T = np.arange(EPOCHS)
LOG_K = math.log(4)
LAM_MIN, LAM_MAX = 0.001, 10.0
CONFIG = {"kappa": 1.0, "holds": "entropy", "setpoint": None, "lam_min": LAM_MIN, "lam_max": LAM_MAX, "warmup": 5}
AXES = ("surrogate", "regime", "lam0", "seed", "epoch")
S, V, L = grid.SURROGATES
BY_ID = {claim.id: claim for claim in paper.CLAIMS}

Z = np.array([-1.4, -1, -0.6, -0.2, 0.2, 0.6, 1, 1.4])
"""Seeds that differ, with mean exactly 0."""


class Runs:
    """A grid of runs with plausible values, equal in all arms but for the seeds' noise, to be bent."""

    def __init__(self, shared: float = 0.02, rng: int = 0) -> None:
        """Draw the runs; `shared` is the relative sd of what all arms of a seed have in common."""
        self.names: dict[str, str] = {}
        """What surrogates and regimes are called, where not as the paper's: a user's own."""
        self.classes: int | None = None
        """The task's option, if it has it."""
        self.rng = np.random.default_rng(rng)
        self.shared = 1 + shared * self.unit(SEEDS)
        self.columns = {
            name: np.full((3, 3, len(LAMS), SEEDS, EPOCHS), np.nan) for name in (*COLUMNS, "share", "feedback_utility")
        }
        level = {"train_loss": 0.1, "test_loss": 2, "gap": 1.9, "train_accuracy": 0.9, "test_accuracy": 0.6}
        level |= {
            "entropy": LOG_K,
            "force": 1,
            "loss_force": 0.5,
            "force_ratio": 1,
            "share": 1,
            "alignment": -0.2,
            "injection": 0.1,
        }
        level |= {"dissipation": 0.1, "critical_lam": 0.1, "effective_rank": 3, "logdet_rate": 2, "reward": 0.5}
        for name, value in level.items():
            self.set(name, grid.SURROGATES, "ABC", value)
        self.set("feedback_loss", grid.SURROGATES, "ABC", [2.0, 1.9, 1.5, 1.9, 2.0])
        self.set("feedback_utility", grid.SURROGATES, "ABC", [0.4, 0.45, 0.6, 0.45, 0.4])
        self.set("lam", grid.SURROGATES, "A", LAMS, noise=0, shared=False)
        moving = 0.4 + (LAMS[:, None] - 0.4) * np.exp(-np.maximum(T - 5, 0) / 4)
        self.set("lam", grid.SURROGATES, "BC", np.clip(moving, 2 * LAM_MIN, None), shared=False)
        self.set("setpoint", grid.SURROGATES, "BC", LOG_K, noise=0, shared=False)

    def unit(self, *shape: int) -> np.ndarray:
        """Return noise over seeds, the last axis, with mean exactly 0 and sd exactly 1: an effect is what we set."""
        z = self.rng.normal(size=shape)
        z -= z.mean(-1, keepdims=True)
        return z / z.std(-1, keepdims=True)

    def set(self, column, surrogates, regimes, value, noise=0.01, shared=True) -> "Runs":
        """Set a column: value is a number, [lam], [lam or 1, epoch] or [lam or 1, seed, epoch]; noise relative, or [lam]."""
        value = np.asarray(value, float)
        value = value.reshape(-1, 1, 1) if value.ndim < 2 else value[:, None] if value.ndim == 2 else value
        surrogates = [surrogates] if isinstance(surrogates, str) else surrogates
        for s, r in itertools.product(surrogates, regimes):
            own = 1 + np.broadcast_to(noise, len(LAMS))[:, None] * self.unit(len(LAMS), SEEDS)
            both = own * self.shared if shared else own
            self.columns[column][grid.SURROGATES.index(s), "ABC".index(r)] = value * both[..., None]
        return self

    def drop(self, surrogates: str | Sequence[str], regimes: str) -> "Runs":
        """Let runs be missing."""
        for column in self.columns:
            self.set(column, surrogates, regimes, np.nan)
        return self

    def config(self) -> dict:
        """Return what the configurations of all runs share."""
        surrogates = {f"surrogate {self.name(ours)}": self.part(ours) for ours in grid.SURROGATES}
        laws = {f"regime {self.name(ours)}": self.part(ours) | CONFIG for ours in grid.REGIMES}
        return surrogates | laws | {"epochs": EPOCHS - 1, "task": {"name": "made_up", "classes": self.classes}}

    def part(self, ours: str) -> dict:
        """Return the name and the code of a surrogate or regime of the paper; a user's own, if it was renamed."""
        name = self.name(ours)
        return {"name": name, "_target_": ours if name == ours else f"my_module.{name}"}

    def name(self, ours: str) -> str:
        """Return what a surrogate or regime of the paper is called here."""
        return self.names.get(ours, ours)

    def grid(self) -> xr.Dataset:
        """Return what grid.load would, if no runs are missing."""
        named = (list(map(self.name, names)) for names in (grid.SURROGATES, grid.REGIMES))
        coordinates = dict(zip(AXES, (*named, LAMS, range(SEEDS), T), strict=True))
        facts = {"missing": [], "unfinished": [], "diverged": [], "config": self.config()}
        return xr.Dataset(
            {name: (AXES, values) for name, values in self.columns.items()},
            coordinates | {"data_seed": ("seed", range(SEEDS))},
            facts,
        )

    def store(self, folder: Path) -> Path:
        """Write the runs as a sweep would have."""
        labels = [*AXES[:-1], "data_seed", "task"]
        frame = self.grid().to_dataframe().reset_index().assign(task="made_up").dropna(subset=["train_loss"])
        frame["run_id"] = frame[[*AXES[:-1], "task"]].astype(str).agg("-".join, axis=1)
        runs = frame.drop_duplicates("run_id")[["run_id", *labels]].reset_index(drop=True)
        shared = self.config()
        runs["config"] = [
            json.dumps(
                {"epochs": shared["epochs"], "task": shared["task"]}
                | {"surrogate": shared[f"surrogate {s}"], "regime": shared[f"regime {r}"]}
            )
            for s, r in zip(runs["surrogate"], runs["regime"], strict=True)
        ]
        runs["label"] = runs["surrogate"] + " / " + runs["regime"] + " / made_up"
        runs = runs.assign(code="{}", status="finished", rows=EPOCHS, schema=SCHEMA_VERSION)
        store.prepare(folder)
        store.write(folder, frame, runs)
        return folder


def judge(
    runs: Runs | xr.Dataset | Data, claim: str, resamples: int = 400, *, reading: str = "literal", view: str = "end"
) -> Verdict:
    """Judge one of the paper's claims."""
    if isinstance(runs, Runs):
        runs = runs.grid()
    if isinstance(runs, xr.Dataset):
        runs = paper.read(runs, "made up")
    return BY_ID[claim].judged(runs if view == runs.view else runs.at(view), resamples, reading)


ORDINARY = Runs()
CHARITABLE = "charitable"


# --- paths ----------------------------------------------------------------------------------------------------------


def decay(start: float, end: float, half: float) -> np.ndarray:
    """A path [1, epoch] from start towards end."""
    return (end + (start - end) * 0.5 ** (T / half))[None]


def hill(start: float, peak: float, end: float) -> np.ndarray:
    """A path [1, epoch] that rises to its peak at epoch 8, falls, and is at its end for the last 5 epochs."""
    return np.interp(T, [0, 8, EPOCHS - 6, EPOCHS - 1], [start, peak, end, end])[None]


def wave(level: float, size: float) -> np.ndarray:
    return level + size * np.where(T % 2, 1.0, -1.0)[None]


def each_seed(path: Callable[[float], np.ndarray], values=Z) -> np.ndarray:
    """Paths [1, seed, epoch], one for each seed's value."""
    return np.stack([path(value)[0] for value in values])[None]


def at(lams: dict[int, np.ndarray], rest: np.ndarray) -> np.ndarray:
    """Paths [lam, epoch] or [lam, seed, epoch]: those named, and the rest."""
    rows = [lams.get(i, rest)[0] for i in range(len(LAMS))]
    return np.stack(rows)


def everywhere(path: np.ndarray) -> np.ndarray:
    """The same path for all seeds."""
    return np.repeat(path[:, None], SEEDS, 1)


# --- a claim, bent to a verdict -------------------------------------------------------------------------------------


@dataclasses.dataclass
class Case:
    claim: str
    verdict: str
    why: str
    bend: Callable[[Runs], object]
    part: int | None = None
    """Which part decides; the others are SUPPORTED."""
    reading: str = "literal"

    def runs(self) -> Runs:
        """Return ordinary runs, bent."""
        runs = copy.deepcopy(ORDINARY)
        self.bend(runs)
        return runs


def cases(claim: str, base: Callable[[Runs], object], *rows: tuple) -> list[Case]:
    """Rows of (verdict, why, part, bend) and perhaps a reading; `base` makes the claim hold before the bend."""

    def after_base(bend):
        return lambda g: (base(g), bend(g))

    return [Case(claim, verdict, why, after_base(bend), part, *reading) for verdict, why, part, bend, *reading in rows]


def nothing(g: Runs) -> None:
    pass
