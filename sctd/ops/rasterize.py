"""The differentiable rasterizer: Gaussians and cameras in, images out, with gsplat's signature."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sctd.errors import InputError, Unsupported
from sctd.ops import reference_raster
from sctd.ops._backend import choose
from sctd.ops._checks import check_same, check_shape

RENDER_MODES = ("RGB", "D", "ED", "RGB+D", "RGB+ED")
RASTERIZE_MODES = ("classic", "antialiased")
MAX_SIZE = 1 << 15
"""Largest image edge in pixels; pixel coordinates must stay exact in float32."""
MAX_ABSGRAD_CHANNELS = 4
"""Of the CUDA kernels: more channels take several passes, and absolute values do not add over them."""

# Options of gsplat that change nothing when they have this value; any other value is refused.
_NEUTRAL = {
    "sparse_grad": False,
    "distributed": False,
    "camera_model": "pinhole",
    "segmented": False,
    "covars": None,
    "with_ut": False,
    "with_eval3d": False,
    "radial_coeffs": None,
    "tangential_coeffs": None,
    "thin_prism_coeffs": None,
    "ftheta_coeffs": None,
    "rolling_shutter": None,
    "viewmats_rs": None,
}


def _check_options(options: dict[str, Any]) -> None:
    """Refuse what gsplat has and this does not."""
    options.pop("channel_chunk", None)  # any number of channels goes through in one pass
    for name, value in options.items():
        if name not in _NEUTRAL:
            raise Unsupported(f"rasterization has no option {name!r}")
        neutral = _NEUTRAL[name]
        if name == "rolling_shutter" and getattr(value, "name", None) == "GLOBAL":
            continue  # gsplat's own word for none
        if value is not neutral and value != neutral:
            raise Unsupported(f"{name}={value!r} is not supported; leave it out or pass {neutral!r}")


def _check_settings(
    width: int,
    height: int,
    tile_size: int,
    packed: bool,
    render_mode: str,
    rasterize_mode: str,
    sh_degree: int | None,
) -> None:
    for name, value in (("width", width), ("height", height)):
        if not 1 <= value <= MAX_SIZE:
            raise InputError(f"{name} must be in 1..{MAX_SIZE} pixels; got {value}")
    if tile_size < 1:
        raise InputError(f"tile_size must be at least 1; got {tile_size}")
    if packed:
        raise Unsupported(
            "packed=True is not supported: intermediate results are [C, N, ...]; pass packed=False"
        )
    if render_mode not in RENDER_MODES:
        raise InputError(f"render_mode must be one of {', '.join(RENDER_MODES)}; got {render_mode!r}")
    if rasterize_mode not in RASTERIZE_MODES:
        raise InputError(
            f"rasterize_mode must be one of {', '.join(RASTERIZE_MODES)}; got {rasterize_mode!r}"
        )
    if sh_degree is not None and not 0 <= sh_degree <= 3:
        error = Unsupported if sh_degree == 4 else InputError
        raise error(f"sh_degree must be None or in 0..3; got {sh_degree}")


def _check_tensors(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    backgrounds: Tensor | None,
    sh_degree: int | None,
    with_color: bool,
) -> None:
    if means.dim() != 2 or means.shape[1] != 3:
        raise InputError(f"means must have shape [N, 3]; got {list(means.shape)}")
    if viewmats.dim() != 3 or viewmats.shape[0] < 1:
        raise InputError(f"viewmats must have shape [C, 4, 4] with C >= 1; got {list(viewmats.shape)}")
    n, c = means.shape[0], viewmats.shape[0]
    check_shape("quats", quats, (n, 4))
    check_shape("scales", scales, (n, 3))
    check_shape("opacities", opacities, (n,))
    check_shape("viewmats", viewmats, (c, 4, 4))
    check_shape("Ks", Ks, (c, 3, 3), meaning=", one per camera")
    last = colors.shape[-1] if colors.dim() else 0
    if sh_degree is None:
        check_shape("colors", colors, (n, last), (c, n, last), meaning=" (no sh_degree given)")
    else:
        bases = colors.shape[-2] if colors.dim() >= 2 else 0
        if bases < (sh_degree + 1) ** 2:
            raise InputError(
                f"colors must be [N, K, 3] with K >= {(sh_degree + 1) ** 2} for sh_degree={sh_degree}; "
                f"got {list(colors.shape)}"
            )
        check_shape("colors", colors, (n, bases, 3), (c, n, bases, 3), meaning=" (spherical harmonics)")
    if backgrounds is not None:
        if not with_color:
            raise InputError(
                'backgrounds need colours: render_mode "D" and "ED" have none; pass backgrounds=None'
            )
        check_shape(
            "backgrounds", backgrounds, (c, 3 if sh_degree is not None else last), meaning=", one per camera"
        )
    check_same(
        *("means", means),
        quats=quats,
        scales=scales,
        opacities=opacities,
        colors=colors,
        viewmats=viewmats,
        Ks=Ks,
        backgrounds=backgrounds,
    )


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
        viewmats: world to camera, [C, 4, 4], OpenCV axes (x right, y down, z forward), rigid.
        Ks: [C, 3, 3], pixels; focal lengths and principal point are used, skew is not.
        width, height: image size, pixels. Pixel centres are at +0.5.
        near_plane, far_plane: depths outside are not drawn, world units.
        radius_clip: Gaussians whose radii are both at most this are not drawn, pixels.
        eps2d: added to the diagonal of the projected covariance, px^2.
        sh_degree: 0..3, or None for plain colours.
        packed: must be False.
        tile_size: accepted for gsplat's sake; it never changes the result.
        backgrounds: colour behind everything, [C, D]; None is black.
        render_mode: "RGB", "D" (sum of weight * depth), "ED" (that divided by alpha), "RGB+D", "RGB+ED".
        sparse_grad: must be False.
        absgrad: after backward, meta["means2d"].absgrad is the sum over pixels of |d loss / d means2d|.
        rasterize_mode: "antialiased" multiplies opacities by sqrt(det before / det after eps2d).
        capacity: on CUDA, room for so many (tile, Gaussian) pairs, and no wait for the device: where more
            were needed, which meta["pairs_needed"] tells (int32, on the device), the picture lacks
            Gaussians. 0 counts them first, which waits once. Elsewhere without effect.
        backend: "auto", "cpu" (C++), "cuda", "cuda-simt" (the CUDA kernels emulated, for tests) or
            "reference" (plain torch, slow). The CUDA kernels compute in float32; their backward
            pass adds in an order that changes from run to run unless
            torch.use_deterministic_algorithms(True) is set.
        options: further options of gsplat; refused unless they change nothing.

    Returns:
        renders [C, H, W, X] with X = D, 1 or D + 1; alphas [C, H, W, 1]; meta: means2d [C, N, 2] px (in the
        graph: call retain_grad() for the screen-space gradient), radii [C, N, 2] int32 px (0: not visible,
        then every gradient is zero), depths [C, N], conics [C, N, 3] 1/px^2, opacities [C, N], width, height,
        n_cameras, tile_size, n_pairs: how often a Gaussian touches a tile, or the capacity (None for the
        reference).

    Raises:
        InputError: a shape, dtype, device or option does not fit; the message names it.
        Unsupported: an option of gsplat that this has not; also a NotImplementedError.
        BackendUnavailable: the backend cannot run here.
        TooLarge: more than 32-bit numbers count: Gaussians, (tile, Gaussian) pairs, sums of the gradient.

    Plain twin: :mod:`sctd.ops.reference_raster`.
    Source: Kerbl et al. 2023, "3D Gaussian Splatting"; docs/algorithm.md, section 7.
    """
    _check_options({"sparse_grad": sparse_grad, **options})
    _check_settings(width, height, tile_size, packed, render_mode, rasterize_mode, sh_degree)
    with_color, with_depth = render_mode.startswith("RGB"), render_mode.endswith("D")
    _check_tensors(
        *(means, quats, scales, opacities, colors, viewmats, Ks, backgrounds, sh_degree, with_color),
    )
    chosen = choose(backend, means, ("cpu", "cuda", "cuda-simt"))
    if capacity < 0:
        raise InputError(f"capacity must be at least 0 pairs; got {capacity}")
    if absgrad and chosen.startswith("cuda") and colors.shape[-1] + with_depth > MAX_ABSGRAD_CHANNELS:
        raise InputError(
            f"absgrad on CUDA takes at most {MAX_ABSGRAD_CHANNELS} channels with the depth; render twice"
        )
    sh = colors if sh_degree is not None and with_color else None
    antialiased = rasterize_mode == "antialiased"
    camera_settings = (width, height, near_plane, far_plane, radius_clip, eps2d)
    inputs = (
        means,
        quats,
        scales,
        opacities,
        sh,
        viewmats,
        Ks.detach(),
        *camera_settings,
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
    meta |= {"width": width, "height": height, "n_cameras": viewmats.shape[0], "tile_size": 16}
    return renders, alphas, meta


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
    renders, alphas = run.blend(
        *(means2d, conics, colors, opacities, depths, backgrounds, *lists, width, height, *settings)
    )[:2]
    meta = {"means2d": means2d, "depths": depths, "conics": conics, "opacities": opacities, "radii": radii}
    if backend != "cpu":
        meta["pairs_needed"] = lists[1][-1]
    return renders, alphas, {**meta, "n_pairs": lists[3].shape[0]}


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
        raise InputError('absgrad=True needs a native backend; use backend="auto" on the CPU')
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
    renders, alphas = reference_raster.blend(
        *(
            p.means2d,
            p.conics,
            torch.cat(channels, -1),
            p.opacities,
            p.depths,
            p.radii,
            backgrounds,
            *inputs[7:9],
        )
    )
    meta = {"means2d": p.means2d, "depths": p.depths, "conics": p.conics, "opacities": p.opacities}
    return renders, alphas, {**meta, "radii": p.radii, "n_pairs": None}
