"""Gaussians => .glb with KHR_gaussian_splatting: y up, front at +z, as glTF and we have it.

One primitive of points. Programs without the extension show them coloured by COLOR_0, linear light with the
opacity as alpha. Numbers are float32; opacities, scales and rotations are activated, rotations xyzw.

Source: KhronosGroup/glTF, extensions/2.0/Khronos/KHR_gaussian_splatting; glTF 2.0 specification, section 4.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sctd.files import whole_file
from sctd.formats.plain import as_bytes, plain, sigmoid, unit_quats
from sctd.formats.srgb import srgb_to_linear
from sctd.gaussians import SH_C0, Gaussians

LOSES = "every number is kept but for float32's rounding; opacities within 1e-7 of 0 or 1 are cut there"
EXTENSION = "KHR_gaussian_splatting"
_FLOAT, _UCHAR, _POINTS = 5126, 5121, 0
_WIDTHS = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}


def write_glb(path: Path, gaussians: Gaussians) -> None:
    """Write Gaussians as .glb, whole or not at all.

    Raises:
        InputError: there are none, or a value is not finite.
        OSError: the file cannot be written.
    """
    columns = plain(path, gaussians, "y")
    opacities = sigmoid(columns["opacities"]).astype(np.float32)[:, None]
    attributes: dict[str, NDArray[Any]] = {
        "POSITION": columns["means"],
        "COLOR_0": _fallback(columns["sh0"][:, 0], opacities),
        f"{EXTENSION}:ROTATION": unit_quats(columns)[:, [1, 2, 3, 0]].astype(np.float32),
        f"{EXTENSION}:SCALE": np.exp(np.clip(columns["scales"], -87, 88)),
        f"{EXTENSION}:OPACITY": opacities,
        f"{EXTENSION}:SH_DEGREE_0_COEF_0": columns["sh0"][:, 0],
    }
    for degree in range(1, gaussians.sh_degree + 1):
        for order in range(2 * degree + 1):
            values = columns["shN"][:, degree * degree - 1 + order]
            attributes[f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{order}"] = values
    with whole_file(Path(path)) as temporary:
        temporary.write_bytes(_container(*_tree(attributes)))


def _fallback(coefficients: NDArray[np.float32], opacities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """RGBA in 8 bits, [N, 4]: colours of degree 0 in linear light, and the opacity."""
    linear = srgb_to_linear(torch.from_numpy(0.5 + SH_C0 * coefficients).clamp(0, 1)).numpy()
    return as_bytes(255 * np.hstack((linear, opacities)))


def _tree(attributes: dict[str, NDArray[Any]]) -> tuple[dict[str, Any], bytes]:
    """The JSON and the buffer that it describes, an accessor and a view for each attribute."""
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []
    parts: list[bytes] = []
    at = 0
    for name, values in attributes.items():
        stored = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        accessor: dict[str, Any] = {
            "bufferView": len(views),
            "componentType": _UCHAR if stored.dtype == np.uint8 else _FLOAT,
            "count": len(stored),
            "type": _WIDTHS[stored.shape[1]],
        }
        if stored.dtype == np.uint8:
            accessor["normalized"] = True
        if name == "POSITION":
            accessor |= {"min": stored.min(axis=0).tolist(), "max": stored.max(axis=0).tolist()}
        accessors.append(accessor)
        views.append({"buffer": 0, "byteOffset": at, "byteLength": stored.nbytes, "target": 34962})
        parts.append(stored.tobytes())
        at += stored.nbytes  # rows have 4, 12 or 16 bytes, so all attributes are aligned
    primitive = {
        "mode": _POINTS,
        "attributes": {name: i for i, name in enumerate(attributes)},
        "extensions": {EXTENSION: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}},
    }
    tree = {
        "asset": {"version": "2.0", "generator": "sctd"},
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": at}],
    }
    return tree, b"".join(parts)


def _container(tree: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    body = (
        struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body
