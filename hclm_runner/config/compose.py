"""The configurations of a multirun's jobs, equal to what Hydra composes for each, at a small part of the cost.

Overrides of values never reach Hydra's defaults list, so the configuration is composed once for each distinct choice
of groups, and the values of a job are set on a copy, by Hydra's own function. A job that Hydra must see whole takes
Hydra's own path.
"""

import copy
import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf, flag_override, open_dict

from hclm_runner.parts import ROOMS
from hclm_runner.records import redacted
from hclm_runner.refusal import ConfigError

try:  # private, and moved in the release candidates of Hydra 1.4: without it every job takes Hydra's own path
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    set_values: Callable[[list[Override], DictConfig], None] | None = ConfigLoaderImpl._apply_overrides_to_config  # noqa: SLF001
except (ImportError, AttributeError):
    set_values = None


class Composer:
    """Composes the jobs of one multirun."""

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        """Compose with Hydra's loader, on top of the multirun's master configuration."""
        self.loader, self.master = loader, master
        parser = OverridesParser.create(config_loader=loader)
        self.parse = lru_cache(maxsize=4096)(
            lambda text: parser.parse_overrides([text])[0]
        )  # the plural names what it refuses
        self._is_group = lru_cache(maxsize=4096)(lambda key: bool(loader.get_group_options(key)))
        self._bases: dict[tuple[str, ...], bytes | None] = {}

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """Return the configuration of one job, without the hydra node.

        Raises:
            HydraException: As Hydra's own composition.
            ConfigError: As `without_hydra`.
        """
        parsed = [self.parse(text) for text in overrides]
        groups = tuple(text for text, override in zip(overrides, parsed, strict=True) if self.chooses(override))
        values = [override for override in parsed if not self.chooses(override)]
        whole = set_values is None or any(override.key_or_group.partition(".")[0] == "hydra" for override in parsed)
        base = None if whole else self._base(groups)
        if base is None or set_values is None:
            return self.stock(overrides)
        config: DictConfig = pickle.loads(base)  # several times faster than a deep copy
        set_values(values, config)
        return config

    def stock(self, overrides: Sequence[str]) -> DictConfig:
        """Return the same, composed Hydra's own way."""
        return without_hydra(self.loader.load_sweep_config(self.master, list(overrides)))

    def chooses(self, override: Override) -> bool:
        """Return whether an override chooses an option of a group, and sets no value."""
        return not isinstance(override.value(), dict) and self._is_group(override.key_or_group)

    def _base(self, groups: tuple[str, ...]) -> bytes | None:
        """Return the pickled configuration of a choice of groups, None if it looks at the hydra node of its job."""
        if groups not in self._bases:
            config = self.stock(groups)
            sees_hydra = "${hydra" in OmegaConf.to_yaml(config, resolve=False)
            self._bases[groups] = None if sees_hydra else pickle.dumps(config)
        return self._bases[groups]


def plain(config: DictConfig) -> Any:
    """Return a configuration as plain data, its interpolations as they are written."""
    return OmegaConf.to_container(config, resolve=False)


def without_secrets(config: DictConfig) -> DictConfig:
    """Return a copy of a configuration that may be written: without the secrets of which a command line is cleared."""
    safe = copy.deepcopy(config)
    with flag_override(safe, ["struct", "readonly"], False):
        _clear(safe, "")
    return safe


def _clear(node: DictConfig | ListConfig, name: str) -> None:
    for key in list(node) if isinstance(node, DictConfig) else range(len(node)):
        if OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key) or node[key] is None:
            continue
        own = str(key) if isinstance(node, DictConfig) else name  # an item of a list is known by the list's name
        if isinstance(node[key], DictConfig | ListConfig):
            _clear(node[key], own)
        elif (text := redacted(f"{own}={node[key]}")) != f"{own}={node[key]}":
            node[key] = text.removeprefix(f"{own}=")


def without_hydra(config: DictConfig) -> DictConfig:
    """Return a configuration as Hydra composes it less its `hydra` node.

    Raises:
        ConfigError: As `one_option_each`.
    """
    one_option_each(config, config.hydra.runtime.choices)
    with open_dict(config):
        del config["hydra"]
    return config


def one_option_each(config: DictConfig, choices: Mapping[str, object]) -> None:
    """Refuse a group that was given a list of options, which Hydra merges into something that has no name.

    Args:
        config: The configuration.
        choices: What Hydra recorded of its groups: it leaves out such a group.

    Raises:
        ConfigError: If there is one.
    """
    for group in ROOMS:
        if isinstance(config.get(group), DictConfig) and group not in choices:
            raise ConfigError(group, None, f"one option, got a list; a grid of them is -m {group}=a,b")
