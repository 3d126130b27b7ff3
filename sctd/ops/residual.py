"""The SCTD residual: the last self-consistency step, both differences and their norms, in one pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sctd.ops import reference
from sctd.ops._backend import choose
from sctd.ops._diffusion_core import SelfStep
from sctd.ops._diffusion_cores import core
from sctd.ops._first_order import first_order
from sctd.ops.ode import BACKENDS, DEVICES, check_latents, check_prediction
from sctd.ops.reference import AlphaSigma


@torch.library.custom_op("sctd::residual", mutates_args=(), device_types=DEVICES)
def _residual(
    z: Tensor,
    out: Tensor,
    levels: list[Tensor],
    z_end: Tensor,
    z_cond: Tensor,
    weight: Tensor,
    guidance_scale: float,
    prediction: int,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    step = SelfStep((z, out), levels, (z_end, z_cond), weight, guidance_scale, prediction)
    return core(backend).residual(step)


def _sums_dtype(z: Tensor) -> torch.dtype:
    return torch.float64 if z.dtype == torch.float64 else torch.float32


@_residual.register_fake
def _(
    z: Tensor, out: Tensor, levels: list[Tensor], z_end: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    batch, dtype = z_end.shape[0], _sums_dtype(z_end)
    stats, loss = z_end.new_empty(batch, 3, dtype=dtype), z_end.new_empty(batch, dtype=dtype)
    return z_end.new_empty(z_end.shape), stats, loss


@torch.no_grad()
def sctd_step_residual(
    zhat_s: Tensor,
    out: Tensor,
    start: AlphaSigma,
    end: AlphaSigma,
    z_end: Tensor,
    z_cond: Tensor,
    weight: Tensor,
    guidance_scale: float,
    *,
    prediction: str = "epsilon",
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Gradient of the SCTD loss on the latents, from the point in front of the self-consistency step.

    Args:
        zhat_s, out: the point at s and the network's unconditional output there, [B, ...].
        start, end: (alpha [B], sigma [B]) of s and of the segment's end.
        z_end, z_cond: points at the segment's end, [B, ...]; see :func:`sctd_loss`.
        weight: w(t) of each image, [B].
        guidance_scale: no unit, >= 0.
        prediction, backend: see :func:`sctd.ops.ode_step`.

    Returns:
        grad [B, ...] = weight [(G_self - z_end) + (guidance_scale + 1) (z_end - z_cond)], with
        G_self = Phi(zhat_s, start -> end, out), in the dtype of ``z_end``; and stats [B, 3], float32 or
        float64: |G_self - z_end|, |z_end - z_cond| (2-norms), number of non-finite elements of grad.

    Raises:
        InputError: a shape, dtype, device or name differs; the message names it.

    Source: docs/algorithm.md, section 2.
    """
    kind = check_prediction(prediction)
    others = {"zhat_s": zhat_s, "out": out, "z_cond": z_cond}
    levels = {"alpha_s": start[0], "sigma_s": start[1], "alpha_e": end[0], "sigma_e": end[1]}
    check_latents("z_end", z_end, others, {**levels, "weight": weight})
    chosen = choose(backend, z_end, BACKENDS)
    if chosen == "reference":
        return reference.sctd_step_residual(
            zhat_s, out, start, end, z_end, z_cond, weight, guidance_scale, prediction
        )
    grad, stats, _ = _residual(
        zhat_s, out, list(levels.values()), z_end, z_cond, weight, float(guidance_scale), kind, chosen
    )
    return grad, stats


def _standing_still(z: Tensor) -> list[Tensor]:
    """Levels between which a step changes nothing: alpha 1, sigma 0, twice."""
    alpha, sigma = z.new_ones(z.shape[0]), z.new_zeros(z.shape[0])
    return [alpha, sigma, alpha, sigma]


@torch.no_grad()
def sctd_residual(
    z_end: Tensor,
    z_self: Tensor,
    z_cond: Tensor,
    weight: Tensor,
    guidance_scale: float,
    *,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """:func:`sctd_step_residual` with the point that the self-consistency step has reached.

    Args:
        z_end, z_self, z_cond: points at the segment's end, [B, ...]; see :func:`sctd_loss`.
        weight, guidance_scale, backend: as there.

    Returns:
        grad [B, ...] = weight [(z_self - z_end) + (guidance_scale + 1) (z_end - z_cond)], and stats [B, 3].

    Raises:
        InputError: a shape, dtype or device differs; the message names it.

    Source: docs/algorithm.md, section 2.
    """
    check_latents("z_end", z_end, {"z_self": z_self, "z_cond": z_cond}, {"weight": weight})
    chosen = choose(backend, z_end, BACKENDS)
    if chosen == "reference":
        return reference.sctd_residual(z_end, z_self, z_cond, weight, guidance_scale)
    levels = _standing_still(z_end)
    grad, stats, _ = _residual(
        z_self, z_self, levels, z_end, z_cond, weight, float(guidance_scale), 0, chosen
    )
    return grad, stats


@torch.library.custom_op("sctd::sctd_loss", mutates_args=(), device_types=DEVICES)
def _sctd_loss(
    latents: Tensor,
    z_end: Tensor,
    z_self: Tensor,
    z_cond: Tensor,
    weight: Tensor,
    guidance_scale: float,
    backend: str,
) -> tuple[Tensor, Tensor]:
    levels = _standing_still(z_end)
    grad, _, loss = _residual(z_self, z_self, levels, z_end, z_cond, weight, guidance_scale, 0, backend)
    return loss.to(z_end.dtype), grad


@_sctd_loss.register_fake
def _(latents: Tensor, z_end: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return z_end.new_empty(z_end.shape[0]), z_end.new_empty(z_end.shape)


def _loss_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])


@first_order("sctd_loss")
def _loss_vjp(ctx: Any, g_loss: Tensor, g_grad: Tensor) -> tuple[Tensor | None, ...]:
    (grad,) = ctx.saved_tensors
    return g_loss.reshape(-1, *[1] * (grad.dim() - 1)) * grad, *[None] * 6


_sctd_loss.register_autograd(_loss_vjp, setup_context=_loss_setup)


def sctd_loss(
    latents: Tensor,
    z_end: Tensor,
    z_self: Tensor,
    z_cond: Tensor,
    weight: Tensor,
    guidance_scale: float,
    *,
    backend: str = "auto",
) -> Tensor:
    """SCTD loss of each image, fused: one pass gives the loss and its gradient.

    The gradient of ``latents`` is g = weight * [(z_self - z_end) + (guidance_scale + 1) * (z_end - z_cond)];
    the three targets are constants and get none.

    Args:
        latents: VAE latents of the render, [B, C, H, W], floating, already times the VAE's scale.
        z_end, z_self, z_cond: points at the segment's end, same shape as ``latents``: the noised render, the
            point reached through the segment, the point reached under the prompt.
        weight: w(t) of each image, [B], no unit, > 0.
        guidance_scale: no unit, >= 0.
        backend: as :func:`sctd.ops.noise`.

    Returns:
        0.5 * ||g||^2 of each image, [B], in the dtype of ``z_end``.

    Raises:
        InputError: a shape, dtype or device differs; the message names the argument and both values.
        BackendUnavailable: the backend cannot run here; the message says what to install.

    Plain twin: :func:`sctd.ops.reference.sctd_loss`.
    Source: Zhu et al., SegmentDreamer, ICCV 2025, section 4; docs/algorithm.md, section 2.
    """
    targets = {"z_end": z_end, "z_self": z_self, "z_cond": z_cond}
    check_latents("latents", latents, targets, {"weight": weight})
    end, self_, cond, w = (t.detach() for t in (*targets.values(), weight))
    chosen = choose(backend, latents, BACKENDS)
    if chosen == "reference":
        return reference.sctd_loss(latents, end, self_, cond, w, guidance_scale)
    loss: Tensor = _sctd_loss(latents, end, self_, cond, w, float(guidance_scale), chosen)[0]
    return loss
