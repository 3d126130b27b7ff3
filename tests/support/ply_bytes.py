"""Splat files written by hand, so that no reader checks its own writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
TYPES = {"f4": "float", "f8": "double", "u1": "uchar", "u2": "ushort", "i4": "int", "u4": "uint"}


def gaussian_columns(count: int = 6, rest: int = 0, seed: int = 0) -> Columns:
    """The properties of Gaussians as the first 3D Gaussian splatting files have them, in that order."""
    random = np.random.default_rng(seed)
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    names += [f"f_rest_{i}" for i in range(rest)] + ["opacity", "scale_0", "scale_1", "scale_2"]
    names += ["rot_0", "rot_1", "rot_2", "rot_3"]
    return {name: random.normal(size=count).astype("f4") * np.float32(0.5) for name in names}


def write(
    path: Path,
    columns: Columns,
    *,
    order: str = "<",
    newline: bytes = b"\n",
    head: tuple[bytes, ...] = (),
    before: tuple[bytes, bytes] = (b"", b""),
    after: tuple[bytes, bytes] = (b"", b""),
    count: int | None = None,
) -> Path:
    """One element "vertex" of these columns.

    Args:
        order: of the bytes, or empty for text.
        head: lines after the format.
        before, after: another element's lines in the header and its rows.
        count: what the header declares; None: what is there.
    """
    rows = len(next(iter(columns.values())))
    form = {"": b"ascii", "<": b"binary_little_endian", ">": b"binary_big_endian"}[order]
    lines = [b"ply", b"format " + form + b" 1.0", *head, *before[0].splitlines()]
    lines.append(b"element vertex %d" % (rows if count is None else count))
    for name, values in columns.items():
        lines.append(f"property {TYPES[values.dtype.str[1:]]} {name}".encode())
    lines += [*after[0].splitlines(), b"end_header"]
    if order:
        table = np.zeros(rows, [(name, order + values.dtype.str[1:]) for name, values in columns.items()])
        for name, values in columns.items():
            table[name] = values
        body = table.tobytes()
    else:
        text = (" ".join(str(values[i]) for values in columns.values()) for i in range(rows))
        body = b"".join(line.encode() + newline for line in text)
    path.write_bytes(newline.join(lines) + newline + before[1] + body + after[1])
    return path
