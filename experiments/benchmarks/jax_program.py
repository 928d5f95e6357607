"""The paper's method a third time, in JAX: what a runner of this grid costs as one jitted program a surrogate.

A peer to be measured against, not a part of the runner: it knows the reference network, heavy balls, the clean
annotator and the three laws, with their options as the configuration has them, and nothing else. It computes each
column of the records but those on request, from the same random numbers, and in the same precisions: training in the
run's dtype; the log-det, the geometry, the inner products, the temperature and the control in float64.

`rows_of` is written for one run. `program` maps it over a seed's runs with the data unbatched, so that the products
with X of all of them are one, then over seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import entr, logsumexp

from experiments.grid import REGIMES
from hclm_runner.config import RunConfig
from hclm_runner.physics.observables import BINS, COLDEST, HOTTEST
from hclm_runner.records import COLUMNS
from hclm_runner.streams import stream
from hclm_runner.training.problem import DRAWS, build_model, draw_task
from hclm_runner.training.trainer import VITAL

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call, unused-ignore]

Tree = Any
"""A nest of arrays: parameters are {"encoder": [(W, b), ...], "head": [(W, b)]}."""


# --- what a seed's runs share: drawn by the runner's own code ----------------------------------------------------


def drawn(run: RunConfig) -> Tree:
    """Return a seed's first weights, data, and random numbers of all epochs, in the dtype of the run."""
    task = draw_task(run)
    layers = [p.detach().numpy().astype(run.dtype) for p in build_model(run, task).parameters()]
    pairs = list(zip(layers[::2], layers[1::2], strict=True))
    n, B, d, epochs = len(task.train[0]), run.batch_size, run.model.options["representation"], range(run.epochs + 1)
    steps = n // B
    order = [stream(run.seed, "order", t).permutation(n)[: steps * B].reshape(steps, B) for t in epochs]
    noise = [stream(run.seed, "noise", t).standard_normal((steps, B, d)).astype(run.dtype) for t in epochs]
    balance = [stream(run.seed, "balance", t).standard_normal((DRAWS // 2, n, d)).astype(run.dtype) for t in epochs]
    return {
        "theta": {"encoder": pairs[:-1], "head": pairs[-1:]},
        "splits": {name: (x.astype(run.dtype), y) for name, (x, y) in task.splits().items()},
        # Those of epoch 0 are for its measurement; it has no steps.
        "epochs": (np.array(epochs), np.stack(order), np.stack(noise), np.stack(balance)),
    }


# --- the energy ----------------------------------------------------------------------------------------------------


def linear(x: Array, layer: tuple[Array, Array]) -> Array:
    """Return x W^T + b."""
    return x @ layer[0].T + layer[1]


def encode(layers: Sequence[Tree], x: Array) -> Array:
    """Return Z, [B, d]."""
    for layer in layers[:-1]:
        x = jnp.tanh(linear(x, layer))
    return linear(x, layers[-1])


def read(head: Sequence[Tree], Z: Array) -> Array:
    """Return the logits, [B, K]."""
    return linear(jax.nn.relu(Z), head[0])


def cross_entropy(logits: Array, y: Array) -> Array:
    """Return the mean loss, nats."""
    return (logsumexp(logits, axis=-1) - jnp.take_along_axis(logits, y[:, None], -1)[:, 0]).mean()


def surrogates(eps: float) -> dict[str, Callable[[Array], Array]]:
    """Return name -> S(Z), nats."""

    def logdet(Z: Array) -> Array:
        centred = Z.astype(jnp.float64)
        centred = centred - centred.mean(0)
        factor = jnp.linalg.cholesky(jnp.eye(Z.shape[1]) + centred.T @ centred / (Z.shape[0] * eps))
        return jnp.log(jnp.diagonal(factor)).sum().astype(Z.dtype)

    def variance(Z: Array) -> Array:
        return jnp.square(Z - Z.mean(0)).mean(0).sum() / (2 * eps)

    def softmax(Z: Array) -> Array:
        log_p = jax.nn.log_softmax(Z, axis=-1)
        return -(jnp.exp(log_p) * log_p).sum(-1).mean()

    return {"logdet": logdet, "variance": variance, "softmax": softmax}


# --- what is measured ----------------------------------------------------------------------------------------------


def decisions(logits: Array, y: Array) -> dict[str, Array]:
    """Return `hclm_runner.physics.observables.decisions`."""
    B, K = logits.shape
    weights = jnp.exp(logits - logits.max(-1, keepdims=True))
    top = 1 / weights.sum(-1)
    right = logits.argmax(-1) == y
    whole = jnp.int32 if logits.dtype == jnp.float32 else jnp.int64
    ordered = jnp.sort((jax.lax.bitcast_convert_type(top, whole) & ~1) | right.astype(whole))
    excess = jnp.cumsum((ordered & 1).astype(logits.dtype) - jax.lax.bitcast_convert_type(ordered, logits.dtype))
    edges = np.arange(BINS + 1) * B // BINS
    excess = jnp.diff(jnp.concatenate([jnp.zeros(1, logits.dtype), excess])[edges])
    p_y = jnp.take_along_axis(weights, y[:, None], -1)[:, 0] * top
    own = (y[:, None] == jnp.arange(K)).astype(logits.dtype)
    hits, size = right.astype(logits.dtype), own.sum(0)
    return {
        "accuracy": hits.mean(),
        "confidence": top.mean(),
        "ece": jnp.abs(excess).sum() / B,
        "brier": (jnp.square(weights).sum(-1) * jnp.square(top) - 2 * p_y + 1).mean(),
        "worst_class_accuracy": jnp.where(size > 0, (hits[:, None] * own).sum(0) / jnp.maximum(size, 1), 1.0).min(),
    }


def geometry(Z: Array, sigma: float) -> dict[str, Array]:
    """Return `hclm_runner.physics.observables.geometry`, at sigma > 0."""
    Z = Z.astype(jnp.float64) - Z[0].astype(jnp.float64)
    centred = Z - Z.mean(0)
    eigenvalues = jnp.maximum(jnp.linalg.eigvalsh(centred.T @ centred / Z.shape[0]), 0)
    total = eigenvalues.sum()
    rank = jnp.where(total > 0, jnp.exp(entr(eigenvalues / jnp.where(total > 0, total, 1.0)).sum()), 0.0)
    return {"effective_rank": rank, "logdet_rate": jnp.log1p(eigenvalues / sigma**2).sum() / 2}


def temperature(logits: Array, y: Array) -> Array:
    """Return `hclm_runner.physics.observables.temperature`."""
    z = logits - logits.max(-1, keepdims=True)
    true = jnp.take_along_axis(z, y[:, None], -1)[:, 0]

    def iterate(carry: tuple[Array, Array, Array], step: Array) -> tuple[Tree, None]:
        at, low, high = carry
        weights = jnp.exp(jnp.exp(at) * z)
        mean = (weights * z).sum(-1) / weights.sum(-1)
        slope = (mean - true).mean()
        curvature = ((weights * z * z).sum(-1) / weights.sum(-1) - jnp.square(mean)).mean()
        low, high = jnp.where(slope > 0, low, at), jnp.where(slope > 0, at, high)
        newton = at - slope / (jnp.exp(at) * curvature)
        inside = (newton >= low) & (newton <= high) & (step > 1)
        return (jnp.where(step == 0, low, jnp.where(inside, newton, (low + high) / 2)), low, high), None

    low, high = jnp.float64(-np.log(HOTTEST)), jnp.float64(-np.log(COLDEST))
    return jnp.exp(-jax.lax.scan(iterate, (high, low, high), jnp.arange(40))[0][0])


def dot(a: Tree, b: Tree) -> Array:
    """Return the inner product of two nests, float64."""
    products = jax.tree.map(lambda a, b: (a.astype(jnp.float64) * b.astype(jnp.float64)).sum(), a, b)
    return sum(jax.tree.leaves(products), jnp.float64(0))


def ratio(numerator: Array, denominator: Array) -> Array:
    """Return a quotient, NaN where its denominator is exactly 0."""
    return jnp.where(denominator != 0, numerator / jnp.where(denominator != 0, denominator, 1.0), jnp.nan)


def utility(accuracy: Array, confidence: Array, w: float) -> Array:
    """Return `hclm_runner.feedback.utility`."""
    return accuracy - w * jnp.maximum(confidence - accuracy, 0)


def forces(gS: Tree, gL: Tree, noisy: Tree, lam: Array) -> dict[str, Array]:
    """Return `hclm_runner.physics.observables.forces`; gS and noisy are without the head."""
    below = {"encoder": gL["encoder"]}
    SS, LL, SL, injected = dot(gS, gS), dot(gL, gL), dot(gS, below), -dot(gS, noisy)
    return {
        "force": jnp.sqrt(SS),
        "loss_force": jnp.sqrt(LL),
        "force_ratio": ratio(lam * jnp.sqrt(SS), jnp.sqrt(LL)),
        "alignment": ratio(SL, jnp.sqrt(SS) * jnp.sqrt(dot(below, below))),
        "injection": -SL,
        "dissipation": lam * SS,
        "noisy_injection": injected,
        "critical_lam": ratio(injected, SS),
    }


def balance(dS: Array, gS: tuple[Tree, Tree], D: tuple[Tree, Tree], moved: Tree, lam: Array) -> dict[str, Array]:
    """Return `hclm_runner.physics.observables.balance`."""
    g = jax.tree.map(lambda a, b: (a.astype(jnp.float64) + b.astype(jnp.float64)) / 2, *gS)
    D_L, D_S = ({"encoder": part["encoder"]} for part in D)
    D_O = jax.tree.map(lambda moved, a, b: moved - a - b, {"encoder": moved["encoder"]}, D_L, D_S)
    injected, dissipated, other = dot(g, D_L), -dot(g, D_S), dot(g, D_O)
    return {
        "injected": injected,
        "dissipated": dissipated,
        "other": other,
        "closure": dS - (injected - dissipated + other),
        "balancing_lam": ratio(lam * injected, dissipated),
        "share": ratio(jnp.sqrt(dot(D_S, D_S)), jnp.sqrt(dot(D_L, D_L))),
    }


def calibrate(theta: Tree, splits: Tree) -> dict[str, Array]:
    """Return `hclm_runner.training.problem.Problem.calibrate`."""
    outputs = {name: read(theta["head"], encode(theta["encoder"], x)) for name, (x, _) in splits.items()}
    logits = {name: output.astype(jnp.float64) for name, output in outputs.items()}
    T = temperature(logits["feedback"], splits["feedback"][1])
    losses = {f"{name}_scaled_loss": cross_entropy(logits[name] / T, y) for name, (_, y) in splits.items()}
    return {"temperature": T, **losses}


# --- control -------------------------------------------------------------------------------------------------------


def start_law(o: Mapping[str, float], law: Array, lam0: Array) -> dict[str, Array]:
    """Return the state of any of the laws before epoch 0; o holds the options of `rl_thermostat`."""
    bounded = jnp.clip(lam0, o["lam_min"], o["lam_max"])
    zero = jnp.float64(0)
    return {"lam": jnp.where(law == 0, lam0, bounded), "y": zero * jnp.nan, "I": zero, "m": zero}


def update_law(
    o: Mapping[str, float], law: Array, lam0: Array, base: float, state: Mapping[str, Array], seen: tuple[Array, ...]
) -> tuple[dict[str, Array], Array, Array]:
    """Return the state after epoch t, the set point, and the feedback that the law used; `seen` is t, S, critique."""
    t, S, critique = seen
    active, listens = t >= o["warmup"], law == 2
    moved = jnp.clip(state["m"] - o["alpha"] * (critique - o["c0"]), o["m_min"], o["m_max"])
    m = jnp.where(active & listens, moved, state["m"])
    S_ref = base * jnp.exp(m)
    y = jnp.where(jnp.isnan(state["y"]), S, state["y"] + o["smoothing"] * (S - state["y"]))
    e = jnp.clip(jnp.log(jnp.maximum(y / S_ref, 1e-30)), -1, 1)
    v = jnp.log(jnp.clip(lam0, o["lam_min"], o["lam_max"])) + o["kp"] * e + state["I"]
    bounded = jnp.clip(jnp.exp(v), o["lam_min"], o["lam_max"])
    bleed = min(o["anti_windup"] * o["ki"] / o["kp"], 1.0) * (jnp.log(bounded) - v)
    integral = jnp.where(active, state["I"] + o["ki"] * e + bleed, -o["kp"] * e)
    lam = jnp.where(active & (law > 0), bounded, state["lam"])
    nan = jnp.float64(jnp.nan)
    return (
        {"lam": lam, "y": y, "I": integral, "m": m},
        jnp.where(law > 0, S_ref, nan),
        jnp.where(listens, critique, nan),
    )


# --- a run ---------------------------------------------------------------------------------------------------------


def rows_of(config: RunConfig, laws: Mapping[str, float]) -> Callable[[Array, Array, Tree], dict[str, Array]]:
    """Return the training of one run: (lam0, place of its law, what its seed draws) -> column -> [epochs + 1].

    Args:
        config: Any run of the program: its surrogate and all numbers but lam, law (a place in REGIMES) and seed.
        laws: The options of `rl_thermostat`, which are also those of `thermostat`.
    """
    sigma, w = config.sigma, config.feedback.options["w"]
    lr, momentum = config.optimizer.options["lr"], config.optimizer.options["momentum"]
    entropy = surrogates(config.surrogate.options.get("eps", np.nan))[config.surrogate.name]
    base = laws["kappa"] * np.log(config.task.options["classes"])

    def loss(Z: Array, head: Tree, y: Array) -> tuple[Array, Array]:
        logits = read(head, Z)
        return cross_entropy(logits, y), logits

    def gradients(theta: Tree, x: Array, y: Array, xi: Array) -> tuple[Tree, Tree]:
        """Return the gradients of L and of S on a minibatch, of S without the head, which it does not reach."""
        Z, pull = jax.vjp(lambda encoder: encode(encoder, x), theta["encoder"])
        dZ, head = jax.grad(lambda Z, head: loss(Z + sigma * xi, head, y)[0], (0, 1))(Z, theta["head"])
        return {"encoder": pull(dZ)[0], "head": head}, {"encoder": pull(jax.grad(entropy)(Z))[0]}

    def measure(theta: Tree, splits: Tree, xi: Array) -> tuple[dict[str, Array], Tree, Tree, Tree]:
        """Return the scalars of a row that follow from theta, and the gradients of L, S and E_xi L."""
        x, y = splits["train"]
        Z, pull = jax.vjp(lambda encoder: encode(encoder, x), theta["encoder"])
        (L, logits), (dZ, head) = jax.value_and_grad(loss, (0, 1), has_aux=True)(Z, theta["head"], y)
        S, dS = jax.value_and_grad(entropy)(Z)
        draws = jnp.concatenate([sigma * xi, -sigma * xi])
        noisy = jax.grad(lambda Z: jax.vmap(lambda xi: loss(Z + xi, theta["head"], y)[0])(draws).mean())(Z)
        outputs = {"train": (L, logits, y)}
        for name in ("feedback", "test"):
            x, y = splits[name]
            outputs[name] = (*loss(encode(theta["encoder"], x), theta["head"], y), y)
        row = {"entropy": S, **geometry(Z, sigma)}
        for name, (L, logits, y) in outputs.items():
            row |= {f"{name}_loss": L, **{f"{name}_{key}": value for key, value in decisions(logits, y).items()}}
        row = {name: value.astype(jnp.float64) for name, value in row.items()}
        return row, {"encoder": pull(dZ)[0], "head": head}, {"encoder": pull(dS)[0]}, {"encoder": pull(noisy)[0]}

    def train(lam0: Array, law: Array, shared: Tree) -> dict[str, Array]:
        x, y = shared["splits"]["train"]
        zeros = jax.tree.map(jnp.zeros_like, shared["theta"])

        def step(carry: Tree, batch: tuple[Array, Array]) -> tuple[Tree, None]:
            theta, v_L, v_S, D_L, D_S, lam = carry
            order, xi = batch
            gL, gS = gradients(theta, x[order], y[order], xi)
            gS = {"encoder": gS["encoder"], "head": zeros["head"]}
            v_L = jax.tree.map(lambda v, g: momentum * v + g, v_L, gL)
            v_S = jax.tree.map(lambda v, g: momentum * v + lam.astype(g.dtype) * g, v_S, gS)
            theta = jax.tree.map(lambda theta, a, b: theta - lr * (a + b), theta, v_L, v_S)
            D_L, D_S = (jax.tree.map(lambda D, v: D - lr * v, *pair) for pair in ((D_L, v_L), (D_S, v_S)))
            return (theta, v_L, v_S, D_L, D_S, lam), None

        def epoch(carry: Tree, inputs: tuple[Array, ...]) -> tuple[Tree, dict[str, Array]]:
            before, alive, (S_before, gS_before), (least, chosen, stopped) = carry
            theta, v_L, v_S, state = before
            t, order, noise, xi = inputs
            theta, v_L, v_S, D_L, D_S, lam = jax.lax.cond(
                t > 0,
                lambda carry: jax.lax.scan(step, carry, (order, noise))[0],
                lambda carry: carry,
                (theta, v_L, v_S, zeros, zeros, state["lam"]),
            )
            row, gL, gS, noisy = measure(theta, shared["splits"], xi)
            critique = row["feedback_confidence"] - row["feedback_accuracy"]
            state, setpoint, feedback = update_law(laws, law, lam0, base, state, (t, row["entropy"], critique))
            row |= forces(gS, gL, noisy, state["lam"])
            moved = jax.tree.map(jnp.subtract, theta, before[0])
            balanced = balance(row["entropy"] - S_before, (gS_before, gS), (D_L, D_S), moved, lam)
            row |= {name: jnp.where(t > 0, value, jnp.nan) for name, value in balanced.items()}
            row |= {"lam": state["lam"], "setpoint": setpoint, "feedback": feedback}
            row["feedback_utility"] = utility(row["feedback_accuracy"], row["feedback_confidence"], w)
            row["gap"] = row["test_loss"] - row["train_loss"]
            row["reward"] = utility(row["test_accuracy"], row["test_confidence"], w)
            sound = jnp.stack([jnp.isfinite(row[name]) for name in VITAL]).all() & (row["lam"] >= 0)
            alive = alive & sound & jnp.stack([jnp.isfinite(p).all() for p in jax.tree.leaves(theta)]).all()
            after = jax.tree.map(lambda new, old: jnp.where(alive, new, old), (theta, v_L, v_S, state), before)
            better = alive & (row["feedback_loss"] < least) & (t > 0)
            best = jax.tree.map(
                lambda new, old: jnp.where(better, new, old),
                (row["feedback_loss"], t, theta),
                (least, chosen, stopped),
            )
            row = {name: jnp.where(alive, row[name], jnp.nan) for name in COLUMNS if name in row}
            return (after, alive, (row["entropy"], gS), best), row

        theta = shared["theta"]
        start = (theta, zeros, zeros, start_law(laws, law, lam0))
        first = (jnp.float64(jnp.inf), jnp.zeros_like(shared["epochs"][0][0]), theta)
        nothing = jnp.float64(0), {"encoder": zeros["encoder"]}
        (end, alive, _, (_, chosen, stopped)), rows = jax.lax.scan(
            epoch, (start, jnp.bool_(True), nothing, first), shared["epochs"]
        )
        at_chosen, at_end = calibrate(stopped, shared["splits"]), calibrate(end[0], shared["splits"])
        for name in at_end:
            column = jnp.full_like(rows["lam"], jnp.nan)
            column = column.at[chosen].set(jnp.where(chosen > 0, at_chosen[name], jnp.nan))
            rows[name] = column.at[-1].set(jnp.where(alive, at_end[name], column[-1]))
        return rows

    return train


def program(runs: Sequence[RunConfig]) -> tuple[Any, tuple[Any, ...]]:
    """Return a jitted program for runs of one surrogate, and its arguments.

    Args:
        runs: Each law, in the order of REGIMES, at each lam, for each of some seeds: nested in this order.

    Returns:
        What takes the arguments to column -> [seeds, laws x lam, epochs + 1].
    """
    by_seed = {run.seed: run for run in runs}
    pairs = list(dict.fromkeys((REGIMES.index(run.regime.name), run.lam) for run in runs))
    (laws,) = {tuple(sorted(run.regime.options.items())) for run in runs if run.regime.name == REGIMES[2]}
    each = [drawn(run) for run in by_seed.values()]
    shared = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
    one = rows_of(runs[0], dict(laws))
    of_a_seed = jax.vmap(one, in_axes=(0, 0, None))
    mapped = jax.jit(jax.vmap(of_a_seed, in_axes=(None, None, 0)))
    law, lam0 = (np.array(values) for values in zip(*pairs, strict=True))
    return mapped, (lam0.astype(np.float64), law, shared)
