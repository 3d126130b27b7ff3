"""Arrays and a tree of JSON => a .glb: what every writer of one shares.

Source: glTF 2.0 specification, sections 3.6 and 4.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

_COMPONENTS = {"uint8": 5121, "uint32": 5125, "float32": 5126}
_WIDTHS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
VERTICES, INDICES = 34962, 34963
"""What a view is for."""


class Buffer:
    """The binary half of a .glb, with the views and accessors that say what is in it."""

    def __init__(self) -> None:
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self._parts: list[bytes] = []
        self._at = 0

    def view(self, data: bytes, target: int | None = None) -> int:
        """Add bytes; the index of their view. Each begins at a multiple of four, as accessors want it."""
        padded = data + b"\0" * (-len(data) % 4)
        view = {"buffer": 0, "byteOffset": self._at, "byteLength": len(data)}
        self.views.append(view if target is None else {**view, "target": target})
        self._parts.append(padded)
        self._at += len(padded)
        return len(self.views) - 1

    def accessor(self, values: NDArray[Any], target: int = VERTICES, *, bounds: bool = False) -> int:
        """Add rows of uint8, which stand for 0..1, uint32 or float32; the index of their accessor.

        Args:
            values: [n, 1..4]; rows of uint8 must have 4.
            bounds: tell the least and the largest of each column, as positions must.
        """
        stored = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        accessor: dict[str, Any] = {
            "bufferView": self.view(stored.tobytes(), target),
            "componentType": _COMPONENTS[values.dtype.name],
            "count": len(stored),
            "type": _WIDTHS[stored.shape[1]],
        }
        if stored.dtype == np.uint8:
            accessor["normalized"] = True
        if bounds:
            accessor |= {"min": stored.min(axis=0).tolist(), "max": stored.max(axis=0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def container(self, tree: dict[str, Any]) -> bytes:
        """The file of a scene with one node, one mesh: ``tree`` holds the rest of its JSON."""
        full = {
            "asset": {"version": "2.0", "generator": "sctd"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            **tree,
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": self._at}],
        }
        text = json.dumps(full, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        body = struct.pack("<I4s", len(text), b"JSON") + text
        body += struct.pack("<I4s", self._at, b"BIN\0") + b"".join(self._parts)
        return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body
