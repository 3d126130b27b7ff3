"""Step 9 of 9: the writer of a file, by its ending."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from sctd.cameras import orbit_cameras
from sctd.config.asset import OutputSettings
from sctd.errors import InputError
from sctd.export import ELEVATION, FOV, RADIUS
from sctd.export.animation import save_animation
from sctd.export.contact import save_contact
from sctd.export.video import save_turntable
from sctd.formats.table import WRITERS
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


Write = Callable[[Path, Gaussians, Options], None]


class Exporter(NamedTuple):
    """A writer of files."""

    write: Write
    loses: str
    """What the format loses, in words."""


def export(path: Path, gaussians: Gaussians, options: Options | None = None) -> str:
    """Write an asset in the format of a path's ending, whole or not at all.

    Args:
        path: the file; its folder must exist, an existing file is replaced.
        gaussians: N >= 1, y up.

    Returns:
        What the format loses, in words.

    Raises:
        InputError: an unknown ending, or Gaussians that the format cannot hold.
        OSError: the file cannot be written.
    """
    exporter = EXPORTERS.get(path.suffix.lower())
    if exporter is None:
        raise InputError(f"cannot write {str(path)!r}: give a file ending in {', '.join(EXPORTERS)}")
    exporter.write(path, gaussians, options or Options())
    return exporter.loses


def _numbers(write: Callable[[Path, Gaussians], None]) -> Write:
    return lambda path, gaussians, options: write(path, gaussians)


def _orbit(gaussians: Gaussians, options: Options, count: int) -> Tensor:
    cameras = orbit_cameras(count, ELEVATION, RADIUS, FOV, options.size)
    return render_images(gaussians, cameras, options.background)


def _spz(path: Path, gaussians: Gaussians, options: Options) -> None:
    write_spz(path, gaussians, options.spz_version)


def _page(path: Path, gaussians: Gaussians, options: Options) -> None:
    output = OutputSettings(
        background=options.background, elevation_deg=ELEVATION, radius=RADIUS, fovy_rad=math.radians(FOV)
    )
    write_page(path, gaussians, options.caption, output)


def _contact(path: Path, gaussians: Gaussians, options: Options) -> None:
    save_contact(path, _orbit(gaussians, options, options.views))


def _video(path: Path, gaussians: Gaussians, options: Options) -> None:
    save_turntable(path, _orbit(gaussians, options, options.frames), options.fps)


def _animation(path: Path, gaussians: Gaussians, options: Options) -> None:
    save_animation(path, _orbit(gaussians, options, options.frames), options.fps)


_PICTURES = "pictures alone: the Gaussians cannot be read back from them"
EXPORTERS: dict[str, Exporter] = {
    **{ending: Exporter(_numbers(writer.write), writer.loses) for ending, writer in WRITERS.items()},
    ".spz": Exporter(_spz, WRITERS[".spz"].loses),
    ".html": Exporter(_page, LOSES),
    ".png": Exporter(_contact, _PICTURES),
    ".mp4": Exporter(_video, _PICTURES),
    ".gif": Exporter(_animation, f"{_PICTURES}; 256 colours each"),
    ".webp": Exporter(_animation, _PICTURES),
}
"""Lower-case ending => exporter."""
