"""conf/ as a manual: where a key is set, and the lines of YAML that `--help` prints."""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf

from hclm_runner.config.labels import CONF, defaults, shipped
from hclm_runner.parts import ROOMS


def places(leaf: str) -> dict[str, list[str]]:
    """Return where a key is set: its whole name -> the options of its group that have it; none needed in config.yaml.

    Example:
        >>> places("anti_windup")
        {'regime.anti_windup': ['rate', 'rl_thermostat', 'thermostat']}
    """
    return _places().get(leaf, {})


def option_names(group: str) -> list[str]:
    """Return the options of a group, or of the experiments, that ship with this package."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def text() -> str:
    """Return what `--help` says of the keys: the lines of config.yaml, and those of the options that are chosen.

    It goes through Hydra's template, in which $ is written twice.
    """
    from hydra.core.hydra_config import HydraConfig  # here, because figures need no Hydra

    runtime = HydraConfig.get().runtime
    folders = [Path(source.path) for source in runtime.config_sources if source.schema == "file"]
    chosen = [(str(group), str(option)) for group, option in runtime.choices.items() if option and "/" not in group]
    chosen.reverse()  # Hydra has them backwards
    ours = (CONF / "config.yaml").read_text(encoding="utf-8").partition("\nhydra:")[0]
    config = [line for line in ours.splitlines() if not re.match(r"  - (_self_|override)", line)]
    options = [line for choice in chosen for line in _section(*choice, folders)]
    return "\n".join([*config, *options]).replace("$", "$$")


def _section(group: str, option: str, folders: list[Path]) -> Iterator[str]:
    """Yield the lines of an options file under its group, and those of the files that it starts from."""
    path = next((path for folder in folders if (path := folder / group / f"{option}.yaml").is_file()), None)
    if path is None:  # a user's own part, which has no file
        return
    yield ""
    yield f"{group}={option}"
    yield from (f"  {line}".rstrip() for line in path.read_text(encoding="utf-8").splitlines())
    for base in cast("DictConfig", OmegaConf.load(path)).get("defaults") or []:
        if isinstance(base, str) and base != "_self_":
            yield from _section(group, base, folders)


@lru_cache(maxsize=1)
def _places() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for group in (*ROOMS, "cluster"):
        for option, node in shipped(group).items():
            for key in map(str, node):
                found.setdefault(key, {}).setdefault(f"{group}.{key}", []).append(option)
    for name in map(str, defaults()["sweep"]):
        found.setdefault(name, {})[f"sweep.{name}"] = []
    return {key: places for key, places in found.items() if key not in ("name", "_target_")}
