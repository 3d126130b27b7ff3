"""Writes the output of a finished run: asset.ply, page, mesh, contact sheet and turntable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from sctd.cameras import orbit_cameras
from sctd.config import Config
from sctd.config.mesh import MeshSettings
from sctd.errors import InputError
from sctd.gaussians import Gaussians
from sctd.render import render_images
from sctd.run.folder import ASSET, CONTACT, MESH, PAGE, TURNTABLE
from sctd.run.report import Reporter


@dataclass(frozen=True)
class Made:
    """The files; None for those that the settings turn off."""

    asset_ply: Path
    page_html: Path | None
    contact_png: Path | None
    turntable_mp4: Path | None
    mesh_glb: Path | None
    """None also where the asset has no surface."""


def write_asset(folder: Path, gaussians: Gaussians, config: Config, report: Reporter) -> Made:
    """Write the asset and its pictures into a run's folder.

    Raises:
        OSError: a file cannot be written; earlier ones stay.
    """
    from sctd.export.contact import save_contact
    from sctd.export.video import save_turntable
    from sctd.formats.write_ply import write_ply
    from sctd.viewer.caption import Caption
    from sctd.viewer.page import write_page

    asset, page, contact, turntable = (folder / name for name in (ASSET, PAGE, CONTACT, TURNTABLE))
    wanted = config.output
    report.stage("writing the asset")
    write_ply(asset, gaussians)
    if wanted.page:
        report.stage("writing the page")
        write_page(page, gaussians, Caption.of_run(config), wanted)
    if wanted.contact_views:
        report.stage("rendering the contact sheet")
        save_contact(contact, orbit(gaussians, config, wanted.contact_views))
    if wanted.turntable_frames:
        report.stage("rendering the turntable")
        save_turntable(turntable, orbit(gaussians, config, wanted.turntable_frames), wanted.turntable_fps)
    return Made(
        asset,
        page if wanted.page else None,
        contact if wanted.contact_views else None,
        turntable if wanted.turntable_frames else None,
        _mesh(folder / MESH, gaussians, config.mesh, report) if wanted.mesh else None,
    )


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


def orbit(gaussians: Gaussians, config: Config, n: int, size: int | None = None) -> Tensor:
    """Pictures round the object, uint8 [n, H, W, 3]; of ``output.size`` unless another is given."""
    o = config.output
    cameras = orbit_cameras(n, o.elevation_deg, o.radius, math.degrees(o.fovy_rad), size or o.size)
    return render_images(gaussians, cameras, o.background)
