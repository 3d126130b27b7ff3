"""Plain-torch twins of the native ops: their definition. Differentiable, any device, double for checks.

The rasterizer's twin is in :mod:`sctd.ops.reference_raster`; memory O(C N H W), so it is for small scenes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = [
    "adam_step_",
    "cfg_ode_steps",
    "knn_mean_distance",
    "noise",
    "ode_step",
    "perp_neg",
    "sctd_loss",
    "sctd_residual",
    "sctd_step_residual",
    "total_variation",
]


PREDICTIONS = ("epsilon", "v_prediction", "sample")
"""What a network predicts, by diffusers' names; the place is the number in csrc/include/sctd_math.h."""


def _rows(level: Tensor, like: Tensor) -> Tensor:
    """[B] => [B, 1, ...], to multiply ``like`` [B, ...]."""
    return level.reshape(-1, *[1] * (like.dim() - 1))


def _wide(*tensors: Tensor) -> list[Tensor]:
    """In float32 at least: half precision is only for storage."""
    return [t if t.dtype == torch.float64 else t.float() for t in tensors]


def noise(z0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """alpha z0 + sigma noise; z0, noise [B, ...], levels [B]. docs/algorithm.md, section 1."""
    z, n, a, s = _wide(z0, noise, alpha, sigma)
    return (_rows(a, z) * z + _rows(s, z) * n).to(z0.dtype)


AlphaSigma = tuple[Tensor, Tensor]


def clean_and_noise(z: Tensor, out: Tensor, level: AlphaSigma, prediction: str) -> tuple[Tensor, Tensor]:
    """The clean latents and the noise that follow from a network's output at z.

    epsilon: out is the noise; v_prediction: alpha noise - sigma clean; sample: the clean latents.
    """
    alpha, sigma = (_rows(t, z) for t in level)
    if prediction == "epsilon":
        return (z - sigma * out) / alpha, out
    if prediction == "v_prediction":
        return alpha * z - sigma * out, sigma * z + alpha * out
    return out, (z - alpha * out) / sigma


def ode_step(
    z: Tensor,
    out: Tensor,
    alpha_from: Tensor,
    sigma_from: Tensor,
    alpha_to: Tensor,
    sigma_to: Tensor,
    prediction: str = "epsilon",
) -> Tensor:
    """Phi: alpha_to (z - sigma_from eps) / alpha_from + sigma_to eps. docs/algorithm.md, section 1."""
    point, o, *levels = _wide(z, out, alpha_from, sigma_from, alpha_to, sigma_to)
    clean, eps = clean_and_noise(point, o, (levels[0], levels[1]), prediction)
    return (_rows(levels[2], point) * clean + _rows(levels[3], point) * eps).to(z.dtype)


def step_factors(
    alpha_from: Tensor, sigma_from: Tensor, alpha_to: Tensor, sigma_to: Tensor, prediction: str
) -> tuple[Tensor, Tensor]:
    """Phi is linear: its factors of z and of the network's output, [B] each."""
    one, zero = torch.ones_like(alpha_from), torch.zeros_like(alpha_from)
    levels = (alpha_from, sigma_from, alpha_to, sigma_to)
    return (
        ode_step(one, zero, *levels, prediction=prediction),
        ode_step(zero, one, *levels, prediction=prediction),
    )


def perp_neg(out_null: Tensor, out_right: Tensor, out_wrong: Tensor, weights: Tensor) -> Tensor:
    """out_null + d + sum_k weight_k perp(d_k, d).

    With the directions d = out_right - out_null and d_k = out_wrong_k - out_null; perp(a, d) is a without its
    part along d, per image, over all channels and pixels.

    Args:
        out_null, out_right: [B, ...].
        out_wrong: [B, K, ...].
        weights: [B, K], <= 0, no unit.

    Source: Armandpour et al. 2023, "Re-imagine the negative prompt algorithm", eq. for view conditioning.
    """
    d = (out_right - out_null).flatten(1)
    others = (out_wrong - out_null[:, None]).flatten(2)
    # a direction equal to out_null has length 0 and nothing along it to take out
    length2 = (d * d).sum(1, keepdim=True).clamp(min=torch.finfo(d.dtype).tiny)
    along = (others * d[:, None]).sum(2) / length2
    perpendicular = others - along[..., None] * d[:, None]
    pushed = d + (weights[..., None] * perpendicular).sum(1)
    return out_null + pushed.view_as(out_null)


def cfg_ode_steps(
    z_t: Tensor,
    out_null: Tensor,
    out_cond: Tensor,
    guidance_scale: float,
    start: AlphaSigma,
    to_s: AlphaSigma,
    to_e: AlphaSigma,
    wrong: tuple[Tensor, Tensor] | None = None,
    prediction: str = "epsilon",
) -> tuple[Tensor, Tensor, Tensor]:
    """Guided output, and the steps from the same point to two levels => (z_s, z_e, guided output)."""
    z, null, cond = _wide(z_t, out_null, out_cond)
    if wrong is not None:
        cond = perp_neg(null, cond, *_wide(*wrong))
    out = null + guidance_scale * (cond - null)
    z_s, z_e = (ode_step(z, out, *start, *end, prediction=prediction) for end in (to_s, to_e))
    return z_s.to(z_t.dtype), z_e.to(z_t.dtype), out.to(z_t.dtype)


def sctd_step_residual(
    zhat_s: Tensor,
    out: Tensor,
    start: AlphaSigma,
    end: AlphaSigma,
    z_end: Tensor,
    z_cond: Tensor,
    weight: Tensor,
    guidance_scale: float,
    prediction: str = "epsilon",
) -> tuple[Tensor, Tensor]:
    """:func:`sctd_residual` with z_self = Phi(zhat_s, start -> end, out)."""
    z, o, z_e, z_c, w = _wide(zhat_s, out, z_end, z_cond, weight)
    z_self = ode_step(z, o, *start, *end, prediction=prediction)
    grad, stats = sctd_residual(z_e, z_self, z_c, w, guidance_scale)
    return grad.to(z_end.dtype), stats


def sctd_residual(
    z_end: Tensor, z_self: Tensor, z_cond: Tensor, weight: Tensor, guidance_scale: float
) -> tuple[Tensor, Tensor]:
    """weight [(z_self - z_end) + (guidance_scale + 1) (z_end - z_cond)], stats [B, 3].

    Source: docs/algorithm.md, section 2.
    """
    end, self_, cond, w = _wide(z_end, z_self, z_cond, weight)
    self_term, cross_term = self_ - end, end - cond
    grad = _rows(w, end) * (self_term + (guidance_scale + 1) * cross_term)
    stats = torch.stack(
        [
            self_term.flatten(1).norm(dim=1),
            cross_term.flatten(1).norm(dim=1),
            (~grad.isfinite()).flatten(1).sum(1),
        ],
        dim=1,
    )
    return grad.to(z_end.dtype), stats.to(end.dtype)


def sctd_loss(
    latents: Tensor, z_end: Tensor, z_self: Tensor, z_cond: Tensor, weight: Tensor, guidance_scale: float
) -> Tensor:
    """0.5 |g|^2 [B], with gradient g on the latents: g is a constant, and d/dz 0.5 |z - (z - g)|^2 = g."""
    grad, _ = sctd_residual(z_end, z_self, z_cond, weight, guidance_scale)
    target = (latents - grad).detach()
    return 0.5 * (latents - target).square().flatten(1).sum(1)


def total_variation(images: Tensor) -> Tensor:
    """Mean squared difference of neighbours, down plus across; [..., H, W] => scalar."""
    (x,) = _wide(images)
    down, across = x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]
    parts = [d.square().mean() for d in (down, across) if d.numel()]
    return sum(parts, 0.0 * x.sum()).to(images.dtype)


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
    watched: Tensor | None = None,
) -> Tensor:
    """One Adam step in place over (param, grad, exp_avg, exp_avg_sq) of each group, gradients cut to a norm.

    ``schedule``: :func:`sctd.ops.adam_schedule`; => the norms, and that of ``watched``, float64. Nothing
    changes where one is not finite.
    """
    *rates, root, largest = schedule.tolist()
    grads = [grad for _, grad, _, _ in groups] + ([] if watched is None else [watched])
    norms = torch.stack([grad.double().norm() for grad in grads])
    if (skip is not None and bool(skip)) or not bool(norms.isfinite().all()):
        return norms
    for i, (param, grad, exp_avg, exp_avg_sq) in enumerate(groups):
        if largest < float("inf"):
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
