"""The rasterizer's definition in plain torch: every Gaussian against every pixel, camera by camera.

Written to be read beside docs/algorithm.md, section 7, not to be fast: memory is O(N H W) a camera. Works in
float32 and double, on any device; autograd gives the gradients that the native backends must reproduce.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

ALPHA_MIN, ALPHA_MAX, TRANSMITTANCE_MIN = 1 / 255, 0.999, 1e-4  # csrc/include/common.h gives the reasons

_SH1 = 0.4886025119029199
_SH2 = (1.0925484305920792, 0.31539156525252005, 0.5462742152960396)
_SH3 = (0.5900435899266435, 2.890611442640554, 0.4570457994644658, 0.3731763325901154, 1.445305721320277)


class Projection(NamedTuple):
    """Footprints of all Gaussians on C cameras; those that are not visible are zero everywhere."""

    means2d: Tensor  # [C, N, 2] px
    depths: Tensor  # [C, N] camera z
    conics: Tensor  # [C, N, 3] 1/px^2, (A, B, C) of [[A, B], [B, C]]
    opacities: Tensor  # [C, N]
    colors: Tensor | None  # [C, N, 3] from spherical harmonics
    radii: Tensor  # [C, N, 2] int32 px


def rotation_matrices(quats: Tensor) -> Tensor:
    """Quaternions wxyz of any length, [..., 4] => rotation matrices [..., 3, 3]."""
    w, x, y, z = torch.unbind(quats / quats.norm(dim=-1, keepdim=True), -1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    matrix = torch.stack(rows, -1)
    return matrix.reshape(*matrix.shape[:-1], 3, 3)


def sh_basis(directions: Tensor, degree: int) -> Tensor:
    """Real spherical harmonics along unit directions [..., 3] => [..., (degree + 1)^2]; csrc/include/sh.h."""
    x, y, z = directions.unbind(-1)
    out = [torch.full_like(x, 0.28209479177387814)]
    if degree >= 1:
        out += [-_SH1 * y, _SH1 * z, -_SH1 * x]
    xx, yy, zz = x * x, y * y, z * z
    if degree >= 2:
        a, b, c = _SH2
        out += [a * x * y, -a * y * z, b * (2 * zz - xx - yy), -a * x * z, c * (xx - yy)]
    if degree >= 3:
        a, b, c, d, e = _SH3
        out += [-a * y * (3 * xx - yy), b * x * y * z, -c * y * (4 * zz - xx - yy)]
        out += [d * z * (2 * zz - 3 * xx - 3 * yy)]
        out += [-c * x * (4 * zz - xx - yy), e * z * (xx - yy), -a * x * (xx - 3 * yy)]
    return torch.stack(out, -1)


def _colors_from_sh(sh: Tensor, means: Tensor, viewmat: Tensor, degree: int) -> Tensor:
    """[N, K, 3] along the rays from one camera => [N, 3], at least 0."""
    axes, translation = viewmat[:3, :3], viewmat[:3, 3]
    products = torch.linalg.cross(
        axes.roll(-1, 0), axes.roll(-2, 0)
    )  # over the determinant: the inverse, transposed
    center = -(translation @ products) / (axes[0] @ products[0])
    directions = torch.nn.functional.normalize(means - center, dim=-1)
    basis = sh_basis(directions, degree)
    return ((basis[:, :, None] * sh[:, : basis.shape[1]]).sum(1) + 0.5).clamp_min(0)


class _Footprint(NamedTuple):
    mean2d: Tensor
    depth: Tensor
    conic: Tensor
    cov: tuple[Tensor, Tensor]  # the two variances, px^2
    compensation: Tensor
    det: Tensor


def _footprint(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    viewmat: Tensor,
    K: Tensor,
    size: tuple[int, int],
    eps2d: float,
) -> _Footprint:
    """EWA projection on one camera of size (width, height), pixels. Zwicker et al. 2001, eq. 26-31."""
    rotation, translation = viewmat[:3, :3], viewmat[:3, 3]
    x, y, z = (means @ rotation.T + translation).unbind(-1)
    half_axes = rotation @ rotation_matrices(quats) * scales[:, None, :]  # covariance = half_axes half_axes^T
    rows, mean2d = [], []
    for axis, ratio in enumerate((x / z, y / z)):
        focal, center, pixels = K[axis, axis], K[axis, 2], size[axis]
        margin = 0.3 * 0.5 * pixels / focal
        bounded = torch.minimum(
            torch.maximum(ratio, -(center / focal + margin)), (pixels - center) / focal + margin
        )
        rows.append((focal / z)[:, None] * (half_axes[:, axis] - bounded[:, None] * half_axes[:, 2]))
        mean2d.append(focal * ratio + center)
    u0, u1 = rows
    a, b, c = (u0 * u0).sum(-1), (u0 * u1).sum(-1), (u1 * u1).sum(-1)
    det0 = torch.linalg.cross(u0, u1).square().sum(-1)  # a c - b^2 without its cancellation
    det = det0 + eps2d * (a + c) + eps2d**2
    a, c = a + eps2d, c + eps2d
    conic = torch.stack([c / det, -b / det, a / det], -1)
    flat = det0 <= 0  # no area: compensation 0, and no gradient through its square root
    compensation = torch.where(flat, 0.0, torch.where(flat, 1.0, det0 / det).sqrt())
    return _Footprint(torch.stack(mean2d, -1), z, conic, (a, c), compensation, det)


@torch.no_grad()
def _visible_radii(
    f: _Footprint, opacity: Tensor, size: tuple[int, int], planes: tuple[float, float], radius_clip: float
) -> Tensor:
    """[N, 2] int32: half the box of alpha >= 1/255, whole pixels; 0 where the Gaussian is not visible."""
    reach = 2 * torch.log(opacity / ALPHA_MIN)
    radii = torch.stack([(reach * v).sqrt().ceil() for v in f.cov], -1)
    seen = (f.depth >= planes[0]) & (f.depth <= planes[1]) & (f.det > 0) & f.det.isfinite() & (reach > 0)
    seen &= f.conic.isfinite().all(-1) & (f.conic[:, 0] > 0) & (f.conic[:, 2] > 0)
    seen &= f.mean2d.isfinite().all(-1) & opacity.isfinite() & (radii > radius_clip).any(-1)
    for axis in (0, 1):
        mean, r = f.mean2d[:, axis], radii[:, axis]
        seen &= (mean + r > 0) & (mean - r < size[axis])
    return torch.where(seen[:, None], radii.nan_to_num(0).clamp(1, 1e9), 0).int()


def project(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    sh: Tensor | None,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    near_plane: float,
    far_plane: float,
    radius_clip: float,
    eps2d: float,
    sh_degree: int,
    antialiased: bool,
) -> Projection:
    """Project [N] Gaussians on [C] cameras; arguments as :func:`sctd.ops.rasterization`'s."""
    size, count = (width, height), means.shape[0]
    outputs: list[list[Tensor]] = []
    for c, (viewmat, K) in enumerate(zip(viewmats, Ks, strict=True)):
        with torch.no_grad():
            f = _footprint(means, quats, scales, viewmat, K, size, eps2d)
            opacity = opacities * f.compensation if antialiased else opacities
            radii = _visible_radii(f, opacity, size, (near_plane, far_plane), radius_clip)
        # The graph excludes invisible Gaussians, so that their gradient is zero and not 0 * NaN.
        at = torch.nonzero(radii[:, 0], as_tuple=True)[0]
        f = _footprint(means[at], quats[at], scales[at], viewmat, K, size, eps2d)
        opacity = opacities[at] * f.compensation if antialiased else opacities[at]
        values = [f.mean2d, f.depth, f.conic, opacity]
        if sh is not None:
            own = sh if sh.dim() == 3 else sh[c]
            values.append(_colors_from_sh(own[at], means[at], viewmat, sh_degree))
        full = [v.new_zeros(count, *v.shape[1:]).index_copy(0, at, v) for v in values]
        outputs.append([*full, radii])
    stacked = [torch.stack(column) for column in zip(*outputs, strict=True)]
    color = stacked[4] if sh is not None else None
    return Projection(stacked[0], stacked[1], stacked[2], stacked[3], color, stacked[-1])


def blend(
    means2d: Tensor,
    conics: Tensor,
    colors: Tensor,
    opacities: Tensor,
    depths: Tensor,
    radii: Tensor,
    backgrounds: Tensor | None,
    width: int,
    height: int,
) -> tuple[Tensor, Tensor]:
    """Blend footprints front to back; colors [C, N, D] => (renders [C, H, W, D], alphas [C, H, W, 1])."""
    device, dtype = means2d.device, means2d.dtype
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    pixels = torch.stack([x, y], -1).reshape(-1, 2).to(dtype) + 0.5
    renders, alphas = [], []
    for c in range(means2d.shape[0]):
        at = torch.nonzero(radii[c, :, 0], as_tuple=True)[0]
        at = at[torch.argsort(depths[c, at].detach(), stable=True)]
        d = pixels[None] - means2d[c, at, None]  # [V, H W, 2]
        k = conics[c, at, :, None]
        power = 0.5 * (k[:, 0] * d[..., 0] ** 2 + k[:, 2] * d[..., 1] ** 2) + k[:, 1] * d[..., 0] * d[..., 1]
        alpha = (opacities[c, at, None] * torch.exp(-power)).clamp_max(ALPHA_MAX)
        alpha = torch.where(alpha >= ALPHA_MIN, alpha, 0.0)
        behind = torch.cumprod(1 - alpha, 0)  # transmittance behind each Gaussian
        kept = torch.where(behind.detach() > TRANSMITTANCE_MIN, alpha, 0.0)
        through = torch.cumprod(1 - kept, 0)
        front = torch.cat([torch.ones_like(pixels[None, :, 0]), through])  # [V + 1, H W]
        image = torch.einsum("vp,vd->pd", kept * front[:-1], colors[c, at])
        if backgrounds is not None:
            image = image + front[-1][:, None] * backgrounds[c]
        renders.append(image.reshape(height, width, -1))
        alphas.append((1 - front[-1]).reshape(height, width, 1))
    return torch.stack(renders), torch.stack(alphas)
