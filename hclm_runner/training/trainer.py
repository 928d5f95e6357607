"""The single trainer: step, measure, control, over a leading axis of runs.

The physics is written for one run (`hclm_runner.training.problem`), and vectorised with torch.func.vmap
(`hclm_runner.training.vectorised`). What may differ between the runs of a batch, their data and all their floats, is a
tensor [R, ...] where it is read. No files, no Hydra, no printing here.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import vmap

from hclm_runner.checkpoints import Checkpoint
from hclm_runner.config import RunConfig
from hclm_runner.feedback import utility
from hclm_runner.physics import observables
from hclm_runner.records import AT_ENDS, BALANCE, COLUMNS, ON_REQUEST, SPLITS, Network, Records
from hclm_runner.refusal import ConfigError
from hclm_runner.regimes import Seen
from hclm_runner.training import probes
from hclm_runner.training.batch import (
    Shared,
    build,
    check_together,
    choose,
    column,
    distinct,
    tensors,
    varying,
)
from hclm_runner.training.divergence import Causes
from hclm_runner.training.problem import DRAWS, Problem, build_model, draw_task, flatten, sizes
from hclm_runner.training.vectorised import Vectorised

VITAL = ("lam", "train_loss", "test_loss", "feedback_loss", "entropy", "force", "loss_force")
"""The columns that mean divergence when they are not finite. The others may be undefined: a ratio of zeros, no set
point."""

NOWHERE = Checkpoint()
"""Keeps nothing."""

Progress = Callable[[int, Mapping[str, NDArray[np.float64]]], None]


def train(
    runs: RunConfig | Sequence[RunConfig],
    *,
    device: str = "cpu",
    compile: bool = False,
    progress: Progress | None = None,
    checkpoint: Checkpoint = NOWHERE,
) -> Records:
    """Train one run, or several of equal `shape_key` as one batch, and measure each at every epoch.

    A run's rows follow from its configuration alone: on the CPU, not compiled, they are bit-equal whatever trains
    with it. A run of which a vital number stops being finite is frozen at its last finite parameters and flagged;
    the others go on as if it were not there. Denormal floats are flushed to zero, in the whole process: saturated
    softmaxes are full of them, and they cost tenfold.

    Args:
        runs: A configuration, or R >= 1 of them.
        device: A torch device.
        compile: Compile steps and measurements for the CPU, where torch can: tens of seconds, a second where torch has
            the code from before; results agree to rounding. On a GPU they are CUDA graphs instead.
        progress: Called at the end of each epoch with the epoch and its row, column -> [R].
        checkpoint: Keeps the state of the runs; they go on from where it has them, bit-equal on the CPU, not compiled.

    Raises:
        ConfigError: If the data, the model or a user's own part cannot be trained: the message names the key.
        ValueError: If the runs' shapes differ, or there are none.
    """
    runs = [runs] if isinstance(runs, RunConfig) else runs
    check_together(runs)
    torch.set_flush_denormal(True)
    given, config, dtype = len(runs), runs[0], getattr(torch, runs[0].dtype)

    # --- what the runs are made of: each distinct part once, then a leading axis of runs ------------------------
    drawn, of_task = distinct(runs, lambda run: [run.drawn_from, run.task.options])
    built, of_model = distinct(runs, lambda run: [run.seed, run.model.options])
    tasks = [draw_task(run) for run in drawn]
    probes.check_drawn(drawn[0], tasks[0])
    models = [build_model(run, tasks[0]) for run in built]
    n, B = len(tasks[0].train[0]), config.batch_size
    if n < B:
        raise ConfigError("batch_size", B, f"at most the {n} training samples")

    problem, (x, y) = Problem(config, models[0], tasks[0]), tasks[0].train
    shape = probes.check(problem, *tensors(tasks[0], (x[:B], y[:B]), dtype))
    steps, looks = config.epochs * (n // B), config.epochs + 1
    do = Vectorised(problem, device, compile=compile, steps=steps, looks=looks)
    if given == 1 and not do.alone:  # libraries treat a batch of one as no batch
        runs, of_task, of_model = [*runs, *runs], of_task.repeat(2), of_model.repeat(2)
    shared = Shared(tasks, of_task, runs, dtype, device)

    numbers = problem.numbers(runs, dtype, device)
    batches = partial(shared.batches, size=B, shape=shape, numbers=partial(problem.scheduled, numbers))

    theta = torch.stack([flatten(model) for model in models])[of_model].to(device, dtype)
    memory = do.start(theta, numbers)

    # Control runs in float64 whatever the dtype of training.
    law = build(config.regime, varying(runs, "regime", torch.float64, device))
    judgement = varying(runs, "feedback", torch.float64, device)
    w = judgement.get("w", 1.0)
    lam0 = column([run.lam for run in runs], torch.float64, device)
    state = law.init(lam0, torch.full_like(lam0, tasks[0].log_classes))
    utilities, critiques = lam0.new_full((2, len(runs), config.epochs + 1), torch.nan)

    asked = config.premises or config.metric_force
    due = {*range(0, config.epochs, config.measure_every), config.epochs} if asked else set()
    doubles = problem.numbers(runs, torch.float64, device)
    damping = column([run.metric_damping for run in runs], torch.float64, device)
    diverged = torch.full_like(lam0, -1, dtype=torch.int64)
    causes = Causes(problem, runs, shared, do.piece)
    chosen, least = torch.zeros_like(diverged), torch.full_like(lam0, torch.inf)
    of_noise = DRAWS // 2, shared.measured, *shape
    stopped, gS, entropy = theta, torch.zeros_like(theta), lam0
    table = lam0.new_full((len(runs), len(COLUMNS), config.epochs + 1), torch.nan)

    carried = (theta, memory, state, gS, entropy), (utilities, critiques, table), (diverged, chosen, least, stopped)
    first, causes.found, carried = checkpoint.restore(runs, causes.found, carried)
    (theta, memory, state, gS, entropy), (utilities, critiques, table), (diverged, chosen, least, stopped) = carried
    for epoch in range(first, config.epochs + 1):
        before = theta, memory, state
        gS_before = gS

        # --- step: one pass over the training set ---------------------------------------------------------------
        moves = torch.zeros_like(theta), torch.zeros_like(theta)
        for batch in batches(epoch) if epoch > 0 else ():
            theta, memory, moves = do.step(theta, memory, moves, state["lam"], *batch)

        # --- measure: without noise -----------------------------------------------------------------------------
        xi = shared.draw("balance", epoch, lambda rng: rng.standard_normal(of_noise).astype(config.dtype))
        row, gL, gS = do.look(theta, xi, numbers, shared)

        # --- control: the annotator reports, the law sets lam for the next epoch --------------------------------
        utilities[:, epoch] = utility(row["feedback_accuracy"], row["feedback_confidence"], w)
        critiques[:, epoch] = row["feedback_confidence"] - row["feedback_accuracy"]
        luck = shared.draw("annotator", epoch, lambda rng: np.concatenate([rng.standard_normal(2), rng.random(2)]))
        report = vmap(partial(problem.report, epoch))(judgement, utilities, critiques, luck)
        exploration = shared.draw("policy", epoch, lambda rng: rng.standard_normal())
        forces = row["force"], row["critical_lam"]
        state = law.update(state, Seen(epoch, row["entropy"], *report, exploration, row["logdet_rate"], *forces))

        # --- on request: Eq 5, and what the theorems assume -----------------------------------------------------
        row |= dict.fromkeys(ON_REQUEST, torch.full_like(lam0, torch.nan))
        if epoch in due:
            after = do.step(theta, memory, moves, state["lam"], *next(batches(epoch + 1)))[0]
            row |= do.ask(theta, after, state["lam"], doubles, damping, shared)

        # --- record, and freeze what is no longer finite --------------------------------------------------------
        row |= observables.pushes(row, state["lam"])
        row |= dict.fromkeys(BALANCE, torch.full_like(lam0, torch.nan))
        if epoch > 0:
            dS, moved = row["entropy"] - entropy, (before[0], theta)
            row |= do.balance(dS, (gS_before, gS), moved, moves, before[2]["lam"])
        entropy = row["entropy"]
        row |= {"lam": state["lam"], "setpoint": state["setpoint"], "feedback": state["feedback"]}
        row["feedback_utility"] = utilities[:, epoch]
        row |= dict.fromkeys(AT_ENDS, torch.full_like(lam0, torch.nan))
        row["gap"] = row["test_loss"] - row["train_loss"]
        row["reward"] = utility(row["test_accuracy"], row["test_confidence"], w)
        sound = (
            torch.stack([row[name].isfinite() for name in VITAL]).all(0) & theta.isfinite().all(1) & (row["lam"] >= 0)
        )
        broken = (diverged < 0) & ~sound
        losses = torch.stack([row[f"{split}_loss"] for split in SPLITS], dim=1)
        end = {"L": losses, "S": row["entropy"], "gL": gL, "gS": gS, "lam": row["lam"]}
        causes.trace(broken, epoch, before, batches, do.step, end)
        diverged = torch.where(broken, epoch, diverged)
        theta, memory, state = choose(diverged < 0, (theta, memory, state), before)
        better = (diverged < 0) & (row["feedback_loss"] < least) & (epoch > 0)
        least, chosen, stopped = choose(
            better, (row["feedback_loss"], torch.full_like(chosen, epoch), theta), (least, chosen, stopped)
        )
        measured = torch.stack([row[name] for name in COLUMNS], dim=1)
        table[:, :, epoch] = torch.where(diverged[:, None] < 0, measured, torch.nan)
        if progress is not None:
            progress(epoch, dict(zip(COLUMNS, table[:given, :, epoch].T.cpu().numpy(), strict=True)))
        carried = (theta, memory, state, gS, entropy), (utilities, critiques, table), (diverged, chosen, least, stopped)
        checkpoint.save(epoch, runs, causes.found, carried)

    # --- judge: where training ended, and where the feedback split would have stopped it --------------------------
    last = torch.full_like(chosen, config.epochs)
    for there, at, those in ((stopped, chosen, chosen > 0), (theta, last, diverged < 0)):
        for name, values in do.calibrate(there, shared).items():
            table[:, COLUMNS.index(name)][those, at[those]] = values[those]
    columns = dict(zip(COLUMNS, table[:given].transpose(0, 1).cpu().numpy(), strict=True))
    return Records(
        runs[:given],
        columns,
        diverged[:given].cpu().numpy(),
        causes.found[:given],
        theta[:given].cpu().numpy(),
        Network(*sizes(tasks[0]), [(name, tuple(shape)) for name, shape, _ in problem.layout]),
        do.compiler.used,
    )
