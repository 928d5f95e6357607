"""What training does to runs, vectorised over them; or, where a run is large, to one after the other."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.func import vmap

from hclm_runner.physics import metric, observables, premises
from hclm_runner.records import SPLITS
from hclm_runner.training.batch import Shared, gradients, in_pieces
from hclm_runner.training.cost import largest_piece, of_sample, trains_alone
from hclm_runner.training.problem import Numbers, Pair, Problem, Trace
from hclm_runner.training.recorded import Compiler, recorded

F = TypeVar("F", bound=Callable[..., Any])


def _of_each(method: F) -> F:
    """Make a method of R runs one that is called, where they are large, for one after the other, R = 1.

    So a row follows from its own run, whatever the others are and however many. What has a leading axis of runs,
    tensors in tuples and dictionaries, is cut into copies: libraries choose kernels by where a number lies. And on one
    thread: what several of them add up depends on how many they are.
    """

    @wraps(method)
    def of_all(self: "Vectorised", theta: Tensor, *more: Any) -> Any:
        if not self.alone:
            return method(self, theta, *more)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return _join([method(self, *_only((theta, *more), run)) for run in range(len(theta))])
        finally:
            torch.set_num_threads(threads)

    return cast("F", of_all)


def _only(value: Any, run: int) -> Any:
    if isinstance(value, Shared):
        return value.only(run)
    if isinstance(value, Tensor):
        return value[run : run + 1].clone()
    if isinstance(value, dict):
        return {key: _only(own, run) for key, own in value.items()}
    return tuple(_only(own, run) for own in value)


def _join(values: Sequence[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat([*values])
    if isinstance(values[0], dict):
        return {key: _join([value[key] for value in values]) for key in values[0]}
    return tuple(_join(own) for own in zip(*values, strict=True))


class Vectorised:
    """A problem's steps and measurements, of R runs: of theta [R, p], and of what else has a leading axis of runs."""

    def __init__(self, problem: Problem, device: str, *, compile: bool, steps: int, looks: int) -> None:
        """Vectorise the physics of a run of so many steps, that is looked at so often; `compile` it on request."""
        self.problem, self.encoder = problem, problem.encoder.to(device)
        cost = of_sample(problem)
        self.piece = largest_piece(problem, cost)
        self.alone = trains_alone(cost, problem.config.batch_size, device)
        """Whether a run is large: it is then always a batch of one."""
        parts: list[Callable[..., Any]] = [problem.terms, problem.ahead, problem.update, problem.represent]
        parts += [problem.measure, problem.outputs, problem.audit]
        vectorised = [vmap(part) for part in parts]
        self._terms, self._ahead, self._update, self._represent, self._measure, outputs, audit = vectorised
        if self.alone:  # a large run spends its time in the operations, not between them
            steps = looks = 0
        measured = problem.config.measure_samples or len(problem.task.train[0])
        self.compiler = Compiler(compile and device == "cpu")  # a GPU has graphs
        of_look = self.compiler if measured <= self.piece else Compiler(False)  # of many pieces a program would be long
        self._step = recorded(self._take_step, steps, self.compiler)
        self._look = recorded(self._look_at, looks, of_look)
        self._outputs = recorded(outputs, looks, self.compiler)
        self._audit = recorded(audit, looks, self.compiler)
        self._balance = recorded(self._balance_of, looks, self.compiler)

    @_of_each
    def start(self, theta: Tensor, numbers: Numbers) -> Trace:
        """Return what is remembered before the first step."""
        trace: Trace = vmap(self.problem.start)(theta, numbers)
        return trace

    @_of_each
    def step(self, theta: Tensor, memory: Trace, moves: Pair, lam: Tensor, *batch: Any) -> tuple[Tensor, Trace, Pair]:
        """Return theta and memory after one minibatch, and `moves` with those that L and lam S made in it."""
        stepped: tuple[Tensor, Trace, Pair] = self._step(theta, memory, moves, lam, batch)
        return stepped

    def _take_step(
        self, theta: Tensor, memory: Trace, moves: Pair, lam: Tensor, batch: Any
    ) -> tuple[Tensor, Trace, Pair]:
        theta, lam = theta.detach().requires_grad_(), lam.to(theta.dtype)
        along = gradients(theta, *self._terms(theta, *batch))
        if self.problem.looks_ahead:
            there = self._ahead(theta.detach(), along, lam, batch[-1]).requires_grad_()
            along = gradients(there, *self._terms(there, *batch))
        theta, memory, (D_L, D_S) = self._update(theta.detach(), along, lam, memory, batch[-1])
        return theta, memory, (moves[0] + D_L, moves[1] + D_S)

    @_of_each
    def look(
        self, theta: Tensor, xi: Tensor, numbers: Numbers, data: Shared
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return what is measured at theta, without noise, and gL and gS there.

        Forces are those on the training split; at the others it is only looked.
        """
        x, y = [*data.samples("train", self.piece)], data.labels("train")
        row, gL, gS = self._look(theta, xi, numbers, x, y)
        with torch.no_grad():
            audited = self._audit(data.outputs(self._outputs, theta, ("feedback", "test"), self.piece))
        return row | {name: value.double() for name, value in audited.items()}, gL, gS

    def _look_at(
        self, theta: Tensor, xi: Tensor, numbers: Numbers, x: list[Tensor], y: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        theta = theta.detach().requires_grad_()
        row = self._measure(theta, in_pieces(self._represent, theta, x), y, xi, numbers)
        gL, gS, noisy_gL = gradients(theta, row["train_loss"], row["entropy"], row.pop("noisy_loss"))
        row = {name: value.detach().double() for name, value in row.items()}
        return row | vmap(observables.forces, in_dims=(0, 0, 0, None))(gS, gL, noisy_gL, self.encoder), gL, gS

    @_of_each
    def balance(self, dS: Tensor, gS: Pair, moved: Pair, moves: Pair, lam: Tensor) -> dict[str, Tensor]:
        """Return what an epoch did to S, that took theta from one of `moved` to the other."""
        return self._balance(dS, gS, moved, moves, lam)

    def _balance_of(self, dS: Tensor, gS: Pair, moved: Pair, moves: Pair, lam: Tensor) -> dict[str, Tensor]:
        (before, after), (D_L, D_S) = moved, moves
        parts = D_L, D_S, after - before - D_L - D_S
        found: dict[str, Tensor] = vmap(partial(observables.balance, encoder=self.encoder))(dS, gS, parts, lam)
        return found

    @_of_each
    def calibrate(self, theta: Tensor, data: Shared) -> dict[str, Tensor]:
        """Return the temperature that fits the feedback split, and the losses at it."""
        with torch.no_grad():
            fitted: dict[str, Tensor] = vmap(self.problem.calibrate)(
                data.outputs(vmap(self.problem.outputs), theta, SPLITS, self.piece)
            )
        return fitted

    @_of_each
    def ask(
        self, theta: Tensor, moved: Tensor, lam: Tensor, numbers: Numbers, damping: Tensor, data: Shared
    ) -> dict[str, Tensor]:
        """Return those of the columns `ON_REQUEST` that were asked for; `moved` is theta after the next step.

        In float64, as are the numbers: the condition of Eq 5 is that of G / delta, and one step changes S by little.
        """
        x, y = (values.double() if values.is_floating_point() else values for values in data.split("train"))
        theta, moved = theta.double(), moved.double()
        silence = theta.new_zeros(len(theta), 1)

        def term(theta: Tensor, i: int) -> Tensor:
            value: Tensor = vmap(self.problem.terms)(theta, x, y, silence, numbers)[i]
            return value

        def energy(theta: Tensor) -> Tensor:
            value: Tensor = vmap(self.problem.energy)(theta, x, y, silence, lam, numbers)
            return value

        E, L, S = energy, partial(term, i=0), partial(term, i=1)
        row = {}
        if self.problem.config.metric_force:
            gS = premises.gradient(S, theta)
            row["metric_force"] = metric.force(gS, lambda V: vmap(self.problem.curvature)(theta, V, x, y), damping)
        if self.problem.config.premises:
            row |= premises.force_premise(S, L, theta)
            row["smoothness"] = premises.smoothness(E, theta)
            row |= premises.next_step(E, S, theta, moved)
        return row
