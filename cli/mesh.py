"""``sctd mesh``: an asset as triangles with a texture."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, cast

import typer

from sctd import formats
from sctd.errors import InputError
from sctd.extras import need_mesh
from sctd.run.claims import made_folder

from . import inputs


def mesh(
    asset: Annotated[Path, typer.Argument(metavar="ASSET|RUN", help="A file of Gaussians, or a run folder.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="File to write: .glb, or .obj with .mtl and .png beside it."),
    ],
    faces: Annotated[int, typer.Option(min=100, max=2_000_000, help="Triangles, at most about.")] = 20_000,
    texture: Annotated[int, typer.Option(min=64, max=4096, help="Width and height of the texture.")] = 1024,
    resolution: Annotated[
        int,
        typer.Option(min=16, max=512, help="Steps in which the surface is sought, along the longest side."),
    ] = 128,
    views: Annotated[int, typer.Option(min=16, max=400, help="Pictures that it is made from.")] = 72,
    view_size: Annotated[int, typer.Option(min=64, max=2048, help="Width and height of those.")] = 512,
    up: Annotated[str | None, typer.Option(help=inputs.UP_HELP)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Make a textured mesh of an asset; prints the path, and what the mesh leaves out."""
    if out.suffix.lower() not in formats.MESH_ENDINGS:
        raise InputError(
            f"cannot write {str(out)!r}: give a file ending in {' or '.join(formats.MESH_ENDINGS)}"
        )
    need_mesh("sctd mesh")
    axis = inputs.up_axis(up)
    source = inputs.asset_file(asset)
    inputs.check_new_files(_files(out), overwrite=overwrite)

    from sctd.config.mesh import MeshSettings
    from sctd.formats.axes import Up
    from sctd.formats.table import MESH_WRITERS, read_gaussians
    from sctd.mesh.extract import extract

    say = partial(typer.echo, err=True)
    wish = MeshSettings(faces=faces, texture=texture, resolution=resolution, views=views, view_size=view_size)
    made = extract(read_gaussians(source, cast("Up | None", axis), say), wish)
    with made_folder(out.parent):
        MESH_WRITERS[out.suffix.lower()](out, made.mesh)
    say(f"{out}: {made.told()}")
    typer.echo(out)


def _files(out: Path) -> list[Path]:
    """All that is written."""
    return [out, *formats.companions(out)] if out.suffix.lower() == ".obj" else [out]
