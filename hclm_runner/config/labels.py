"""What things are called: a part by its name and the options that differ from their defaults, `logdet(eps=0.1)`.

A label is the identity of what trained in words: options that differ never share one. Defaults are those of the options
file that ships for one of our parts, and those of its signature for a user's own.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from hclm_runner import parts
from hclm_runner.refusal import ConfigError

_PACKAGE = Path(__file__).parents[1]
CONF = next(folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir())
"""The configuration folder: inside the package in a wheel, beside it in a checkout."""

_NAME = re.compile(r"[^\W\d][\w.+-]*")


def label(name: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return the name with the options that differ from their defaults, all of those that have none.

    Example:
        >>> label("renyi", {"order": 2.0, "width": 5.0}, {"order": 2.0})
        'renyi(width=5)'
    """
    usual = {key: text(value) for key, value in defaults.items()}
    shown = {key: text(value) for key, value in sorted(options.items())}
    differ = [f"{key}={value}" for key, value in shown.items() if value != usual.get(key)]
    return f"{name}({', '.join(differ)})" if differ else name


def text(value: object) -> str:
    """Return an option's value as a label has it: as on the command line, a number without a trailing .0."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, str) and _NAME.fullmatch(value) and value not in ("true", "false", "null"):
        return value
    return json.dumps(value, ensure_ascii=False)


def name_of(group: str, target: str, given: object) -> str:
    """Return what a part is called: one of ours by a name that ships with it, a user's own as its options file says.

    Raises:
        ConfigError: If the name given is none.
    """
    if given is not None and not (isinstance(given, str) and _NAME.fullmatch(given)):
        wanted = "a name of letters, digits and _ . + -, which starts with a letter"
        raise ConfigError(f"{group}.name", json.dumps(given, ensure_ascii=False), wanted)
    ours = _shipped_targets(group)
    taken = {*ours, *parts.names(group)}
    if target in parts.names(group):  # what the user calls it would hide which it is
        return str(given) if ours.get(str(given)) == target else target
    name = re.split("[.:]", target)[-1] if given in (None, *taken) else str(given)
    return target if name in taken else name  # a name of ours is for ours


@lru_cache(maxsize=4096)
def shipped_options(group: str, name: str, sigma: float) -> Mapping[str, Any]:
    """Return the options that ship under a name, at a run's sigma, from which a surrogate's noise floor follows."""
    option = shipped(group).get(name)
    if option is None:
        return {}
    root = OmegaConf.create({"sigma": sigma, group: OmegaConf.to_container(option)})
    return cast("dict[str, Any]", OmegaConf.to_container(root, resolve=True))[group]  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def defaults() -> Mapping[str, Any]:
    """Return the keys of conf/config.yaml with their values; of a group the name of the option that it takes."""
    config = OmegaConf.load(CONF / "config.yaml")
    found = cast("dict[str, Any]", OmegaConf.to_container(config, resolve=False))
    for choice in found.pop("defaults"):
        if isinstance(choice, dict):
            found |= choice
    return found


@lru_cache(maxsize=16)
def shipped(group: str) -> Mapping[str, DictConfig]:
    """Return name -> options file of a group."""
    return {path.stem: _read(path) for path in sorted((CONF / group).glob("*.yaml"))}


@lru_cache(maxsize=16)
def _shipped_targets(group: str) -> Mapping[str, str]:
    """Return name -> target of a group's options files: each look into one of them would be an eighth of `resolve`."""
    return {name: option["_target_"] for name, option in shipped(group).items()}


def _read(path: Path) -> DictConfig:
    """Return an options file, merged over the one that it starts from."""
    node = cast("DictConfig", OmegaConf.load(path))
    bases = [_read(path.with_name(f"{base}.yaml")) for base in node.pop("defaults", [])]
    return cast("DictConfig", OmegaConf.merge(*bases, node))
