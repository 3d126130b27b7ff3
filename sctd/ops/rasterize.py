"""The differentiable rasterizer: Gaussians and cameras in, images out, with gsplat's signature."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sctd.errors import Unsupported
from sctd.ops import reference_raster
from sctd.ops._backend import choose
from sctd.ops._raster_checks import (
    at_least,
    check_modes,
    check_options,
    check_tensors,
    checked_degree,
    checked_view,
)
from sctd.ops._raster_meta import Meta

MAX_ABSGRAD_CHANNELS = 4
"""Of the CUDA kernels: more channels take several passes, and absolute values do not add over them."""


def rasterization(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    radius_clip: float = 0.0,
    eps2d: float = 0.3,
    sh_degree: int | None = None,
    packed: bool = False,
    tile_size: int = 16,
    backgrounds: Tensor | None = None,
    render_mode: str = "RGB",
    sparse_grad: bool = False,
    absgrad: bool = False,
    rasterize_mode: str = "classic",
    *,
    capacity: int = 0,
    backend: str = "auto",
    **options: Any,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Render N Gaussians on C cameras; gsplat's names, units and defaults.

    Differentiable in means, quats, scales, opacities, colors, viewmats and backgrounds; not in Ks.

    Args:
        means: centres, [N, 3], world units.
        quats: orientations, [N, 4], wxyz, any length but 0.
        scales: standard deviations along the Gaussian's axes, [N, 3], world units, > 0.
        opacities: [N], 0..1.
        colors: [N, D] or [C, N, D]; with ``sh_degree``: coefficients [N, K, 3] or [C, N, K, 3],
            K >= (sh_degree + 1)^2, and the colour is max(0, 0.5 + sum).
        viewmats: world to camera, [C, 4, 4], OpenCV axes (x right, y down, z forward); a rotation and a
            translation as a rule, any invertible map that keeps the last row 0 0 0 1.
        Ks: [C, 3, 3], pixels; focal lengths and principal point are used, skew is not.
        width, height: image size, pixels. Pixel centres are at +0.5. Here and below a number may be
            Python's, numpy's or a tensor's; 64.0 is a whole number, 64.5 is refused.
        near_plane, far_plane: depths outside are not drawn, world units.
        radius_clip: Gaussians whose radii are both at most this are not drawn, pixels.
        eps2d: added to the diagonal of the projected covariance, px^2, >= 0.
        sh_degree: 0..3, or None for plain colours.
        packed: must be False.
        tile_size: of the lists in ``meta``, pixels; it never changes the pictures.
        backgrounds: colour behind everything, [C, D]; None is black. Behind a depth there is 0: with the
            modes "D" and "ED" it is ignored, as in gsplat.
        render_mode: "RGB", "D" (sum of weight * depth), "ED" (that divided by alpha), "RGB+D", "RGB+ED".
        sparse_grad: must be False.
        absgrad: after backward, meta["means2d"].absgrad is the sum over pixels of |d loss / d means2d|.
        rasterize_mode: "antialiased" multiplies opacities by sqrt(det before / det after eps2d).
        capacity: on CUDA, room for so many (tile, Gaussian) pairs, without a wait for the device. If more
            are needed (meta["pairs_needed"], int32, on the device), the picture lacks Gaussians. 0 counts
            them first, which waits once. Other backends ignore it.
        backend: "auto", "cpu" (C++), "cuda", "cuda-simt" (the CUDA kernels emulated, for tests) or
            "reference" (plain torch, slow). The CUDA kernels compute in float32; their backward
            pass adds in an order that changes from run to run unless
            torch.use_deterministic_algorithms(True) is set.
        options: further options of gsplat; refused unless they have no effect.

    Returns:
        renders [C, H, W, X] with X = D, 1 or D + 1; alphas [C, H, W, 1]; meta, a dictionary:

        - means2d [C, N, 2] px (in the graph: retain_grad() gives the screen-space gradient), radii [C, N, 2]
          int32 px (0: not visible, then every gradient is zero), depths [C, N], conics [C, N, 3] 1/px^2,
          opacities [C, N];
        - width, height, n_cameras, n_batches (1), tile_size, tile_width, tile_height;
        - batch_ids, camera_ids, gaussian_ids: None, as nothing is packed;
        - tiles_per_gauss, isect_ids, flatten_ids, isect_offsets: gsplat's tile lists, computed at the first
          access by :func:`sctd.ops._raster_meta.tile_intersections`, which describes them;
        - n_pairs: how often a Gaussian touches a tile when it is drawn, or the capacity (None for the
          reference).

        Gradients of gradients exist with the backend "reference" alone; elsewhere asking for one raises
        Unsupported. Colours and backgrounds must be finite: a non-finite one also affects pixels around
        the Gaussian.

    Raises:
        InputError: a shape, dtype, device or option does not fit; the message names it.
        Unsupported: an option of gsplat that sctd lacks; also a NotImplementedError.
        BackendUnavailable: the backend cannot run here.
        TooLarge: Gaussians, (tile, Gaussian) pairs or sums of the gradient exceed 32-bit numbers.

    Plain twin: :mod:`sctd.ops.reference_raster`.
    Source: Kerbl et al. 2023, "3D Gaussian Splatting"; docs/algorithm.md, section 7.
    """
    check_options({"sparse_grad": sparse_grad, **options})
    check_modes(packed, render_mode, rasterize_mode)
    view = checked_view(width, height, near_plane, far_plane, radius_clip, eps2d)
    sh_degree = checked_degree(sh_degree)
    tile_size, capacity = at_least(1, "tile_size", tile_size), at_least(0, "capacity", capacity, " pairs")
    with_color, with_depth = render_mode.startswith("RGB"), render_mode.endswith("D")
    if not with_color:
        backgrounds = None  # the background of a depth is 0, as in gsplat
    geometry = {"means": means, "quats": quats, "scales": scales, "opacities": opacities}
    check_tensors(sh_degree, colors, backgrounds, **geometry, viewmats=viewmats, Ks=Ks)
    chosen = choose(backend, means, ("cpu", "cuda", "cuda-simt", "cuda-ptx"))
    absgrad, drawn = bool(absgrad), colors.shape[-1] if with_color else 0
    if absgrad and chosen.startswith("cuda") and drawn + with_depth > MAX_ABSGRAD_CHANNELS:
        raise Unsupported(
            f"absgrad on CUDA takes at most {MAX_ABSGRAD_CHANNELS} channels with the depth; render twice"
        )
    sh = colors if sh_degree is not None and with_color else None
    antialiased = rasterize_mode == "antialiased"
    inputs = (
        means,
        quats,
        scales,
        opacities,
        sh,
        viewmats,
        Ks.detach(),
        *view,
        sh_degree or 0,
        antialiased,
    )
    plain = None if sh is not None else colors
    if chosen == "reference":
        renders, alphas, meta = _reference(inputs, plain, backgrounds, with_color, with_depth, absgrad)
    else:
        settings = (with_depth, absgrad, torch.are_deterministic_algorithms_enabled(), chosen)
        renders, alphas, meta = _native(inputs, plain, backgrounds, with_color, settings, capacity)

    if render_mode.endswith("ED"):
        expected = renders[..., -1:] / alphas.clamp_min(1e-10)
        renders = torch.cat([renders[..., :-1], expected], -1) if with_color else expected
    return renders, alphas, Meta(meta, view[:2], tile_size)


def _native(
    inputs: tuple[Any, ...],
    colors: Tensor | None,
    backgrounds: Tensor | None,
    with_color: bool,
    settings: tuple[bool, bool, bool, str],
    capacity: int,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """A native core: three ops. ``settings``: with_depth, absgrad, deterministic, backend."""
    from sctd.ops import _raster_eager as eager
    from sctd.ops import _raster_ops as ops
    from sctd.ops._raster_cores import core_type

    backend = settings[-1]
    direct = eager.is_eager(*inputs[:7], colors, backgrounds)
    run: Any = eager if direct else ops
    means2d, depths, conics, opacities, sh_colors, radii = run.project(*inputs, backend)
    width, height = inputs[7:9]
    if not with_color:
        colors = means2d.new_empty(means2d.shape[1], 0)
    elif colors is None:
        colors = sh_colors
    footprints = (t.detach() for t in (means2d, conics, opacities, depths))
    lists = run.tile_lists(*footprints, radii, width, height, capacity, backend)
    drawn = (means2d, conics, colors, opacities, depths, backgrounds, lists)
    renders, alphas = run.blend(*drawn, width, height, *settings)[:2]
    meta = {"means2d": means2d, "depths": depths, "conics": conics, "opacities": opacities, "radii": radii}
    needed = core_type(backend).needed(lists)
    if needed is not None:
        meta["pairs_needed"] = needed
    return renders, alphas, {**meta, "n_pairs": core_type(backend).room(lists)}


def _reference(
    inputs: tuple[Any, ...],
    colors: Tensor | None,
    backgrounds: Tensor | None,
    with_color: bool,
    with_depth: bool,
    absgrad: bool,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """The definition, in plain torch."""
    if absgrad:
        raise Unsupported('absgrad=True needs a native backend; use backend="auto" on the CPU')
    p = reference_raster.project(*inputs)
    channels = []
    if with_color:
        own = p.colors if colors is None else colors
        assert own is not None  # with colours, either the caller's or those of the harmonics exist
        channels.append(own if own.dim() == 3 else own.expand(p.depths.shape[0], *own.shape))
    if with_depth:
        channels.append(p.depths[..., None])
    if backgrounds is not None and with_depth:
        backgrounds = torch.cat([backgrounds, torch.zeros_like(backgrounds[:, :1])], 1)
    drawn = torch.cat(channels, -1)
    renders, alphas = reference_raster.blend(
        p.means2d, p.conics, drawn, p.opacities, p.depths, p.radii, backgrounds, *inputs[7:9]
    )
    meta = {"means2d": p.means2d, "depths": p.depths, "conics": p.conics, "opacities": p.opacities}
    return renders, alphas, {**meta, "radii": p.radii, "n_pairs": None}
