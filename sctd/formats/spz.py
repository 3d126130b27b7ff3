"""The layout of .spz, for reading and writing: headers, the blocks of a Gaussian's parts, and the axes.

    versions 1 to 3   one gzip stream: header (16 bytes), blocks, extensions
    version 4         header (32 bytes), extensions, a table of the blocks' lengths, blocks, each by ZSTD

Blocks, N rows each, in this order:
    positions   3 x 24 bits, fixed point (version 1: 3 float16)
    alphas      uint8, opacity
    colors      3 uint8, (byte / 255 - 0.5) / 0.15 is the coefficient of degree 0
    scales      3 uint8, byte / 16 - 10 is the logarithm
    rotations   4 bytes, the three smaller components (versions 1 and 2: 3 uint8, x y z)
    sh          3 * (K - 1) uint8, (byte - 128) / 128, the colour channel varies fastest

The specification says that positions are right, up, back: y up, as ours. Converters from .ply, including
Niantic's, keep the numbers of the .ply, y down, and viewers show them so (nianticlabs/spz#84). Since both
kinds exist, our files are y down and say so by the extension `SPZ_ADOBE_coordinate_system`: they stand
upright in programs that obey it and in programs that treat the file as a .ply.

Source: github.com/nianticlabs/spz, README and extensions/README.
"""

from __future__ import annotations

import struct

from sctd.formats.axes import Up

MAGIC = 0x5053474E
LEGACY = struct.Struct("<IIIBBBB")
"""magic, version, points, degree, fractional bits, flags, reserved."""
HEADER = struct.Struct("<IIIBBBBI12x")
"""The same with the number of blocks instead of reserved, and the offset of their table."""
HAS_EXTENSIONS = 2
COORDINATE_SYSTEM = 0xADBE0003
SYSTEMS: dict[int, Up] = {4: "y", 6: "-y"}
"""Coordinate systems that are rotations of ours: right up back, and right down front."""
COLOR_SCALE = 0.15
RECORD = struct.Struct("<III")
"""An extension with one number: type, length, value."""


def row_bytes(version: int, degree: int) -> dict[str, int]:
    """Bytes of a row of each block, in file order."""
    sizes = {"positions": 6 if version == 1 else 9, "alphas": 1, "colors": 3, "scales": 3}
    sizes["rotations"] = 3 if version < 3 else 4
    if degree:
        sizes["sh"] = 3 * ((degree + 1) ** 2 - 1)
    return sizes
