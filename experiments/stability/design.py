"""The runs of the stability experiment: a table of parts, each a product of places and seeds."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from experiments import grid
from hclm_runner.config import RunConfig
from hclm_runner.refusal import ConfigError

EPOCHS = 240
"""So many that half of them hold a few periods of the slowest limit cycle of the map."""
FEWEST = 40
"""Epochs without which a phase of training is too short to identify anything."""
SIGNALS = {"lam": (0.2, 2, 0.0), "setpoint": (0.3, 8, 0.5)}
"""What the signal is on -> its amplitude, as a logarithm, its period, epochs, and alpha.

The outer loop is the slower one, and its plant depends on where the set point settles: alpha is `rl_thermostat`'s.
"""
SEEDS = 6
MAP_SEED = 1000
"""The first seed of the maps: no seed of theirs serves to identify, or served when their rules were chosen."""

MAPPED = "logdet"
"""The surrogate whose loops are mapped."""
OPTIMIZERS = ("plain", "sgd", "adam")
LAWS = ("fixed", "thermostat", "rl_thermostat", "rate", "balance", "dual", "nupi", "proportional", "ziegler")
"""Whose control work is measured."""

RATIOS = (0.2, 1.0)
"""ki / kp: the default, and much integral action."""
KP = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
DELAYS = (0, 1, 2, 4, 8, 16)
ALPHA = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
FEEDBACK_DELAYS = (0, 5, 10, 20)
NOISES = (0.0, 0.05)
"""Of the feedback; the second is that of feedback=noisy."""

OURS = ("surrogate", "optimizer", "regime", "feedback", "seed", "data_seed", "name")
"""The groups and keys that the experiment sets."""

Place = tuple[tuple[str, Any], ...]
"""Where in its part a run is: pairs of a name and a value."""


class Run(NamedTuple):
    """A run and its place."""

    part: str
    """lam, setpoint (on which the signal is), inner, outer (the maps), or laws."""
    place: Place
    seed: int
    config: RunConfig


def runs(seeds: int, overrides: Sequence[str] = ()) -> list[Run]:
    """Return all runs: of the signal with twice as many seeds, as the prediction needs them.

    Raises:
        ConfigError: If an override is refused, or there are too few epochs.
    """
    from hclm_runner import configure

    for text in overrides:
        if (key := text.partition("=")[0]).partition(".")[0] in OURS:
            raise ConfigError(key, None, f"no value: the experiment sets {', '.join(OURS)}")
    usual = [f"epochs={EPOCHS}"] if not any(text.startswith("epochs=") for text in overrides) else []
    found = []
    for part, place, own in places():
        first, number = (MAP_SEED, seeds) if part in ("inner", "outer") else (0, 2 * seeds)
        config = configure(*usual, *overrides, **own)
        if config.epochs < FEWEST:
            raise ConfigError("epochs", config.epochs, f"{FEWEST} or more")
        found += [
            Run(part, place, seed, config.model_copy(update={"seed": seed})) for seed in range(first, first + number)
        ]
    return found


def places() -> Iterator[tuple[str, Place, Mapping[str, Any]]]:
    """Yield part, place and what it sets, of each place."""
    place: Place
    quiet = {"surrogate": MAPPED, "regime": "excited", "regime.amplitude": 0.0}
    for optimizer in OPTIMIZERS:
        for surrogate, excites in [*((name, "lam") for name in grid.SURROGATES), (MAPPED, "setpoint")]:
            amplitude, period, alpha = SIGNALS[excites]
            place = (("optimizer", optimizer), ("surrogate", surrogate))
            own = {**dict(place), "regime": "excited", "regime.excites": excites, "regime.period": period}
            own |= {"regime.alpha": alpha}
            for sign in (1, -1):
                yield excites, (*place, ("sign", sign)), own | {"regime.amplitude": sign * amplitude}
        for ratio, delay, kp in itertools.product(RATIOS, DELAYS, KP):
            place = (("optimizer", optimizer), ("ratio", ratio), ("delay", delay), ("gain", kp))
            own = {"optimizer": optimizer, "regime.kp": kp, "regime.ki": ratio * kp, "regime.delay": delay}
            yield "inner", place, quiet | own
        for noise, delay, alpha in itertools.product(NOISES, FEEDBACK_DELAYS, ALPHA):
            place = (("optimizer", optimizer), ("noise", noise), ("delay", delay), ("gain", alpha))
            own = {"optimizer": optimizer, "regime.alpha": alpha, "feedback.delay": delay, "feedback.noise": noise}
            yield "outer", place, quiet | own
    for surrogate, law in itertools.product(grid.SURROGATES, LAWS):
        yield "laws", (("surrogate", surrogate), ("law", law)), {"surrogate": surrogate, "regime": law}
