"""One option of a group: which part it is, the options it is called with, and its share of a run's identity."""

import builtins
import dataclasses
import hashlib
import inspect
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo, create_model

from hclm_runner import parts
from hclm_runner.config import labels
from hclm_runner.config.words import refusal, suggest
from hclm_runner.ranges import Contents, Place
from hclm_runner.refusal import ERRORS, ConfigError, one_line

STRICT = ConfigDict(
    strict=True,
    extra="forbid",
    frozen=True,
    allow_inf_nan=False,
    arbitrary_types_allowed=True,
    validate_default=True,
)

PLACE = ("store", "run")
"""The options of a part that repeats a stored run: they say which, and where it is. It is data, as a seed is."""

YAML = (type(None), bool, int, float, str, list, dict)
"""Types of the values that an options file can hold."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """One option of a group: its label, its target, and the options that is called with."""

    group: str
    name: str
    """What it is called, where its options do not matter."""
    target: str
    """The registered name of one of our parts, or the dotted path of a user's own."""
    options: Mapping[str, Any]
    code: tuple[str | int, ...]
    """Which code that is, as it was when the choice was made: see `_code`."""
    trace: tuple[float, ...] | None = None
    """What it repeats of a stored run, by epoch; None of most parts."""
    contents: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Of each option that names a file, a hash of what was in it when the choice was made."""

    def load(self) -> Callable[..., Any]:
        """Import and return the target."""
        return _load(self.group, self.target)

    @cached_property
    def static(self) -> str:
        """What runs in a batch share, as JSON: the target, and the options of a type that may not vary in this group.

        No options of a part that repeats a stored run: what it repeats is a number of each run and epoch.
        """
        varying = parts.ROOMS[self.group].varying
        shared = {} if self.trace is not None else self.options
        kept = {key: value for key, value in shared.items() if type(value) not in varying}
        return json.dumps([self.target, kept], sort_keys=True)

    @cached_property
    def identity(self) -> str:
        """What of it determines a result, as JSON: code and options, but no label and no place of data."""
        return json.dumps({"code": self.code, "options": self._placeless()}, sort_keys=True)

    def label(self, sigma: float) -> str:
        """Return what it is called in the records of a run of this sigma: its name and the options that differ."""
        if sigma not in self._labels:
            self._labels[sigma] = self._label(sigma)
        return self._labels[sigma]

    @cached_property
    def _labels(self) -> dict[float, str]:
        """By sigma: runs of a grid share their choices."""
        return {}

    def _label(self, sigma: float) -> str:
        function = self.load()
        if parts.part_of(function):
            defaults = labels.shipped_options(self.group, self.name, sigma)
        else:
            fields = _options_schema(function, self.group, self.target).model_fields
            defaults = {name: field.default for name, field in fields.items() if not field.is_required()}
        hidden = PLACE if self.trace is not None else ()
        shown = {key: value for key, value in self._placeless().items() if key not in hidden}
        shown |= {key: f"{Path(self.options[key]).name}-{held[:8]}" for key, held in self.contents.items()}
        return labels.label(self.name, shown, defaults)

    def _placeless(self) -> dict[str, Any]:
        """Return the options but those that say where data lie; of a file what is in it."""
        fields = _options_schema(self.load(), self.group, self.target).model_fields
        places = {key for key, field in fields.items() if Place in field.metadata}
        return {key: self.contents.get(key, value) for key, value in self.options.items() if key not in places}

    def check_unchanged(self) -> None:
        """Refuse code and files of data that are no longer what they were when the choice was made.

        Raises:
            ConfigError: If a file of the user's was edited since.
        """
        for key, held in self.contents.items():
            if _hash(f"{self.group}.{key}", self.options[key]) != held:
                wanted = "the file that this sweep began with, but it was edited; start the sweep again"
                raise ConfigError(f"{self.group}.{key}", self.options[key], wanted)
        if _code(self.load(), self.target) != self.code:
            wanted = "the code that this sweep began with, but its file was edited; start the sweep again"
            raise ConfigError(f"{self.group}._target_", self.target, wanted)


def _choice(value: object, info: ValidationInfo) -> Choice:
    return value if isinstance(value, Choice) else choose(str(info.field_name), value)


def choose(group: str, value: object) -> Choice:
    """Return the option of a group that is given as the YAML has it.

    Raises:
        ConfigError: If there is none such, or an option of it is refused.
    """
    path = value.get("_target_") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(path, str) or path == "???":
        raise ConfigError(
            f"{group}._target_", None, f"the dotted path of a {group}, as in {group}._target_=my_module.my_{group}"
        )
    target = _present_name(group, path)
    function = _load(group, target)
    schema = _options_schema(function, group, target)
    given = {str(key): option for key, option in value.items() if key not in ("name", "_target_") and option != "???"}
    try:
        parsed = schema.model_validate(given)
    except ValidationError as error:
        raise refusal(error, schema, prefix=f"{group}.") from None
    options = {key: getattr(parsed, key) for key in schema.model_fields}
    _check_options(function, group, target, options)
    name = labels.name_of(group, target, value.get("name"))
    column = getattr(function, "replays", None)
    trace = _stored(group, column, options) if isinstance(column, str) else None
    files = [key for key, field in schema.model_fields.items() if Contents in field.metadata and options[key]]
    contents = {key: _hash(f"{group}.{key}", options[key]) for key in files}
    return Choice(group, name, target, options, _code(function, target), trace, contents)


def _hash(key: str, path: str) -> str:
    """Return a hash of what is in a file."""
    try:
        at = Path(path).stat()
        return _hashed(path, at.st_mtime_ns, at.st_size)
    except OSError as error:
        raise ConfigError(key, path, f"a file that can be read, got {error.strerror}") from error


@lru_cache(maxsize=64)
def _hashed(path: str, changed: int, size: int) -> str:  # noqa: ARG001 - they say when to read it again
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def _stored(group: str, column: str, options: Mapping[str, Any]) -> tuple[float, ...]:
    from hclm_runner import replay  # here, because it reads stores, whose runs are configurations

    return replay.read(group, column, options)


Group = Annotated[Choice, BeforeValidator(_choice)]


@lru_cache(maxsize=256)
def _present_name(group: str, path: str) -> str:
    """Return the registered name of a part of ours that was given by its old dotted path; else the path as it is."""
    of, name = parts.OLD_PATHS.get(path, (None, path))
    if of != group:
        return path
    message = f"{group}._target_={path} is {group}._target_={name} now; the old path will go in the next release"
    warnings.warn(message, FutureWarning, stacklevel=2)
    return name


def _check_options(function: Callable[..., Any], group: str, target: str, options: Mapping[str, Any]) -> None:
    """Refuse options that a record cannot keep, and those that the part itself refuses, by its class method `check`."""
    for key, option in options.items():
        try:
            json.dumps(option)
        except (TypeError, ValueError):
            wanted = "a value that YAML has: a number, text, true or false, null, a list or a mapping of them"
            raise ConfigError(f"{group}.{key}", option, wanted) from None
    if not isinstance(inspect.getattr_static(function, "check", None), classmethod | staticmethod):
        return
    try:
        function.check(**options)  # type: ignore[attr-defined]
    except ConfigError as error:
        raise ConfigError(f"{group}.{error.key}", error.value, error.expected) from None
    except ERRORS as error:
        raise ConfigError(
            f"{group}._target_", target, f"options that its check takes, got {one_line(error)}"
        ) from error


def default_options(group: str, target: str) -> dict[str, Any]:
    """Return the options of a part, each with its default; `???`, which Hydra asks for, where it has none.

    A default that YAML cannot hold is left out: it holds where nothing is given.

    Raises:
        ConfigError: If the part does not import, or is no function or class.
    """
    fields = _options_schema(_load(group, target), group, target).model_fields
    defaults = {key: "???" if field.is_required() else field.default for key, field in fields.items()}
    return {key: default for key, default in defaults.items() if type(default) in YAML}


def _load(group: str, target: str) -> Callable[..., Any]:
    key = f"{group}._target_"
    if not {".", ":"} & set(target):
        found = parts.find(group, target)
        if found is None:
            known = parts.names(group)
            wanted = f"one of {', '.join(known)}{suggest(target, known)}, or the dotted path of your own"
            raise ConfigError(key, target, wanted)
        return found
    function = parts.imported(key, target)
    if not callable(function):
        raise ConfigError(key, target, f"a function or a class, got {type(function).__name__}")
    if inspect.isbuiltin(function):
        raise ConfigError(
            key, target, f"a Python function or class that is a {group}, got a builtin function written in C"
        )
    return function  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def _options_schema(function: Callable[..., Any], group: str, target: str) -> type[BaseModel]:
    """Return the schema of a target's options: its parameters after the inputs of its group, by their annotations."""
    key, inputs, asked = f"{group}._target_", parts.ROOMS[group].inputs, parts.ROOMS[group].asked
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise ConfigError(key, target, f"a Python function or class, got {error}") from error
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) < len(inputs):
        raise ConfigError(key, target, f"a function of ({', '.join(inputs)}) and options")
    named = [p for p in parameters[len(inputs) :] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    options = [p for p in named if p.name not in asked]
    try:
        fields: dict[str, Any] = {
            p.name: (_annotation(p, function), ... if p.default is p.empty else p.default) for p in options
        }
        with warnings.catch_warnings(action="ignore"):  # an option may share a name with one of pydantic's own
            return create_model(target, __config__=STRICT, **fields)
    except Exception as error:
        raise ConfigError(key, target, f"options that can be checked, got {' '.join(str(error).split())}") from error


def _annotation(parameter: inspect.Parameter, function: Callable[..., Any]) -> Any:
    """Return an option's annotation; one written as text is looked up where the function was written.

    Any, if it names what only a type checker imports.
    """
    if parameter.annotation is parameter.empty:
        return Any
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    alone = type("alone", (), {"__annotations__": {parameter.name: parameter.annotation}})
    home = vars(sys.modules.get(getattr(function, "__module__", ""), builtins))
    try:
        return inspect.get_annotations(alone, globals=dict(home), eval_str=True)[parameter.name]
    except NameError:
        return Any


def _code(function: Callable[..., Any], target: str) -> tuple[str | int, ...]:
    """Return which code a target is: of one of our parts its registered name and version.

    Of a user's own it is its name within its module, and a hash of the file through which it is reached and of the one
    that defines it, if that is another: editing them makes a new run (editing what they import does not). No module's
    name is in it, so that what is moved is the same run.
    """
    if own := parts.part_of(function):
        return own.name, own.version
    path = target.replace(":", ".")
    home = path
    while home not in sys.modules and "." in home:
        home = home.rpartition(".")[0]
    modules = dict.fromkeys([home, getattr(inspect.unwrap(function), "__module__", home)])
    files = [Path(getattr(sys.modules.get(name), "__file__", None) or "") for name in modules]
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in dict.fromkeys(files) if file.is_file()]
    return path[len(home) + 1 :], *hashes
