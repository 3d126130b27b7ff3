"""Normal maps as what the prior sees of a mesh: against ray-traced ones, and as guidance of the surface."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scipy.spatial import ConvexHull
from shells import sphere, sphere_points
from small import small_config, small_prior
from tiny import write_folder
from torch import Tensor
from torch.nn.functional import max_pool2d

from sctd.cameras import CameraBatch, orbit_cameras
from sctd.config import Config, load_config
from sctd.config.surface import SurfaceSettings
from sctd.errors import InputError
from sctd.latents import render_to_latents
from sctd.mesh.trained.colored import ColoredMesh, Seen, painted
from sctd.mesh.trained.colors import ColorGrid
from sctd.mesh.trained.paints import normal_map
from sctd.mesh.trained.start import first_mesh
from sctd.mesh.trained.surfaces import Shape
from sctd.mesh.trained.trained import TrainedMesh
from sctd.preflight import check_config, check_settings
from sctd.prior import load_prior
from sctd.trainer import Start, Trainer, random_streams

RADIUS, AXES = 0.5, torch.tensor([0.6, 0.42, 0.5])
SIZE = 48
RATES = ("surface.vertices.start=8e-3", "surface.distance.start=8e-3", "surface.distance.end=2e-3")


@pytest.fixture(scope="module", params=["tetrahedra", "triangles"])
def ball(request: pytest.FixtureRequest) -> ColoredMesh:
    settings = SurfaceSettings(kind=request.param, resolution=12, faces=1200, views=16, view_size=128)
    return first_mesh(sphere(torch.zeros(3), RADIUS, count=1500), settings)


def config_of(kind: str, *overrides: str, iterations: int = 40) -> Config:
    own = (f"surface.kind={kind}", "representation=mesh", "surface.shown=normals", *overrides)
    return small_config(iterations, "sctd.as_latent=0", *own)


def traced(cameras: CameraBatch, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Normal map [C, 3, H, W] and coverage [C, 1, H, W] of an ellipsoid at the origin: a ray a pixel."""
    pixels = torch.arange(SIZE) + 0.5
    at = torch.stack(torch.meshgrid(pixels, pixels, indexing="xy"), dim=-1)
    maps, masks = [], []
    for view, k in zip(cameras.viewmats, cameras.Ks, strict=True):
        turn = view[:3, :3]
        rays = torch.cat(((at - k[:2, 2]) / k.diagonal()[:2], torch.ones(SIZE, SIZE, 1)), dim=-1) @ turn
        eye = -view[:3, 3] @ turn
        a, b = (rays / axes).square().sum(-1), (rays * eye / axes**2).sum(-1)
        root = b * b - a * ((eye / axes).square().sum() - 1)
        hit = root > 0
        far = (-b - root.clamp_min(0).sqrt()) / a
        outwards = (eye + far[..., None] * rays) / axes**2
        x, y, z = (outwards / outwards.norm(dim=-1, keepdim=True) @ turn.T).unbind(-1)
        maps.append(torch.where(hit, (1 + torch.stack((x, -y, -z))) / 2, 0.0))
        masks.append(hit[None].float())
    return torch.stack(maps), torch.stack(masks)


def seen_of(shape: Shape, cameras: CameraBatch) -> Seen:
    none = ColorGrid(torch.zeros(3, 2, 2, 2), torch.tensor([[-1.0] * 3, [1.0] * 3]))
    paint = normal_map(shape, none, cameras)
    return painted(shape, paint, cameras, torch.zeros(len(cameras), 3), disparity=True)


def round_about(count: int = 6) -> CameraBatch:
    return orbit_cameras(count, 20.0, 3.0, 25.0, SIZE)


def test_a_normal_map_is_that_of_a_ray_tracer() -> None:
    """Of an ellipsoid of 4000 triangles, before black. Exchanged axes would be off by 0.2."""
    points = AXES * sphere_points(2002)
    faces = torch.from_numpy(ConvexHull(points.double().numpy()).simplices).long()
    a, b, c = points[faces].unbind(1)
    inwards = (torch.linalg.cross(b - a, c - a) * a).sum(1) < 0
    shape = Shape(points, torch.where(inwards[:, None], faces.flip(1), faces))
    found = seen_of(shape, round_about())
    want, mask = traced(round_about(), AXES)
    inside = -max_pool2d(-mask, 3, 1, 1) > 0
    outside = max_pool2d(mask, 3, 1, 1) == 0
    assert found.coverage is not None
    assert float((found.rgb - want).abs()[inside.expand_as(want)].mean()) < 0.005
    assert bool((found.rgb[outside.expand_as(want)] == 0).all())
    assert bool((found.coverage[inside] == 1).all() and (found.coverage[outside] == 0).all())


def test_normals_guide_a_ball_to_an_ellipsoid(ball: ColoredMesh) -> None:
    """First by normals and coverage as latents, then by the map alone: half of the way and more."""
    config = config_of(ball.settings.kind, "surface.latent_share=0.5", *RATES)
    asset = TrainedMesh(ball, config)
    cameras, generator = round_about(), torch.Generator()
    want, mask = traced(cameras, AXES)

    def away() -> float:
        places = asset.result().surface().shape().vertices.detach()
        return float(((places / AXES).norm(dim=1) - 1).abs().mean())

    distances = [away()]
    for i in range(config.iterations):
        picture = asset.draw(cameras, torch.ones(6, 3), i, generator, disparity=False)
        assert (picture.latents is not None) == (i < 20)
        if picture.latents is not None:
            (picture.latents - torch.cat((2 * want - 1, mask), dim=1)).square().sum().backward()
        else:
            (picture.rgb - want).square().sum().backward()
        asset.update(picture, i, torch.ones(1), generator)
        if i == 19:
            distances.append(away())
    distances.append(away())
    assert distances[1] < 0.7 * distances[0], distances
    assert distances[2] < 0.5 * distances[0], distances


def test_the_gradient_is_that_of_finite_differences() -> None:
    """Of a wavy sheet beyond all borders of the picture, along random moves of all its vertices.

    A hundredth of the gradient's length is left to samples that go from face to face.
    """
    across = torch.linspace(-1.2, 1.2, 13)
    y, x = torch.meshgrid(across, across, indexing="ij")
    vertices = torch.stack((x, y, 0.15 * torch.sin(4 * x) * torch.cos(3 * y)), dim=-1).reshape(-1, 3)
    corner = (torch.arange(12)[:, None] * 13 + torch.arange(12)).reshape(-1, 1)
    faces = torch.cat((corner + torch.tensor([0, 1, 14]), corner + torch.tensor([0, 14, 13])))
    camera = orbit_cameras(1, 0.0, 3.0, 30.0, 32)
    draws = torch.Generator().manual_seed(3)
    vertices += 0.02 * torch.randn(vertices.shape, generator=draws)  # no sample is on an edge
    weights = torch.randn(1, 3, 32, 32, generator=draws)
    moves = torch.randn(4, *vertices.shape, generator=draws)

    def loss(places: Tensor) -> Tensor:
        seen = seen_of(Shape(places, faces), camera)
        assert seen.coverage is not None
        assert bool((seen.coverage == 1).all())
        return (weights * seen.rgb).double().sum()

    places = vertices.clone().requires_grad_()
    loss(places).backward()
    assert places.grad is not None
    step, length = 3e-4, float(places.grad.norm())
    for move in moves:
        want = float(loss(vertices + step * move) - loss(vertices - step * move)) / (2 * step)
        assert float((places.grad * move).sum()) == pytest.approx(want, abs=0.01 * length)


def test_normals_are_latents_at_first_and_then_encoded(ball: ColoredMesh, tmp_path: Path) -> None:
    """By a prior in the layout of Stable Diffusion. The surface moves, its colours do not."""
    prior = load_prior(str(write_folder(tmp_path / "tiny")))
    config = config_of(ball.settings.kind, "surface.latent_share=0.5", iterations=4)
    trainer = Trainer(config, prior, start=Start(ball, random_streams(1)))
    colors, name = ball.colors.values.clone(), next(iter(trainer.asset.result().surface().parameters))
    before = ball.tensors[name]
    for _ in range(4):
        assert "offender" not in trainer.step()
        now = trainer.asset.state_dict()["surface"][name].clone()
        assert not torch.equal(now, before)
        before = now
    assert torch.equal(trainer.asset.state_dict()["colors"]["values"], colors)


def test_given_latents_are_made_as_small_as_the_prior_s() -> None:
    """Means of 4 x 4 pixels, but for antialiasing's reach; mirrored with the batch; never decoded."""
    prior, draws = small_prior(), torch.Generator().manual_seed(0)
    ramp = torch.linspace(-1, 1, 16).expand(2, 4, 16, 16).clone().requires_grad_()
    made = render_to_latents(prior, torch.rand(2, 3, 16, 16), None, draws, latents=ramp)
    assert made.images is None
    assert made.z0.shape == (2, 4, 4, 4)
    torch.testing.assert_close(made.z0[..., 1:3], ramp.reshape(2, 4, 4, 4, 4, 4).mean((3, 5))[..., 1:3])
    turned = render_to_latents(prior, torch.rand(2, 3, 16, 16), None, draws, latents=ramp, flip=1.0)
    torch.testing.assert_close(turned.z0, made.z0.flip(-1))
    made.z0.sum().backward()
    assert bool((ramp.grad != 0).all())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("", "the embedded prior has never seen a normal map.*; set surface.shown=colors"),
        (", sctd: {flip: 0.5}", r"cannot be mirrored, and sctd\.flip is 0\.5; set sctd\.flip=0"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_torch_is_loaded(settings: str, told: str) -> None:
    geometry = f"{{representation: mesh, surface: {{shown: normals}}{settings}}}"
    stages = f"stages=[{{name: coarse}}, {{name: geometry, settings: {geometry}}}]"
    config = load_config(prompt="a red ball", overrides=(stages,))
    with pytest.raises(InputError, match=told):
        check_config(config)
    if not settings:
        check_settings(config)
