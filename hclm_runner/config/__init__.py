"""The configuration of a run: `schema` types it, `choices` its parts, `resolve` makes it, `grid` those of many.

`labels` says what it is called, `words` why it is refused.
"""

from hclm_runner.config.choices import PLACE, Choice, choose
from hclm_runner.config.labels import CONF
from hclm_runner.config.resolve import configure, explain, resolve
from hclm_runner.config.schema import EXECUTION, SCHEMA_VERSION, RunConfig
from hclm_runner.refusal import ConfigError

__all__ = [
    "CONF",
    "EXECUTION",
    "PLACE",
    "SCHEMA_VERSION",
    "Choice",
    "ConfigError",
    "RunConfig",
    "choose",
    "configure",
    "explain",
    "resolve",
]
