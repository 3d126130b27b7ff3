"""A file of an asset of either kind, Gaussians or a mesh => what commands show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from sctd.errors import InputError
from sctd.formats import ASSET_ENDINGS, MESHES, read_glb
from sctd.formats.axes import Up
from sctd.formats.meshes.read import read_mesh
from sctd.formats.meshes.surface import Triangles, y_up
from sctd.formats.ply import read_header
from sctd.formats.read_ply import holds_gaussians
from sctd.formats.table import READERS, read_gaussians
from sctd.gaussians import Gaussians

Asset = Gaussians | Triangles

PLAIN = (0.5, 0.5, 0.5)
"""Of a mesh without colours, sRGB."""


def holds_mesh(path: Path) -> bool:
    """Whether a file is read as a mesh, by its ending, and by its contents where that may mean either.

    Raises:
        InputError: a .ply is missing or damaged.
    """
    ending = path.suffix.lower()
    if ending in (".glb", ".gltf"):
        return not read_glb.holds_gaussians(path)
    if ending == ".ply":
        header = read_header(path)
        return bool(header.count("face")) and not holds_gaussians(header)
    return ending in MESHES


def read_asset(path: Path, up: Up | None = None, say: Callable[[str], None] = lambda text: None) -> Asset:
    """Read Gaussians or a mesh, of sctd or of another program.

    Args:
        path: a file with an ending of ASSET_ENDINGS, in upper or lower case.
        up: the file's axis that points up; None: by the file or the custom of its format, y for a mesh.
        say: gets one line for each message about the reading.

    Returns:
        On the CPU, y up.

    Raises:
        InputError: no reader fits, or the file is missing, damaged, or not of its ending's format.
    """
    ending = path.suffix.lower()
    if ending not in (*READERS, *MESHES):
        raise InputError(
            f"cannot read an asset from {str(path)!r}: give a file ending in {', '.join(ASSET_ENDINGS)}"
        )
    if not path.is_file():
        raise InputError(f"cannot read {path}: {'it is a folder' if path.is_dir() else 'no such file'}")
    return read_triangles(path, up, say) if holds_mesh(path) else read_gaussians(path, up, say)


def points_of(asset: Asset) -> Tensor:
    """Where an asset is: centres of Gaussians, corners of triangles, [n, 3], float64 on the CPU."""
    if isinstance(asset, Triangles):
        return asset.corners
    return asset.means.detach().cpu().double()


def counted(asset: Asset) -> str:
    """How many Gaussians or triangles there are, in words."""
    return f"{len(asset)} {'triangles' if isinstance(asset, Triangles) else 'Gaussians'}"


def read_triangles(path: Path, up: Up | None, say: Callable[[str], None]) -> Triangles:
    """Read a mesh; as :func:`read_asset`."""
    try:
        surfaces = y_up([s for s in read_mesh(path, PLAIN, say) if len(s.faces)], up)
    except InputError as exc:
        raise InputError(f"cannot read {path}: {exc}") from exc
    if clear := sum(surface.opacity is not None for surface in surfaces):
        say(f"{path}: {clear} of its {len(surfaces)} parts let light through somewhere; all is shown opaque")
    return Triangles(tuple(surfaces))
