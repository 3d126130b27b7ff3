"""Compares a native backend on this machine with its definition; for `sctd doctor --verify`."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sctd.ops import triangles
from sctd.ops.rasterize import rasterization

IMAGE_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-4
"""Against double: of the picture, absolute; of a gradient, over its largest value. Float32 is ten times
closer on the scenes below, in which no pixel stands on a threshold."""
WIDTH, HEIGHT = 41, 35


def _cameras() -> tuple[Tensor, Tensor]:
    """Two cameras that look at the origin, double: viewmats [2, 4, 4] and Ks [2, 3, 3]."""
    viewmats = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    viewmats[:, 2, 3] = 3.0
    viewmats[1, :2, :2] = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    Ks = torch.tensor([[40.0, 0, 20.5], [0, 42.0, 17.0], [0, 0, 1]], dtype=torch.float64)
    return viewmats, Ks.repeat(2, 1, 1)


def _gaussians(backend: str, dtype: torch.dtype, device: str) -> list[Tensor]:
    """60 wide, faint Gaussians, where the function is smooth: picture and gradients."""
    g = torch.Generator().manual_seed(0)
    means = 0.5 * torch.randn(60, 3, generator=g)
    quats, colors = torch.randn(60, 4, generator=g), 0.3 * torch.randn(60, 9, 3, generator=g)
    scales = 0.3 + 0.2 * torch.rand(60, 3, generator=g)
    opacities = 0.02 + 0.1 * torch.rand(60, generator=g)
    viewmats, Ks = _cameras()
    scene = (means, quats, scales, opacities, colors, viewmats)
    means, quats, scales, opacities, colors, viewmats = leaves = [
        t.to(device, dtype).requires_grad_() for t in scene
    ]
    renders, alphas, _ = rasterization(
        means,
        quats,
        scales,
        opacities,
        colors,
        viewmats,
        Ks.to(device, dtype),
        width=WIDTH,
        height=HEIGHT,
        sh_degree=2,
        backend=backend,
    )
    return _with_gradients(renders, leaves, also=alphas.sum())


def _triangles(backend: str, dtype: torch.dtype, device: str) -> list[Tensor]:
    """A coloured ball with a texture, by all four ops of triangles: picture and gradients."""
    rings, sides = 7, 11
    polar = torch.linspace(0.3, math.pi - 0.3, rings)[:, None]
    around = torch.arange(sides) * (2 * math.pi / sides)
    ball = (polar.sin() * around.cos(), polar.sin() * around.sin(), polar.cos().expand(-1, sides))
    here = torch.arange(rings * sides).reshape(rings, sides)[:-1]
    right = here.roll(-1, 1)
    squares = torch.stack((here, here + sides, right + sides, here, right + sides, right), dim=-1)
    faces = squares.reshape(-1, 3).int().to(device)
    g = torch.Generator().manual_seed(0)
    colors, uv = torch.rand(rings * sides, 3, generator=g), torch.rand(rings * sides, 2, generator=g)
    scene = (torch.stack(ball, dim=-1).reshape(-1, 3), colors, uv, torch.rand(6, 5, 3, generator=g))
    points, colors, uv, texels = leaves = [t.to(device, dtype).requires_grad_() for t in scene]
    viewmats, Ks = (t.to(device, dtype) for t in _cameras())
    vertices = triangles.clip_space(points, viewmats, Ks, WIDTH, HEIGHT)
    found = triangles.rasterize(vertices, faces, HEIGHT, WIDTH, backend=backend)
    at = triangles.interpolate(uv, vertices, faces, found, backend=backend)
    picture = triangles.interpolate(colors, vertices, faces, found, backend=backend)
    picture = picture * triangles.texture(texels, at, backend=backend)
    picture = torch.where(found.covered[..., None], picture, 0.3)
    picture = triangles.edge_gradient(picture, vertices, faces, found, backend=backend)
    return _with_gradients(picture, leaves)


def _with_gradients(picture: Tensor, leaves: list[Tensor], also: Tensor | float = 0.0) -> list[Tensor]:
    """The picture and the leaves' gradients of a weighted sum of it, on the CPU."""
    weight = torch.linspace(-1, 1, picture.numel(), dtype=picture.dtype, device=picture.device)
    ((picture * weight.reshape(picture.shape)).sum() + also).backward()
    return [picture.detach().cpu(), *(t.grad.cpu() for t in leaves if t.grad is not None)]


SCENES: dict[str, Callable[[str, torch.dtype, str], list[Tensor]]] = {
    "Gaussians": _gaussians,
    "triangles": _triangles,
}


def verify_backend(backend: str, scene: str = "Gaussians") -> tuple[bool, str]:
    """Render with a backend, forward and backward, and compare with the definition in double.

    Args:
        backend: "cpu", "cuda" or "cuda-simt".
        scene: a key of :data:`SCENES`.

    Returns:
        Whether it agrees, and the errors.

    Raises:
        BackendUnavailable: it cannot run here.
    """
    got = SCENES[scene](backend, torch.float32, "cuda" if backend == "cuda" else "cpu")
    want = SCENES[scene]("reference", torch.float64, "cpu")
    image = float((got[0] - want[0]).abs().max())
    gradient = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(got[1:], want[1:], strict=True))
    right = image <= IMAGE_TOLERANCE and gradient <= GRADIENT_TOLERANCE
    errors = f"picture off by {image:.1e} (allowed {IMAGE_TOLERANCE:.0e})"
    return right, f"{errors}, gradients by {gradient:.1e} (allowed {GRADIENT_TOLERANCE:.0e})"
