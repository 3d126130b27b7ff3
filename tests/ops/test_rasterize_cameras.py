"""Cameras that are no rigid motion: world-to-camera matrices that also scale and shear."""

from __future__ import annotations

import torch
from raster_scenes import Scene, device_of, make_scene, on_every_backend
from torch import Tensor

from sctd.ops import rasterization
from sctd.ops.reference_raster import sh_basis

_SHEAR = torch.tensor([[1.3, 0.2, 0.0], [-0.1, 0.8, 0.3], [0.0, 0.1, 1.1]], dtype=torch.float64)


def sheared(bases: int | None = None) -> Scene:
    """Two cameras after a linear map of the world; float32 numbers."""
    scene = make_scene(40, 30, 26, 2, seed=12, size=0.15, bases=bases)
    viewmats = scene.viewmats.clone()
    viewmats[:, :3, :3] @= _SHEAR
    return scene._replace(viewmats=viewmats.float().double())


def gradients(scene: Scene, renders: Tensor) -> list[Tensor]:
    weight = torch.linspace(-1, 1, renders.numel(), device=renders.device).reshape(renders.shape)
    (renders * weight).sum().backward()
    return [t.grad for t in scene[:6] if t.grad is not None]


@on_every_backend
def test_harmonics_are_seen_from_where_the_inverse_says(backend: str) -> None:
    """As gsplat: the camera is at viewmats^-1 [0, 0, 0, 1]; -R^T t is that for a rotation alone."""
    got, want = sheared(16).to(torch.float32, backend), sheared(16).to(torch.float64)
    renders, _, _ = rasterization(*got, sh_degree=3, backend=backend)
    rotations, translations = want.viewmats[:, :3, :3], want.viewmats[:, :3, 3:]
    centers = -(torch.linalg.inv(rotations) @ translations)[..., 0]
    rays = torch.nn.functional.normalize(want.means - centers[:, None], dim=-1)
    colors = ((sh_basis(rays, 3)[..., None] * want.colors).sum(2) + 0.5).clamp_min(0)
    expected, _, _ = rasterization(*want._replace(colors=colors))
    torch.testing.assert_close(renders.detach().cpu().double(), expected.detach(), rtol=0, atol=2e-5)
    for a, b in zip(gradients(got, renders), gradients(want, expected), strict=True):
        torch.testing.assert_close(a.cpu().double(), b, rtol=0, atol=2e-5 * b.abs().max().item())
    assert got.viewmats.grad is not None
    assert got.viewmats.device.type == device_of(backend)


def test_the_twin_sees_them_from_there_too() -> None:
    got, want = sheared(9).to(torch.float64), sheared(9).to(torch.float64)
    pictures = [
        rasterization(*s, sh_degree=2, backend=name)[0] for s, name in ((got, "cpu"), (want, "reference"))
    ]
    torch.testing.assert_close(*pictures, rtol=0, atol=1e-11)
    for a, b in zip(gradients(got, pictures[0]), gradients(want, pictures[1]), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10 * b.abs().max().item())


@on_every_backend
def test_footprints_are_those_of_the_mapped_world(backend: str) -> None:
    """A camera after a map of the world by a factor 2 along every axis: Gaussians twice as far and wide."""
    scene = make_scene(40, 30, 26, 2, seed=13, size=0.1)
    viewmats = scene.viewmats.clone()
    viewmats[:, :3, :3] *= 2
    got, _, _ = rasterization(*scene._replace(viewmats=viewmats).to(torch.float32, backend), backend=backend)
    moved = scene._replace(means=2 * scene.means, scales=2 * scene.scales)
    want, _, _ = rasterization(*moved.to(torch.float32, backend), backend=backend)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)
