"""What the paper's theorems assume of a trajectory, measured on it: Theorems 1 and 2, Proposition 3.

Everything is on the whole training set, without noise, in float64: L, S and E are functions of theta [R, p] that return
one value for each run, [R], or of one run's theta [p] that return a scalar. Second derivatives are taken almost
everywhere: a ReLU has none at its kink, and none is what autograd gives there.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from hclm_runner.physics.observables import ratio

LANCZOS = 20
"""Steps of Lanczos' method. Over seeds of the reference task the error is 2e-6 at the start in the median and 3% at
worst, and at most 2e-4 later."""

Scalar = Callable[[Tensor], Tensor]


def force_premise(S: Scalar, L: Scalar, theta: Tensor) -> dict[str, Tensor]:
    """Return mu and C of Proposition 3 at theta, H the Hessian of S.

    - curvature: gS^T H gS / F^2. The proposition needs it above some mu > 0 wherever the force is large: then pricing S
      lowers F. Negative where the force grows as entropy is removed.
    - coupling: |gS^T H gL| / F, which the proposition needs bounded by some C: what the loss does to F.

    Both are NaN where F = 0.
    """
    gS, gL = gradient(S, theta), gradient(L, theta)
    HgS = hessian_product(S, theta, gS)
    FF = gS.square().sum(-1)
    return {
        "curvature": ratio((gS * HgS).sum(-1), FF),
        "coupling": ratio((gL * HgS).sum(-1).abs(), FF.sqrt()),
    }


def smoothness(E: Scalar, theta: Tensor) -> Tensor:
    """Return the spectral norm of the Hessian of E at theta, [R]: the least beta of Theorem 1 there.

    By Lanczos' method with full reorthogonalisation, which comes from below (`LANCZOS`); exact where it has p steps or
    more.

    Args:
        E: theta [R, p] -> [R].
        theta: [R, p].
    """
    theta = theta.detach().requires_grad_()
    gE = _derivative(E(theta), theta, again=True)
    start = torch.randn(theta.shape[1], dtype=theta.dtype, generator=torch.Generator().manual_seed(0)).to(theta.device)
    basis, images, diagonal, below = [(start / start.norm()).expand_as(theta)], [], [], []
    for _ in range(LANCZOS):
        w = _derivative((gE * basis[-1]).sum(1), theta)
        images.append(w.norm(dim=1))
        diagonal.append((w * basis[-1]).sum(1))
        for _ in range(2):  # once leaves what rounding lost; twice is enough (Parlett 1980)
            for q in basis:
                w = w - (w * q).sum(1, keepdim=True) * q
        below.append(w.norm(dim=1))
        new = below[-1] > 1e-10 * images[0]  # else the space is exhausted
        below[-1] = torch.where(new, below[-1], 0.0)
        basis.append(torch.where(new[:, None], w / below[-1][:, None], 0.0))
    off = torch.stack(below[:-1], 1)
    T = torch.diag_embed(torch.stack(diagonal, 1)) + torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
    # eigvalsh raises on non-finite input, for all runs together.
    finite = T.isfinite().all((1, 2))
    norm = torch.linalg.eigvalsh(torch.where(finite[:, None, None], T, 0.0)).abs().amax(1)
    return torch.where(finite, norm, torch.nan)


def next_step(E: Scalar, S: Scalar, theta: Tensor, moved: Tensor) -> dict[str, Tensor]:
    """Return what a step Delta = moved - theta of an optimiser did to E and S, and what the flow -gE would do.

    - step_time: -<Delta, gE> / ||gE||^2, how long the flow needs for what the step goes along it. A step of full-batch
      gradient descent is exactly lr. NaN where gE = 0.
    - step_drift: <gS, Delta>, the change of S to first order; step_entropy: the change itself.
    - step_energy: the change of E.

    Theorem 2 says of the flow that S changes by step_time (injection - dissipation), less the terms of Omega and D. The
    closure error is step_entropy less that. Of it step_entropy - step_drift is due to the length of the step, and
    the rest to its direction: minibatch, noise, momentum, preconditioning. Theorem 1 says that step_energy is at most
    -(lr / 2) ||gE||^2 for a step of gradient descent with lr <= 1 / beta.

    Args:
        E: theta [R, p] -> [R].
        S: theta [R, p] -> [R].
        theta: [R, p].
        moved: theta after the step, [R, p].
    """
    gE, gS, step = gradient(E, theta), gradient(S, theta), moved - theta
    return {
        "step_time": ratio(-(gE * step).sum(-1), gE.square().sum(-1)),
        "step_drift": (gS * step).sum(-1),
        "step_entropy": S(moved) - S(theta),
        "step_energy": E(moved) - E(theta),
    }


def gradient(f: Scalar, theta: Tensor) -> Tensor:
    """Return grad f(theta), of the shape of theta."""
    theta = theta.detach().requires_grad_()
    return _derivative(f(theta), theta)


def hessian_product(f: Scalar, theta: Tensor, v: Tensor) -> Tensor:
    """Return H v, H the Hessian of f at theta, never formed: the gradient of <grad f, v>."""
    theta = theta.detach().requires_grad_()
    g = _derivative(f(theta), theta, again=True)
    return _derivative((g * v).sum(-1), theta)


def _derivative(value: Tensor, theta: Tensor, *, again: bool = False) -> Tensor:
    """Return the gradient of each run's value in its own theta, to be differentiated again or not; 0 of a constant."""
    if not value.requires_grad:
        return torch.zeros_like(theta)
    (g,) = torch.autograd.grad(value.sum(), theta, create_graph=again, retain_graph=True, materialize_grads=True)
    return g
