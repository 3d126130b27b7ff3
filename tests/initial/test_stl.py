"""STL: lengths, both kinds, and the colours of two programs."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from starts import points_of

from sctd.errors import InputError

TRIANGLES = np.array([[[-1, -1, 0], [1, -1, 0], [1, 1, 0]], [[-1, -1, 0], [1, 1, 0], [-1, 1, 0]]], np.float32)
COUNT = struct.pack("<I", 2)


def records(extra: tuple[int, int] = (0, 0)) -> bytes:
    table = np.zeros(2, np.dtype([("n", "<f4", 3), ("p", "<f4", (3, 3)), ("a", "<u2")]))
    table["p"], table["a"] = TRIANGLES, extra
    return table.tobytes()


BINARY = b"\0" * 80 + COUNT + records()
ASCII = "solid my facet model\n" + "".join(
    "facet normal 0 0 1\n outer loop\n"
    + "".join(f"  vertex {x:e} {y:e} {z:e}\n" for x, y, z in corners)
    + " endloop\nendfacet\n"
    for corners in TRIANGLES
)
SQUARES = {
    "binary": BINARY,
    "binary that begins with solid": b"solid x".ljust(80) + COUNT + records(),
    "binary, solid, a zero byte": b"solid x".ljust(80, b"\0") + COUNT + records(),
    "ascii": (ASCII + "endsolid my facet model\n").encode(),
    "ascii, solid without a name": (ASCII.replace(" my facet model", "") + "endsolid").encode(),
    "ascii in capitals, CRLF": (ASCII + "endsolid x\n").upper().replace("\n", "\r\n").encode(),
    "ascii, byte order mark": b"\xef\xbb\xbf\n" + (ASCII + "endsolid\n").encode(),
    "ascii, CR": (ASCII + "endsolid\n").replace("\n", "\r").encode(),
    "ascii, two solids": (ASCII + "endsolid a\n" + ASCII + "endsolid b").encode(),
    "ascii, Latin-1": (ASCII + "endsolid für").encode("latin-1"),
}


def write(folder: Path, data: bytes) -> Path:
    (folder / "a.stl").write_bytes(data)
    return folder / "a.stl"


def is_square(points: NDArray[np.float64]) -> None:
    assert np.abs(points[:, :2]).max() <= 1
    np.testing.assert_allclose(points[:, 2], 0, atol=1e-7)
    assert abs((points[:, 0] > points[:, 1]).sum() - len(points) // 2) <= 2


@pytest.mark.parametrize("name", SQUARES)
def test_squares(tmp_path: Path, name: str) -> None:
    points, colors = points_of(write(tmp_path, SQUARES[name]))
    is_square(points)
    np.testing.assert_allclose(colors, 0.5, atol=1e-6)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (BINARY + b"x" * 20, "20 bytes behind its last triangle are left out"),
        (
            b"solid x".ljust(80, b"\0") + COUNT + records() + b"xx",
            "2 bytes behind its last triangle are left",
        ),
        (ASCII.encode(), "it has no endsolid at its end; it may be cut off"),
    ],
)
def test_a_length_that_is_not_right_is_said(tmp_path: Path, data: bytes, says: str) -> None:
    said: list[str] = []
    points, _ = points_of(write(tmp_path, data), said=said)
    is_square(points)
    assert len(said) == 1
    assert says in said[0]


HALF = ASCII[: len(ASCII) // 2 + 60]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "it is damaged or no .stl file: 0 bytes, and the header alone has 84"),
        (BINARY[:83], "it is damaged or no .stl file: 83 bytes"),
        (BINARY[:-1], "it is damaged: its header says 2 triangles and there are 1; it is cut off"),
        (BINARY[:84], "it is damaged: its header says 2 triangles and there are 0; it is cut off"),
        (b"\0" * 80 + b"\xff" * 4 + records(), "its header says 4294967295 triangles and there are 2"),
        (b"\0" * 84, "it holds no triangles"),
        (
            b"\0" * 84 + records(),
            "it is damaged: its header says 0 triangles and 100 bytes follow; export it",
        ),
        (b"solid x".ljust(80, b"\0") + COUNT + records()[:-2], "its header says 2 triangles and there are 1"),
        (b"solid x\nendsolid x\n", "it holds no triangles"),
        (HALF.encode(), "whole facets; it is cut off, or a polygon is no triangle"),
        (ASCII.replace("vertex 1.0", "vertex 1,0").encode(), "it is damaged: a vertex is no three numbers"),
        (ASCII.replace("endloop", "endlop", 1).encode(), "it is damaged: facet 0 has 'endlop' for 'endloop'"),
        (ASCII.replace("vertex 1.000000e+00", "vertex nan", 1).encode(), "some vertices are not finite"),
        (ASCII.encode("utf-16"), "it is damaged"),
    ],
)
def test_a_bad_stl_is_one_line(tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(InputError, match=r"^cannot start from .*a\.stl: ") as caught:
        points_of(write(tmp_path, data), said=[])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


RED5, BLUE5 = 31, 12 << 10
"""As Magics packs them; VisCAM has red and blue the other way round."""


def test_the_colours_of_magics(tmp_path: Path) -> None:
    """A triangle of its own colour, and one that has the whole's, which says so in bit 15."""
    header = b"COLOR=\x00\xff\x00\xff".ljust(80, b"\0")
    data = header + COUNT + records((RED5 | BLUE5, 1 << 15))
    points, colors = points_of(write(tmp_path, data))
    lower = points[:, :1] > points[:, 1:2]
    np.testing.assert_allclose(colors, np.where(lower, [1, 0, 12 / 31], [0, 1, 0]), atol=1e-6)


def test_the_colours_of_viscam_are_said(tmp_path: Path) -> None:
    said: list[str] = []
    data = b"\0" * 80 + COUNT + records((1 << 15 | RED5 | BLUE5, RED5))
    points, colors = points_of(write(tmp_path, data), said=said)
    lower = points[:, :1] > points[:, 1:2]
    np.testing.assert_allclose(colors, np.where(lower, [12 / 31, 0, 1], [0.5, 0.5, 0.5]), atol=1e-6)
    assert said[0].endswith("the attribute bytes of 1 triangles are read as colours")
