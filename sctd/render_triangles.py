"""Step 4 of 9, for meshes: triangles and cameras in, pictures out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sctd.cameras import CameraBatch
from sctd.formats.meshes.surface import Triangles, mixed
from sctd.formats.srgb import linear_to_srgb
from sctd.ops.triangles import Topology, clip_space, rasterize, topology

SUPERSAMPLE = 2
"""Samples of a pixel along each side."""


@dataclass(frozen=True)
class Picture:
    """Pictures of C cameras of H x W pixels, float32 on the CPU."""

    rgb: Tensor
    """Colours over the background, sRGB values, [C, 3, H, W], 0..1."""
    alpha: Tensor
    """Coverage, [C, 1, H, W]: 0, 1/4 .. 1."""
    depth: Tensor
    """z in the camera's frame, the mean of what is covered, [C, 1, H, W], world units; 0: nothing is."""
    normals: Tensor
    """Unit vectors in the world's axes, on the camera's side, [C, 3, H, W]; 0: nothing is covered."""


@torch.no_grad()
def render_triangles(triangles: Triangles, cameras: CameraBatch, background: Tensor) -> Picture:
    """Render a mesh in its own colours, without light: both sides of every triangle, all of them opaque.

    Triangles without an area are not seen; what is nearer than the cameras' near plane, or behind them, is
    cut off. The mean of a pixel's samples is that of their sRGB values, as browsers take it.

    Args:
        background: colour behind everything, [C, 3], 0..1.
    """
    scene = _Scene(triangles)
    means = torch.stack([scene.view(cameras, i) for i in range(len(cameras))]).permute(0, 3, 1, 2)
    colors, alpha, depth, normals = means.split((3, 1, 1, 3), dim=1)
    behind = background.detach().cpu().float()[:, :, None, None]
    return Picture(
        colors + (1 - alpha) * behind,
        alpha,
        depth / alpha.clamp_min(1e-6),
        torch.nn.functional.normalize(normals, dim=1),
    )


class _Scene:
    """All surfaces as one mesh."""

    def __init__(self, triangles: Triangles) -> None:
        self._surfaces = triangles.surfaces
        self._vertices = torch.cat([surface.vertices for surface in self._surfaces])
        counts = torch.tensor([0, *(len(surface.vertices) for surface in self._surfaces)]).cumsum(0).tolist()
        faces = [surface.faces + first for surface, first in zip(self._surfaces, counts, strict=False)]
        self._mesh: Topology = topology(torch.cat(faces), len(self._vertices))
        self._ends = torch.tensor([len(surface.faces) for surface in self._surfaces]).cumsum(0)
        corners = self._vertices[self._mesh.faces.long()]
        self._first = corners[:, 0]
        normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self._normals = torch.nn.functional.normalize(normals, dim=1, eps=1e-300)

    def view(self, cameras: CameraBatch, i: int) -> Tensor:
        """Colours, coverage, depth, normals of a camera, [H, W, 8]: means of samples, 0 where nothing is."""
        fine = cameras[i : i + 1].finer(SUPERSAMPLE)
        width, height = fine.width, fine.height
        viewmats, Ks = (t.detach().cpu().double() for t in (fine.viewmats, fine.Ks))
        clip = clip_space(self._vertices, viewmats, Ks, width, height, fine.near_plane, fine.far_plane)
        found = rasterize(clip, self._mesh, height, width)
        where = torch.nonzero(found.covered.flatten()).flatten()
        face, weights = found.triangles.flatten()[where].long(), found.barycentrics.reshape(-1, 3)[where]
        corners = self._mesh.faces[face].long()
        eye = -viewmats[0, :3, :3].T @ viewmats[0, :3, 3]
        sides = torch.where(((eye - self._first) * self._normals).sum(1, keepdim=True) < 0, -1.0, 1.0)
        seen = (
            linear_to_srgb(self._colors(face, weights)),
            torch.ones(len(face), 1),
            mixed(clip[0, :, 3:], corners, weights),
            (sides * self._normals)[face],
        )
        samples = torch.zeros(height * width, 8)
        samples[where] = torch.cat([values.float() for values in seen], dim=1)
        apart = samples.reshape(cameras.height, SUPERSAMPLE, cameras.width, SUPERSAMPLE, 8)
        return apart.mean(dim=(1, 3))

    def _colors(self, face: Tensor, weights: Tensor) -> Tensor:
        """Linear colours [n, 3] in faces [n] of all at barycentric weights [n, 3]."""
        colors = torch.empty(len(face), 3, dtype=torch.float64)
        owner = torch.searchsorted(self._ends, face, right=True)
        counts = owner.bincount(minlength=len(self._surfaces)).tolist()
        samples = owner.argsort().split(counts)
        for surface, end, here in zip(self._surfaces, self._ends.tolist(), samples, strict=True):
            if len(here):
                faces = surface.faces[face[here] - (end - len(surface.faces))]
                colors[here] = surface.colors_at(faces, weights[here])
        return colors
