"""Hydra's side of a user's own parts: `surrogate=my_module.my_part` is an option of its group, as if it had a file."""

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf


class PartSource(ConfigSource):
    """What conf/config.yaml names part://, last in the search path: options files made from the parts themselves.

    It lists nothing: dotted paths cannot be counted.
    """

    @staticmethod
    def scheme() -> str:
        """Return how it is named in a search path."""
        return "part"

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the options of a part, each with its default, or `???` where it has none.

        Raises:
            ConfigError: If it does not import, or is no function or class.
        """
        from hclm_runner.config.choices import default_options
        from hclm_runner.refusal import ConfigError

        group, _, target = config_path.rpartition("/")
        try:
            options = default_options(group, target)
        except ConfigError as error:  # about _target_, which the user did not write
            raise ConfigError(error.key.removesuffix("._target_"), error.value, error.expected) from error.__cause__
        config = OmegaConf.create({"name": None, "_target_": target, **options})
        return ConfigResult(self.provider, self.full_path(), config, header={"package": None})

    def is_config(self, config_path: str) -> bool:
        """Return whether it is the dotted path of a part of one of our groups."""
        from hclm_runner.parts import ROOMS

        group, _, target = config_path.removesuffix(".yaml").rpartition("/")
        return group in ROOMS and bool({".", ":"} & set(target))

    def is_group(self, config_path: str) -> bool:  # noqa: ARG002 - the files of conf/ make the groups
        """Return False."""
        return False

    def available(self) -> bool:
        """Return True."""
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:  # noqa: ARG002 - Hydra's interface
        """Return nothing."""
        return []
