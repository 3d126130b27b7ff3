"""Gaussians => a .splat, the flat records of web viewers; y down; `read_splat.py` describes the layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sctd.files import whole_file
from sctd.formats.plain import as_bytes, plain, sigmoid, unit_quats
from sctd.formats.read_splat import RECORD
from sctd.gaussians import SH_C0, Gaussians

LOSES = "colour, opacity and rotation have 8 bits; how colours change with the direction is left out"


def write_splat(path: Path, gaussians: Gaussians) -> None:
    """Write Gaussians as .splat, whole or not at all, large and opaque ones first, as viewers load them.

    Raises:
        InputError: there are none, or a value is not finite.
        OSError: the file cannot be written.
    """
    columns = plain(path, gaussians, "-y")
    opacities = sigmoid(columns["opacities"])
    records = np.empty(len(opacities), RECORD)
    records["mean"] = columns["means"]
    with np.errstate(over="ignore", under="ignore"):
        records["scale"] = np.exp(columns["scales"])
    records["rgba"][:, :3] = as_bytes(255 * (0.5 + SH_C0 * columns["sh0"][:, 0]))
    records["rgba"][:, 3] = as_bytes(255 * opacities)
    records["quat"] = as_bytes(128 + 128 * unit_quats(columns))
    weight = opacities * np.exp(columns["scales"].sum(axis=1, dtype=np.float64))
    with whole_file(Path(path)) as temporary:
        temporary.write_bytes(records[np.argsort(-weight, kind="stable")].tobytes())
