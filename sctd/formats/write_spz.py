"""Gaussians => .spz, version 3 or 4; `spz.py` describes layout and axes."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sctd.errors import InputError
from sctd.files import whole_file
from sctd.formats import spz
from sctd.formats.plain import Columns, as_bytes, plain, sigmoid, unit_quats
from sctd.formats.smallest_three import split
from sctd.gaussians import Gaussians

LOSES = (
    "positions have 24 bits, rotations 10, all else 8: scales from e^-10 on in steps of e^(1/16), "
    "colour coefficients within +-3.33, those of the direction within +-1"
)
VERSIONS = (3, 4)
_MOST_BITS = 16
"""Bits of the fraction of positions at most: 1/65536 world units, far below a pixel."""


def write_spz(path: Path, gaussians: Gaussians, version: int = 3) -> None:
    """Write Gaussians as .spz, whole or not at all.

    Args:
        version: 3, gzip, which more programs read; or 4, ZSTD, smaller.

    Raises:
        InputError: there are none, a value is not finite or a position beyond 8 million, or no such version.
        OSError: the file cannot be written.
    """
    if version not in VERSIONS:
        raise InputError(f"cannot write .spz of version {version}; 3 and 4 are possible")
    columns = plain(path, gaussians, "-y")
    bits, positions = _positions(path, columns["means"])
    degree = gaussians.sh_degree
    blocks: list[NDArray[Any]] = [
        positions,
        as_bytes(255 * sigmoid(columns["opacities"])),
        as_bytes(255 * (0.5 + spz.COLOR_SCALE * columns["sh0"])),
        as_bytes(16 * (columns["scales"] + 10)),
        _rotations(columns),
    ]
    if degree:
        blocks.append(as_bytes(128 + 128 * columns["shN"]))
    pack = _with_gzip if version == 3 else _with_zstd
    packed = pack(len(columns["means"]), degree, bits, [block.tobytes() for block in blocks])
    with whole_file(Path(path)) as temporary:
        temporary.write_bytes(packed)


def _positions(path: Path, means: NDArray[np.float32]) -> tuple[int, NDArray[np.uint8]]:
    """The fraction's share of the 24 bits, as many as the largest number allows, and [N, 3, 3] bytes."""
    largest = float(np.abs(means).max())
    bits = next((b for b in range(_MOST_BITS, -1, -1) if largest * 2**b <= 2**23 - 1), None)
    if bits is None:
        raise InputError(
            f"cannot write {path}: a position is {largest:.3g} and 8388607 is the largest that .spz holds; "
            "write .ply"
        )
    fixed = np.rint(means.astype(np.float64) * 2**bits).astype("<i4")
    return bits, fixed[..., None].view(np.uint8)[..., :3]


def _rotations(columns: Columns) -> NDArray[np.uint32]:
    """[N]: 2 bits for the largest of xyzw, then 1 for the sign and 9 for the size of each of the others."""
    index, three = split(unit_quats(columns)[:, [1, 2, 3, 0]])
    size = np.rint(511 * np.minimum(1, np.abs(three) * np.sqrt(2))).astype(np.uint32)
    parts = (three < 0).astype(np.uint32) << 9 | size
    packed: NDArray[np.uint32] = (
        index.astype(np.uint32) << 30 | parts[:, 0] << 20 | parts[:, 1] << 10 | parts[:, 2]
    )
    return packed.astype("<u4")


def _extension() -> bytes:
    number = next(number for number, up in spz.SYSTEMS.items() if up == "-y")
    return spz.RECORD.pack(spz.COORDINATE_SYSTEM, 4, number)


def _with_gzip(count: int, degree: int, bits: int, blocks: list[bytes]) -> bytes:
    header = spz.LEGACY.pack(spz.MAGIC, 3, count, degree, bits, spz.HAS_EXTENSIONS, 0)
    return gzip.compress(b"".join([header, *blocks, _extension()]), mtime=0)


def _with_zstd(count: int, degree: int, bits: int, blocks: list[bytes]) -> bytes:
    import zstandard

    extension = _extension()
    table_at = spz.HEADER.size + len(extension)
    flags = spz.HAS_EXTENSIONS
    header = spz.HEADER.pack(spz.MAGIC, 4, count, degree, bits, flags, len(blocks), table_at)
    packed = [zstandard.ZstdCompressor(level=12).compress(block) for block in blocks]
    lengths = [
        struct.pack("<QQ", len(small), len(block)) for small, block in zip(packed, blocks, strict=True)
    ]
    return b"".join([header, extension, *lengths, *packed])
