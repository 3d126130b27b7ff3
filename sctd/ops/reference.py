"""Plain-torch twins of the native ops: their definition. Differentiable, any device, double for checks.

The rasterizer's twin is in :mod:`sctd.ops.reference_raster`; memory O(C N H W), so it is for small scenes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sctd.ops.reference_raster import rasterization

__all__ = [
    "adam_step_",
    "cfg_ode_steps",
    "knn_mean_distance",
    "noise",
    "ode_step",
    "rasterization",
    "sctd_loss",
    "sctd_residual",
]


def _rows(level: Tensor, like: Tensor) -> Tensor:
    """[B] => [B, 1, ...], to multiply ``like`` [B, ...]."""
    return level.reshape(-1, *[1] * (like.dim() - 1))


def noise(z0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """alpha z0 + sigma noise; z0, noise [B, ...], levels [B]. docs/algorithm.md, section 1."""
    return _rows(alpha, z0) * z0 + _rows(sigma, z0) * noise


def ode_step(
    z: Tensor, eps: Tensor, alpha_from: Tensor, sigma_from: Tensor, alpha_to: Tensor, sigma_to: Tensor
) -> Tensor:
    """Phi: alpha_to (z - sigma_from eps) / alpha_from + sigma_to eps. docs/algorithm.md, section 1."""
    z0 = (z - _rows(sigma_from, z) * eps) / _rows(alpha_from, z)
    return _rows(alpha_to, z) * z0 + _rows(sigma_to, z) * eps


Level = tuple[Tensor, Tensor]


def cfg_ode_steps(
    z_t: Tensor,
    eps_null: Tensor,
    eps_cond: Tensor,
    guidance_scale: float,
    start: Level,
    to_s: Level,
    to_e: Level,
) -> tuple[Tensor, Tensor, Tensor]:
    """Guided prediction, and the steps from the same point to two levels => (z_s, z_e, eps_guided)."""
    eps = eps_null + guidance_scale * (eps_cond - eps_null)
    return ode_step(z_t, eps, *start, *to_s), ode_step(z_t, eps, *start, *to_e), eps


def sctd_residual(
    z_end: Tensor, z_self: Tensor, z_cond: Tensor, weight: Tensor, guidance_scale: float
) -> tuple[Tensor, Tensor]:
    """weight [(z_self - z_end) + (guidance_scale + 1) (z_end - z_cond)], stats [B, 3].

    Source: docs/algorithm.md, section 2.
    """
    self_term, cross_term = z_self - z_end, z_end - z_cond
    grad = _rows(weight, z_end) * (self_term + (guidance_scale + 1) * cross_term)
    stats = torch.stack(
        [
            self_term.flatten(1).norm(dim=1),
            cross_term.flatten(1).norm(dim=1),
            (~grad.isfinite()).flatten(1).sum(1),
        ],
        dim=1,
    )
    return grad, stats.to(z_end.dtype)


def sctd_loss(
    latents: Tensor, z_end: Tensor, z_self: Tensor, z_cond: Tensor, weight: Tensor, guidance_scale: float
) -> Tensor:
    """0.5 |g|^2 [B], with gradient g on the latents: g is a constant, and d/dz 0.5 |z - (z - g)|^2 = g."""
    grad, _ = sctd_residual(z_end, z_self, z_cond, weight, guidance_scale)
    target = (latents - grad).detach()
    return 0.5 * (latents - target).square().flatten(1).sum(1)


@torch.no_grad()
def adam_step_(
    groups: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]],
    schedule: Tensor,
    *,
    beta1: float,
    beta2: float,
    eps: float,
    visible: Tensor | None = None,
    skip: Tensor | None = None,
) -> Tensor:
    """One Adam step in place over (param, grad, exp_avg, exp_avg_sq) of each group, gradients cut to a norm.

    ``schedule``: :func:`sctd.ops.adam_schedule`; => the norms, [groups] float64, 0 without a limit.
    """
    norms = torch.zeros_like(schedule[:-2])
    *rates, root, largest = schedule.tolist()
    if skip is not None and bool(skip):
        return norms
    for i, (param, grad, exp_avg, exp_avg_sq) in enumerate(groups):
        if largest < float("inf"):
            norms[i] = grad.double().norm()
            grad = grad * min(1.0, largest / (float(norms[i]) + 1e-6))
        rows = slice(None) if visible is None else visible
        m = beta1 * exp_avg[rows] + (1 - beta1) * grad[rows]
        v = beta2 * exp_avg_sq[rows] + (1 - beta2) * grad[rows].square()
        exp_avg[rows], exp_avg_sq[rows] = m, v
        param[rows] -= rates[i] * m / (v.sqrt() / root + eps)
    return norms


@torch.no_grad()
def knn_mean_distance(points: Tensor, k: int = 3) -> Tensor:
    """Mean distance of each point [N, 3] to its k nearest others => [N]; O(N^2)."""
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(torch.inf)
    return distances.topk(k, largest=False).values.mean(1)
