"""A .ply with faces => coloured triangles.

plyfile reads the file, as for points and Gaussians; trimesh 5.2 reads only red, green and blue of 8 bits or
floats, and cuts concave polygons wrongly.

Source: Turk 1994, "The PLY Polygon File Format". Colours and texture coordinates are customs of programs:
read as sRGB, with v from the bottom.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.errors import InputError
from sctd.formats.meshes.obj_materials import find_named
from sctd.formats.meshes.polygons import triangulate
from sctd.formats.meshes.surface import Layer, Surface
from sctd.formats.meshes.texture import Texture, decode
from sctd.formats.srgb import srgb_to_linear

Say = Callable[[str], None]

COLORS = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
"""Names of colours in the files of other programs."""
_UVS = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))
_CORNERS = ("vertex_indices", "vertex_index")


def read_ply_mesh(path: Path, color: tuple[float, float, float], say: Say) -> list[Surface]:
    """Every polygon of a file as triangles, in its own units and axes.

    Args:
        path: .ply with at least one face; its image is searched beside it.
        color: of faces without a colour, sRGB 0..1.
        say: gets a message for each part that is left out.

    Raises:
        InputError: it is damaged, or its faces name no vertices.
    """
    import plyfile

    try:
        file = plyfile.PlyData.read(str(path), mmap=False)
    except plyfile.PlyParseError as exc:
        raise ValueError(str(exc)) from exc
    vertices, faces = file["vertex"].data, file["face"].data
    names = faces.dtype.names or ()
    lists = next((name for name in _CORNERS if name in names), None)
    if lists is None:
        raise InputError(
            f"it is damaged or no .ply file: its faces have {', '.join(names)}, not vertex_indices"
        )
    places = _columns(vertices, ("x", "y", "z"))
    sizes = np.array([len(row) for row in faces[lists]], np.int64)
    whole = sizes >= 3
    if not whole.all():
        say(f"{(~whole).sum()} faces of less than three corners left out")
    rows = _joined(faces[lists][whole]).astype(np.int64)
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(places):
        raise InputError(f"a face names vertex {rows.max()}, and there are {len(places)}")
    corners = places[rows]
    if not np.isfinite(corners).all():
        raise InputError("some vertices are not finite")
    crossing: list[int] = []
    triangles = triangulate(corners, sizes[whole], crossing.append)
    if crossing:
        say(
            f"{len(crossing)} polygons cross themselves or are bent too far; "
            "they are cut from their first corner"
        )
    layer = _layer(file, path, rows, whole, say)
    owner = np.repeat(np.arange(len(faces))[whole], sizes[whole])
    colors = _colors(vertices, rows, faces, owner, layer is not None, color, say)
    return [Surface(torch.from_numpy(corners), torch.from_numpy(triangles), colors, layer)]


def _colors(
    vertices: NDArray[np.void],
    rows: NDArray[np.int64],
    faces: NDArray[np.void],
    owner: NDArray[np.int64],
    textured: bool,
    color: tuple[float, float, float],
    say: Say,
) -> Tensor:
    """Linear colours of corners: the vertex's, else the face's, else white with an image, else ``color``."""
    for table, chosen, what in ((vertices, rows, "vertex"), (faces, owner, "face")):
        names = table.dtype.names or ()
        found = next((c for c in COLORS if set(c) <= set(names)), None)
        if found is None:
            continue
        levels = _levels(np.stack([table[name] for name in found], axis=1), found, say)
        if "alpha" in names and len(table) and float(table["alpha"].min()) < _top(table["alpha"]):
            say(f"the opacities (alpha) of its {what} colours are not read")
        return srgb_to_linear(torch.from_numpy(levels[chosen]))
    partly = [n for n in (vertices.dtype.names or ()) if any(n in c for c in COLORS)]
    if partly:
        say(f"its vertices have {', '.join(partly)} and no whole colour; it is left out")
    plain = (1.0, 1.0, 1.0) if textured else color
    return srgb_to_linear(torch.tensor(plain, dtype=torch.float64)).expand(len(rows), 3)


def _top(values: NDArray[Any]) -> int:
    """The value of full strength: the type's largest number, or 255 in types that are wider than a colour."""
    if values.dtype.kind == "f":
        return 1
    return 65535 if values.dtype.kind == "u" and values.dtype.itemsize == 2 else 255


def _levels(values: NDArray[Any], names: tuple[str, ...], say: Say) -> NDArray[np.float64]:
    """Colours of any type => 0..1."""
    top = _top(values)
    if top == 65535 and len(values) and values.max() <= 255:
        top = 255
        say(f"its colours are {values.dtype.name} and none is above 255; they are read as 0..255")
    levels: NDArray[np.float64] = values.astype(np.float64) / top
    if len(levels) and not (levels.min() >= 0 and levels.max() <= 1):
        raise InputError(
            f"its colours ({' '.join(names)}) are {values.dtype.name} and must be 0..{top}, but some are not"
        )
    return levels


def _layer(
    file: Any, path: Path, rows: NDArray[np.int64], whole: NDArray[np.bool_], say: Say
) -> Layer | None:
    """The image that a comment names, at coordinates of the vertices, or of the faces' corners."""
    images = [m[1].strip() for c in file.comments if (m := re.match(r"texturefile\s+(.+)", c, re.IGNORECASE))]
    if not images:
        return None
    if len(images) > 1:
        raise InputError(
            f"it names {len(images)} images (comment TextureFile), and one is read; export it as .glb"
        )
    vertices, faces = file["vertex"].data, file["face"].data
    named = next((uv for uv in _UVS if set(uv) <= set(vertices.dtype.names or ())), None)
    if "texcoord" in (faces.dtype.names or ()):
        uvs = _joined(faces["texcoord"][whole]).astype(np.float64)
        if len(uvs) != 2 * len(rows):
            raise InputError(
                f"its faces have {len(uvs)} values of texcoord for {len(rows)} corners, not two for each"
            )
        uvs = uvs.reshape(-1, 2)
    elif named is not None:
        uvs = _columns(vertices, named)[rows]
    else:
        say(f"its image {images[0]!r} has no texture coordinates and is left out")
        return None
    image = find_named(path.parent, images[0], "TextureFile", say)
    if image is None:
        say(f"its image {images[0]!r} is not there and left out; put it beside the file")
        return None
    try:
        pixels = decode(image.read_bytes())
    except ValueError as exc:
        say(f"its image {images[0]!r} cannot be read and is left out: {exc}")
        return None
    return Layer(Texture(torch.from_numpy(pixels)), torch.from_numpy(uvs * (1, -1) + (0, 1)))


def _columns(table: NDArray[np.void], names: tuple[str, ...]) -> NDArray[np.float64]:
    missing = [name for name in names if name not in (table.dtype.names or ())]
    if missing:
        raise InputError(f"its vertices have no {missing[0]!r}")
    return np.stack([table[name] for name in names], axis=1).astype(np.float64)


def _joined(lists: NDArray[Any]) -> NDArray[Any]:
    """The lists of many rows, concatenated."""
    return np.concatenate(list(lists)) if len(lists) else np.zeros(0, np.int64)
