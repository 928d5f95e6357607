"""Refusals in words: what pydantic, Hydra and OmegaConf refuse, as one `ConfigError` that says what was expected."""

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig
from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from hclm_runner.config import manual
from hclm_runner.parts import ROOMS
from hclm_runner.refusal import ConfigError

# What the schema refuses


def refusal(error: ValidationError, schema: type[BaseModel], prefix: str = "") -> ConfigError:
    """Return the first thing that a schema refused."""
    first = error.errors()[0]
    if isinstance(refused := first.get("ctx", {}).get("error"), ConfigError):
        return refused
    loc = first["loc"]
    while len(loc) > 1 and (inner := _schema_below(schema, loc[0])):
        schema, prefix, loc = inner, f"{prefix}{loc[0]}.", loc[1:]
    field = str(loc[0]) if loc else ""
    key = prefix + ".".join(str(part) for part in loc if isinstance(part, int) or part == field)
    if first["type"] == "extra_forbidden":
        return ConfigError(key, first["input"], known_key(key, list(schema.model_fields)))
    description = _json_schema(schema, field)
    if any(isinstance(part, int) for part in loc):  # an item of a list
        description = description.get("items", {})
    expected = _expected(schema, field, description)
    if first["type"] == "missing":
        return ConfigError(key, None, f"{expected}, got nothing")
    shown, hint = _as_written(first["input"], description)
    return ConfigError(key, shown, f"{expected}{hint}")


def _schema_below(schema: type[BaseModel], field: str | int) -> type[BaseModel] | None:
    """Return the schema of a field that has keys of its own."""
    found = schema.model_fields.get(str(field))
    inner = found.annotation if found else None
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def _json_schema(schema: type[BaseModel], field: str) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = schema.model_json_schema()["properties"].get(field, {})
    except PydanticInvalidForJsonSchema:
        found = {"description": "a value of the type that its function asks for"}
    return found


def _expected(schema: type[BaseModel], field: str, description: Mapping[str, Any]) -> str:
    if inner := _schema_below(schema, field):
        return f"keys below it: {', '.join(f'{field}.{key}' for key in inner.model_fields)}"
    if options := manual.option_names(field):
        return f"one of {', '.join(options)}"
    return _describe(description)


def _describe(schema: Mapping[str, Any]) -> str:
    """Put a JSON schema into words: "a finite number >= 0"."""
    if "description" in schema:
        return str(schema["description"])
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
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[name]}" for name, sign in signs.items() if name in schema]
    return f"{text} {' and '.join(limits)}".strip()


def _as_written(value: object, schema: Mapping[str, Any]) -> tuple[object, str]:
    """Return a value as its writer wrote it, and what is wrong with that if only the notation is."""
    types = {option.get("type") for option in schema.get("anyOf", [schema])}
    if value is None:
        return "null", ""
    if isinstance(value, bool):
        return str(value).lower(), ""
    if isinstance(value, str) and types & {"number", "integer"} and _is_number(value):
        return f"'{value}'", ", without quotes"
    if isinstance(value, float) and "integer" in types and value.is_integer():
        return value, f", written as {value:.0f}"
    if isinstance(value, int | float) and types == {"string"}:
        return value, f"; text that looks like a number takes two kinds of quotes: \"'{value}'\""
    return value, ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# What Hydra refuses


def explain(error: Exception, overrides: Sequence[str], known: Sequence[str]) -> ConfigError:
    """Return what Hydra or OmegaConf refused, as a `ConfigError`: theirs run over several lines and suggest nothing.

    Args:
        error: Theirs.
        overrides: What it refused, or part of it.
        known: The keys of the configuration.
    """
    if isinstance(error, ConfigError):  # of a user's own part, which Hydra imports
        return error
    message = str(error)
    if isinstance(error, OSError) and error.strerror:  # Hydra writes multirun.yaml before we look
        return ConfigError("name", None, f"a store that can be written, got {message}")
    if unknown := re.search(r"Could not override '([^']+)'", message):
        parent = getattr(error.__cause__, "parent_node", None)
        keys = [str(key) for key in parent if key != "hydra"] if isinstance(parent, DictConfig) else list(known)
        above, _, _ = unknown[1].rpartition(".")
        own = above.startswith("hydra.")
        valued = (
            f"a key that Hydra has there, or +{unknown[1]}=... to add one"
            if own
            else f"{above} itself, which has no keys below it"
        )
        wanted = valued if above and not keys else known_key(unknown[1], keys or known)
        return ConfigError(unknown[1], None, wanted)
    if unknown := re.search(r"Could not delete from config. '([^']+)' does not exist", message):
        return ConfigError(f"~{unknown[1]}", None, known_key(unknown[1], known))
    for explanation in (_option, _grammar, _several_values, _plus, _value_of_hydra):
        if refused := explanation(error, message, overrides):
            return refused
    return ConfigError("command line", None, f"what Hydra accepts, got: {message.strip().splitlines()[0]}")


def _option(error: Exception, message: str, overrides: Sequence[str]) -> ConfigError | None:
    """Explain an option that its group does not have."""
    options = getattr(error, "options", None)
    if options is not None and (missing := re.search(r"Could not find '([^']+)'", message)):
        group, _, choice = missing[1].rpartition("/")
        if group in ROOMS and "." in choice:  # Hydra's option replaces our search path
            wanted = "part:// in hydra.searchpath, as a dotted path needs; --config-dir adds a folder and keeps it"
            return ConfigError(group, choice, wanted)
        own = ", or the dotted path of your own" if group in ROOMS else ""
        own += "; optuna comes with pip install 'hclm-runner[optuna]'" if choice == "optuna" else ""
        return ConfigError(group, choice, f"one of {', '.join(sorted(options))}{suggest(choice, options)}{own}")
    if "Config group override must be" not in message:
        return None
    for override in overrides:
        key, _, value = override.partition("=")
        if not key:
            return ConfigError(override, None, "key=value")
        options = manual.option_names(key.lstrip("+"))
        if options and re.fullmatch(r"null|true|false|[-+.\d].*", value, re.IGNORECASE):
            return ConfigError(key, value, f"one of {', '.join(options)}")
    return None


def _grammar(error: Exception, message: str, _: Sequence[str]) -> ConfigError | None:
    """Explain an override that Hydra cannot read."""
    override = getattr(error, "override", None)
    if override is None:
        return None
    key, equals, value = override.partition("=")
    for wrong, wanted in (
        (not equals, "key=value"),
        (key != key.strip() or value != value.strip(), "key=value, without spaces around ="),
        (re.search(r"\s[\w.]+=", value), "one key=value, the next as a word of its own"),
        (not re.fullmatch(r"[~+]*[\w./@$:-]+", key, re.ASCII), "a key of letters a-z, digits, _ and ."),
    ):
        if wrong:
            return ConfigError(override, None, wanted)
    if reason := re.search(r"^.*(?:while evaluating|Unknown function).*$", message, re.MULTILINE):
        return ConfigError(key, value, f"a value that can be computed, got {reason[0].strip()}")
    wanted = "a number, a [list], a {mapping: of values} or plain text; any other text takes two kinds of quotes"
    return ConfigError(key, value, f"{wanted}: '{key}=\"{value}\"'")


def _several_values(_: Exception, message: str, overrides: Sequence[str]) -> ConfigError | None:
    """Explain a grid where one run was asked for."""
    found = re.search(r"(?:Ambiguous value for argument|Sweep parameters) '([^\n]*)'", message)
    if found is None:
        return None
    command = shlex.join(["python", "-m", "hclm_runner", "-m", *overrides])
    return ConfigError(found[1], None, f"one value, or -m for a run of each: {command}")


def _plus(_: Exception, message: str, overrides: Sequence[str]) -> ConfigError | None:
    """Explain a + before a key that is there already."""
    found = re.search(r"(?:already at '|Multiple values for |not supported: '\++)([\w./@]+?)['.=]", message)
    added = [each for each in overrides if found and each.startswith("+") and each.lstrip("+").startswith(found[1])]
    return ConfigError(added[0], None, f"{added[0].lstrip('+')}, without +: the key is there") if added else None


def _value_of_hydra(error: Exception, message: str, _: Sequence[str]) -> ConfigError | None:
    """Explain a value that the type of one of Hydra's own keys refuses."""
    found = re.search(r"Error merging override (.*)", message)
    reason = str(error.__cause__ or "").partition("\n")[0]
    return ConfigError(found[1], None, f"a value of its type, got {reason}") if found else None


# What may have been meant


def known_key(wrong: str, keys: Sequence[str]) -> str:
    """Return what to expect in place of a key that does not exist, and where it does.

    Args:
        wrong: The whole name.
        keys: Those that stand where it was looked for.
    """
    group, _, leaf = wrong.rpartition(".")
    elsewhere = {place: of for place, of in manual.places(leaf).items() if place != wrong or of}
    if group and wrong in elsewhere:
        found = f" (a key of {group}={', '.join(elsewhere[wrong])})"
    elif not group and elsewhere:
        found = f" (did you mean {' or '.join(elsewhere)}?)"
    else:
        found = suggest(leaf, keys)
    return f"a known key{found}; keys: {', '.join(keys) or 'none'}"


def suggest(wrong: str, options: Sequence[str]) -> str:
    """Return the nearest of the options, as a question in brackets; nothing where none is near."""
    close = difflib.get_close_matches(wrong, options, n=1) or difflib.get_close_matches(wrong.lower(), options, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
