"""The command that measures what the runner costs.

python -m experiments benchmark                  # a step, then a sweep
python -m experiments benchmark sweep --quick    # tiny versions of everything, to see that it works
"""

import argparse
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that the command line asks for; each prints its tables and writes its JSON."""
    parser = argparse.ArgumentParser(prog="python -m experiments benchmark", description="Time a step, and a sweep.")
    parser.add_argument("what", nargs="?", choices=("step", "sweep"), help="which (default: one after the other)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--full",
        dest="scale",
        action="store_const",
        const="full",
        help="of a sweep: three rounds, and growth to 28800 runs",
    )
    size.add_argument(
        "--quick", dest="scale", action="store_const", const="quick", help="of a sweep: tiny versions of everything"
    )
    given = parser.parse_args(arguments)
    if given.what == "step" and given.scale:
        parser.error(f"--{given.scale} is of the benchmark of a sweep")

    from experiments.benchmarks import step, sweep  # both import torch, which takes seconds

    if given.what != "sweep":
        step.measure_and_write()
    if given.what != "step":
        sweep.measure_and_write(given.scale or "default")
