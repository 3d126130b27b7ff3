"""Files that hold an asset: one module a format and direction; which reads what stands in `table.py`.

Inside the program everything is y up (docs/conventions.md); a file's axes end at this border. No torch is
loaded here.
"""

from __future__ import annotations

from pathlib import Path

ENDINGS = (".ply", ".splat", ".spz", ".sog", ".glb", ".gltf", ".npz")
"""Of files of Gaussians that are read, in any case; `table.py` says by whom."""

MESH_ENDINGS = (".glb", ".obj")
"""Of files of triangles that are written, in any case."""


def companions(path: Path) -> tuple[Path, Path]:
    """The .mtl and the .png beside an .obj. Readers end a name at a space, so there is none in theirs."""
    stem = path.stem.replace(" ", "_")
    return path.with_name(f"{stem}.mtl"), path.with_name(f"{stem}.png")
