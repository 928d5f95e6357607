"""The single trainer: step, measure, control, over a leading axis of runs.

The physics (`Physics`) is written for one run; `train` vectorises it with torch.func.vmap. What varies between the runs of a batch
(seed, data, lam and every other number that is a float) is a tensor [R, ...]; what they must share is closed over. No files, no Hydra,
no printing here.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap

from hclm_runner import observables
from hclm_runner.config import INPUTS, Choice, ConfigError, RunConfig
from hclm_runner.energy import cross_entropy, energy, squared_error
from hclm_runner.feedback import Annotator, utility
from hclm_runner.optimizers import Memory
from hclm_runner.regimes import Seen
from hclm_runner.streams import stream
from hclm_runner.tasks import Task

COLUMNS = (
    "lam", "train_loss", "test_loss", "gap", "train_accuracy", "test_accuracy", "entropy", "force", "loss_force", "force_ratio",
    "alignment", "injection", "dissipation", "critical_lam", "setpoint", "feedback", "reward", "effective_rank", "feedback_loss",
)  # fmt: skip
"""What is measured at each epoch; README says what each one is."""

VITAL = ("train_loss", "test_loss", "feedback_loss", "entropy", "force", "loss_force", "lam")
"""The columns of which a non-finite value means divergence; the others may be undefined (a ratio of zeros, a law with no set point)."""

Numbers = dict[str, Any]
"""Nested dictionary of the floats of a run's configuration; each leaf [R], or a scalar inside the physics of one run."""


@dataclass(frozen=True)
class Records:
    """What a batch of runs measured.

    Attributes:
        columns: Name -> float64 [runs, epochs + 1]; NaN where undefined, and from the epoch a run diverged.
        diverged: [runs], the first epoch at which a vital number was not finite, -1 where none was.
    """

    columns: dict[str, NDArray[np.float64]]
    diverged: NDArray[np.int64]


def shape_key(run: RunConfig) -> str:
    """Return what runs must have in common to train as one batch: everything but seeds and floats, which may vary."""
    groups = {key: [choice.target, _static(key, choice)] for key in INPUTS if isinstance(choice := getattr(run, key), Choice)}
    shape = {"epochs": run.epochs, "batch_size": run.batch_size, "dtype": run.dtype, "terms": [run.omega > 0, run.rho > 0]}
    return json.dumps(groups | shape, sort_keys=True)


def train(
    runs: Sequence[RunConfig],
    *,
    device: str = "cpu",
    compile: bool = False,
    progress: Callable[[int, Mapping[str, NDArray[np.float64]]], None] | None = None,
) -> Records:
    """Train runs of equal shape as one batch, and measure each at every epoch.

    A run's rows depend on its configuration alone: on the CPU and uncompiled they are bit-equal whatever runs train beside it. A run
    of which a vital number stops being finite is frozen at its last finite parameters and flagged; the others go on undisturbed.
    Denormal floats are flushed to zero for the whole process (a saturated softmax is full of them, and they cost tenfold).

    Args:
        runs: R >= 1 configurations of equal `shape_key`.
        device: A torch device.
        compile: Compile the training step and the measurement (tens of seconds, repaid over many steps; numbers then agree to rounding).
        progress: Called after each epoch with the epoch and its row, column -> [R].

    Raises:
        ConfigError: If the data, the model or a user's own function cannot be trained: the message names the key.
        ValueError: If the runs' shapes differ.
    """
    if len({shape_key(run) for run in runs}) != 1:
        raise ValueError("runs that train together must have equal shape_key, and there must be at least one")
    torch.set_flush_denormal(True)
    config = runs[0]
    dtype = getattr(torch, config.dtype)

    seeds = sorted({run.seed for run in runs})
    seed_of = torch.tensor([seeds.index(run.seed) for run in runs], device=device)
    tasks = _once(runs, lambda run: (json.dumps(run.task.options, sort_keys=True), run.seed), _draw_task)
    data = _stack(tasks, dtype, device)
    n = len(tasks[0].train[0])
    if config.batch_size > n:
        raise ConfigError("batch_size", config.batch_size, f"at most the {n} training samples")
    models = _once(runs, lambda run: run.seed, lambda run: _build_model(run, tasks[0]))
    physics = Physics(config, models[0], tasks[0].classes)
    physics.check(data["x_train"][0, : config.batch_size].cpu(), data["y_train"][0, : config.batch_size].cpu())
    d, steps = physics.d, n // config.batch_size

    step, measure = vmap(physics.step), vmap(physics.measure)
    if compile:
        step, measure = torch.compile(step, dynamic=False), torch.compile(measure, dynamic=False)
    numbers = physics.numbers(runs, dtype, device)
    # Control runs in float64 whatever the dtype of training.
    law, annotator = (_build(getattr(config, group), _varying(runs, group, torch.float64, device)) for group in ("regime", "feedback"))
    lam0 = torch.tensor([run.lam for run in runs], dtype=torch.float64, device=device)

    theta = torch.stack([_flatten(model) for model in models]).to(device, dtype)
    memory = vmap(physics.start)(theta, numbers)
    reference = torch.full((len(runs),), np.nan if tasks[0].classes is None else np.log(tasks[0].classes), dtype=torch.float64, device=device)
    state = law.init(lam0, reference)
    utilities = torch.full((len(runs), config.epochs + 1), torch.nan, dtype=torch.float64, device=device)
    critiques = utilities.clone()
    diverged = torch.full((len(runs),), -1, device=device)
    rows: list[Tensor] = []

    def draw(purpose: str, epoch: int, sample: Callable[[np.random.Generator], Any]) -> Tensor:
        drawn = np.stack([sample(stream(seed, purpose, epoch)) for seed in seeds])
        return torch.from_numpy(drawn).to(device)[seed_of]

    for epoch in range(config.epochs + 1):
        before = theta, memory, state

        # --- step: one pass over the training set, in each seed's own order -------------------------------------------------
        if epoch > 0:
            order = draw("order", epoch, lambda rng: rng.permutation(n)[: steps * config.batch_size])
            xi = draw("noise", epoch, lambda rng: rng.standard_normal((steps, config.batch_size, d))).to(dtype)
            batches = [_rows(data[key], order).unflatten(1, (steps, config.batch_size)) for key in ("x_train", "y_train")]
            lam = state["lam"].to(dtype)
            for k in range(steps):
                theta, memory = step(theta, memory, batches[0][:, k], batches[1][:, k], xi[:, k], lam, numbers)

        # --- measure: whole splits, without noise ---------------------------------------------------------------------------
        row, gS, gL = measure(theta, data, numbers)
        row = {key: value.double() for key, value in row.items()}

        # --- control: the annotator reports, the law sets lam for the next epoch --------------------------------------------
        utilities[:, epoch] = utility(row["feedback_accuracy"], row["feedback_confidence"], annotator.w)
        critiques[:, epoch] = row["feedback_confidence"] - row["feedback_accuracy"]
        draws = draw("annotator", epoch, lambda rng: np.concatenate([rng.standard_normal(2), rng.random(2)]))
        told = _report(annotator, utilities, critiques, epoch, draws)
        state = law.update(state, Seen(epoch, row["entropy"], *told, draw("policy", epoch, lambda rng: rng.standard_normal())))

        # --- record ---------------------------------------------------------------------------------------------------------
        row |= vmap(observables.forces)(gS, gL, state["lam"])
        row |= {"lam": state["lam"], "setpoint": state["setpoint"], "feedback": state["told"]}
        row["gap"] = row["test_loss"] - row["train_loss"]
        row["reward"] = utility(row["test_accuracy"], row["test_confidence"], annotator.w)
        finite = torch.stack([row[key].isfinite() for key in VITAL]).all(0) & theta.isfinite().all(1)
        diverged = torch.where((diverged < 0) & ~finite, epoch, diverged)
        alive = diverged < 0
        theta, memory, state = _keep(alive, (theta, memory, state), before)
        rows.append(torch.where(alive, torch.stack([row[key] for key in COLUMNS]), torch.nan))
        if progress is not None:
            progress(epoch, dict(zip(COLUMNS, rows[-1].cpu().numpy(), strict=True)))

    table = torch.stack(rows, dim=-1).cpu().numpy()
    return Records(dict(zip(COLUMNS, table, strict=True)), diverged.cpu().numpy())


class Physics:
    """The physics of one run: what a step does to theta [p], and what is measured of it.

    Closed over the static choices of the batch; every argument is one run's. The flat theta is the paper's theta: forces are norms of
    gradients in R^p.
    """

    def __init__(self, config: RunConfig, model: nn.Module, classes: int | None) -> None:
        """Bind the static choices; `model` gives the architecture, its weights are not used."""
        self.config, self.model, self.classes = config, model, classes
        self.loss = cross_entropy if classes is not None else squared_error
        self.layout = [(name, p.shape, p.numel()) for name, p in model.named_parameters()]
        self.terms = [name for name, weight in (("structure", config.omega), ("risk", config.rho)) if weight > 0]
        self.targets = {group: getattr(config, group).load() for group in ("surrogate", *self.terms)}
        self.d = 0

    def numbers(self, runs: Sequence[RunConfig], dtype: torch.dtype, device: str) -> Numbers:
        """Return the floats that the physics reads, each with a leading axis of runs."""
        scalars = {key: torch.tensor([getattr(run, key) for run in runs], dtype=dtype, device=device) for key in ("sigma", "omega", "rho")}
        return scalars | {group: _varying(runs, group, dtype, device) for group in ("surrogate", "optimizer", *self.terms)}

    def parameters(self, theta: Tensor) -> dict[str, Tensor]:
        """Return theta [p] as name -> tensor."""
        parts = theta.split([size for *_, size in self.layout])
        return {name: part.view(shape) for part, (name, shape, _) in zip(parts, self.layout, strict=True)}

    def encode(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return Z = f(x), [B, d]."""
        return _call(self.model, "encoder", parameters, x)

    def read(self, parameters: Mapping[str, Tensor], Z: Tensor) -> Tensor:
        """Return the head's output g(Z), [B, K]."""
        return _call(self.model, "head", parameters, Z)

    def entropy(self, Z: Tensor, numbers: Numbers) -> Tensor:
        """Return S(Z), nats."""
        return self._apply("surrogate", numbers, Z)

    def extras(self, parameters: Mapping[str, Tensor], output: Tensor, y: Tensor, numbers: Numbers) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the terms in use of omega Omega and rho D, as name -> (weight, term)."""
        inputs = {"structure": ("omega", (parameters,)), "risk": ("rho", (output, y))}
        return {name: (numbers[inputs[name][0]], self._apply(name, numbers, *inputs[name][1])) for name in self.terms}

    def _apply(self, group: str, numbers: Numbers, *inputs: Any) -> Tensor:
        options = dict(getattr(self.config, group).options) | numbers[group]
        result: Tensor = self.targets[group](*inputs, **options)
        return result

    def energy(self, theta: Tensor, x: Tensor, y: Tensor, xi: Tensor, lam: Tensor, numbers: Numbers) -> Tensor:
        """Return E (Eq 2) on a minibatch: S reads the clean Z, the head reads Zn = Z + sigma xi (Eq 1)."""
        parameters = self.parameters(theta)
        Z = self.encode(parameters, x)
        output = self.read(parameters, Z + numbers["sigma"] * xi)
        return energy(self.loss(output, y), self.entropy(Z, numbers), lam, self.extras(parameters, output, y, numbers))

    def start(self, theta: Tensor, numbers: Numbers) -> Memory:
        """Return the optimiser's memory before the first step."""
        memory: Memory = _build(self.config.optimizer, numbers["optimizer"]).init(theta)
        return memory

    def step(self, theta: Tensor, memory: Memory, x: Tensor, y: Tensor, xi: Tensor, lam: Tensor, numbers: Numbers) -> tuple[Tensor, Memory]:
        """Return theta and memory after one optimiser step on E."""
        g = grad(self.energy)(theta, x, y, xi, lam, numbers)
        moved: tuple[Tensor, Memory] = _build(self.config.optimizer, numbers["optimizer"]).update(theta, g, memory)
        return moved

    def measure(self, theta: Tensor, data: Mapping[str, Tensor], numbers: Numbers) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return the row of scalars, gS and gL, [p] each, of whole splits and without noise."""

        def losses(theta: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
            parameters = self.parameters(theta)
            Z = self.encode(parameters, data["x_train"])
            output = self.read(parameters, Z)
            LS = torch.stack([self.loss(output, data["y_train"]), self.entropy(Z, numbers)])
            return LS, (LS, Z, output)

        (gL, gS), ((L, S), Z, output) = jacrev(losses, has_aux=True)(theta)
        row = {"train_loss": L, "entropy": S, "effective_rank": observables.effective_rank(Z)}
        row["train_accuracy"], _ = self._decisions(output, data["y_train"])
        parameters = self.parameters(theta)
        for split in ("feedback", "test"):
            x, y = data[f"x_{split}"], data[f"y_{split}"]
            output = self.read(parameters, self.encode(parameters, x))
            row[f"{split}_loss"] = self.loss(output, y)
            row[f"{split}_accuracy"], row[f"{split}_confidence"] = self._decisions(output, y)
        return row, gS, gL

    def _decisions(self, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if self.classes is None:
            undefined = torch.full_like(output[0, 0], torch.nan)
            return undefined, undefined
        return observables.accuracy(output, y), observables.confidence(output)

    def check(self, x: Tensor, y: Tensor) -> None:
        """Call every user-supplied part once on a batch and refuse what the trainer could not use; learns d.

        Raises:
            ConfigError: Naming the key of the part, and the shape it returned or the error it raised.
        """
        if self.classes is None and "setpoint" in self.config.regime.options and self.config.regime.options["setpoint"] is None:
            raise ConfigError("regime.setpoint", "null", "the entropy to hold, in nats: a regression task has no log K")
        if self.classes is None and getattr(self.config.regime.load(), "hears_feedback", False):
            raise ConfigError("regime", self.config.regime.name, "a task with classes: the annotator judges confidence and accuracy")
        outside = [name for name, *_ in self.layout if not name.startswith(("encoder.", "head."))]
        if outside or not self.layout or any(True for _ in self.model.buffers()):
            found = f"parameters {outside}" if outside else "buffers (running statistics?)" if self.layout else "no parameters"
            raise ConfigError("model._target_", self.config.model.target, f"parameters in `encoder` and `head`, and nothing else, got {found}")
        parameters = self.parameters(_flatten(self.model).to(x.dtype))
        numbers = {key: {name: value[0] for name, value in group.items()} for key, group in self.numbers([self.config], x.dtype, "cpu").items() if isinstance(group, dict)}
        Z = self._probe("model", "Z of shape [batch, d]", lambda: self.encode(parameters, x), (len(x), None))
        width = self.classes if self.classes is not None else y.shape[1]
        output = self._probe("model", f"an output of shape [batch, {width}]", lambda: self.read(parameters, Z), (len(x), width))
        self._probe("surrogate", "a scalar", lambda: self.entropy(Z, numbers), ())
        for term, inputs in (("structure", (parameters,)), ("risk", (output, y))):
            if term in self.terms:
                self._probe(term, "a scalar", lambda term=term, inputs=inputs: self._apply(term, numbers, *inputs), ())
        self.d = Z.shape[1]

    def _probe(self, group: str, wanted: str, call: Callable[[], Any], shape: tuple[int | None, ...]) -> Tensor:
        key, target = f"{group}._target_", getattr(self.config, group).target
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything at all
            raise ConfigError(key, target, f"{wanted}, got {type(error).__name__}: {' '.join(str(error).split())}") from error
        if not isinstance(result, Tensor) or not result.is_floating_point():
            raise ConfigError(key, target, f"{wanted}, a tensor of floats, got {type(result).__name__}")
        if result.dim() != len(shape) or any(want not in (None, have) for want, have in zip(shape, result.shape, strict=True)):
            raise ConfigError(key, target, f"{wanted}, got shape {list(result.shape)}")
        return result


def _call(model: nn.Module, part: str, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
    own = {name.removeprefix(f"{part}."): p for name, p in parameters.items() if name.startswith(f"{part}.")}
    result: Tensor = functional_call(model.get_submodule(part), own, (x,))
    return result


def _flatten(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def _build(choice: Choice, numbers: Mapping[str, Tensor]) -> Any:
    """Instantiate a law, an annotator or an update rule with the runs' numbers in place of the configured floats."""
    return choice.load()(**(dict(choice.options) | dict(numbers)))


def _varying(runs: Sequence[RunConfig], group: str, dtype: torch.dtype, device: str) -> dict[str, Tensor]:
    """Return the options of a group that differ between runs of one shape, each [R]."""
    static = _static(group, getattr(runs[0], group))
    options = [getattr(run, group).options for run in runs]
    return {
        key: torch.tensor([own[key] for own in options], dtype=dtype if isinstance(value, float) else None, device=device)
        for key, value in options[0].items()
        if key not in static
    }


def _static(group: str, choice: Choice) -> dict[str, Any]:
    """Return the options of a group that runs of one shape share: all but floats, and but whole numbers where they shape nothing."""
    free: tuple[type, ...] = (float, int) if group in ("regime", "feedback") else (float,)
    return {key: value for key, value in choice.options.items() if type(value) not in free}


def _once(runs: Sequence[RunConfig], key: Callable[[RunConfig], Any], make: Callable[[RunConfig], Any]) -> list[Any]:
    """Return make(run) for each run, made once for each distinct key."""
    made: dict[Any, Any] = {}
    for run in runs:
        if key(run) not in made:
            made[key(run)] = make(run)
    return [made[key(run)] for run in runs]


def _draw_task(run: RunConfig) -> Task:
    try:
        task = run.task.load()(stream(run.seed, "data"), **run.task.options)
    except ConfigError as error:
        named = run.task.target if error.value is None else error.value
        raise ConfigError(error.key, named, error.expected) from error
    except Exception as error:
        raise ConfigError("task._target_", run.task.target, f"a Task, got {type(error).__name__}: {' '.join(str(error).split())}") from error
    if not isinstance(task, Task):
        raise ConfigError("task._target_", run.task.target, f"a hclm_runner.Task, got {type(task).__name__}")
    return task


def _build_model(run: RunConfig, task: Task) -> nn.Module:
    outputs = task.classes if task.classes is not None else task.train[1].shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream(run.seed, "weights").integers(2**63)))
        try:
            model = run.model.load()(task.train[0].shape[1], outputs, **run.model.options)
            return model if isinstance(model, nn.Module) else _refuse_model(run, type(model).__name__)
        except ConfigError:
            raise
        except Exception as error:
            return _refuse_model(run, f"{type(error).__name__}: {' '.join(str(error).split())}")


def _refuse_model(run: RunConfig, found: str) -> Any:
    raise ConfigError("model._target_", run.model.target, f"a torch.nn.Module with `encoder` and `head`, got {found}")


def _stack(tasks: Sequence[Task], dtype: torch.dtype, device: str) -> dict[str, Tensor]:
    """Return x_train, y_train, x_feedback, ... with a leading axis of runs; features in `dtype`, labels in int64."""
    distinct = list({id(task): task for task in tasks}.values())
    index = torch.tensor([[id(task) for task in distinct].index(id(task)) for task in tasks], device=device)
    data = {}
    for split in ("train", "feedback", "test"):
        for part, name in enumerate("xy"):
            arrays = [task.splits()[split][part] for task in distinct]
            if len({array.shape for array in arrays}) != 1 or len({task.classes for task in distinct}) != 1:
                raise ValueError("tasks that train together must have splits of equal shape and as many classes")
            labels = name == "y" and distinct[0].classes is not None
            data[f"{name}_{split}"] = torch.from_numpy(np.stack(arrays)).to(device, torch.int64 if labels else dtype)[index]
    return data


def _rows(values: Tensor, order: Tensor) -> Tensor:
    """Return values[r, order[r]] for each run r."""
    return values[torch.arange(len(order), device=order.device).unsqueeze(1), order]


def _report(annotator: Annotator, utilities: Tensor, critiques: Tensor, epoch: int, draws: Tensor) -> tuple[Tensor, Tensor]:
    varying = {key: value for key, value in vars(annotator).items() if isinstance(value, Tensor)}
    fixed = {key: value for key, value in vars(annotator).items() if key not in varying}

    def one(numbers: dict[str, Tensor], u: Tensor, c: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        return type(annotator)(**fixed, **numbers).report(u, c, epoch, draws)

    told: tuple[Tensor, Tensor] = vmap(one)(varying, utilities, critiques, draws)
    return told


def _keep(alive: Tensor, new: Any, old: Any) -> Any:
    """Return `new` for the runs that are alive and `old` for the others, through nested tuples and dictionaries."""
    if isinstance(new, Tensor):
        return torch.where(alive.view(-1, *[1] * (new.dim() - 1)), new, old)
    if isinstance(new, dict):
        return {key: _keep(alive, value, old[key]) for key, value in new.items()}
    return tuple(_keep(alive, a, b) for a, b in zip(new, old, strict=True))
