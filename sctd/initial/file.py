"""A file => the first Gaussians of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from sctd.config.asset import GaussianSettings
from sctd.errors import InputError
from sctd.formats.assets import holds_mesh
from sctd.formats.meshes.surface import Surface, points_y_up, y_up
from sctd.formats.ply import read_header
from sctd.formats.read_ply import holds_gaussians
from sctd.formats.read_points import read_points
from sctd.formats.table import read_gaussians
from sctd.gaussians import Gaussians, round_gaussians
from sctd.initial import check
from sctd.initial.surface import fit, sample
from sctd.initial.view import placement

Say = Callable[[str], None]


def from_file(settings: GaussianSettings, generator: torch.Generator, say: Say) -> Gaussians:
    """The Gaussians of a splat file, unchanged; round ones at a cloud's points or on a mesh's faces.

    Raises:
        InputError: the file is missing, damaged or empty, or holds numbers that are not finite.
    """
    check(settings)
    path = Path(settings.init_path or "")
    try:
        if holds_mesh(path):
            return _from_mesh(path, settings, generator, say)
        if path.suffix.lower() == ".ply":
            return _from_ply(path, settings, generator, say)
        return _gaussians(path, settings, say)
    except InputError as exc:
        message = str(exc)
        raise InputError(message if str(path) in message else f"cannot start from {path}: {message}") from exc


def from_surfaces(
    surfaces: list[Surface], settings: GaussianSettings, generator: torch.Generator
) -> Gaussians:
    """Round Gaussians on triangles, fitted into ``init_radius`` when the settings say so."""
    if settings.init_fit:
        surfaces = fit(surfaces, settings.init_radius)
    return round_gaussians(*sample(surfaces, settings.count, generator), settings)


def _from_mesh(path: Path, settings: GaussianSettings, generator: torch.Generator, say: Say) -> Gaussians:
    from sctd.formats.meshes.read import read_mesh

    surfaces = y_up(read_mesh(path, settings.init_color, say), settings.init_up)
    return from_surfaces(surfaces, settings, generator)


def _from_ply(path: Path, settings: GaussianSettings, generator: torch.Generator, say: Say) -> Gaussians:
    """Read a .ply without faces: one with colours or shapes of Gaussians, else points."""
    header = read_header(path)
    if holds_gaussians(header):
        return _gaussians(path, settings, say)
    if header.count("tristrips"):
        raise InputError("its triangles are strips (tristrips), which are not read; export them as faces")
    points, colors = read_points(header, say)
    if colors is None:
        colors = torch.tensor(settings.init_color).expand(len(points), 3)
    points = points_y_up(points, settings.init_up)
    points = placement(path, points, settings, say).points(points).float()
    if len(points) > settings.count:
        say(f"{path} holds {len(points)} points; {settings.count} of them are used (gaussians.count)")
        kept = torch.randperm(len(points), generator=generator)[: settings.count]
        points, colors = points[kept], colors[kept]
    return round_gaussians(points, colors, settings)


def _gaussians(path: Path, settings: GaussianSettings, say: Say) -> Gaussians:
    """Unchanged, except for the axes and for Gaussians out of view."""

    def place(found: Gaussians) -> Gaussians:
        return placement(path, found.means, settings, say).gaussians(found)

    return read_gaussians(path, settings.init_up, say, place).with_sh_degree(settings.sh_degree)
