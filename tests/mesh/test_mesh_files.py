"""Mesh files say to others what they should: to Khronos's validator, trimesh, and `sctd generate --init`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from small import small_run

from sctd.formats import companions
from sctd.formats.meshes.read import read_mesh
from sctd.formats.table import MESH_WRITERS
from sctd.run.report import Silent
from sctd.triangle_mesh import Mesh

SMALL_MESH = ("mesh.texture=64", "mesh.resolution=16", "mesh.views=16", "mesh.view_size=64")


@pytest.fixture
def quad() -> Mesh:
    """A square before the origin, its left half red, its upper right quarter green, the rest blue."""
    texture = np.zeros((8, 8, 3), np.uint8)
    texture[:, :4] = 250, 10, 20
    texture[:4, 4:] = 10, 240, 20
    texture[4:, 4:] = 10, 20, 230
    return Mesh(
        vertices=np.array([[-1, -1, 0.5], [1, -1, 0.5], [1, 1, 0.5], [-1, 1, 0.5]], np.float32),
        normals=np.tile(np.float32([0, 0, 1]), (4, 1)),
        uvs=np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32),
        faces=np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        texture=texture,
    )


def colors_at(read: trimesh.Trimesh, places: list[tuple[float, float]]) -> list[list[int]]:
    """Of the texture at x, y of the square, by trimesh's own coordinates: v from below."""
    material = read.visual.material
    picture = getattr(material, "baseColorTexture", None) or material.image
    pixels = np.asarray(picture.convert("RGB"))
    order = np.lexsort(read.vertices[:, :2].T)  # lower left, lower right, upper left, upper right
    low, high = read.visual.uv[order[0]], read.visual.uv[order[3]]
    found = []
    for x, y in places:
        u, v = low + (np.array([x, y]) + 1) / 2 * (high - low)
        found.append(pixels[int((1 - v) * 8 * 0.999), int(u * 8 * 0.999)].tolist())
    return found


@pytest.mark.parametrize("ending", MESH_WRITERS)
def test_trimesh_reads_the_same_triangles_and_colours(tmp_path: Path, quad: Mesh, ending: str) -> None:
    path = tmp_path / f"a mesh{ending}"
    MESH_WRITERS[ending](path, quad)
    read = trimesh.load(path, force="mesh", process=False)
    assert np.array_equal(read.vertices[read.faces], quad.vertices[quad.faces])
    assert np.array_equal(read.face_normals, [[0, 0, 1]] * 2)  # the front is where the square looks
    places = [(-0.5, 0.0), (0.5, 0.5), (0.5, -0.5)]
    assert colors_at(read, places) == [[250, 10, 20], [10, 240, 20], [10, 20, 230]]


@pytest.mark.parametrize("ending", MESH_WRITERS)
def test_a_run_can_start_from_it(tmp_path: Path, quad: Mesh, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    MESH_WRITERS[ending](path, quad)
    said: list[str] = []
    (surface,) = read_mesh(path, (0.5, 0.5, 0.5), said.append)
    assert said == []
    assert np.array_equal(surface.triangles().numpy(), quad.vertices[quad.faces])
    assert surface.texture is not None
    assert np.array_equal(surface.texture.texture.pixels[..., :3].numpy(), quad.texture)
    corner = surface.texture.uvs[surface.vertices[:, :2].sum(dim=1).argmax()]
    assert corner.tolist() == [1.0, 0.0]  # from the picture's upper left corner


def test_the_validator_has_nothing_to_say(tmp_path: Path, quad: Mesh, node: Callable[..., str]) -> None:
    MESH_WRITERS[".glb"](tmp_path / "a.glb", quad)
    assert json.loads(node("validate.mjs", tmp_path / "a.glb")) == []


def test_the_material_is_unlit(tmp_path: Path, quad: Mesh) -> None:
    MESH_WRITERS[".glb"](tmp_path / "a.glb", quad)
    data = (tmp_path / "a.glb").read_bytes()
    tree = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    assert tree["extensionsUsed"] == ["KHR_materials_unlit"]
    assert tree["materials"][0]["extensions"] == {"KHR_materials_unlit": {}}


def test_there_is_no_obj_without_its_files(tmp_path: Path, quad: Mesh) -> None:
    path = tmp_path / "a.obj"
    companions(path)[1].mkdir()
    with pytest.raises(OSError, match=r"a\.png"):
        MESH_WRITERS[".obj"](path, quad)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


class Listening(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def message(self, text: str) -> None:
        """Kept."""
        self.told.append(text)


def test_a_run_writes_a_mesh_where_it_can(tmp_path: Path) -> None:
    """After two iterations the ball is as it began: opaque at 0.9, without a surface at 0.03."""
    report = Listening()
    for opacity, there in ((0.9, True), (0.03, False)):
        settings = (f"gaussians.init_opacity={opacity}", "output.mesh=true", "output.page=false", *SMALL_MESH)
        result = small_run(tmp_path / str(there), 2, *settings, report=report)
        assert result.mesh_glb == (tmp_path / "True" / "mesh.glb" if there else None)
    assert (tmp_path / "True" / "mesh.glb").read_bytes()[:4] == b"glTF"
    assert report.told[0].startswith("mesh.glb: ")
    assert report.told[1].startswith("no mesh can be made: ")
