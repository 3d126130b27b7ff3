"""Runs that start from meshes: where the points are, how many, their colours, and that front is front."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from mesh_files import cube, write_cube, write_gltf
from torch import Tensor

from sctd.cameras import orbit_cameras
from sctd.config.asset import GaussianSettings
from sctd.errors import InputError
from sctd.formats.meshes.surface import Layer, Surface
from sctd.formats.meshes.texture import Texture
from sctd.formats.srgb import linear_to_srgb, srgb_to_linear
from sctd.gaussians import SH_C0, Gaussians
from sctd.initial.start import initialise
from sctd.initial.surface import fit, sample
from sctd.render import render


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def start(path: Path, *, said: list[str] | None = None, seed: int = 0, **settings: object) -> Gaussians:
    chosen = GaussianSettings.model_validate(
        {"init": "file", "init_path": str(path), "init_fit": False, "count": 600, **settings}
    )
    heard: list[str] = []
    made = initialise(chosen, generator(seed), say=heard.append)
    assert heard == [] if said is None else said.extend(heard) is None
    return made


def colors(gaussians: Gaussians) -> Tensor:
    return 0.5 + SH_C0 * gaussians.sh0[:, 0]


SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
HALVES = np.array([[0, 1, 2], [0, 2, 3]], np.uint32)
ONES = np.ones((4, 3), np.float32)


@pytest.mark.parametrize(
    ("name", "axes", "up"),
    [
        *((f"a.{ending}", "xyz", "y") for ending in ("glb", "gltf", "obj", "ply")),
        *((f"z.{ending}", "xzy", "z") for ending in ("glb", "obj", "ply")),
    ],
)
def test_front_is_front(tmp_path: Path, name: str, axes: str, up: str) -> None:
    """Rendered by the cameras of a run: red from the front, blue from the object's left, green above."""
    path = write_cube(tmp_path / name, axes)
    gaussians = start(path, init_up=up, init_opacity=0.99, init_fit=True, count=3000)
    around = orbit_cameras(4, 0.0, 3.0, 40.0, 32)  # front, left, back, right
    seen = render(gaussians, around, torch.zeros(4, 3)).rgb[:, :, 16, 16]
    grey = float(linear_to_srgb(torch.tensor(0.25))) if name[-3:] == "glb" or "gltf" in name else 0.25
    want = torch.tensor([[1.0, 0, 0], [0, 0, 1], [grey] * 3, [grey] * 3])
    torch.testing.assert_close(seen, want, atol=0.1, rtol=0)
    above = render(gaussians, orbit_cameras(1, 60.0, 3.0, 40.0, 32), torch.zeros(1, 3)).rgb[0]
    assert above[1, 10, 16] > 0.8  # the far half of the picture is the top
    assert above[0, 22, 16] > 0.8  # and below it the front


@pytest.mark.parametrize("name", ["a.glb", "a.gltf", "a.obj", "a.stl", "a.ply"])
def test_points_lie_on_the_faces_by_area(tmp_path: Path, name: str) -> None:
    gaussians = start(write_cube(tmp_path / name))
    assert len(gaussians) == 600
    on_face = (gaussians.means.abs() - 1).abs().amin(1)
    torch.testing.assert_close(on_face, torch.zeros(600), atol=1e-6, rtol=0)
    for axis in range(3):
        for side in (-1, 1):
            assert abs(int((gaussians.means[:, axis] * side > 1 - 1e-6).sum()) - 100) <= 2
    if name == "a.stl":  # no colours of its own
        torch.testing.assert_close(colors(gaussians), torch.full((600, 3), 0.5))


def test_the_seed_decides_alone(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "a.glb")
    first, again, other = (start(path, seed=seed) for seed in (3, 3, 4))
    for name, tensor in first.parameters().items():
        assert torch.equal(tensor, again.parameters()[name])
    assert not torch.equal(first.means, other.means)


def test_fitted_into_the_radius(tmp_path: Path) -> None:
    positions, triangles, _ = cube()
    path = write_gltf(tmp_path / "a.glb", positions * 40 + np.float32(100), triangles)
    means = start(path, init_fit=True, init_radius=0.6, count=5000).means
    assert means.norm(dim=1).max() == pytest.approx(0.6, abs=0.02)  # a corner
    torch.testing.assert_close(means.amax(0), torch.full((3,), 0.6 / 3**0.5), atol=1e-5, rtol=0)
    torch.testing.assert_close(means.amin(0), torch.full((3,), -0.6 / 3**0.5), atol=1e-5, rtol=0)
    kept = start(path).means
    assert 60 - 1e-3 < float(kept.min()) < float(kept.max()) < 140 + 1e-3


def test_vertices_that_no_face_uses_do_not_count() -> None:
    far = Surface(
        torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9]]).double(),
        torch.tensor([[0, 1, 2]]),
        torch.ones(4, 3),
    )
    (moved,) = fit([far], 1.0)
    torch.testing.assert_close(moved.triangles().amax((0, 1))[:2], torch.full((2,), 0.5**0.5).double())


def test_the_node_moves_the_mesh(tmp_path: Path) -> None:
    """A quarter turn round z, x to y, then a shift: glTF's rotation is xyzw."""
    turn = {"rotation": [0, 0, 0.5**0.5, 0.5**0.5], "translation": [0, 0, 5]}
    means = start(write_gltf(tmp_path / "a.glb", SQUARE, HALVES, node=turn)).means
    assert -1 <= float(means[:, 0].min()) < float(means[:, 0].max()) <= 0
    assert 0 <= float(means[:, 1].min()) < float(means[:, 1].max()) <= 1
    torch.testing.assert_close(means[:, 2], torch.full((600,), 5.0))


def test_gltf_colours_are_linear_and_multiplied(tmp_path: Path) -> None:
    """Vertex colour times base colour times texture, in linear light; 0.21404 is sRGB 0.5."""
    texture = np.full((2, 2, 3), 128, np.uint8)
    for given, linear in (
        ({"colors": 0.5 * ONES}, 0.5),
        ({"material": {"baseColorFactor": [0.5, 0.5, 0.5, 1]}}, 0.5),
        ({"material": {"baseColorFactor": [0.5, 0.5, 0.5, 1]}, "colors": 0.5 * ONES}, 0.25),
        ({"image": texture, "uvs": SQUARE[:, :2]}, 0.2158605),
        ({"image": texture, "uvs": SQUARE[:, :2], "colors": 0.5 * ONES}, 0.5 * 0.2158605),
    ):
        got = colors(start(write_gltf(tmp_path / "a.glb", SQUARE, HALVES, **given)))
        want = linear_to_srgb(torch.tensor(linear)).expand(600, 3)
        torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    assert float(linear_to_srgb(torch.tensor(0.21404))) == pytest.approx(0.5, abs=1e-4)
    ramp = torch.linspace(0, 1, 1001, dtype=torch.float64)
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(ramp)), ramp, atol=1e-6, rtol=0)


TEXELS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [200, 100, 50]]], np.uint8)


@pytest.mark.parametrize("ending", ["glb", "obj"])
def test_textures_are_the_right_way_up(tmp_path: Path, ending: str) -> None:
    """glTF counts v from the top, OBJ from the bottom; past 1 both begin again."""
    path = tmp_path / f"a.{ending}"
    uvs = SQUARE[:, :2] + np.array([1, 2], np.float32)
    texture = TEXELS.repeat(16, axis=0).repeat(16, axis=1)
    if ending == "glb":
        uvs[:, 1] = 1 - uvs[:, 1]
        write_gltf(path, SQUARE, HALVES, uvs=uvs, image=texture)
    else:
        from PIL import Image

        Image.fromarray(texture).save(tmp_path / "t.png")
        (tmp_path / "a.mtl").write_text("newmtl m\nKd 0 0 0\nmap_Kd t.png\n")
        corners = [f"v {x} {y} {z}\nvt {u} {v}" for (x, y, z), (u, v) in zip(SQUARE, uvs, strict=True)]
        path.write_text("mtllib a.mtl\n" + "\n".join(corners) + "\nusemtl m\nf 1/1 2/2 3/3 4/4\n")
    made = start(path)
    right, upper = (made.means[:, :2] > 0.5).int().unbind(1)
    want = torch.from_numpy(TEXELS)[1 - upper, right] / 255.0
    from_seam = (made.means[:, :2] * 2).frac().sub(0.5).abs().amax(1)
    inside = from_seam < 0.5 - 1 / 32  # nearer to a seam than half a texel two colours mix
    assert 400 < int(inside.sum()) < 600
    torch.testing.assert_close(colors(made)[inside], want[inside], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("uv", "columns", "rows"),
    [
        ((0.125, 0.125), [0], [0]),  # the centre of a texel
        ((0.25, 0.125), [0, 1], [0]),
        ((1.0, 0.125), [3, 0], [0]),  # the opposite edges meet
        ((0.0, 0.125), [3, 0], [0]),
        ((0.125, 0.0), [0], [0, 3]),
        ((0.125, 1.0), [0], [0, 3]),
        ((-1.0, 2.0), [3, 0], [3, 0]),
        ((2.375, 1.375), [1], [1]),
    ],
)
def test_texels_are_mixed_and_repeated(uv: tuple[float, float], columns: list[int], rows: list[int]) -> None:
    """glTF's default sampler, linear and REPEAT, on a triangle that lies on one place of a texture."""
    texture = torch.randint(256, (4, 4, 4), generator=generator(), dtype=torch.uint8)
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]).double()
    place = torch.tensor(uv, dtype=torch.float64).expand(3, 2)
    layer = Layer(Texture(texture), place)
    surface = Surface(corners, torch.tensor([[0, 1, 2]]), torch.ones(3, 3), layer)
    _, got = sample([surface], 5, generator())
    mixed = srgb_to_linear(texture[rows][:, columns, :3].double() / 255).mean((0, 1))
    torch.testing.assert_close(got, linear_to_srgb(mixed).float().expand(5, 3), atol=1e-6, rtol=0)


def test_an_obj_material_without_a_texture(tmp_path: Path) -> None:
    (tmp_path / "a.mtl").write_text("newmtl m\nKd 0.2 0.4 0.6\n")
    (tmp_path / "a.obj").write_text("mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl m\nf 1 2 3\n")
    got = colors(start(tmp_path / "a.obj"))
    torch.testing.assert_close(got, torch.tensor([0.2, 0.4, 0.6]).expand(600, 3), atol=1e-5, rtol=0)


def test_what_cannot_be_read_of_a_mesh_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    start(write_gltf(tmp_path / "a.gltf", SQUARE, HALVES, uvs=SQUARE[:, :2], image="gone.png"), said=said)
    (tmp_path / "a.obj").write_text("mtllib gone.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl m\nf 1 2 3\n")
    start(tmp_path / "a.obj", said=said)
    first, second, third = said
    assert "a.gltf: " in first
    assert "images[0]" in first
    assert "'gone.png', which is not there" in first
    assert "a.obj: mtllib 'gone.mtl' is not there and left out; put it beside the file" in second
    assert "a.obj: usemtl 'm' is in none of its libraries" in third


BAD = {
    "empty.glb": b"",
    "garbage.glb": b"glTF\x02\0\0\0" + b"\xff" * 40,
    "garbage.gltf": b"not json",
    "nothing.gltf": b'{"asset": {"version": "2.0"}}',
    "nothing.stl": b"solid x\nendsolid x\n",
    "garbage.stl": b"x" * 100,
    "no faces.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\n",
    "nan.obj": b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "no such vertex.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n",
    "one place.obj": b"v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n",
    "no area.obj": b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_mesh_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(BAD[name])
    with pytest.raises(InputError, match=r"cannot start from .*: ") as caught:
        start(tmp_path / name, init_fit=True)
    assert "\n" not in str(caught.value)


def test_a_cut_off_glb(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "a.glb")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"cannot start from .*a\.glb: it is damaged"):
        start(path)


def test_a_concave_polygon_without_earcut_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 2 0 0\nv 0.2 0.2 0\nv 0 2 0\nf 1 2 3 4\nf 2 3 4 1\n")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # an environment without it
    with pytest.raises(InputError, match=r"a concave polygon needs mapbox_earcut; run .*sctd\[mesh"):
        start(tmp_path / "a.obj")
    write_cube(tmp_path / "a.glb")
    assert len(start(tmp_path / "a.glb", count=10)) == 10  # which needs nothing


def test_a_triangle_gets_its_share_within_one_point() -> None:
    """Areas 1 and 9 of 10: 10 and 90 of a hundred points, within one."""
    corners = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 5], [6, 0, 5], [0, 3, 5]]).double()
    surface = Surface(corners, torch.tensor([[0, 1, 2], [3, 4, 5]]), torch.ones(6, 3))
    points, _ = sample([surface], 100, generator())
    assert abs(int((points[:, 2] == 0).sum()) - 10) <= 1
    # uniform in a triangle: the mean is the centroid, to 6 / sqrt(18) / sqrt(18000) = 0.011
    many, _ = sample([surface], 20_000, generator())
    centre = many[many[:, 2] == 5].mean(0)
    torch.testing.assert_close(centre, torch.tensor([2.0, 1.0, 5.0]), atol=0.05, rtol=0)
