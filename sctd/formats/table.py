"""Readers and writers of files of Gaussians, by ending; all commands use this table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from sctd.errors import InputError
from sctd.formats import (
    write_glb,
    write_mesh_glb,
    write_mesh_obj,
    write_npz,
    write_ply,
    write_sog,
    write_splat,
    write_spz,
)
from sctd.formats.axes import Up, to_y_up
from sctd.formats.read_glb import read_glb
from sctd.formats.read_npz import read_npz
from sctd.formats.read_ply import read_ply
from sctd.formats.read_sog import read_sog
from sctd.formats.read_splat import read_splat
from sctd.formats.read_spz import read_spz
from sctd.formats.stored import Stored
from sctd.gaussians import Gaussians
from sctd.triangle_mesh import Mesh

READERS: dict[str, Callable[[Path], Stored]] = {
    ".ply": read_ply,
    ".splat": read_splat,
    ".spz": read_spz,
    ".sog": read_sog,
    ".glb": read_glb,
    ".gltf": read_glb,
    ".npz": read_npz,
}
"""Lower-case ending => reader."""


class Writer(NamedTuple):
    """A writer of Gaussians."""

    write: Callable[[Path, Gaussians], None]
    loses: str
    """What the format loses, in words."""


WRITERS: dict[str, Writer] = {
    ".ply": Writer(write_ply.write_ply, write_ply.LOSES),
    ".splat": Writer(write_splat.write_splat, write_splat.LOSES),
    ".spz": Writer(write_spz.write_spz, write_spz.LOSES),
    ".sog": Writer(write_sog.write_sog, write_sog.LOSES),
    ".glb": Writer(write_glb.write_glb, write_glb.LOSES),
    ".npz": Writer(write_npz.write_npz, write_npz.LOSES),
}
"""Lower-case ending => writer."""

MESH_WRITERS: dict[str, Callable[[Path, Mesh], None]] = {
    ".glb": write_mesh_glb.write_mesh_glb,
    ".obj": write_mesh_obj.write_mesh_obj,
}
"""Ending in small letters => writer of triangles, y up; sctd/mesh/ has the endings, too."""


def read_gaussians(
    path: Path,
    up: Up | None = None,
    say: Callable[[str], None] = lambda text: None,
    place: Callable[[Gaussians], Gaussians] = lambda gaussians: gaussians,
) -> Gaussians:
    """Read an asset of sctd or of another program.

    Args:
        path: a file with an ending of READERS, in upper or lower case.
        up: the file's axis that points up; None: by the file or the custom of its format.
        say: gets one line for each message about the reading.
        place: moves the Gaussians, y up and with float64 means, before rounding.

    Returns:
        Gaussians on the CPU, float32, y up.

    Raises:
        InputError: no reader fits, or the file is missing, damaged, or not of its ending's format.
    """
    reader = READERS.get(Path(path).suffix.lower())
    if reader is None:
        raise InputError(
            f"cannot read Gaussians from {str(path)!r}: give a file ending in {', '.join(READERS)}"
        )
    read = reader(Path(path))
    for note in read.notes:
        say(note)
    if up is None and read.doubt:
        say(read.doubt)
    placed = place(to_y_up(read.gaussians, up or read.up))
    return Gaussians(**{name: p.to(torch.float32) for name, p in placed.parameters().items()})
