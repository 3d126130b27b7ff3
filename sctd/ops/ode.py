"""Element-wise ops of the diffusion side, one pass over memory each: noising, Phi, guidance, SCTD."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.ops import reference
from sctd.ops._backend import choose, native
from sctd.ops._checks import addresses, check_same, check_shape
from sctd.ops.reference import Level


def _f64(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float64


def _rows(tensor: Tensor) -> tuple[int, int]:
    """Images, and elements of one image."""
    batch = tensor.shape[0]
    return batch, tensor.numel() // batch if batch else 0


def _check(first: str, tensor: Tensor, like: dict[str, Tensor], levels: dict[str, Tensor]) -> None:
    """All of ``like`` share the shape [B, ...] of ``tensor``; all of ``levels`` are [B]."""
    if tensor.dim() < 1:
        raise InputError(f"{first} must have shape [B, ...]; got a single number")
    for name, other in like.items():
        check_shape(name, other, tuple(tensor.shape), meaning=f", that of {first}")
    for name, level in levels.items():
        check_shape(name, level, (tensor.shape[0],), meaning=", one per image")
    check_same(first, tensor, **like, **levels)


@torch.library.custom_op("sctd::noise", mutates_args=(), device_types="cpu")
def _noise(z0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    inputs = [t.contiguous() for t in (z0, noise, alpha, sigma)]
    out = torch.empty_like(inputs[0])
    native().noise(_f64(z0), *_rows(z0), addresses(*inputs, out))
    return out


@_noise.register_fake
def _(z0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    return z0.new_empty(z0.shape)


def _save_levels(first: int, last: int) -> Any:
    """setup_context that keeps the inputs first..last-1, the levels, which are constants."""

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs[first:last])

    return setup


def _column(level: Tensor, like: Tensor) -> Tensor:
    return level.reshape(-1, *[1] * (like.dim() - 1))


def _noise_vjp(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    alpha, sigma = ctx.saved_tensors
    return _column(alpha, g) * g, _column(sigma, g) * g, None, None


_noise.register_autograd(_noise_vjp, setup_context=_save_levels(2, 4))


def noise(z0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor, *, backend: str = "auto") -> Tensor:
    """alpha z0 + sigma noise: clean latents at a noise level.

    Args:
        z0, noise: [B, ...], one shape, float32 or float64; both may carry gradients.
        alpha, sigma: level of each image, [B], constants.
        backend: "auto", "cpu" or "reference".

    Raises:
        InputError: a shape, dtype or device differs; the message names it.

    Source: docs/algorithm.md, section 1.
    """
    _check("z0", z0, {"noise": noise}, {"alpha": alpha, "sigma": sigma})
    if choose(backend, z0) == "reference":
        return reference.noise(z0, noise, alpha.detach(), sigma.detach())
    out: Tensor = _noise(z0, noise, alpha, sigma)
    return out


@torch.library.custom_op("sctd::ode_step", mutates_args=(), device_types="cpu")
def _ode_step(
    z: Tensor, eps: Tensor, alpha_from: Tensor, sigma_from: Tensor, alpha_to: Tensor, sigma_to: Tensor
) -> Tensor:
    inputs = [t.contiguous() for t in (z, eps, alpha_from, sigma_from, alpha_to, sigma_to)]
    out = torch.empty_like(inputs[0])
    native().ode_step(_f64(z), *_rows(z), addresses(*inputs, out))
    return out


@_ode_step.register_fake
def _(
    z: Tensor, eps: Tensor, alpha_from: Tensor, sigma_from: Tensor, alpha_to: Tensor, sigma_to: Tensor
) -> Tensor:
    return z.new_empty(z.shape)


def _ode_step_vjp(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    a0, s0, a1, s1 = ctx.saved_tensors
    ratio = a1 / a0
    return _column(ratio, g) * g, _column(s1 - ratio * s0, g) * g, None, None, None, None


_ode_step.register_autograd(_ode_step_vjp, setup_context=_save_levels(2, 6))


def ode_step(
    z: Tensor,
    eps: Tensor,
    alpha_from: Tensor,
    sigma_from: Tensor,
    alpha_to: Tensor,
    sigma_to: Tensor,
    *,
    backend: str = "auto",
) -> Tensor:
    """Phi: one first-order step of the probability-flow ODE (DDIM with eta 0), in either direction of time.

    alpha_to (z - sigma_from eps) / alpha_from + sigma_to eps.

    Args:
        z, eps: point and noise prediction, [B, ...], one shape; both may carry gradients.
        alpha_from, sigma_from, alpha_to, sigma_to: levels of each image, [B], constants; alpha_from > 0.
        backend: "auto", "cpu" or "reference".

    Raises:
        InputError: a shape, dtype or device differs; the message names it.

    Source: docs/algorithm.md, section 1.
    """
    levels = {"alpha_from": alpha_from, "sigma_from": sigma_from, "alpha_to": alpha_to, "sigma_to": sigma_to}
    _check("z", z, {"eps": eps}, levels)
    if choose(backend, z) == "reference":
        return reference.ode_step(z, eps, *(t.detach() for t in levels.values()))
    out: Tensor = _ode_step(z, eps, alpha_from, sigma_from, alpha_to, sigma_to)
    return out


@torch.library.custom_op("sctd::cfg_ode_steps", mutates_args=(), device_types="cpu")
def _cfg_ode_steps(
    z_t: Tensor, eps_null: Tensor, eps_cond: Tensor, guidance_scale: float, levels: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = [t.contiguous() for t in (z_t, eps_null, eps_cond, *levels)]
    out = (torch.empty_like(inputs[0]), torch.empty_like(inputs[0]), torch.empty_like(inputs[0]))
    native().cfg_ode_steps(_f64(z_t), *_rows(z_t), guidance_scale, addresses(*inputs, *out))
    return out


@_cfg_ode_steps.register_fake
def _(
    z_t: Tensor, eps_null: Tensor, eps_cond: Tensor, guidance_scale: float, levels: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    return z_t.new_empty(z_t.shape), z_t.new_empty(z_t.shape), z_t.new_empty(z_t.shape)


@torch.no_grad()
def cfg_ode_steps(
    z_t: Tensor,
    eps_null: Tensor,
    eps_cond: Tensor,
    guidance_scale: float,
    start: Level,
    to_s: Level,
    to_e: Level,
    *,
    backend: str = "auto",
) -> tuple[Tensor, Tensor, Tensor]:
    """Classifier-free guidance and two steps of Phi from one point, in one pass. No gradient.

    Args:
        z_t, eps_null, eps_cond: point and the two predictions, [B, ...], one shape.
        guidance_scale: no unit; eps = eps_null + guidance_scale (eps_cond - eps_null).
        start, to_s, to_e: (alpha [B], sigma [B]) of the point and of the two ends.
        backend: "auto", "cpu" or "reference".

    Returns:
        (the point at to_s, the point at to_e, eps), each [B, ...].

    Raises:
        InputError: a shape, dtype or device differs; the message names it.

    Source: docs/algorithm.md, sections 1 and 2.
    """
    names = ("alpha_from", "sigma_from", "alpha_s", "sigma_s", "alpha_e", "sigma_e")
    levels = [*start, *to_s, *to_e]
    _check("z_t", z_t, {"eps_null": eps_null, "eps_cond": eps_cond}, dict(zip(names, levels, strict=True)))
    if choose(backend, z_t) == "reference":
        return reference.cfg_ode_steps(z_t, eps_null, eps_cond, guidance_scale, start, to_s, to_e)
    z_s, z_e, eps = _cfg_ode_steps(z_t, eps_null, eps_cond, float(guidance_scale), levels)
    return z_s, z_e, eps


@torch.library.custom_op("sctd::residual", mutates_args=(), device_types="cpu")
def _residual(
    z_end: Tensor, z_self: Tensor, z_cond: Tensor, weight: Tensor, guidance_scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = [t.contiguous() for t in (z_end, z_self, z_cond, weight)]
    batch, size = _rows(z_end)
    out = (torch.empty_like(inputs[0]), z_end.new_empty(batch, 3), z_end.new_empty(batch))
    native().residual(_f64(z_end), batch, size, guidance_scale, addresses(*inputs, *out))
    return out


@_residual.register_fake
def _(
    z_end: Tensor, z_self: Tensor, z_cond: Tensor, weight: Tensor, guidance_scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    batch = z_end.shape[0]
    return z_end.new_empty(z_end.shape), z_end.new_empty(batch, 3), z_end.new_empty(batch)


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
    """Gradient of the SCTD loss on the latents, with its two parts measured. No gradient of its own.

    Args:
        z_end, z_self, z_cond: points at the segment's end, [B, ...]; see :func:`sctd_loss`.
        weight: w(t) of each image, [B].
        guidance_scale: no unit, >= 0.
        backend: "auto", "cpu" or "reference".

    Returns:
        grad [B, ...] = weight [(z_self - z_end) + (guidance_scale + 1) (z_end - z_cond)], and stats [B, 3]:
        |z_self - z_end|, |z_end - z_cond| (2-norms), number of non-finite elements of grad.

    Raises:
        InputError: a shape, dtype or device differs; the message names it.

    Source: docs/algorithm.md, section 2.
    """
    _check("z_end", z_end, {"z_self": z_self, "z_cond": z_cond}, {"weight": weight})
    if choose(backend, z_end) == "reference":
        return reference.sctd_residual(z_end, z_self, z_cond, weight, guidance_scale)
    grad, stats, _ = _residual(z_end, z_self, z_cond, weight, float(guidance_scale))
    return grad, stats


@torch.library.custom_op("sctd::sctd_loss", mutates_args=(), device_types="cpu")
def _sctd_loss(
    latents: Tensor, z_end: Tensor, z_self: Tensor, z_cond: Tensor, weight: Tensor, guidance_scale: float
) -> tuple[Tensor, Tensor]:
    grad, _, loss = _residual(z_end, z_self, z_cond, weight, guidance_scale)
    return loss, grad


@_sctd_loss.register_fake
def _(
    latents: Tensor, z_end: Tensor, z_self: Tensor, z_cond: Tensor, weight: Tensor, guidance_scale: float
) -> tuple[Tensor, Tensor]:
    return z_end.new_empty(z_end.shape[0]), z_end.new_empty(z_end.shape)


def _loss_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])


def _loss_vjp(ctx: Any, g_loss: Tensor, g_grad: Tensor) -> tuple[Tensor | None, ...]:
    (grad,) = ctx.saved_tensors
    return _column(g_loss, grad) * grad, None, None, None, None, None


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
        latents: VAE latents of the render, [B, C, H, W], float32 or float64, already times the VAE's scale.
        z_end, z_self, z_cond: points at the segment's end, same shape and dtype as ``latents``: the noised
            render, the point reached through the segment, the point reached under the prompt.
        weight: w(t) of each image, [B], no unit, > 0.
        guidance_scale: no unit, >= 0.
        backend: "auto", "cpu" or "reference".

    Returns:
        0.5 * ||g||^2 of each image, [B], in the dtype of ``latents``.

    Raises:
        InputError: a shape, dtype or device differs; the message names the argument and both values.
        BackendUnavailable: the backend cannot run here; the message says what to install.

    Plain twin: :func:`sctd.ops.reference.sctd_loss`.
    Source: Zhu et al., SegmentDreamer, ICCV 2025, section 4; docs/algorithm.md, section 2.
    """
    _check("latents", latents, {"z_end": z_end, "z_self": z_self, "z_cond": z_cond}, {"weight": weight})
    end, self_, cond, w = (t.detach() for t in (z_end, z_self, z_cond, weight))
    if choose(backend, latents) == "reference":
        return reference.sctd_loss(latents, end, self_, cond, w, guidance_scale)
    loss: Tensor = _sctd_loss(latents, end, self_, cond, w, float(guidance_scale))[0]
    return loss
