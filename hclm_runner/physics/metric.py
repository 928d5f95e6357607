"""The metric information force of Eq 5, sqrt(gS^T (G + delta I)^-1 gS), matrix-free.

G is the generalised Gauss-Newton matrix of a convex loss of the network's outputs: G = J^T H J, with J [n K, p] the
Jacobian of the outputs on the training set and H the Hessian of the loss in the outputs (Schraudolph 2002). Of the
negative log-likelihood it is the Fisher matrix (Martens 2020): for cross-entropy the two are one.

A product with G costs a forward- and a reverse-mode pass through the network, and vectorises over runs. The libraries
that offer it (curvlinops) do so for one module at a time, and bring a torch of their own choice along.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, jvp, vjp

TOLERANCE = 1e-8
"""Of the residual of conjugate gradients, relative to gS."""

Product = Callable[[Tensor], Tensor]


def gauss_newton(
    outputs: Callable[[Tensor], Tensor], loss: Callable[[Tensor], Tensor], theta: Tensor, v: Tensor
) -> Tensor:
    """Return G v for one run, [p].

    Args:
        outputs: theta [p] -> the network's outputs on the training set, [n, K].
        loss: Outputs [n, K] -> the scalar loss, convex in them; its mean or sum over n is that of G.
        theta: [p].
        v: [p].
    """
    out, Jv = jvp(outputs, (theta,), (v,))[:2]
    HJv = jvp(grad(loss), (out,), (Jv,))[1]
    Gv: Tensor = vjp(outputs, theta)[1](HJv)[0]
    return Gv


def force(gS: Tensor, product: Product, damping: Tensor) -> Tensor:
    """Return sqrt(gS^T (G + delta I)^-1 gS) of each run, [R]; with G = 0 and delta = 1 it is the Euclidean force.

    Conjugate gradients from 0, each run until its own residual is 1e-8 of gS, so that its value does not depend on its
    neighbours. Exact arithmetic would need p steps at most; rounding needs more, and gets 10 p.

    Args:
        gS: grad S, [R, p], float64.
        product: V [R, p] -> G V, symmetric and positive semi-definite, run by run.
        damping: delta, [R].

    Returns:
        [R]; NaN for a run that those steps do not bring to the tolerance.
    """
    x, residual = torch.zeros_like(gS), gS.clone()
    direction, rr = residual.clone(), residual.square().sum(1)
    target = TOLERANCE**2 * rr
    for _ in range(10 * gS.shape[1]):
        going = rr > target
        if not going.any():
            break
        image = product(direction) + damping[:, None] * direction
        step = _where(going, rr / (direction * image).sum(1))
        x, residual = x + step[:, None] * direction, residual - step[:, None] * image
        new = residual.square().sum(1)
        direction = torch.where(going[:, None], residual + _where(going, new / rr)[:, None] * direction, direction)
        rr = torch.where(going, new, rr)
    squared = (gS * x).sum(1).clamp(min=0)
    return torch.where(rr <= target, squared.sqrt(), torch.nan)


def _where(going: Tensor, value: Tensor) -> Tensor:
    return torch.where(going, value, 0.0)
