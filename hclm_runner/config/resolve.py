"""From YAML and the command line to a checked `RunConfig`, or one refusal: the edge below which no omegaconf is."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from hclm_runner.config import words
from hclm_runner.config.labels import CONF
from hclm_runner.config.schema import RunConfig
from hclm_runner.parts import ROOMS
from hclm_runner.refusal import ConfigError


def resolve(cfg: DictConfig) -> RunConfig:
    """Return the checked configuration of one run.

    Raises:
        ConfigError: If a key is missing, unknown, of the wrong type or out of range, or two keys contradict each other.
    """
    try:
        values = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=False)
    except OmegaConfBaseException as error:
        raise ConfigError(
            str(error.full_key), None, f"a value that resolves, got {str(error).splitlines()[0]}"
        ) from error
    _check_eps(cast("dict[str, Any]", values))
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        raise words.refusal(error, RunConfig) from None
    return config


def configure(overrides: Sequence[str] = ()) -> RunConfig:
    """Return the configuration that the same overrides give on the command line, for use in Python.

    Example:
        >>> configure(["surrogate=logdet", "lam=0.3"]).lam
        0.3

    Raises:
        ConfigError: As `resolve`, and for an override that Hydra refuses.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    if isinstance(overrides, str):
        raise ConfigError("overrides", repr(overrides), 'a list of overrides, as in ["lam=0.3"]')
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", overrides=list(overrides), return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise explain(error) from error
    return resolve(without_hydra(cfg))


def without_hydra(cfg: DictConfig) -> DictConfig:
    """Return a configuration as Hydra composes it less its `hydra` node.

    Raises:
        ConfigError: If a group was given a list of options, which Hydra merges into something that has no name.
    """
    one_option_each(cfg, cfg.hydra.runtime.choices)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def one_option_each(cfg: DictConfig, choices: Mapping[str, object]) -> None:
    """Refuse a group that has more options than one: Hydra leaves such a group out of its record of choices.

    Raises:
        ConfigError: If there is one.
    """
    for group in ROOMS:
        if (CONF / group).is_dir() and isinstance(cfg.get(group), DictConfig) and group not in choices:
            wanted = f"one option, got a list; a grid of them is -m {group}=a,b"
            raise ConfigError(group, None, wanted)


def explain(error: Exception) -> ConfigError:
    """Return what Hydra or OmegaConf refused, as a `ConfigError`."""
    return words.explain(error, list(RunConfig.model_fields))


def _check_eps(values: Mapping[str, Any]) -> None:
    """Name sigma, not eps, when eps is 0 or infinite in the run's dtype only because it follows sigma."""
    surrogate, sigma = values.get("surrogate"), values.get("sigma")
    surrogate = surrogate if isinstance(surrogate, dict) else {}
    eps = surrogate.get("eps") if surrogate.get("_target_") in ("logdet", "variance") else None
    if isinstance(sigma, int | float) and sigma >= 0 and eps is not None and eps == _square(sigma):
        limit = 1e-38 if values.get("dtype") == "float32" else 1e-300
        if not limit < eps < 1 / limit:
            wanted = "greater than 0 (and sigma^2 within its dtype), or surrogate.eps set: else eps is sigma^2"
            raise ConfigError("sigma", sigma, wanted)


def _square(value: object) -> object:
    return value * value if isinstance(value, int | float) else math.nan


# Two names that Hydra 1.3 needs, and 1.4 with its OmegaConf 2.4 warns of.
warnings.filterwarnings("ignore", "The version_base parameter|register_new_resolver", module="hclm_runner|__main__")
OmegaConf.register_new_resolver("square", _square, replace=True)
