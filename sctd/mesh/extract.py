"""Gaussians => a textured mesh: the four steps one after the other, and a report of what they left out."""

from __future__ import annotations

from dataclasses import dataclass

from sctd.config.mesh import MeshSettings
from sctd.gaussians import Gaussians
from sctd.mesh.surface import REACH, distances, surface_of
from sctd.mesh.texture import baked
from sctd.mesh.triangles import Dropped, decimated, largest_piece, open_edges, smoothed, vertex_normals
from sctd.mesh.unwrap import unwrapped
from sctd.mesh.views import box_of, cameras_round, look
from sctd.triangle_mesh import Mesh


@dataclass(frozen=True)
class Extracted:
    """A mesh, and what extraction dropped or guessed."""

    mesh: Mesh
    dropped: Dropped
    outside: int
    """Gaussians that were dropped as too far from the object."""
    open_edges: int
    """Edges that lack a face on one side; 0: the mesh is watertight."""
    unseen: float
    """Share of the surface that no view sees, whose colour is guessed, 0..1."""

    def told(self) -> str:
        """The report, one line."""
        mesh, height = self.mesh, self.mesh.texture.shape[0]
        parts = [f"{len(mesh.faces)} triangles, a texture of {height} x {height}"]
        parts.append(
            "watertight" if self.open_edges == 0 else f"not watertight: {self.open_edges} open edges"
        )
        if self.dropped.pieces:
            pieces = (
                "1 smaller piece" if self.dropped.pieces == 1 else f"{self.dropped.pieces} smaller pieces"
            )
            parts.append(f"dropped {pieces}, {self.dropped.area:.1%} of the area")
        if self.outside:
            parts.append(f"dropped {self.outside} Gaussians far outside")
        if self.unseen >= 0.001:
            parts.append(f"{self.unseen:.1%} of the surface is hidden from outside, its colour is guessed")
        if mesh.gloss is None:
            parts.append("colours are the same from every side")
        else:
            parts.append("it has roughness and metal, for programs with a light")
            parts.append("pictures of sctd show its base colour")
        return "; ".join(parts)


def extract(gaussians: Gaussians, wish: MeshSettings | None = None) -> Extracted:
    """A mesh of the object that Gaussians show, on any device.

    Raises:
        InputError: there are no Gaussians, a value is not finite, or the object is nowhere opaque enough.
    """
    wish = wish or MeshSettings()
    box, inside = box_of(gaussians)
    views = look(inside, cameras_round(box, wish.views, wish.view_size))
    field = distances(views, box, wish.resolution)
    vertices, faces, dropped = largest_piece(*surface_of(field))
    vertices, faces = decimated(smoothed(vertices, faces), faces, wish.faces)
    normals = vertex_normals(vertices, faces)
    layout = unwrapped(vertices, faces, wish.texture)
    picture, unseen = baked(vertices, normals, layout, views, wish.texture, REACH * field.step)
    mesh = layout.mesh(vertices, normals, picture)
    return Extracted(mesh, dropped, len(gaussians) - len(inside), open_edges(faces), unseen)
