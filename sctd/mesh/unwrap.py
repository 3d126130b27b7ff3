"""Step 4 of 4, first half: the triangles laid out flat in a picture.

uvunwrap is ten times as fast and cuts half as many seams, but needs Python 3.11; Python 3.10 uses xatlas.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sctd.mesh.surface import Faces, Vertices
from sctd.triangle_mesh import Mesh

PADDING = 2
"""Texels between two charts, into which colours are spread."""


class Layout(NamedTuple):
    """Where the triangles lie in a picture."""

    source: NDArray[np.int64]
    """Which vertex each is that stands there once a side of a seam, [W]."""
    uvs: NDArray[np.float32]
    """Of those, [W, 2], 0..1, from the picture's upper left corner."""
    faces: Faces
    """The triangles in their order, rows of those, [F, 3]."""

    def mesh(
        self,
        vertices: Vertices,
        normals: Vertices,
        texture: NDArray[np.uint8],
        gloss: NDArray[np.uint8] | None = None,
    ) -> Mesh:
        """The mesh of the vertices [V, 3] and normals [V, 3] that were laid out, with its pictures."""
        places, directions = (values[self.source].astype(np.float32) for values in (vertices, normals))
        return Mesh(places, directions, self.uvs, self.faces, texture, gloss)


def unwrapped(vertices: Vertices, faces: Faces, size: int) -> Layout:
    """Lay out the triangles in a picture of size x size texels, without overlaps."""
    name = next(name for name in UNWRAPPERS if importlib.util.find_spec(name) is not None)
    return UNWRAPPERS[name](vertices, faces, size)


def _by_uvunwrap(vertices: Vertices, faces: Faces, size: int) -> Layout:
    import uvunwrap

    mesh = uvunwrap.Mesh(vertices.astype(np.float32), faces.astype(np.uint32))
    made = uvunwrap.generate([mesh], page_size=size, padding=PADDING).meshes[0]
    return Layout(
        np.asarray(made.xref, np.int64),
        np.asarray(made.uv, np.float32).reshape(-1, 2),
        np.asarray(made.indices, np.int32).reshape(-1, 3),
    )


def _by_xatlas(vertices: Vertices, faces: Faces, size: int) -> Layout:
    import xatlas

    atlas = xatlas.Atlas()
    atlas.add_mesh(vertices.astype(np.float32), faces.astype(np.uint32))
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_iterations = 1  # more of them take minutes
    packing.padding, packing.resolution, packing.bruteForce = PADDING, size, False
    atlas.generate(charts, packing)
    source, indices, uvs = atlas[0]
    return Layout(source.astype(np.int64), uvs.astype(np.float32), indices.astype(np.int32))


UNWRAPPERS: dict[str, Callable[[Vertices, Faces, int], Layout]] = {
    "uvunwrap": _by_uvunwrap,
    "xatlas": _by_xatlas,
}
"""Package => how it is called; the first that is installed does it."""
