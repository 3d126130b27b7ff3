"""Noising, guidance and steps along the probability-flow ODE, one pass over memory each.

The network's own output goes in, whatever it predicts: noise and clean latents are linear in it, so guidance
and Perp-Neg act on it directly and the conversion is part of the step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.ops import reference
from sctd.ops._backend import choose
from sctd.ops._checks import check_float, check_shape
from sctd.ops._diffusion_core import GuidedSteps
from sctd.ops._diffusion_cores import MAX_WRONG, core
from sctd.ops.reference import PREDICTIONS, AlphaSigma

BACKENDS = ("cpu", "triton", "triton-interpret", "triton-ptx")
DEVICES = ("cpu", "cuda")


def check_prediction(prediction: str) -> int:
    """The prediction's number; raises InputError for an unknown one."""
    if prediction not in PREDICTIONS:
        raise InputError(f"prediction must be one of {', '.join(PREDICTIONS)}; got {prediction!r}")
    return PREDICTIONS.index(prediction)


def check_latents(first: str, tensor: Tensor, like: dict[str, Tensor], levels: dict[str, Tensor]) -> None:
    """All of ``like`` share the shape [B, ...] of ``tensor``; all of ``levels`` are [B]; one device."""
    if tensor.dim() < 1:
        raise InputError(f"{first} must have shape [B, ...]; got a single number")
    for name, other in like.items():
        check_shape(name, other, tuple(tensor.shape), meaning=f", that of {first}")
    for name, level in levels.items():
        check_shape(name, level, (tensor.shape[0],), meaning=", one per image")
    check_float(first, tensor, **like, **levels)


def _save_levels(first: int, last: int) -> Any:
    """setup_context that keeps the inputs first..last-1, the levels, which are constants."""

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs[first:last])
        ctx.rest = inputs[last:]
        ctx.dtypes = inputs[0].dtype, inputs[1].dtype

    return setup


def _scaled(factor: Tensor, g: Tensor, dtype: torch.dtype) -> Tensor:
    return (factor.reshape(-1, *[1] * (g.dim() - 1)) * g).to(dtype)


@torch.library.custom_op("sctd::noise", mutates_args=(), device_types=DEVICES)
def _noise(z0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor, backend: str) -> Tensor:
    return core(backend).noise(z0, noise, (alpha, sigma))


@_noise.register_fake
def _(z0: Tensor, *rest: Any) -> Tensor:
    return z0.new_empty(z0.shape)


def _noise_vjp(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    factors = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
    return *(_scaled(factor, g, dtype) for factor, dtype in factors), None, None, None


_noise.register_autograd(_noise_vjp, setup_context=_save_levels(2, 4))


def noise(z0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor, *, backend: str = "auto") -> Tensor:
    """alpha z0 + sigma noise: clean latents at a noise level.

    Args:
        z0, noise: [B, ...], one shape, floating; both may carry gradients.
        alpha, sigma: level of each image, [B], constants.
        backend: "auto", "cpu", "triton" (CUDA), "triton-interpret" (tests) or "reference".

    Returns:
        [B, ...] in the dtype of ``z0``; computed in float32 at least.

    Raises:
        InputError: a shape, dtype or device differs; the message names it.

    Source: docs/algorithm.md, section 1.
    """
    check_latents("z0", z0, {"noise": noise}, {"alpha": alpha, "sigma": sigma})
    chosen = choose(backend, z0, BACKENDS)
    if chosen == "reference":
        return reference.noise(z0, noise, alpha.detach(), sigma.detach())
    out: Tensor = _noise(z0, noise, alpha, sigma, chosen)
    return out


@torch.library.custom_op("sctd::ode_step", mutates_args=(), device_types=DEVICES)
def _ode_step(
    z: Tensor,
    out: Tensor,
    alpha_from: Tensor,
    sigma_from: Tensor,
    alpha_to: Tensor,
    sigma_to: Tensor,
    prediction: int,
    backend: str,
) -> Tensor:
    return core(backend).ode_step(z, out, (alpha_from, sigma_from, alpha_to, sigma_to), prediction)


@_ode_step.register_fake
def _(z: Tensor, *rest: Any) -> Tensor:
    return z.new_empty(z.shape)


def _ode_step_vjp(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    a, b, c, d = ctx.saved_tensors
    factors = reference.step_factors(a, b, c, d, PREDICTIONS[ctx.rest[0]])
    grads = (_scaled(f, g, dtype) for f, dtype in zip(factors, ctx.dtypes, strict=True))
    return *grads, *[None] * 6


_ode_step.register_autograd(_ode_step_vjp, setup_context=_save_levels(2, 6))


def ode_step(
    z: Tensor,
    out: Tensor,
    alpha_from: Tensor,
    sigma_from: Tensor,
    alpha_to: Tensor,
    sigma_to: Tensor,
    *,
    prediction: str = "epsilon",
    backend: str = "auto",
) -> Tensor:
    """Phi: one first-order step of the probability-flow ODE (DDIM with eta 0), in either direction of time.

    alpha_to (z - sigma_from eps) / alpha_from + sigma_to eps, with eps from the network's output.

    Args:
        z, out: point and the network's output there, [B, ...], one shape; both may carry gradients.
        alpha_from, sigma_from, alpha_to, sigma_to: levels of each image, [B], constants, > 0.
        prediction: what ``out`` is: "epsilon", "v_prediction" or "sample".
        backend: as :func:`noise`.

    Returns:
        [B, ...] in the dtype of ``z``; computed in float32 at least.

    Raises:
        InputError: a shape, dtype, device or name differs; the message names it.

    Source: docs/algorithm.md, section 1; v: Salimans and Ho 2022, appendix D.
    """
    kind = check_prediction(prediction)
    levels = {"alpha_from": alpha_from, "sigma_from": sigma_from, "alpha_to": alpha_to, "sigma_to": sigma_to}
    check_latents("z", z, {"out": out}, levels)
    chosen = choose(backend, z, BACKENDS)
    if chosen == "reference":
        a, b, c, d = (t.detach() for t in levels.values())
        return reference.ode_step(z, out, a, b, c, d, prediction)
    z_to: Tensor = _ode_step(z, out, *levels.values(), kind, chosen)
    return z_to


@torch.library.custom_op("sctd::cfg_ode_steps", mutates_args=(), device_types=DEVICES)
def _cfg_ode_steps(
    z_t: Tensor,
    out_null: Tensor,
    out_cond: Tensor,
    out_wrong: Tensor | None,
    wrong_weights: Tensor | None,
    guidance_scale: float,
    levels: list[Tensor],
    prediction: int,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    wrong = None if out_wrong is None or wrong_weights is None else (out_wrong, wrong_weights)
    steps = GuidedSteps(z_t, (out_null, out_cond), wrong, guidance_scale, levels, prediction)
    return core(backend).cfg_ode_steps(steps)


@_cfg_ode_steps.register_fake
def _(z_t: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    return z_t.new_empty(z_t.shape), z_t.new_empty(z_t.shape), z_t.new_empty(z_t.shape)


@torch.no_grad()
def cfg_ode_steps(
    z_t: Tensor,
    out_null: Tensor,
    out_cond: Tensor,
    guidance_scale: float,
    start: AlphaSigma,
    to_s: AlphaSigma,
    to_e: AlphaSigma,
    *,
    wrong: tuple[Tensor, Tensor] | None = None,
    prediction: str = "epsilon",
    backend: str = "auto",
) -> tuple[Tensor, Tensor, Tensor]:
    """Classifier-free guidance and two steps of Phi from one point, in one pass. No gradient.

    Args:
        z_t, out_null, out_cond: point and the network's two outputs there, [B, ...], one shape.
        guidance_scale: no unit; the guided output is out_null + guidance_scale (out_cond - out_null).
        start, to_s, to_e: (alpha [B], sigma [B]) of the point and of the two ends.
        wrong: Perp-Neg: outputs for K <= 8 wrong directions [B, K, ...] and their weights [B, K], <= 0;
            out_cond is then out_null + d + sum_k weight_k perp(d_k, d), with the directions
            d = out_cond - out_null and d_k, and perp(a, d) what is left of a without its part along d.
        prediction, backend: as :func:`ode_step`.

    Returns:
        (the point at to_s, the point at to_e, the guided output), each [B, ...] in the dtype of ``z_t``.

    Raises:
        InputError: a shape, dtype, device or name differs; the message names it.

    Source: docs/algorithm.md, sections 1 to 3; Armandpour et al. 2023, "Re-imagine the negative prompt
    algorithm".
    """
    kind = check_prediction(prediction)
    names = ("alpha_from", "sigma_from", "alpha_s", "sigma_s", "alpha_e", "sigma_e")
    levels = [*start, *to_s, *to_e]
    outs = {"out_null": out_null, "out_cond": out_cond}
    check_latents("z_t", z_t, outs, dict(zip(names, levels, strict=True)))
    if wrong is not None:
        batch, count = z_t.shape[0], wrong[1].shape[-1] if wrong[1].dim() else 0
        if not 1 <= count <= MAX_WRONG:
            raise InputError(f"wrong takes 1 to {MAX_WRONG} directions; got {count}")
        check_shape("wrong outputs", wrong[0], (batch, count, *z_t.shape[1:]))
        check_shape("wrong weights", wrong[1], (batch, count))
        check_float("z_t", z_t, **{"wrong outputs": wrong[0], "wrong weights": wrong[1]})
    chosen = choose(backend, z_t, BACKENDS)
    if chosen == "reference":
        return reference.cfg_ode_steps(
            z_t, out_null, out_cond, guidance_scale, start, to_s, to_e, wrong, prediction
        )
    z_s, z_e, out = _cfg_ode_steps(
        z_t, out_null, out_cond, *(wrong or (None, None)), float(guidance_scale), levels, kind, chosen
    )
    return z_s, z_e, out
