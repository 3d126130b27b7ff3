"""OBJ => coloured triangles, one surface a material.

This is our own reader: trimesh 5.2 cuts concave polygons wrongly (trimesh#1423), resolves negative indices
against the end of the file (trimesh#2364), and loses materials to a byte order mark, options, several
libraries and backslashes (trimesh#956). Remove these files when a release of trimesh passes
tests/initial/test_obj.py.

Source: "Object Files (.obj)", the Advanced Visualizer manual, appendix B1. MeshLab and others write
vertex colours after xyz; these and Kd are read as sRGB.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.errors import InputError
from sctd.formats.meshes.obj_materials import Map, ObjMaterial, find_named, read_mtl, text_lines, words_of
from sctd.formats.meshes.polygons import triangulate
from sctd.formats.meshes.surface import Glow, Layer, Opacity, Surface
from sctd.formats.srgb import srgb_to_linear

Say = Callable[[str], None]

_WITHOUT_EFFECT = re.compile(
    "vn|vp|o|g|s|mg|lod|usemap|maplib|shadow_obj|trace_obj|bevel|c_interp|d_interp|ctech|stech"
)
_FREE_FORM = re.compile("cstype|deg|bmat|step|curv2?|surf|parm|trim|hole|scrv|sp|end|con|res|bsp|bzp|cdc|cdp")
_NO_TRIANGLES = {"l": "lines", "p": "points"}


@dataclass
class _Faces:
    """Polygons of one material: for each corner a vertex and a texture coordinate, -1 for none."""

    corners: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    lines: array[int] = field(default_factory=lambda: array("q"))


class _Parser:
    """The statements of a file, in lists."""

    def __init__(self, path: Path, say: Say) -> None:
        self.path, self.say = path, say
        self.vertices, self.uvs = array("d"), array("d")
        self.colors: dict[int, list[float]] = {}
        self.faces: dict[tuple[str, bool], _Faces] = {}
        self.libraries: list[str] = []
        self.left_out: Counter[str] = Counter()
        self.clear_colors = False  # some have an opacity
        material = ""
        for number, line in text_lines(path):
            words = words_of(line)
            if not words:
                continue
            kind = words[0]
            if kind == "f":
                self._face(words[1:], number, material)
            elif kind == "v":
                self._vertex(words[1:], number)
            elif kind == "vt":
                self.uvs.extend([*self._numbers(words[1:3], number, 1), 0.0][:2])
            elif kind == "usemtl":
                material = line.strip()[len(kind) :].strip()
            elif kind == "mtllib":
                self.libraries.append(line.strip()[len(kind) :].strip())
            elif kind in _NO_TRIANGLES:
                self.left_out[_NO_TRIANGLES[kind]] += 1
            elif _FREE_FORM.fullmatch(kind):
                self.left_out["statements of free-form curves and surfaces"] += 1
            elif not _WITHOUT_EFFECT.fullmatch(kind):
                self.left_out[f"statements {kind[:20]!r}"] += 1

    def _numbers(self, words: list[str], line: int, least: int) -> list[float]:
        try:
            values = [float(word) for word in words]
        except ValueError as exc:
            raise InputError(f"line {line}: {' '.join(words)[:60]!r} are no numbers") from exc
        if len(values) < least:
            raise InputError(f"line {line}: {len(values)} numbers, and {least} are needed")
        return values

    def _vertex(self, words: list[str], line: int) -> None:
        """x y z, with w = 1, or with red, green, blue, or with red, green, blue, opacity."""
        values = self._numbers(words, line, 3)
        if len(values) in (6, 7):
            if not all(-0.001 <= level <= 1.001 for level in values[3:6]):
                raise InputError(
                    f"line {line}: a vertex has the colour {' '.join(words[3:6])}; write it as 0..1"
                )
            self.colors[len(self.vertices) // 3] = values[3:6]
            self.clear_colors |= len(values) == 7 and values[6] != 1
        elif len(values) not in (3, 4) or values[3:] not in ([], [1.0]):
            raise InputError(
                f"line {line}: a vertex is {' '.join(words)[:60]!r}; write x y z or x y z red green blue"
            )
        self.vertices.extend(values[:3])

    def _face(self, words: list[str], line: int, material: str) -> None:
        if len(words) < 3:
            self.left_out["faces of less than three corners"] += 1
            return
        corners = [self._corner(word, line) for word in words]
        with_uv = corners[0][1] >= 0
        if any((uv >= 0) != with_uv for _, uv in corners):
            raise InputError(
                f"line {line}: some corners of a face have a texture coordinate and some have none"
            )
        faces = self.faces.setdefault((material, with_uv), _Faces())
        for corner in corners:
            faces.corners.extend(corner)
        faces.sizes.append(len(corners))
        faces.lines.append(line)

    def _corner(self, word: str, line: int) -> tuple[int, int]:
        """``v``, ``v/vt``, ``v//vn`` or ``v/vt/vn``, from 1, or negative from the latest backwards."""
        parts = word.split("/")
        try:
            vertex = int(parts[0])
            uv = int(parts[1]) if len(parts) > 1 and parts[1] else None
        except ValueError as exc:
            raise InputError(
                f"line {line}: {word[:40]!r} is no corner of a face; it is v, v/vt or v/vt/vn"
            ) from exc
        if len(parts) > 3:
            raise InputError(f"line {line}: {word[:40]!r} is no corner of a face; it is v, v/vt or v/vt/vn")
        return (
            _row(vertex, len(self.vertices) // 3, "vertex", line),
            -1 if uv is None else _row(uv, len(self.uvs) // 2, "texture coordinate", line),
        )


def _row(index: int, so_far: int, what: str, line: int) -> int:
    """Index from 0. A positive one may come later in the file, so its upper bound is checked at the end."""
    row = index - 1 if index > 0 else so_far + index
    if index == 0 or not 0 <= row < 1 << 48:
        raise InputError(f"line {line}: a face names {what} {index}, and there are {so_far} up to there")
    return row


def read_obj(path: Path, color: tuple[float, float, float], say: Say) -> list[Surface]:
    """Every polygon of a file as triangles, in its own units and axes.

    Args:
        path: .obj; its libraries and images are searched from its folder.
        color: of surfaces without a colour, sRGB 0..1.
        say: gets a message for each part that is left out.

    Raises:
        InputError: a line is wrong; the message gives its number.
    """
    parsed = _Parser(path, say)
    for what, count in parsed.left_out.items():
        say(f"{count} {what} left out")
    if parsed.clear_colors:
        say("the opacities of its vertex colours are not read")
    materials = _libraries(parsed, path, say)
    return [
        _surface(parsed, faces, _material(materials, name, say), with_uv, color, say)
        for (name, with_uv), faces in parsed.faces.items()
    ]


def _libraries(parsed: _Parser, path: Path, say: Say) -> dict[str, ObjMaterial]:
    """The materials of every mtllib statement: one file, perhaps with spaces in its name, or several."""
    found: dict[str, ObjMaterial] = {}
    for line in dict.fromkeys(parsed.libraries):
        whole = find_named(path.parent, line, "mtllib", say)
        for name in [line] if whole else line.partition(" #")[0].split():
            library = whole or find_named(path.parent, name, "mtllib", say)
            if library is None:
                say(f"mtllib {name!r} is not there and left out; put it beside the file")
            else:
                found = {**read_mtl(library, say), **found}
    return found


def _material(materials: dict[str, ObjMaterial], name: str, say: Say) -> ObjMaterial | None:
    if not name:
        return None
    without_comments = {known.partition(" #")[0].strip(): made for known, made in materials.items()}
    for known in (materials, without_comments):
        for wanted in (name, name.partition(" #")[0].strip()):
            if wanted in known:
                return known[wanted]
    say(f"usemtl {name!r} is in none of its libraries; its faces have the colour of gaussians.init_color")
    return None


def _surface(
    parsed: _Parser,
    faces: _Faces,
    material: ObjMaterial | None,
    with_uv: bool,
    color: tuple[float, float, float],
    say: Say,
) -> Surface:
    """Each corner of a polygon becomes a vertex, since it may have its own texture coordinate."""
    named = np.array(faces.corners, np.int64).reshape(-1, 2)
    places, coordinates = _rows(parsed.vertices, 3), _rows(parsed.uvs, 2)
    _check(named[:, 0], len(places), faces, "vertex")
    if with_uv:
        _check(named[:, 1], len(coordinates), faces, "texture coordinate")
    vertices = places[named[:, 0]]
    if not np.isfinite(vertices).all():
        raise InputError("some vertices are not finite")
    crossing: list[int] = []
    triangles = triangulate(vertices, np.array(faces.sizes, np.int64), crossing.append)
    if crossing:
        say(
            f"{len(crossing)} polygons cross themselves or are bent too far, "
            f"the first in line {faces.lines[min(crossing)]}; they are cut from their first corner"
        )
    uvs = coordinates[named[:, 1]] if with_uv else None
    own = material if material is not None else ObjMaterial()
    if uvs is None and any((own.map_kd, own.map_d, own.map_ke)):
        say(f"the faces from line {faces.lines[0]} have no texture coordinates; their image is left out")
    return Surface(
        torch.from_numpy(vertices),
        torch.from_numpy(triangles),
        _colors(parsed, named[:, 0], own, color),
        _layer(own.map_kd, uvs),
        _glow(own, uvs),
        _opacity(own, uvs, len(vertices)),
    )


def _rows(flat: array[float], width: int) -> NDArray[np.float64]:
    return np.frombuffer(flat, np.float64).reshape(-1, width) if flat else np.zeros((0, width))


def _check(rows: NDArray[np.int64], count: int, faces: _Faces, what: str) -> None:
    if len(rows) and rows.max() >= count:
        worst = int(rows.argmax())
        line = faces.lines[int(np.searchsorted(np.cumsum(faces.sizes), worst, side="right"))]
        raise InputError(f"line {line}: a face names {what} {rows.max() + 1}, and there are {count}")


def _colors(
    parsed: _Parser, rows: NDArray[np.int64], material: ObjMaterial, color: tuple[float, float, float]
) -> Tensor:
    """Vertex colours times Kd, linear; ``color`` for corners with neither of them and no image."""
    kd = material.kd
    if kd is None:
        kd = (1.0, 1.0, 1.0) if material.map_kd is not None else None
    tint = srgb_to_linear(torch.tensor(kd or (1.0, 1.0, 1.0), dtype=torch.float64))
    plain = tint if kd is not None else srgb_to_linear(torch.tensor(color, dtype=torch.float64))
    colors = plain.repeat(len(parsed.vertices) // 3, 1)
    if parsed.colors:
        painted = torch.tensor(list(parsed.colors))
        levels = torch.tensor(list(parsed.colors.values()), dtype=torch.float64).clamp(0, 1)
        colors[painted] = srgb_to_linear(levels) * tint
    return colors[torch.from_numpy(rows)]


def _layer(placed: Map | None, uvs: NDArray[np.float64] | None) -> Layer | None:
    if placed is None or uvs is None:
        return None
    moved = uvs * placed.scale + placed.offset
    return Layer(placed.texture, torch.from_numpy(moved * (1, -1) + (0, 1)))  # v from the top


def _glow(material: ObjMaterial, uvs: NDArray[np.float64] | None) -> Glow | None:
    ke = material.ke if material.ke is not None and any(material.ke) else None
    layer = _layer(material.map_ke, uvs)
    if ke is None and layer is None:
        return None
    return Glow(srgb_to_linear(torch.tensor(ke or (1.0, 1.0, 1.0), dtype=torch.float64)), layer)


def _opacity(material: ObjMaterial, uvs: NDArray[np.float64] | None, count: int) -> Opacity | None:
    layer = _layer(material.map_d, uvs)
    if layer is None and material.opacity >= 1:
        return None
    return Opacity(torch.full((count,), material.opacity, dtype=torch.float64), layer)
