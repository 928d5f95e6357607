"""The command: python -m hclm_runner [group=option] [key=value] ..., or new GROUP NAME."""

import argparse
import io
import os
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from hclm_runner import objective
from hclm_runner.config import CONF, explain, resolve
from hclm_runner.config.compose import one_option_each
from hclm_runner.refusal import ERRORS, ConfigError, NoResultError, one_line, place


def main() -> None:
    """Compose, run, and exit with 0 (done), 1 (no result, or it diverged), 2 (refused) or 130 (interrupted)."""
    here = str(Path.cwd())
    if here not in sys.path:  # as `python -m` has it: a dotted path may name a module of this folder
        sys.path.insert(0, here)
    asked_for_traceback = "HYDRA_FULL_ERROR" in os.environ
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    _outlive_readers()
    try:
        if sys.argv[1:2] == ["new"]:
            code = _new(sys.argv[2:])
        else:
            code = _run(_in_hydras_order(sys.argv[1:]), asked_for_traceback)
    except ConfigError as error:
        code = _say(*_outcome(error, asked_for_traceback))
    except KeyboardInterrupt:
        code = _say(130, "interrupted; what was in flight was not written")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C while the interpreter ends is no error
    sys.exit(code)


def _run(words: list[str], asked_for_traceback: bool) -> int:
    """Hand the command line to Hydra, and return the exit code.

    Raises:
        ConfigError: For what Hydra refuses.
    """
    codes: list[int] = []  # of each job run here; Hydra drops what a single run returns
    command = sys.orig_argv

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def task(cfg: DictConfig) -> float:
        codes.append(1)
        sys.orig_argv = command  # which the runs record; a process of hydra/launcher=joblib has one of its own
        codes[-1], value = _job(cfg, words, asked_for_traceback)
        return value

    os.environ["HYDRA_FULL_ERROR"] = "1"  # have Hydra raise: it would print several lines of its own and exit
    sys.argv[1:] = words
    try:
        task()
    except ConfigError:  # before there is a job, or of a multirun as a whole
        raise
    except NoResultError as error:
        codes.append(_say(1, str(error)))
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        if codes or asked_for_traceback:
            raise
        raise explain(error, words) from error
    return max(codes, default=0)


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


def _in_hydras_order(words: Sequence[str]) -> list[str]:
    """Return the words of a command line, its overrides first: Hydra takes none after a flag that follows others.

    Raises:
        ConfigError: For an unknown flag.
    """
    parser = _Parser(parents=[get_args_parser()], add_help=False, conflict_handler="resolve")
    parser.add_argument("--version", action="version", version=f"hclm_runner {version('hclm-runner')}")
    overrides: list[str] = parser.parse_intermixed_args(words).overrides
    flags = list(words)
    for override in overrides:
        flags.remove(override)
    return [*overrides, *flags]


def _refuse_a_grid(hydra_config: HydraConf, words: Sequence[str]) -> None:
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


def _outlive_readers() -> None:
    """Have no work stop, and no error printed, because nobody reads the output any more."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f"__{name}__") and not stream.isatty():
            pipe = io.BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False))
            how = {"errors": stream.errors, "line_buffering": stream.line_buffering}
            setattr(sys, name, io.TextIOWrapper(pipe, stream.encoding, **how, write_through=stream.write_through))


def _new(arguments: list[str]) -> int:
    from hclm_runner import new

    try:
        new.main(arguments)
    except OSError as error:  # a folder that cannot be written
        return _say(1, str(error))
    return 0


def _outcome(error: BaseException, asked_for_traceback: bool) -> tuple[int, str]:
    """Return the exit code and the line of an error; raise one of our own, or where the traceback was asked for."""
    refused = isinstance(error, ConfigError)
    known = refused or isinstance(error, OSError) or place(error) != ""  # a full disk; a user's own code
    if not known or (asked_for_traceback and (error.__cause__ or not refused)):
        raise error
    return (2, str(error)) if refused else (1, one_line(error) if place(error) else str(error))


def _job(cfg: DictConfig, words: Sequence[str], asked_for_traceback: bool) -> tuple[int, float]:
    """Run one job; return its exit code, and what its sweeper gets: that too, or the objective that it searches by."""
    searches = objective.searches(HydraConfig.get())
    try:
        _refuse_a_grid(HydraConfig.get(), words)
        one_option_each(cfg, HydraConfig.get().runtime.choices)
        config = resolve(cfg)
        if searches:
            objective.check(config)
        # Here, because torch takes seconds to import, and --help and completion need none of it.
        from hclm_runner.runner import run

        code = run(config)
        return code, objective.value(config) if searches else code
    except ERRORS as error:
        if searches and isinstance(error, ConfigError | NoResultError):
            raise  # the sweeper knows how many failures are too many
        if searches:
            raise NoResultError(one_line(error)) from error
        code = _say(*_outcome(error, asked_for_traceback))
    return code, code


def _say(code: int, message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
