"""The whole method for ONE run, slow and plain: an executable statement of the paper, to hold the fast trainer to.

Everything is float64, one sample and one parameter tensor at a time; autograd gives gradients, control is in Python's
floats. Of the package it uses the data and the initial weights alone (`hclm_runner.tasks` and `hclm_runner.models`, by
way of the configuration): what it says of the method, it says for itself.
"""

import copy
import math

import numpy as np
import torch

PURPOSES = ["data", "weights", "order", "noise", "annotator", "policy"]
NAN = math.nan
COLUMNS = [
    *("lam", "train_loss", "test_loss", "gap", "train_accuracy", "test_accuracy", "entropy", "force", "loss_force"),
    *("force_ratio", "alignment", "injection", "dissipation", "critical_lam", "setpoint", "feedback", "reward"),
    *("effective_rank", "logdet_rate", "feedback_loss", "metric_force"),
    *("curvature", "coupling", "smoothness", "step_time", "step_drift", "step_entropy", "step_energy"),
]


def reference_run(config) -> dict[str, list[float]]:
    """Train one run; return each column's value at epochs 0..T, NaN where undefined."""
    task = config.task.load()(stream(config.seed, "data"), **config.task.options)
    splits = {"train": as_tensors(*task.train), "feedback": as_tensors(*task.feedback), "test": as_tensors(*task.test)}
    x, y = splits["train"]
    n, B = len(x), config.batch_size
    theta = initial_weights(config, x.shape[1], task.classes or y.shape[1])
    optimizer = {"sgd": SGD, "adam": Adam}[config.optimizer.name](theta, **config.optimizer.options)
    R = math.log(task.classes) if task.classes else NAN
    law = {"fixed": Fixed, "thermostat": Thermostat, "rl_thermostat": RLThermostat}[config.regime.name](
        config.lam, R, **config.regime.options
    )
    w = config.feedback.options["w"]
    utilities, critiques = [], []  # the truth that the annotator judges, by epoch
    columns = {name: [] for name in COLUMNS}

    for t in range(config.epochs + 1):
        if t > 0:
            for k in range(n // B):  # the last, incomplete batch is dropped
                theta = step(config, optimizer, theta, x, y, law.lam, t, k)

        row, gS, gL = measure(config, theta, splits)

        utilities.append(utility(row["feedback_accuracy"], row["feedback_confidence"], w))
        critiques.append(row["feedback_confidence"] - row["feedback_accuracy"])
        draws = stream(config.seed, "annotator", t)
        u, c = report(utilities, critiques, t, draws, **config.feedback.options)
        law.hear(t, u, c, stream(config.seed, "policy", t).standard_normal())
        law.hold(t, row["entropy"])

        row["lam"], row["setpoint"], row["feedback"] = law.lam, law.S_ref, law.feedback
        row["gap"] = row["test_loss"] - row["train_loss"]
        row["reward"] = utility(row["test_accuracy"], row["test_confidence"], w)
        F, G, inner = math.sqrt(dot(gS, gS)), math.sqrt(dot(gL, gL)), dot(gS, gL)
        row["force"], row["loss_force"] = F, G
        row["force_ratio"] = law.lam * F / G if G > 0 else NAN
        row["alignment"] = inner / (F * G) if F * G > 0 else NAN
        row["injection"], row["dissipation"] = -inner, law.lam * F**2
        due = t % config.measure_every == 0 or t == config.epochs
        row["metric_force"] = metric_force(config, theta, x, y, gS) if due and config.metric_force else NAN
        if due and config.premises:
            moved = step(config, copy.deepcopy(optimizer), theta, x, y, law.lam, t + 1, 0)
            row.update(premises(config, theta, moved, x, y, law.lam))
        row["critical_lam"] = -inner / F**2 if F > 0 else NAN
        for name in COLUMNS:
            columns[name].append(row.get(name, NAN))
    return columns


def step(config, optimizer, theta, x, y, lam, t, k):
    """Take the k-th step of epoch t."""
    n, B = len(x), config.batch_size
    batch = stream(config.seed, "order", t).permutation(n)[k * B : (k + 1) * B]
    noise = torch.tensor(stream(config.seed, "noise", t).standard_normal((n // B, B, theta[-2].shape[1])))
    E = energy(config, theta, x[batch], y[batch], noise[k], lam)
    return optimizer.step(theta, gradient(E, theta))


# --- data, weights, random numbers ----------------------------------------------------------------------------------


def stream(seed, purpose, epoch=0):
    return np.random.default_rng([seed, PURPOSES.index(purpose), epoch])


def as_tensors(x, y):
    return torch.tensor(x, dtype=torch.float64), torch.tensor(y)


def initial_weights(config, in_features, out_features):
    """W1, b1, W2, b2, ... of the encoder, then W, b of the head."""
    with torch.random.fork_rng():
        torch.manual_seed(int(stream(config.seed, "weights").integers(2**63)))
        model = config.model.load()(in_features, out_features, **config.model.options)
    return [p.detach().double() for part in (model["encoder"], model["head"]) for p in part.parameters()]


def dot(a, b):
    return sum(float((p * q).sum()) for p, q in zip(a, b, strict=True))


def gradient(value, theta):
    """Of a scalar; 0 for the parameters that it does not depend on."""
    grads = torch.autograd.grad(value, theta, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(theta, grads, strict=True)]


# --- the energy, E = L + lam S + omega Omega + rho D (Eq 2) ---------------------------------------------------------


def energy(config, theta, x, y, xi, lam):
    """Of a batch: S reads the clean Z, the head reads Zn = Z + sigma xi (Eq 1)."""
    for p in theta:
        p.requires_grad_()
    Z = encode(theta, x)
    output = read(theta, Z + config.sigma * xi)
    E = loss(output, y) + lam * entropy(config, Z)
    if config.omega > 0:
        E = E + config.omega * group_sparsity(theta)
    if config.rho > 0:
        E = E + config.rho * asymmetric_cost(output, y, **config.risk.options)
    return E


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
    Sigma, eps = covariance(Z), config.surrogate.options["eps"]
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


# --- optimisers -----------------------------------------------------------------------------------------------------


class SGD:
    def __init__(self, theta, lr, momentum, weight_decay):
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.v = [torch.zeros_like(p) for p in theta]

    def step(self, theta, g):
        moved = []
        for j, p in enumerate(theta):
            self.v[j] = self.momentum * self.v[j] + (g[j] + self.weight_decay * p.detach())
            moved.append(p.detach() - self.lr * self.v[j])
        return moved


class Adam:
    def __init__(self, theta, lr, beta1, beta2, eps):
        self.lr, self.beta1, self.beta2, self.eps, self.t = lr, beta1, beta2, eps, 0
        self.m, self.v = ([torch.zeros_like(p) for p in theta] for _ in range(2))

    def step(self, theta, g):
        self.t += 1
        moved = []
        for j, p in enumerate(theta):
            self.m[j] = self.beta1 * self.m[j] + (1 - self.beta1) * g[j]
            self.v[j] = self.beta2 * self.v[j] + (1 - self.beta2) * g[j] ** 2
            m_hat, v_hat = self.m[j] / (1 - self.beta1**self.t), self.v[j] / (1 - self.beta2**self.t)
            moved.append(p.detach() - self.lr * m_hat / (torch.sqrt(v_hat) + self.eps))
        return moved


# --- what is measured: whole splits, no noise -----------------------------------------------------------------------


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
        row[f"{name}_accuracy"], row[f"{name}_confidence"] = decisions(output.detach(), y)
        if name == "train":
            S = entropy(config, Z)
            row["entropy"] = float(S.detach())
            row["effective_rank"] = effective_rank(Z.detach())
            row["logdet_rate"] = logdet_rate(Z.detach(), config.sigma)
            gS, gL = gradient(S, theta), gradient(L, theta)
    return row, gS, gL


def decisions(output, y):
    if y.dtype != torch.int64:
        return NAN, NAN
    accuracy = confidence = 0.0
    for logits, label in zip(output.tolist(), y.tolist(), strict=True):
        top = max(logits)
        accuracy += (logits.index(top) == label) / len(y)
        confidence += 1 / sum(math.exp(logit - top) for logit in logits) / len(y)
    return accuracy, confidence


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

    def hold(self, t, S):
        """Set lam, having seen the entropy S of epoch t."""


class Thermostat(Fixed):
    def __init__(self, lam0, R, setpoint, kappa, lam_min, lam_max, warmup, smoothing, kp, ki, anti_windup):
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
