"""``sctd render``: pictures and videos of an asset."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from sctd.claims import made_folder
from sctd.errors import InputError

from . import inputs

if TYPE_CHECKING:
    from sctd.gaussians import Gaussians


def render(
    asset: Annotated[Path, typer.Argument(metavar="ASSET|RUN", help="A file of Gaussians, or a run folder.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for turntable.mp4 and contact.png.  [default: the asset's folder]"),
    ] = None,
    turntable: Annotated[bool, typer.Option(help="Write turntable.mp4.")] = True,
    contact: Annotated[bool, typer.Option(help="Write contact.png, a sheet of views.")] = True,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Width and height, pixels.")] = 512,
    views: Annotated[int, typer.Option(min=1, max=64, help="Views on the contact sheet.")] = 8,
    frames: Annotated[int, typer.Option(min=1, max=2000, help="Frames of the turntable.")] = 90,
    fps: Annotated[int, typer.Option(min=1, max=120, help="Frames per second.")] = 30,
    elevation: Annotated[float, typer.Option(min=-89, max=89, help="Camera elevation, degrees.")] = 15.0,
    radius: Annotated[float, typer.Option(min=0.05, max=1000, help="Camera distance, world units.")] = 3.15,
    fov: Annotated[float, typer.Option(min=1, max=150, help="Vertical field of view, degrees.")] = 40.0,
    background: Annotated[str, typer.Option(help=inputs.BACKGROUND_HELP)] = "white",
    up: Annotated[str | None, typer.Option(help=inputs.UP_HELP)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Render a turntable and a contact sheet of an asset; prints their paths."""
    color = inputs.background(background)
    axis = inputs.up_axis(up)
    asset = inputs.asset_file(asset)
    if not (turntable or contact):
        raise InputError("nothing to render: --no-turntable and --no-contact leave nothing; drop one of them")
    folder = out if out is not None else asset.parent
    targets = [folder / name for name, on in (("turntable.mp4", turntable), ("contact.png", contact)) if on]
    existing = [str(path) for path in targets if path.exists()]
    if existing and not overwrite:
        raise InputError(f"{', '.join(existing)} exists; replace with --overwrite, or choose --out FOLDER")
    inputs.check_writable(folder, needed=16 << 20)

    from sctd.cameras import orbit_cameras
    from sctd.export.contact import save_contact
    from sctd.export.video import save_turntable
    from sctd.formats.axes import Up
    from sctd.formats.table import read_gaussians
    from sctd.render import render_images

    gaussians = read_gaussians(asset, cast("Up | None", axis), partial(typer.echo, err=True))
    _say_when_unseen(asset, gaussians, radius, fov)
    with made_folder(folder):
        for path in targets:
            is_video = path.suffix == ".mp4"
            cameras = orbit_cameras(frames if is_video else views, elevation, radius, fov, size)
            images = render_images(gaussians, cameras, color)
            if is_video:
                save_turntable(path, images, fps)
            else:
                save_contact(path, images)
            typer.echo(path)


def _say_when_unseen(asset: Path, gaussians: Gaussians, radius: float, fov: float) -> None:
    """One line where less than half of an asset is in the pictures."""
    from sctd.initial.view import extent, share_within

    seen = radius * math.sin(math.radians(fov) / 2)
    share = share_within(gaussians.means, seen)
    if share >= 0.5:
        return
    centre, size = extent(gaussians.means)
    typer.echo(
        f"{asset}: {share:.0%} of it lies within {seen:.3g} of the origin, which the pictures show; "
        f"its middle is ({', '.join(f'{x:.4g}' for x in centre)}), its radius {size:.4g}: see --radius",
        err=True,
    )
