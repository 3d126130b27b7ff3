"""A .ply with faces: colours under every name and of every type, polygons, images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mesh_files import png
from starts import inside, points_of, to_linear, to_srgb

from sctd.errors import InputError
from sctd.formats.meshes.read import read_mesh

SQUARE = [(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)]
QUARTERS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8)


def write(
    path: Path,
    vertex: list[str],
    rows: list[tuple[object, ...]],
    faces: list[str],
    face: list[str] | None = None,
    comment: str = "",
) -> Path:
    """An ascii .ply: properties of a vertex and of a face behind its corners, and their rows."""
    face = face or ["list uchar int vertex_indices"]
    head = ["ply", "format ascii 1.0", *([f"comment {comment}"] if comment else [])]
    head += [f"element vertex {len(rows)}", *(f"property {p}" for p in vertex)]
    head += [f"element face {len(faces)}", *(f"property {p}" for p in face), "end_header"]
    path.write_text("\n".join([*head, *(" ".join(map(str, row)) for row in rows), *faces]) + "\n")
    return path


PLACES = ["float x", "float y", "float z"]
NAMES = [("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue")]
TYPES = {"uchar": 255, "ushort": 65535, "float": 1.0, "double": 1.0, "int": 255, "uint": 255}


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("kind", TYPES)
def test_vertex_colours(tmp_path: Path, names: tuple[str, str, str], kind: str) -> None:
    """Left (0.2, 0.4, 0), right white, mixed in linear light."""
    top = TYPES[kind]
    left = [level * top if kind in ("float", "double") else round(level * top) for level in (0.2, 0.4, 0)]
    rows = [(*place, *(left if place[0] < 0 else [top] * 3)) for place in SQUARE]
    path = write(tmp_path / "a.ply", [*PLACES, *(f"{kind} {n}" for n in names)], rows, ["4 0 1 2 3"])
    points, colors = points_of(path)
    share = (points[:, :1] + 1) / 2
    want = to_srgb(to_linear(np.array([0.2, 0.4, 0])) * (1 - share) + share)
    np.testing.assert_allclose(colors, want, atol=1e-4)


def test_colours_of_16_bits_that_use_eight_are_said(tmp_path: Path) -> None:
    said: list[str] = []
    rows = [(*place, 255, 51, 0) for place in SQUARE]
    path = write(
        tmp_path / "a.ply", [*PLACES, "ushort red", "ushort green", "ushort blue"], rows, ["4 0 1 2 3"]
    )
    _, colors = points_of(path, said=said)
    np.testing.assert_allclose(colors, [[1, 0.2, 0]] * 400, atol=1e-6)
    assert said[0].endswith("its colours are uint16 and none is above 255; they are read as 0..255")


def test_face_colours(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [*SQUARE]
    face = ["list uchar int vertex_index", "uchar red", "uchar green", "uchar blue"]
    path = write(tmp_path / "a.ply", PLACES, rows, ["3 0 1 2 255 0 0", "3 0 2 3 0 0 51"], face)
    points, colors = points_of(path)
    lower = points[:, :1] > points[:, 1:2]
    np.testing.assert_allclose(colors, np.where(lower, [1, 0, 0], [0, 0, 0.2]), atol=1e-6)


def test_a_concave_polygon_and_one_with_two_corners(tmp_path: Path) -> None:
    ring = [(-1.0, -1.0), (1.0, -1.0), (0.0, 0.0), (1.0, 1.0), (-1.0, 1.0)]
    rows: list[tuple[object, ...]] = [(x, y, 0) for x, y in ring]
    said: list[str] = []
    points, _ = points_of(write(tmp_path / "a.ply", PLACES, rows, ["2 0 1", "5 1 2 3 4 0"]), said=said)
    assert inside(points, ring).all()
    assert said[0].endswith("1 faces of less than three corners left out")


@pytest.mark.parametrize("where", ["s t", "u v", "texture_u texture_v", "face"])
def test_images(tmp_path: Path, where: str) -> None:
    """A comment names it; v counts from the bottom."""
    (tmp_path / "my tex.png").write_bytes(png(QUARTERS.repeat(16, axis=0).repeat(16, axis=1)))
    comment = "TextureFile my tex.png"
    uvs = [((x + 1) / 2, (y + 1) / 2) for x, y, _ in SQUARE]
    rows: list[tuple[object, ...]]
    if where == "face":
        rows, face = [*SQUARE], ["list uchar int vertex_indices", "list uchar float texcoord"]
        line = "4 0 1 2 3 8 " + " ".join(f"{u} {v}" for u, v in uvs)
        path = write(tmp_path / "a.ply", PLACES, rows, [line], face, comment)
    else:
        rows = [(*place, *uv) for place, uv in zip(SQUARE, uvs, strict=True)]
        named = [*PLACES, *(f"float {name}" for name in where.split())]
        path = write(tmp_path / "a.ply", named, rows, ["4 0 1 2 3"], comment=comment)
    points, colors = points_of(path)
    clear = (np.abs(points[:, :2]) > 0.07).all(1) & (np.abs(points[:, :2]) < 0.93).all(1)
    right, lower = (points[clear, 0] > 0).astype(int), (points[clear, 1] < 0).astype(int)
    np.testing.assert_allclose(colors[clear], QUARTERS[lower, right] / 255, atol=1e-5)


@pytest.mark.parametrize(
    ("vertex", "row", "comment", "says"),
    [
        (
            ["uchar red", "uchar green"],
            (9, 9),
            "",
            "its vertices have red, green and no whole colour; it is left",
        ),
        (
            ["uchar red", "uchar green", "uchar blue", "uchar alpha"],
            (128, 128, 128, 7),
            "",
            "(alpha) of its vert",
        ),
        ([], (), "TextureFile gone.png", "its image 'gone.png' has no texture coordinates and is left out"),
        (
            ["float s", "float t"],
            (0, 0),
            "TextureFile gone.png",
            "'gone.png' is not there and left out; put it",
        ),
        (["float s", "float t"], (0, 0), "TextureFile a.ply", "'a.ply' cannot be read and is left out"),
    ],
)
def test_what_is_left_out_is_said(
    tmp_path: Path, vertex: list[str], row: tuple[int, ...], comment: str, says: str
) -> None:
    said: list[str] = []
    rows: list[tuple[object, ...]] = [(*place, *row) for place in SQUARE]
    path = write(tmp_path / "a.ply", [*PLACES, *vertex], rows, ["4 0 1 2 3"], comment=comment)
    _, colors = points_of(path, said=said)
    np.testing.assert_allclose(colors, 0.5, atol=0.005)
    assert len(said) == 1
    assert says in said[0]


@pytest.mark.parametrize(
    ("vertex", "level", "faces", "comment", "says"),
    [
        (
            ["float red", "float green", "float blue"],
            200,
            "4 0 1 2 3",
            "",
            "are float32 and must be 0..1, but",
        ),
        (
            ["int r", "int g", "int b"],
            999,
            "4 0 1 2 3",
            "",
            "its colours (r g b) are int32 and must be 0..255",
        ),
        ([], 0, "4 0 1 2 4", "", "a face names vertex 4, and there are 4"),
        ([], 0, "4 0 1 2 -1", "", "a face names vertex"),
        ([], 0, "2 0 1", "", "it holds no triangles; 1 faces of less than three corners left out"),
        (
            ["float s", "float t", "float q"],
            0,
            "4 0 1 2 3",
            "TextureFile a\ncomment TextureFile b",
            "2 images",
        ),
    ],
)
def test_what_is_refused(
    tmp_path: Path, vertex: list[str], level: float, faces: str, comment: str, says: str
) -> None:
    rows: list[tuple[object, ...]] = [(*place, *[level] * len(vertex)) for place in SQUARE]
    path = write(tmp_path / "a.ply", [*PLACES, *vertex], rows, [faces], comment=comment)
    with pytest.raises(InputError, match=r"^cannot start from .*a\.ply: ") as caught:
        points_of(path, said=[])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders(tmp_path: Path, order: str) -> None:
    """Written by its bytes: places in double, 16-bit colours, corners as bytes."""
    vertices = np.zeros(4, [("p", f"{order}f8", 3), ("c", f"{order}u2", 3)])
    vertices["p"], vertices["c"] = SQUARE, [65535, 13107, 0]
    name = "little" if order == "<" else "big"
    head = f"ply\nformat binary_{name}_endian 1.0\nelement vertex 4\n"
    head += "".join(f"property double {k}\n" for k in "xyz")
    head += "".join(f"property ushort {k}\n" for k in ("red", "green", "blue"))
    head += "element face 2\nproperty list uchar uchar vertex_indices\nend_header\n"
    faces = bytes([3, 0, 1, 2, 3, 0, 2, 3])
    (tmp_path / "a.ply").write_bytes(head.encode() + vertices.tobytes() + faces)
    points, colors = points_of(tmp_path / "a.ply")
    assert abs((points[:, 0] > points[:, 1]).sum() - 200) <= 2
    np.testing.assert_allclose(colors, [[1, 0.2, 0]] * 400, atol=1e-6)


def test_strips_are_not_taken_for_points(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ply", PLACES, [*SQUARE], ["4 0 1 2 3"])
    path.write_text(path.read_text().replace("element face 1", "element tristrips 1"))
    with pytest.raises(InputError, match=r"a\.ply: its triangles are strips \(tristrips\), which are not"):
        points_of(path)


@pytest.mark.parametrize("row", ["3 0 1", "3 0 1 x", "", "300 0 1 2", "3 0 1 2 2 1"])
def test_a_broken_row_of_a_face_is_one_line(tmp_path: Path, row: str) -> None:
    header = "element face 1\nproperty list uchar int vertex_indices\nend_header"
    corners = "property float x\nproperty float y\nproperty float z"
    text = f"ply\nformat ascii 1.0\nelement vertex 3\n{corners}\n{header}\n0 0 0\n1 0 0\n0 1 0\n{row}\n"
    path = tmp_path / "broken.ply"
    path.write_text(text)
    with pytest.raises(InputError, match="damaged or no") as caught:
        read_mesh(path, (0.5, 0.5, 0.5), lambda text: None)
    assert "\n" not in str(caught.value)
