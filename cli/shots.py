"""``sctd render --camera``, ``--orbit``, ``--path``: pictures of chosen layers from chosen cameras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sctd.errors import InputError
from sctd.export import KINDS, LAYERS
from sctd.extras import need_exr

if TYPE_CHECKING:
    from sctd.cameras import CameraBatch
    from sctd.formats.assets import Asset

FOLDER = "frames"


@dataclass(frozen=True)
class Shots:
    """The request; see the options of `sctd render`."""

    camera: Path | None
    orbit: int | None
    path: Path | None
    camera_up: str
    show: tuple[str, ...]
    kind: str
    transparent: bool

    @property
    def wanted(self) -> bool:
        """Whether any cameras were chosen."""
        return (self.camera, self.orbit, self.path) != (None, None, None)

    def check(self, folder: Path, *, overwrite: bool) -> None:
        """Refuse what cannot be rendered or written.

        Raises:
            InputError: options exclude each other or are unknown, or the folder holds something.
        """
        if sum(source is not None for source in (self.camera, self.orbit, self.path)) > 1:
            raise InputError("--camera, --orbit and --path exclude each other; give one of them")
        if self.camera_up not in ("y", "-y", "z"):
            raise InputError(f"--camera-up must be y, -y or z; got {self.camera_up!r}")
        for layer in self.show:
            if layer not in LAYERS:
                raise InputError(f"--show must be {', '.join(LAYERS)}; got {layer!r}")
        if self.kind not in KINDS:
            raise InputError(f"--format must be {', '.join(KINDS)}; got {self.kind!r}")
        if self.kind == "mp4" and (self.show != ("rgb",) or self.transparent):
            raise InputError(
                "--format mp4 shows colours over a background; for the rest give png, exr or npy"
            )
        if self.kind == "exr":
            need_exr("--format exr")
        if folder.is_dir() and any(folder.iterdir()) and not overwrite:
            raise InputError(f"{folder} holds files; replace some with --overwrite, or choose --out FOLDER")

    def cameras(
        self, ring: Callable[[int], CameraBatch], frames: int, size: tuple[int, int] | None
    ) -> CameraBatch | None:
        """The cameras; None where none were chosen.

        Args:
            ring: makes so many cameras round the object.
            frames: cameras on a path.
            size: width and height, pixels; None: the camera file's.
        """
        from sctd.camera_files import path_through, read_cameras

        if self.camera is not None:
            return read_cameras(self.camera, self.camera_up, size)
        if self.path is not None:
            return path_through(read_cameras(self.path, self.camera_up, size), frames)
        return None if self.orbit is None else ring(self.orbit)

    def write(
        self,
        folder: Path,
        asset: Asset,
        cameras: CameraBatch,
        color: Sequence[float],
        fps: float,
        say: Callable[[str], None],
    ) -> None:
        """Render and write, printing each path."""
        from sctd.export.frames import Style
        from sctd.export.shots import depth_span, write_shots, write_video

        if self.kind == "mp4":
            typer.echo(write_video(folder, asset, cameras, color, fps))
            return
        span = depth_span(asset, cameras)
        if "depth" in self.show and self.kind == "png":
            say(f"depth: white is {span[0]:.4g} and black {span[1]:.4g} world units away, or nothing")
        style = Style(self.show, self.transparent, span)
        for made in write_shots(folder, asset, cameras, color, style, self.kind):
            typer.echo(made)
