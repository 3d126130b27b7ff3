"""Files of assets: one module for each format and direction; `table.py` lists them by ending.

Inside the program everything is y up (docs/conventions.md); these modules convert a file's axes. This one
loads no torch.
"""

from __future__ import annotations

from pathlib import Path

ENDINGS = (".ply", ".splat", ".spz", ".sog", ".glb", ".gltf", ".npz")
"""Endings of readable files of Gaussians, in upper or lower case; `table.py` has their readers."""

MESHES = (".glb", ".gltf", ".obj", ".stl")
"""Endings of readable files of meshes; a .ply may hold one too."""

ASSET_ENDINGS = (*ENDINGS, ".obj", ".stl")
"""Endings of readable files of either."""

MESH_ENDINGS = (".glb", ".obj")
"""Of files of triangles that are written, in any case."""


def companions(path: Path) -> tuple[Path, Path]:
    """The .mtl and the .png beside an .obj. Readers end a name at a space, so there is none in theirs."""
    stem = path.stem.replace(" ", "_")
    return path.with_name(f"{stem}.mtl"), path.with_name(f"{stem}.png")
