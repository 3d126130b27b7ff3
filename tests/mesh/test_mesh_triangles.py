"""Pieces, sheets that touch, texels: small cases of which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from sctd.mesh.texels import covered_texels
from sctd.mesh.triangles import (
    decimated,
    largest_piece,
    open_edges,
    smoothed,
    triangle_areas,
    unpinched,
    vertex_normals,
)
from sctd.mesh.unwrap import UNWRAPPERS

TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], np.int32)
CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float64)


def sphere(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """A grid of latitudes and longitudes, closed at the poles."""
    u, v = np.meshgrid(np.arange(2 * rows) * np.pi / rows, np.arange(1, rows) * np.pi / rows)
    ring = np.stack((np.sin(v) * np.cos(u), np.cos(v), -np.sin(v) * np.sin(u)), axis=-1).reshape(-1, 3)
    vertices = np.concatenate((ring, [[0, 1, 0], [0, -1, 0]]))
    wide, top = 2 * rows, len(ring)
    faces = []
    for j in range(wide):
        k = (j + 1) % wide
        faces += [[top, j, k], [top + 1, (rows - 2) * wide + k, (rows - 2) * wide + j]]
        for i in range(rows - 2):
            a, b, c, d = i * wide + j, i * wide + k, (i + 1) * wide + j, (i + 1) * wide + k
            faces += [[a, c, b], [b, c, d]]
    return vertices, np.array(faces, np.int32)


def test_watertight_means_two_faces_a_side_that_turn_alike() -> None:
    assert open_edges(TETRAHEDRON) == 0
    assert open_edges(TETRAHEDRON[1:]) == 3
    turned = TETRAHEDRON.copy()
    turned[0] = turned[0, ::-1]
    assert open_edges(turned) > 0


def test_faces_that_run_backwards_in_memory_have_their_areas_and_normals() -> None:
    """As marching cubes gives them; a view that torch cannot have."""
    faces = TETRAHEDRON[:, ::-1]
    assert triangle_areas(CORNERS, faces).tolist() == pytest.approx([0.5, 0.5, 3**0.5 / 2, 0.5])
    assert (
        vertex_normals(CORNERS[::-1], 3 - faces).tolist()
        == (-vertex_normals(CORNERS, TETRAHEDRON)[::-1]).tolist()
    )


def test_the_largest_piece_is_by_area() -> None:
    """Not by its number of faces."""
    vertices, faces = sphere(6)
    both = np.concatenate((0.1 * vertices, 5 + CORNERS))
    kept, left, dropped = largest_piece(both, np.concatenate((faces, TETRAHEDRON + len(vertices))))
    assert np.array_equal(kept[left], 5 + CORNERS[TETRAHEDRON])
    area, small = triangle_areas(CORNERS, TETRAHEDRON).sum(), triangle_areas(0.1 * vertices, faces).sum()
    assert (dropped.pieces, dropped.area) == (1, pytest.approx(small / (small + area)))


def test_sheets_that_touch_along_an_edge_are_parted() -> None:
    """Two tetrahedra on one edge, and a leaf of two faces back to back on another."""
    vertices = np.concatenate((CORNERS, [[0.0, -1, 0], [0, 0, -1], [2, 2, 2]]))
    second = np.array([0, 1, 4, 5])[TETRAHEDRON]  # its edge 0 1 is the first one's
    leaf = np.array([[1, 2, 6], [2, 1, 6]])
    pinched = np.concatenate((TETRAHEDRON, second, leaf)).astype(np.int32)
    assert open_edges(pinched) > 0
    parted, faces = unpinched(vertices, pinched)
    assert open_edges(faces) == 0
    assert len(parted) == 8
    assert np.array_equal(parted[faces], vertices[np.concatenate((TETRAHEDRON, second))])
    assert largest_piece(parted, faces)[2].pieces == 1


def test_smoothing_flattens_and_does_not_shrink() -> None:
    vertices, faces = sphere(24)
    rough = vertices * (1 + 0.02 * np.random.default_rng(0).standard_normal((len(vertices), 1)))
    before, after = (np.linalg.norm(v, axis=1) for v in (rough, smoothed(rough, faces)))
    assert after.std() < before.std() / 1.5
    assert after.mean() == pytest.approx(before.mean(), rel=0.01)


def test_fewer_faces_keep_the_shape() -> None:
    vertices, faces = sphere(48)
    points, left = decimated(vertices, faces, 1000)
    assert 900 < len(left) <= 1000
    assert open_edges(left) == 0
    assert np.abs(np.linalg.norm(points, axis=1) - 1).max() < 0.01


def test_texels_are_covered_as_the_definition_says() -> None:
    """Against every texel with every triangle: the first one that has it inside, or on a left or top edge."""
    size = 16
    corners = np.random.default_rng(1).random((12, 3, 2)) * 1.2 - 0.1
    corners[0] = [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75]]
    corners[1] = [[0.75, 0.75], [0.25, 0.75], [0.75, 0.25]]  # shares an edge, turns as the first
    corners[2] = [[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]]  # without an area
    found = covered_texels(corners.reshape(-1, 2), np.arange(36).reshape(-1, 3), size)
    expected = {}
    for y in range(size):
        for x in range(size):
            centre = [(x + 0.5) / size, (y + 0.5) / size, 1]
            for face, (a, b, c) in enumerate(corners):
                matrix = np.array([[a[0], b[0], c[0]], [a[1], b[1], c[1]], [1, 1, 1]])
                if abs(np.linalg.det(matrix)) < 1e-12:
                    continue
                # What lies a little to the right of an edge, or below a level one, is on its inner side.
                if (np.linalg.solve(matrix, [centre[0] + 1e-7, centre[1] + 1e-9, 1]) >= 0).all():
                    expected.setdefault(y * size + x, (face, np.linalg.solve(matrix, centre)))
    assert found.index.tolist() == sorted(expected)
    for index, face, weights in zip(found.index, found.face, found.weights, strict=True):
        assert face == expected[index][0]
        assert weights == pytest.approx(expected[index][1], abs=1e-9)


@pytest.mark.parametrize("name", UNWRAPPERS)
def test_triangles_lie_in_the_picture_without_overlaps(name: str) -> None:
    vertices, faces = sphere(10)
    layout = UNWRAPPERS[name](vertices, faces, 256)
    assert np.array_equal(layout.source[layout.faces], faces)
    assert 0 <= layout.uvs.min() <= layout.uvs.max() <= 1
    covered = len(covered_texels(layout.uvs, layout.faces, 1024).index)
    corners = layout.uvs[layout.faces]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    areas = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
    assert covered == pytest.approx(areas.sum() * 1024**2, rel=0.01)  # what overlaps is covered once
    assert areas.min() > 0
