"""Gaussians of known shapes and colours become meshes of those shapes and colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from shells import joined, rise, sphere, sphere_points, torus

from sctd.config.mesh import MeshSettings
from sctd.errors import InputError
from sctd.gaussians import Gaussians
from sctd.mesh.extract import Extracted, extract
from sctd.mesh.triangles import open_edges
from sctd.triangle_mesh import Mesh

WISH = MeshSettings(faces=4000, texture=128, resolution=48, views=32, view_size=256)
SMALL = MeshSettings(faces=300, texture=64, resolution=16, views=16, view_size=64)
CENTRE = torch.tensor([0.2, -0.1, 0.3])
RADIUS, RING, TUBE = 0.5, 0.5, 0.2
RISE = rise(RADIUS, RADIUS * (4 * np.pi / 1500) ** 0.5)
RED, BLUE = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)


@pytest.fixture(scope="module")
def ball() -> Extracted:
    """Red on the side of +x, blue on the other, with a small ball that floats beside it."""
    normals = sphere_points(1500)
    colors = torch.where(normals[:, :1] > 0, torch.tensor(RED), torch.tensor(BLUE))
    crumb = sphere(CENTRE + torch.tensor([0.0, 0.75, 0.0]), 0.08, count=150)
    return extract(joined(sphere(CENTRE, RADIUS, colors), crumb), WISH)


@pytest.fixture(scope="module")
def ring() -> Extracted:
    return extract(torus(CENTRE, RING, TUBE), WISH)


def step(made: Extracted) -> float:
    """Of the grid, at most: the longest side that the Gaussians reach, in 47 steps."""
    return float(np.ptp(made.mesh.vertices, axis=0).max() + 0.5) / (WISH.resolution - 1)


def whole(mesh: Mesh) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Vertices and faces without the seams of the texture."""
    vertices, which = np.unique(mesh.vertices, axis=0, return_inverse=True)
    return vertices, which.reshape(-1)[mesh.faces]


def euler(mesh: Mesh) -> int:
    vertices, faces = whole(mesh)
    edges = np.unique(np.sort(np.concatenate((faces[:, :2], faces[:, 1:], faces[:, ::2])), axis=1), axis=0)
    return len(vertices) - len(edges) + len(faces)


def volume(mesh: Mesh) -> float:
    """Positive where faces turn counter-clockwise seen from outside."""
    a, b, c = (mesh.vertices[mesh.faces[:, i]].astype(np.float64) for i in range(3))
    return float(np.einsum("fd,fd->", a, np.cross(b, c))) / 6


def test_a_ball_has_its_size_its_place_and_no_hole(ball: Extracted) -> None:
    """Within what coverage rises above the surface, and half a step of the grid."""
    distance = np.linalg.norm(ball.mesh.vertices - CENTRE.numpy(), axis=1)
    assert np.abs(distance - RADIUS).max() < RISE + step(ball) / 2
    assert (ball.open_edges, open_edges(whole(ball.mesh)[1]), euler(ball.mesh)) == (0, 0, 2)
    assert volume(ball.mesh) == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=3.5 * RISE / RADIUS)
    assert len(ball.mesh.faces) <= WISH.faces


def test_normals_look_outwards(ball: Extracted) -> None:
    """On a ball of that step, normals turn by the angle of half a triangle, and some for the steps."""
    outwards = (ball.mesh.vertices - CENTRE.numpy()) / RADIUS
    assert np.einsum("vd,vd->v", outwards, ball.mesh.normals).min() > 0.9


def test_a_torus_keeps_its_hole_and_its_shape(ring: Extracted) -> None:
    """Chamfer distance and F-score against points of the exact surface."""
    assert (ring.open_edges, euler(ring.mesh)) == (0, 0)
    u, v = np.meshgrid(np.arange(120) * np.pi / 60, np.arange(60) * np.pi / 30)
    out = RING + TUBE * np.cos(v)
    exact = np.stack((out * np.sin(u), TUBE * np.sin(v), out * np.cos(u)), axis=-1).reshape(-1, 3)
    exact += CENTRE.numpy()
    corners = ring.mesh.vertices[ring.mesh.faces]
    ours = np.concatenate((ring.mesh.vertices, corners.mean(axis=1)))
    there, back = cKDTree(ours).query(exact)[0], cKDTree(exact).query(ours)[0]
    near = rise(TUBE, 2 * np.pi * TUBE / 30) + step(ring) / 2 + 0.02  # the exact points are 0.04 apart
    assert (there.mean() + back.mean()) / 2 < near
    precision, recall = (back < near).mean(), (there < near).mean()
    assert 2 * precision * recall / (precision + recall) > 0.99


def test_colours_are_where_they_belong(ball: Extracted) -> None:
    """Read from the texture in the middle of each face, away from where the two meet by two discs."""
    mesh, size = ball.mesh, WISH.texture
    middle = mesh.uvs[mesh.faces].mean(axis=1)
    column, row = np.clip((middle * size).astype(int), 0, size - 1).T
    seen = mesh.texture[row, column].astype(float) / 255
    x = mesh.vertices[mesh.faces].mean(axis=1)[:, 0] - float(CENTRE[0])
    for side, color in ((x > 0.15, RED), (x < -0.15, BLUE)):
        assert side.sum() > 500
        assert np.abs(seen[side] - color).max() < 0.02  # 8 bits, twice


def test_nothing_is_left_empty_between_the_charts(ball: Extracted) -> None:
    """Every texel has one of the object's colours, or one between them; the texture's ground was black."""
    assert ball.mesh.texture.max(axis=-1).min() > 0.4 * 255


def test_what_is_left_out_is_said(ball: Extracted, ring: Extracted) -> None:
    assert ball.dropped.pieces == 1
    least, most = ((0.08 / (RADIUS + RISE)) ** 2, ((0.08 + 2 * RISE) / RADIUS) ** 2)
    assert least / (1 + least) < ball.dropped.area < most / (1 + most)
    assert "; watertight; dropped 1 smaller piece, " in ball.told()
    assert "dropped" not in ring.told()


def test_the_same_mesh_every_time(ball: Extracted) -> None:
    first, second = (extract(sphere(CENTRE, RADIUS, count=200), SMALL).mesh for _ in range(2))
    for name, values in vars(first).items():
        assert np.array_equal(values, vars(second)[name]), name


@pytest.mark.parametrize("flaw", ["empty", "clear", "faint", "nan"])
def test_what_has_no_surface_is_refused(flaw: str) -> None:
    gaussians = sphere(CENTRE, RADIUS, count=100)
    says = {
        "empty": "none of the 0 Gaussians has an opacity above 0.02",
        "clear": "none of the 100 Gaussians has an opacity above 0.02",
        "faint": "the object is nowhere opaque enough to have a surface, it covers ..?% of a pixel at most",
        "nan": "1 values of means are not finite",
    }
    if flaw == "empty":
        gaussians = Gaussians(**{name: p[:0] for name, p in gaussians.parameters().items()})
    elif flaw == "nan":
        gaussians.means[3, 1] = torch.nan
    else:
        gaussians.opacities.fill_({"clear": -10.0, "faint": -3.0}[flaw])
    with pytest.raises(InputError, match=says[flaw]):
        extract(gaussians, SMALL)


def test_one_gaussian_is_an_ellipsoid() -> None:
    """Where its opacity of 0.95 falls to a half: at sqrt(2 ln 1.9) deviations."""
    one = sphere(CENTRE, RADIUS, count=1)
    one.scales = torch.tensor([[0.3, 0.2, 0.1]]).log()
    one.quats = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    made = extract(one, MeshSettings(faces=2000, texture=64, resolution=32, views=32, view_size=128))
    assert made.open_edges == 0
    half = np.ptp(made.mesh.vertices, axis=0) / 2
    expected = np.sqrt(2 * np.log(1.9)) * np.array([0.3, 0.2, 0.1])
    assert np.abs(half - expected).max() < 1.2 / 31  # a step of the grid
