"""From the numbers that are optimised to those that are rendered, and the sums that are regularised."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.ops._backend import choose
from sctd.ops._checks import check_same, check_shape
from sctd.ops._first_order import first_order
from sctd.ops.ode import DEVICES

LEAST_NOISE = 1e-3
"""Smallest factor on a scale: a scale of zero has no covariance to differentiate."""


@torch.library.custom_op("sctd::activate", mutates_args=(), device_types=DEVICES)
def _activate(
    scales: Tensor, opacities: Tensor, sh0: Tensor, shN: Tensor, noise: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from sctd.ops import _triton_scene

    scales, opacities, sh0, higher = (t.contiguous() for t in (scales, opacities, sh0, shN))
    return _triton_scene.activate(
        scales, opacities, sh0, higher, None if noise is None else noise.contiguous()
    )


@_activate.register_fake
def _(
    scales: Tensor, opacities: Tensor, sh0: Tensor, shN: Tensor, noise: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from sctd.ops import _triton_scene

    return _triton_scene.new_activated(scales, opacities, shN)


@torch.library.custom_op("sctd::activate_backward", mutates_args=(), device_types=DEVICES)
def _activate_backward(
    scales: Tensor,
    opacities: Tensor,
    shN: Tensor,
    noise: Tensor | None,
    g_scales: Tensor | None,
    g_opacities: Tensor | None,
    g_colors: Tensor | None,
    g_sums: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from sctd.ops import _triton_scene

    inputs = (scales.contiguous(), opacities.contiguous(), None if noise is None else noise.contiguous())
    return _triton_scene.activate_backward(inputs, shN, (g_scales, g_opacities, g_colors, g_sums))


@_activate_backward.register_fake
def _(scales: Tensor, opacities: Tensor, shN: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from sctd.ops import _triton_scene

    return _triton_scene.new_gradients(scales, opacities, shN)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    scales, opacities, _, higher, noise = inputs
    ctx.save_for_backward(scales, opacities, higher, noise)
    ctx.set_materialize_grads(False)


@first_order("activate")
def _vjp(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    higher = ctx.saved_tensors[2].shape[1] > 0
    g_colors = grads[2] if higher else None
    out = _activate_backward(*ctx.saved_tensors, *grads[:2], g_colors, grads[3])
    return (*out[:2], *(out[2:] if higher else (None, None)), None)


_activate.register_autograd(_vjp, setup_context=_setup)


def activate(
    scales: Tensor,
    opacities: Tensor,
    sh0: Tensor,
    shN: Tensor,
    noise: Tensor | None = None,
    *,
    backend: str = "auto",
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scales, opacities and colours as the rasterizer takes them, with one launch each way on a GPU.

    Args:
        scales: natural logarithms, [N, 3], float32; float64 too in plain torch.
        opacities: logits, [N].
        sh0, shN: coefficients of the colours, [N, 1, 3] and [N, K - 1, 3].
        noise: factors on the scales, [N, 3], taken as 1e-3 at least; None: 1.
        backend: "auto" (plain torch on a CPU), "triton", "triton-interpret" or "reference", which defines it.

    Returns:
        exp(scales) noise [N, 3]; sigmoid(opacities) [N]; both coefficients in one, [N, K, 3], which is sh0
        itself where K = 1; and sums [P, 2] that add up to the means of exp(scales) and sigmoid(opacities).
        P depends on the backend.

    Raises:
        InputError: a shape, dtype or device does not fit; the message names it.
    """
    n = scales.shape[0]
    check_shape("scales", scales, (n, 3))
    check_shape("opacities", opacities, (n,))
    check_shape("sh0", sh0, (n, 1, 3))
    if shN.dim() != 3 or shN.shape[0] != n or shN.shape[2] != 3:
        raise InputError(f"shN must have shape [{n}, K - 1, 3]; got {list(shN.shape)}")
    if noise is not None:
        check_shape("noise", noise, (n, 3))
    check_same("scales", scales, opacities=opacities, sh0=sh0, shN=shN, noise=noise)
    chosen = choose(backend, scales, ("triton", "triton-interpret", "triton-ptx"))
    if not chosen.startswith("triton"):
        return _plain(scales, opacities, sh0, shN, noise)
    spread, opaque, colors, sums = _activate(scales, opacities, sh0, shN, noise)
    return spread, opaque, colors if shN.shape[1] else sh0, sums


def _plain(
    scales: Tensor, opacities: Tensor, sh0: Tensor, shN: Tensor, noise: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    spread, opaque = torch.exp(scales), torch.sigmoid(opacities)
    colors = torch.cat((sh0, shN), dim=1) if shN.shape[1] else sh0
    sums = torch.stack((spread.mean(), opaque.mean()))[None]
    return spread if noise is None else spread * noise.clamp_min(LEAST_NOISE), opaque, colors, sums
