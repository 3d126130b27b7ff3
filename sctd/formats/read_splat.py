"""A .splat => Gaussians: the flat records that web viewers load.

A record has 32 bytes, little-endian: position 3 float32, scale 3 float32 (standard deviation, no logarithm),
colour and opacity 4 uint8, rotation 4 uint8 wxyz, (byte - 128) / 128 each. Colours are of degree 0; there is
no header. Like the .ply files that they are made from, they are y down.

Source of the layout: the web viewer github.com/antimatter15/splat, its README and converter.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sctd.errors import InputError
from sctd.formats.bounded import read_whole
from sctd.formats.plain import logit
from sctd.formats.stored import Stored, stored
from sctd.gaussians import SH_C0

RECORD = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)])


def read_splat(path: Path) -> Stored:
    """Read a .splat file.

    Opacities of 0 and 255 become a half step inside, since a logit has to be finite.

    Returns:
        Gaussians with spherical harmonics of degree 0.

    Raises:
        InputError: the file is missing, empty, cut off or something else, or no record is usable.
    """
    data = read_whole(path)
    if re.match(rb"ply[ \t]*[\r\n]", data):
        raise InputError(f"{path} is a .ply file; rename it so that it ends in .ply")
    if len(data) % RECORD.itemsize:
        raise InputError(
            f"{path} is no .splat file or is cut off: {len(data)} bytes, no multiple of {RECORD.itemsize}; "
            "export it anew"
        )
    records = np.frombuffer(data, RECORD)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 is flat, negative scales become NaN
        scales = np.log(records["scale"])
    found = {
        "means": records["mean"].astype(np.float64),
        "scales": scales,
        "quats": (records["quat"].astype(np.float64) - 128) / 128,
        "opacities": logit(records["rgba"][:, 3]),
        "sh0": ((records["rgba"][:, None, :3] / 255 - 0.5) / SH_C0).astype(np.float32),
        "shN": np.zeros((len(records), 0, 3), np.float32),
    }
    return stored(Path(path), found, "-y")
