"""Which reader a file of Gaussians goes to, by its ending; every command that takes an asset comes here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from sctd.errors import InputError
from sctd.formats.axes import Up, to_y_up
from sctd.formats.read_ply import read_ply
from sctd.formats.read_splat import read_splat
from sctd.formats.stored import Stored
from sctd.gaussians import Gaussians

READERS: dict[str, Callable[[Path], Stored]] = {".ply": read_ply, ".splat": read_splat}
"""Ending in small letters => reader."""


def read_gaussians(
    path: Path,
    up: Up | None = None,
    say: Callable[[str], None] = lambda text: None,
    place: Callable[[Gaussians], Gaussians] = lambda gaussians: gaussians,
) -> Gaussians:
    """Read an asset, ours or another program's.

    Args:
        path: a file that ends as one of READERS, in any case.
        up: the file's axis that points up; None: as the file or the custom of its format says.
        say: told in a line each what a person should know of how it was read.
        place: moves what was read, y up and with float64 means, before they are rounded.

    Returns:
        Gaussians on the CPU, float32, y up.

    Raises:
        InputError: no reader fits, or the file is missing, damaged, or not what its ending says.
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
