"""The whole method for ONE run, slow and plain: an executable statement of the paper, to hold the fast trainer to.

Everything is float64, one sample and one parameter tensor at a time; autograd gives gradients, control is in Python's
floats. Of the package it uses the data and the initial weights alone (`hclm_runner.tasks` and `hclm_runner.models`, by
way of the configuration): what it says of the method, it says for itself.
"""

import copy
import math

import numpy as np
import torch

PURPOSES = ["data", "weights", "order", "noise", "annotator", "policy", "balance", "dropout", "placebo"]
NAN = math.nan
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
    splits = {"train": as_tensors(*task.train), "feedback": as_tensors(*task.feedback), "test": as_tensors(*task.test)}
    x, y = splits["train"]
    n, B = len(x), config.batch_size
    theta = initial_weights(config, x.shape[1:], task.classes or y.shape[1])
    optimizer = {"sgd": SGD, "adam": Adam, "sam": SAM}[config.optimizer.name](theta, **config.optimizer.options)
    R = math.log(task.classes) if task.classes else NAN
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
    noise = torch.tensor(stream(config.seed, "noise", t).standard_normal((n // B, B, theta[-2].shape[1])))
    kept = None
    if config.dropout > 0:
        u = torch.tensor(stream(config.seed, "dropout", t).random((n // B, B, theta[-2].shape[1])))[k]
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
        return gL, pull, g_rest

    there = optimizer.ahead(theta, *parts(theta)) if isinstance(optimizer, SAM) else theta
    return optimizer.step(theta, *parts(there))


# --- data, weights, random numbers ----------------------------------------------------------------------------------


def stream(seed, purpose, epoch=0):
    return np.random.default_rng([seed, PURPOSES.index(purpose), epoch])


def as_tensors(x, y):
    return torch.tensor(x, dtype=torch.float64), torch.tensor(y)


def initial_weights(config, input_shape, outputs):
    """W1, b1, W2, b2, ... of the encoder, then W, b of the head."""
    with torch.random.fork_rng():
        torch.manual_seed(int(stream(config.seed, "weights").integers(2**63)))
        model = config.model.load()(input_shape, outputs, **config.model.options)
    return [p.detach().double() for part in (model["encoder"], model["head"]) for p in part.parameters()]


def dot(a, b):
    return sum(float((p * q).sum()) for p, q in zip(a, b, strict=True))


def gradient(value, theta):
    """Of a scalar; 0 for the parameters that it does not depend on."""
    grads = torch.autograd.grad(value, theta, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(theta, grads, strict=True)]


# --- the energy, E = L + lam S + omega Omega + rho D (Eq 2) ---------------------------------------------------------


def terms(config, theta, x, y, xi, kept=None):
    """L, S and omega Omega + rho D of a batch: S reads the clean Z, the head what is kept of Zn = Z + sigma xi (Eq 1)."""
    for p in theta:
        p.requires_grad_()
    Z = encode(theta, x)
    Zn = Z + config.sigma * xi
    output = read(theta, Zn if kept is None else Zn * kept)
    rest = 0.0
    if config.omega > 0:
        rest = rest + config.omega * globals()[config.structure.name](theta)
    if config.rho > 0:
        rest = rest + config.rho * globals()[config.risk.name](output, y, **config.risk.options)
    return loss(output, y), entropy(config, Z), rest


def energy(config, theta, x, y, xi, lam):
    L, S, rest = terms(config, theta, x, y, xi)
    return L + lam * S + rest


def encode(theta, x):
    *hidden, W, b = theta[:-2]
    for k in range(0, len(hidden), 2):
        x = torch.tanh(x @ hidden[k].T + hidden[k + 1])
    return x @ W.T + b


def read(theta, Z):
    W, b = theta[-2:]
    return torch.maximum(Z, torch.zeros_like(Z)) @ W.T + b


def log_probabilities(logits):
    """Of one sample [K]."""
    return logits - torch.logsumexp(logits, 0)


def loss(output, y):
    total = 0.0
    for i in range(len(y)):
        if y.dtype == torch.int64:
            total = total - log_probabilities(output[i])[y[i]]
        else:
            total = total + ((output[i] - y[i]) ** 2).sum() / len(y[i])
    return total / len(y)


def covariance(Z):
    zbar = sum(Z) / len(Z)
    return sum(torch.outer(z - zbar, z - zbar) for z in Z) / len(Z)


def entropy(config, Z):
    if config.surrogate.name == "softmax":
        H = 0.0
        for z in Z:
            log_p = log_probabilities(z)
            H = H - (torch.exp(log_p) * log_p).sum()
        return H / len(Z)
    eps = config.surrogate.options["eps"]
    if config.surrogate.name == "vib":
        return sum((z**2 + eps - 1 - math.log(eps)).sum() / 2 for z in Z) / len(Z)
    Sigma = covariance(Z)
    if config.surrogate.name == "variance":
        return torch.trace(Sigma) / (2 * eps)
    _, log_det = torch.linalg.slogdet(torch.eye(len(Sigma), dtype=Sigma.dtype) + Sigma / eps)
    return log_det / 2


def group_sparsity(theta):
    Omega = 0.0
    for W in theta[::2]:
        for row in W:
            Omega = Omega + math.sqrt(len(row)) * torch.sqrt((row**2).sum())
    return Omega


def asymmetric_cost(logits, y, critical_class, miss_cost):
    D = 0.0
    for i in range(len(y)):
        cost = miss_cost if int(y[i]) == critical_class else 1.0
        D = D + cost * (1 - torch.exp(log_probabilities(logits[i])[y[i]]))
    return D / len(y)


def spectral(theta):
    return sum(torch.linalg.matrix_norm(W, 2) ** 2 / 2 for W in theta[::2])


def label_smoothing(logits, y):
    """What the labels' share of uniform ones adds to the loss, in units of that share."""
    K = logits.shape[1]
    uniform = sum(-log_probabilities(logits[i])[k] / K for i in range(len(y)) for k in range(K)) / len(y)
    return uniform - loss(logits, y)


def confidence_penalty(logits, y):
    D = 0.0
    for i in range(len(y)):
        log_p = log_probabilities(logits[i])
        D = D + (torch.exp(log_p) * log_p).sum()
    return D / len(y)


# --- optimisers: each part of the gradient has a velocity of its own, and the step is the sum of what they do -----------


LOSS, ENTROPY, REST = range(3)


class SGD:
    def __init__(self, theta, lr, momentum, weight_decay):
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.v = [[torch.zeros_like(p) for p in theta] for _ in range(3)]

    def step(self, theta, *parts):
        moves = [[], [], []]
        for j, p in enumerate(theta):
            for k, g in enumerate(parts):
                pull = g[j] + self.weight_decay * p.detach() if k == REST else g[j]
                self.v[k][j] = self.momentum * self.v[k][j] + pull
                moves[k].append(-self.lr * self.v[k][j])
        return [p.detach() + sum(of_p) for p, *of_p in zip(theta, *moves, strict=True)], moves[ENTROPY:]


class SAM(SGD):
    def __init__(self, theta, rho, adaptive, **options):
        super().__init__(theta, **options)
        self.rho, self.adaptive = rho, adaptive

    def ahead(self, theta, *parts):
        """Return theta + rho T^2 h / ||T h||, h the gradient of E."""
        T = [p.detach().abs() if self.adaptive else torch.ones_like(p) for p in theta]
        h = [sum(g) for g in zip(*parts, strict=True)]
        Th = [t * g for t, g in zip(T, h, strict=True)]
        norm = math.sqrt(dot(Th, Th))
        return [(p + self.rho / norm * t * g).detach() for p, t, g in zip(theta, T, Th, strict=True)]


class Adam:
    def __init__(self, theta, lr, beta1, beta2, eps):
        self.lr, self.beta1, self.beta2, self.eps, self.t = lr, beta1, beta2, eps, 0
        self.m = [[torch.zeros_like(p) for p in theta] for _ in range(3)]
        self.v = [torch.zeros_like(p) for p in theta]

    def step(self, theta, *parts):
        self.t += 1
        moves = [[], [], []]
        for j in range(len(theta)):
            self.v[j] = self.beta2 * self.v[j] + (1 - self.beta2) * sum(g[j] for g in parts) ** 2
            v_hat = self.v[j] / (1 - self.beta2**self.t)
            for k, g in enumerate(parts):
                self.m[k][j] = self.beta1 * self.m[k][j] + (1 - self.beta1) * g[j]
                m_hat = self.m[k][j] / (1 - self.beta1**self.t)
                moves[k].append(-self.lr * m_hat / (torch.sqrt(v_hat) + self.eps))
        return [p.detach() + sum(of_p) for p, *of_p in zip(theta, *moves, strict=True)], moves[ENTROPY:]


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
    d = theta[-2].shape[1]
    total = [torch.zeros_like(p) for p in theta]
    for xi in torch.tensor(stream(config.seed, "balance", t).standard_normal((2, len(x), d))):
        for sign in (1, -1):
            L, _, _ = terms(config, theta, x, y, sign * xi)
            total = [a + g / 4 for a, g in zip(total, gradient(L, theta), strict=True)]
    return total


def scaled(theta, splits):
    """The temperature of least feedback loss, by bisection of the slope in its logarithm, and each split's loss there."""
    logits = {name: (read(theta, encode(theta, x)).detach(), y) for name, (x, y) in splits.items()}

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
        row |= {f"{name}_{key}": value for key, value in decisions(output.detach(), y).items()}
        if name == "train":
            S = entropy(config, Z)
            row["entropy"] = float(S.detach())
            row["effective_rank"] = effective_rank(Z.detach())
            row["logdet_rate"] = logdet_rate(Z.detach(), config.sigma)
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
    """By the dense matrix G = mean over samples of J^T H J, J the Jacobian of one sample's outputs."""
    theta = [p.detach().requires_grad_() for p in theta]
    g = torch.cat([part.flatten() for part in gS])
    G = torch.zeros(len(g), len(g), dtype=torch.float64)
    for row in x:
        output = read(theta, encode(theta, row[None]))[0]
        J = torch.stack([torch.cat([part.flatten() for part in gradient(o, theta)]) for o in output])
        if y.dtype == torch.int64:
            p = torch.softmax(output.detach(), 0)
            H = torch.diag(p) - torch.outer(p, p)
        else:
            H = torch.eye(len(output), dtype=torch.float64) * (2 / len(output) if config.metric_force == "ggn" else 1)
        G += J.T @ H @ J / len(x)
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


# --- the simulated human --------------------------------------------------------------------------------------------


def utility(accuracy, confidence, w):
    return accuracy - w * max(confidence - accuracy, 0.0)


def report(utilities, critiques, t, draws, w, noise, flip, delay, observe, bias, drift):
    """Of x = utility and of x = critique, s x_{t - delay} + bias + drift t + noise xi; NaN where nothing is said."""
    xi_u, xi_c = draws.standard_normal(2)
    turned, seen = draws.random(2)
    if t < delay or not seen < observe:
        return NAN, NAN
    s = -1.0 if turned < flip else 1.0
    fault = bias + drift * t
    return s * utilities[t - delay] + fault + noise * xi_u, s * critiques[t - delay] + fault + noise * xi_c


# --- control laws: lam is in force during the next epoch, S_ref is the set point, feedback what was reported -------------------


def clip(value, low, high):
    return min(max(value, low), high)


def control_error(y, S_ref):
    return clip(math.log(y / S_ref), -1.0, 1.0)


class Fixed:
    def __init__(self, lam0, _R):
        self.lam, self.S_ref, self.feedback = lam0, NAN, NAN

    def hear(self, t, r, c, xi):
        """Take the reported utility r and critique c of epoch t; xi is the policy's draw."""

    def feel(self, FF, critical_lam):
        """Take the squared force of epoch t, and the lam that would balance it."""

    def hold(self, t, S):
        """Set lam, having seen the entropy S of epoch t."""


class Thermostat(Fixed):
    def __init__(self, lam0, R, holds, setpoint, kappa, lam_min, lam_max, warmup, smoothing, kp, ki, anti_windup):
        self.holds = holds
        self.low, self.high = math.log(lam_min), math.log(lam_max)
        self.log_lam0 = clip(math.log(lam0) if lam0 > 0 else -math.inf, self.low, self.high)
        self.S_ref0 = kappa * (R if setpoint is None else setpoint)
        self.warmup, self.smoothing, self.kp, self.ki, self.anti_windup = warmup, smoothing, kp, ki, anti_windup
        self.lam, self.S_ref, self.feedback = math.exp(self.log_lam0), self.S_ref0, NAN
        self.y, self.I = None, 0.0

    def hold(self, t, S):
        self.y = S if self.y is None else (1 - self.smoothing) * self.y + self.smoothing * S
        e = control_error(self.y, self.S_ref)
        if t < self.warmup:
            self.I = -self.kp * e
            return
        v = self.log_lam0 + self.kp * e + self.I
        u = clip(v, self.low, self.high)
        self.I = self.I + self.ki * e + min(self.anti_windup * self.ki / self.kp, 1.0) * (u - v)
        self.lam = math.exp(u)


class Balance(Fixed):
    def __init__(self, lam0, R, holds, setpoint, kappa, lam_min, lam_max, warmup, smoothing, k):
        self.low, self.high, self.warmup, self.smoothing, self.k = lam_min, lam_max, warmup, smoothing, k
        self.S_ref = kappa * (R if setpoint is None else setpoint)
        self.lam, self.feedback, self.y = clip(lam0, lam_min, lam_max), NAN, None

    def feel(self, FF, critical_lam):
        self.FF, self.critical_lam = FF, critical_lam

    def hold(self, t, S):
        self.y = S if self.y is None else (1 - self.smoothing) * self.y + self.smoothing * S
        if t >= self.warmup:
            self.lam = clip(self.critical_lam + self.k * (self.y - self.S_ref) / self.FF, self.low, self.high)


class RLThermostat(Thermostat):
    def __init__(self, lam0, R, policy, alpha, c0, m_min, m_max, explore, baseline, **options):
        super().__init__(lam0, R, **options)
        self.policy, self.alpha, self.c0, self.m_min, self.m_max = policy, alpha, c0, m_min, m_max
        self.explore, self.baseline = explore, baseline
        self.m, self.mu, self.a, self.b = 0.0, 0.0, 0.0, None

    def hear(self, t, r, c, xi):
        self.feedback = c if self.policy == "critique" else r
        if t >= self.warmup and not math.isnan(self.feedback):
            if self.policy == "critique":
                self.m = clip(self.m - self.alpha * (c - self.c0), self.m_min, self.m_max)
            else:
                self.b = r if self.b is None else self.b
                score = (self.a - self.mu) / self.explore**2
                self.mu = clip(self.mu + self.alpha * (r - self.b) * score, self.m_min, self.m_max)
                self.b = self.b + self.baseline * (r - self.b)
                self.a = self.mu + self.explore * xi
                self.m = clip(self.a, self.m_min, self.m_max)
        self.S_ref = self.S_ref0 * math.exp(self.m)
