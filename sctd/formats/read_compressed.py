"""SuperSplat's compressed .ply => columns of Gaussians.

Rows of 256 share a row of the element "chunk", which bounds their positions, scales and, in newer files,
colours; a Gaussian is four words of 32 bits within those bounds. Colours of higher degree are bytes of an
element "sh".

    packed_position   11, 10, 11 bits: x, y, z between the chunk's min and max
    packed_scale      the same, logarithms
    packed_rotation   2 bits for the largest of wxyz, 10 each for the others, +-sqrt(1/2)
    packed_color      8 bits each: red, green, blue between the chunk's bounds or 0..1, opacity
    f_rest_i          byte b is (b + 1/2) / 32 - 4; 0 and 255 are -4 and 4

Source: PlayCanvas, "Compressed PLY format", and its splat-transform, with which the tests compare.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sctd.errors import InputError
from sctd.formats.plain import logit
from sctd.formats.ply import Header, columns, read_vertices
from sctd.formats.smallest_three import join
from sctd.gaussians import SH_C0

_ROWS = 256
_WORDS = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
_XYZ = ((21, 2047), (11, 1023), (0, 2047))
"""Shift and largest value of each axis in a word."""


def is_compressed(header: Header) -> bool:
    """Whether a .ply is of this kind."""
    return "packed_position" in header.vertex.names


def read_compressed(header: Header) -> dict[str, NDArray[Any]]:
    """The columns of its Gaussians, y down.

    Raises:
        InputError: a property is missing, or the elements' counts do not fit.
    """
    words = _words(header)
    count = len(words)
    chunks = _chunks(header, -(-count // _ROWS))
    of = np.arange(count) // _ROWS

    def between(word: NDArray[np.uint32], low: str, high: str) -> NDArray[np.float64]:
        share = np.stack([(word >> shift & most) / most for shift, most in _XYZ], axis=1)
        first, last = (np.stack([chunks[name.format(a)][of] for a in "xyz"], axis=1) for name in (low, high))
        return first + (last - first) * share

    rotation, color = words[:, 1], words[:, 3]
    three = np.stack([(rotation >> shift & 1023) / 1023 - 0.5 for shift in (20, 10, 0)], axis=1) * np.sqrt(2)
    rgb = np.stack([(color >> shift & 255) / 255 for shift in (24, 16, 8)], axis=1)
    if "min_r" in chunks:
        first, last = (np.stack([chunks[f"{end}_{c}"][of] for c in "rgb"], axis=1) for end in ("min", "max"))
        rgb = first + (last - first) * rgb
    return {
        "means": between(words[:, 0], "min_{}", "max_{}"),
        "scales": between(words[:, 2], "min_scale_{}", "max_scale_{}").astype(np.float32),
        "quats": join((rotation >> 30).astype(np.int64), three),
        "opacities": logit((color & 255).astype(np.uint8)),
        "sh0": ((rgb - 0.5) / SH_C0).astype(np.float32)[:, None, :],
        "shN": _rest(header, count),
    }


def _element(header: Header, name: str) -> Header:
    """The same file, with another element as the vertices."""
    renamed = tuple(
        replace(e, name="vertex" if e.name == name else "" if e.name == "vertex" else e.name)
        for e in header.elements
    )
    return replace(header, elements=renamed)


def _words(header: Header) -> NDArray[np.uint32]:
    for name in _WORDS:
        kinds = [p.kind for p in header.vertex.properties if p.name == name and not p.length]
        if kinds != ["u4"]:
            raise InputError(f"{header.path}: its property {name!r} is {'no uint' if kinds else 'missing'}")
    rows = read_vertices(header)
    return np.stack([rows[name].astype(np.uint32) for name in _WORDS], axis=1)


def _chunks(header: Header, needed: int) -> dict[str, NDArray[np.float64]]:
    wanted = [f"{end}{kind}_{a}" for end in ("min", "max") for kind in ("", "_scale") for a in "xyz"]
    found = next((e for e in header.elements if e.name == "chunk"), None)
    if found is None or found.count != needed:
        raise InputError(
            f"{header.path}: its element 'chunk' has {found.count if found else 0} rows, and "
            f"{header.vertex.count} Gaussians need {needed}; it is damaged"
        )
    if "min_r" in found.names:
        wanted += [f"{end}_{c}" for end in ("min", "max") for c in "rgb"]
    missing = [name for name in wanted if name not in found.names]
    if missing:
        raise InputError(f"{header.path}: its element 'chunk' has no property {missing[0]!r}; it is damaged")
    inside = _element(header, "chunk")
    values = columns(inside, read_vertices(inside), tuple(wanted), np.float64)
    return {name: values[:, i] for i, name in enumerate(wanted)}


def _rest(header: Header, count: int) -> NDArray[np.float32]:
    found = next((e for e in header.elements if e.name == "sh"), None)
    if found is None:
        return np.zeros((count, 0, 3), np.float32)
    names = tuple(f"f_rest_{i}" for i in range(len(found.names)))
    if found.count != count or len(names) not in (9, 24, 45) or set(names) != set(found.names):
        raise InputError(
            f"{header.path}: its element 'sh' has {found.count} rows of {len(found.names)} properties; "
            f"{count} of 9, 24 or 45 named f_rest_0 and so on are possible"
        )
    inside = _element(header, "sh")
    stored = columns(inside, read_vertices(inside), names, np.float64)
    share = np.where(stored == 0, 0, np.where(stored == 255, 1, (stored + 0.5) / 256))
    values = ((share - 0.5) * 8).astype(np.float32)
    rest: NDArray[np.float32] = values.reshape(count, 3, -1).transpose(0, 2, 1)
    return rest
