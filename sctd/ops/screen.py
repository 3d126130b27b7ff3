"""Statistics of densification: screen-space gradients and radii, summed over an iteration's cameras."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.ops._backend import choose
from sctd.ops._checks import check_same, check_shape
from sctd.ops.ode import DEVICES


@torch.library.custom_op(
    "sctd::watch_screen", mutates_args=("gradient", "count", "radius"), device_types=DEVICES
)
def _watch(
    gradient: Tensor,
    count: Tensor,
    radius: Tensor,
    g_means2d: Tensor,
    radii: Tensor,
    norms: Tensor | None,
    half_width: float,
    half_height: float,
) -> None:
    from sctd.ops import _triton_scene

    inputs = (g_means2d.contiguous(), radii.contiguous(), norms)
    _triton_scene.watch_screen((gradient, count, radius), inputs, (half_width, half_height))


@torch.no_grad()
def watch_screen_(
    gradient: Tensor,
    count: Tensor,
    radius: Tensor,
    g_means2d: Tensor,
    radii: Tensor,
    size: tuple[int, int],
    *,
    norms: Tensor | None = None,
    backend: str = "auto",
) -> None:
    """Add an iteration to the statistics of densification, in place; one launch on a GPU.

    Args:
        gradient: sum of the gradients' norms, [N], halves of the image; changed.
        count: how often each Gaussian was seen, [N]; changed.
        radius: largest radius, [N], px; changed.
        g_means2d: gradient by the projected centres, [C, N, 2], 1/px.
        radii: [C, N, 2] int32, px; 0: not seen.
        size: width and height of the images, px.
        norms: of the gradients, as :func:`adam_step_` returns them; if one is not finite, the statistics do
            not change.
        backend: "auto" (plain torch on a CPU), "triton", "triton-interpret" or "reference", which defines it.

    Raises:
        InputError: a shape, dtype or device does not fit; the message names it.
    """
    n = gradient.shape[0]
    for name, tensor in (("gradient", gradient), ("count", count), ("radius", radius)):
        check_shape(name, tensor, (n,))
    cameras = g_means2d.shape[0]
    check_shape("g_means2d", g_means2d, (cameras, n, 2))
    check_shape("radii", radii, (cameras, n, 2))
    if radii.dtype != torch.int32:
        raise InputError(f"radii must be int32; got {radii.dtype}")
    check_same("gradient", gradient, count=count, radius=radius, g_means2d=g_means2d)
    chosen = choose(backend, gradient, ("triton", "triton-interpret", "triton-ptx"))
    half = (size[0] / 2, size[1] / 2)
    if chosen.startswith("triton"):
        _watch(gradient, count, radius, g_means2d, radii, norms, *half)
    else:
        _plain((gradient, count, radius), g_means2d, radii, norms, half)


def _plain(
    kept: tuple[Tensor, Tensor, Tensor],
    g_means2d: Tensor,
    radii: Tensor,
    norms: Tensor | None,
    half: tuple[float, float],
) -> None:
    if norms is not None and not bool(norms.isfinite().all()):
        return
    gradient, count, radius = kept
    largest = radii.amax(dim=-1)
    visible = largest > 0
    lengths = (g_means2d * g_means2d.new_tensor(half)).norm(dim=-1)
    gradient += torch.where(visible, lengths, 0).sum(dim=0)
    count += visible.sum(dim=0)
    radius.copy_(torch.maximum(radius, torch.where(visible, largest, 0).amax(dim=0).to(radius.dtype)))
