"""Step 9 of 9: pictures of an asset from any cameras, written as they are rendered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from sctd.camera_files import write_cameras
from sctd.cameras import CameraBatch
from sctd.export.frames import SAVERS, Style
from sctd.export.layers import render_layers
from sctd.export.video import save_turntable
from sctd.formats.assets import Asset, points_of
from sctd.render import render_images

CAMERAS, VIDEO = "transforms.json", "render.mp4"


def write_shots(
    folder: Path,
    asset: Asset,
    cameras: CameraBatch,
    background: Sequence[float],
    style: Style,
    kind: str,
) -> Iterator[Path]:
    """Render and write a picture of each camera, and the cameras; yields each path once it is written.

    Args:
        kind: a key of SAVERS.

    Raises:
        OSError: a file cannot be written.
    """
    names = []
    for i, layers in enumerate(render_layers(asset, cameras, background)):
        paths = SAVERS[kind](folder, f"{i:04d}", layers, style)
        names.append(paths[0].name)
        yield from paths
    write_cameras(folder / CAMERAS, cameras, names)
    yield folder / CAMERAS


def write_video(
    folder: Path, asset: Asset, cameras: CameraBatch, background: Sequence[float], fps: float
) -> Path:
    """The colours as a video."""
    save_turntable(folder / VIDEO, render_images(asset, cameras, background), fps)
    return folder / VIDEO


def depth_span(asset: Asset, cameras: CameraBatch) -> tuple[float, float]:
    """Nearest and farthest depth of 98 % of Gaussians or corners before any of the cameras, world units."""
    points = points_of(asset)
    depths = torch.cat([points @ view[2, :3] + view[2, 3] for view in cameras.viewmats.cpu().double()])
    seen = depths[depths > cameras.near_plane]
    if len(seen) == 0:
        return 0.0, 1.0
    at = torch.tensor([0.01, 0.99]) * (len(seen) - 1)
    near, far = seen.sort().values[at.round().long()].tolist()
    return near, max(far, near + 1e-6)
