"""One run, assembled from its configuration: its data, its network, the energy it descends, what is measured of it.

Closed over the choices that the runs of a batch share; every argument is one run's, and the trainer vectorises it.
The flat theta [p] is the paper's theta: forces are norms of gradients in R^p.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hclm_runner.config import Choice, RunConfig
from hclm_runner.models.base import reads_shape, reads_tokens
from hclm_runner.optimizers import Memory
from hclm_runner.optimizers.schedule import share
from hclm_runner.physics import metric, observables
from hclm_runner.physics.energy import cross_entropy, squared_error, total
from hclm_runner.records import AT_ENDS, SPLITS
from hclm_runner.refusal import ERRORS, ConfigError, one_line, out_of_memory
from hclm_runner.streams import stream
from hclm_runner.tasks import Task
from hclm_runner.training.batch import build, column, varying

Numbers = dict[str, Any]
"""The floats that the physics reads: sigma, omega, rho, clamp, clip, and a dictionary for each group; a leaf is [R], or
one run's scalar. In a step with dropout also `kept`, the factor of each entry of Zn."""

Pair = tuple[Tensor, Tensor]
"""What belongs to L, and what to lam S, [p] each."""

Trace = tuple[Memory, Pair]
"""What the optimiser remembers, and the velocities that L and lam S have in it."""

DRAWS = 4
"""Of the channel's noise, in antithetic pairs, behind E_xi grad L: late in training the standard error of an epoch's
noisy_injection is 4% at lam = 0.3, and twice as many draws would cost a tenth of the run."""


class Problem:
    """What a step does to the theta of one run, and what a row of its records says about theta."""

    def __init__(self, config: RunConfig, model: nn.Module, task: Task) -> None:
        """Bind what the runs of a batch share: the model's architecture, not its weights; the task's kind."""
        self.config, self.model, self.task, self.classes = config, model, task, task.classes
        self.loss = squared_error if task.classes is None else cross_entropy
        self.layout = [(name, p.shape, p.numel()) for name, p in model.named_parameters()]
        self.weighted = [name for name, weight in (("structure", config.omega), ("risk", config.rho)) if weight > 0]
        self.encoder = torch.cat([torch.full((p.numel(),), name.startswith("encoder.")) for name, p in
                                  model.named_parameters()]).double()  # fmt: skip
        self.looks_ahead = hasattr(config.optimizer.load(), "ahead")
        self.targets = {group: getattr(config, group).load() for group in ("surrogate", *self.weighted)}

    @classmethod
    def of(cls, run: RunConfig) -> "Problem":
        """Return a run's problem: draw its data and build its network, from its seed.

        Raises:
            ConfigError: If the task or the model is none.
        """
        task = draw_task(run)
        return cls(run, build_model(run, task), task)

    def numbers(self, runs: Sequence[RunConfig], dtype: torch.dtype, device: str) -> Numbers:
        """Return the floats that the physics reads, each with a leading axis of runs."""
        keys = ["sigma", "omega", "rho", *(key for key in ("clamp", "clip", "dropout") if getattr(self.config, key))]
        scalars = {key: column([getattr(run, key) for run in runs], dtype, device) for key in keys}
        return scalars | {
            group: varying(runs, group, dtype, device) for group in ("surrogate", "optimizer", *self.weighted)
        }

    def scheduled(self, numbers: Numbers, epoch: int) -> Numbers:
        """Return the numbers in an epoch 1..T: lr moves as its schedule says."""
        times = share(self.config.schedule, self.config.schedule_warmup, epoch, self.config.epochs)
        moved = {"lr": times * numbers["optimizer"]["lr"]} if times != 1 else {}
        return numbers | {"optimizer": numbers["optimizer"] | moved}

    def parameters(self, theta: Tensor) -> dict[str, Tensor]:
        """Return theta [p] as name -> tensor."""
        parts = torch.split(theta, [size for *_, size in self.layout])
        return {name: part.view(shape) for part, (name, shape, _) in zip(parts, self.layout, strict=True)}

    def represent(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return Z of samples, [n, d], or [n, T, d] of tokens."""
        return self.encode(self.parameters(theta), x)

    def outputs(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return what the network makes of samples without noise, [n, K], or [n, T, K]."""
        parameters = self.parameters(theta)
        return self.read(parameters, self.encode(parameters, x))

    def encode(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return Z = f(x), [B, d], or [B, T, d] of tokens."""
        return self._call("encoder", parameters, x)

    def read(self, parameters: Mapping[str, Tensor], Z: Tensor) -> Tensor:
        """Return the head's output g(Z), [B, K], or [B, T, K] where each token has a class."""
        return self._call("head", parameters, Z)

    def entropy(self, Z: Tensor, numbers: Numbers) -> Tensor:
        """Return S(Z), nats."""
        return self.apply("surrogate", numbers, self.rows(Z))

    def rows(self, Z: Tensor) -> Tensor:
        """Return the rows of Z that S is the entropy of, [B, d]: of tokens [B, T, d] the means over T, or all B T."""
        if Z.dim() == 2:
            return Z
        return Z.flatten(0, 1) if self.config.surrogate_of == "tokens" else Z.mean(1)

    def decided(self, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return output and y with a row for each decision: of tokens [B, T, K] and [B, T] those are B T."""
        return (output, y) if self.classes is None else (output.flatten(0, -2), y.flatten())

    def energy(self, theta: Tensor, x: Tensor, y: Tensor, xi: Tensor, lam: Tensor, numbers: Numbers) -> Tensor:
        """Return E (Eq 2) on a minibatch."""
        L, S, rest = self.terms(theta, x, y, xi, numbers)
        return total(L, S, lam, rest)

    def terms(self, theta: Tensor, x: Tensor, y: Tensor, xi: Tensor, numbers: Numbers) -> tuple[Tensor, Tensor, Tensor]:
        """Return the terms of E on a minibatch: L, S, and omega Omega + rho D.

        S reads the clean Z, the head reads Zn = Z + sigma xi (Eq 1), or what dropout keeps of it.
        """
        parameters = self.parameters(theta)
        Z = self.encode(parameters, x)
        Zn = Z + numbers["sigma"] * xi
        output = self.read(parameters, Zn * numbers["kept"] if "kept" in numbers else Zn)
        rest = torch.zeros_like(output.flatten()[0])
        if "structure" in self.weighted:
            rest = rest + numbers["omega"] * self.apply("structure", numbers, parameters)
        if "risk" in self.weighted:
            rest = rest + numbers["rho"] * self.apply("risk", numbers, *self.decided(output, y))
        return self.loss(output, y), self.entropy(Z, numbers), rest

    def start(self, theta: Tensor, numbers: Numbers) -> Trace:
        """Return the optimiser's memory before the first step, and the velocities that L and lam S have in it."""
        memory: Memory = build(self.config.optimizer, numbers["optimizer"]).init(theta)
        return memory, (torch.zeros_like(theta), torch.zeros_like(theta))

    def update(
        self, theta: Tensor, gradients: tuple[Tensor, Tensor, Tensor], lam: Tensor, memory: Trace, numbers: Numbers
    ) -> tuple[Tensor, Trace, Pair]:
        """Return theta and memory after one step of the optimiser, and the moves that L and lam S made of it.

        Args:
            theta: [p].
            gradients: Of L, S, and the rest, [p] each; that of S is rescaled to the norm `clamp` where that is given.
            lam: Scalar.
            memory: What `start` or the last step returned.
            numbers: The run's.

        Returns:
            theta [p], memory, and moves: NaN where the optimiser does not split its steps.
        """
        g, gL, pull = self._gradient(gradients, lam, numbers)
        rule, (remembered, (v_L, v_S)) = build(self.config.optimizer, numbers["optimizer"]), memory
        moved, remembered = rule.update(theta, g, remembered)
        if hasattr(rule, "split"):
            (D_L, v_L), (D_S, v_S) = rule.split(gL, v_L, remembered), rule.split(pull, v_S, remembered)
        else:
            D_L = D_S = torch.full_like(theta, torch.nan)
        return moved, (remembered, (v_L, v_S)), (D_L, D_S)

    def ahead(self, theta: Tensor, gradients: tuple[Tensor, Tensor, Tensor], lam: Tensor, numbers: Numbers) -> Tensor:
        """Return where the optimiser takes the gradients of a step, [p], from those at theta; arguments of `update`."""
        there: Tensor = build(self.config.optimizer, numbers["optimizer"]).ahead(
            theta, self._gradient(gradients, lam, numbers)[0]
        )
        return there

    def _gradient(
        self, gradients: tuple[Tensor, Tensor, Tensor], lam: Tensor, numbers: Numbers
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradient of E, and the parts of it that are L's and lam S's, [p] each; arguments of `update`."""
        gL, gS, rest = gradients
        if "clamp" in numbers:
            norm = gS.norm()
            gS = numbers["clamp"] * gS / torch.where(norm > 0, norm, 1.0)
        pull = lam * gS
        g = gL + pull + rest if self.weighted else gL + pull
        if "clip" in numbers:
            norm = g.norm()
            shorter = (numbers["clip"] / torch.where(norm > 0, norm, 1.0)).clamp(max=1)
            g, gL, pull = shorter * g, shorter * gL, shorter * pull
        return g, gL, pull

    def report(
        self, epoch: int, numbers: Numbers, utilities: Tensor, critiques: Tensor, draws: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the utility and the critique that the annotator of these numbers reports at the end of an epoch."""
        annotator = build(self.config.feedback, numbers)
        reported: tuple[Tensor, Tensor] = annotator.report(utilities, critiques, epoch, draws)
        return reported

    def measure(self, theta: Tensor, Z: Tensor, y: Tensor, xi: Tensor, numbers: Numbers) -> dict[str, Tensor]:
        """Return the scalars of a row that follow from theta and the training set, of which Z is.

        All without noise, but for `noisy_loss`: the mean loss over the antithetic draws +- xi [DRAWS / 2, n, ...].
        """
        parameters = self.parameters(theta)
        row = self._decisions("train", self.read(parameters, Z), y) | {"entropy": self.entropy(Z, numbers)}
        still = {name: p.detach() for name, p in parameters.items()}  # S does not reach the head: no gradient there
        noise, labels = numbers["sigma"] * xi, y.repeat(DRAWS // 2, *[1] * (y.dim() - 1))
        one, other = (self.loss(self.read(still, noisy.flatten(0, 1)), labels) for noisy in (Z + noise, Z - noise))
        row["noisy_loss"] = (one + other) / 2
        return row | observables.geometry(self.rows(Z).detach(), numbers["sigma"])

    def audit(self, splits: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Return the loss on splits (outputs, y), and what the decisions there are worth."""
        row = dict[str, Tensor]()
        for split, (output, y) in splits.items():
            row |= self._decisions(split, output, y)
        return row

    def calibrate(self, splits: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Return the temperature that fits the feedback split, and the loss of each split at it; NaN without classes.

        A split is (outputs, y); the logits are taken to float64.
        """
        if self.classes is None:
            return dict.fromkeys(AT_ENDS, splits["train"][0].new_full((), torch.nan, dtype=torch.float64))
        logits = {name: output.double() for name, (output, _) in splits.items()}
        T = observables.temperature(*self.decided(logits["feedback"], splits["feedback"][1]))
        losses = {f"{name}_scaled_loss": cross_entropy(logits[name] / T, splits[name][1]) for name in SPLITS}
        return {"temperature": T} | losses

    def curvature(self, theta: Tensor, v: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return G v, [p]: `metric_force=ggn` the Gauss-Newton matrix of the loss, `fisher` that of -log p(y | x).

        Both are means over the samples x [n, ...]. The likelihood of a regression is a Gaussian of unit variance,
        so there the Fisher matrix is m / 2 times the other, m the components of y; with classes they are one.
        """
        fisher_of_regression = self.classes is None and self.config.metric_force == "fisher"
        weight = y.shape[1] / 2 if fisher_of_regression else 1.0

        return metric.gauss_newton(
            lambda theta: self.outputs(theta, x), lambda out: weight * self.loss(out, y), theta, v
        )

    def _call(self, part: str, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        prefix = f"{part}."
        own = {name.removeprefix(prefix): p for name, p in parameters.items() if name.startswith(prefix)}
        result: Tensor = functional_call(self.model.get_submodule(part), own, (x,))
        return result

    def apply(self, group: str, numbers: Numbers, *inputs: Any) -> Tensor:
        """Return what the part of a group gives, its options those of the run."""
        result: Tensor = self.targets[group](*inputs, **{**getattr(self.config, group).options, **numbers[group]})
        return result

    def _decisions(self, split: str, output: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Return a split's loss, and what its decisions are worth: undefined without classes."""
        loss, output = self.loss(output, y), output.detach()
        if self.classes is None:
            found = dict.fromkeys(observables.DECISIONS, torch.full_like(loss.detach(), torch.nan))
        else:
            found = observables.decisions(*self.decided(output, y))
        return {f"{split}_loss": loss, **{f"{split}_{name}": value for name, value in found.items()}}


def draw_task(run: RunConfig) -> Task:
    """Return the data of a run.

    Raises:
        ConfigError: If its task is none: the message names the key and what was returned or raised.
    """
    key, target = "task._target_", run.task.target
    try:
        task = run.task.load()(stream(run.drawn_from, "data"), **run.task.options)
    except ConfigError as error:
        given = target if error.value is None else error.value
        raise ConfigError(error.key, given, error.expected) from error.__cause__
    except ERRORS as error:
        raise ConfigError(key, target, f"a task, got {one_line(error)}") from error
    if not isinstance(task, Task):
        raise ConfigError(key, target, f"a hclm_runner.Task, got {type(task).__name__}")
    return task


def build_model(run: RunConfig, task: Task) -> nn.Module:
    """Return the network of a run, with its first weights.

    Raises:
        ConfigError: If its model is none: the message names the key and what was returned or raised.
    """
    return make_model(run.model, run.seed, *sizes(task))


def sizes(task: Task) -> tuple[tuple[int, ...], int, int | None]:
    """Return the shape of a task's sample, the outputs that a network of it has, and the vocabulary of its tokens."""
    outputs = task.train[1].shape[1] if task.classes is None else task.classes
    return task.train[0].shape[1:], outputs, task.vocabulary


def make_model(
    choice: Choice, seed: int, shape: tuple[int, ...], outputs: int, vocabulary: int | None = None
) -> nn.Module:
    """Return a network with the first weights of a seed; raises as `build_model` does."""
    key, target, wanted = "model._target_", choice.target, "a torch.nn.Module with encoder and head"
    make, of_tokens = choice.load(), vocabulary is not None
    takes_shape = reads_shape(make)
    if of_tokens != reads_tokens(make):
        samples = f"{list(shape)} tokens" if of_tokens else f"shape {list(shape)}, which are no tokens"
        inputs = "(input_shape, outputs, vocabulary), as causal_transformer" if of_tokens else "(input_shape, outputs)"
        raise ConfigError(key, target, f"a model of {inputs}, for samples of {samples}")
    if not takes_shape and len(shape) > 1:
        of_images = f"a model of (input_shape, outputs), for samples of shape {list(shape)}"
        raise ConfigError(key, target, f"{of_images}; one whose first parameter is called otherwise reads flat samples")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream(seed, "weights").integers(2**63)))
        try:
            asked = {"vocabulary": vocabulary} if of_tokens else {}
            model = make(shape if takes_shape else shape[0], outputs, **asked, **choice.options)
        except ConfigError:
            raise
        except ERRORS as error:
            if out_of_memory(error):
                wanted = "a network that fits into the memory of this machine"
            raise ConfigError(key, target, f"{wanted}, got {one_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise ConfigError(key, target, f"{wanted}, got {type(model).__name__}")
    if any(isinstance(p, nn.UninitializedParameter) for p in model.parameters()):
        wanted = "layers whose sizes are known, as nn.Linear(128, 64) for nn.LazyLinear(64)"
        raise ConfigError(key, target, f"{wanted}, got a lazy layer")
    return model


def flatten(model: nn.Module) -> Tensor:
    """Return the parameters of a module as one vector [p], in the order of `named_parameters`."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])
