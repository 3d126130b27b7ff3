"""Unpacks compressed bytes with bounded memory.

A kilobyte can declare a billion Gaussians, or unpack to a billion bytes. So readers first compare the
declared count with the file's length, and unpacking stops at the declared length.
"""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import IO

from sctd.errors import InputError

_RATIO = 1100
"""Unpacked bytes for a packed one: DEFLATE makes at most 1032, and ZSTD of packed Gaussians far less."""
_SLACK = 1 << 20


def damaged(path: Path, kind: str, why: str) -> InputError:
    """The error of a damaged file: its name, its format and the reason, in one line."""
    return InputError(f"{path} is damaged or no {kind} file: {why}")


def read_whole(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror or exc}") from exc


def check_declared(path: Path, kind: str, field: str, declared: int, needed: int, there: int) -> None:
    """Refuse a count whose rows, ``needed`` bytes once unpacked, cannot be in a file of ``there`` bytes.

    Raises:
        InputError: they cannot.
    """
    if needed > _RATIO * there + _SLACK:
        raise damaged(
            path, kind, f"{field} says {declared}, which need {needed} bytes, and the file has {there}"
        )


def inflate(path: Path, kind: str, data: bytes, most: int) -> bytes:
    """At most ``most`` >= 1 bytes of a gzip stream, all where it has fewer; then its checksum is right, too.

    Raises:
        InputError: it is no gzip stream, is cut off, or its checksum is wrong.
    """
    stream = zlib.decompressobj(wbits=31)
    try:
        found = stream.decompress(data, most)
    except zlib.error as exc:
        raise damaged(path, kind, f"its gzip stream cannot be unpacked ({exc})") from exc
    if len(found) < most and not stream.eof:
        raise damaged(path, kind, f"it is cut off: its gzip stream ends after {len(found)} bytes")
    return found


def unzstd(path: Path, kind: str, field: str, data: bytes, length: int) -> bytes:
    """Exactly ``length`` bytes of a ZSTD frame.

    Raises:
        InputError: it is none, or has another length.
    """
    import zstandard

    stream: IO[bytes] = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data))
    try:
        found = stream.read(length + 1)
    except zstandard.ZstdError as exc:
        raise damaged(path, kind, f"{field} cannot be unpacked ({exc})") from exc
    if len(found) != length:
        more = "more" if len(found) > length else str(len(found))
        raise damaged(path, kind, f"{field} should unpack to {length} bytes and gives {more}")
    return found
