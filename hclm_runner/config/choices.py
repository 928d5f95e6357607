"""One option of a group: which part it is, the options it is called with, and its share of a run's identity."""

import dataclasses
import hashlib
import inspect
import pkgutil
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo, create_model

from hclm_runner import parts
from hclm_runner.config.words import refusal, suggest
from hclm_runner.refusal import ConfigError, one_line

STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)


@dataclasses.dataclass(frozen=True)
class Choice:
    """One option of a group: its label, its target, and the options that is called with."""

    group: str
    name: str
    """The label in the records."""
    target: str
    """The registered name of one of our parts, or the dotted path of a user's own."""
    options: Mapping[str, Any]

    def load(self) -> Callable[..., Any]:
        """Import and return the target."""
        return _load(self.group, self.target)

    def static(self) -> dict[str, Any]:
        """Return the options that runs in a batch share: those of a type that may not vary in this group."""
        varying = parts.ROOMS[self.group].varying
        return {key: value for key, value in self.options.items() if type(value) not in varying}

    def identity(self) -> dict[str, Any]:
        """Return what of it determines a result: the options, and which code is called with them.

        Of our parts that is the registered name and version; of a user's own the name in its file and a hash of that
        file (not of what it imports). Neither the label nor the place of a file is in it: what is renamed or moved is
        the same run.
        """
        target = self.load()
        own = parts.part_of(target)
        path = self.target.replace(":", ".")
        code = (own.name, own.version) if own else (path.rpartition(".")[2], _source_hash(path))
        return {"part": code, "options": dict(self.options)}


def _choice(value: object, info: ValidationInfo) -> Choice:
    group = str(info.field_name)
    if isinstance(value, Choice):
        return value
    path = value.get("_target_") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(path, str) or path == "???":
        raise ConfigError(
            f"{group}._target_", None, f"the dotted path of a {group}, as in {group}._target_=my_module.my_{group}"
        )
    target = _present_name(group, path)
    function = _load(group, target)
    schema = _options_schema(function, group, target)
    given = {str(key): option for key, option in value.items() if key not in ("name", "_target_")}
    try:
        parsed = schema.model_validate(given)
    except ValidationError as error:
        raise refusal(error, schema, prefix=f"{group}.") from None
    options = {key: getattr(parsed, key) for key in schema.model_fields}
    if callable(check := getattr(function, "check", None)):
        try:
            check(**options)
        except ConfigError as error:
            raise ConfigError(f"{group}.{error.key}", error.value, error.expected) from None
    name = target.rpartition(".")[2] if value.get("name") is None else value["name"]
    if not isinstance(name, str):
        raise ConfigError(f"{group}.name", name, "text")
    return Choice(group, name, target, options)


Group = Annotated[Choice, BeforeValidator(_choice)]


@lru_cache(maxsize=256)
def _present_name(group: str, path: str) -> str:
    """Return the registered name of a part of ours that was given by its old dotted path; else the path as it is."""
    moved = parts.at_old_path(path)
    if moved is None:
        return path
    own = parts.part_of(moved)
    assert own is not None
    message = f"{group}._target_={path} is {group}._target_={own.name} now; the old path will go in the next release"
    warnings.warn(message, FutureWarning, stacklevel=2)
    return own.name


def _load(group: str, target: str) -> Callable[..., Any]:
    key = f"{group}._target_"
    if not {".", ":"} & set(target):
        found = parts.find(group, target)
        if found is None:
            known = parts.names(group)
            wanted = f"one of {', '.join(known)}{suggest(target, known)}, or the dotted path of your own"
            raise ConfigError(key, target, wanted)
        return found
    try:
        function = pkgutil.resolve_name(target)
    except Exception as error:  # importing a user's module may raise anything at all
        raise ConfigError(key, target, f"a dotted path that imports, got {one_line(error)}") from error
    if not callable(function):
        raise ConfigError(key, target, f"a function or a class, got {type(function).__name__}")
    return function  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def _options_schema(function: Callable[..., Any], group: str, target: str) -> type[BaseModel]:
    """Return the schema of a target's options: its parameters after the inputs of its group, by their annotations."""
    key, inputs = f"{group}._target_", parts.ROOMS[group].inputs
    try:
        parameters = list(_signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise ConfigError(key, target, f"a Python function or class, got {error}") from error
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) < len(inputs):
        raise ConfigError(key, target, f"a function of ({', '.join(inputs)}) and options")
    options = [p for p in parameters[len(inputs) :] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    fields: dict[str, Any] = {
        p.name: (Any if p.annotation is p.empty else p.annotation, ... if p.default is p.empty else p.default)
        for p in options
    }
    try:
        with warnings.catch_warnings(action="ignore"):  # an option may share a name with one of pydantic's own
            return create_model(target, __config__=STRICT, **fields)
    except Exception as error:
        raise ConfigError(key, target, f"options that can be checked, got {' '.join(str(error).split())}") from error


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return a signature whose annotations are objects, where they can be looked up, even if written as text."""
    try:
        return inspect.signature(function, eval_str=True)
    except NameError:  # a name that only a type checker imports: such an option takes any value
        plain = inspect.signature(function)
        unknown = {name: p.replace(annotation=Any) for name, p in plain.parameters.items() if type(p.annotation) is str}
        return plain.replace(parameters=[unknown.get(name, p) for name, p in plain.parameters.items()])


def _source_hash(path: str) -> str | None:
    """Return a hash of the file through which a user's own target is reached: editing it makes a new run."""
    home = path
    while home not in sys.modules and "." in home:
        home = home.rpartition(".")[0]
    file = Path(getattr(sys.modules.get(home), "__file__", None) or "")
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
