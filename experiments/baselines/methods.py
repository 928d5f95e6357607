"""The methods that are compared, and the priors of their hyper-parameters: a table of data."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from experiments.claims.statistics import Array


class Prior(NamedTuple):
    """What a hyper-parameter is drawn from: ends of a range, or values of equal probability."""

    kind: Literal["log-uniform", "uniform", "one of"]
    points: tuple[float, ...]

    def at(self, u: float) -> float:
        """Return the quantile at u in [0, 1); a number of a range to 4 digits."""
        low, high = self.points[0], self.points[-1]
        if self.kind == "one of":
            return self.points[int(u * len(self.points))]
        x = low * (high / low) ** u if self.kind == "log-uniform" else low + (high - low) * u
        return float(f"{x:.4g}")

    def __str__(self) -> str:
        """Return it in words."""
        numbers = [f"{value:g}" for value in self.points]
        return f"one of {', '.join(numbers)}" if self.kind == "one of" else f"{self.kind}, {' to '.join(numbers)}"


COMMON = {
    "optimizer.lr": Prior("log-uniform", (0.005, 0.2)),
    "epochs": Prior("one of", (30, 60, 120)),
}
"""Key -> prior of what every method draws; lam is 0 unless a method says otherwise."""


class Method(NamedTuple):
    """A way to train, or to use a network that is trained."""

    says: str
    settings: Mapping[str, str | float] = {}
    """Key -> what it sets."""
    own: Mapping[str, Prior] = {}
    """Key -> prior of what it draws besides."""
    gradients: int = 1
    """It takes in a step."""
    reads: str | None = None
    """The method whose runs it reads, if it has none of its own."""
    view: Literal["end", "chosen"] = "end"
    """Judged at the end of training, or at the epoch of least feedback loss."""
    scaled: bool = False
    """Whether it is used with a fitted temperature: its loss is the scaled one."""

    def drawn(self, quantiles: Array) -> list[dict[str, float]]:
        """Return key -> value of each draw; the quantiles [draws, keys or more] are the same for every method."""
        priors = [*COMMON.items(), *self.own.items()]
        return [{key: prior.at(u) for u, (key, prior) in zip(row, priors, strict=False)} for row in quantiles]


WEIGHT = Prior("log-uniform", (1e-3, 1.0))
"""Of a penalty or an entropy."""

METHODS = {
    "none": Method("the loss alone"),
    "temperature": Method("the loss alone, then a temperature fitted on the feedback split", reads="none", scaled=True),
    "early_stopping": Method("the loss alone, stopped at the least feedback loss", reads="none", view="chosen"),
    "weight_decay": Method("weight decay", own={"optimizer.weight_decay": Prior("log-uniform", (1e-4, 0.1))}),
    "dropout": Method("dropout of the noisy representation", own={"dropout": Prior("uniform", (0.05, 0.8))}),
    "sam": Method(
        "sharpness-aware steps", {"optimizer": "sam"}, {"optimizer.rho": Prior("log-uniform", (0.02, 1.0))}, 2
    ),
    "asam": Method(
        "the same, adaptive",
        {"optimizer": "sam", "optimizer.adaptive": "true"},
        {"optimizer.rho": Prior("log-uniform", (0.2, 10.0))},
        2,
    ),
    "label_smoothing": Method("label smoothing", {"risk": "label_smoothing"}, {"rho": Prior("uniform", (0.02, 0.6))}),
    "confidence_penalty": Method(
        "confidence penalty", {"risk": "confidence_penalty"}, {"rho": Prior("log-uniform", (0.03, 3.0))}
    ),
    "spectral": Method("spectral norm", {"structure": "spectral"}, {"omega": WEIGHT}),
    "vib": Method("variational bottleneck", {"surrogate": "vib"}, {"lam": WEIGHT}),
    "softmax": Method("softmax entropy", {"surrogate": "softmax"}, {"lam": WEIGHT}),
    "variance": Method("variance", {"surrogate": "variance"}, {"lam": WEIGHT}),
    "logdet": Method("log-det", {"surrogate": "logdet"}, {"lam": WEIGHT}),
    "thermostat": Method(
        "log-det under a thermostat",
        {"surrogate": "logdet", "regime": "thermostat", "lam": 0.1},
        {"regime.kappa": Prior("log-uniform", (0.25, 4.0))},
    ),
    "rl_thermostat": Method(
        "log-det, its set point moved by feedback",
        {"surrogate": "logdet", "regime": "rl_thermostat", "lam": 0.1},
        {"regime.alpha": Prior("log-uniform", (0.05, 2.0))},
    ),
}
"""Name -> method."""

REFERENCES = ("none", "early_stopping", "weight_decay")
"""What the others are compared with."""

KEYS = {"lam", *COMMON, *(key for method in METHODS.values() for key in (*method.settings, *method.own))}
"""What the table sets."""
