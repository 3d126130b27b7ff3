"""A file => the first Gaussians of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from sctd.config.asset import GaussianSettings
from sctd.errors import InputError
from sctd.formats import read_glb
from sctd.formats.ply import read_header
from sctd.formats.read_ply import holds_gaussians
from sctd.formats.read_points import read_points
from sctd.formats.table import read_gaussians
from sctd.gaussians import Gaussians, round_gaussians
from sctd.initial import MESHES, check
from sctd.initial.surface import Surface, fit, sample, z_up_to_y_up
from sctd.initial.view import placement

Say = Callable[[str], None]

_QUARTER_TURNS = {"y": 0, "z": 1, "-y": 2}
"""Of (x, y, z) => (x, z, -y), from the axis that is up to ours."""


def from_file(settings: GaussianSettings, generator: torch.Generator, say: Say) -> Gaussians:
    """The Gaussians of a splat file, unchanged; round ones at a cloud's points or on a mesh's faces.

    Raises:
        InputError: the file is missing, damaged or empty, or holds numbers that are not finite.
    """
    check(settings)
    path = Path(settings.init_path or "")
    ending = path.suffix.lower()
    try:
        if ending not in (".ply", *MESHES) or (
            ending in (".glb", ".gltf") and read_glb.holds_gaussians(path)
        ):
            return _gaussians(path, settings, say)
        if ending in MESHES:
            return _from_mesh(path, settings, generator, say)
        return _from_ply(path, settings, generator, say)
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
    from sctd.initial.mesh import read_mesh

    surfaces = read_mesh(path, settings.init_color, say)
    for _ in range(_QUARTER_TURNS[settings.init_up or "y"]):
        surfaces = z_up_to_y_up(surfaces)
    return from_surfaces(surfaces, settings, generator)


def _from_ply(path: Path, settings: GaussianSettings, generator: torch.Generator, say: Say) -> Gaussians:
    """Read a .ply by its kind: one with colours or shapes of Gaussians, else with faces, else points."""
    header = read_header(path)
    if holds_gaussians(header):
        return _gaussians(path, settings, say)
    if header.count("face"):
        return _from_mesh(path, settings, generator, say)
    if header.count("tristrips"):
        raise InputError("its triangles are strips (tristrips), which are not read; export them as faces")
    points, colors = read_points(header, say)
    if colors is None:
        colors = torch.tensor(settings.init_color).expand(len(points), 3)
    for _ in range(_QUARTER_TURNS[settings.init_up or "y"]):
        points = points[:, [0, 2, 1]] * points.new_tensor([1, 1, -1])
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
