"""A file => the Gaussians that a run starts from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.errors import InputError
from sctd.gaussians import Gaussians, round_gaussians
from sctd.initial import MESHES, check
from sctd.initial.surface import Surface, fit, sample, z_up_to_y_up
from sctd.settings import GaussianSettings

Say = Callable[[str], None]


def from_file(settings: GaussianSettings, generator: torch.Generator, say: Say) -> Gaussians:
    """Gaussians of a splat file as they are; round ones at the points of a cloud or on the faces of a mesh.

    Raises:
        InputError: the file is missing, damaged or empty, or holds numbers that are not finite.
    """
    check(settings)
    path = Path(settings.init_path or "")
    ending = path.suffix.lower()
    if ending == ".splat":
        from sctd.export.splat import load_splat

        return load_splat(path).with_sh_degree(settings.sh_degree)
    try:
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
    if settings.init_up == "z":
        surfaces = z_up_to_y_up(surfaces)
    return from_surfaces(surfaces, settings, generator)


def _from_ply(path: Path, settings: GaussianSettings, generator: torch.Generator, say: Say) -> Gaussians:
    import plyfile

    try:
        elements = plyfile.PlyData.read(str(path), mmap=False)
        vertices = elements["vertex"].data
        if "f_dc_0" in vertices.dtype.names:
            from sctd.export.ply import load_ply

            return load_ply(path).with_sh_degree(settings.sh_degree)
        if "face" in elements and elements["face"].count:
            return _from_mesh(path, settings, generator, say)
        points, colors = _cloud(vertices, settings)
    except (OSError, KeyError, ValueError, TypeError, MemoryError, plyfile.PlyParseError) as exc:
        raise InputError(f"it is damaged or no .ply file ({exc or type(exc).__name__})") from exc
    if len(points) == 0 or not torch.isfinite(points).all() or not torch.isfinite(colors).all():
        raise InputError("it must hold at least one point, and all of them finite")
    if len(points) > settings.count:
        say(f"{path} holds {len(points)} points; {settings.count} of them are used (gaussians.count)")
        kept = torch.randperm(len(points), generator=generator)[: settings.count]
        points, colors = points[kept], colors[kept]
    return round_gaussians(points, colors, settings)


def _cloud(vertices: NDArray[np.void], settings: GaussianSettings) -> tuple[Tensor, Tensor]:
    """Points and colours of a .ply without Gaussians; integer colours are 0..255, others 0..1."""
    points = torch.from_numpy(np.stack([vertices[k] for k in "xyz"], axis=1).astype(np.float32))
    if "red" not in (vertices.dtype.names or ()):
        return points, torch.tensor(settings.init_color).expand_as(points)
    rgb = np.stack([vertices[k] for k in ("red", "green", "blue")], axis=1)
    top = 255.0 if np.issubdtype(rgb.dtype, np.integer) else 1.0
    return points, torch.from_numpy((rgb / top).astype(np.float32)).clamp(0, 1)
