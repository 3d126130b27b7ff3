"""What the rasterizer is given, checked by name; what gsplat has and this has not is told apart."""

from __future__ import annotations

import math
import operator
from typing import Any

from torch import Tensor

from sctd.errors import InputError, Unsupported
from sctd.ops._checks import check_same, check_shape

RENDER_MODES = ("RGB", "D", "ED", "RGB+D", "RGB+ED")
RASTERIZE_MODES = ("classic", "antialiased")
MAX_SIZE = 1 << 15
"""Largest image edge in pixels; pixel coordinates must stay exact in float32."""

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


def _shown(value: object) -> str:
    """On one line, whatever it is."""
    shape = getattr(value, "shape", None)
    if shape is None or not len(shape):
        return " ".join(repr(value).split())
    return f"{type(value).__name__} of shape {list(shape)}"


def _number(name: str, value: Any) -> float:
    """Python's numbers, numpy's, and tensors of one number."""
    try:
        number = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        number = math.nan
    if math.isnan(number):
        raise InputError(f"{name} must be a number; got {_shown(value)}")
    return number


def whole_number(name: str, value: Any) -> int:
    """Numbers without a fraction, of whatever type.

    Raises:
        InputError: it is none; the message names it.
    """
    if type(value) is int:
        return value
    try:
        return operator.index(value)
    except TypeError:
        number = _number(name, value)
    if not number.is_integer():
        raise InputError(f"{name} must be a whole number; got {_shown(value)}")
    return int(number)


def check_options(options: dict[str, Any]) -> None:
    """Refuse what gsplat has and this does not."""
    options.pop("channel_chunk", None)  # any number of channels goes through in one pass
    for name, value in options.items():
        if name not in _NEUTRAL:
            raise Unsupported(f"rasterization has no option {name!r}")
        neutral = _NEUTRAL[name]
        if name == "rolling_shutter" and getattr(value, "name", None) == "GLOBAL":
            continue  # gsplat's own word for none
        if value is neutral or (neutral is not None and bool(value == neutral)):
            continue
        raise Unsupported(f"{name}={_shown(value)} is not supported; leave it out or pass {neutral!r}")


def at_least(least: int, name: str, value: Any, unit: str = "") -> int:
    """:func:`whole_number`, and not less than ``least``."""
    number = whole_number(name, value)
    if number < least:
        raise InputError(f"{name} must be at least {least}{unit}; got {number}")
    return number


def checked_view(
    width: Any, height: Any, near_plane: Any, far_plane: Any, radius_clip: Any, eps2d: Any
) -> tuple[int, int, float, float, float, float]:
    """The same as Python's numbers."""
    size = {"width": whole_number("width", width), "height": whole_number("height", height)}
    for name, edge in size.items():
        if edge < 1:
            raise InputError(f"{name} must be in 1..{MAX_SIZE} pixels; got {edge}")
        if edge > MAX_SIZE:
            raise Unsupported(f"{name} must be in 1..{MAX_SIZE} pixels; got {edge}")
    bounds = {"near_plane": near_plane, "far_plane": far_plane, "radius_clip": radius_clip}
    near, far, clip = (_number(name, value) for name, value in bounds.items())
    blur = _number("eps2d", eps2d)
    if blur < 0:
        raise InputError(f"eps2d must be at least 0 px^2; got {blur}")
    return size["width"], size["height"], near, far, clip, blur


def check_modes(packed: bool, render_mode: str, rasterize_mode: str) -> None:
    """Refuse what is no mode, or one of gsplat's alone."""
    if packed:
        raise Unsupported(
            "packed=True is not supported: intermediate results are [C, N, ...]; pass packed=False"
        )
    if render_mode not in RENDER_MODES:
        raise InputError(f"render_mode must be one of {', '.join(RENDER_MODES)}; got {_shown(render_mode)}")
    if rasterize_mode not in RASTERIZE_MODES:
        raise InputError(
            f"rasterize_mode must be one of {', '.join(RASTERIZE_MODES)}; got {_shown(rasterize_mode)}"
        )


def checked_degree(sh_degree: Any) -> int | None:
    """The same as Python's number."""
    if sh_degree is None:
        return None
    degree = whole_number("sh_degree", sh_degree)
    if not 0 <= degree <= 3:
        error = Unsupported if degree == 4 else InputError
        raise error(f"sh_degree must be None or in 0..3; got {degree}")
    return degree


def check_tensors(
    sh_degree: int | None, colors: Tensor, backgrounds: Tensor | None, **others: Tensor
) -> None:
    """Shapes, dtypes and devices; ``others`` are the geometry and the cameras, means first."""
    for name, value in {**others, "colors": colors, "backgrounds": backgrounds}.items():
        if value is not None and not isinstance(value, Tensor):
            raise InputError(f"{name} must be a torch tensor; got {type(value).__name__}")
    means, viewmats = others["means"], others["viewmats"]
    if means.dim() > 2 and means.shape[-1] == 3:
        raise Unsupported(
            f"means must have shape [N, 3]; got {list(means.shape)}: batches of scenes are not supported, "
            "call once for each"
        )
    if means.dim() != 2 or means.shape[1] != 3:
        raise InputError(f"means must have shape [N, 3]; got {list(means.shape)}")
    if viewmats.dim() != 3 or viewmats.shape[0] < 1:
        raise InputError(f"viewmats must have shape [C, 4, 4] with C >= 1; got {list(viewmats.shape)}")
    n, c = means.shape[0], viewmats.shape[0]
    for name, shape in {"quats": (n, 4), "scales": (n, 3), "opacities": (n,), "viewmats": (c, 4, 4)}.items():
        check_shape(name, others[name], shape)
    check_shape("Ks", others["Ks"], (c, 3, 3), meaning=", one per camera")
    channels = _check_colors(colors, n, c, sh_degree)
    if backgrounds is not None:
        check_shape("backgrounds", backgrounds, (c, channels), meaning=", one per camera")
    check_same("means", means, **{**others, "colors": colors, "backgrounds": backgrounds})


def _check_colors(colors: Tensor, n: int, c: int, sh_degree: int | None) -> int:
    """=> how many channels are drawn."""
    last = colors.shape[-1] if colors.dim() else 0
    if sh_degree is None:
        check_shape("colors", colors, (n, last), (c, n, last), meaning=" (no sh_degree given)")
        return last
    bases = colors.shape[-2] if colors.dim() >= 2 else 0
    if bases < (sh_degree + 1) ** 2:
        raise InputError(
            f"colors must be [N, K, 3] with K >= {(sh_degree + 1) ** 2} for sh_degree={sh_degree}; "
            f"got {list(colors.shape)}"
        )
    check_shape("colors", colors, (n, bases, 3), (c, n, bases, 3), meaning=" (spherical harmonics)")
    return 3
