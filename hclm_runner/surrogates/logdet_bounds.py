"""The log-det rate of wide representations: an upper bound, a lower bound and an estimate, each cheaper than `logdet`.

`logdet` itself factorises the smaller of the d x d and B x B Gram forms, which costs B d min(B, d) + min(B, d)^3. What
stands here is for min(B, d) in the hundreds and more; `python -m experiments benchmark logdet` says what each costs and
how far off it is.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from hclm_runner.parts import part
from hclm_runner.ranges import Count, Positive
from hclm_runner.refusal import ConfigError
from hclm_runner.surrogates.logdet import logdet

ITERATIONS = 3
"""Of the subspace. Each multiplies what is missed of a direction by the ratio of the eigenvalues there, squared."""


@part("surrogate", "logdet_blockwise", version=1)
def logdet_blockwise(Z: Tensor, *, eps: Positive, blocks: Count) -> Tensor:
    """Log-det rate of the block diagonal of Sigma, S = sum_b 1/2 log det(I + Sigma_bb/eps): an upper bound on `logdet`.

    The columns of Z are cut into blocks of neighbours, of equal width where d allows it. S is never less than `logdet`
    (Fischer's inequality), equals it where no block is correlated with another, and is indifferent to such correlation.
    One block is `logdet`; d blocks are Hadamard's bound. Costs about B d^2 / blocks.

    Args:
        Z: Representations, [B, d].
        eps: Noise floor, in the squared units of Z.
        blocks: How many, at most d.

    Returns:
        Scalar in nats, dtype of Z.

    Raises:
        ConfigError: If there are more blocks than columns.
    """
    if blocks > Z.shape[1]:
        raise ConfigError("surrogate.blocks", blocks, f"at most the width of Z, {Z.shape[1]}")
    return torch.stack([logdet(block, eps=eps) for block in Z.tensor_split(blocks, dim=1)]).sum()


@part("surrogate", "logdet_lowrank", version=1)
def logdet_lowrank(Z: Tensor, *, eps: Positive, rank: Count) -> Tensor:
    """Log-det rate of Z in its leading directions, S = 1/2 log det(I + Q^T Sigma Q/eps): a lower bound on `logdet`.

    Q [d, k] is orthonormal, so the eigenvalues of Q^T Sigma Q are at most the k largest of Sigma (Poincare's
    separation): S is at most 1/2 sum_{j<=k} log(1 + s_j/eps), and equal to it where Q spans the k leading eigenvectors.
    That is where S is largest over all Q, so no gradient through Q is needed. Q comes from subspace iteration, from a
    start that is always the same. Costs about 8 B d k.

    Args:
        Z: Representations, [B, d].
        eps: Noise floor, in the squared units of Z.
        rank: k; from min(B, d) on, S is `logdet`.

    Returns:
        Scalar in nats, dtype of Z.
    """
    return logdet(Z.double() @ _leading(Z, rank), eps=eps).to(Z.dtype)


@part("surrogate", "logdet_stochastic", version=1)
def logdet_stochastic(Z: Tensor, *, eps: Positive, rank: Count, probes: Count, steps: Count) -> Tensor:
    """Log-det rate, estimated: exact in the leading directions, by Lanczos quadrature in the rest.

    S = 1/2 log det(I + Q^T Sigma Q/eps) + 1/2 mean_v v^T log(A) v, A = I + R R^T / (B eps), R = Zc - Zc Q Q^T [B, d]:
    the Nystrom part taken out, as a preconditioner would, and stochastic Lanczos quadrature for what is left (Ubaru,
    Chen and Saad 2017; Meyer et al. 2021, arXiv:2010.09649). The force is that of the log-det by the same probes and
    the same Krylov space, v^T A^-1 dA v: right on average, and not the gradient of this very estimate. The probes v [B]
    are the same in every step; which sample meets which entry follows from the run's own batch order, and over random
    orders S and its force are unbiased, but for what Lanczos' method leaves. So S depends on the order of the batch.
    Costs about 8 B d k + 4 B d steps probes.

    Args:
        Z: Representations, [B, d].
        eps: Noise floor, in the squared units of Z.
        rank: k, how many directions are taken out; from min(B, d) on, S is `logdet`.
        probes: How many v; the error falls as 1/sqrt(probes).
        steps: Of Lanczos' method, for each probe.

    Returns:
        Scalar in nats, dtype of Z.
    """
    B = len(Z)
    centred = Z.double()
    centred = centred - centred.mean(0)
    Q = _leading(Z, rank)
    taken = centred @ Q
    rest = centred - taken @ Q.T
    v = _probes(B, probes).to(Z.device)
    value, u = _quadrature(rest.detach(), v, B * eps, steps)
    pull = ((rest.T @ u) * (rest.T @ v)).sum() / (2 * B * eps * probes)
    return (logdet(taken, eps=eps) + value / 2 + pull - pull.detach()).to(Z.dtype)


def _leading(Z: Tensor, rank: int) -> Tensor:
    """Return an orthonormal basis of about the leading principal directions of Z, [d, min(rank, B, d)], in float64."""
    centred = Z.detach().double()
    centred = centred - centred.mean(0)
    Q = _normals(Z.shape[1], min(rank, *Z.shape)).to(Z.device)
    for _ in range(ITERATIONS):
        Q, _ = torch.linalg.qr(centred.T @ (centred @ Q))
    return Q


def _quadrature(rest: Tensor, v: Tensor, scale: Tensor | float, steps: int) -> tuple[Tensor, Tensor]:
    """Return mean_v v^T log(A) v and A^-1 v [B, probes] of A = I + rest rest^T / scale, by Lanczos' method.

    A direction that is used up leaves an eigenvalue 1 without weight.
    """
    B = len(v)
    q, basis, alphas, betas = v / max(B - 1, 1) ** 0.5, list[Tensor](), list[Tensor](), list[Tensor]()
    for _ in range(min(steps, B)):
        w = q + rest @ (rest.T @ q) / scale
        size = w.norm(dim=0)
        alpha = (q * w).sum(0)
        basis.append(q)
        for one in [*basis, *basis]:  # twice is enough (Parlett)
            w = w - one * (one * w).sum(0)
        beta = w.norm(dim=0)
        alive = beta > 1e-10 * size
        alphas.append(torch.where(q.square().sum(0) > 0.5, alpha, 1.0))
        betas.append(torch.where(alive, beta, 0.0))
        q = torch.where(alive, w / torch.where(alive, beta, 1.0), 0.0)
    diagonal, beside = torch.stack(alphas, dim=-1), torch.stack(betas[:-1] or [betas[0][:0]], dim=-1)
    T = torch.diag_embed(diagonal)
    if len(basis) > 1:
        T = T + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)
    sound = T.isfinite().all()
    nodes, U = torch.linalg.eigh(torch.where(sound, T, torch.eye(len(basis), dtype=T.dtype, device=T.device)))
    nodes, first = nodes.clamp(min=1), U[:, 0]
    value = (B - 1) * (first.square() * nodes.log()).sum(-1).mean()
    weights = (B - 1) ** 0.5 * (U * (first / nodes)[:, None]).sum(-1)
    u = (torch.stack(basis) * weights.T[:, None]).sum(0)
    return torch.where(sound, value, torch.nan), u


@lru_cache(maxsize=64)
def _normals(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(shape).standard_normal(shape))


@lru_cache(maxsize=64)
def _probes(B: int, number: int) -> Tensor:
    """Return probes of mean 0 and norm sqrt(B - 1), [B, number]: as many +1 as -1, but for one where B is odd.

    Over random orders of the entries the mean of v v^T is I - 1 1^T / B, which is the identity where Zc lives.
    """
    signs = np.where(np.arange(B) % 2, 1.0, -1.0)[:, None].repeat(number, axis=1)
    v = np.random.default_rng([B, number]).permuted(signs - signs.mean(0), axis=0)
    return torch.from_numpy(v * ((B - 1) / max((v[:, 0] ** 2).sum(), 1)) ** 0.5)
