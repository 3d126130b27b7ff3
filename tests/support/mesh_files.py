"""Mesh files written by hand from their specifications, so that no reader checks its own writer."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

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


class Gltf:
    """A glTF file in the making: its JSON in ``tree``, whatever a test puts there, and one buffer."""

    COMPONENTS: ClassVar = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
    TYPES: ClassVar = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}

    def __init__(self) -> None:
        self.data = b""
        self.tree: dict[str, Any] = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": []}]}

    def add(self, kind: str, item: dict[str, Any]) -> int:
        self.tree.setdefault(kind, []).append(item)
        return len(self.tree[kind]) - 1

    def view(self, data: bytes, **more: Any) -> int:
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data), **more}
        self.data += data + b"\0" * (-len(data) % 4)
        return self.add("bufferViews", view)

    def accessor(self, array: NDArray[Any], **more: Any) -> int:
        """Rows of values; a flat array is scalars."""
        width = 1 if array.ndim == 1 else array.shape[1]
        item = {
            "bufferView": self.view(array.tobytes()),
            "componentType": self.COMPONENTS[array.dtype.newbyteorder("<").str[1:]],
            "count": len(array),
            "type": self.TYPES[width],
            **more,
        }
        return self.add("accessors", {key: value for key, value in item.items() if value is not None})

    def image(self, pixels: NDArray[Any] | str | bytes) -> int:
        """Pixels or a file's bytes go into the buffer, a name is only named."""
        if isinstance(pixels, str):
            return self.add("images", {"uri": pixels})
        data = pixels if isinstance(pixels, bytes) else png(pixels)
        return self.add("images", {"bufferView": self.view(data), "mimeType": "image/png"})

    def texture(self, image: NDArray[Any] | str | bytes, **sampler: int) -> int:
        item = {"source": self.image(image)}
        if sampler:
            item["sampler"] = self.add("samplers", sampler)
        return self.add("textures", item)

    def mesh(self, primitives: list[dict[str, Any]], **node: Any) -> int:
        """A mesh in a node of its own, which the scene shows."""
        index = self.add("nodes", {"mesh": self.add("meshes", {"primitives": primitives}), **node})
        self.tree["scenes"][0]["nodes"].append(index)
        return index

    def save(self, path: Path) -> Path:
        """As .glb, or as .gltf with its buffer inside."""
        if self.data:
            self.tree.setdefault("buffers", [{"byteLength": len(self.data)}])
        if path.suffix == ".gltf":
            if self.data:
                uri = "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()
                self.tree["buffers"][0].setdefault("uri", uri)
            path.write_text(json.dumps(self.tree))
            return path
        text = json.dumps(self.tree).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text
        if self.data:
            chunks += struct.pack("<I4s", len(self.data), b"BIN\0") + self.data
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
        return path


def png(pixels: NDArray[Any], palette: bytes = b"", clear: bytes = b"") -> bytes:
    """A PNG file by its specification: [H, W] grey or palette rows, [H, W, 2 to 4] channels, 8 or 16 bits."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    kind = 3 if palette else {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    height, width = pixels.shape[:2]
    rows = pixels.astype(">u2" if pixels.dtype == np.uint16 else "u1").reshape(height, -1)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, kind, 0, 0, 0))
    head += (chunk(b"PLTE", palette) if palette else b"") + (chunk(b"tRNS", clear) if clear else b"")
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


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
    file = Gltf()
    attributes = {"POSITION": file.accessor(positions.astype("<f4"))}
    if colors is not None:
        attributes["COLOR_0"] = file.accessor(colors.astype("<f4"))
    if uvs is not None:
        attributes["TEXCOORD_0"] = file.accessor(uvs.astype("<f4"))
    if image is not None:
        material = {**(material or {}), "baseColorTexture": {"index": file.texture(image)}}
    primitive: dict[str, Any] = {"attributes": attributes}
    primitive["indices"] = file.accessor(triangles.astype("<u4").reshape(-1))
    if material is not None:
        primitive["material"] = file.add("materials", {"pbrMetallicRoughness": material})
    file.mesh([primitive], **(node or {}))
    return file.save(path)


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
