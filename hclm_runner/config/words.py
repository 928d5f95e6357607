"""Refusals in words: what pydantic, Hydra and OmegaConf refuse, as one `ConfigError` that says what was expected."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig
from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from hclm_runner.refusal import ConfigError


def refusal(error: ValidationError, schema: type[BaseModel], prefix: str = "") -> ConfigError:
    """Return the first thing that a schema refused."""
    first = error.errors()[0]
    if isinstance(refused := first.get("ctx", {}).get("error"), ConfigError):
        return refused
    field = str(first["loc"][0]) if first["loc"] else ""
    key = prefix + ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part == field)
    if first["type"] == "extra_forbidden":
        keys = list(schema.model_fields)
        return ConfigError(key, first["input"], f"a known key{suggest(field, keys)}; keys: {', '.join(keys) or 'none'}")
    try:
        expected = _describe(schema.model_json_schema()["properties"].get(field, {}))
    except PydanticInvalidForJsonSchema:
        expected = "a value of the type that its function asks for"
    if first["type"] == "missing":
        return ConfigError(key, None, f"{expected}, got nothing")
    return ConfigError(key, first["input"] if first["input"] is not None else "null", expected)


def explain(error: Exception, known: Sequence[str]) -> ConfigError:
    """Return what Hydra or OmegaConf refused, as a `ConfigError`: theirs run over several lines and suggest nothing.

    Args:
        error: Theirs.
        known: The keys of the configuration.
    """
    message = str(error)
    if isinstance(error, OSError) and error.strerror:  # Hydra writes multirun.yaml before we look
        return ConfigError("name", None, f"a store that can be written, got {message}")
    options = getattr(error, "options", None)
    if options is not None and (missing := re.search(r"Could not find '([^']+)'", message)):
        group, _, choice = missing[1].rpartition("/")
        extra = "; optuna comes with pip install 'hclm-runner[optuna]'" if choice == "optuna" else ""
        return ConfigError(group, choice, f"one of {', '.join(sorted(options))}{suggest(choice, options)}{extra}")
    if unknown := re.search(r"Could not override '([^']+)'", message):
        parent = getattr(error.__cause__, "parent_node", None)
        keys = [str(key) for key in parent] if isinstance(parent, DictConfig) else list(known)
        leaf = unknown[1].rpartition(".")[2]
        return ConfigError(
            unknown[1],
            None,
            f"a known key{suggest(leaf, keys)}; keys: {', '.join(key for key in keys if key != 'hydra')}",
        )
    return ConfigError("command line", None, f"overrides that Hydra accepts, got: {' '.join(message.split())}")


def suggest(wrong: str, options: Sequence[str]) -> str:
    """Return the nearest of the options, as a question in brackets; nothing where none is near."""
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
