"""A mesh as what a run optimises: its start, its pictures, its steps, its file; killed and resumed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from shells import rise, sphere, sphere_points
from small import small_config

from sctd.cameras import orbit_cameras
from sctd.config import Config
from sctd.config.mesh import MeshSettings
from sctd.config.surface import SurfaceSettings
from sctd.errors import InputError, TrainingFailure
from sctd.gaussians import Gaussians
from sctd.mesh.trained.colored import ColoredMesh, mesh_images, painted
from sctd.mesh.trained.colors import ColorGrid, nearest_colors
from sctd.mesh.trained.finish import finished
from sctd.mesh.trained.paints import PAINTS
from sctd.mesh.trained.start import first_mesh
from sctd.mesh.trained.trained import TrainedMesh
from sctd.mesh.triangles import open_edges

RADIUS, STEPS = 0.5, 14
OFF = rise(RADIUS, RADIUS * (4 * np.pi / 1500) ** 0.5) + RADIUS / STEPS
CENTRE = torch.tensor([0.1, -0.05, 0.2])
RED, BLUE = torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.1, 0.9])
KINDS = ("tetrahedra", "triangles")
COARSE = ("surface.resolution=10", "surface.color_resolution=12", "surface.faces=400")
WISH = MeshSettings(faces=1000, texture=64)


@pytest.fixture(scope="module")
def ball() -> Gaussians:
    """Red on the side of +x, blue on the other."""
    colors = torch.where(sphere_points(1500)[:, :1] > 0, RED, BLUE)
    return sphere(CENTRE, RADIUS, colors)


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest, ball: Gaussians) -> ColoredMesh:
    return first_mesh(
        ball, SurfaceSettings(kind=request.param, resolution=STEPS, faces=1500, views=24, view_size=128)
    )


def config_of(kind: str, *overrides: str, iterations: int = 6) -> Config:
    settings = (*COARSE, f"surface.kind={kind}", "representation=mesh", *overrides)
    return small_config(iterations, *settings)


def test_a_mesh_begins_where_its_gaussians_are(made: ColoredMesh) -> None:
    """Within what coverage rises above the surface, and half a step of the grid; closed; in its colours."""
    shape = made.surface().shape()
    away = (shape.vertices.detach() - CENTRE).norm(dim=1) - RADIUS
    assert away.abs().max() < OFF
    assert open_edges(shape.faces.numpy()) == 0
    for side, color in ((1.0, RED), (-1.0, BLUE)):
        there = CENTRE + RADIUS * torch.tensor([[0.9 * side, 0.3, -0.3]])
        torch.testing.assert_close(made.colors.at(there)[0], color, rtol=0, atol=0.06)


def test_pictures_show_it(made: ColoredMesh) -> None:
    """From +x a red disc of the ball's size on white, from -x a blue one."""
    cameras = orbit_cameras(4, 0.0, 3.0, 30.0, 64)
    images = mesh_images(made, cameras, (1.0, 1.0, 1.0)).float() / 255
    assert images.shape == (4, 64, 64, 3)
    for k, color in ((1, RED), (3, BLUE)):
        covered = (1 - images[k, ..., 1]) / (1 - color[1])
        toward = float(cameras.viewmats[k, 2, :3] @ CENTRE + cameras.viewmats[k, 2, 3])
        radius = 64 / 2 / np.tan(np.radians(15)) * np.tan(np.arcsin(RADIUS / toward))
        assert float(covered.sum()) == pytest.approx(np.pi * radius**2, rel=(1 + OFF / RADIUS) ** 2 - 1)
        row, column = torch.nonzero(covered > 0.5).float().mean(0).long().tolist()
        torch.testing.assert_close(images[k, row, column], color, rtol=0, atol=0.06)


def test_a_finished_mesh_is_the_surface_in_its_colours(made: ColoredMesh) -> None:
    found = finished(made, WISH)
    mesh = found.mesh
    assert (found.open_edges, found.dropped.pieces) == (0, 0)
    assert len(mesh.faces) <= WISH.faces
    outwards = (mesh.vertices - CENTRE.numpy()) / RADIUS
    assert np.abs(np.linalg.norm(outwards, axis=1) - 1).max() < 0.1
    assert np.einsum("vd,vd->v", outwards, mesh.normals).min() > 0.8
    right = mesh.vertices[:, 0] > CENTRE[0].item() + 0.2
    texel = np.minimum((mesh.uvs[right] * WISH.texture).astype(int), WISH.texture - 1)
    colors = mesh.texture[texel[:, 1], texel[:, 0]] / 255
    assert np.abs(np.median(colors, axis=0) - RED.numpy()).max() < 0.06


@pytest.mark.parametrize("disparity", [False, True])
def test_a_picture_s_gradient_reaches_the_shape_and_the_colours(made: ColoredMesh, disparity: bool) -> None:
    """Making the picture red makes the blue side red and moves no vertex that is red already inside."""
    surface, cameras = made.surface(), orbit_cameras(2, 0.0, 3.0, 30.0, 32)
    values = made.colors.values.clone().requires_grad_()
    shape = surface.shape()
    paint = PAINTS["colors"](shape, ColorGrid(values, made.colors.box), cameras)
    seen = painted(shape, paint, cameras, torch.ones(2, 3), disparity=disparity)
    assert seen.rgb.shape == (2, 3, 32, 32)
    assert (seen.disparity is not None) == disparity
    ((seen.disparity if disparity else seen.rgb)[:, :1]).square().sum().backward()
    for name, parameter in surface.parameters.items():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0, name
    assert bool(values.grad is not None and values.grad.any()) != disparity


def test_a_white_mesh_on_black_grows_where_pictures_want_it_brighter(made: ColoredMesh) -> None:
    """By its silhouette alone: its colours are as bright as they can be."""
    white = ColorGrid(torch.ones_like(made.colors.values), made.colors.box)
    first = ColoredMesh(made.settings, made.tensors, white)
    asset = TrainedMesh(first, config_of(made.settings.kind, "surface.stiffness=20"))
    cameras, generator = orbit_cameras(4, 20.0, 3.0, 40.0, 32), torch.Generator()
    bright = []
    for i in range(5):
        picture = asset.draw(cameras, torch.zeros(4, 3), i, generator, disparity=False)
        bright.append(float(picture.rgb.detach().sum()))
        (-picture.rgb.sum()).backward()
        asset.update(picture, i, torch.ones(1), generator)
    assert all(later > earlier for earlier, later in pairwise(bright)), bright
    assert bool((asset.result().colors.values == 1).all())


def test_a_number_that_is_not_finite_changes_nothing(made: ColoredMesh) -> None:
    asset = TrainedMesh(made, config_of(made.settings.kind))
    before = {name: t.clone() for name, t in asset.state_dict()["surface"].items()}
    cameras, generator = orbit_cameras(2, 0.0, 3.0, 30.0, 16), torch.Generator()
    picture = asset.draw(cameras, torch.ones(2, 3), 0, generator, disparity=False)
    (picture.rgb.sum() * float("nan")).backward()
    done = asset.update(picture, 0, torch.ones(1), generator)
    assert done.names[-1] == "z0"
    assert not done.norms.isfinite().all()
    assert all(torch.equal(t, before[name]) for name, t in asset.state_dict()["surface"].items())


def test_a_surface_that_vanished_is_told(ball: Gaussians) -> None:
    made = first_mesh(ball, SurfaceSettings(resolution=8, views=16, view_size=64))
    tensors = {**made.tensors, "distance": torch.ones_like(made.tensors["distance"])}
    gone = ColoredMesh(made.settings, tensors, made.colors)
    cameras = orbit_cameras(1, 0.0, 3.0, 30.0, 16)
    with pytest.raises(TrainingFailure, match="the surface has vanished"):
        TrainedMesh(gone, config_of("tetrahedra")).draw(
            cameras, torch.ones(1, 3), 0, torch.Generator(), disparity=False
        )
    assert bool((mesh_images(gone, cameras, (1.0, 1.0, 1.0)) == 255).all())
    with pytest.raises(InputError, match="no triangles left"):
        finished(gone, WISH)


def test_colours_between_points_are_their_mean_and_beyond_the_box_its_border() -> None:
    box = torch.tensor([[0.0, 0, 0], [2, 1, 1]])
    grid = nearest_colors(torch.tensor([[0.1, 0, 0], [1.9, 0, 0]]), torch.stack((RED, BLUE)), box, 2)
    assert grid.values.shape == (3, 3, 2, 2)
    places = torch.tensor([[0.0, 0.5, 0.2], [1.5, 0.3, 0.9], [9.0, 9, 9], [-9.0, 0, 0]])
    want = torch.stack((RED, grid.values[:, 1:, 0, 0].mean(1), BLUE, RED))
    torch.testing.assert_close(grid.at(places), want)
