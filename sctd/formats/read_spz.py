""".spz => Gaussians, versions 1 to 4; `spz.py` describes the layout.

An extension of the file names the axis that is up. Without it the axis is unknown: the specification has y
up, but most existing files were made from .ply and are y down. The reader assumes y down, and says so.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sctd.errors import InputError
from sctd.formats import spz
from sctd.formats.axes import Up
from sctd.formats.bounded import check_declared, damaged, inflate, read_whole, unzstd
from sctd.formats.plain import logit
from sctd.formats.smallest_three import join
from sctd.formats.stored import Stored, stored

_KIND = ".spz"
_EXTENSIONS = 4096
"""Bytes after the blocks of a gzip stream that are read."""
_DOUBT = (
    "{path}: it does not say which axis is up; taken as y down, as converters from .ply leave it. The "
    "specification of .spz has y up (render --up y; generate --set gaussians.init_up=y)"
)


def read_spz(path: Path) -> Stored:
    """Read a .spz of any version.

    Raises:
        InputError: the file is missing, damaged, of another version or degree, or holds no usable Gaussians.
    """
    data = read_whole(path)
    if data[:2] == b"\x1f\x8b":
        version, bits, count, degree, blocks, extensions = _legacy(path, data)
    else:
        version, bits, count, degree, blocks, extensions = _current(path, data)
    rows = {
        name: np.frombuffer(block, np.uint8).reshape(count, size)
        for (name, size), block in zip(spz.row_bytes(version, degree).items(), blocks, strict=True)
    }
    found = {
        "means": _positions(rows["positions"], version, bits),
        "scales": rows["scales"] / np.float32(16) - np.float32(10),
        "quats": _rotations(rows["rotations"], version),
        "opacities": logit(rows["alphas"][:, 0]),
        "sh0": ((rows["colors"] / 255 - 0.5) / spz.COLOR_SCALE).astype(np.float32)[:, None, :],
        "shN": _coefficients(rows.get("sh"), count),
    }
    up = _up(path, extensions)
    notes = () if up or not extensions else (f"{path}: its extensions are not read",)
    return stored(Path(path), found, up or "-y", notes, "" if up else _DOUBT.format(path=path))


_Parts = tuple[int, int, int, int, list[bytes], bytes]
"""version, fractional bits, count, degree, blocks, extensions."""


def _legacy(path: Path, data: bytes) -> _Parts:
    """Versions 1 to 3: all in one gzip stream, the extensions last."""
    head = inflate(path, _KIND, data, spz.LEGACY.size)
    if len(head) < spz.LEGACY.size:
        raise damaged(path, _KIND, f"it unpacks to {len(head)} bytes, less than its header")
    magic, version, count, degree, bits, flags, _ = spz.LEGACY.unpack(head)
    sizes = _sizes(path, magic, version, (1, 2, 3), count, degree, bits, len(data))
    needed = spz.LEGACY.size + sum(sizes)
    content = inflate(path, _KIND, data, needed + _EXTENSIONS)
    if len(content) < needed:
        raise damaged(
            path,
            _KIND,
            f"it is cut off: numPoints {count} need {needed} bytes, and it unpacks to {len(content)}",
        )
    blocks, at = [], spz.LEGACY.size
    for size in sizes:
        blocks.append(content[at : at + size])
        at += size
    extensions = content[needed:] if flags & spz.HAS_EXTENSIONS else b""
    return version, bits, count, degree, blocks, extensions


def _current(path: Path, data: bytes) -> _Parts:
    """Version 4: a plain header, then a ZSTD frame for each block."""
    if len(data) < spz.HEADER.size:
        raise damaged(path, _KIND, f"it has {len(data)} bytes, less than its header")
    magic, version, count, degree, bits, flags, streams, table = spz.HEADER.unpack_from(data)
    sizes = _sizes(path, magic, version, (4,), count, degree, bits, len(data))
    if streams != len(sizes):
        raise damaged(path, _KIND, f"numStreams is {streams}, and degree {degree} has {len(sizes)}")
    at = table + 16 * streams
    if table < spz.HEADER.size or at > len(data):
        raise damaged(path, _KIND, f"tocByteOffset is {table} in a file of {len(data)} bytes")
    blocks = []
    for i, (name, size) in enumerate(zip(spz.row_bytes(version, degree), sizes, strict=True)):
        packed, length = struct.unpack_from("<QQ", data, table + 16 * i)
        if length != size:
            raise damaged(path, _KIND, f"{name} has {length} bytes, and numPoints {count} need {size}")
        if at + packed > len(data):
            raise damaged(path, _KIND, f"it is cut off: {name} ends at byte {at + packed} of {len(data)}")
        blocks.append(unzstd(path, _KIND, name, data[at : at + packed], size))
        at += packed
    extensions = data[spz.HEADER.size : table] if flags & spz.HAS_EXTENSIONS else b""
    return version, bits, count, degree, blocks, extensions


def _sizes(
    path: Path,
    magic: int,
    version: int,
    known: tuple[int, ...],
    count: int,
    degree: int,
    bits: int,
    there: int,
) -> list[int]:
    """Bytes of each block; checks the header first."""
    if magic != spz.MAGIC:
        raise damaged(path, _KIND, "it does not begin with 'NGSP'")
    if version not in known:
        raise InputError(f"{path}: it is .spz of version {version}, and 1 to 4 are read; export it anew")
    if degree > 3:
        raise InputError(f"{path}: shDegree is {degree}, and 0 to 3 are read; export it with degree 3")
    if bits > 23:
        raise damaged(path, _KIND, f"fractionalBits is {bits} of 24")
    sizes = [count * size for size in spz.row_bytes(version, degree).values()]
    check_declared(path, _KIND, "numPoints", count, sum(sizes), there)
    return sizes


def _positions(rows: NDArray[np.uint8], version: int, bits: int) -> NDArray[np.float64]:
    if version == 1:
        return np.ascontiguousarray(rows).view("<f2").astype(np.float64)
    parts = rows.reshape(len(rows), 3, 3).astype(np.int32)
    fixed = parts[..., 0] | parts[..., 1] << 8 | parts[..., 2] << 16
    signed = np.where(fixed >= 1 << 23, fixed - (1 << 24), fixed)
    means: NDArray[np.float64] = signed / 2.0**bits
    return means


def _rotations(rows: NDArray[np.uint8], version: int) -> NDArray[np.float64]:
    """[N, 4] wxyz."""
    if version < 3:
        xyz = rows / 127.5 - 1.0
        w = np.sqrt(np.maximum(0.0, 1.0 - (xyz**2).sum(axis=1, keepdims=True)))
        return np.hstack((w, xyz))
    packed = np.ascontiguousarray(rows).view("<u4")[:, 0]
    parts = np.stack([packed >> shift & 1023 for shift in (20, 10, 0)], axis=1)
    three = np.where(parts & 512, -1.0, 1.0) * (parts & 511) / 511 * np.sqrt(0.5)
    return join((packed >> 30).astype(np.int64), three)[:, [3, 0, 1, 2]]


def _coefficients(rows: NDArray[np.uint8] | None, count: int) -> NDArray[np.float32]:
    if rows is None:
        return np.zeros((count, 0, 3), np.float32)
    values = (rows.astype(np.float32) - 128) / 128
    return values.astype(np.float32).reshape(count, rows.shape[1] // 3, 3)


def _up(path: Path, extensions: bytes) -> Up | None:
    """The up axis by an extension; None: no extension names it.

    Raises:
        InputError: the named axes are no rotation of ours.
    """
    at = 0
    while at + 8 <= len(extensions):
        kind, length = struct.unpack_from("<II", extensions, at)
        if kind == spz.COORDINATE_SYSTEM and length == 4 and at + 12 <= len(extensions):
            (number,) = struct.unpack_from("<I", extensions, at + 8)
            if number and number not in spz.SYSTEMS:
                raise InputError(
                    f"{path}: SPZ_ADOBE_coordinate_system is {number}; {', '.join(map(str, spz.SYSTEMS))} "
                    "(right up back, right down front) are read: export it in one of them"
                )
            return spz.SYSTEMS[number] if number else None
        at += 8 + length
    return None
