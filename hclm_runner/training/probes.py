"""What is asked of a run's parts before the first step: each is called as training calls it, or refused by name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from hclm_runner.config import Choice, RunConfig
from hclm_runner.parts import part_of
from hclm_runner.physics import premises
from hclm_runner.refusal import ERRORS, ConfigError, one_line
from hclm_runner.regimes import Seen, State
from hclm_runner.tasks import Task
from hclm_runner.training.batch import build, gradients, varying
from hclm_runner.training.problem import Numbers, Problem, draw_task, flatten


def check(problem: Problem, x: Tensor, y: Tensor) -> tuple[int, ...]:
    """Call each part once as training will, vectorised over one run, and refuse what could not be.

    Args:
        problem: The run.
        x: A batch of samples, [B, ...].
        y: Its labels [B], or [B, T] of tokens, or targets [B, m].

    Returns:
        The shape of a sample's representation Z, (d,) or (T, d).

    Raises:
        ConfigError: Naming the key of the part, and the shape it returned or the error it raised.
    """
    _check_layout(problem)
    _check_control(problem)
    theta = flatten(problem.model).to(getattr(torch, problem.config.dtype))[None].requires_grad_()
    numbers = problem.numbers([problem.config], theta.dtype, "cpu")
    answers = y.shape if problem.classes is None else (*y.shape, problem.classes)

    def run(part: Callable[..., Any]) -> Callable[[], Tensor]:
        def one(theta: Tensor, x: Tensor, y: Tensor, numbers: Numbers) -> Tensor:
            result = part(problem.parameters(theta), x, y, numbers)
            if not isinstance(result, Tensor) or not result.is_floating_point():
                raise TypeError(f"{type(result).__name__}, not a tensor of floats")
            return result

        def call() -> Tensor:
            result = vmap(one)(theta, x[None], y[None], numbers)
            gradients(theta, result)  # which may raise where the part itself does not
            return result.detach()[0]

        return call

    def read(p: dict[str, Tensor], x: Tensor) -> Tensor:
        return problem.read(p, problem.encode(p, x))

    B = len(x)
    wanted = f"Z [{B}, d], or [{B}, T, d] of tokens, of encoder(x)"
    Z = _probe(problem, "model", wanted, ((B, None), (B, None, None)), run(lambda p, x, *_: problem.encode(p, x)))
    if problem.config.surrogate_of != "pooled" and Z.dim() == 2:
        wanted = f"pooled: Z of model={problem.config.model.name} is [B, d], not tokens [B, T, d]"
        raise ConfigError("surrogate_of", problem.config.surrogate_of, wanted)
    _probe(problem, "model", f"{list(answers)} of head(Z)", (answers,), run(lambda p, x, *_: read(p, x)))
    _probe(problem, "surrogate", "a scalar", ((),), run(lambda p, x, _, n: problem.entropy(problem.encode(p, x), n)))
    if "structure" in problem.weighted:
        _probe(problem, "structure", "a scalar", ((),), run(lambda p, _x, _y, n: problem.apply("structure", n, p)))
    if "risk" in problem.weighted:
        decided = run(lambda p, x, y, n: problem.apply("risk", n, *problem.decided(read(p, x), y)))
        _probe(problem, "risk", "a scalar", ((),), decided)
    theta = theta.detach()
    _check_optimizer(problem, theta, numbers)
    if problem.config.premises or problem.config.metric_force:
        _check_second_derivatives(problem, theta, x[None], y[None], numbers)
    return Z.shape[1:]


def check_drawn(run: RunConfig, task: Task) -> None:
    """Refuse a task of a user's own that draws other data when it is asked again with the same seed.

    Raises:
        ConfigError: If it does: one run id would stand for several results.
    """
    if part_of(run.task.load()):
        return
    again = draw_task(run).splits()
    for split, arrays in task.splits().items():
        if not all(np.array_equal(*pair) for pair in zip(arrays, again[split], strict=True)):
            wanted = "the same data for the same rng, its only source of chance"
            raise ConfigError("task._target_", run.task.target, f"{wanted}, got another {split} split the second time")


def _check_second_derivatives(problem: Problem, theta: Tensor, x: Tensor, y: Tensor, numbers: Numbers) -> None:
    """Refuse parts that lack what was asked for: torch has not the second derivative of every function."""
    lam = theta.new_ones(1)
    try:
        if problem.config.metric_force:
            vmap(problem.curvature)(theta, theta, x, y)
        if problem.config.premises:
            energy = vmap(problem.energy)
            premises.hessian_product(lambda t: energy(t, x, y, theta.new_zeros(1, 1), lam, numbers), theta, theta)
    except ERRORS as error:
        asked = "metric_force" if problem.config.metric_force else "premises"
        wanted = f"a model and a surrogate with second derivatives, got {one_line(error)}"
        raise ConfigError(asked, getattr(problem.config, asked), wanted) from error


def _check_layout(problem: Problem) -> None:
    """Refuse a model whose parameters are not those of encoder and head, each once, all trained."""
    model, wrong = problem.model, None
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    if buffers := [name for name, _ in model.named_buffers()]:
        wrong = f"buffers {buffers}"
        if any("running_" in name for name in buffers):
            wrong += ": write nn.GroupNorm, or nn.BatchNorm2d(track_running_stats=False), which takes each batch's own"
    elif outside := [name for name in names if not name.startswith(("encoder.", "head."))]:
        wrong = f"parameters {outside}"
    elif len(names) != len(problem.layout):
        wrong = "a parameter under two names"
    elif frozen := [name for name, p in model.named_parameters() if not p.requires_grad]:
        wrong = f"parameters {frozen} that do not train"
    elif not names:
        wrong = "no parameters"
    if wrong:
        wanted = "parameters in encoder and head only, each once, all trained"
        raise ConfigError("model._target_", problem.config.model.target, f"{wanted}, got {wrong}")


def _check_optimizer(problem: Problem, theta: Tensor, numbers: Numbers) -> None:
    """Refuse an update rule that does not return parameters of the shape that it was given."""
    rule = problem.config.optimizer
    wanted = "an optimiser with init(theta) and update(theta, g, memory) -> (theta, memory)"
    wanted += ", and split(part, velocity, memory) -> (move, velocity) and ahead(theta, g) -> theta if it has them"
    with _naming(rule, wanted):
        memory = vmap(problem.start)(theta, numbers)
        still = torch.zeros_like(theta)
        if problem.looks_ahead:
            there = vmap(problem.ahead)(theta, (still, still, still), theta.new_zeros(1), numbers)
            if there.shape != theta.shape:
                raise ValueError(f"ahead of shape {list(there.shape[1:])} for {list(theta.shape[1:])}")
        moved, trace, moves = vmap(problem.update)(theta, (still, still, still), theta.new_zeros(1), memory, numbers)
        if moved.shape != theta.shape:
            raise ValueError(f"theta of shape {list(moved.shape[1:])} for {list(theta.shape[1:])}")
        if wrong := [each.shape for each in (*moves, *trace[1]) if each.shape != theta.shape]:
            raise ValueError(f"a move or a velocity of shape {list(wrong[0][1:])} for {list(theta.shape[1:])}")


def _check_control(problem: Problem) -> None:
    """Refuse a law or an annotator that cannot do its work, or not on this task: asked for two runs at once."""
    law, annotator, runs = problem.config.regime, problem.config.feedback, [problem.config] * 2
    one, by_epoch = torch.ones(2, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)

    with _naming(annotator, "an annotator whose report(utilities, critiques, epoch, draws) is two scalars"):
        numbers, draws = varying(runs, "feedback", torch.float64, "cpu"), torch.ones(2, 4, dtype=torch.float64)
        utility, critique = vmap(partial(problem.report, 0))(numbers, by_epoch, by_epoch, draws)
        utility, critique = utility.reshape(2), critique.reshape(2)
    keys = ", ".join(State.__annotations__)
    with _naming(law, f"a law with init(lam0, reference) and update(state, seen), whose state has {keys}, all tensors"):
        built = build(law, varying(runs, "regime", torch.float64, "cpu"))
        seen = Seen(0, one, utility, critique, *[one] * 4)
        state = built.update(built.init(one, torch.full_like(one, problem.task.log_classes)), seen)
        shapes = {name: state[name].shape for name in (*State.__annotations__, *state)}
        if wrong := {name: list(shape) for name, shape in shapes.items() if shape[:1] != one.shape}:
            raise ValueError(f"shapes {wrong} for two runs")
    uses_feedback = getattr(law.load(), "uses_feedback", None)
    if not isinstance(uses_feedback, bool):
        wanted = "a law that says uses_feedback = True or False: whether it uses the annotator's reports"
        raise ConfigError("regime._target_", law.target, f"{wanted}, got {uses_feedback}")
    if uses_feedback and problem.classes is None:
        wanted = "a law without feedback: the annotator judges classes, and this task has none"
        raise ConfigError("regime", law.name, wanted)


def _probe(
    problem: Problem, group: str, wanted: str, shapes: tuple[tuple[int | None, ...], ...], call: Callable[[], Tensor]
) -> Tensor:
    """Return what a part of the problem gives, refused if it has none of these shapes."""
    choice = getattr(problem.config, group)
    with _naming(choice, wanted):
        result = call()
    if not any(_fits(result.shape, shape) for shape in shapes):
        raise ConfigError(f"{group}._target_", choice.target, f"{wanted}, got shape {list(result.shape)}")
    return result


def _fits(given: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    return len(given) == len(shape) and all(b in (None, a) for a, b in zip(given, shape, strict=True))


@contextmanager
def _naming(choice: Choice, wanted: str) -> Iterator[None]:
    """Turn whatever a user's part raises into a refusal that names it."""
    try:
        yield
    except ConfigError:
        raise
    except ERRORS as error:
        raise ConfigError(f"{choice.group}._target_", choice.target, f"{wanted}, got {one_line(error)}") from error
