"""The typed edge: what YAML and the command line say becomes one frozen `RunConfig` a run, or one clear refusal.

Defaults live in conf/ and nowhere else. Types and ranges live here for the scalars, and in the annotations of the
surrogate, law, task, model or optimiser itself for the options of a group. Below this edge there is no omegaconf.
"""

import builtins
import dataclasses
import difflib
import hashlib
import inspect
import itertools
import json
import math
import pkgutil
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
)
from pydantic.errors import PydanticInvalidForJsonSchema

from hclm_runner.ranges import Count, NonNegative, Positive, Whole

CONF = next(
    folder for folder in (Path(__file__).parent / "conf", Path(__file__).parents[1] / "conf") if folder.is_dir()
)
"""The configuration folder: inside the package in a wheel, beside it in a checkout."""

INPUTS: dict[str, tuple[str, ...]] = {
    "surrogate": ("Z",),
    "regime": (),
    "task": ("rng",),
    "model": ("in_features", "out_features"),
    "optimizer": (),
    "feedback": (),
    "structure": ("parameters",),
    "risk": ("logits", "y"),
}
"""What each kind of target is called with, by position; its remaining parameters are its options."""


SCHEMA_VERSION = 4
"""Part of every run's identity: raise it when a column is new or changes its meaning, or the physics its numbers."""

EXECUTION = ("device", "compile", "name", "force", "sweep")
"""Keys that say where and how a run executes, not what its result is."""


class ConfigError(ValueError):
    """A refused configuration: `key`, the `value` it had (None to leave it out), what was `expected`."""

    def __init__(self, key: str, value: object, expected: str) -> None:
        """Say it in one line."""
        self.key, self.value, self.expected = key, value, expected
        given = key if value is None else f"{key}={value}"
        super().__init__(f"{given}: expected {expected}")

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[str, object, str]]:
        """Let it travel between processes."""
        return type(self), (self.key, self.value, self.expected)


@dataclasses.dataclass(frozen=True)
class Choice:
    """One option of a group: a target by dotted path, and the options it is called with."""

    group: str
    name: str
    target: str
    options: Mapping[str, Any]

    def load(self) -> Callable[..., Any]:
        """Import and return the target."""
        target: Callable[..., Any] = pkgutil.resolve_name(self.target)
        return target

    def static(self) -> dict[str, Any]:
        """Return the options that runs in a batch share: all but floats, and but integers where they shape nothing.

        A model's floats are shared too: only its weights reach the physics as numbers of each run.
        """
        free: dict[str, tuple[type, ...]] = {"regime": (float, int), "feedback": (float, int), "model": ()}
        return {key: value for key, value in self.options.items() if type(value) not in free.get(self.group, (float,))}

    def source_hash(self) -> str | None:
        """Return a hash of the file that defines a user's own target, None for ours: editing it makes a new run."""
        if self.target.startswith("hclm_runner."):
            return None
        self.load()
        prefixes = itertools.accumulate(self.target.split("."), "{}.{}".format)
        homes = [sys.modules[name] for name in prefixes if name in sys.modules]
        path = Path(getattr(homes[-1], "__file__", None) or "")
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _choice(value: object, info: ValidationInfo) -> Choice:
    group = str(info.field_name)
    if isinstance(value, Choice):
        return value
    target = value.get("_target_") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(target, str) or target == "???":
        raise ConfigError(
            f"{group}._target_", None, f"the dotted path of a {group}, as in {group}._target_=my_module.my_{group}"
        )
    function = _ours(target) if target.startswith("hclm_runner.") else _resolve(f"{group}._target_", target)
    schema = _options_schema(function, group, target)
    given = {str(key): option for key, option in value.items() if key not in ("name", "_target_")}
    try:
        parsed = schema.model_validate(given)
    except ValidationError as error:
        raise _refusal(error, schema, prefix=f"{group}.") from None
    name = target.rpartition(".")[2] if value.get("name") is None else value["name"]
    if not isinstance(name, str):
        raise ConfigError(f"{group}.name", name, "text")
    return Choice(group, name, target, {key: getattr(parsed, key) for key in schema.model_fields})


@lru_cache(maxsize=256)
def _ours(target: str) -> Callable[..., Any]:
    return _resolve("_target_", target)


def _resolve(key: str, target: str) -> Callable[..., Any]:
    try:
        function = pkgutil.resolve_name(target)
    except Exception as error:  # importing a user's module may raise anything at all
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(key, target, f"a dotted path that imports, got {reason}") from error
    if not callable(function):
        raise ConfigError(key, target, f"a function or a class, got {type(function).__name__}")
    return function  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def _options_schema(function: Callable[..., Any], group: str, target: str) -> type[BaseModel]:
    inputs = INPUTS[group]
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{group}._target_", target, f"a Python function or class, got {error}") from error
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) < len(inputs):
        raise ConfigError(f"{group}._target_", target, f"a function of ({', '.join(inputs)}) and options")
    options = [p for p in parameters[len(inputs) :] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    fields: dict[str, Any] = {
        p.name: (_annotation(p, function), ... if p.default is p.empty else p.default) for p in options
    }
    try:
        with warnings.catch_warnings(action="ignore"):  # an option may share a name with one of pydantic's own
            return create_model(target, __config__=_STRICT, **fields)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{group}._target_", target, f"options that can be checked, got {reason}") from error


def _annotation(parameter: inspect.Parameter, function: Callable[..., Any]) -> Any:
    """Return an option's annotation; one written as text is looked up where the function was written."""
    if parameter.annotation is parameter.empty:
        return Any
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    home = vars(sys.modules.get(function.__module__, builtins)) if hasattr(function, "__module__") else {}
    try:
        return eval(parameter.annotation, dict(home))
    except NameError:
        return Any


_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)
Group = Annotated[Choice, BeforeValidator(_choice)]


def _text(value: object) -> object:
    return str(value) if type(value) is int else value


class SweepOptions(BaseModel):
    """How a multirun executes; no result depends on it."""

    model_config = _STRICT

    dry_run: bool
    bundle: Literal["auto"] | Count
    workers: Literal["auto"] | Count
    memory: Literal["auto"] | Positive
    verify: Whole
    job_dirs: bool


class RunConfig(BaseModel):
    """Everything about one run. conf/config.yaml says what each key means."""

    model_config = _STRICT

    lam: Annotated[NonNegative, AfterValidator(abs)]  # -0.0 is 0.0
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    sigma: NonNegative
    epochs: Count
    batch_size: Count
    surrogate: Group
    regime: Group
    task: Group
    model: Group
    optimizer: Group
    feedback: Group
    omega: NonNegative
    structure: Group
    rho: NonNegative
    risk: Group
    metric_force: Literal["ggn", "fisher"] | None
    metric_damping: Positive
    premises: bool
    measure_every: Count
    dtype: Literal["float32", "float64"]
    device: Literal["auto", "cpu", "cuda"]
    compile: Literal["auto"] | bool
    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$"), BeforeValidator(_text)]
    force: bool
    sweep: SweepOptions

    @property
    def title(self) -> str:
        """What a person would call the run."""
        names = f"{self.surrogate.name} / {self.regime.name} / {self.task.name}"
        return f"{names}, lam0 {self.lam:g}, seed {self.seed}"

    @property
    def run_id(self) -> str:
        """The identity of the run: a hash of all that determines its rows.

        That is the resolved configuration less `EXECUTION` and what is not in use, the schema version, and the files
        that define the user's own targets (not what those import). Equal configurations have equal ids, in any order of
        keys, in any store, on any machine.
        """
        unused = {term for term, weight in (("structure", self.omega), ("risk", self.rho)) if weight == 0}
        unused |= set() if self.metric_force else {"metric_force", "metric_damping"}
        unused |= set() if self.premises else {"premises"}
        unused |= set() if self.metric_force or self.premises else {"measure_every"}
        config = {key: value for key, value in self.as_dict().items() if key not in {*EXECUTION, *unused}}
        sources = {group: getattr(self, group).source_hash() for group in INPUTS if group not in unused}
        text = json.dumps({"config": config, "sources": sources, "schema": SCHEMA_VERSION}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def shape_key(self) -> str:
        """What runs must have in common to train as one batch: not their seeds, nor their floats (but a model's).

        Whether omega and rho are zero is: a term that is left out costs nothing, and cannot spoil a run that does not
        have it.
        """
        groups = {group: [getattr(self, group).target, getattr(self, group).static()] for group in INPUTS}
        measured = ("metric_force", "premises", "measure_every")
        rest = {key: getattr(self, key) for key in ("epochs", "batch_size", "dtype", *measured)}
        return json.dumps(groups | rest | {"omega": self.omega > 0, "rho": self.rho > 0}, sort_keys=True)

    def as_dict(self) -> dict[str, Any]:
        """Return the resolved configuration as plain data, of the form the YAML has."""

        def plain(value: object) -> object:
            if isinstance(value, BaseModel):
                return value.model_dump()
            return (
                {"name": value.name, "_target_": value.target, **value.options} if isinstance(value, Choice) else value
            )

        return {key: plain(getattr(self, key)) for key in type(self).model_fields}


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
        raise _refusal(error, RunConfig) from None
    for low, high in (("lam_min", "lam_max"), ("m_min", "m_max")):
        bounds = config.regime.options
        if low in bounds and high in bounds and bounds[low] >= bounds[high]:
            raise ConfigError(f"regime.{low}", bounds[low], f"less than regime.{high}={bounds[high]}")
    if not config.regime.options.get("m_min", 0) <= 0 <= config.regime.options.get("m_max", 0):
        bounds = config.regime.options
        raise ConfigError("regime.m_min", bounds["m_min"], f"m_min <= 0 <= m_max={bounds['m_max']}: m starts at 0")
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
            cfg = compose("config", overrides=list(overrides))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise explain(error) from error
    return resolve(cfg)


def explain(error: Exception) -> ConfigError:
    """Return what Hydra or OmegaConf refused, as a `ConfigError`: theirs run over several lines and suggest nothing."""
    message = str(error)
    if isinstance(error, OSError) and error.strerror:  # Hydra writes multirun.yaml before we look
        return ConfigError("name", None, f"a store that can be written, got {message}")
    options = getattr(error, "options", None)
    if options is not None and (missing := re.search(r"Could not find '([^']+)'", message)):
        group, _, choice = missing[1].rpartition("/")
        return ConfigError(group, choice, f"one of {', '.join(sorted(options))}{_suggest(choice, options)}")
    if unknown := re.search(r"Could not override '([^']+)'", message):
        parent = getattr(error.__cause__, "parent_node", None)
        keys = [str(key) for key in parent] if isinstance(parent, DictConfig) else list(RunConfig.model_fields)
        leaf = unknown[1].rpartition(".")[2]
        return ConfigError(
            unknown[1],
            None,
            f"a known key{_suggest(leaf, keys)}; keys: {', '.join(key for key in keys if key != 'hydra')}",
        )
    return ConfigError("command line", None, f"overrides that Hydra accepts, got: {' '.join(message.split())}")


def _check_eps(values: Mapping[str, Any]) -> None:
    """Name sigma, not eps, when eps is 0 or infinite in the run's dtype only because it follows sigma."""
    surrogate, sigma = values.get("surrogate"), values.get("sigma")
    eps = surrogate.get("eps") if isinstance(surrogate, dict) else None
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


def _refusal(error: ValidationError, schema: type[BaseModel], prefix: str = "") -> ConfigError:
    first = error.errors()[0]
    if isinstance(refused := first.get("ctx", {}).get("error"), ConfigError):
        return refused
    field = str(first["loc"][0]) if first["loc"] else ""
    key = prefix + ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part == field)
    if first["type"] == "extra_forbidden":
        keys = list(schema.model_fields)
        return ConfigError(
            key, first["input"], f"a known key{_suggest(field, keys)}; keys: {', '.join(keys) or 'none'}"
        )
    try:
        expected = _describe(schema.model_json_schema()["properties"].get(field, {}))
    except PydanticInvalidForJsonSchema:
        expected = "a value of the type that its function asks for"
    if first["type"] == "missing":
        return ConfigError(key, None, f"{expected}, got nothing")
    return ConfigError(key, first["input"] if first["input"] is not None else "null", expected)


def _suggest(wrong: str, options: Sequence[str]) -> str:
    close = difflib.get_close_matches(wrong, options, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _describe(schema: Mapping[str, Any]) -> str:
    """Put a JSON schema into words: "a finite number >= 0"."""
    if "anyOf" in schema:
        return " or ".join(_describe(option) for option in schema["anyOf"])
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    if "const" in schema:
        return str(schema["const"])
    words = {
        "number": "a finite number",
        "integer": "a whole number",
        "boolean": "true or false",
        "string": "text",
        "null": "null",
    }
    if schema.get("type") == "array":
        return f"a list, each {_describe(schema.get('items', {}))}"
    text = words.get(schema.get("type", ""), "a value")
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<", "pattern": "matching"}
    limits = [f"{sign} {schema[name]}" for name, sign in signs.items() if name in schema]
    return f"{text} {' and '.join(limits)}".strip()
