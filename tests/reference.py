"""The whole method for ONE run, slow and plain: an executable statement of the paper, to hold the fast trainer to.

Everything is float64, one sample and one parameter tensor at a time; autograd gives gradients, control is in Python's
floats. The laws are in reference_laws.py, the optimisers in reference_optimizers.py. Of the package it uses the data
and the initial weights alone (`hclm_runner.tasks` and `hclm_runner.models`, by way of the configuration): what it says
of the method, it says for itself.
"""

import copy
import math

import numpy as np
import torch
from reference_energy import covariance, decided, encode, energy, entropy, log_probabilities, loss, read, rows, terms
from reference_laws import NAN, Balance, Fixed, RLThermostat, Thermostat, report, utility
from reference_optimizers import SAM, SGD, Adam

PURPOSES = ["data", "weights", "order", "noise", "annotator", "policy", "balance", "dropout", "placebo"]
COLUMNS = [
    *("lam", "train_loss", "test_loss", "feedback_loss", "gap", "train_accuracy", "feedback_accuracy", "test_accuracy"),
    *("train_ece", "feedback_ece", "test_ece", "train_brier", "feedback_brier", "test_brier"),
    *("train_worst_class_accuracy", "feedback_worst_class_accuracy", "test_worst_class_accuracy"),
    *("entropy", "force", "loss_force", "force_ratio", "alignment", "injection", "dissipation", "noisy_injection"),
    *("critical_lam", "injected", "dissipated", "other", "closure", "balancing_lam", "share"),
    *("setpoint", "feedback", "feedback_utility", "reward", "effective_rank", "logdet_rate"),
    *("temperature", "train_scaled_loss", "feedback_scaled_loss", "test_scaled_loss", "metric_force"),
    *("curvature", "coupling", "smoothness", "step_time", "step_drift", "step_entropy", "step_energy"),
]


def reference_run(config) -> dict[str, list[float]]:
    """Train one run; return each column's value at epochs 0..T, NaN where undefined."""
    data_seed = config.seed if config.data_seed is None else config.data_seed
    task = config.task.load()(stream(data_seed, "data"), **config.task.options)
    splits = {name: as_tensors(x, y, task.vocabulary) for name, (x, y) in task.splits().items()}
    x, y = splits["train"]
    n, B = len(x), config.batch_size
    theta = initial_weights(config, task)
    optimizer = {"sgd": SGD, "adam": Adam, "sam": SAM}[config.optimizer.name](theta, **config.optimizer.options)
    R = math.log(task.classes) if task.classes and y.dim() == 1 else NAN
    laws = {"fixed": Fixed, "thermostat": Thermostat, "rl_thermostat": RLThermostat, "balance": Balance}
    law = laws[config.regime.name](config.lam, R, **config.regime.options)
    w = config.feedback.options["w"]
    utilities, critiques = [], []  # the truth that the annotator judges, by epoch
    columns = {name: [] for name in COLUMNS}
    visited, S_before, gS_before, lam_before = [], NAN, None, NAN

    for t in range(config.epochs + 1):
        start, moves = theta, [[torch.zeros_like(p) for p in theta] for _ in range(2)]  # of lam S, and of Omega and D
        if t > 0:
            for k in range(n // B):  # the last, incomplete batch is dropped
                theta, of_step = step(config, optimizer, theta, x, y, law.lam, t, k)
                moves = [[D + d for D, d in zip(*pair, strict=True)] for pair in zip(moves, of_step, strict=True)]
        visited.append(theta)

        row, gS, gL = measure(config, theta, splits)
        if t > 0:
            row |= balance(theta, start, moves, row["entropy"] - S_before, gS_before, gS, lam_before)
        S_before, gS_before = row["entropy"], gS
        row["noisy_injection"] = -dot(gS, noisy_gradient(config, theta, x, y, t))

        utilities.append(utility(row["feedback_accuracy"], row["feedback_confidence"], w))
        critiques.append(row["feedback_confidence"] - row["feedback_accuracy"])
        draws = stream(config.seed, "annotator", t)
        u, c = report(utilities, critiques, t, draws, **config.feedback.options)
        law.hear(t, u, c, stream(config.seed, "policy", t).standard_normal())
        held = row["logdet_rate"] if getattr(law, "holds", "entropy") == "logdet_rate" else row["entropy"]
        FF = dot(gS, gS)
        row["critical_lam"] = row["noisy_injection"] / FF if FF > 0 else NAN
        law.feel(FF, row["critical_lam"])
        law.hold(t, held)

        row["feedback_utility"] = utilities[t]
        lam_before = law.lam
        row["lam"], row["setpoint"], row["feedback"] = law.lam, law.S_ref, law.feedback
        row["gap"] = row["test_loss"] - row["train_loss"]
        row["reward"] = utility(row["test_accuracy"], row["test_confidence"], w)
        F, G, inner = math.sqrt(dot(gS, gS)), math.sqrt(dot(gL, gL)), dot(gS, gL)
        row["force"], row["loss_force"] = F, G
        row["force_ratio"] = law.lam * F / G if G > 0 else NAN
        G_encoder = math.sqrt(dot(gL[:-2], gL[:-2]))  # all but the head's weights and bias
        row["alignment"] = inner / (F * G_encoder) if F * G_encoder > 0 else NAN
        row["injection"], row["dissipation"] = -inner, law.lam * F**2
        due = t % config.measure_every == 0 or t == config.epochs
        row["metric_force"] = metric_force(config, theta, x, y, gS) if due and config.metric_force else NAN
        if due and config.premises:
            moved, _ = step(config, copy.deepcopy(optimizer), theta, x, y, law.lam, t + 1, 0)
            row.update(premises(config, theta, moved, x, y, law.lam))
        for name in COLUMNS:
            columns[name].append(row.get(name, NAN))

    if task.classes:
        chosen = min(range(1, config.epochs + 1), key=columns["feedback_loss"].__getitem__)
        for t in {chosen, config.epochs}:
            for name, value in scaled(visited[t], splits).items():
                columns[name][t] = value
    return columns


def step(config, optimizer, theta, x, y, lam, t, k):
    """Take the k-th step of epoch t; return theta, and the moves of lam S and of what is neither L nor S."""
    n, B = len(x), config.batch_size
    batch = stream(config.seed, "order", t).permutation(n)[k * B : (k + 1) * B]
    of_epoch = n // B, B, *shape_of_Z(theta, x)
    noise = torch.tensor(stream(config.seed, "noise", t).standard_normal(of_epoch))
    kept = None
    if config.dropout > 0:
        u = torch.tensor(stream(config.seed, "dropout", t).random(of_epoch))[k]
        kept = (u >= config.dropout).double() / (1 - config.dropout)

    def parts(theta):
        """The gradients of L, lam S and the rest on this minibatch."""
        L, S, rest = terms(config, theta, x[batch], y[batch], noise[k], kept)
        gS = gradient(S, theta)
        if config.clamp is not None:
            norm = math.sqrt(dot(gS, gS))
            gS = [config.clamp / norm * g for g in gS]
        gL, pull = gradient(L, theta), [lam * g for g in gS]
        g_rest = gradient(rest, theta) if isinstance(rest, torch.Tensor) else [torch.zeros_like(p) for p in theta]
        if config.clip is None:
            return gL, pull, g_rest
        whole = [sum(g) for g in zip(gL, pull, g_rest, strict=True)]
        shorter = min(1.0, config.clip / math.sqrt(dot(whole, whole)))
        return tuple([shorter * g for g in part] for part in (gL, pull, g_rest))

    optimizer.lr = rate(config, t)
    there = optimizer.ahead(theta, *parts(theta)) if isinstance(optimizer, SAM) else theta
    return optimizer.step(theta, *parts(there))


def rate(config, t):
    """The learning rate of epoch t, the step after the last epoch as in that."""
    lr, w, T = config.optimizer.options["lr"], config.schedule_warmup, config.epochs
    t = min(t, T)
    if t <= w:
        return lr * t / (w + 1)
    return lr * (1 + math.cos(math.pi * (t - w - 1) / (T - w))) / 2 if config.schedule == "cosine" else lr


# --- data, weights, random numbers ----------------------------------------------------------------------------------


def stream(seed, purpose, epoch=0):
    return np.random.default_rng([seed, PURPOSES.index(purpose), epoch])


def as_tensors(x, y, vocabulary=None):
    """Of tokens [n, T] one-hot vectors [n, T, vocabulary]."""
    if vocabulary:
        x = [[[float(token == v) for v in range(vocabulary)] for token in sample] for sample in x]
    return torch.tensor(x, dtype=torch.float64), torch.tensor(y)


def shape_of_Z(theta, x):
    """(d,), or (T, d) of tokens."""
    return *x.shape[1:-1], theta[-2].shape[1]


def initial_weights(config, task):
    """W1, b1, W2, b2, ... of the encoder, then W, b of the head."""
    x, y = task.train
    asked = {"vocabulary": task.vocabulary} if task.vocabulary else {}
    with torch.random.fork_rng():
        torch.manual_seed(int(stream(config.seed, "weights").integers(2**63)))
        model = config.model.load()(x.shape[1:], task.classes or y.shape[1], **asked, **config.model.options)
    return [p.detach().double() for part in (model["encoder"], model["head"]) for p in part.parameters()]


def dot(a, b):
    return sum(float((p * q).sum()) for p, q in zip(a, b, strict=True))


def gradient(value, theta):
    """Of a scalar; 0 for the parameters that it does not depend on."""
    grads = torch.autograd.grad(value, theta, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(theta, grads, strict=True)]


# --- what is measured: whole splits, no noise -----------------------------------------------------------------------


def balance(theta, start, moves, dS, gS_before, gS, lam):
    """What an epoch did to S: the mean of grad S at its ends, along the moves that L, lam S and the rest made."""
    D_S, D_O = moves
    D_L = [(p - q - s - o).detach() for p, q, s, o in zip(theta, start, D_S, D_O, strict=True)]
    g = [(a + b) / 2 for a, b in zip(gS_before, gS, strict=True)]
    injected, dissipated, other = dot(g, D_L), -dot(g, D_S), dot(g, D_O)
    length_S, length_L = (math.sqrt(dot(D[:-2], D[:-2])) for D in (D_S, D_L))
    return {
        "injected": injected,
        "dissipated": dissipated,
        "other": other,
        "closure": dS - injected + dissipated - other,
        "balancing_lam": lam * injected / dissipated if dissipated else NAN,
        "share": length_S / length_L if length_L else NAN,
    }


def noisy_gradient(config, theta, x, y, t):
    """Mean of grad L over four draws of the channel's noise, two and their opposites."""
    draws = stream(config.seed, "balance", t).standard_normal((2, len(x), *shape_of_Z(theta, x)))
    total = [torch.zeros_like(p) for p in theta]
    for xi in torch.tensor(draws):
        for sign in (1, -1):
            L, _, _ = terms(config, theta, x, y, sign * xi)
            total = [a + g / 4 for a, g in zip(total, gradient(L, theta), strict=True)]
    return total


def scaled(theta, splits):
    """The temperature of least feedback loss, by bisection of the slope in its logarithm, and each split's loss there."""
    logits = {name: decided(read(theta, encode(theta, x)).detach(), y) for name, (x, y) in splits.items()}

    def loss_at(log_T, name="feedback"):
        output, y = logits[name]
        return float(loss(output / math.exp(log_T), y))

    def falls(T):
        """Whether a higher temperature lowers the feedback loss: -d loss / d(1/T), the mean of z_y - sum_k p_k z_k."""
        output, y = logits["feedback"]
        rise = 0.0
        for z, label in zip(output, y, strict=True):
            p = torch.exp(log_probabilities(z / T))
            rise += float((p * z).sum() - z[label]) / len(y)
        return rise > 0

    low, high = math.log(1e-3), math.log(1e3)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falls(math.exp(middle)) else (low, middle)
    found = {f"{name}_scaled_loss": loss_at(low, name) for name in splits}
    return {"temperature": math.exp(low)} | found


def measure(config, theta, splits):
    for p in theta:
        p.requires_grad_()
    row = {}
    for name, (x, y) in splits.items():
        if name != "train":  # gradients are taken on the training set; the other splits are only looked at
            theta = [p.detach() for p in theta]
        Z = encode(theta, x)
        output = read(theta, Z)
        L = loss(output, y)
        row[f"{name}_loss"] = float(L.detach())
        row |= {f"{name}_{key}": value for key, value in decisions(*decided(output.detach(), y)).items()}
        if name == "train":
            S = entropy(config, Z)
            row["entropy"] = float(S.detach())
            row["effective_rank"] = effective_rank(rows(config, Z.detach()))
            row["logdet_rate"] = logdet_rate(rows(config, Z.detach()), config.sigma)
            gS, gL = gradient(S, theta), gradient(L, theta)
    return row, gS, gL


def decisions(output, y):
    names = ("accuracy", "confidence", "ece", "brier", "worst_class_accuracy")
    if y.dtype != torch.int64:
        return dict.fromkeys(names, NAN)
    accuracy = confidence = brier = 0.0
    n, seen, by_class = len(y), [], {}
    for logits, label in zip(output.tolist(), y.tolist(), strict=True):
        top = max(logits)
        right = logits.index(top) == label
        p = [math.exp(logit - top) / sum(math.exp(each - top) for each in logits) for logit in logits]
        accuracy += right / n
        confidence += max(p) / n
        brier += sum((p[k] - (k == label)) ** 2 for k in range(len(p))) / n
        seen.append((max(p), right))
        by_class.setdefault(label, []).append(right)
    seen.sort()  # by confidence; of equal ones the wrong first
    ece = 0.0
    for j in range(15):
        members = seen[j * n // 15 : (j + 1) * n // 15]
        if members:
            sure, right = (sum(values) / len(members) for values in zip(*members, strict=True))
            ece += len(members) / n * abs(right - sure)
    worst = min(sum(rights) / len(rights) for rights in by_class.values())
    return dict(zip(names, (accuracy, confidence, ece, brier, worst), strict=True))


def effective_rank(Z):
    eigenvalues = [max(value, 0.0) for value in np.linalg.eigvalsh(covariance(Z).numpy()).tolist()]
    p = [value / sum(eigenvalues) for value in eigenvalues]
    return math.exp(-sum(q * math.log(q) for q in p if q > 0))


def logdet_rate(Z, sigma):
    if sigma == 0:
        return NAN
    return np.linalg.slogdet(np.eye(Z.shape[1]) + covariance(Z).numpy() / sigma**2)[1] / 2


def metric_force(config, theta, x, y, gS):
    """By the dense matrix G = mean over samples (or tokens) of J^T H J, J the Jacobian of the outputs of one."""
    theta = [p.detach().requires_grad_() for p in theta]
    g = torch.cat([part.flatten() for part in gS])
    G = torch.zeros(len(g), len(g), dtype=torch.float64)
    outputs, _ = decided(read(theta, encode(theta, x)), y)
    for output in outputs:
        J = torch.stack([torch.cat([part.flatten() for part in gradient(o, theta)]) for o in output])
        if y.dtype == torch.int64:
            p = torch.softmax(output.detach(), 0)
            H = torch.diag(p) - torch.outer(p, p)
        else:
            H = torch.eye(len(output), dtype=torch.float64) * (2 / len(output) if config.metric_force == "ggn" else 1)
        G += J.T @ H @ J / len(outputs)
    damped = G + config.metric_damping * torch.eye(len(g), dtype=torch.float64)
    return math.sqrt(g @ torch.linalg.solve(damped, g))


def premises(config, theta, moved, x, y, lam):
    """By the dense Hessians of S and E, a row for each entry of theta."""
    theta = [p.detach().requires_grad_() for p in theta]
    S = entropy(config, encode(theta, x))
    E = energy(config, theta, x, y, torch.zeros(1, dtype=torch.float64), lam)
    L = loss(read(theta, encode(theta, x)), y)
    gS, gE, gL = (joined(gradient(value, theta)).detach() for value in (S, E, L))
    H_S, H_E = dense_hessian(S, theta), dense_hessian(E, theta)
    Delta = joined(moved) - joined(theta).detach()
    F = math.sqrt(gS @ gS)
    return {
        "curvature": float(gS @ H_S @ gS) / F**2,
        "coupling": abs(float(gS @ H_S @ gL)) / F,
        "smoothness": float(torch.linalg.matrix_norm(H_E, 2)),
        "step_time": -float(Delta @ gE) / float(gE @ gE),
        "step_drift": float(gS @ Delta),
        "step_entropy": float((entropy(config, encode(moved, x)) - S).detach()),
        "step_energy": float((energy(config, moved, x, y, torch.zeros(1, dtype=torch.float64), lam) - E).detach()),
    }


def joined(parts):
    return torch.cat([part.flatten() for part in parts])


def dense_hessian(value, theta):
    first = torch.autograd.grad(value, theta, allow_unused=True, create_graph=True)
    first = joined([torch.zeros_like(p) if g is None else g for p, g in zip(theta, first, strict=True)])
    flat = torch.zeros_like(first)  # of an entry that is constant
    return torch.stack([joined(gradient(entry, theta)) if entry.requires_grad else flat for entry in first])
