"""A .ply of Gaussians => Gaussians, ours or another program's; text, either byte order, SuperSplat's words.

The layout stands in `write_ply.py`. Of what others write, these are read as they are meant:

- ``red green blue`` in place of ``f_dc_*``: base colours, as in `colors.py`;
- no ``scale_2``: flat Gaussians (Huang et al. 2024, "2D Gaussian Splatting"), without thickness along z;
- infinite opacities, scales of zero, rotations of any length, rows of NaN: the rules of `stored.py`.

Axes are y down unless a comment of ours says otherwise. Our own assets had no such comment while they were
still y up: one is known by the run folder that it lies in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sctd.errors import InputError
from sctd.formats.axes import Up
from sctd.formats.colors import color_names, read_colors
from sctd.formats.ply import Header, columns, read_header, read_vertices, surplus
from sctd.formats.read_compressed import is_compressed, read_compressed
from sctd.formats.stored import FLAT, Stored, stored
from sctd.formats.write_ply import AXES, property_names
from sctd.gaussians import SH_C0

_REST_COUNTS = (0, 9, 24, 45)
"""Numbers of f_rest_* properties, by the degree of the spherical harmonics."""

_MARKS: dict[str, Up] = {"y down": "-y", "y up": "y", "z up": "z"}
"""What the comment about the axes can say."""


def holds_gaussians(header: Header) -> bool:
    """Whether a .ply is one of Gaussians rather than of points or triangles."""
    names = header.vertex.names
    return is_compressed(header) or "f_dc_0" in names or {"scale_0", "rot_0"} <= set(names)


def read_ply(path: Path) -> Stored:
    """Read a .ply of Gaussians.

    Raises:
        InputError: the file is missing or damaged, holds no Gaussians, or lacks a property of theirs.
    """
    header = read_header(path)
    if not holds_gaussians(header):
        raise InputError(
            f"{path} is not a splat file: property 'f_dc_0' is missing; give the asset.ply of a run "
            "or another 3D Gaussian splatting file"
        )
    found = read_compressed(header) if is_compressed(header) else _columns(header)
    notes = []
    read = ("vertex", "chunk", "sh") if is_compressed(header) else ("vertex",)
    if others := [name for name in header.unread() if name not in read]:
        notes.append(f"{path}: of its elements only 'vertex' is read, not {', '.join(map(repr, others))}")
    if extra := surplus(header):
        notes.append(f"{path}: {extra} behind its last row are not read; its header may count too few")
    up, doubt = _axes(header)
    return stored(Path(path), found, up, tuple(notes), doubt)


def _columns(header: Header) -> dict[str, NDArray[Any]]:
    """As :class:`sctd.gaussians.Gaussians` names and shapes them."""
    rest = _check_properties(header)
    rows = read_vertices(header)
    count = len(rows)
    scales = columns(header, rows, ("scale_0", "scale_1"))
    flat = "scale_2" not in header.vertex.names
    thickness = np.full((count, 1), FLAT, np.float32) if flat else columns(header, rows, ("scale_2",))
    coefficients = columns(header, rows, tuple(f"f_rest_{i}" for i in range(rest)))
    return {
        "means": columns(header, rows, ("x", "y", "z"), np.float64),
        "scales": np.hstack((scales, thickness)),
        "quats": columns(header, rows, ("rot_0", "rot_1", "rot_2", "rot_3"), np.float64),
        "opacities": columns(header, rows, ("opacity",))[:, 0],
        "sh0": _base_colors(header, rows)[:, None, :],
        "shN": coefficients.reshape(count, 3, rest // 3).transpose(0, 2, 1),
    }


def _check_properties(header: Header) -> int:
    """The number of f_rest_* properties, once all others are known to be there and to be what they should.

    Raises:
        InputError: one is missing, or is an integer, whose scale nobody knows.
    """
    path, names = header.path, header.vertex.names
    optional = {"nx", "ny", "nz", "scale_2"}
    if color_names(header) and not any(name.startswith("f_dc_") for name in names):
        optional |= {"f_dc_0", "f_dc_1", "f_dc_2"}
    missing = [name for name in property_names(0) if name not in names and name not in optional]
    if missing:
        raise InputError(
            f"{path} is not a splat file: property {missing[0]!r} is missing; give the asset.ply of a run "
            "or another 3D Gaussian splatting file"
        )
    rest = {name for name in names if name.startswith("f_rest_")}
    if len(rest) not in _REST_COUNTS:
        raise InputError(
            f"{path} has {len(rest)} f_rest_* properties; 0, 9, 24 or 45 are possible: export it anew"
        )
    gaps = [f"f_rest_{i}" for i in range(len(rest)) if f"f_rest_{i}" not in rest]
    if gaps:
        raise InputError(
            f"{path} has {len(rest)} f_rest_* properties, and {gaps[0]!r} is not among them: export it anew"
        )
    wanted = {*property_names(len(rest)), "scale_2"} - {"x", "y", "z", "nx", "ny", "nz"}
    for p in header.vertex.properties:
        if p.name in wanted and not p.length and not p.kind.startswith("f"):
            raise InputError(
                f"{path}: property {p.name!r} is {np.dtype(p.kind).name}, and must be float or double: "
                "export it uncompressed"
            )
    return len(rest)


def _base_colors(header: Header, rows: NDArray[np.void]) -> NDArray[np.float32]:
    """Coefficients of degree 0, [N, 3]; f_dc_* where a file has plain colours as well."""
    if "f_dc_0" in header.vertex.names:
        return columns(header, rows, ("f_dc_0", "f_dc_1", "f_dc_2"))
    colors = read_colors(header, rows, color_names(header))
    return ((colors - 0.5) / SH_C0).astype(np.float32)


def _axes(header: Header) -> tuple[Up, str]:
    """Which axis is up, and why that may be wrong: the file does not say it and may be an older one of ours.

    Raises:
        InputError: its comment about the axes says what is unknown.
    """
    path, key = header.path, AXES.partition(":")[0]
    said = [c.partition(":")[2].strip() for c in header.comments if c.partition(":")[0] == key]
    if said and said[-1] not in _MARKS:
        raise InputError(
            f"{path}: its comment {key!r} says {said[-1]!r}; {', '.join(_MARKS)} are known: correct it"
        )
    if said:
        return _MARKS[said[-1]], ""
    if header.comments or list(header.vertex.names) != property_names(_rest_count(header)):
        return "-y", ""  # another program's
    # No program but ours names a file so beside these two.
    if path.name == "asset.ply" and all(
        (path.parent / name).is_file() for name in ("config.yaml", "log.jsonl")
    ):
        return "y", f"{path}: an asset without a mark of its axes in a run folder, so an older one: y up"
    return "-y", (
        f"{path}: it does not say which axis is up; taken as y down, the custom of such files. An unmarked "
        "asset.ply, as sctd once wrote it, is y up (render --up y; generate --set gaussians.init_up=y)"
    )


def _rest_count(header: Header) -> int:
    return sum(name.startswith("f_rest_") for name in header.vertex.names)
