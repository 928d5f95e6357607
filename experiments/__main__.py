"""The one command line of the experiments: python -m experiments <verb> [arguments]."""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from hclm_runner.refusal import ConfigError


class Verb(NamedTuple):
    """A command."""

    module: str
    """Where its `main(arguments)` is; imported only when it is asked for."""
    says: str


VERBS = {
    "figures": Verb("experiments.figures.command", "draw Figures 3-32, or the same of your own surrogates and regimes"),
    "claims": Verb("experiments.claims.command", "judge the paper's claims, and those of any surrogate and regime"),
    "verdicts": Verb(
        "experiments.claims.page", "write VERDICTS.md, the page on the paper's claims, from a judged store"
    ),
    "report": Verb("experiments.report", "write the page: verdicts, figures, an explorer of every run"),
    "compare": Verb("experiments.compare", "compare two stores: paired differences, and which verdicts differ"),
    "export": Verb("experiments.export.command", "hand runs, or their means, to MLflow, TensorBoard or CSV"),
    "multiverse": Verb("experiments.multiverse.command", "judge the paper's claims in many plausible reconstructions"),
    "mediation": Verb("experiments.mediation", "train and judge: does the gap follow the force, or lam?"),
    "placebos": Verb("experiments.placebos", "train and judge: is it feedback? Each controlled run beside its placebo"),
    "baselines": Verb("experiments.baselines.command", "tune and judge: does an entropy term beat the obvious?"),
    "architectures": Verb(
        "experiments.architectures.command", "train and judge: do the claims hold in CNNs and transformers?"
    ),
    "stability": Verb("experiments.stability.command", "at which gain and delay is a thermostat's loop unstable?"),
    "verify": Verb("experiments.statements.verify", "check the paper's statements by gates that can fail"),
    "theory": Verb("experiments.statements.studies", "ask the paper's statements of real runs"),
    "statements": Verb("experiments.statements.page", "write the page on the paper's statements"),
    "benchmark": Verb("experiments.benchmarks.command", "time a step, a sweep, a growing store, and the grid in JAX"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a verb; exit with 2, and one line on standard error, if it is unknown or refuses what it was asked for."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(usage())
        return
    verb, *rest = given
    if verb not in VERBS:
        print(f"error: no command {verb}\n\n{usage()}", file=sys.stderr)
        sys.exit(2)
    try:
        try:
            importlib.import_module(VERBS[verb].module).main(rest)
        finally:
            sys.stdout.flush()  # here, so that a closed pipe is met here
    except BrokenPipeError:  # whoever read it, as in | head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def usage() -> str:
    """Return the list of verbs."""
    lines = (f"  {verb:<14}{row.says}" for verb, row in VERBS.items())
    return "\n".join(["usage: python -m experiments VERB ..., and VERB --help for what it takes", *lines])


if __name__ == "__main__":
    main()
