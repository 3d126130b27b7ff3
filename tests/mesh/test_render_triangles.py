"""Pictures of meshes: against rays cast by the test's own code, for any triangles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from painted import painted_mesh, quarters, repeated, square

from sctd.cameras import CameraBatch, orbit_cameras
from sctd.export.layers import render_layers
from sctd.formats.meshes.surface import Surface, Triangles
from sctd.render import render_images
from sctd.render_triangles import Picture, render_triangles

SIZE = 24
GREY = torch.full((1, 3), 0.25)
Values = NDArray[np.float64]


def camera(radius: float = 3.0, azimuth: int = 0) -> CameraBatch:
    """One of four round the object."""
    return orbit_cameras(4, 20.0, radius, 40.0, SIZE)[azimuth : azimuth + 1]


def rays(cameras: CameraBatch) -> tuple[Values, Values]:
    """The eye [3], and from it directions through four places in each pixel, [4 S S, 3], of depth 1."""
    viewmat, K = (t[0].double().numpy() for t in (cameras.viewmats, cameras.Ks))
    places = (np.arange(2 * SIZE) + 0.5) / 2
    x, y = np.meshgrid(places, places)
    ahead = np.stack(((x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], np.ones_like(x)), axis=-1)
    return -viewmat[:3, :3].T @ viewmat[:3, 3], ahead.reshape(-1, 3) @ viewmat[:3, :3]


def traced(corners: Values, colors: Values, cameras: CameraBatch) -> tuple[Values, Values, Values]:
    """Mean colours over black [S, S, 3], coverage [S, S], and depths of samples [S, 2, S, 2], inf: none.

    Args:
        corners, colors: of triangles, [F, 3, 3]; linear colours.
    """
    eye, directions = rays(cameras)
    nearest = np.full(len(directions), np.inf)
    shown = np.zeros((len(directions), 3))
    for (a, b, c), paint in zip(corners, colors, strict=True):
        sides = [np.broadcast_to(side, directions.shape) for side in (a - b, a - c)]
        matrix = np.stack((*sides, directions), axis=-1)
        good = np.abs(np.linalg.det(matrix)) > 1e-9
        solved = np.zeros((len(directions), 3))
        from_eye = np.broadcast_to(a - eye, (good.sum(), 3))[..., None]
        solved[good] = np.linalg.solve(matrix[good], from_eye)[..., 0]
        u, v, depth = solved.T
        hit = good & (u >= 0) & (v >= 0) & (u + v <= 1) & (depth > cameras.near_plane) & (depth < nearest)
        nearest[hit] = depth[hit]
        light = np.stack((1 - u - v, u, v), axis=1)[hit] @ paint
        bright = 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055
        shown[hit] = np.where(light <= 0.0031308, 12.92 * light, bright)
    fine = np.concatenate((shown, np.isfinite(nearest)[:, None]), axis=1)
    pixels = fine.reshape(SIZE, 2, SIZE, 2, 4).mean(axis=(1, 3))
    return pixels[..., :3], pixels[..., 3], nearest.reshape(SIZE, 2, SIZE, 2)


def soup() -> Surface:
    """Triangles through one another: twice the same, around one edge, no area, behind and beside the eye."""
    random = torch.Generator().manual_seed(5)
    vertices = 1.6 * torch.rand(24, 3, generator=random).double() - 0.8
    vertices[21:24] = torch.tensor([[0.0, -0.5, 0.0], [-1.5, 3.0, 4.0], [1.5, 3.0, 4.0]])  # beside the eye
    vertices[18:21] = torch.tensor([[0.0, 4.0, 9.0], [1.0, 4.0, 9.0], [0.0, 5.0, 9.0]])  # behind it
    faces = [[0, 1, 2], [0, 1, 3], [0, 1, 4], [0, 1, 5], [6, 7, 8], [6, 7, 8], [9, 10, 11], [12, 13, 14]]
    faces += [[15, 16, 15], [17, 17, 17], [18, 19, 20], [21, 22, 23]]
    colors = torch.rand(24, 3, generator=random).double()
    return Surface(vertices, torch.tensor(faces), colors)


@pytest.mark.parametrize("azimuth", [0, 2])
def test_any_triangles_are_seen_as_rays_see_them(azimuth: int) -> None:
    surface, cameras = soup(), camera(azimuth=azimuth)
    corners = surface.triangles().numpy()
    colors, alpha, depths = traced(corners, surface.colors[surface.faces].numpy(), cameras)
    seen = render_triangles(Triangles((surface,)), cameras, torch.zeros(1, 3))
    assert 0.1 < alpha.mean() < 0.95
    # Corners are rounded to 1/256 of a pixel: a sample on an edge may fall to the other side.
    same = np.abs(seen.alpha[0, 0].numpy() - alpha) < 1e-6
    same &= np.abs(seen.rgb[0].permute(1, 2, 0).numpy() - colors).max(-1) < 1e-4
    assert same.mean() > 0.98
    covered = np.where(np.isfinite(depths), depths, 0).sum(axis=(1, 3))
    mean = covered / np.maximum(np.isfinite(depths).sum(axis=(1, 3)), 1)
    assert np.abs(seen.depth[0, 0].numpy() - mean)[same].max() < 1e-4


def test_normals_are_on_the_cameras_side() -> None:
    for azimuth in (0, 2):
        seen = render_triangles(Triangles.of_mesh(square(quarters())), camera(azimuth=azimuth), GREY)
        covered = seen.alpha[0, 0] > 0
        normals = seen.normals[0].permute(1, 2, 0)
        assert torch.allclose(normals[covered], torch.tensor([0.0, 0.0, 1.0 if azimuth == 0 else -1.0]))
        assert not normals[~covered].any()


def test_the_background_is_behind() -> None:
    seen = render_triangles(painted_mesh(), camera(), GREY)
    empty = seen.alpha[0, 0] == 0
    assert (seen.rgb[0][:, empty] == 0.25).all()
    assert (seen.depth[0, 0][empty] == 0).all()
    corner, middle = seen.rgb[0, :, 0, 0], seen.alpha[0, 0, SIZE // 2, SIZE // 2]
    assert corner.tolist() == [0.25] * 3
    assert middle == 1


def test_a_texture_lies_as_its_picture_does() -> None:
    """The square from the front: the picture upright, u to the right, which is the object's left."""
    level = orbit_cameras(1, 0.0, 3.0, 40.0, SIZE)
    image = render_images(Triangles.of_mesh(square(quarters())), level, (0.0, 0.0, 0.0))[0].numpy()
    rows, columns = np.nonzero(image.any(axis=-1))
    shown = image[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max()]
    high, wide = shown.shape[:2]
    for (row, column), color in {(0, 0): (220, 30, 30), (0, 1): (30, 200, 40), (1, 0): (20, 40, 230)}.items():
        place = shown[row * (high - 1), column * (wide - 1)]
        assert place.tolist() == list(color)


def test_wraps_and_nearest_texels_of_other_programs() -> None:
    level = orbit_cameras(1, 0.0, 3.0, 40.0, 96)
    image = render_images(Triangles((repeated(quarters()),)), level, (0.0, 0.0, 0.0))[0].numpy()
    rows, columns = np.nonzero(image.any(axis=-1))
    shown = image[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max()]
    high, wide = shown.shape[:2]

    def at(u: float, v: float) -> list[int]:
        color: list[int] = shown[int(v * high), int(u * wide)].tolist()
        return color

    red, green, blue = [220, 30, 30], [30, 200, 40], [20, 40, 230]
    assert [at(u, 0.1) for u in (0.1, 0.4, 0.6, 0.9)] == [red, green, red, green]
    assert [at(0.1, v) for v in (0.1, 0.4, 0.6, 0.9)] == [red, blue, blue, red]  # mirrored below


def lone(vertices: list[list[float]]) -> Picture:
    surface = Surface(torch.tensor(vertices).double(), torch.tensor([[0, 1, 2]]), torch.ones(3, 3).double())
    return render_triangles(Triangles((surface,)), camera(), GREY)


def test_what_cannot_be_seen_leaves_the_background() -> None:
    """No area, behind the camera, nearer than its near plane; from the edge; as far as a file may hold."""
    nothing = {
        "point": [[0.1, 0.1, 0.1]] * 3,
        "line": [[-1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
        "behind": [[-1.0, 2.0, 5.0], [1.0, 2.0, 5.0], [0.0, 3.0, 5.0]],
        "far": [[9e29, 9e29, 9e29], [9e29, 9e29, 0.0], [9e29, 0.0, 9e29]],
    }
    for name, vertices in nothing.items():
        seen = lone(vertices)
        assert (seen.rgb == 0.25).all(), name
        assert all(bool(t.isfinite().all()) for t in (seen.rgb, seen.alpha, seen.depth, seen.normals)), name
    assert lone([[-9.0, -9.0, 0.0], [9.0, -9.0, 0.0], [0.0, 9.0, 0.0]]).alpha.mean() > 0.5


def test_layers_are_those_of_the_picture() -> None:
    (layers,) = render_layers(painted_mesh(), camera(), (0.25, 0.25, 0.25))
    seen = render_triangles(painted_mesh(), camera(), GREY)
    assert np.array_equal(layers.rgb, seen.rgb[0].permute(1, 2, 0).numpy())
    assert np.array_equal(layers.depth, seen.depth[0, 0].numpy())
    assert np.allclose(layers.clear + (1 - layers.alpha[..., None]) * 0.25, layers.rgb, atol=1e-6)
    assert layers.normals.shape == (SIZE, SIZE, 3)
