"""A surface with its colours, and how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sctd.cameras import CameraBatch
from sctd.config.surface import SurfaceSettings
from sctd.machine import transfer
from sctd.mesh.trained.colors import ColorGrid
from sctd.mesh.trained.paints import PAINTS, Paint
from sctd.mesh.trained.surfaces import SURFACES, Shape, Surface
from sctd.ops import triangles, views


@dataclass(frozen=True, eq=False)
class ColoredMesh:
    """What a stage with a mesh makes, and the next one goes on with."""

    settings: SurfaceSettings
    tensors: Mapping[str, Tensor]
    """What :data:`sctd.mesh.trained.surfaces.SURFACES` makes the surface of."""
    colors: ColorGrid

    def to(self, device: torch.device | str) -> ColoredMesh:
        """The same on a device."""
        tensors = {name: t.to(device) for name, t in self.tensors.items()}
        return ColoredMesh(self.settings, tensors, self.colors.to(device))

    def surface(self) -> Surface:
        """A copy of its surface, to optimise."""
        return SURFACES[self.settings.kind](self.tensors, self.settings)


class Seen(NamedTuple):
    """Pictures of C cameras, differentiable in the shape and the colours."""

    rgb: Tensor
    """Over the background, [C, 3, H, W], 0..1."""
    disparity: Tensor | None
    """See :func:`sctd.ops.views`: [C, 1, H, W], 0..1; None unless it was wanted."""
    coverage: Tensor | None
    """Share of each pixel that a triangle covers, [C, 1, H, W], 0..1; None where the disparity is."""


def painted(
    shape: Shape,
    paint: Paint,
    cameras: CameraBatch,
    background: Tensor,
    *,
    supersample: int = 2,
    disparity: bool = False,
    backend: str = "auto",
) -> Seen:
    """Draw a shape; both sides of every triangle are seen.

    Args:
        paint: its colours; an entry of :data:`sctd.mesh.trained.paints.PAINTS` makes it.
        background: colour behind it, [C, 3], 0..1.
        supersample: samples of a pixel along each side.
        disparity: whether disparity and coverage are wanted.
        backend: see :func:`sctd.ops.triangles.rasterize`.
    """
    device = shape.vertices.device
    fine = cameras.to(device).finer(supersample)
    height, width = fine.height, fine.width
    clip = triangles.clip_space(
        shape.vertices, fine.viewmats, fine.Ks, width, height, fine.near_plane, fine.far_plane
    )
    faces = triangles.topology(shape.faces, len(shape.vertices))
    found = triangles.rasterize(clip, faces, height, width, backend=backend)
    carried = triangles.interpolate(paint.carried, clip, faces, found, backend=backend)
    image = transfer.to_device(background, device)[:, None, None].repeat(1, height, width, 1)
    image[found.covered] = paint.color(carried[found.covered])
    if disparity:
        depth = triangles.interpolate(clip[..., 3:], clip, faces, found, backend=backend)
        image = torch.cat((image, depth, found.covered[..., None].to(image)), dim=3)
    image = triangles.edge_gradient(image, clip, faces, found, backend=backend)
    image = F.avg_pool2d(image.permute(0, 3, 1, 2), supersample).permute(0, 2, 3, 1)
    if not disparity:
        return Seen(image.permute(0, 3, 1, 2), None, None)
    coverage = image[..., 4:].contiguous()
    rgb, inverse, _ = views(image[..., :4].contiguous(), coverage)
    return Seen(rgb, inverse, coverage.permute(0, 3, 1, 2))


def at_vertices(shape: Shape, colors: ColorGrid) -> dict[str, Tensor]:
    """A shape with its colours at the vertices, of a material the base colour.

    Returns:
        "vertices" [V, 3], world units, "faces" [F, 3] int64, "colors" [V, 3], sRGB, 0..1.
    """
    return {"vertices": shape.vertices, "faces": shape.faces, "colors": colors.at(shape.vertices)[:, :3]}


@torch.no_grad()
def mesh_images(
    mesh: ColoredMesh, cameras: CameraBatch, background: Sequence[float] = (1.0, 1.0, 1.0)
) -> Tensor:
    """Pictures for people, uint8 on the CPU, [C, H, W, 3]; as :func:`sctd.render.render_images`."""
    shape, behind = mesh.surface().shape(), torch.tensor([background])
    paint = PAINTS["material" if mesh.colors.is_material else "colors"]
    frames = [
        painted(shape, paint(shape, mesh.colors, camera), camera, behind).rgb
        for camera in (cameras[i : i + 1] for i in range(len(cameras)))
    ]
    rgb = torch.cat(frames).clamp(0, 1).permute(0, 2, 3, 1)
    return (255 * rgb).round().to(torch.uint8).cpu().contiguous()
