"""Gradients of the triangle ops: finite differences, the definition, supersampled scenes, DEODR."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from raster_scenes import device_of, on_every_backend
from torch import Tensor
from triangle_scenes import at_pixels, cameras_around, soup, sphere

from sctd.errors import Unsupported
from sctd.ops import triangles


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- inside of faces ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("shared", [True, False])
def test_interpolation_against_finite_differences(shared: bool, backend: str) -> None:
    """Attributes and vertices, in double; fragments stay, as between two edges."""
    scene = soup(6, 9, 10, cameras=2, seed=3, behind=0.1)
    vertices = scene.vertices.double().requires_grad_()
    drawn = triangles.rasterize(vertices, scene.faces, 9, 10, backend=backend)
    assert drawn.covered.sum() > 60
    attributes = random(*(() if shared else (2,)), 18, 2).requires_grad_()

    def picture(a: Tensor, v: Tensor) -> Tensor:
        return triangles.interpolate(a, v, scene.faces, drawn, backend=backend)

    if backend == "reference":
        assert torch.autograd.gradcheck(picture, (attributes, vertices))
        return
    # The native op takes the weights of the fragments, so that its vertices cannot be moved without them.
    weight = random(2, 9, 10, 2, seed=1)
    (picture(attributes, vertices) * weight).sum().backward()
    got = [attributes.grad, vertices.grad]
    again = [t.detach().clone().requires_grad_() for t in (attributes, vertices)]
    image = triangles.interpolate(*again, scene.faces, drawn, backend="reference")
    (image * weight).sum().backward()
    for a, b in zip(got, again, strict=True):
        torch.testing.assert_close(a, b.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("wrap", triangles.WRAPS)
def test_texture_against_finite_differences(wrap: str, backend: str) -> None:
    image = random(5, 4, 2).requires_grad_()
    uv = (3 * random(17, 2, seed=2) - 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, p: triangles.texture(i, p, wrap, backend=backend), (image, uv))


@on_every_backend
def test_texture_at_texels_and_between_them(backend: str) -> None:
    texels = torch.arange(12.0).reshape(3, 4, 1)
    uv = torch.tensor(
        [[0.5 / 4, 0.5 / 3], [3.5 / 4, 2.5 / 3], [2 / 4, 1.5 / 3], [1.0, 0.5 / 3], [-0.125, 2.5 / 3]]
    )
    texels, uv = texels.to(device_of(backend)), uv.to(device_of(backend))
    for wrap, want in (("repeat", [0, 11, 5.5, 1.5, 11]), ("clamp", [0, 11, 5.5, 3, 8])):
        got = triangles.texture(texels, uv, wrap, backend=backend)[:, 0].cpu()
        torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float32), rtol=0, atol=1e-5)
    nowhere = uv.new_tensor([[torch.nan, 0.5], [0.5, torch.inf]])
    lost = triangles.texture(texels, nowhere, backend=backend)
    assert not lost.isfinite().any()


def every_gradient(dtype: torch.dtype, backend: str, channels: int = 3) -> list[Tensor]:
    """Two cameras on a textured sphere, all four ops, gradients of everything."""
    points, faces = sphere(9, 14)
    faces = faces.to(device_of(backend))
    views, k = (t.to(device_of(backend), dtype) for t in cameras_around(2, 24, 30))
    leaves = [points, random(2, len(points), channels, seed=4), 3 * random(len(points), 2, seed=5)]
    leaves += [random(6, 5, channels, seed=6)]
    p, colors, uv, texels = (t.to(views).requires_grad_() for t in leaves)
    vertices = triangles.clip_space(p, views, k, 30, 24)
    vertices.retain_grad()
    drawn = triangles.rasterize(vertices, faces, 24, 30, backend=backend)
    shaded = triangles.interpolate(colors, vertices, faces, drawn, backend=backend)
    at = triangles.interpolate(uv, vertices, faces, drawn, backend=backend)
    picture = shaded * triangles.texture(texels, at, backend=backend)
    picture = torch.where(drawn.covered[..., None], picture, 0.3)
    picture = triangles.edge_gradient(picture, vertices, faces, drawn, backend=backend)
    weight = random(*picture.shape, seed=7).to(views)
    (weight * picture.square()).sum().backward()
    found = [picture.detach(), *(t.grad for t in (vertices, p, colors, uv, texels))]
    return [t.double().cpu() for t in found if t is not None]


@on_every_backend
def test_gradients_are_the_definition_s(backend: str) -> None:
    """Float32 rounds positions of 30 pixels to 2^-19, and a difference of depths decides who is in front."""
    want = every_gradient(torch.float64, "reference")
    assert len(want) == 6
    runs = [(torch.float32, 2e-4)] + ([(torch.float64, 1e-10)] if backend == "cpu" else [])
    for dtype, tolerance in runs:
        for i, (a, b) in enumerate(zip(every_gradient(dtype, backend), want, strict=True)):
            assert b.abs().max() > 0
            error = (a - b).norm() / b.norm()
            assert error <= tolerance, (i, dtype, float(error))


@on_every_backend
def test_many_channels(backend: str) -> None:
    for a, b in zip(
        every_gradient(torch.float32, backend, 7), every_gradient(torch.float64, "reference", 7), strict=True
    ):
        assert (a - b).norm() <= 2e-4 * b.norm()


def test_second_derivatives_are_refused() -> None:
    points = torch.tensor([[1.0, 1, 0], [7, 1, 0], [1, 7, 0]])
    vertices, faces = at_pixels(points, 8, 8)[None].requires_grad_(), torch.tensor([[0, 1, 2]])
    drawn = triangles.rasterize(vertices, faces, 8, 8)
    image = triangles.interpolate(points, vertices, faces, drawn)
    (g,) = torch.autograd.grad(image.square().sum(), vertices, create_graph=True)
    with pytest.raises(Unsupported, match='interpolate has no second derivatives; use backend="reference"'):
        g.sum().backward()


# --- edges --------------------------------------------------------------------------------------------------

Move = Callable[[Tensor], Tensor]
"""A parameter => vertices [1, V, 4] of a scene."""


def supersampled_slope(move: Move, faces: Tensor, colors: Tensor, weight: Tensor, step: float) -> float:
    """d loss / d parameter at 0 of the picture's mean over 16 x 16 samples a pixel, flat colours of faces."""
    n = weight.shape[0]
    losses = []
    for x in (-step, step):
        drawn = triangles.rasterize(
            move(torch.tensor(x, dtype=torch.float64)), faces, 16 * n, 16 * n, backend="cpu"
        )
        fine = torch.cat([colors, torch.zeros_like(colors[:1])])[drawn.triangles[0].long()]
        coarse = fine.reshape(n, 16, n, 16, -1).mean((1, 3))
        losses.append(float((coarse * weight).sum()))
    return (losses[1] - losses[0]) / (2 * step)


def edge_slope(move: Move, faces: Tensor, colors: Tensor, weight: Tensor, backend: str) -> float:
    """The same by edge_gradient."""
    n = weight.shape[0]
    parameter = torch.zeros((), dtype=torch.float64, requires_grad=True)
    vertices = move(parameter)
    drawn = triangles.rasterize(vertices, faces, n, n, backend=backend)
    picture = torch.cat([colors, torch.zeros_like(colors[:1])])[drawn.triangles.long()]
    picture = triangles.edge_gradient(picture, vertices, faces, drawn, backend=backend)
    (picture[0] * weight).sum().backward()
    assert parameter.grad is not None
    return float(parameter.grad)


def smooth_weight(n: int) -> Tensor:
    """A loss that changes slowly over the picture, so that a pixel more or less decides little."""
    at = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.stack([(3 * at[:, None] + at[None]).sin(), (2 * at[None] - 4 * at[:, None]).cos()], -1)


N = 64
QUAD = torch.tensor([[0, 1, 2], [0, 2, 3]])


def turned(angle: float, scale: float = 20.0) -> Tensor:
    """An oblong in pixels around the origin, [4, 2]."""
    at = torch.tensor([[-1, -0.6], [1, -0.6], [1, 0.6], [-1, 0.6]], dtype=torch.float64) * scale
    c, s = torch.tensor(angle, dtype=torch.float64).cos(), torch.tensor(angle, dtype=torch.float64).sin()
    return torch.stack([at[:, 0] * c - at[:, 1] * s, at[:, 0] * s + at[:, 1] * c], -1)


def picture_of(xy: Tensor, depth: Tensor | float) -> Tensor:
    z = torch.as_tensor(depth, dtype=torch.float64).expand(len(xy))
    return at_pixels(torch.cat([xy, z[:, None]], -1), N, N)


def silhouettes() -> dict[str, Move]:
    middle = torch.tensor([31.3, 32.6], dtype=torch.float64)
    shape = turned(0.35)
    aside = torch.stack([-shape[:, 1], shape[:, 0]], -1) / 20
    w = torch.tensor([0.0, 0, 0, -1 / 20], dtype=torch.float64)
    right, down = torch.eye(2, dtype=torch.float64)
    return {
        "to the right": lambda x: picture_of(shape + middle + x * right, 0.1)[None],
        "down": lambda x: picture_of(shape + middle + x * down, 0.1)[None],
        "larger": lambda x: picture_of(shape * (1 + x / 20) + middle, 0.1)[None],
        "turned": lambda x: picture_of(shape + x * aside + middle, 0.1)[None],
        "nearer": lambda x: picture_of(shape + middle, 0.1)[None] + x * w,
    }


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", silhouettes())
def test_silhouettes_against_a_supersampled_scene(name: str, backend: str) -> None:
    """One oblong of one colour. The fragment is up to a pixel from the edge that it stands for, 1/12 of the
    half width; that edges are sampled once a pixel adds less."""
    move, colors, weight = silhouettes()[name], torch.tensor([[0.9, 0.4]] * 2).double(), smooth_weight(N)
    want = supersampled_slope(move, QUAD, colors, weight, 0.5)
    got = edge_slope(move, QUAD, colors, weight, backend)
    assert abs(want) > 3
    assert abs(got - want) <= 0.08 * abs(want), (got, want)


TWO = torch.cat([QUAD, QUAD + 4])


def crossings() -> dict[str, tuple[Move, bool]]:
    """Two surfaces, and whether the parameter changes what is seen. All other edges are outside."""
    wide = turned(0.2, 70.0) + 32
    small = turned(0.35, 14.0) + 30.6

    def tilted(x: Tensor, lift: Tensor | float = 0.0) -> Tensor:
        depth = 0.004 * (wide[:, 0] - 30.3) + 0.002 * (wide[:, 1] - 30) + lift
        return picture_of(wide + torch.stack([x, 0 * x]), depth)

    flat = picture_of(wide + 1.7, 0.0)
    nothing = torch.zeros((), dtype=torch.float64)
    right = torch.tensor([1.0, 0], dtype=torch.float64)
    return {
        "a surface through another moves aside": (lambda x: torch.cat([tilted(x), flat])[None], True),
        "one comes nearer": (lambda x: torch.cat([tilted(nothing, 0.004 * x), flat])[None], True),
        "the flat one moves aside": (
            lambda x: torch.cat([tilted(nothing), picture_of(wide + 1.7 + x * right, 0.0)])[None],
            False,
        ),
        "the flat one comes nearer": (
            lambda x: torch.cat([tilted(nothing), picture_of(wide + 1.7, 0.004 * x)])[None],
            True,
        ),
        "the one in front moves": (
            lambda x: torch.cat([picture_of(small + x * right, -0.5), flat])[None],
            True,
        ),
        "the one behind moves": (
            lambda x: torch.cat([picture_of(small, -0.5), picture_of(wide + x * right, 0.0)])[None],
            False,
        ),
    }


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", crossings())
def test_two_surfaces_against_a_supersampled_scene(name: str, backend: str) -> None:
    move, changes = crossings()[name]
    colors, weight = torch.tensor([[0.9, 0.4]] * 2 + [[0.2, 0.7]] * 2).double(), smooth_weight(N)
    want = supersampled_slope(move, TWO, colors, weight, 0.5)
    got = edge_slope(move, TWO, colors, weight, backend)
    assert (abs(want) > 1.5) == changes
    assert abs(got - want) <= 0.08 * abs(want) + 1e-6, (got, want)


@pytest.mark.parametrize("backend", ["reference", *on_every_backend.args[1]])
def test_faces_of_one_surface_have_no_edge_between_them(backend: str) -> None:
    """A fan of all colours that fills the picture, with depths of all kinds: nothing to gain by moving."""
    spokes = 12
    angle = torch.arange(spokes, dtype=torch.float64) * (2 * torch.pi / spokes)
    xy = torch.cat([torch.zeros(1, 2), 60 * torch.stack([angle.cos(), angle.sin()], -1)]) + 15.7
    depth = 0.3 * random(spokes + 1, seed=8)
    number = torch.arange(spokes)
    faces = torch.stack([0 * number, 1 + number, 1 + (number + 1) % spokes], -1)
    device = device_of(backend)
    vertices = at_pixels(torch.cat([xy, depth[:, None]], -1), 32, 32)[None].to(device, torch.float32)
    vertices, faces = vertices.requires_grad_(), faces.to(device)
    drawn = triangles.rasterize(vertices, faces, 32, 32, backend=backend)
    picture = random(spokes, 3, seed=9).to(vertices)[drawn.triangles.long()]
    assert drawn.covered.all()
    triangles.edge_gradient(picture, vertices, faces, drawn, backend=backend).square().sum().backward()
    assert vertices.grad is not None
    assert not vertices.grad.any()


def test_edges_where_more_than_two_faces_meet() -> None:
    """Three pages of a book, one face twice, one back to front: gradients are finite and the definition's."""
    book = torch.tensor([[16.0, 4, 0], [16, 28, 0.1], [3, 6, 0.2], [29, 9, 0.3], [22, 30, -0.3]]).double()
    faces = torch.tensor([[0, 1, 2], [0, 1, 3], [1, 0, 4], [0, 1, 2], [3, 1, 0]])
    found = []
    for backend in ("cpu", "reference"):
        vertices = at_pixels(book, 32, 32)[None].requires_grad_()
        drawn = triangles.rasterize(vertices, faces, 32, 32, backend=backend)
        picture = triangles.interpolate(book, vertices, faces, drawn, backend=backend)
        picture = triangles.edge_gradient(picture, vertices, faces, drawn, backend=backend)
        picture.square().sum().backward()
        assert vertices.grad is not None
        found.append(vertices.grad)
    assert found[0].any()
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


def test_edges_are_those_of_deodr() -> None:
    """Each corner of the oblong, of smooth colours. DEODR blurs edges over a pixel."""
    from deodr import differentiable_renderer as deodr

    corners = turned(0.35) + torch.tensor([31.3, 32.6], dtype=torch.float64)
    colors = torch.tensor([[0.9, 0.4], [0.8, 0.5], [0.7, 0.3], [0.9, 0.6]], dtype=torch.float64)
    weight = smooth_weight(N)
    scene = deodr.Scene2DBase(
        faces=QUAD.numpy().astype("uint32"),
        faces_uv=QUAD.numpy().astype("uint32"),
        ij=corners.numpy() - 0.5,  # its pixel centres are whole numbers
        depths=(0 * corners[:, 0] + 1).numpy(),
        textured=torch.zeros(2, dtype=torch.bool).numpy(),
        shaded=torch.zeros(2, dtype=torch.bool).numpy(),
        uv=torch.zeros(4, 2).double().numpy(),
        shade=torch.zeros(4).double().numpy(),
        colors=colors.numpy(),
        edgeflags=torch.tensor([[True, True, False], [False, True, True]]).numpy(),
        height=N,
        width=N,
        nb_colors=2,
        texture=torch.zeros(0, 0).double().numpy(),
        background_color=torch.zeros(2).double().numpy(),
        clockwise=True,
    )
    picture, depth = torch.zeros(N, N, 2).double().numpy(), torch.zeros(N, N).double().numpy()
    deodr.renderScene(scene, 1.0, picture, depth)
    for name, like in (("uv", scene.uv), ("ij", scene.ij), ("shade", scene.shade), ("colors", scene.colors)):
        setattr(scene, f"{name}_b", 0 * like)
    scene.texture_b = scene.texture
    deodr.renderSceneB(scene, 1.0, picture, depth, weight.numpy().copy())
    theirs = torch.from_numpy(scene.ij_b)

    moved = corners.clone().requires_grad_()
    vertices = picture_of(moved, 0.0)[None]
    drawn = triangles.rasterize(vertices, QUAD, N, N)
    ours = triangles.interpolate(colors, vertices, QUAD, drawn)
    ours = triangles.edge_gradient(ours, vertices, QUAD, drawn)
    (ours[0] * weight).sum().backward()
    assert moved.grad is not None
    assert theirs.norm() > 5
    error = (moved.grad - theirs).norm() / theirs.norm()
    assert error <= 0.1, (error, moved.grad, theirs)
