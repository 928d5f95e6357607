"""The one refusal of this package: what was given, and what was expected. Imports nothing of it."""


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


class NoResultError(RuntimeError):
    """A run has no result where one is needed: it failed, or it was refused while it trained."""


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, headed by its type."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
