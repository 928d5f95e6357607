"""The groups of parts, and the parts that ship with this package, each under its registered name.

A part is what a group's option chooses: a surrogate, a law, a task. One of ours is known by its registered name and
version, not by where its code lives: that is what a run's identity hashes, so that moving a file retrains nothing.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from hclm_runner.refusal import ERRORS, ConfigError, one_line

Target = Callable[..., Any]
T = TypeVar("T", bound=Target)


class Room(NamedTuple):
    """Where the parts of a group live, and what they are called with."""

    module: str
    inputs: tuple[str, ...] = ()
    """By position; the remaining parameters of a part are its options."""
    asked: tuple[str, ...] = ()
    """By name, of the parts that have such a parameter: it is no option either."""
    varying: tuple[type, ...] = (float,)
    """Types of the options that may differ between runs of one batch."""


ROOMS = {
    "surrogate": Room("hclm_runner.surrogates", ("Z",)),
    "regime": Room("hclm_runner.regimes", varying=(float, int)),
    "task": Room("hclm_runner.tasks", ("rng",)),
    # A model's floats are shared: only its weights reach the physics as numbers of each run.
    "model": Room("hclm_runner.models", ("input_shape", "outputs"), ("vocabulary",), varying=()),
    "optimizer": Room("hclm_runner.optimizers"),
    "feedback": Room("hclm_runner.feedback", varying=(float, int)),
    "structure": Room("hclm_runner.physics.energy", ("parameters",)),
    "risk": Room("hclm_runner.physics.energy", ("logits", "y")),
}


OLD_PATHS = {
    **{f"hclm_runner.surrogates.{name}": ("surrogate", name) for name in ("logdet", "variance", "softmax")},
    "hclm_runner.regimes.Fixed": ("regime", "fixed"),
    "hclm_runner.regimes.Thermostat": ("regime", "thermostat"),
    "hclm_runner.regimes.RLThermostat": ("regime", "rl_thermostat"),
    **{f"hclm_runner.tasks.{name}": ("task", name) for name in ("gaussian_mixture", "digits", "breast_cancer", "wine")},
    "hclm_runner.models.mlp": ("model", "mlp"),
    "hclm_runner.optimizers.SGD": ("optimizer", "sgd"),
    "hclm_runner.optimizers.Adam": ("optimizer", "adam"),
    "hclm_runner.feedback.Annotator": ("feedback", "annotator"),
    "hclm_runner.energy.group_sparsity": ("structure", "group_sparsity"),
    "hclm_runner.energy.asymmetric_cost": ("risk", "asymmetric_cost"),
}
"""The dotted path that a part had before parts had names -> its group and name. They go with the next release."""


class Part(NamedTuple):
    """What identifies one of our parts."""

    group: str
    name: str
    version: int
    """Raised when the part's numbers change: its runs are then other runs."""


_registered: dict[tuple[str, str], Target] = {}


def part(group: str, name: str, *, version: int) -> Callable[[T], T]:
    """Register the decorated function or class as our part of this name.

    Raises:
        ValueError: If there is no such group, or the name is taken.
    """
    if group not in ROOMS or (group, name) in _registered:
        raise ValueError(f"no group {group}" if group not in ROOMS else f"two parts named {group} {name}")

    def register(target: T) -> T:
        target._part = Part(group, name, version)  # type: ignore[attr-defined]  # noqa: SLF001 - of its own
        _registered[group, name] = target
        return target

    return register


def part_of(target: Target) -> Part | None:
    """Return what identifies a target that is ours; None for a user's own, one that wraps or extends ours included."""
    found: Part | None = getattr(target, "_part", None)
    return found if found and _registered.get((found.group, found.name)) is target else None


def names(group: str) -> list[str]:
    """Return the registered names of a group."""
    importlib.import_module(ROOMS[group].module)
    return [name for of, name in _registered if of == group]


def find(group: str, name: str) -> Target | None:
    """Return our part of this name, or None."""
    importlib.import_module(ROOMS[group].module)
    return _registered.get((group, name))


def imported(key: str, path: str) -> Any:
    """Return what the dotted path at a key of the configuration names, in a module of a user's own.

    Raises:
        ConfigError: If it does not import: a user's module may raise anything at all.
    """
    try:
        return pkgutil.resolve_name(path)
    except ERRORS as error:
        raise ConfigError(key, path, f"a dotted path that imports, got {one_line(error)}") from error
