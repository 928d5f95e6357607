"""Hydra's command line, mended: the order of its words, a grid where one run was meant, a reader who leaves."""

import argparse
import io
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.types import RunMode

from hclm_runner import __version__
from hclm_runner.refusal import ConfigError


class _Parser(argparse.ArgumentParser):
    """Hydra's flags and our own."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            ConfigError: Always.
        """
        if found := re.match(r"argument (-[\w-]+)\S*: (?:expected )?(.*)", message):
            raise ConfigError(found[1], None, found[2].replace("invalid choice", "one of its choices, got"))
        wrong = message.removeprefix("unrecognized arguments: ")
        hint = f" (did you mean {wrong.lstrip('-')}?)" if "=" in wrong else ""
        raise ConfigError(wrong, None, f"key=value, or a flag such as -m, --cfg job, --help or --version{hint}")


def in_hydras_order(words: Sequence[str]) -> list[str]:
    """Return the words of a command line, its overrides first: Hydra takes none after a flag that follows others.

    Raises:
        ConfigError: For an unknown flag.
    """
    parser = _Parser(parents=[get_args_parser()], add_help=False, conflict_handler="resolve")
    parser.add_argument("--version", action="version", version=f"hclm_runner {__version__}")
    overrides: list[str] = parser.parse_intermixed_args(words).overrides
    flags = list(words)
    for override in overrides:
        flags.remove(override)
    return [*overrides, *flags]


def refuse_a_grid(hydra_config: HydraConf, words: Sequence[str]) -> None:
    """Refuse an experiment that is a grid where one run is asked for, unless the command line chooses one of its runs.

    Raises:
        ConfigError: With the command that runs the grid.
    """
    given = {word.partition("=")[0].lstrip("+") for word in words}
    varies = [key for key in hydra_config.sweeper.get("params") or {} if key not in given]
    if hydra_config.mode == RunMode.RUN and varies:
        command = shlex.join(["python", "-m", "hclm_runner", "-m", *words])
        wanted = f"-m, because it is a grid over {', '.join(varies)}: {command}"
        raise ConfigError("experiment", hydra_config.runtime.choices.get("experiment"), wanted)


class _Pipe(io.FileIO):
    """A stream whose reader may leave, as `| head` does: what comes after that is dropped, and the work goes on."""

    def write(self, data: Any, /) -> int:
        """Write, or pretend to."""
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            return len(data)


def outlive_readers() -> None:
    """Have no work stop, and no error printed, because nobody reads the output any more."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f"__{name}__") and not stream.isatty():
            pipe = io.BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False))
            how = {"errors": stream.errors, "line_buffering": stream.line_buffering}
            setattr(sys, name, io.TextIOWrapper(pipe, stream.encoding, **how, write_through=stream.write_through))
