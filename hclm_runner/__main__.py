"""The command: python -m hclm_runner [group=option] [key=value] ..."""

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

from hclm_runner import objective
from hclm_runner.config import CONF, explain, one_option_each, resolve
from hclm_runner.refusal import ConfigError, NoResultError


def main() -> None:
    """Compose, run, and exit with 0 (done), 1 (a run has no result or diverged), 2 (refused) or 130 (interrupted)."""
    here = str(Path.cwd())
    if here not in sys.path:  # as `python -m` has it: a dotted path may name a module of this folder
        sys.path.insert(0, here)
    codes: list[int] = []  # of each job run here; Hydra drops what a single run returns
    command = sys.orig_argv
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    asked_for_traceback = "HYDRA_FULL_ERROR" in os.environ

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def task(cfg: DictConfig) -> float:
        codes.append(1)
        sys.orig_argv = command  # which the runs record; a process of hydra/launcher=joblib has one of its own
        codes[-1], value = _job(cfg, asked_for_traceback)
        return value

    os.environ["HYDRA_FULL_ERROR"] = "1"  # have Hydra raise: it would print several lines of its own and exit
    try:
        task()
    except KeyboardInterrupt:
        codes.append(_say(130, "interrupted; what was in flight was not written"))
    except ConfigError as error:  # of a multirun as a whole
        codes.append(_say(2, str(error)))
    except NoResultError as error:
        codes.append(_say(1, str(error)))
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        if codes or asked_for_traceback:
            raise
        codes.append(_say(2, str(explain(error))))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C while the interpreter ends is no error
    sys.exit(max(codes, default=0))


def _job(cfg: DictConfig, asked_for_traceback: bool) -> tuple[int, float]:
    """Run one job; return its exit code, and what its sweeper gets: that too, or the objective that it searches by."""
    searches = objective.searches(HydraConfig.get())
    try:
        one_option_each(cfg, HydraConfig.get().runtime.choices)
        config = resolve(cfg)
        if searches:
            objective.check(config)
        # Here, because torch takes seconds to import, and --help and completion need none of it.
        from hclm_runner.runner import run

        code = run(config)
        return code, objective.value(config) if searches else code
    except ConfigError as error:
        if searches:
            raise  # the sweeper knows how many failures are too many
        code = _say(2, str(error))
    except OSError as error:  # a full disk
        if searches or asked_for_traceback:
            raise
        code = _say(1, str(error))
    return code, code


def _say(code: int, message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
