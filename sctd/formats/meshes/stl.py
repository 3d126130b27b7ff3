"""STL => triangles, with the colours that two programs put into binary files.

The reader checks the length of a binary file against its count, and reads an ASCII file word by word: trimesh
5.2 treats a file that is a byte too long or too short as empty (trimesh#236, #1720).

Source: "StL Format Description", 3D Systems, 1989; for colours, Materialise Magics (COLOR= in the header, bit
15 clear, red in the low bits) and VisCAM (bit 15 set, red in the high bits).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.errors import InputError
from sctd.formats.meshes.surface import Surface
from sctd.formats.srgb import srgb_to_linear

_HEADER = 84
_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("extra", "<u2")])


def read_stl(path: Path, color: tuple[float, float, float], say: Callable[[str], None]) -> list[Surface]:
    """Every triangle of a binary or ASCII file, in its own units and axes.

    Args:
        path: .stl.
        color: of triangles without one, sRGB 0..1.
        say: gets a message for each part that is left out.

    Raises:
        InputError: it is cut off or damaged.
    """
    data = path.read_bytes()
    plain = torch.tensor(color, dtype=torch.float64)
    if _is_ascii(data):
        corners = _ascii(data, say)
        levels = plain.expand(len(corners), 3)
    else:
        records = _binary(data, say)
        corners = records["corners"].astype(np.float64)
        levels = _painted(data[:80], records["extra"].astype(np.int64), plain, say)
    faces = torch.arange(3 * len(corners)).reshape(-1, 3)
    colors = srgb_to_linear(levels).repeat_interleave(3, dim=0)
    return [Surface(torch.from_numpy(corners.reshape(-1, 3)), faces, colors)]


def _is_ascii(data: bytes) -> bool:
    """Binary files may begin with "solid" too; then their length is right, or they hold a zero byte."""
    if not data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(b"solid"):
        return False
    return not _is_whole(data) and b"\0" not in data[:1024]


def _is_whole(data: bytes) -> bool:
    return len(data) >= _HEADER and len(data) == _HEADER + _RECORD.itemsize * _count(data)


def _count(data: bytes) -> int:
    count: int = struct.unpack_from("<I", data, 80)[0]
    return count


def _binary(data: bytes, say: Callable[[str], None]) -> NDArray[np.void]:
    if len(data) < _HEADER:
        raise InputError(
            f"it is damaged or no .stl file: {len(data)} bytes, and the header alone has {_HEADER}"
        )
    count, rest = _count(data), len(data) - _HEADER
    needed = count * _RECORD.itemsize
    if rest < needed:
        raise InputError(
            f"it is damaged: its header says {count} triangles and there are {rest // _RECORD.itemsize}; "
            "it is cut off, export or download it again"
        )
    if count == 0 and rest:
        raise InputError(
            f"it is damaged: its header says 0 triangles and {rest} bytes follow; export it again"
        )
    if rest > needed:
        say(f"{rest - needed} bytes behind its last triangle are left out")
    return np.frombuffer(data, _RECORD, count, _HEADER)


def _painted(header: bytes, extra: NDArray[np.int64], plain: Tensor, say: Callable[[str], None]) -> Tensor:
    """sRGB [F, 3] from the 16 bits after each triangle, five for each channel."""
    fields = np.stack([extra >> shift & 31 for shift in (0, 5, 10)], axis=1) / 31
    at = header.find(b"COLOR=")
    if 0 <= at <= len(header) - 10:
        whole = torch.tensor(list(header[at + 6 : at + 9]), dtype=torch.float64) / 255
        own, levels = extra >> 15 == 0, fields
    else:
        own, levels, whole = extra >> 15 == 1, fields[:, ::-1], plain
        if own.any():
            say(f"the attribute bytes of {own.sum()} triangles are read as colours")
    return torch.where(torch.from_numpy(own)[:, None], torch.from_numpy(levels.copy()), whole)


def _ascii(data: bytes, say: Callable[[str], None]) -> NDArray[np.float64]:
    """Corners [F, 3, 3]."""
    text = data.decode("latin-1").lower().replace("\r", "\n")
    named = re.compile(r"^[^\S\n]*(?:end)?solid\b[^\n]*", re.MULTILINE)
    if not re.search(r"\bendsolid\b", text):
        say("it has no endsolid at its end; it may be cut off")
    words = named.sub("", text.lstrip("\xef\xbb\xbf")).split()
    # facet normal . . . outer loop (vertex . . .) x 3 endloop endfacet
    form = ["facet", "normal", *"...", "outer", "loop", *["vertex", *"..."] * 3, "endloop", "endfacet"]
    if len(words) % len(form):
        raise InputError(
            f"it is damaged: {len(words) % len(form)} words behind {len(words) // len(form)} whole facets; "
            "it is cut off, or a polygon is no triangle"
        )
    for column, word in enumerate(form):
        for facet, given in enumerate(words[column :: len(form)] if word != "." else []):
            if given != word:
                raise InputError(f"it is damaged: facet {facet} has {given[:40]!r} for {word!r}")
    try:
        columns = [words[k :: len(form)] for first in (8, 12, 16) for k in range(first, first + 3)]
        corners: NDArray[np.float64] = np.array(columns, dtype=np.float64).T.reshape(-1, 3, 3)
    except ValueError as exc:
        raise InputError(f"it is damaged: a vertex is no three numbers ({exc})") from exc
    return corners
