"""The command: python -m hclm_runner [group=option] [key=value] ..., or new GROUP NAME."""

import os
import signal
import sys
import warnings
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from hclm_runner.config import CONF, explain, one_option_each, resolve
from hclm_runner.refusal import ERRORS, ConfigError, one_line, place


def main() -> None:
    """Compose, run, and exit with 0 (done), 1 (a run has no result or diverged), 2 (refused) or 130 (interrupted)."""
    here = str(Path.cwd())
    if here not in sys.path:  # as `python -m` has it: a dotted path may name a module of this folder
        sys.path.insert(0, here)
    if sys.argv[1:2] == ["new"]:
        sys.exit(_new(sys.argv[2:]))
    codes: list[int] = []  # of each job run here; Hydra drops what a single run returns
    command = sys.orig_argv
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    asked_for_traceback = "HYDRA_FULL_ERROR" in os.environ

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def task(cfg: DictConfig) -> int:
        codes.append(1)
        sys.orig_argv = command  # which the runs record; a process of hydra/launcher=joblib has one of its own
        try:
            one_option_each(cfg, HydraConfig.get().runtime.choices)
            config = resolve(cfg)
            # Here, because torch takes seconds to import, and --help and completion need none of it.
            from hclm_runner.runner import run

            codes[-1] = run(config)
        except ERRORS as error:
            codes[-1] = _say(*_outcome(error, asked_for_traceback))
        return codes[-1]

    os.environ["HYDRA_FULL_ERROR"] = "1"  # have Hydra raise: it would print several lines of its own and exit
    try:
        task()
    except KeyboardInterrupt:
        codes.append(_say(130, "interrupted; what was in flight was not written"))
    except ConfigError as error:  # before there is a job
        codes.append(_say(*_outcome(error, asked_for_traceback)))
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        if codes or asked_for_traceback:
            raise
        codes.append(_say(2, str(explain(error))))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C while the interpreter ends is no error
    sys.exit(max(codes, default=0))


def _new(arguments: list[str]) -> int:
    from hclm_runner import new

    try:
        new.main(arguments)
    except (ConfigError, OSError) as error:
        return _say(2, str(error))
    return 0


def _outcome(error: BaseException, asked_for_traceback: bool) -> tuple[int, str]:
    """Return the exit code and the line of an error; raise one of our own, or where the traceback was asked for."""
    refused = isinstance(error, ConfigError)
    known = refused or isinstance(error, OSError) or place(error) != ""  # a full disk; a user's own code
    if not known or (asked_for_traceback and (error.__cause__ or not refused)):
        raise error
    return (2, str(error)) if refused else (1, one_line(error) if place(error) else str(error))


def _say(code: int, message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
