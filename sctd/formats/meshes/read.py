"""Mesh files => coloured triangles.

glTF is y up with the front at +z, as we are, and its colours are linear light (glTF 2.0 specification,
sections 3.4 and 3.9.2). OBJ, STL and PLY specify no axes; their colours are read as sRGB, which is
what programs write. docs/mesh_formats.md lists the parts of each format that are read, reported or refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sctd.errors import InputError
from sctd.formats.meshes.gltf import read_gltf
from sctd.formats.meshes.obj import read_obj
from sctd.formats.meshes.ply_mesh import read_ply_mesh
from sctd.formats.meshes.stl import read_stl
from sctd.formats.meshes.surface import Surface

READERS = {
    ".glb": read_gltf,
    ".gltf": read_gltf,
    ".obj": read_obj,
    ".stl": read_stl,
    ".ply": read_ply_mesh,
}
_OF_DAMAGED_FILES = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    struct.error,
    RecursionError,
)


def read_mesh(path: Path, color: tuple[float, float, float], say: Callable[[str], None]) -> list[Surface]:
    """Every visible triangle of a file, in the file's own units and axes.

    Args:
        path: .glb, .gltf, .obj, .stl, or a .ply with faces.
        color: of surfaces without a colour, sRGB 0..1.
        say: gets one message for each part that the triangles lack, such as a missing texture.

    Raises:
        InputError: the file is damaged, holds no triangles, or requires an unsupported feature.
    """
    told: list[str] = []

    def once(problem: str) -> None:
        if problem not in told:
            told.append(problem)

    try:
        with np.errstate(all="ignore"):  # overflows become infinite, which is refused later
            surfaces = READERS[path.suffix.lower()](path, color, once)
    except InputError:
        raise
    except OSError as exc:
        raise InputError(f"it cannot be read: {exc.strerror or exc}") from exc
    except _OF_DAMAGED_FILES as exc:  # exceptions of the readers on arbitrary bytes
        reason = " ".join(f"{type(exc).__name__}: {exc}".split())[:200]
        raise InputError(f"it is damaged or no {path.suffix} file ({reason})") from exc
    if not sum(len(s.faces) for s in surfaces):
        raise InputError("; ".join(["it holds no triangles", *told[:1]]))
    visible = [s for s in surfaces if s.opacity is None or not s.opacity.nothing_shows]
    if not visible:
        raise InputError("; ".join(["nothing of it can be seen: its materials are clear", *told[:1]]))
    if len(visible) < len(surfaces):
        once(f"{len(surfaces) - len(visible)} of its {len(surfaces)} parts are clear and left out")
    for problem in told:
        say(f"{path}: {problem}")
    return visible
