"""Step 9 of 9: the writer of a file, by its ending."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from sctd.cameras import orbit_cameras
from sctd.config.asset import OutputSettings
from sctd.errors import InputError
from sctd.export import ELEVATION, FOV, RADIUS
from sctd.export.animation import save_animation
from sctd.export.contact import save_contact
from sctd.export.video import save_turntable
from sctd.formats import write_mesh_glb
from sctd.formats.assets import Asset
from sctd.formats.meshes.surface import Triangles
from sctd.formats.table import WRITERS
from sctd.formats.write_mesh_glb import write_triangles_glb
from sctd.formats.write_spz import write_spz
from sctd.gaussians import Gaussians
from sctd.render import render_images
from sctd.viewer.caption import Caption
from sctd.viewer.page import LOSES, write_page


@dataclass(frozen=True)
class Options:
    """Options of the formats."""

    spz_version: int = 3
    size: int = 512
    """Width and height of pictures, pixels."""
    views: int = 8
    """Views of a contact sheet."""
    frames: int = 90
    """Frames of a turntable."""
    fps: int = 30
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    caption: Caption | None = None
    """Caption of a page; None: the file's name."""


Write = Callable[[Path, Any, Options], None]
"""The asset is of the kind that the table is of."""


class Exporter(NamedTuple):
    """A writer of files."""

    write: Write
    loses: str
    """What the format loses, in words."""


def export(path: Path, asset: Asset, options: Options | None = None) -> str:
    """Write an asset in the format of a path's ending, whole or not at all.

    Args:
        path: the file; its folder must exist, an existing file is replaced.
        asset: N >= 1 Gaussians or triangles, y up.

    Returns:
        What the format loses, in words.

    Raises:
        InputError: an unknown ending, or an asset that the format cannot hold.
        OSError: the file cannot be written.
    """
    is_mesh = isinstance(asset, Triangles)
    exporters = MESH_EXPORTERS if is_mesh else EXPORTERS
    exporter = exporters.get(path.suffix.lower())
    if exporter is None:
        kind = " of a mesh" if is_mesh else ""
        raise InputError(f"cannot write {str(path)!r}{kind}: give a file ending in {', '.join(exporters)}")
    exporter.write(path, asset, options or Options())
    return exporter.loses


def _numbers(write: Callable[[Path, Gaussians], None]) -> Write:
    return lambda path, gaussians, options: write(path, gaussians)


def _orbit(asset: Asset, options: Options, count: int) -> Tensor:
    cameras = orbit_cameras(count, ELEVATION, RADIUS, FOV, options.size)
    return render_images(asset, cameras, options.background)


def _spz(path: Path, gaussians: Gaussians, options: Options) -> None:
    write_spz(path, gaussians, options.spz_version)


def _mesh(path: Path, triangles: Triangles, options: Options) -> None:
    write_triangles_glb(path, triangles)


def _page(path: Path, asset: Asset, options: Options) -> None:
    output = OutputSettings(
        background=options.background, elevation_deg=ELEVATION, radius=RADIUS, fovy_rad=math.radians(FOV)
    )
    write_page(path, asset, options.caption, output)


def _contact(path: Path, asset: Asset, options: Options) -> None:
    save_contact(path, _orbit(asset, options, options.views))


def _video(path: Path, asset: Asset, options: Options) -> None:
    save_turntable(path, _orbit(asset, options, options.frames), options.fps)


def _animation(path: Path, asset: Asset, options: Options) -> None:
    save_animation(path, _orbit(asset, options, options.frames), options.fps)


_PICTURES = "pictures alone: the asset cannot be read back from them"
_VIEWS = {
    ".png": Exporter(_contact, _PICTURES),
    ".mp4": Exporter(_video, _PICTURES),
    ".gif": Exporter(_animation, f"{_PICTURES}; 256 colours each"),
    ".webp": Exporter(_animation, _PICTURES),
}
EXPORTERS: dict[str, Exporter] = {
    **{ending: Exporter(_numbers(writer.write), writer.loses) for ending, writer in WRITERS.items()},
    ".spz": Exporter(_spz, WRITERS[".spz"].loses),
    ".html": Exporter(_page, LOSES),
    **_VIEWS,
}
"""Lower-case ending => exporter of Gaussians."""
MESH_EXPORTERS: dict[str, Exporter] = {
    ".glb": Exporter(_mesh, write_mesh_glb.LOSES),
    ".html": Exporter(_page, write_mesh_glb.LOSES),
    **_VIEWS,
}
"""Lower-case ending => exporter of a mesh."""
