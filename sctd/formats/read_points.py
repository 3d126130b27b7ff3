"""A .ply of points => points and their colours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.formats.colors import NAMES, color_names, read_colors
from sctd.formats.ply import Header, columns, read_vertices, surplus
from sctd.formats.stored import finite_rows

_WITHOUT_COLOR = {"x", "y", "z", "nx", "ny", "nz"}


def read_points(header: Header, say: Callable[[str], None]) -> tuple[Tensor, Tensor | None]:
    """Points [N, 3], float64, in the file's units and axes, and colours [N, 3], 0..1, or None.

    Rows with a position or colour that is not finite are left out, as depth cameras write them where they saw
    nothing.

    Args:
        say: told in a line each what is left out or not read.

    Raises:
        InputError: the file has no positions, no points, or colours that cannot be told.
    """
    path, names = header.path, header.vertex.names
    missing = [name for name in "xyz" if name not in names]
    if missing:
        raise InputError(
            f"{path}: it holds neither Gaussians (f_dc_0) nor faces, and its vertices have no {missing[0]!r} "
            f"but {', '.join(names)[:100]}"
        )
    wanted = color_names(header)
    rows = read_vertices(header)
    if len(rows) == 0:
        raise InputError(f"{path}: it holds no points")
    found = {"means": columns(header, rows, ("x", "y", "z"), np.float64)}
    if wanted:
        found["sh0"] = read_colors(header, rows, wanted)
    kept, why = finite_rows(found)
    if not kept.any():
        raise InputError(f"{path}: it holds no usable points: {why}, of {len(rows)} rows; export it anew")
    if not kept.all():
        say(f"{path}: {int((~kept).sum())} of {len(rows)} points are left out: {why}")
    for note in _unread(header, wanted):
        say(f"{path}: {note}")
    if "alpha" in names and bool((rows["alpha"] != (255 if rows.dtype["alpha"].kind in "iu" else 1)).any()):
        say(f"{path}: its alpha is not read; every Gaussian starts with gaussians.init_opacity")
    points, colors = torch.from_numpy(found["means"][kept]), found.get("sh0")
    return points, None if colors is None else torch.from_numpy(colors[kept])


def _unread(header: Header, colors: tuple[str, ...]) -> list[str]:
    """What may have been meant and is not read, in words."""
    notes = []
    others = [name for name in header.vertex.names if name not in _WITHOUT_COLOR]
    if others and not colors:
        known = " or ".join(" ".join(names) for names in NAMES)
        notes.append(
            f"it has no colours ({known}), so gaussians.init_color is used; not read: {', '.join(others)}"
        )
    if header.unread():
        elements = ", ".join(map(repr, header.unread()))
        notes.append(f"of its elements only 'vertex' is read, not {elements}")
    if extra := surplus(header):
        notes.append(f"{extra} behind its last row are not read; its header may count too few")
    return notes
