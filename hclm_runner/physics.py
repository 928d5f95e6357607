"""The physics of one run, assembled from its configuration: the energy it descends, and what is measured of it.

Closed over the choices that the runs of a batch share; every argument is one run's, and the trainer vectorises it.
The flat theta [p] is the paper's theta: forces are norms of gradients in R^p.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hclm_runner import observables
from hclm_runner.config import Choice, ConfigError, RunConfig
from hclm_runner.energy import cross_entropy, squared_error, total
from hclm_runner.optimizers import Memory

Numbers = dict[str, Any]
"""The floats that the physics reads: sigma, omega, rho, and a dictionary for each group; a leaf is [R], or one run's
scalar."""


class Physics:
    """What a step does to the theta of one run, and what a row of its records says about theta.

    Attributes:
        d: Width of the representation Z, known after `check`.
    """

    def __init__(self, config: RunConfig, model: nn.Module, classes: int | None) -> None:
        """Bind what the runs share: the model's architecture, not its weights; `classes` is None for regression."""
        self.config, self.model, self.classes = config, model, classes
        self.loss = squared_error if classes is None else cross_entropy
        self.layout = [(name, p.shape, p.numel()) for name, p in model.named_parameters()]
        self.terms = [name for name, weight in (("structure", config.omega), ("risk", config.rho)) if weight > 0]
        self.targets = {group: getattr(config, group).load() for group in ("surrogate", *self.terms)}
        self.d = 0

    def numbers(self, runs: Sequence[RunConfig], dtype: torch.dtype, device: str) -> Numbers:
        """Return the floats that the physics reads, each with a leading axis of runs."""
        scalars = {key: column([getattr(run, key) for run in runs], dtype, device) for key in ("sigma", "omega", "rho")}
        return scalars | {
            group: varying(runs, group, dtype, device) for group in ("surrogate", "optimizer", *self.terms)
        }

    def parameters(self, theta: Tensor) -> dict[str, Tensor]:
        """Return theta [p] as name -> tensor."""
        parts = torch.split(theta, [size for *_, size in self.layout])
        return {name: part.view(shape) for part, (name, shape, _) in zip(parts, self.layout, strict=True)}

    def encode(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return Z = f(x), [B, d]."""
        return self._call("encoder", parameters, x)

    def read(self, parameters: Mapping[str, Tensor], Z: Tensor) -> Tensor:
        """Return the head's output g(Z), [B, K]."""
        return self._call("head", parameters, Z)

    def entropy(self, Z: Tensor, numbers: Numbers) -> Tensor:
        """Return S(Z), nats."""
        return self._apply("surrogate", numbers, Z)

    def energy(self, theta: Tensor, x: Tensor, y: Tensor, xi: Tensor, lam: Tensor, numbers: Numbers) -> Tensor:
        """Return E (Eq 2) on a minibatch: S reads the clean Z, the head reads Zn = Z + sigma xi (Eq 1)."""
        parameters = self.parameters(theta)
        Z = self.encode(parameters, x)
        output = self.read(parameters, Z + numbers["sigma"] * xi)
        extras = {}
        if "structure" in self.terms:
            extras["structure"] = numbers["omega"], self._apply("structure", numbers, parameters)
        if "risk" in self.terms:
            extras["risk"] = numbers["rho"], self._apply("risk", numbers, output, y)
        return total(self.loss(output, y), self.entropy(Z, numbers), lam, extras)

    def start(self, theta: Tensor, numbers: Numbers) -> Memory:
        """Return the optimiser's memory before the first step."""
        memory: Memory = build(self.config.optimizer, numbers["optimizer"]).init(theta)
        return memory

    def update(self, theta: Tensor, g: Tensor, memory: Memory, numbers: Numbers) -> tuple[Tensor, Memory]:
        """Return theta and memory after one optimiser step along g = grad E."""
        moved: tuple[Tensor, Memory] = build(self.config.optimizer, numbers["optimizer"]).update(theta, g, memory)
        return moved

    def measure(self, theta: Tensor, data: Mapping[str, Tensor], numbers: Numbers) -> dict[str, Tensor]:
        """Return the scalars of a row that follow from theta alone: whole splits, no noise."""
        row = {}
        for split in ("train", "feedback", "test"):
            # gL and gS are gradients on the training set; the other splits are only looked at.
            parameters = self.parameters(theta if split == "train" else theta.detach())
            y = data[f"y_{split}"]
            Z = self.encode(parameters, data[f"x_{split}"])
            output = self.read(parameters, Z)
            row[f"{split}_loss"] = self.loss(output, y)
            row[f"{split}_accuracy"], row[f"{split}_confidence"] = self._decisions(output.detach(), y)
            if split == "train":
                row["entropy"] = self.entropy(Z, numbers)
                row["effective_rank"] = observables.effective_rank(Z.detach())
        return row

    def check(self, x: Tensor, y: Tensor) -> None:
        """Call each part once on a batch, and refuse what could not be trained; learns `d`.

        Raises:
            ConfigError: Naming the key of the part, and the shape it returned or the error it raised.
        """
        law = self.config.regime
        if self.classes is None and law.options.get("setpoint", 0.0) is None:
            raise ConfigError("regime.setpoint", "null", "the entropy to hold, in nats: a regression task has no log K")
        if self.classes is None and getattr(law.load(), "hears_feedback", False):
            raise ConfigError(
                "regime", law.name, "a law without feedback: the annotator judges classes, and this task has none"
            )
        outside = [name for name, *_ in self.layout if not name.startswith(("encoder.", "head."))]
        buffers = [name for name, _ in self.model.named_buffers()]
        if outside or buffers or not self.layout:
            found = f"buffers {buffers}" if buffers else f"parameters {outside}" if outside else "no parameters"
            raise ConfigError(
                "model._target_", self.config.model.target, f"parameters in encoder and head only, got {found}"
            )

        batch = f"[batch={len(x)}, "
        parameters = self.parameters(flatten(self.model).to(x.dtype))
        stacked = self.numbers([self.config], x.dtype, "cpu")
        numbers = {group: {key: value[0] for key, value in stacked[group].items()} for group in self.targets}
        outputs = y.shape[1] if self.classes is None else self.classes
        Z = self._probe("model", f"Z {batch}d] of encoder(x)", (len(x), None), lambda: self.encode(parameters, x))
        output = self._probe(
            "model", f"{batch}{outputs}] of head(Z)", (len(x), outputs), lambda: self.read(parameters, Z)
        )
        self._probe("surrogate", "a scalar", (), lambda: self.entropy(Z, numbers))
        if "structure" in self.terms:
            self._probe("structure", "a scalar", (), lambda: self._apply("structure", numbers, parameters))
        if "risk" in self.terms:
            self._probe("risk", "a scalar", (), lambda: self._apply("risk", numbers, output, y))
        self.d = Z.shape[1]

    def _probe(self, group: str, wanted: str, shape: tuple[int | None, ...], call: Callable[[], Any]) -> Tensor:
        key, target = f"{group}._target_", getattr(self.config, group).target
        try:
            result = call()
        except Exception as error:
            raise ConfigError(key, target, f"{wanted}, got {type(error).__name__}: {_one_line(error)}") from error
        if not isinstance(result, Tensor) or not result.is_floating_point():
            raise ConfigError(key, target, f"{wanted}, a tensor of floats, got {type(result).__name__}")
        if result.dim() != len(shape) or any(a not in (None, b) for a, b in zip(shape, result.shape, strict=True)):
            raise ConfigError(key, target, f"{wanted}, got shape {list(result.shape)}")
        return result

    def _call(self, part: str, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        prefix = f"{part}."
        own = {name.removeprefix(prefix): p for name, p in parameters.items() if name.startswith(prefix)}
        result: Tensor = functional_call(self.model.get_submodule(part), own, (x,))
        return result

    def _apply(self, group: str, numbers: Numbers, *inputs: Any) -> Tensor:
        result: Tensor = self.targets[group](*inputs, **{**getattr(self.config, group).options, **numbers[group]})
        return result

    def _decisions(self, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return accuracy and mean confidence, undefined without classes."""
        if self.classes is None:
            undefined = torch.full_like(output[0, 0], torch.nan)
            return undefined, undefined
        return observables.accuracy(output, y), observables.confidence(output)


def varying(runs: Sequence[RunConfig], group: str, dtype: torch.dtype, device: str) -> dict[str, Tensor]:
    """Return the other options of a group, each [R]: floats in `dtype`, integers as they are."""
    options = [getattr(run, group).options for run in runs]
    names = options[0].keys() - getattr(runs[0], group).static().keys()
    return {
        name: column(
            [own[name] for own in options], dtype if isinstance(options[0][name], float) else torch.int64, device
        )
        for name in sorted(names)
    }


def column(values: Sequence[float], dtype: torch.dtype, device: str) -> Tensor:
    """Return one number of each run, [R]."""
    return torch.tensor(values, dtype=dtype, device=device)


def build(choice: Choice, numbers: Mapping[str, Tensor]) -> Any:
    """Instantiate a law, an annotator or an update rule with the runs' numbers in place of the configured ones."""
    return choice.load()(**{**choice.options, **numbers})


def flatten(model: nn.Module) -> Tensor:
    """Return the parameters of a module as one vector [p], in the order of `named_parameters`."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
