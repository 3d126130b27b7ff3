"""The rasterizers to compare, one function each: a scene in, images out, with gradient."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from itertools import pairwise
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

import sctd
from sctd.bench.pairs import pixel_grid, tile_lists
from sctd.errors import InputError
from sctd.ops.reference_raster import ALPHA_MIN, TRANSMITTANCE_MIN

Scene = dict[str, Any]
"""Arguments of sctd.rasterization."""
Render = Callable[[Scene], Tensor]
"""Scene => images [C, H, W, 3]."""

GSPLAT = "1.5.3"


@dataclass(frozen=True)
class Tolerance:
    """The largest errors against the float64 CPU backend with which a rasterizer is still timed."""

    image: float
    """Largest absolute difference of a channel, 0..1."""
    gradient: float
    """Largest |g - g64| / |g64| of a kind of parameter, 2-norms."""
    reason: str


OURS = Tolerance(1e-5, 1e-4, "float32 rounding")
# Its cut at 3.33 sigma is no deviation: alpha is below 1/255 there (sqrt(2 ln 255) = 3.329).
THEIRS = Tolerance(1e-4, 1e-3, "float32 rounding; the determinant of its covariances cancels")


@dataclass(frozen=True)
class Rasterizer:
    """One column of the comparison."""

    name: str
    version: str
    render: Render
    tolerance: Tolerance
    cameras_together: bool = True
    """Whether one call renders all cameras; otherwise they are called one by one."""
    most_products: int | None = None
    """Largest (Gaussians x pixels) of one camera that memory and patience allow; None: no limit."""


def ours(backend: str = "cpu") -> Rasterizer:
    """sctd itself on one of its backends."""
    if backend == "reference":
        return reference()
    return Rasterizer("sctd", sctd.__version__, lambda scene: _ours(scene, backend), OURS)


def _ours(scene: Scene, backend: str) -> Tensor:
    from sctd import ops

    return ops.rasterization(**scene, backend=backend)[0]


def reference() -> Rasterizer:
    """The plain-torch twin, which visits every pixel with every Gaussian."""
    return Rasterizer(
        "reference",
        sctd.__version__,
        lambda scene: _ours(scene, "reference"),
        OURS,
        cameras_together=False,
        most_products=100_000_000,  # about 6 GB with the gradient
    )


def peer(name: str) -> Rasterizer:
    """A rasterizer to compare with, by name.

    Raises:
        InputError: no such peer, or it is not installed; the message says what to install.
    """
    if name not in PEERS:
        raise InputError(f"--against knows {', '.join(PEERS)}; got {name!r}")
    return PEERS[name]()


def _gsplat() -> Rasterizer:
    wanted = f"gsplat=={GSPLAT}"
    if importlib.util.find_spec("gsplat") is None:
        raise InputError(f"the peer gsplat is not installed; run `pip install {wanted}`")
    version = metadata.version("gsplat")
    if version != GSPLAT:
        raise InputError(
            f"the peer gsplat is compared in version {GSPLAT}, {version} is installed; "
            f"run `pip install {wanted}`"
        )
    return Rasterizer("gsplat", version, gsplat_torch, THEIRS, cameras_together=False)


PEERS: dict[str, Callable[[], Rasterizer]] = {"gsplat": _gsplat, "reference": reference}


def gsplat_torch(scene: Scene) -> Tensor:
    """gsplat's own plain-torch projection and blending on one camera, fed with vectorised lists.

    gsplat leaves three things to CUDA code that its torch functions call: the tile lists (its own torch
    version of them is a Python loop), the (Gaussian, pixel) pairs, and nerfacc's sums along rays. This
    module computes them with torch, so that gsplat's own part runs on a CPU.
    """
    from gsplat.cuda import _torch_impl as theirs

    width, height = scene["width"], scene["height"]
    covariances, _ = theirs._quat_scale_to_covar_preci(scene["quats"], scene["scales"], True, False)
    radii, means2d, depths, conics, _ = theirs._fully_fused_projection(
        scene["means"], covariances, scene["viewmats"], scene["Ks"], width, height
    )
    lists = tile_lists(means2d[0].detach(), radii[0], depths[0].detach(), width, height)
    tiles = (1, -(-height // 16), -(-width // 16))
    with _stand_ins():
        images: Tensor = theirs._rasterize_to_pixels(
            means2d,
            conics,
            scene["colors"][None],
            scene["opacities"][None],
            width,
            height,
            16,
            lists.starts[:-1].reshape(tiles).int(),
            lists.gaussians,
            backgrounds=scene["backgrounds"],
            batch_per_iter=1
            << 30,  # all Gaussians of a tile at once, since no state must be saved in between
        )[0]
    return images


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Replace the CUDA code that gsplat's torch functions import, while they run."""
    from gsplat.cuda import _wrapper

    rays = ModuleType("nerfacc")
    rays.render_weight_from_alpha = _ray_weights  # type: ignore[attr-defined]
    rays.accumulate_along_rays = _ray_sums  # type: ignore[attr-defined]
    before = (_wrapper.rasterize_to_indices_in_range, sys.modules.get("nerfacc"))
    _wrapper.rasterize_to_indices_in_range = _indices
    sys.modules["nerfacc"] = rays
    try:
        yield
    finally:
        _wrapper.rasterize_to_indices_in_range = before[0]
        if before[1] is None:
            del sys.modules["nerfacc"]
        else:
            sys.modules["nerfacc"] = before[1]


@torch.no_grad()
def _indices(
    first: int,
    last: int,
    transmittances: Tensor,
    means2d: Tensor,
    conics: Tensor,
    opacities: Tensor,
    width: int,
    height: int,
    tile: int,
    offsets: Tensor,
    gaussians: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Contributing pairs, pixel after pixel, nearest first => ids of Gaussian, pixel and image, [M] each."""
    starts = [*offsets.flatten().tolist(), len(gaussians)]
    found_gaussians, found_pixels = [gaussians[:0]], [gaussians[:0]]
    for index, (begin, end) in enumerate(pairwise(starts)):
        if begin == end:
            continue
        xs, ys = pixel_grid(index, width, height, tile)
        own = gaussians[begin:end]
        dx = (xs + 0.5)[:, None] - means2d[0, own, 0]
        dy = (ys + 0.5)[:, None] - means2d[0, own, 1]
        a, b, c = conics[0, own].unbind(1)
        exponent = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = (opacities[0, own] * torch.exp(-exponent)).clamp_max(0.999)
        counts = alpha >= ALPHA_MIN
        left = torch.where(counts, 1 - alpha, 1.0).cumprod(1)
        pixel, number = (counts & (left > TRANSMITTANCE_MIN)).nonzero(as_tuple=True)
        found_gaussians.append(own[number])
        found_pixels.append((ys * width + xs)[pixel])
    ids = torch.cat(found_gaussians)
    return ids, torch.cat(found_pixels), torch.zeros_like(ids)


def _ray_weights(alphas: Tensor, ray_indices: Tensor, n_rays: int) -> tuple[Tensor, Tensor]:
    """alpha_i prod_{j < i} (1 - alpha_j) along rays => (weights, products); a ray's entries are adjacent."""
    logs = torch.log1p(-alphas.double())
    before = logs.cumsum(0) - logs
    number = torch.arange(len(ray_indices))
    begins = torch.ones_like(ray_indices, dtype=torch.bool)
    begins[1:] = ray_indices[1:] != ray_indices[:-1]
    start = torch.where(begins, number, 0).cummax(0).values
    left = torch.exp(before - before[start]).to(alphas.dtype)
    return alphas * left, left


def _ray_sums(weights: Tensor, values: Tensor | None, ray_indices: Tensor, n_rays: int) -> Tensor:
    """Weighted sums of each ray's values, [n_rays, channels]; of the weights alone without values."""
    terms = weights[:, None] if values is None else weights[:, None] * values
    return terms.new_zeros(n_rays, terms.shape[1]).index_add(0, ray_indices, terms)
