"""``sctd export``: an asset as a file for another program, or as pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, cast

import typer

from sctd import export as exports
from sctd.errors import InputError
from sctd.run.claims import made_folder

from . import inputs


def export(
    asset: Annotated[
        Path, typer.Argument(metavar="ASSET|RUN", help="A file of Gaussians or a mesh, or a run folder.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help=f"File to write; its ending says how: {' '.join(exports.ENDINGS)}"),
    ],
    spz_version: Annotated[
        int, typer.Option(min=3, max=4, help="Of .spz: 3, which more programs read, or 4, smaller.")
    ] = 3,
    sh_degree: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=3,
            help="Degree of the colours: lower ones drop what depends on the direction, higher ones add "
            "zeros, which some programs insist on.  [default: the asset's]",
        ),
    ] = None,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Of pictures: width and height, pixels.")] = 512,
    views: Annotated[int, typer.Option(min=1, max=64, help="Of .png: views on the sheet.")] = 8,
    frames: Annotated[
        int, typer.Option(min=1, max=2000, help="Of .mp4, .gif, .webp: frames of the turntable.")
    ] = 90,
    fps: Annotated[int, typer.Option(min=1, max=120, help="Frames per second.")] = 30,
    background: Annotated[str, typer.Option(help=inputs.BACKGROUND_HELP)] = "white",
    up: Annotated[str | None, typer.Option(help=inputs.UP_HELP)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write an asset in another format; prints the path, and what the format loses."""
    if out.suffix.lower() not in exports.ENDINGS:
        raise InputError(f"cannot write {str(out)!r}: give a file ending in {', '.join(exports.ENDINGS)}")
    color = inputs.background(background)
    axis = inputs.up_axis(up)
    source = inputs.asset_file(asset)
    inputs.check_new_files([out], overwrite=overwrite)

    from sctd.config import load_config
    from sctd.export.table import Options
    from sctd.export.table import export as write
    from sctd.formats.assets import counted, read_asset
    from sctd.formats.axes import Up
    from sctd.gaussians import Gaussians
    from sctd.run.folder import CONFIG
    from sctd.viewer.caption import Caption

    say = partial(typer.echo, err=True)
    shown = read_asset(source, cast("Up | None", axis), say)
    if sh_degree is not None:
        if not isinstance(shown, Gaussians):
            raise InputError(
                f"--sh-degree is of the colours of Gaussians, and {source} is a mesh; leave it out"
            )
        shown = shown.with_sh_degree(sh_degree)
    caption = None
    if asset.is_dir() and (asset / CONFIG).is_file():
        caption = Caption.of_run(load_config(file=asset / CONFIG))
    options = Options(spz_version, size, views, frames, fps, color, caption)
    with made_folder(out.parent):
        loses = write(out, shown, options)
    say(f"{out}: {counted(shown)}; {loses}")
    typer.echo(out)
