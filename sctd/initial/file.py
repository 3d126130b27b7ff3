"""A file => the Gaussians that a run starts from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.errors import InputError
from sctd.export.ply import columns, load_ply, read_vertices
from sctd.export.splat import load_splat
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
    """Told apart by what only one kind has: base colours f_dc_* of Gaussians, then faces, then points."""
    vertices, faces = read_vertices(path)
    if "f_dc_0" in (vertices.dtype.names or ()):
        return load_ply(path).with_sh_degree(settings.sh_degree)
    if faces:
        return _from_mesh(path, settings, generator, say)
    with path.open("rb") as file:
        if b"\nelement tristrips " in file.read(1 << 16).replace(b"\r", b"\n").partition(b"end_header")[0]:
            raise InputError("its triangles are strips (tristrips), which are not read; export them as faces")
    points, colors = _cloud(vertices, path, settings)
    if len(points) > settings.count:
        say(f"{path} holds {len(points)} points; {settings.count} of them are used (gaussians.count)")
        kept = torch.randperm(len(points), generator=generator)[: settings.count]
        points, colors = points[kept], colors[kept]
    return round_gaussians(points, colors, settings)


def _cloud(vertices: NDArray[np.void], path: Path, settings: GaussianSettings) -> tuple[Tensor, Tensor]:
    """Points and colours of a .ply without Gaussians; integer colours are 0..255, others 0..1."""
    names = vertices.dtype.names or ()
    rgb = ("red", "green", "blue") if "red" in names else ()
    missing = [name for name in (*"xyz", *rgb) if name not in names]
    if missing:
        raise InputError(
            f"it holds neither Gaussians (f_dc_0) nor faces, and its vertices have no {missing[0]!r}"
        )
    if len(vertices) == 0:
        raise InputError("it holds no points")
    points = torch.from_numpy(columns(vertices, ("x", "y", "z"), path))
    if not rgb:
        return points, torch.tensor(settings.init_color).expand_as(points)
    top = 255 if vertices.dtype["red"].kind in "iu" else 1
    colors = torch.from_numpy(columns(vertices, rgb, path)) / top
    if not 0 <= float(colors.min()) <= float(colors.max()) <= 1:
        raise InputError(
            f"its colours are {vertices.dtype['red'].name} and must be 0..{top}, but some are not"
        )
    return points, colors
