"""A mesh as people take it away: triangles with one picture on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sctd.errors import InputError


@dataclass(frozen=True)
class Mesh:
    """Triangles of one material, y up, the front at +z."""

    vertices: NDArray[np.float32]
    """[V, 3], world units. Along a seam of the picture they stand there once a side."""
    normals: NDArray[np.float32]
    """Of the vertices, outwards, of length 1, [V, 3]."""
    uvs: NDArray[np.float32]
    """Of the vertices, [V, 2], 0..1, from the upper left corner of the picture."""
    faces: NDArray[np.int32]
    """Rows of ``vertices``, [F, 3], counter-clockwise seen from outside."""
    texture: NDArray[np.uint8]
    """[H, W, 3], sRGB: the colours as they are to be seen, without light; with ``gloss`` the base colours."""
    gloss: NDArray[np.uint8] | None = None
    """[H, W, 3] of a surface that is to be lit: 255, roughness, metal, as glTF packs them; None: unlit."""

    def __post_init__(self) -> None:
        count = len(self.vertices)
        gloss = self.texture if self.gloss is None else self.gloss
        for name, array, shape in (
            ("vertices", self.vertices, (count, 3)),
            ("normals", self.normals, (count, 3)),
            ("uvs", self.uvs, (count, 2)),
            ("faces", self.faces, (len(self.faces), 3)),
            ("texture", self.texture, (*self.texture.shape[:2], 3)),
            ("gloss", gloss, (*gloss.shape[:2], 3)),
        ):
            if array.shape != shape or array.size == 0:
                raise InputError(f"{name} of a mesh must have shape {list(shape)}, none 0; got {array.shape}")
        if self.faces.min() < 0 or self.faces.max() >= count:
            raise InputError(f"a face names a vertex that is not there; there are {count}")
        if not all(np.isfinite(array).all() for array in (self.vertices, self.normals, self.uvs)):
            raise InputError("some numbers of a mesh are not finite")
