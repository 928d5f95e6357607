"""The command: python -m hclm_runner [group=option] [key=value] ..., or new GROUP NAME."""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from hclm_runner import objective
from hclm_runner.command_line import in_hydras_order, outlive_readers, refuse_a_grid
from hclm_runner.config import CONF, explain, resolve
from hclm_runner.config.compose import one_option_each
from hclm_runner.refusal import ERRORS, ConfigError, NoResultError, one_line, out_of_memory, place


def main() -> None:
    """Compose, run, and exit with 0 (done), 1 (no result, or it diverged), 2 (refused) or 130 (interrupted)."""
    here = str(Path.cwd())
    if here not in sys.path:  # as `python -m` has it: a dotted path may name a module of this folder
        sys.path.insert(0, here)
    asked_for_traceback = "HYDRA_FULL_ERROR" in os.environ
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    outlive_readers()
    try:
        if sys.argv[1:2] == ["new"]:
            code = _new(sys.argv[2:])
        else:
            code = _run(in_hydras_order(sys.argv[1:]), asked_for_traceback)
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
    except NoResultError as error:
        codes.append(_say(1, str(error)))
    except ConfigError:  # before there is a job, or of a multirun as a whole; it is a ValueError too
        raise
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        if codes or asked_for_traceback:
            raise
        raise explain(error, words) from error
    return max(codes, default=0)


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
    lacking = out_of_memory(error)
    known = refused or lacking or isinstance(error, OSError) or place(error) != ""  # a full disk; a user's own code
    if not known or (asked_for_traceback and (error.__cause__ or not refused)):
        raise error
    if lacking and not refused:
        return 1, f"no memory for this run; fewer samples or a smaller network take less: {one_line(error)}"
    return (2, str(error)) if refused else (1, one_line(error) if place(error) else str(error))


def _job(cfg: DictConfig, words: Sequence[str], asked_for_traceback: bool) -> tuple[int, float]:
    """Run one job; return its exit code, and what its sweeper gets: that too, or the objective that it searches by."""
    searches = objective.searches(HydraConfig.get())
    try:
        refuse_a_grid(HydraConfig.get(), words)
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
