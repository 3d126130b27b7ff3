"""``sctd render``: pictures and videos of an asset."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from sctd.errors import InputError
from sctd.export import ELEVATION, FOV, RADIUS
from sctd.run.claims import made_folder
from sctd.run.places import check_writable

from . import inputs
from .shots import FOLDER, Shots

if TYPE_CHECKING:
    from sctd.cameras import CameraBatch
    from sctd.formats.assets import Asset
    from sctd.formats.axes import Up


def render(
    asset: Annotated[
        Path, typer.Argument(metavar="ASSET|RUN", help="A file of Gaussians or a mesh, or a run folder.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the pictures.  [default: the asset's folder, or frames/ in it with "
            "--camera, --orbit or --path]"
        ),
    ] = None,
    turntable: Annotated[bool, typer.Option(help="Write turntable.mp4.")] = True,
    contact: Annotated[bool, typer.Option(help="Write contact.png, a sheet of views.")] = True,
    camera: Annotated[
        Path | None, typer.Option(help="Instead: a picture of each camera of a transforms.json (nerfstudio).")
    ] = None,
    orbit: Annotated[
        int | None, typer.Option(min=1, max=2000, help="Instead: so many pictures round the object.")
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option(help="Instead: --frames pictures on a smooth way through a file's cameras."),
    ] = None,
    camera_up: Annotated[
        str, typer.Option(help="Which axis is up in the camera file's world: y, -y or z.")
    ] = "z",
    show: Annotated[
        list[str] | None,
        typer.Option(help="What those pictures show: rgb, alpha, depth, normals; may be repeated."),
    ] = None,
    kind: Annotated[
        str, typer.Option("--format", help="Of those pictures: png, exr, npy, or mp4, a video of all.")
    ] = "png",
    transparent: Annotated[
        bool, typer.Option("--transparent", help="Those pictures have alpha instead of a background.")
    ] = False,
    size: Annotated[
        str | None,
        typer.Option(help="Pixels, as 512 or 640x480, width x height.  [default: a camera file's, else 512]"),
    ] = None,
    views: Annotated[int, typer.Option(min=1, max=64, help="Views on the contact sheet.")] = 8,
    frames: Annotated[int, typer.Option(min=1, max=2000, help="Frames of the turntable or path.")] = 90,
    fps: Annotated[int, typer.Option(min=1, max=120, help="Frames per second.")] = 30,
    elevation: Annotated[float, typer.Option(min=-89, max=89, help="Camera elevation, degrees.")] = ELEVATION,
    radius: Annotated[float, typer.Option(min=0.05, max=1000, help="Camera distance, world units.")] = RADIUS,
    fov: Annotated[float, typer.Option(min=1, max=150, help="Vertical field of view, degrees.")] = FOV,
    background: Annotated[str, typer.Option(help=inputs.BACKGROUND_HELP)] = "white",
    up: Annotated[str | None, typer.Option(help=inputs.UP_HELP)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Render an asset: a turntable and a contact sheet, or pictures from any cameras; prints their paths."""
    color = inputs.background(background)
    axis = cast("Up | None", inputs.up_axis(up))
    width, height = inputs.picture_size(size or "512")
    asset = inputs.asset_file(asset)
    say = partial(typer.echo, err=True)
    shots = Shots(camera, orbit, path, camera_up, tuple(show or ["rgb"]), kind, transparent)
    folder = out if out is not None else asset.parent / (FOLDER if shots.wanted else "")
    if shots.wanted:
        shots.check(folder, overwrite=overwrite)
        turntable = contact = False
    elif show or transparent or kind != "png":
        raise InputError("--show, --format and --transparent go with --camera, --orbit or --path; add one")
    elif not (turntable or contact):
        raise InputError("nothing to render: --no-turntable and --no-contact leave nothing; drop one of them")
    targets = [folder / name for name, on in (("turntable.mp4", turntable), ("contact.png", contact)) if on]
    existing = [str(target) for target in targets if target.exists()]
    if existing and not overwrite:
        raise InputError(f"{', '.join(existing)} exists; replace with --overwrite, or choose --out FOLDER")
    check_writable(folder, needed=16 << 20)

    from sctd.cameras import orbit_cameras
    from sctd.export.contact import save_contact
    from sctd.export.video import save_turntable
    from sctd.formats.assets import read_asset
    from sctd.render import render_images

    def ring(count: int) -> CameraBatch:
        return orbit_cameras(count, elevation, radius, fov, height, width)

    cameras = shots.cameras(ring, frames, (width, height) if size else None)  # before anything is read
    shown = read_asset(asset, axis, say)
    if cameras is None or orbit:
        _say_when_unseen(asset, shown, radius, fov)
    with made_folder(folder):
        if cameras is not None:
            shots.write(folder, shown, cameras, color, fps, say)
        for target in targets:
            if target.suffix == ".mp4":
                save_turntable(target, render_images(shown, ring(frames), color), fps)
            else:
                save_contact(target, render_images(shown, ring(views), color))
            typer.echo(target)


def _say_when_unseen(asset: Path, shown: Asset, radius: float, fov: float) -> None:
    """Print a line when less than half of an asset is in the pictures."""
    from sctd.formats.assets import points_of
    from sctd.initial.view import extent, share_within

    seen = radius * math.sin(math.radians(fov) / 2)
    points = points_of(shown)
    share = share_within(points, seen)
    if share >= 0.5:
        return
    centre, size = extent(points)
    typer.echo(
        f"{asset}: {share:.0%} of it lies within {seen:.3g} of the origin, which the pictures show; "
        f"its middle is ({', '.join(f'{x:.4g}' for x in centre)}), its radius {size:.4g}: see --radius",
        err=True,
    )
