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
from sctd.formats.assets import Asset
from sctd.formats.meshes.surface import Triangles
from sctd.gaussians import Gaussians
from sctd.mesh.trained.colored import ColoredMesh, mesh_images
from sctd.render import render_images
from sctd.run.folder import ASSET, ASSET_MESH, CONTACT, MESH, PAGE, TURNTABLE
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


def write_asset(folder: Path, result: Gaussians | ColoredMesh, config: Config, report: Reporter) -> Made:
    """Write the asset and its pictures into a run's folder.

    Raises:
        InputError: a mesh has no triangles left.
        OSError: a file cannot be written; earlier ones stay.
    """
    from sctd.export.contact import save_contact
    from sctd.export.video import save_turntable
    from sctd.viewer.caption import Caption
    from sctd.viewer.page import write_page

    page, contact, turntable = (folder / name for name in (PAGE, CONTACT, TURNTABLE))
    wanted = config.output
    report.stage("writing the asset")
    if isinstance(result, Gaussians):
        asset, made = _write_gaussians(folder, result)
    else:
        asset, made = _write_mesh(folder, result, config.mesh, report)
    if wanted.page:
        report.stage("writing the page")
        write_page(page, asset, Caption.of_run(config), wanted)
        made = replace(made, page_html=page)
    if wanted.contact_views:
        report.stage("rendering the contact sheet")
        save_contact(contact, orbit(asset, config, wanted.contact_views))
        made = replace(made, contact_png=contact)
    if wanted.turntable_frames:
        report.stage("rendering the turntable")
        save_turntable(turntable, orbit(asset, config, wanted.turntable_frames), wanted.turntable_fps)
        made = replace(made, turntable_mp4=turntable)
    if wanted.mesh and isinstance(result, Gaussians):
        made = replace(made, mesh_glb=_mesh(folder / MESH, result, config.mesh, report))
    return made


def _write_gaussians(folder: Path, gaussians: Gaussians) -> tuple[Asset, Made]:
    from sctd.formats.write_ply import write_ply

    write_ply(folder / ASSET, gaussians)
    return gaussians, Made(asset_ply=folder / ASSET)


def _write_mesh(folder: Path, mesh: ColoredMesh, wish: MeshSettings, report: Reporter) -> tuple[Asset, Made]:
    """Write a mesh, and tell of it; its pictures show the triangles of the file."""
    from sctd.formats.table import MESH_WRITERS
    from sctd.mesh.trained.finish import finished

    path = folder / ASSET_MESH
    made = finished(mesh, wish)
    MESH_WRITERS[path.suffix](path, made.mesh)
    report.message(f"{path.name}: {made.told()}")
    return Triangles.of_mesh(made.mesh), Made(asset_glb=path)


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


def orbit(asset: Asset | ColoredMesh, config: Config, n: int, size: int | None = None) -> Tensor:
    """Pictures round the object, uint8 [n, H, W, 3]; of ``output.size`` unless another is given."""
    o = config.output
    cameras = orbit_cameras(n, o.elevation_deg, o.radius, math.degrees(o.fovy_rad), size or o.size)
    if isinstance(asset, ColoredMesh):
        return mesh_images(asset, cameras, o.background)
    return render_images(asset, cameras, o.background)
