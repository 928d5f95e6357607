"""The command that measures what the runner costs.

python -m experiments benchmark                  # each in turn
python -m experiments benchmark sweep --quick    # a tiny version, to see that it works
"""

import argparse
import importlib
import importlib.util
from collections.abc import Sequence

MEASURES = {
    "step": (),
    "sweep": ("full", "quick"),
    "growth": ("full", "million", "quick"),
    "logdet": ("full", "quick"),
    "jax": ("full", "quick"),
}
"""What is measured -> the scales that it has besides the default."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that the command line asks for; each prints its tables and writes its JSON."""
    says = "Time a step, a sweep, a store as it grows, the log-det, and, where JAX is installed, a program in it."
    parser = argparse.ArgumentParser(prog="python -m experiments benchmark", description=says)
    parser.add_argument("what", nargs="?", choices=[*MEASURES], help="which (default: one after the other)")
    size = parser.add_mutually_exclusive_group()
    for scale, explained in (
        ("full", "three rounds of a sweep, and more runs"),
        ("million", "stores of up to a million runs"),
        ("quick", "tiny versions"),
    ):
        size.add_argument(f"--{scale}", dest="scale", action="store_const", const=scale, help=explained)
    given = parser.parse_args(arguments)
    if given.what and given.scale and given.scale not in MEASURES[given.what]:
        parser.error(f"--{given.scale} is not of the benchmark of a {given.what}")
    every = [what for what, scales in MEASURES.items() if not (given.scale and scales) or given.scale in scales]
    for what in [given.what] if given.what else every:
        if what == "jax" != given.what and importlib.util.find_spec("jax") is None:
            print("jax: not measured, for it is not installed: pip install --editable '.[bench]'")
            continue
        name = f"experiments.benchmarks.{'jax_peer' if what == 'jax' else what}"
        module = importlib.import_module(name)  # which imports torch, in seconds
        module.measure_and_write(*([given.scale or "default"] if MEASURES[what] else []))
