"""A mesh => .obj, with a .mtl and a .png of the same name beside it; y up, front at +z.

Wavefront's formats count from 1, and v of a texture coordinate from below. `illum 0` is colour without light.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sctd.files import whole_file
from sctd.formats import companions
from sctd.formats.write_mesh_glb import as_png
from sctd.triangle_mesh import Mesh


def write_mesh_obj(path: Path, mesh: Mesh) -> None:
    """Write a mesh as .obj, .mtl and .png, each whole; the .obj, which names the others, is there last.

    Raises:
        OSError: a file cannot be written.
    """
    path = Path(path)
    material, picture = companions(path)
    lines = [
        "# sctd: y up, the front at +z",
        f"mtllib {material.name}",
        "o asset",
        *_rows("v", mesh.vertices),
        *_rows("vt", np.abs(mesh.uvs - np.array([0, 1], np.float32))),
        *_rows("vn", mesh.normals),
        "usemtl asset",
        *("f " + " ".join(f"{i}/{i}/{i}" for i in corners) for corners in (mesh.faces + 1).tolist()),
    ]
    with ExitStack() as stack:  # names are given in reverse order, once all is written
        temporary = {name: stack.enter_context(whole_file(name)) for name in (path, material, picture)}
        temporary[path].write_text("\n".join([*lines, ""]), encoding="utf-8")
        temporary[material].write_text(
            f"newmtl asset\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 0\nmap_Kd {picture.name}\n", encoding="utf-8"
        )
        temporary[picture].write_bytes(as_png(mesh.texture))


def _rows(word: str, values: NDArray[np.float32]) -> list[str]:
    return [f"{word} " + " ".join(f"{x:.7g}" for x in row) for row in values.tolist()]
