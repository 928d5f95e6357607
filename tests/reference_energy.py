"""The energy of the reference, E = L + lam S + omega Omega + rho D (Eq 2), on one minibatch."""

import math

import torch


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
        rest = rest + config.rho * globals()[config.risk.name](*decided(output, y), **config.risk.options)
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


def rows(config, Z):
    """What S is the entropy of: of tokens [n, T, d] the mean of each sample's, or each of them."""
    if Z.dim() == 2:
        return Z
    if config.surrogate_of == "pooled":
        return torch.stack([sum(sample) / len(sample) for sample in Z])
    return torch.stack([token for sample in Z for token in sample])


def decided(output, y):
    """Output and label of each decision: of tokens [n, T, K] and [n, T] one after the other."""
    if y.dtype != torch.int64 or y.dim() == 1:
        return output, y
    return torch.stack([token for sample in output for token in sample]), torch.stack([k for row in y for k in row])


def loss(output, y):
    output, y = decided(output, y)
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
    Z = rows(config, Z)
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
