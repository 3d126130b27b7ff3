"""A mesh => .glb: y up, front at +z, as glTF and we have it; the picture inside, as PNG.

The material is KHR_materials_unlit, since the colours hold their light. Programs without the extension see a
rough surface that is no metal.

Source: glTF 2.0 specification; KhronosGroup/glTF, extensions/2.0/Khronos/KHR_materials_unlit.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sctd.files import whole_file
from sctd.formats.gltf_write import INDICES, Buffer
from sctd.triangle_mesh import Mesh

UNLIT = "KHR_materials_unlit"
_LINEAR, _LINEAR_MIPMAPS, _CLAMPED = 9729, 9987, 33071


def write_mesh_glb(path: Path, mesh: Mesh) -> None:
    """Write a mesh as .glb, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    buffer = Buffer()
    attributes = {
        "POSITION": buffer.accessor(mesh.vertices, bounds=True),
        "NORMAL": buffer.accessor(mesh.normals),
        "TEXCOORD_0": buffer.accessor(mesh.uvs),
    }
    primitive = {
        "attributes": attributes,
        "indices": buffer.accessor(mesh.faces.reshape(-1, 1).astype(np.uint32), INDICES),
        "material": 0,
    }
    material = {
        "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0},
            "metallicFactor": 0.0,
            "roughnessFactor": 0.9,
        },
        "extensions": {UNLIT: {}},
    }
    sampler = {
        "magFilter": _LINEAR,
        "minFilter": _LINEAR_MIPMAPS,
        "wrapS": _CLAMPED,
        "wrapT": _CLAMPED,
    }
    tree = {
        "extensionsUsed": [UNLIT],
        "meshes": [{"primitives": [primitive]}],
        "materials": [material],
        "textures": [{"sampler": 0, "source": 0}],
        "samplers": [sampler],
        "images": [{"mimeType": "image/png", "bufferView": buffer.view(as_png(mesh.texture))}],
    }
    with whole_file(Path(path)) as temporary:
        temporary.write_bytes(buffer.container(tree))


def as_png(picture: NDArray[np.uint8]) -> bytes:
    """A picture [H, W, 3] as the bytes of a PNG."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, format="PNG")
    return data.getvalue()
