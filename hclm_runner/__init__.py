"""Does an entropy regulariser exert a force? The runner of Human-Centered Learning Mechanics (arXiv:2605.22940).

In a notebook::

    from hclm_runner import configure, load, sweep, train

Names are imported when first used: figures, which need only the store, do not wait for torch.
"""

import importlib
import os
from typing import Any

__version__ = "0.2.0"

# MKL takes another kernel where a matrix starts at another address, so that a run's last bit would depend on its place
# among its neighbours. This mode of MKL's ("conditional numerical reproducibility") forbids that, at no cost; MKL reads
# it when it first computes, so whoever has multiplied matrices with torch before this import goes without.
os.environ.setdefault("MKL_CBWR", "AUTO")

# A thread of torch that waits for another leaves its core to the rest of the machine, where by default it spins: in a
# notebook on a busy machine `train` took ten times as long. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOME = {
    "ConfigError": "refusal",
    "RunConfig": "config",
    "configure": "config",
    "Task": "tasks",
    "train": "training.trainer",
    "Records": "records",
    "sweep": "sweeps.api",
    "load": "store",
    "load_model": "parameters",
    "scan": "store",
    "effectiveness": "analysis",
    "final": "analysis",
}
_MODULES = ("feedback", "models", "optimizers", "physics", "picture", "regimes", "surrogates", "tasks")

__all__ = ["__version__", *_HOME, *_MODULES]  # noqa: PLE0604 - all of them are names, in two lists


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
