"""The reference's optimisers: each part of the gradient has a velocity of its own, and the step is the sum of what they do."""

import math

import torch

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
        norm = math.sqrt(sum(float((g * g).sum()) for g in Th))
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
