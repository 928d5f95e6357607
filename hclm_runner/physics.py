"""The physics of one run, assembled from its configuration: the energy it descends, and what is measured of it.

Closed over the choices that the runs of a batch share; every argument is one run's, and the trainer vectorises it.
The flat theta [p] is the paper's theta: forces are norms of gradients in R^p.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from hclm_runner import metric, observables, premises
from hclm_runner.config import Choice, ConfigError, RunConfig
from hclm_runner.energy import cross_entropy, squared_error, total
from hclm_runner.optimizers import Memory
from hclm_runner.regimes import Seen

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
        return self.energy_parts(theta, x, y, xi, lam, numbers)[0]

    def energy_parts(
        self, theta: Tensor, x: Tensor, y: Tensor, xi: Tensor, lam: Tensor, numbers: Numbers
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return E, and of its terms L and S."""
        parameters = self.parameters(theta)
        Z = self.encode(parameters, x)
        output = self.read(parameters, Z + numbers["sigma"] * xi)
        extras = []
        if "structure" in self.terms:
            extras.append((numbers["omega"], self._apply("structure", numbers, parameters)))
        if "risk" in self.terms:
            extras.append((numbers["rho"], self._apply("risk", numbers, output, y)))
        L, S = self.loss(output, y), self.entropy(Z, numbers)
        return total(L, S, lam, extras), L, S

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
                row |= observables.geometry(Z.detach(), numbers["sigma"])
        return row

    def curvature(self, theta: Tensor, v: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return G v, [p]: `metric_force=ggn` the Gauss-Newton matrix of the loss, `fisher` that of -log p(y | x).

        Both are means over the samples x [n, features]. The likelihood of a regression is a Gaussian of unit variance,
        so there the Fisher matrix is m / 2 times the other, m the components of y; with classes they are one.
        """
        fisher_of_regression = self.classes is None and self.config.metric_force == "fisher"
        weight = y.shape[1] / 2 if fisher_of_regression else 1.0

        def outputs(theta: Tensor) -> Tensor:
            parameters = self.parameters(theta)
            return self.read(parameters, self.encode(parameters, x))

        return metric.gauss_newton(outputs, lambda out: weight * self.loss(out, y), theta, v)

    def check(self, x: Tensor, y: Tensor) -> None:
        """Call each part once as training will, vectorised over one run, and refuse what could not be; learns `d`.

        Args:
            x: A batch of features, [B, features].
            y: Its labels [B], or targets [B, m].

        Raises:
            ConfigError: Naming the key of the part, and the shape it returned or the error it raised.
        """
        self._check_layout()
        self._check_control()
        theta, numbers = flatten(self.model).to(x.dtype)[None], self.numbers([self.config], x.dtype, "cpu")
        outputs = y.shape[1] if self.classes is None else self.classes

        def run(part: Callable[..., Any]) -> Callable[[], Tensor]:
            def one(theta: Tensor, x: Tensor, y: Tensor, numbers: Numbers) -> Tensor:
                result = part(self.parameters(theta), x, y, numbers)
                if not isinstance(result, Tensor) or not result.is_floating_point():
                    raise TypeError(f"{type(result).__name__}, not a tensor of floats")
                return result

            return lambda: vmap(one)(theta, x[None], y[None], numbers)[0]

        def read(p: dict[str, Tensor], x: Tensor) -> Tensor:
            return self.read(p, self.encode(p, x))

        B = len(x)
        Z = self._probe("model", f"Z [{B}, d] of encoder(x)", (B, None), run(lambda p, x, *_: self.encode(p, x)))
        self._probe("model", f"[{B}, {outputs}] of head(Z)", (B, outputs), run(lambda p, x, *_: read(p, x)))
        self._probe("surrogate", "a scalar", (), run(lambda p, x, _, n: self.entropy(self.encode(p, x), n)))
        if "structure" in self.terms:
            self._probe("structure", "a scalar", (), run(lambda p, _x, _y, n: self._apply("structure", n, p)))
        if "risk" in self.terms:
            self._probe("risk", "a scalar", (), run(lambda p, x, y, n: self._apply("risk", n, read(p, x), y)))
        self.d = Z.shape[1]
        if self.config.premises or self.config.metric_force:
            self._check_second_derivatives(theta, x[None], y[None], numbers)

    def _check_second_derivatives(self, theta: Tensor, x: Tensor, y: Tensor, numbers: Numbers) -> None:
        """Refuse parts that lack what was asked for: torch has not the second derivative of every function."""
        lam = theta.new_ones(1)
        try:
            if self.config.metric_force:
                vmap(self.curvature)(theta, theta, x, y)
            if self.config.premises:
                energy = vmap(self.energy)
                premises.hessian_product(lambda t: energy(t, x, y, 0 * x[:, :, :1], lam, numbers), theta, theta)
        except Exception as error:
            asked = "metric_force" if self.config.metric_force else "premises"
            reason = " ".join(str(error).split())
            wanted = f"a model and a surrogate with second derivatives, got {type(error).__name__}: {reason}"
            raise ConfigError(asked, getattr(self.config, asked), wanted) from error

    def _check_layout(self) -> None:
        problem = None
        names = [name for name, _ in self.model.named_parameters(remove_duplicate=False)]
        if buffers := [name for name, _ in self.model.named_buffers()]:
            problem = f"buffers {buffers}"
        elif outside := [name for name in names if not name.startswith(("encoder.", "head."))]:
            problem = f"parameters {outside}"
        elif len(names) != len(self.layout):
            problem = "a parameter under two names"
        elif frozen := [name for name, p in self.model.named_parameters() if not p.requires_grad]:
            problem = f"parameters {frozen} that do not train"
        elif not names:
            problem = "no parameters"
        if problem:
            wanted = "parameters in encoder and head only, each once, all trained"
            raise ConfigError("model._target_", self.config.model.target, f"{wanted}, got {problem}")

    def _check_control(self) -> None:
        """Refuse a law or an annotator that cannot do its work, or not on this task."""
        law, judge = self.config.regime, self.config.feedback
        if self.classes is None and law.options.get("setpoint", 0.0) is None:
            raise ConfigError("regime.setpoint", "null", "the entropy to hold, in nats: a regression task has no log K")
        if self.classes is None and getattr(law.load(), "hears_feedback", False):
            wanted = "a law without feedback: the annotator judges classes, and this task has none"
            raise ConfigError("regime", law.name, wanted)
        one = torch.ones(1, dtype=torch.float64)
        with _naming(judge, "an annotator whose report(utilities, critiques, epoch, draws) is two scalars"):
            utility, critique = build(judge, {}).report(one, one, 0, torch.ones(4, dtype=torch.float64))
            utility, critique = utility.reshape(1), critique.reshape(1)
        with _naming(
            law, "a law with init(lam0, reference) and update(state, seen), whose state has lam, setpoint, told"
        ):
            numbers = varying([self.config], "regime", torch.float64, "cpu")
            built = build(law, numbers)
            state = built.update(built.init(one, one), Seen(0, one, utility, critique, one))
            for name in ("lam", "setpoint", "told"):
                if state[name].shape != one.shape:
                    raise ValueError(f"{name} of shape {list(state[name].shape)} for one run")

    def _probe(self, group: str, wanted: str, shape: tuple[int | None, ...], call: Callable[[], Tensor]) -> Tensor:
        choice = getattr(self.config, group)
        with _naming(choice, wanted):
            result = call()
        if result.dim() != len(shape) or any(a not in (None, b) for a, b in zip(shape, result.shape, strict=True)):
            raise ConfigError(f"{group}._target_", choice.target, f"{wanted}, got shape {list(result.shape)}")
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
    names = sorted(options[0].keys() - getattr(runs[0], group).static().keys())
    columns = {name: [own[name] for own in options] for name in names}
    whole = {name for name, values in columns.items() if all(type(value) is int for value in values)}
    return {name: column(values, torch.int64 if name in whole else dtype, device) for name, values in columns.items()}


def column(values: Sequence[float], dtype: torch.dtype, device: str) -> Tensor:
    """Return one number of each run, [R]."""
    return torch.tensor(values, dtype=dtype, device=device)


def build(choice: Choice, numbers: Mapping[str, Tensor]) -> Any:
    """Instantiate a law, an annotator or an update rule with the runs' numbers in place of the configured ones."""
    return choice.load()(**{**choice.options, **numbers})


def flatten(model: nn.Module) -> Tensor:
    """Return the parameters of a module as one vector [p], in the order of `named_parameters`."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@contextmanager
def _naming(choice: Choice, wanted: str) -> Iterator[None]:
    """Turn whatever a user's part raises into a refusal that names it."""
    try:
        yield
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"{choice.group}._target_", choice.target, f"{wanted}, got {reason}") from error
