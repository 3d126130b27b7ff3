"""A mesh of boxes: some in colours of their vertices, one with a picture on it."""

from __future__ import annotations

import numpy as np
import torch

from sctd.formats.meshes.surface import Layer, Surface, Triangles
from sctd.formats.meshes.texture import Texture
from sctd.formats.srgb import srgb_to_linear
from sctd.triangle_mesh import Mesh

_CORNERS = torch.tensor([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)]).double()
_SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def box(centre: list[float], half: list[float], color: list[float]) -> Surface:
    """Twelve triangles that look outwards, of one colour, sRGB."""
    vertices = torch.tensor(centre).double() + torch.tensor(half).double() * _CORNERS
    faces = torch.tensor([f for a, b, c, d in _SIDES for f in ((a, b, c), (a, c, d))])
    colors = srgb_to_linear(torch.tensor(color).double()).expand(8, 3)
    return Surface(vertices, faces, colors)


def square(picture: np.ndarray, z: float = 0.6, half: float = 0.4) -> Mesh:
    """A square that looks to the front with a picture [H, W, 3] on it."""
    x, y = half, half
    return Mesh(
        vertices=np.array([[-x, -y, z], [x, -y, z], [x, y, z], [-x, y, z]], np.float32),
        normals=np.tile(np.float32([0, 0, 1]), (4, 1)),
        uvs=np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32),
        faces=np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        texture=picture,
    )


def quarters() -> np.ndarray:
    """Red and green above blue and yellow, 8 x 8 texels."""
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4, :4], picture[:4, 4:] = (220, 30, 30), (30, 200, 40)
    picture[4:, :4], picture[4:, 4:] = (20, 40, 230), (240, 220, 30)
    return picture


def painted_mesh() -> Triangles:
    """Nobody takes it for its mirror image or its head for its feet: y up, the front at +z.

    A grey trunk with a picture before it, a green head, a red arm to the left (+x).
    """
    trunk = box([0, -0.1, 0], [0.25, 0.6, 0.25], [0.5, 0.5, 0.5])
    head = box([0, 0.7, 0], [0.3, 0.2, 0.3], [0.1, 0.7, 0.2])
    arm = box([0.6, 0.2, 0], [0.35, 0.12, 0.12], [0.9, 0.1, 0.1])
    return Triangles((trunk, head, arm, *Triangles.of_mesh(square(quarters(), 0.3, 0.22)).surfaces))


def repeated(picture: np.ndarray) -> Surface:
    """A square whose picture is there twice along u, mirrored along v, without a mean of texels."""
    pixels = torch.from_numpy(np.dstack((picture, np.full(picture.shape[:2], 255, np.uint8))))
    (plain,) = Triangles.of_mesh(square(picture)).surfaces
    uvs = torch.tensor([[0.0, 2], [2, 2], [2, 0], [0, 0]]).double()
    return Surface(
        plain.vertices, plain.faces, plain.colors, Layer(Texture(pixels, ("repeat", "mirror"), True), uvs)
    )
