"""From YAML and the command line to a checked `RunConfig`, or one refusal: the edge below which no omegaconf is."""

import contextlib
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from hclm_runner import parts
from hclm_runner.config import manual, words
from hclm_runner.config.labels import CONF
from hclm_runner.config.schema import CLUSTERS, RunConfig
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
    if isinstance(values, dict) and "experiment" in values:
        raise ConfigError("experiment", None, "a file whose first line is `# @package _global_`")
    surrogate = cfg.get("surrogate")
    has_eps = isinstance(surrogate, DictConfig) and "eps" in surrogate
    follows_sigma = has_eps and OmegaConf.is_interpolation(surrogate, "eps")
    _check_eps(cast("dict[str, Any]", values), follows_sigma)
    _check_rate(cast("dict[str, Any]", values))
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        raise words.refusal(error, RunConfig) from None
    _check_replayed(config)
    _check_schedule(config)
    _check_cluster(config)
    return config


def configure(*overrides: str | Sequence[str], **values: Any) -> RunConfig:
    """Return the configuration that the same overrides give on the command line, for use in Python.

    Example:
        >>> configure("surrogate=logdet", "optimizer.lr=0.1", lam=0.3).title
        'logdet / fixed / gaussian_mixture, lam0 0.3, seed 0'

    Args:
        *overrides: As on the command line, each a text, or a list of them.
        **values: The same as keywords, with values of Python: `lam=0.3`, `surrogate="logdet"`, `premises=True`.

    Raises:
        ConfigError: As `resolve`, and for an override that Hydra refuses.
    """
    from hydra.errors import HydraException

    given: list[Any] = [each for item in overrides for each in (item if isinstance(item, list | tuple) else [item])]
    for override in given:
        if not isinstance(override, str):
            wanted = 'text, as in configure("lam=0.3"), or a keyword, as in configure(lam=0.3)'
            raise ConfigError(f"configure({override!r})", None, wanted)
    texts = [*given, *(f"{key}={_written(key, value)}" for key, value in values.items())]
    try:
        cfg = _composer()(texts)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise _several_values(texts) or explain(error, texts) from error
    return resolve(cfg)


@cache
def _composer() -> Callable[[Sequence[str]], DictConfig]:
    """Return what composes overrides on the shipped configuration; to start Hydra for each would cost tenfold."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    from hclm_runner.config.compose import Composer

    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        return Composer(loader, loader.load_configuration("config", [], RunMode.MULTIRUN))


def _written(key: str, value: Any) -> str:
    """Return a value of Python as an override has it."""
    from hydra.core.override_parser.types import Quote, QuotedString

    if isinstance(value, str):
        return QuotedString(value, Quote.single).with_quotes()
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {_written(key, one)}' for name, one in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_written(key, one) for one in value)}]"
    number = value.item() if getattr(value, "ndim", None) == 0 else value  # of numpy or torch
    if number is None or isinstance(number, bool | int | float):
        return "null" if number is None else str(number)
    raise ConfigError(key, repr(value), "a number, text, True or False, None, a list or a mapping of them")


def _several_values(texts: Sequence[str]) -> ConfigError | None:
    """Return the refusal of an override that is several runs on the command line; None if there is none."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    with contextlib.suppress(HydraException):
        for override in parser.parse_overrides(list(texts)):
            if override.is_sweep_override():
                key = override.key_or_group
                wanted = "one value; for several, a list of configurations: [configure(lam=lam) for lam in (0, 0.1, 1)]"
                return ConfigError(key, override.get_value_string(), wanted)
    return None


def explain(error: Exception, overrides: Sequence[str]) -> ConfigError:
    """Return what Hydra or OmegaConf refused of these overrides, as a `ConfigError`."""
    return words.explain(error, overrides, list(RunConfig.model_fields))


def _check_eps(values: Mapping[str, Any], follows_sigma: bool) -> None:
    """Refuse an eps that is 0 or infinite in the run's dtype; name sigma, not eps, where that follows it."""
    surrogate, sigma = values.get("surrogate"), values.get("sigma")
    surrogate = surrogate if isinstance(surrogate, dict) else {}
    eps = surrogate.get("eps") if surrogate.get("_target_") in parts.names("surrogate") else None  # a noise floor
    limit = 1e-38 if values.get("dtype") == "float32" else 1e-300
    if not isinstance(eps, int | float) or limit < eps < 1 / limit:
        return
    if follows_sigma and isinstance(sigma, int | float) and sigma >= 0 and eps == _square(sigma):
        wanted = "greater than 0 (and sigma^2 within its dtype), or surrogate.eps set: else eps is sigma^2"
        raise ConfigError("sigma", sigma, wanted)
    if 0 < eps < math.inf:
        wanted = f"a number between {limit:g} and {1 / limit:g}, for dtype={values['dtype']}"
        raise ConfigError("surrogate.eps", eps, wanted)


def _check_rate(values: Mapping[str, Any]) -> None:
    """Refuse to hold the rate of a channel without noise, which is infinite."""
    regime = values.get("regime")
    if isinstance(regime, dict) and regime.get("holds") == "logdet_rate" and values.get("sigma") == 0:
        raise ConfigError("regime.holds", "logdet_rate", "entropy where sigma=0: a channel without noise has no rate")


def _check_replayed(config: RunConfig) -> None:
    """Refuse to repeat a stored run that is shorter."""
    for choice in (config.regime, config.feedback):
        if choice.trace is not None and len(choice.trace) <= config.epochs:
            wanted = f"a run of {config.epochs} epochs or more, got one of {len(choice.trace) - 1}"
            raise ConfigError(f"{choice.group}.run", choice.options["run"], wanted)


def _check_schedule(config: RunConfig) -> None:
    """Refuse a warm-up that never ends, and a schedule of what an optimiser does not have."""
    if config.schedule_warmup >= config.epochs:
        raise ConfigError("schedule_warmup", config.schedule_warmup, f"less than epochs={config.epochs}")
    for key, off in (("schedule", "constant"), ("schedule_warmup", 0)):
        if getattr(config, key) != off and type(config.optimizer.options.get("lr")) is not float:
            raise ConfigError(
                key, getattr(config, key), f"{off}: the optimiser {config.optimizer.name} has no lr, a float"
            )


def _check_cluster(config: RunConfig) -> None:
    """Refuse a sweep on one kind of cluster with the options of another."""
    on = config.sweep.on
    if on in CLUSTERS and not isinstance(config.cluster, CLUSTERS[on]):
        keys = " cluster.address=..." if on == "dask" else ""
        raise ConfigError("sweep.on", on, f"cluster={on}{keys} beside it")


def _square(value: object) -> object:
    return value * value if isinstance(value, int | float) else math.nan


# Names that Hydra 1.3 needs, and 1.4 with its OmegaConf 2.4 warns of.
warnings.filterwarnings("ignore", "The version_base parameter|register_new_resolver", module="hclm_runner|__main__")
OmegaConf.register_new_resolver("square", _square, replace=True)
OmegaConf.register_new_resolver("manual", manual.text, replace=True)
