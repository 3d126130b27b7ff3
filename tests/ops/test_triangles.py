"""Which face a pixel shows: bit for bit the definition, against rays solved in double, and by hand."""

from __future__ import annotations

import warnings

import pytest
import torch
from raster_scenes import device_of, on_every_backend
from torch import Tensor
from triangle_scenes import at_pixels, cameras_around, giants, rays, soup, sphere

from sctd import ops
from sctd.errors import BackendUnavailable, InputError, TooLarge
from sctd.ops import _backend, triangles

with_reference = pytest.mark.parametrize(
    "backend", ["reference", "cpu", "cuda-simt", pytest.param("cuda", marks=pytest.mark.gpu)]
)


def rasterize(vertices: Tensor, faces: Tensor, height: int, width: int, backend: str) -> triangles.Fragments:
    """On the backend's device; the fragments on the CPU."""
    device = device_of(backend)
    found = triangles.rasterize(vertices.to(device), faces.to(device), height, width, backend=backend)
    return triangles.Fragments(found.triangles.cpu(), found.barycentrics.cpu(), found.depth.cpu())


def fragments_equal(a: triangles.Fragments, b: triangles.Fragments) -> bool:
    return all(
        torch.equal(getattr(a, name), getattr(b, name)) for name in ("triangles", "barycentrics", "depth")
    )


SCENES = {
    "soup": soup(60, 35, 45, cameras=2, seed=1),
    "behind the camera": soup(50, 33, 40, seed=2, behind=0.3),
    "one row": soup(20, 1, 70, seed=3, behind=0.2),
    "giants": giants(30, 20, 50, seed=4),
}


@on_every_backend
@pytest.mark.parametrize("name", SCENES)
def test_the_same_bits_as_the_definition(name: str, backend: str) -> None:
    scene = SCENES[name]
    dtypes = [torch.float32, torch.float64] if backend == "cpu" else [torch.float32]
    for dtype in dtypes:
        inputs = (scene.vertices.to(dtype), *scene[1:])
        got = rasterize(*inputs, backend)
        want = rasterize(*inputs, "reference")
        assert want.covered.any()
        assert fragments_equal(got, want), dtype


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", ["soup", "behind the camera"])
def test_rays_meet_what_is_seen(name: str, backend: str) -> None:
    """In double; where every face's weights are 0.02 or more from an edge, the nearest by a linear solver."""
    scene = SCENES[name]
    got = triangles.rasterize(scene.vertices.double(), *scene[1:], backend=backend)
    b, depth = rays(scene.vertices[0], scene.faces, scene.height, scene.width)
    low = b.amin(-1)
    inside = (low >= 0) & (depth >= -1)
    certain = ~((low.abs() < 0.02) | ((depth + 1).abs() < 0.02)).any(0)
    expected = torch.where(inside.any(0), torch.where(inside, depth, torch.inf).min(0).indices, -1)
    assert certain.double().mean() > 0.2
    assert torch.equal(got.triangles[0][certain].long(), expected[certain])
    at = certain & (expected >= 0)
    rows, columns = at.nonzero().unbind(1)
    weights, deep = b[expected[at], rows, columns], depth[expected[at], rows, columns]
    torch.testing.assert_close(got.barycentrics[0][at], weights, atol=1e-9, rtol=0)
    torch.testing.assert_close(got.depth[0][at], deep, atol=1e-9, rtol=0)


@with_reference
def test_a_rectangle_between_pixel_centres_and_on_them(backend: str) -> None:
    """Left and top edges through pixel centres belong, right and bottom ones do not; the diagonal once."""
    for x0, y0, x1, y1 in ((2.5, 1.5, 6.5, 5.5), (2.25, 1.75, 6.5, 5.0), (2.51, 1.49, 6.49, 5.51)):
        points = torch.tensor([[x0, y0, 0], [x1, y0, 0], [x1, y1, 0], [x0, y1, 0]])
        corners = at_pixels(points, 8, 9)[None]
        pixels = torch.zeros(8, 9, dtype=torch.bool)
        for j in range(8):
            for i in range(9):
                pixels[j, i] = x0 <= i + 0.5 < x1 and y0 <= j + 0.5 < y1
        for faces in ([[0, 1, 2], [0, 2, 3]], [[2, 1, 0], [0, 2, 3]], [[1, 2, 3], [3, 0, 1]]):
            drawn = torch.stack(
                [rasterize(corners, torch.tensor([f]), 8, 9, backend).covered[0] for f in faces]
            )
            assert torch.equal(drawn.sum(0), pixels.long()), (faces, x0)


@with_reference
def test_every_pixel_of_a_closed_fan_is_covered_once(backend: str) -> None:
    """Spokes through pixel centres and through none, long thin faces among them; the rim is outside."""
    g = torch.Generator().manual_seed(5)
    size, spokes = 24, 40
    for center in ((12.5, 11.5), (12.3, 11.7)):
        angle = (torch.arange(spokes) + 0.8 * torch.rand(spokes, generator=g)) * (2 * torch.pi / spokes)
        rim = torch.stack([center[0] + 60 * angle.cos(), center[1] + 60 * angle.sin(), 0 * angle], -1)
        rim[::8] = torch.round(rim[::8] - 0.5) + 0.5  # spokes that meet many pixel centres exactly
        points = torch.cat([torch.tensor([[*center, 0.0]]), rim])
        number = torch.arange(spokes)
        faces = torch.stack([0 * number, 1 + number, 1 + (number + 1) % spokes], -1)
        corners = at_pixels(points, size, size)[None]
        count = torch.zeros(size, size, dtype=torch.long)
        for face in faces:
            count += rasterize(corners, face[None], size, size, backend).covered[0]
        assert torch.equal(count, torch.ones_like(count))


@with_reference
def test_a_cut_by_the_near_plane_leaves_no_gap(backend: str) -> None:
    """A floor of many faces, from behind the camera to far away: one face a pixel below the horizon."""
    x, z = torch.meshgrid(torch.linspace(-20, 20, 7), torch.linspace(-5, 30, 8), indexing="ij")
    points = torch.stack([x, torch.ones_like(x), z], -1).reshape(-1, 3)  # y down: one unit under the eye
    number = torch.arange(56).reshape(7, 8)
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[:-1, 1:], number[1:, 1:]
    faces = torch.cat([torch.stack([a, b, c], -1).reshape(-1, 3), torch.stack([c, b, d], -1).reshape(-1, 3)])
    k = torch.tensor([[[20.0, 0, 16], [0, 20, 12], [0, 0, 1]]])
    vertices = triangles.clip_space(points, torch.eye(4)[None], k, 32, 24, near=0.1, far=50)
    count = torch.zeros(24, 32, dtype=torch.long)
    for face in faces:
        count += rasterize(vertices, face[None], 24, 32, backend).covered[0]
    rows = torch.arange(24) + 0.5
    depth = 20 / (rows - 12)  # of the floor at a row
    full = (rows > 12) & (depth < 29.9) & (depth > 0.2)
    assert full.sum() > 8
    assert torch.equal(count[full], torch.ones_like(count[full]))
    assert not count[rows < 12].any()
    there = [t.to(device_of(backend)) for t in (points[:, 2:], vertices, faces)]
    whole = triangles.rasterize(*there[1:], 24, 32, backend=backend)
    camera_z = triangles.interpolate(*there, whole, backend=backend)[0, ..., 0].cpu()
    want = depth[full, None].expand(-1, 32)
    torch.testing.assert_close(camera_z[full], want, rtol=2e-5, atol=0)


@with_reference
def test_of_equal_depths_the_lower_number_is_seen(backend: str) -> None:
    points = torch.tensor([[1.0, 1, 0.5], [7, 1, 0.5], [1, 7, 0.5]])
    vertices = at_pixels(points, 8, 8)[None]
    got = rasterize(vertices, torch.tensor([[2, 1, 0], [0, 1, 2], [1, 2, 0]]), 8, 8, backend)
    assert set(got.triangles.unique().tolist()) == {-1, 0}


@with_reference
def test_nothing_to_see(backend: str) -> None:
    """No faces, no vertices, no area, behind the camera, outside, between the pixels: empty pictures."""
    none = torch.zeros(0, 3, dtype=torch.int64)
    corners = at_pixels(torch.tensor([[1.0, 1, 0], [7, 1, 0], [4, 1, 0], [1, 7, 0]]), 8, 8)[None]
    face = torch.tensor([[0, 1, 3]])
    outside = corners + torch.tensor([3.0, 0, 0, 0])
    between = at_pixels(torch.tensor([[2.6, 2.6, 0], [3.4, 2.6, 0], [2.6, 3.4, 0]]), 8, 8)[None]
    for vertices, faces in (
        (corners, none),
        (corners[:, :0], none),
        (corners, torch.tensor([[0, 1, 2], [0, 0, 3], [3, 3, 3]])),
        (-corners, face),
        (corners * torch.tensor([1.0, 1, 0, 1]) - torch.tensor([0.0, 0, 2, 0]), face),
        (outside, face),
        (between, torch.tensor([[0, 1, 2]])),
    ):
        device = device_of(backend)
        vertices, faces = vertices.to(device), faces.to(device)
        got = triangles.rasterize(vertices, faces, 8, 8, backend=backend)
        assert (got.triangles == -1).all()
        assert not got.barycentrics.any()
        assert not got.depth.any()
        vertices = vertices.clone().requires_grad_()
        colors = torch.ones(vertices.shape[1], 3, device=device, requires_grad=True)
        picture = triangles.interpolate(colors, vertices, faces, got, backend=backend)
        picture = triangles.edge_gradient(picture, vertices, faces, got, backend=backend)
        (picture + 1).square().sum().backward()
        assert not picture.any()
        assert vertices.grad is None or not vertices.grad.any()
        assert colors.grad is None or not colors.grad.any()


@on_every_backend
def test_a_vertex_that_is_not_finite_hides_its_faces_alone_where_nobody_looks(backend: str) -> None:
    """As on a GPU, where looking would wait: the kernels draw the other faces."""
    from sctd.ops import _triangle_ops as native

    scene = soup(30, 20, 20, seed=6)
    vertices = scene.vertices.clone()
    for row, (column, value) in enumerate(
        [(0, torch.nan), (1, torch.inf), (2, -torch.inf), (3, torch.inf), (3, torch.nan)]
    ):
        vertices[0, 3 * row, column] = value
    vertices, faces = vertices.to(device_of(backend)), scene.faces.to(device_of(backend))
    got = native.rasterize(vertices, faces, 20, 20, backend)
    want = native.rasterize(vertices, faces[5:].contiguous(), 20, 20, backend)
    assert torch.equal(got[0], torch.where(want[0] >= 0, want[0] + 5, -1))
    assert torch.equal(got[1], want[1])


def test_results_do_not_depend_on_threads() -> None:
    points, faces = sphere(12, 20)
    views, k = cameras_around(2, 40, 70)
    before = ops.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            ops.set_num_threads(threads)
            p = points.float().requires_grad_()
            colors, uv = (
                torch.rand(len(points), n, generator=torch.Generator().manual_seed(n)) for n in (3, 2)
            )
            texels = torch.rand(9, 7, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
            vertices = triangles.clip_space(p, views.float(), k.float(), 70, 40)
            drawn = triangles.rasterize(vertices, faces, 40, 70)
            both = triangles.interpolate(torch.cat([colors, 3 * uv], 1), vertices, faces, drawn)
            picture = both[..., :3] * triangles.texture(texels, both[..., 3:])
            picture = triangles.edge_gradient(picture, vertices, faces, drawn)
            (picture * torch.linspace(-1, 1, picture.numel()).reshape(picture.shape)).sum().backward()
            assert p.grad is not None
            assert texels.grad is not None
            found.append([picture.detach(), drawn.depth, p.grad, texels.grad])
    finally:
        ops.set_num_threads(before)
    for a, b in zip(*found, strict=True):
        assert a.any()
        assert torch.equal(a, b)


def test_a_gpu_s_kernels_draw_there_and_without_them_the_slow_way_is_said_once() -> None:
    class Elsewhere:
        device, dtype = torch.device("cuda"), torch.float32

    try:
        _backend._runnable_cuda(Elsewhere.device)
        want, why = "cuda", ""
    except BackendUnavailable as exc:
        want, why = "reference", str(exc)
    _backend._say_slow.cache_clear()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        chosen = [_backend.choose("auto", Elsewhere(), triangles.KERNELS) for _ in range(2)]  # type: ignore[arg-type]
    assert chosen == [want, want]
    slow = [f"{why}; until then plain torch is used, which is slow"] if why else []
    assert [str(w.message) for w in said] == slow


# --- what is refused ----------------------------------------------------------------------------------------

V = at_pixels(torch.tensor([[1.0, 1, 0], [7, 1, 0], [1, 7, 0]]), 8, 8)[None]
F = torch.tensor([[0, 1, 2]])


@pytest.mark.parametrize(
    ("vertices", "faces", "size", "said"),
    [
        (V[0], F, (8, 8), r"vertices must have shape \[C, V, 4\] with C >= 1; got \[3, 4\]"),
        (V.half(), F, (8, 8), "vertices must be float32 or float64; got torch.float16"),
        (V, F.float(), (8, 8), "faces must be a tensor of int32 or int64; got torch.float32"),
        (V, F[0], (8, 8), r"faces must have shape \[F, 3\]; got \[3\]"),
        (V, F + 1, (8, 8), r"faces must hold indices in 0..2; got 3"),
        (V, F - 1, (8, 8), r"faces must hold indices in 0..2; got -1"),
        (V[:, :0], F, (8, 8), r"indices in 0..-1; got 0|indices in 0..-1; got 2"),
        (V, triangles.topology(F, 4), (8, 8), "the topology is of 4 vertices; got 3"),
        (V, F, (0, 8), "height must be at least 1 pixel; got 0"),
        (V, F, (8, 2.5), "width must be a whole number; got 2.5"),
        (
            V * torch.tensor([1, torch.nan, 1, 1]),
            *(F, (8, 8), "vertices must be finite; vertex 0 of camera 0 is .*nan"),
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    vertices: Tensor, faces: Tensor, size: tuple[int, int], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        triangles.rasterize(vertices, faces, *size)


def test_what_does_not_fit_the_fragments_is_refused_by_name() -> None:
    drawn = triangles.rasterize(V, F, 8, 8)
    colors, picture = torch.ones(3, 2), torch.ones(1, 8, 8, 2)
    two = V.repeat(2, 1, 1)
    by_hand = triangles.Fragments(drawn.triangles + 1, drawn.barycentrics, drawn.depth)
    for call, said in (
        (lambda: triangles.interpolate(colors[:2], V, F, drawn), r"attributes must have shape \[3, 2\] or"),
        (
            lambda: triangles.interpolate(colors.double(), V, F, drawn),
            "attributes must have the dtype of vert",
        ),
        (
            lambda: triangles.interpolate(colors, two, F, drawn),
            r"those of 2 cameras; got triangles \[1, 8, 8\]",
        ),
        (lambda: triangles.interpolate(colors, V, F.repeat(2, 1), drawn), "drawn with 1 faces; got 2"),
        (lambda: triangles.interpolate(colors, V, F, by_hand), "fragments show face 1; there are 1 faces"),
        (
            lambda: triangles.edge_gradient(picture[:, 1:], V, F, drawn),
            r"image must have shape \[1, 8, 8, 2\]",
        ),
        (
            lambda: triangles.texture(picture[0], colors[:, :1]),
            r"uv must have shape \[..., 2\]; got \[3, 1\]",
        ),
        (lambda: triangles.texture(picture, colors), r"image must have shape \[H, W, D\]"),
        (
            lambda: triangles.texture(picture[0], colors, "mirror"),
            "wrap must be one of repeat, clamp; got 'mirr",
        ),
        (
            lambda: triangles.clip_space(V[0], torch.eye(4)[None], torch.eye(3)[None], 8, 8),
            "points must have",
        ),
        (
            lambda: triangles.clip_space(V[0, :, :3], torch.eye(4)[None], torch.eye(3)[None], 8, 8, 2, 1),
            "0 < near < far; got 2 and 1",
        ),
    ):
        with pytest.raises(InputError, match=said):
            call()
    with pytest.raises(TooLarge, match="at most 32768 pixels wide and high; got 8 x 40000"):
        triangles.rasterize(V, F, 40000, 8)
