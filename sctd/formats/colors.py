"""Plain colours of the rows of a .ply, by the names and ranges that programs give them.

uchar is 0..255 and float 0..1. Wider integers are 0..255 where none is above, as in text files, and 0..65535
otherwise. Any other type is refused, since its range would be a guess.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sctd.errors import InputError
from sctd.formats.ply import Header, columns

NAMES = (
    ("red", "green", "blue"),
    ("r", "g", "b"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
)
"""In the order of preference where a file has several."""


def color_names(header: Header) -> tuple[str, ...]:
    """The properties that hold the colours; empty: there are none.

    Raises:
        InputError: one or two of the three are missing.
    """
    for names in NAMES:
        there = [name for name in names if name in header.vertex.names]
        if len(there) == len(names):
            return names
        if there:
            missing = next(name for name in names if name not in there)
            raise InputError(
                f"{header.path} has the colour property {there[0]!r} without {missing!r}; "
                "add it or drop the rest"
            )
    return ()


def read_colors(header: Header, rows: NDArray[np.void], names: tuple[str, ...]) -> NDArray[np.float32]:
    """Colours [N, 3], 0..1; NaN where a float is.

    Raises:
        InputError: they are of several types, or out of their type's range.
    """
    kinds = {rows.dtype[name] for name in names}
    if len(kinds) > 1:
        raise InputError(
            f"{header.path}: its colours {', '.join(names)} are of different types; use one type"
        )
    kind = kinds.pop()
    values = columns(header, rows, names, np.float64)
    top = 1 if kind.kind == "f" else 255 if kind.itemsize == 1 or not (values > 255).any() else 65535
    if (values < 0).any() or (values > top).any():
        raise InputError(
            f"{header.path}: its colours {', '.join(names)} are {kind.name} and must be 0..{top}, "
            "but some are not; scale them"
        )
    return (values / top).astype(np.float32)
