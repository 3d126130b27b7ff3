"""Gaussians => a splat .ply, the layout that every viewer of 3D Gaussians reads.

One vertex a Gaussian, little-endian float32, values as they are optimised (log-scales, opacity logits, wxyz):
    x y z  nx ny nz (zero, some readers expect them)  f_dc_0..2  f_rest_0..  opacity  scale_0..2  rot_0..3
The higher colour coefficients go channel by channel: f_rest_[c * (K-1) + k] is coefficient k of channel c.
The file is y down, as others' are, and a comment says so: half a turn about x from our axes (`axes.py`).

Source of the layout: Kerbl et al. 2023, "3D Gaussian Splatting", released files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plyfile

from sctd.files import whole_file
from sctd.formats.plain import plain
from sctd.gaussians import Gaussians

LOSES = "every number is kept as it is"
AXES = "sctd axes: y down"
"""The comment that distinguishes our files from others, whose axes are only a custom."""


def property_names(rest: int) -> list[str]:
    """The properties of a vertex, in file order; ``rest`` is the number of f_rest_* among them."""
    return [
        *("x", "y", "z", "nx", "ny", "nz"),
        *(f"f_dc_{i}" for i in range(3)),
        *(f"f_rest_{i}" for i in range(rest)),
        "opacity",
        *(f"scale_{i}" for i in range(3)),
        *(f"rot_{i}" for i in range(4)),
    ]


def write_ply(path: Path, gaussians: Gaussians) -> None:
    """Write Gaussians as a splat .ply, whole or not at all.

    Args:
        path: the file; its folder must exist, an existing file is replaced.
        gaussians: N >= 1 Gaussians on any device, y up; stored as float32, y down.

    Raises:
        InputError: there are none, or a value is not finite; the message names the tensor.
        OSError: the file cannot be written.
    """
    arrays = plain(path, gaussians, "-y")
    count = len(arrays["means"])
    rest = arrays["shN"].transpose(0, 2, 1).reshape(count, -1)
    columns = np.concatenate(
        [
            arrays["means"],
            np.zeros((count, 3), np.float32),
            arrays["sh0"].reshape(count, 3),
            rest,
            arrays["opacities"].reshape(count, 1),
            arrays["scales"],
            arrays["quats"],
        ],
        axis=1,
    )
    # One contiguous block of rows; a structured view gives the columns their names without copying.
    layout = np.dtype([(name, "<f4") for name in property_names(rest.shape[1])])
    vertices = np.ascontiguousarray(columns, dtype="<f4").view(layout).reshape(count)
    element = plyfile.PlyElement.describe(vertices, "vertex")
    with whole_file(Path(path)) as temporary, temporary.open("wb") as stream:
        plyfile.PlyData([element], text=False, byte_order="<", comments=[AXES]).write(stream)
