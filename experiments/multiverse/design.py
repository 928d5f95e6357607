"""What a reconstruction of the paper's experiment has to choose, with plausible values, and universes drawn from that.

A universe says a level for each choice. The first universes cover every level at least once; then come scrambled Sobol
points, mapped to levels. More points leave the earlier ones as they are, so a design grows.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from experiments import grid
from hclm_runner import configure
from hclm_runner.config import RunConfig

Level = str | int | float
Universe = dict[str, Level]
"""Choice -> its level."""

REFERENCE = "the reference"
"""What the universe of the project's defaults is called."""
LEAST_LAM = 0.003
"""The least base lam above 0, in every universe, as in the paper's grid."""


class Choice(NamedTuple):
    """What a reconstruction has to choose."""

    kind: Literal["setting", "question"]
    """A setting is how the experiment is done; a question is which data it is about."""
    levels: tuple[Level, ...]
    """Plausible values, the reference's first."""
    write: Callable[[Level, Universe], list[str]]
    """The overrides that make a level so."""
    options: Sequence[str] = ()
    """The surrogates or regimes that have it, if not all do."""


def sets(key: str) -> Callable[[Level, Universe], list[str]]:
    """Return what writes a level as the value of a key."""
    return lambda level, _: [f"{key}={level}"]


def _eps(level: Level, _: Universe) -> list[str]:
    return [] if level == "sigma^2" else [f"surrogate.eps={level}"]


def _target(level: Level, _: Universe) -> list[str]:
    kappa = str(level).removesuffix(" log K")
    return ["regime.holds=logdet_rate"] if level == "matched in rate" else [f"regime.kappa={kappa}"]


def _lr(level: Level, universe: Universe) -> list[str]:
    return [f"optimizer.lr={float(Fraction(level)) * _usual_lr(str(universe['optimizer'])):.6g}"]


@cache
def _usual_lr(optimizer: str) -> float:
    return float(configure(optimizer=optimizer).optimizer.options["lr"])


CONTROLLED = ("thermostat", "rl_thermostat")
"""The regimes with a controller."""

CHOICES = {
    "epochs": Choice("setting", (120, 30, 60), sets("epochs")),
    "sigma": Choice("setting", (1, 0.1, 0.3), sets("sigma")),
    "eps": Choice("setting", ("sigma^2", 1e-4, 1e-2), _eps, ("variance", "logdet")),
    "set point": Choice(
        "setting", ("1 log K", "0.5 log K", "2 log K", "4 log K", "matched in rate"), _target, CONTROLLED
    ),
    "kp": Choice("setting", (0.5, 0.1, 2), sets("regime.kp"), CONTROLLED),
    "ki": Choice("setting", (0.1, 0, 0.02), sets("regime.ki"), CONTROLLED),
    "policy": Choice("setting", ("critique", "reinforce"), sets("regime.policy"), ("rl_thermostat",)),
    "alpha": Choice("setting", (0.5, 0.1), sets("regime.alpha"), ("rl_thermostat",)),
    "m_min": Choice("setting", (-2, -4), sets("regime.m_min"), ("rl_thermostat",)),
    "largest lam": Choice("setting", (3, 0.3, 1), lambda *_: []),
    "optimizer": Choice("setting", ("sgd", "plain", "adam"), sets("optimizer")),
    "lr / default": Choice("setting", ("1", "1/3", "3"), _lr),
    "hidden": Choice("setting", (64, 32, 128), lambda width, _: [f"model.hidden=[{width}]"]),
    "representation": Choice("setting", (16, 4, 64), sets("model.representation")),
    "activation": Choice("setting", ("tanh", "relu"), sets("model.activation")),
    "label noise": Choice("question", (0.15, 0, 0.3), sets("task.label_noise")),
    "training samples": Choice("question", (256, 1024, 4096), sets("task.train")),
    "separation": Choice("question", (1.2, 2, 3), sets("task.separation")),
}
"""The reconstruction's choices that need runs of their own, by name.

Two more need none, for they are choices of the analysis: a run's final or chosen epoch, and how a claim is read.
"""


class Design(NamedTuple):
    """What all universes of a multiverse have in common."""

    choices: Mapping[str, Choice] = CHOICES
    seeds: int = 8
    """Of each run, the same in every universe. With 6, no claim of several parts could be refuted: sign flips of 6
    seeds have p >= 2/64, over 5% after Holm's correction for 2 parts; with 8, p >= 2/256, which 6 parts may share."""
    lams: int = 8
    """Base lam: 0, and the others evenly on a log scale from `LEAST_LAM` to the universe's largest."""
    base: tuple[str, ...] = ()
    """Overrides of every universe, below its own."""

    def universes(self, settings: int, questions: int) -> list[Universe]:
        """Return the universes, each once: the reference, those that cover all levels, and Sobol points.

        Args:
            settings: Sobol points over the settings, the question being the reference's.
            questions: Further ones over settings and questions.
        """
        names = [name for name, choice in self.choices.items() if choice.kind == "setting"]
        found = [
            *self.cover(),
            *self.drawn(settings, names, seed=1),
            *self.drawn(questions, list(self.choices), seed=2),
        ]
        return list({self.identity(universe): universe for universe in found}.values())

    @property
    def reference(self) -> Universe:
        """The universe of the project's defaults."""
        return {name: choice.levels[0] for name, choice in self.choices.items()}

    def cover(self) -> list[Universe]:
        """Return the reference, and as few others as have each level at least once."""
        number = max(len(choice.levels) for choice in self.choices.values())
        rng = np.random.default_rng(0)
        columns = {}
        for name, choice in self.choices.items():
            first, *others = itertools.islice(itertools.cycle(choice.levels), number)
            columns[name] = [first, *(others[i] for i in rng.permutation(len(others)))]
        return [{name: column[i] for name, column in columns.items()} for i in range(number)]

    def drawn(self, number: int, names: Sequence[str], seed: int) -> list[Universe]:
        """Return universes at the first points of a scrambled Sobol sequence; other choices are as in the reference.

        Args:
            number: How many.
            names: The choices that vary.
            seed: Of the scrambling; with the same seed, fewer universes are the first of more.
        """
        if number == 0:
            return []
        from scipy.stats import qmc  # here: scipy.stats takes a second to import, and results need none of it

        points = qmc.Sobol(len(names), scramble=True, rng=seed).random_base2(math.ceil(math.log2(number)))[:number]
        levels = [self.choices[name].levels for name in names]
        return [
            self.reference | {name: own[int(x * len(own))] for name, own, x in zip(names, levels, point, strict=True)}
            for point in points
        ]

    def identity(self, universe: Universe) -> str:
        """Return the name of a universe's store: a hash of its levels."""
        return hashlib.sha256(json.dumps([self.base, universe], sort_keys=True).encode()).hexdigest()[:8]

    def title(self, universe: Universe) -> str:
        """Return how a universe differs from the reference, in words."""
        differ = [f"{name} {level}" for name, level in universe.items() if level != self.choices[name].levels[0]]
        return ", ".join(differ) or REFERENCE

    def asks_ours(self, universe: Universe) -> bool:
        """Return whether a universe asks the reference's question: then it differs in settings alone."""
        kinds = {name: choice.kind for name, choice in self.choices.items()}
        return all(universe[name] == self.reference[name] for name, kind in kinds.items() if kind == "question")

    def runs(self, universe: Universe) -> list[RunConfig]:
        """Return the runs of a universe: the paper's surrogates and regimes, at each base lam and seed.

        Raises:
            ConfigError: If a level is refused.
        """
        found = []
        for surrogate, regime in itertools.product(grid.SURROGATES, grid.REGIMES):
            own = self.overrides(universe, (surrogate, regime))
            one = configure(f"surrogate={surrogate}", f"regime={regime}", *self.base, *own)
            places = itertools.product(self.ladder(float(universe["largest lam"])), range(self.seeds))
            found += [one.model_copy(update={"lam": lam, "seed": seed}) for lam, seed in places]
        return found

    def overrides(self, universe: Universe, options: Iterable[str]) -> list[str]:
        """Return a universe's overrides of the runs with these options, which may be the only ones that have a key."""
        having = [name for name, choice in self.choices.items() if not choice.options or {*choice.options} & {*options}]
        return [text for name in having for text in self.choices[name].write(universe[name], universe)]

    def ladder(self, top: float) -> list[float]:
        """Return the base lam of a universe, ascending, to three digits."""
        return [0.0, *(float(f"{lam:.3g}") for lam in np.geomspace(LEAST_LAM, top, self.lams - 1))]
