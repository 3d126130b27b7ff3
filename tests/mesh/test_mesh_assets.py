"""Files of meshes as commands read and write them: ours, and those of other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from mesh_files import Gltf, cube
from painted import box, painted_mesh, quarters, repeated, square
from seen import flag_bearer

from sctd.cameras import orbit_cameras
from sctd.errors import InputError
from sctd.export.table import export
from sctd.formats.assets import holds_mesh, points_of, read_asset
from sctd.formats.meshes.surface import Glow, Surface, Triangles
from sctd.formats.table import MESH_WRITERS, WRITERS
from sctd.formats.write_mesh_glb import triangles_glb, write_triangles_glb
from sctd.gaussians import Gaussians
from sctd.render import render_images

CAMERAS = orbit_cameras(3, 15.0, 3.0, 40.0, 48)
WHITE = (1.0, 1.0, 1.0)


def read(path: Path) -> Triangles:
    """A mesh that nothing needs to be said of."""
    said: list[str] = []
    found = read_asset(path, say=said.append)
    assert isinstance(found, Triangles)
    assert said == []
    return found


@pytest.mark.parametrize("ending", MESH_WRITERS)
def test_our_files_are_shown_as_they_were(tmp_path: Path, ending: str) -> None:
    mesh = square(quarters())
    MESH_WRITERS[ending](tmp_path / f"a{ending}", mesh)
    expected = render_images(Triangles.of_mesh(mesh), CAMERAS, WHITE)
    seen = render_images(read(tmp_path / f"a{ending}"), CAMERAS, WHITE)
    same = (seen == expected).all(-1)
    assert same.all() if ending == ".glb" else same.float().mean() > 0.95  # an .obj repeats its picture


def test_what_another_program_wrote_is_written_as_it_is_seen(tmp_path: Path) -> None:
    """Colours, pictures, wraps, and a plain glow, which becomes a colour."""
    glowing = box([-0.6, 0.5, 0], [0.2, 0.2, 0.2], [0.2, 0.2, 0.2])
    glowing = Surface(glowing.vertices, glowing.faces, glowing.colors, glow=Glow(torch.tensor([0.3, 0, 0])))
    shown = Triangles((*painted_mesh().surfaces, repeated(quarters()), glowing))
    write_triangles_glb(tmp_path / "a.glb", shown)
    again = render_images(read(tmp_path / "a.glb"), CAMERAS, WHITE).int()
    expected = render_images(shown, CAMERAS, WHITE).int()
    assert (again - expected).abs().max() <= 1
    assert len({int(frame.float().mean()) for frame in expected}) > 1
    assert triangles_glb(shown) == (tmp_path / "a.glb").read_bytes()


def test_other_programs_read_what_we_write(tmp_path: Path, node: Callable[..., str]) -> None:
    shown = Triangles((*painted_mesh().surfaces, repeated(quarters())))
    write_triangles_glb(tmp_path / "a.glb", shown)
    assert json.loads(node("validate.mjs", tmp_path / "a.glb")) == []
    scene = trimesh.load(tmp_path / "a.glb", process=False)
    corners = np.concatenate([part.vertices[part.faces].reshape(-1, 3) for part in scene.geometry.values()])
    assert np.array_equal(corners, shown.corners.float().numpy())
    paint = scene.geometry[list(scene.geometry)[1]].visual.vertex_attributes["color"][0, :3]
    assert np.abs(paint - shown.surfaces[1].colors[0].numpy()).max() < 1e-6


def test_pictures_that_surfaces_share_are_written_once() -> None:
    (surface,) = Triangles.of_mesh(square(quarters())).surfaces
    data = triangles_glb(Triangles((surface, surface)))
    tree = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    assert [len(tree[kind]) for kind in ("images", "textures", "samplers", "materials")] == [1, 1, 1, 1]


def lone(path: Path, positions: np.ndarray, triangles: np.ndarray, **material: object) -> Path:
    """A .glb with one primitive."""
    file = Gltf()
    primitive: dict[str, object] = {
        "attributes": {"POSITION": file.accessor(positions.astype(np.float32))},
        "indices": file.accessor(triangles.astype(np.uint32).reshape(-1)),
    }
    if material:
        primitive["material"] = file.add("materials", material)
    file.mesh([primitive])
    file.save(path)
    return path


def test_bad_files_are_refused_by_name(tmp_path: Path) -> None:
    positions, triangles, _ = cube()
    spoilt = positions.copy()
    spoilt[3, 1] = np.nan
    lone(tmp_path / "nan.glb", spoilt, triangles)
    lone(tmp_path / "none.glb", positions, triangles[:0])
    lone(tmp_path / "beyond.glb", positions, triangles + 1)
    (tmp_path / "empty.obj").write_text("v 0 0 0\n")
    (tmp_path / "cut.glb").write_bytes((tmp_path / "none.glb").read_bytes()[:-9])
    (tmp_path / "a.stl").write_bytes(b"solid")
    (tmp_path / "a.fbx").touch()
    (tmp_path / "folder.obj").mkdir()
    for name, says in {
        "nan.glb": "some vertices are not finite",
        "none.glb": "it holds no triangles",
        "beyond.glb": "an index is 24, and there are 24 vertices",
        "empty.obj": "it holds no triangles",
        "cut.glb": "it is cut off, export or download it again",
        "a.stl": "",
        "a.fbx": "give a file ending in .ply, .splat",
        "missing.glb": "no such file",
        "missing.ply": "no such file",
        "folder.obj": "it is a folder",
    }.items():
        with pytest.raises(InputError, match=r"^cannot read .*") as refused:
            read_asset(tmp_path / name)
        assert str(tmp_path / name) in str(refused.value)
        assert says in str(refused.value)
        assert "\n" not in str(refused.value)


def test_degenerate_meshes_are_shown_as_far_as_they_can_be_seen(tmp_path: Path) -> None:
    positions, triangles, _ = cube()
    (one,) = read(lone(tmp_path / "one.glb", positions, triangles[:1])).surfaces
    assert one.faces.shape == (1, 3)
    flat = read(lone(tmp_path / "flat.glb", positions, np.array([[0, 1, 0], [2, 2, 2]])))
    assert (render_images(flat, CAMERAS, WHITE) == 255).all()
    pages = np.array([[0, 1, 2], [0, 1, 5], [0, 1, 9], [0, 1, 2]])  # four faces at one edge
    assert (render_images(read(lone(tmp_path / "pages.glb", positions, pages)), CAMERAS, WHITE) < 255).any()


def test_clear_parts_are_told(tmp_path: Path) -> None:
    positions, triangles, _ = cube()
    clear = {"baseColorFactor": [1, 1, 1, 0.5]}
    path = lone(tmp_path / "a.glb", positions, triangles, alphaMode="BLEND", pbrMetallicRoughness=clear)
    said: list[str] = []
    read_asset(path, say=said.append)
    assert said == [f"{path}: 1 of its 1 parts let light through somewhere; all is shown opaque"]


def test_up_is_turned(tmp_path: Path) -> None:
    """z up, the front at -y: what is highest at z = 3 comes to y = 3."""
    (tmp_path / "a.obj").write_text("v 0 0 3\nv 1 0 0\nv 0 -2 0\nf 1 2 3\n")
    turned = read_asset(tmp_path / "a.obj", "z")
    assert points_of(turned).tolist() == [[0, 3, 0], [1, 0, 0], [0, 0, 2]]
    assert points_of(read_asset(tmp_path / "a.obj")).tolist() == [[0, 0, 3], [1, 0, 0], [0, -2, 0]]


def test_endings_of_both_kinds_are_read_by_what_is_in_them(tmp_path: Path) -> None:
    for ending in (".glb", ".ply"):
        path = tmp_path / f"a{ending}"
        WRITERS[ending].write(path, flag_bearer(count=8))
        assert not holds_mesh(path)
        assert isinstance(read_asset(path), Gaussians)
    (tmp_path / "b.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    )
    assert len(read(tmp_path / "b.ply")) == 1


def test_a_mesh_is_no_file_of_gaussians(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"of a mesh: give a file ending in \.glb, \.html, \.png, \.mp4"):
        export(tmp_path / "a.spz", painted_mesh())
    assert list(tmp_path.iterdir()) == []
