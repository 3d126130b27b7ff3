"""How near a mesh is to the procedural truth, in shape and in pictures; benchmarks/meshes.py asks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from sctd.embedded.subject import Subject
from sctd.embedded.traced import SIZE
from sctd.embedded.truth import asset_views
from sctd.embedded.world import world_named
from sctd.formats.meshes.surface import Triangles
from sctd.mesh.triangles import triangle_areas
from sctd.triangle_mesh import Mesh

SAMPLES = 20_000
NEAR = 0.02
"""Of the diagonal of the truth's bounding box: as far as two points are the same to the F-score."""
CELLS = 160

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Cloud:
    """Points of a surface, evenly by area, and its directions there, [n, 3] each."""

    points: Points
    normals: Points


@dataclass(frozen=True)
class Shape:
    """Of a mesh against the truth."""

    fscore: float
    """0..1: harmonic mean of the shares of points that are near, each surface's to the other."""
    chamfer: float
    """Mean distance of points to the other surface, both ways, in shares of the diagonal."""
    normal_deg: float
    """Mean angle between the directions at nearest points, both ways, degrees."""


def cloud_of(vertices: Points, faces: NDArray[np.int32], seed: int = 0) -> Cloud:
    """SAMPLES points of triangles."""
    random = np.random.default_rng(seed)
    areas = triangle_areas(vertices, faces)
    face = random.choice(len(faces), SAMPLES, p=areas / areas.sum())
    u, v = random.random((2, SAMPLES, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    a, b, c = (vertices[faces[face, i]] for i in range(3))
    cross = np.cross(b - a, c - a)
    return Cloud(a + u * (b - a) + v * (c - a), cross / np.linalg.norm(cross, axis=1, keepdims=True))


def true_cloud(subject: Subject) -> Cloud:
    """Of the surface that the subject's truth is traced from: triangles of a fine grid, moved onto it. Sheets
    thinner than a step of the grid have holes."""
    from skimage.measure import marching_cubes

    distance = partial(world_named(subject.world).distance, subject)
    axis = np.linspace(-1.05, 1.05, CELLS)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    field = distance(grid.reshape(-1, 3)).reshape(grid.shape[:3])
    vertices, faces, _, _ = marching_cubes(field, 0.0, spacing=(axis[1] - axis[0],) * 3)
    cloud = cloud_of(vertices.astype(np.float64) + axis[0], faces)
    moved = cloud.points - distance(cloud.points)[:, None] * cloud.normals
    return Cloud(moved, cloud.normals)


def shape_of(mesh: Mesh, truth: Cloud) -> Shape:
    """The mesh's points against the truth's."""
    ours = cloud_of(mesh.vertices.astype(np.float64), mesh.faces, seed=1)
    diagonal = float(np.linalg.norm(np.ptp(truth.points, axis=0)))
    there, at = cKDTree(ours.points).query(truth.points)
    back, where = cKDTree(truth.points).query(ours.points)
    precision, recall = ((d < NEAR * diagonal).mean() for d in (back, there))
    cosines = np.concatenate(
        (
            (truth.normals * ours.normals[at]).sum(axis=1),
            (ours.normals * truth.normals[where]).sum(axis=1),
        )
    )
    return Shape(
        fscore=float(2 * precision * recall / max(precision + recall, 1e-9)),
        chamfer=float((there.mean() + back.mean()) / 2 / diagonal),
        normal_deg=float(np.degrees(np.arccos(cosines.clip(-1, 1))).mean()),
    )


def mesh_views(mesh: Mesh, n: int, size: int = SIZE) -> Tensor:
    """The mesh from the cameras of :func:`sctd.embedded.truth.asset_views`, [n, 3, size, size], 0..1."""
    return asset_views(Triangles.of_mesh(mesh), n, size)[0]
