"""Writes the output of a finished run: asset.ply or asset.glb, page, mesh, contact sheet and turntable."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from sctd.cameras import orbit_cameras
from sctd.config import Config
from sctd.config.mesh import MeshSettings
from sctd.errors import InputError
from sctd.gaussians import Gaussians
from sctd.mesh.trained.colored import ColoredMesh, mesh_images
from sctd.render import render_images
from sctd.run.folder import ASSET, ASSET_GLB, CONTACT, MESH, PAGE, TURNTABLE
from sctd.run.report import Reporter


@dataclass(frozen=True)
class Made:
    """The files; None for those that the settings turn off."""

    asset_ply: Path | None = None
    """None where the asset is a mesh."""
    asset_glb: Path | None = None
    """None where the asset is of Gaussians."""
    page_html: Path | None = None
    contact_png: Path | None = None
    turntable_mp4: Path | None = None
    mesh_glb: Path | None = None
    """None also where the Gaussians have no surface."""


def write_asset(folder: Path, asset: Gaussians | ColoredMesh, config: Config, report: Reporter) -> Made:
    """Write the asset and its pictures into a run's folder.

    Raises:
        InputError: a mesh has no triangles left.
        OSError: a file cannot be written; earlier ones stay.
    """
    from sctd.export.contact import save_contact
    from sctd.export.video import save_turntable

    contact, turntable, wanted = folder / CONTACT, folder / TURNTABLE, config.output
    report.stage("writing the asset")
    if isinstance(asset, ColoredMesh):
        made = _write_mesh(folder, asset, config, report)
    else:
        made = _write_gaussians(folder, asset, config, report)
    if wanted.contact_views:
        report.stage("rendering the contact sheet")
        save_contact(contact, orbit(asset, config, wanted.contact_views))
        made = replace(made, contact_png=contact)
    if wanted.turntable_frames:
        report.stage("rendering the turntable")
        save_turntable(turntable, orbit(asset, config, wanted.turntable_frames), wanted.turntable_fps)
        made = replace(made, turntable_mp4=turntable)
    return made


def _write_gaussians(folder: Path, gaussians: Gaussians, config: Config, report: Reporter) -> Made:
    """Write asset.ply, and the page and the mesh that are made of it."""
    from sctd.formats.write_ply import write_ply
    from sctd.viewer.caption import Caption
    from sctd.viewer.page import write_page

    made = Made(asset_ply=folder / ASSET)
    write_ply(folder / ASSET, gaussians)
    if config.output.page:
        report.stage("writing the page")
        write_page(folder / PAGE, gaussians, Caption.of_run(config), config.output)
        made = replace(made, page_html=folder / PAGE)
    if config.output.mesh:
        made = replace(made, mesh_glb=_mesh(folder / MESH, gaussians, config.mesh, report))
    return made


def _write_mesh(folder: Path, mesh: ColoredMesh, config: Config, report: Reporter) -> Made:
    """Write asset.glb; the page, which shows Gaussians, is left out."""
    from sctd.formats.table import MESH_WRITERS
    from sctd.mesh.trained.finish import finished

    path = folder / ASSET_GLB
    made = finished(mesh, config.mesh)
    MESH_WRITERS[path.suffix](path, made.mesh)
    report.message(f"{path.name}: {made.told()}")
    if config.output.page:
        report.message(f"{PAGE} is left out: it shows Gaussians, and this asset is a mesh")
    return Made(asset_glb=path)


def _mesh(path: Path, gaussians: Gaussians, wish: MeshSettings, report: Reporter) -> Path | None:
    """Write a mesh; without a surface to make it of that is told, since the asset is there all the same."""
    from sctd.formats.table import MESH_WRITERS
    from sctd.mesh.extract import extract

    report.stage("making the mesh")
    try:
        made = extract(gaussians.detach(), wish)
    except InputError as exc:
        report.message(str(exc))
        return None
    MESH_WRITERS[path.suffix](path, made.mesh)
    report.message(f"{path.name}: {made.told()}")
    return path


def orbit(asset: Gaussians | ColoredMesh, config: Config, n: int, size: int | None = None) -> Tensor:
    """Pictures round the object, uint8 [n, H, W, 3]; of ``output.size`` unless another is given."""
    o = config.output
    cameras = orbit_cameras(n, o.elevation_deg, o.radius, math.degrees(o.fovy_rad), size or o.size)
    if isinstance(asset, ColoredMesh):
        return mesh_images(asset, cameras, o.background)
    return render_images(asset, cameras, o.background)
