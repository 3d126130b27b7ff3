"""Estimates a card's memory for what is optimised: Gaussians or a mesh, and its rasterizer. Loads no torch.

Sums of the sizes of tensors, from the settings alone. How many Gaussians or triangles there will be, and how
much of the pictures they fill, is not known before the run: these are high assumptions, named as such.
"""

from __future__ import annotations

from collections.abc import Callable

from sctd.config import Config
from sctd.config.surface import SurfaceSettings

PAIRS = 8
"""Tiles of 16 x 16 pixels that a Gaussian enters in a picture, on average. A high assumption."""
_PAIR_BYTES = 4 * 6  # Gaussian and slot, tile key, both twice while they are sorted
_FOOTPRINT_FLOATS = 2 * 12  # mean, depth, conic, radii, opacity, colours and depth; each with its gradient
_PIXEL_FLOATS = 2 * 6  # colours, depth, transmittance, last Gaussian; each with its gradient
_COPIES = 6  # parameter, gradient, two moments of Adam; activated, and its gradient

SAMPLE_BYTES = {"colors": 105, "normals": 115, "material": 385}
"""By ``surface.shown``, of a sample with a triangle in it, at the widest moment of forward and backward pass:
:class:`sctd.prior.card_memory.Ledger` counted 93, 102 and 370 on a CPU; 8 more are the depth and the triangle
that CUDA's rasterizer sorts by. That all samples have one is a high assumption."""
FACES = 100
"""Triangles of tetrahedra by the square of ``surface.resolution``: a ball has 44. A high assumption."""
_FACE_BYTES, _CAMERA_FACE_BYTES = 300, 80
"""Of a triangle with its half of a vertex, their neighbours, normals and gradients; and for each camera, in
clip space with its gradients, and the boxes and sums of CUDA's rasterizer. Counted 160 to 330 a triangle with
two cameras on a CPU, without CUDA's."""
_POINT_BYTES = 76  # place; distance and offset, 4 floats, with gradients and Adam's moments
_EDGE_BYTES = 16
_TETRAHEDRON_BYTES, _SEARCHED_BYTES = 32, 220
"""Its corners; and at most while a stage begins, when each edge is found once among the six of every
tetrahedron. Marching takes 44. Counted 32, 214 and 44 by the Ledger."""
_COLOR_COPIES = 5  # parameter, gradient, two moments of Adam; a material's beginning


def scene_bytes(config: Config) -> dict[str, int]:
    """Bytes by part of what a stage optimises; all parts exist at the same time."""
    return _SCENES[config.representation](config)


def _gaussians(config: Config) -> dict[str, int]:
    count = config.densify.most(config.gaussians.count)
    floats = 3 + 4 + 3 + 1 + 3 * (config.gaussians.sh_degree + 1) ** 2
    each = count * (4 * _FOOTPRINT_FLOATS + PAIRS * _PAIR_BYTES) + config.cameras.size**2 * 4 * _PIXEL_FLOATS
    return {
        f"{count} Gaussians with gradients and Adam's moments": 4 * floats * _COPIES * count,
        "rasterizer": config.cameras.batch * each,
    }


def _mesh(config: Config) -> dict[str, int]:
    c, cameras = config.surface, config.cameras.batch
    samples = cameras * (config.cameras.size * c.supersample) ** 2
    faces, grid, beginning = _KINDS[c.kind](c)
    channels = 5 if c.shown == "material" else 3
    colors = 4 * channels * _COLOR_COPIES * (c.color_resolution + 1) ** 3
    triangles = faces * (_FACE_BYTES + cameras * _CAMERA_FACE_BYTES)
    pictures = SAMPLE_BYTES[c.shown] * samples
    return {
        **grid,
        f"{faces} triangles (assumed)": triangles,
        "grid of colours with gradients and Adam's moments": colors,
        f"pictures of {samples} samples": pictures,
        "more, while the stage begins": max(0, beginning - triangles - pictures),
    }


Kind = tuple[int, dict[str, int], int]
"""Triangles; bytes of what they are made of, by part; and of the beginning, when there is no picture yet."""


def _tetrahedra(c: SurfaceSettings) -> Kind:
    """A cube of ``resolution`` steps, and one more on each side: :func:`sctd.mesh.trained.grid.tet_grid`."""
    cubes = c.resolution + 2
    points = (cubes + 1) ** 3 + cubes**3
    tetrahedra = 12 * cubes**2 * (cubes - 1)
    edges = 7 * points  # of 14 neighbours at most
    kept = points * _POINT_BYTES + edges * _EDGE_BYTES + tetrahedra * _TETRAHEDRON_BYTES
    parts = {f"{tetrahedra} tetrahedra with gradients and Adam's moments": kept}
    return FACES * c.resolution**2, parts, tetrahedra * _SEARCHED_BYTES


def _triangles(c: SurfaceSettings) -> Kind:
    return c.faces, {}, 0


_KINDS: dict[str, Callable[[SurfaceSettings], Kind]] = {
    "tetrahedra": _tetrahedra,
    "triangles": _triangles,
}
_SCENES: dict[str, Callable[[Config], dict[str, int]]] = {"gaussians": _gaussians, "mesh": _mesh}
