"""OBJ and MTL: places and colours that the lines of a file mean, worked out here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mesh_files import png
from numpy.typing import NDArray
from starts import area, inside, points_of, to_linear, to_srgb

from sctd.errors import InputError

QUARTERS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8)
PICTURE = QUARTERS.repeat(16, axis=0).repeat(16, axis=1)
SQUARE = "v -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\n"
UVS = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
TEXTURED = f"mtllib m.mtl\n{SQUARE}{UVS}usemtl a\nf 1/1 2/2 3/3 4/4\n"
TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"


def write(folder: Path, text: str | bytes, mtl: str | bytes | None = None) -> Path:
    for name, content in (("a.obj", text), ("m.mtl", mtl)):
        if content is not None:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "tex.png").write_bytes(png(PICTURE))
    return folder / "a.obj"


def refused(path: Path) -> str:
    with pytest.raises(InputError, match=r"^cannot start from .*a\.obj: ") as caught:
        points_of(path, said=[])
    assert "\n" not in str(caught.value)
    return str(caught.value).partition("a.obj: ")[2]


def is_upright(points: NDArray[np.float64], colors: NDArray[np.float64]) -> None:
    """The picture lies on the square as it is."""
    clear = (np.abs(points[:, :2]) > 0.07).all(1) & (np.abs(points[:, :2]) < 0.93).all(1)
    right, lower = (points[clear, 0] > 0).astype(int), (points[clear, 1] < 0).astype(int)
    assert clear.sum() > 200
    np.testing.assert_allclose(colors[clear], QUARTERS[lower, right] / 255, atol=1e-5)


# polygons -----------------------------------------------------------------------------------------------

POLYGONS = {
    "concave pentagon": [(-1, -1), (1, -1), (0, 0), (1, 1), (-1, 1)],
    "concave quad": [(-1, -1), (0, 1), (1, -1), (0, 0.5)],
    "concave from the first": [(0, 0.5), (-1, -1), (0, 1), (1, -1)],
    "clockwise": [(-1, 1), (1, 1), (0, 0), (1, -1), (-1, -1)],
    "comb": [(0, 0), (7, 0), (7, 3), (6, 3), (6, 1), (5, 1), (5, 3), (4, 3), (4, 1), (3, 1), (3, 3), (0, 3)],
    "star": [(np.cos(k * np.pi / 5) * (1 + k % 2), np.sin(k * np.pi / 5) * (1 + k % 2)) for k in range(10)],
    "corners in a line": [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 1), (0, 2), (0, 1)],
    "hole by a seam": [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0), (1, 1), (1, 3), (3, 3), (3, 1), (1, 1)],
    "a corner twice": [(0, 0), (2, 0), (2, 0), (2, 2), (0, 2)],
    "convex": [(np.cos(k), np.sin(k)) for k in range(6)],
}


@pytest.mark.parametrize("turn", [0, 3])
@pytest.mark.parametrize("name", POLYGONS)
def test_polygons_are_covered_once(tmp_path: Path, name: str, turn: int) -> None:
    """Points inside only, with the mean and the spread of the area: no gap and no overlap."""
    ring = POLYGONS[name][turn:] + POLYGONS[name][:turn]
    lines = [f"v {x} {y} 0" for x, y in ring] + ["f " + " ".join(str(i + 1) for i in range(len(ring)))]
    points, _ = points_of(write(tmp_path, "\n".join(lines)), count=2000)
    assert inside(points, ring).mean() > 0.999
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-2, 8, 501)]), -1).reshape(-1, 2)
    within = grid[inside(grid, ring)]
    assert len(within) * 4e-4 == pytest.approx(area(ring), rel=0.03)
    np.testing.assert_allclose(points[:, :2].mean(0), within.mean(0), atol=0.02 * np.ptp(ring))
    np.testing.assert_allclose(points[:, :2].std(0), within.std(0), atol=0.02 * np.ptp(ring))


def test_a_polygon_in_space_that_is_not_flat(tmp_path: Path) -> None:
    """A notch of a tilted, slightly bent polygon stays empty."""
    ring = POLYGONS["concave pentagon"]
    lines = [f"v {5 + x} {y + 0.02 * i} {100 + 2 * x - y}" for i, (x, y) in enumerate(ring)]
    points, _ = points_of(write(tmp_path, "\n".join([*lines, "f 1 2 3 4 5"])), count=1000)
    x, y = points[:, 0] - 5, points[:, 1]
    np.testing.assert_allclose(points[:, 2], 100 + 2 * x - y, atol=0.15)
    assert not ((x > 0.2) & (np.abs(y) < x - 0.15)).any()


def test_a_polygon_that_crosses_itself_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    text = SQUARE + "v 5 0 0\nf 1 2 3 4\n# a bow tie\nf 1 3 2 4\n"
    points_of(write(tmp_path, text), said=said)
    assert said[0].endswith(
        "1 polygons cross themselves or are bent too far, the first in line 8; "
        "they are cut from their first corner"
    )


# grammar ------------------------------------------------------------------------------------------------

SAME_SQUARE = {
    "negative, interleaved": "v -1 -1 0\nv 1 -1 0\nv 1 1 0\nf -3 -2 -1\n"
    "v -1 -1 0\nv 1 1 0\nv -1 1 0\nf -3 -2 -1",
    "negative with normals": SQUARE + "vn 0 0 1\nf -4//-1 -3//-1 -2//-1 -1//-1",
    "v/vt/vn": SQUARE + UVS + "vn 0 0 1\nf 1/1/1 2/2/1 3/3/1 4/4/1",
    "v//vn": SQUARE + "vn 0 0 1\nf 1//1 2//1 3//1 4//1",
    "v/": SQUARE + "f 1/ 2/ 3/ 4/",
    "normals that are not there": SQUARE + "f 1//7 2//7 3//7 4//7",
    "continued": "v -1 \\\n -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\nf 1 2\\\n3 \\\n4",
    "a comment ending in a backslash": "# C:\\\n" + SQUARE + "f 1 2 3 4",
    "CRLF": (SQUARE + "f 1 2 3 4\n").replace("\n", "\r\n"),
    "CR": (SQUARE + "f 1 2 3 4\n").replace("\n", "\r"),
    "tabs and spaces": (SQUARE + "f 1 2 3 4\n").replace(" ", " \t ").replace("\n", "  \t\n  \n"),
    "comments behind": (SQUARE + "f 1 2 3 4\n").replace("\n", " # 9 9 9 \n"),
    "scientific": SQUARE.replace("1", "1.0E+0").replace(" 0", " 0e-3") + "f 1 2 3 4",
    "w of 1": SQUARE.replace(" 0\n", " 0 1.0\n") + "f 1 2 3 4",
    "groups": "o x\ng y z\ns off\nmg 1 0.5\n" + SQUARE + "s 1\nlod 1\nf 1 2 3 4",
    "faces before vertices": "f 1 2 3 4\n" + SQUARE,
    "a face twice its corner": SQUARE + "f 1 1 2 3 3 4",
    "a control character": SQUARE + "o a\x0bb\x1cc\nf 1 2 3 4",
    "no newline at the end": SQUARE + "f 1 2 3 4",
    "Latin-1": (SQUARE + "# für\nf 1 2 3 4").encode("latin-1"),
    "byte order mark": b"\xef\xbb\xbf" + (SQUARE + "f 1 2 3 4").encode(),
    "UTF-16": (SQUARE + "f 1 2 3 4").encode("utf-16"),
}


@pytest.mark.parametrize("name", SAME_SQUARE)
def test_ways_of_writing_a_square(tmp_path: Path, name: str) -> None:
    points, colors = points_of(write(tmp_path, SAME_SQUARE[name]))
    quarters = [((points[:, 0] * x > 0) & (points[:, 1] * y > 0)).sum() for x in (-1, 1) for y in (-1, 1)]
    assert sum(quarters) == 400
    assert min(quarters) > 70
    assert np.abs(points).max() <= 1 + 1e-6
    np.testing.assert_allclose(colors, 0.5, atol=1e-6)


def test_relative_texture_coordinates(tmp_path: Path) -> None:
    """Two squares with coordinates of their own, the other way up in the second."""
    second = SQUARE.replace(" 0\n", " 5\n") + "vt 1 1\nvt 0 1\nvt 0 0\nvt 1 0\n"
    faces = "usemtl a\nf -4/-4 -3/-3 -2/-2 -1/-1\n"
    text = "mtllib m.mtl\n" + SQUARE + UVS + faces + second + faces
    points, colors = points_of(write(tmp_path, text, "newmtl a\nmap_Kd tex.png\n"), count=800)
    lower = points[:, 2] < 1
    is_upright(points[lower], colors[lower])
    is_upright(points[~lower] * [-1, -1, 1], colors[~lower])


WRONG = {
    "f 1 2 9": "line 4: a face names vertex 9, and there are 3",
    "f 1 2 0": "line 4: a face names vertex 0, and there are 3 up to there",
    "f 1 2 -4": "line 4: a face names vertex -4, and there are 3 up to there",
    "f 1/1 2/1 3/1": "line 4: a face names texture coordinate 1, and there are 0",
    "vt 0 0\nf 1/1 2 3/1": "line 5: some corners of a face have a texture coordinate and some have none",
    "f 1 2 x": "line 4: 'x' is no corner of a face; it is v, v/vt or v/vt/vn",
    "f 1.0 2 3": "line 4: '1.0' is no corner of a face",
    "f 1/1/1/1 2 3": "line 4: '1/1/1/1' is no corner of a face",
    "v 0 0": "line 4: 2 numbers, and 3 are needed",
    "v 0,5 0 0": "line 4: '0,5 0 0' are no numbers",
    "v 0 0 0 0.5": "line 4: a vertex is '0 0 0 0.5'; write x y z or x y z red green blue",
    "v 0 0 0 1 1": "line 4: a vertex is '0 0 0 1 1'; write x y z",
    "v 0 0 0 255 0 0": "line 4: a vertex has the colour 255 0 0; write it as 0..1",
    "v 0 0 0 nan 0 0": "line 4: a vertex has the colour nan 0 0; write it as 0..1",
    "f 1 2 99999999999999999999": "line 4: a face names vertex 99999999999999999999, and there are 3",
    "v inf 0 0\nf 1 2 4": "some vertices are not finite",
    "v 1e200 0 0\nf 1 2 4": "some vertices are farther than 1e+30 away; export it smaller",
    "vt x 0": "line 4: 'x 0' are no numbers",
    "vt nan 0\nvt 0 0\nf 1/1 2/2 3/2": "some texture coordinates are not finite",
    "f 1 2\\\n 9": "line 4: a face names vertex 9",
    "f 1 2": "it holds no triangles; 1 faces of less than three corners left out",
    "l 1 2 3": "it holds no triangles; 1 lines left out",
}


@pytest.mark.parametrize("lines", WRONG)
def test_wrong_lines_are_refused_by_their_number(tmp_path: Path, lines: str) -> None:
    text = "mtllib m.mtl\nusemtl a\n" if "vt nan" in lines else ""
    path = write(
        tmp_path, TRIANGLE + lines + "\n" + text.replace("usemtl a\n", ""), "newmtl a\nmap_Kd tex.png"
    )
    if text:
        path.write_text(text + path.read_text())
    assert refused(path).startswith(WRONG[lines])


def test_what_is_no_triangle_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    text = SQUARE + "f 1 2 3 4\nf 1\nl 1 2\nl 2 3\np 1 2\ncstype bezier\ndeg 3\nfoo bar\n"
    points_of(write(tmp_path, text), said=said)
    assert [line.split("a.obj: ")[1] for line in said] == [
        "1 faces of less than three corners left out",
        "2 lines left out",
        "1 points left out",
        "2 statements of free-form curves and surfaces left out",
        "1 statements 'foo' left out",
    ]


# colours ------------------------------------------------------------------------------------------------


def test_vertex_colours(tmp_path: Path) -> None:
    """sRGB, mixed in linear light; vertices without one have init_color, and Kd is multiplied."""
    text = "v 0 0 0 1 0 0\nv 1 0 0 0 0 1 1\nv 0 1 0\n"
    points, colors = points_of(write(tmp_path, text + "f 1 2 3\n"), count=300)
    corners = to_linear(np.array([[1, 0, 0], [0, 0, 1], [0.5, 0.5, 0.5]]))
    shares = np.column_stack([1 - points[:, 0] - points[:, 1], points[:, :2]])
    np.testing.assert_allclose(colors, to_srgb((shares @ corners).clip(0)), atol=1e-3)
    whole = "mtllib m.mtl\n" + SQUARE.replace(" 0\n", " 0 0.5 0.5 1\n") + "usemtl a\nf 1 2 3 4\n"
    _, colors = points_of(write(tmp_path, whole, "newmtl a\nKd 0.5 1 0\n"))
    want = to_srgb(to_linear(np.array([0.5, 0.5, 1])) * to_linear(np.array([0.5, 1, 0])))
    np.testing.assert_allclose(colors, [want] * 400, atol=1e-5)
    said: list[str] = []
    points_of(write(tmp_path, text.replace("1 1\n", "1 0.5\n") + "f 1 2 3\n"), said=said)
    assert said[0].endswith("the opacities of its vertex colours are not read")


MATERIALS = {
    "a backslash": "newmtl a\nmap_Kd sub\\tex.png",
    "-s and -o": "newmtl a\nmap_Kd -s 1 1 1 -o 0 0 0 tex.png",
    "the same by -o": "newmtl a\nmap_Kd -o 1 -3 tex.png",
    "many options": "newmtl a\nmap_Kd -blendu on -clamp off -bm 1.0 -texres 64 -mm 0 1 -imfchan m tex.png",
    "another case": "newmtl a\nmap_Kd TEX.PNG",
    "keywords in another case": "newmtl a\nmap_kd tex.png",
    "spaces": "newmtl a\nmap_Kd my tex  ture.png",
    "quotes": 'newmtl a\nmap_Kd "tex.png"',
    "a # in its name": "newmtl a\nmap_Kd tex#1.png",
    "a comment": "newmtl a # first\nmap_Kd tex.png # the picture",
    "CRLF and tabs": "newmtl\ta\r\n\tmap_Kd\ttex.png  \r\n",
    "byte order mark": "\ufeffnewmtl a\nmap_Kd tex.png",
    "Kd 0": "newmtl a\nKd 0 0 0\nmap_Kd tex.png",
    "Kd 1": "newmtl a\nKd 1\nmap_Kd tex.png",
    "map_Kd before Kd": "newmtl a\nmap_Kd tex.png\nKd 0 0 0",
    "d 1, Tr 1": "newmtl a\nmap_Kd tex.png\nd 1.0\nTr 1.0",
    "others around it": "newmtl b\nKd 1 0 0\nnewmtl a\nmap_Kd tex.png\nillum 2\nnewmtl c\nKd 0 1 0",
    "a relative folder": "newmtl a\nmap_Kd ./sub/../tex.png",
}


@pytest.mark.parametrize("name", MATERIALS)
def test_ways_of_naming_an_image(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, TEXTURED, MATERIALS[name])
    (tmp_path / "sub").mkdir()
    for other in ("sub/tex.png", "my tex  ture.png", "tex#1.png"):
        (tmp_path / other).write_bytes(png(PICTURE))
    is_upright(*points_of(path))


@pytest.mark.parametrize("name", ["C:\\Users\\me\\tex.png", "/home/me/tex.png", "..\\maps\\tex.png"])
def test_an_image_of_another_machine_is_taken_beside_and_it_is_said(tmp_path: Path, name: str) -> None:
    said: list[str] = []
    is_upright(*points_of(write(tmp_path, TEXTURED, f"newmtl a\nmap_Kd {name}"), said=said))
    assert said[0].endswith(f"m.mtl line 2: {name!r} is not there; 'tex.png' beside the file is taken")


def test_scale_offset_and_clamp(tmp_path: Path) -> None:
    """u' = 2 u - 0.5, v' = v: by -clamp the edge goes on, else the picture begins again."""
    for clamp in ("on", "off"):
        mtl = f"newmtl a\nmap_Kd -clamp {clamp} -s 2 -o -0.5 tex.png"
        points, colors = points_of(write(tmp_path, TEXTURED, mtl))
        u = points[:, 0] + 1 - 0.5
        u = u.clip(0, 1) if clamp == "on" else u % 1
        column, row = (u > 0.5).astype(int), (points[:, 1] < 0).astype(int)
        clear = (np.abs(u - 0.5) > 0.04) & (np.abs(points[:, 1]) > 0.04)
        if clamp == "off":
            clear &= (u > 0.04) & (u < 0.96) & (np.abs(points[:, 1]) < 0.96)
        else:
            clear &= np.abs(points[:, 1]) < 0.96
        assert clear.sum() > 250
        np.testing.assert_allclose(colors[clear], QUARTERS[row, column][clear] / 255, atol=1e-5)


def test_kd_is_multiplied_with_its_image(tmp_path: Path) -> None:
    """In linear light; -mm base gain changes the image's levels first."""
    path = write(tmp_path, TEXTURED, "newmtl a\nKd 0.5 0.5 1\nmap_Kd -mm 0.2 0.5 grey.png")
    (tmp_path / "grey.png").write_bytes(png(np.full((2, 2), 102, np.uint8)))
    _, colors = points_of(path)
    want = to_srgb(to_linear(0.2 + 0.5 * 102 / 255) * to_linear(np.array([0.5, 0.5, 1])))
    np.testing.assert_allclose(colors, [want] * 400, atol=1e-5)


def test_ke_glows(tmp_path: Path) -> None:
    _, colors = points_of(write(tmp_path, TEXTURED, "newmtl a\nKd 0.2 0.2 0\nKe 0 0.4 0.4\n"))
    want = to_srgb(to_linear(np.array([0.2, 0.2, 0])) + to_linear(np.array([0, 0.4, 0.4])))
    np.testing.assert_allclose(colors, [want] * 400, atol=1e-5)


@pytest.mark.parametrize(
    ("lines", "share"),
    [
        ("map_d mask.png", 0.2),
        ("map_d rgba.png", 0.2),
        ("map_d -imfchan l rgba.png", 1.0),
        ("map_d -imfchan g mask.png\nd 0.5", 0.2),
        ("map_Kd rgba.png", 1.0),
    ],
)
def test_opacity_of_images(tmp_path: Path, lines: str, share: float) -> None:
    """The lower half has an opacity of 51 of 255; an image's own opacity counts in map_d alone."""
    path = write(tmp_path, TEXTURED, "newmtl a\n" + lines)
    mask = np.full((64, 64), 255, np.uint8)
    mask[32:] = 51
    (tmp_path / "mask.png").write_bytes(png(mask))
    (tmp_path / "rgba.png").write_bytes(png(np.dstack([np.full((64, 64, 3), 255, np.uint8), mask])))
    points, _ = points_of(path, count=1000)
    assert (points[:, 1] < -0.05).sum() / (points[:, 1] > 0.05).sum() == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("lines", ["d 0.25", "Tr 0.75", "d -halo 0.25", "d 0.25\nTr 0"])
def test_d_and_tr(tmp_path: Path, lines: str) -> None:
    """Two squares, one of them a quarter opaque: a fifth of the points."""
    second = "v 9 -1 0\nv 11 -1 0\nv 11 1 0\nv 9 1 0\n"
    text = f"mtllib m.mtl\n{SQUARE}{second}usemtl a\nf 1 2 3 4\nusemtl b\nf 5 6 7 8\n"
    points, _ = points_of(write(tmp_path, text, f"newmtl a\n{lines}\nnewmtl b\nd 1\n"), count=2000)
    assert (points[:, 0] < 5).mean() == pytest.approx(0.2, abs=0.02)


def test_what_is_fully_clear_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, TEXTURED, "newmtl a\nKd 1 0 0\nTr 1\n")
    assert refused(path) == (
        "nothing of it can be seen: its materials are clear; "
        "m.mtl: material 'a' has Tr 1, which is fully clear; write d 1 to see it"
    )


@pytest.mark.parametrize(
    "line",
    [
        "mtllib m.mtl n.mtl",
        "mtllib m.mtl\nmtllib n.mtl",
        "mtllib my lib.mtl",
        "mtllib .\\M.MTL\nmtllib n.mtl",
    ],
)
def test_libraries(tmp_path: Path, line: str) -> None:
    text = f"{line}\n{SQUARE}usemtl Mat #2\nf 1 2 3 4\n"
    path = write(tmp_path, text, "newmtl Mat #1\nKd 1 0 0\n")
    for name in ("n.mtl", "my lib.mtl"):
        (tmp_path / name).write_text("newmtl Mat #2\nKd 0 1 0\n")
    _, colors = points_of(path)
    np.testing.assert_allclose(colors, [[0, 1, 0]] * 400, atol=1e-6)


def test_materials_are_told_apart(tmp_path: Path) -> None:
    """One that no library has, none at all, and one that states no colour: init_color, and a word."""
    said: list[str] = []
    parts = ["usemtl a", "usemtl gone", "usemtl bare"]
    faces = [f"{part}\nf {3 * i + 1} {3 * i + 2} {3 * i + 3}" for i, part in enumerate(["", *parts])]
    corners = "".join(f"v {10 * i} 0 0\nv {10 * i + 1} 0 0\nv {10 * i} 1 0\n" for i in range(4))
    path = write(tmp_path, "mtllib m.mtl\n" + corners + "\n".join(faces), "newmtl a\nKd 0 1 0\nnewmtl bare\n")
    points, colors = points_of(path, said=said, init_color=(0.1, 0.2, 0.3))
    plain = [0.1, 0.2, 0.3]
    part = (points[:, 0] / 10).round().astype(int)
    np.testing.assert_allclose(colors, np.array([plain, [0, 1, 0], plain, plain])[part], atol=1e-6)
    assert [line.split("a.obj: ")[1] for line in said] == [
        "usemtl 'gone' is in none of its libraries; its faces have the colour of gaussians.init_color"
    ]


@pytest.mark.parametrize(
    ("mtl", "says"),
    [
        ("newmtl a\nmap_Kd gone.png", "m.mtl line 2: image 'gone.png' is not there and left out"),
        ("newmtl a\nKd 0 0 0\nmap_Kd gone.png", "m.mtl line 3: image 'gone.png' is not there and left out"),
        ("newmtl a\nmap_Kd m.mtl", "m.mtl line 2: image 'm.mtl' cannot be read and is left out"),
        ("newmtl a\nKd spectral x.rfl", "m.mtl line 2: colours as spectral are not read"),
    ],
)
def test_what_a_library_lacks_is_said_and_the_rest_has_init_color(
    tmp_path: Path, mtl: str, says: str
) -> None:
    said: list[str] = []
    _, colors = points_of(write(tmp_path, TEXTURED, mtl), said=said)
    np.testing.assert_allclose(colors, 0.5, atol=1e-6)
    assert len(said) == 1
    assert says in said[0]


@pytest.mark.parametrize(
    ("mtl", "says"),
    [
        ("newmtl a\nKd 1 x 0", "m.mtl line 2: 'x' is no number"),
        ("newmtl a\nKd 1 0", "m.mtl line 2: a colour has 2 numbers and needs 3"),
        ("newmtl a\nd", "m.mtl line 2: '' is no number"),
    ],
)
def test_wrong_lines_of_a_library(tmp_path: Path, mtl: str, says: str) -> None:
    assert refused(write(tmp_path, TEXTURED, mtl)).startswith(says)


def test_an_image_without_coordinates_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    text = f"mtllib m.mtl\n{SQUARE}usemtl a\nf 1 2 3 4\n"
    points_of(write(tmp_path, text, "newmtl a\nmap_Kd tex.png"), said=said)
    assert said[0].endswith("the faces from line 7 have no texture coordinates; their image is left out")
