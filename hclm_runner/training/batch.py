"""The axis of runs: what varies between the runs of a batch, as tensors [R, ...]."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from hclm_runner.config import Choice, RunConfig
from hclm_runner.parts import ROOMS
from hclm_runner.records import SPLITS
from hclm_runner.refusal import ConfigError
from hclm_runner.replay import ORDERS, Trace
from hclm_runner.streams import stream
from hclm_runner.tasks import Task
from hclm_runner.tasks.base import Split


def check_together(runs: Sequence[RunConfig]) -> None:
    """Refuse runs that cannot train as one batch.

    Raises:
        ValueError: If there are none, or their shape keys differ: the message names a key.
    """
    if not runs:
        raise ValueError("at least one run is needed")
    if len({run.shape_key for run in runs}) > 1:
        shapes = [json.loads(run.shape_key) for run in runs]
        differs = next(key for key in shapes[0] if any(shape[key] != shapes[0][key] for shape in shapes))
        raise ValueError(f"runs that train together must have one shape_key; these differ in {differs}")


def varying(runs: Sequence[RunConfig], group: str, dtype: torch.dtype, device: str) -> dict[str, Tensor]:
    """Return the options of a group that may differ, each [R]: floats in `dtype`, integers as they are.

    A part that repeats stored runs has them as `run`, [R, epochs + 1].
    """
    choices: list[Choice] = [getattr(run, group) for run in runs]
    names = sorted(name for name, value in choices[0].options.items() if type(value) in ROOMS[group].varying)
    columns = {name: [own.options[name] for own in choices] for name in names}
    whole = {name for name, values in columns.items() if all(type(value) is int for value in values)}
    numbers = {
        name: column(values, torch.int64 if name in whole else dtype, device) for name, values in columns.items()
    }
    if choices[0].trace is not None:
        traces = [_repeated(run, choice) for run, choice in zip(runs, choices, strict=True)]
        numbers["run"] = torch.as_tensor(np.stack(traces), dtype=dtype, device=device)
    return numbers


def _repeated(run: RunConfig, choice: Choice) -> Trace:
    """Return what a run repeats of a stored one, [epochs + 1]; that may have been longer."""
    trace, order = np.array(choice.trace)[: run.epochs + 1], choice.options.get("order", "kept")
    return ORDERS[order](trace, stream(run.seed, "placebo"))


def column(values: Sequence[float], dtype: torch.dtype, device: str) -> Tensor:
    """Return one number of each run, [R]."""
    return torch.tensor(values, dtype=dtype, device=device)


def build(choice: Choice, numbers: Mapping[str, Tensor]) -> Any:
    """Instantiate a law, an annotator or an update rule with the runs' numbers in place of the configured ones."""
    return choice.load()(**{**choice.options, **numbers})


def distinct(runs: Sequence[RunConfig], of: Callable[[RunConfig], Any]) -> tuple[list[RunConfig], Tensor]:
    """Return the first run of each value that `of` takes, and each run's place among these, [R]."""
    keys = [json.dumps(of(run)) for run in runs]
    first: dict[str, RunConfig] = {}
    for key, run in zip(keys, runs, strict=True):
        first.setdefault(key, run)
    places = {key: place for place, key in enumerate(first)}
    return list(first.values()), torch.tensor([places[key] for key in keys])


def stack(tasks: Sequence[Task], dtype: torch.dtype, device: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return x_train, y_train, x_feedback, ..., what is equal in several tasks once, and each task's place in them.

    Samples are of `dtype`, labels and tokens int64; a place is [tasks]. A split that does not depend on the seed is one
    copy.

    Raises:
        ConfigError: If a split has not the same shape in every task.
    """
    data, places = {}, {}
    for split in SPLITS:
        pairs = [tensors(task, task.splits()[split], dtype) for task in tasks]
        for name, arrays in zip("xy", zip(*pairs, strict=True), strict=True):
            kinds = {(array.shape, task.classes, task.vocabulary) for array, task in zip(arrays, tasks, strict=True)}
            if len(kinds) != 1:
                raise ConfigError(
                    "task._target_", None, f"the same shape of {name} for every seed, in the {split} split"
                )
            keys = [hashlib.blake2b(array.numpy().tobytes()).digest() for array in arrays]
            kept = dict(zip(keys, arrays, strict=True))
            data[f"{name}_{split}"] = torch.stack(list(kept.values())).to(device)
            places[f"{name}_{split}"] = torch.tensor([list(kept).index(key) for key in keys], device=device)
    return data, places


def tensors(task: Task, split: Split, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return x and y of samples as the network and the loss read them: of `dtype`, but tokens and classes int64."""
    whole = task.vocabulary is not None, task.classes is not None
    x, y = (
        torch.as_tensor(values, dtype=torch.int64 if of_ints else dtype).contiguous()
        for values, of_ints in zip(split, whole, strict=True)
    )
    return x, y


class Shared:
    """What runs share, data, minibatches and random numbers: kept once, copied to each run when read."""

    def __init__(
        self, tasks: Sequence[Task], task: Tensor, runs: Sequence[RunConfig], dtype: torch.dtype, device: str
    ) -> None:
        """Keep the data of the tasks; `task` [R] is the place of each run's among them.

        Raises:
            ConfigError: If a split has not the same shape in every task, or `measure_samples` is more than there are.
        """
        (self.data, places), self.dtype, self.device = stack(tasks, dtype, device), dtype, device
        first, of_run = distinct(runs, lambda run: [run.seed, run.drawn_from, run.task.options])
        self.seeds = [run.seed for run in first]
        of_pair = torch.stack([task[of_run == pair][0] for pair in range(len(first))]).to(device)
        self.places = {name: place[of_pair] for name, place in places.items()}
        self.of_run = of_run.to(device)
        self.rows: Tensor | None = None
        n = self.data["x_train"].shape[1]
        self.measured = runs[0].measure_samples or n
        if self.measured > n:
            raise ConfigError("measure_samples", self.measured, f"at most the {n} training samples")
        if self.measured < n:
            rows = [np.sort(stream(run.drawn_from, "subset").permutation(n)[: self.measured]) for run in first]
            self.rows = torch.from_numpy(np.stack(rows)).to(device)

    def split(self, name: str) -> tuple[Tensor, Tensor]:
        """Return x and y of a split, [R, n, ...]: of the training split those that are measured."""
        return self._of(f"x_{name}", slice(None)), self.labels(name)

    def samples(self, name: str, most: int) -> Iterator[Tensor]:
        """Yield x of a split in pieces of equal size, at most so many samples: each [R, samples, ...]."""
        n = self.measured if name == "train" else self.data[f"x_{name}"].shape[1]
        pieces = -(-n // most)
        for piece in (slice(n * k // pieces, n * (k + 1) // pieces) for k in range(pieces)):
            yield self._of(f"x_{name}", piece)

    def labels(self, name: str) -> Tensor:
        """Return y of a split, [R, n, ...]."""
        return self._of(f"y_{name}", slice(None))

    def outputs(
        self, part: Callable[[Tensor, Tensor], Tensor], theta: Tensor, names: Sequence[str], most: int
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Return part(theta, x) of the samples of splits, in pieces of at most so many, and their labels."""
        return {name: (in_pieces(part, theta, self.samples(name, most)), self.labels(name)) for name in names}

    def only(self, run: int) -> "Shared":
        """Return what there is for one of the runs, R = 1; the data are not copied."""
        one, pair = copy.copy(self), slice(int(self.of_run[run]), int(self.of_run[run]) + 1)
        one.of_run = torch.zeros_like(self.of_run[:1])
        one.seeds, one.places = self.seeds[pair], {name: place[pair] for name, place in self.places.items()}
        one.rows = None if self.rows is None else self.rows[pair]
        return one

    def _of(self, key: str, piece: slice) -> Tensor:
        """Return some of the samples of a split, of the training split of those that are measured."""
        if key.endswith("_train") and self.rows is not None:
            return self._copy(self.data[key][self.places[key][:, None], self.rows[:, piece]])
        return self.data[key][:, piece].index_select(0, self.places[key][self.of_run])

    def batches(
        self, epoch: int, size: int, shape: tuple[int, ...], numbers: Callable[[int], dict[str, Any]]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, dict[str, Any]]]:
        """Yield x, y and the noise xi of each minibatch of an epoch, [R, size, ...]: in each seed's own order.

        xi has the `shape` of a sample's Z. And the runs' numbers in that epoch: with dropout p these have `kept`, the
        factor of each entry of Zn [R, size, ...]: 0 with probability p, else 1 / (1 - p) (Srivastava et al. 2014).
        """
        x, y = self.data["x_train"], self.data["y_train"]
        n = x.shape[1]
        steps = n // size
        order = self._draw("order", epoch, lambda rng: rng.permutation(n)[: steps * size].reshape(steps, size))
        xi = self._draw("noise", epoch, lambda rng: rng.standard_normal((steps, size, *shape))).to(self.dtype)
        of_x, of_y = self.places["x_train"][:, None], self.places["y_train"][:, None]
        of_epoch = given = numbers(epoch)
        if "dropout" in given:
            u = self._draw("dropout", epoch, lambda rng: rng.random((steps, size, *shape)))
            p = given["dropout"].view(-1, *[1] * (1 + len(shape)))
        for k in range(steps):
            if "dropout" in given:
                given = of_epoch | {"kept": (self._copy(u[:, k]) >= p) / (1 - p)}
            yield self._copy(x[of_x, order[:, k]]), self._copy(y[of_y, order[:, k]]), self._copy(xi[:, k]), given

    def draw(self, purpose: str, epoch: int, sample: Callable[[np.random.Generator], Any]) -> Tensor:
        """Return sample(generator) of each run's seed, the generator that of a purpose and epoch: [R, ...]."""
        return self._copy(self._draw(purpose, epoch, sample))

    def _draw(self, purpose: str, epoch: int, sample: Callable[[np.random.Generator], Any]) -> Tensor:
        # On the CPU, so that no device changes the numbers.
        drawn = {seed: sample(stream(seed, purpose, epoch)) for seed in set(self.seeds)}
        return torch.from_numpy(np.stack([drawn[seed] for seed in self.seeds])).to(self.device)

    def _copy(self, values: Tensor) -> Tensor:
        """Return what is there for each pair of a seed and a task, for each run, [R, ...]."""
        return values.index_select(0, self.of_run)


def in_pieces(part: Callable[[Tensor, Tensor], Tensor], theta: Tensor, samples: Iterable[Tensor]) -> Tensor:
    """Return part(theta, x) [R, n, ...] of samples x that come in pieces, each [R, samples, ...].

    With several pieces, what layers return for one of them is there at a time: for a gradient it is computed again.
    What is returned is that of the whole, as each sample's is its own; its gradient adds up in another order.
    """
    pieces = [*samples]
    if len(pieces) == 1:
        return part(theta, pieces[0])
    kept = partial(checkpoint, part, use_reentrant=False) if theta.requires_grad else part
    return torch.cat([kept(theta, x) for x in pieces], dim=1)


def choose(mask: Tensor, new: Any, old: Any) -> Any:
    """Return `new` for the runs in the mask [R] and `old` for the others, through nested tuples and dictionaries."""
    if mask.all():
        return new
    if isinstance(new, Tensor):
        return torch.where(mask.view(-1, *[1] * (new.dim() - 1)), new, old)
    if isinstance(new, dict):
        return {key: choose(mask, value, old[key]) for key, value in new.items()}
    return tuple(choose(mask, *pair) for pair in zip(new, old, strict=True))


def gradients(theta: Tensor, *values: Tensor) -> list[Tensor]:
    """Return the gradient of each run's value [R] with respect to its own theta, [R, p] for each value.

    Runs do not interact, so the gradient of the sum over runs holds each run's own. One run costs half of what
    torch.func.grad takes, many cost the same, and a second of imports is saved.
    """
    gradients: list[Tensor] = []
    for i, value in enumerate(values):
        keep = i < len(values) - 1
        if value.requires_grad:
            gradients += torch.autograd.grad(value.sum(), theta, retain_graph=keep, materialize_grads=True)
        else:  # a surrogate, or a model, that theta does not reach
            gradients.append(torch.zeros_like(theta))
    return gradients
