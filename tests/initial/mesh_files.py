"""Mesh files written by hand from their specifications, so that no reader checks its own writer."""

from __future__ import annotations

import base64
import json
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RED, GREEN, BLUE, GREY = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.25, 0.25, 0.25)

SIDES = {  # of a cube of half edge 1, as four corners: the front red, the left blue, the top green
    "front": ([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)], RED),
    "left": ([(1, -1, 1), (1, -1, -1), (1, 1, -1), (1, 1, 1)], BLUE),
    "top": ([(-1, 1, 1), (1, 1, 1), (1, 1, -1), (-1, 1, -1)], GREEN),
    "back": ([(1, -1, -1), (-1, -1, -1), (-1, 1, -1), (1, 1, -1)], GREY),
    "right": ([(-1, -1, -1), (-1, -1, 1), (-1, 1, 1), (-1, 1, -1)], GREY),
    "bottom": ([(-1, -1, -1), (1, -1, -1), (1, -1, 1), (-1, -1, 1)], GREY),
}


def cube() -> tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.float32]]:
    """Positions [24, 3], triangles [12, 3] and linear colours [24, 3] of SIDES."""
    positions = np.array([corner for corners, _ in SIDES.values() for corner in corners], np.float32)
    colors = np.array([color for _, color in SIDES.values() for _ in range(4)], np.float32)
    triangles = np.array([(4 * i, 4 * i + a, 4 * i + a + 1) for i in range(6) for a in (1, 2)], np.uint32)
    return positions, triangles, colors


def write_gltf(
    path: Path,
    positions: NDArray[np.float32],
    triangles: NDArray[np.uint32],
    *,
    colors: NDArray[np.float32] | None = None,
    uvs: NDArray[np.float32] | None = None,
    material: dict[str, Any] | None = None,
    image: NDArray[np.uint8] | str | None = None,
    node: dict[str, Any] | None = None,
) -> Path:
    """One mesh in one node, as .gltf with its data inside or as .glb.

    Args:
        material: its pbrMetallicRoughness.
        image: [H, W, 3] goes into the file, a name is only named; the base colour's texture.
        node: more of the node, such as its rotation.
    """
    blobs: list[bytes] = []
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []

    def view(data: bytes) -> int:
        views.append({"buffer": 0, "byteOffset": sum(map(len, blobs)), "byteLength": len(data)})
        blobs.append(data + b"\0" * (-len(data) % 4))
        return len(views) - 1

    def accessor(array: NDArray[Any], component: int, kind: str) -> int:
        entry = {"bufferView": view(array.tobytes()), "componentType": component, "type": kind}
        bounds = {"min": array.min(0).tolist(), "max": array.max(0).tolist()} if kind == "VEC3" else {}
        accessors.append({**entry, "count": len(array), **bounds})
        return len(accessors) - 1

    attributes = {"POSITION": accessor(positions.astype("<f4"), 5126, "VEC3")}
    if colors is not None:
        attributes["COLOR_0"] = accessor(colors.astype("<f4"), 5126, "VEC3")
    if uvs is not None:
        attributes["TEXCOORD_0"] = accessor(uvs.astype("<f4"), 5126, "VEC2")
    primitive: dict[str, Any] = {"attributes": attributes}
    primitive["indices"] = accessor(triangles.astype("<u4").reshape(-1), 5125, "SCALAR")
    tree: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, **(node or {})}],
        "meshes": [{"primitives": [primitive]}],
        "bufferViews": views,
        "accessors": accessors,
    }
    if image is not None:
        material = {**(material or {}), "baseColorTexture": {"index": 0}}
        tree["textures"] = [{"source": 0}]
        if isinstance(image, str):
            tree["images"] = [{"uri": image}]
        else:
            png = BytesIO()
            Image.fromarray(image).save(png, "PNG")
            tree["images"] = [{"bufferView": view(png.getvalue()), "mimeType": "image/png"}]
    if material is not None:
        tree["materials"] = [{"pbrMetallicRoughness": material}]
        primitive["material"] = 0
    data = b"".join(blobs)
    tree["buffers"] = [{"byteLength": len(data)}]
    if path.suffix == ".gltf":
        tree["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
        path.write_text(json.dumps(tree))
        return path
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
    return path


def write_cube(path: Path, axes: str = "xyz") -> Path:
    """The cube in any format; ``axes`` xzy writes it z up with the front at -y. STL has no colours."""
    positions, triangles, colors = cube()
    if axes == "xzy":  # the inverse of (x, y, z) => (x, z, -y)
        positions = positions[:, [0, 2, 1]] * np.array([1, -1, 1], np.float32)
    if path.suffix in (".glb", ".gltf"):
        return write_gltf(path, positions, triangles, colors=colors)
    if path.suffix == ".obj":
        lines = [f"v {x} {y} {z} {r} {g} {b}" for (x, y, z), (r, g, b) in zip(positions, colors, strict=True)]
        lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in triangles]
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".stl":
        records = np.zeros(len(triangles), np.dtype([("n", "<f4", 3), ("p", "<f4", (3, 3)), ("a", "<u2")]))
        records["p"] = positions[triangles]
        path.write_bytes(b"\0" * 80 + struct.pack("<I", len(triangles)) + records.tobytes())
    else:
        header = ["ply", "format ascii 1.0", f"element vertex {len(positions)}"]
        header += [f"property float {k}" for k in "xyz"]
        header += [f"property uchar {k}" for k in ("red", "green", "blue")]
        header += [f"element face {len(triangles)}", "property list uchar int vertex_indices", "end_header"]
        bytes_ = (255 * colors).round().astype(int)
        rows = [" ".join(map(str, (*p, *c))) for p, c in zip(positions, bytes_, strict=True)]
        rows += [f"3 {a} {b} {c}" for a, b, c in triangles]
        path.write_text("\n".join([*header, *rows]) + "\n")
    return path
