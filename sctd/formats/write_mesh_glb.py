"""A mesh => .glb: y up, front at +z, as glTF and we have it; pictures inside, as PNG.

Materials are KHR_materials_unlit, where the colours hold their light. Programs without the extension see a
rough surface that is no metal. A mesh with roughness and metal is lit by the program that shows it.

Source: glTF 2.0 specification; KhronosGroup/glTF, extensions/2.0/Khronos/KHR_materials_unlit.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sctd.files import whole_file
from sctd.formats.gltf_write import INDICES, Buffer
from sctd.formats.meshes.surface import Surface, Triangles
from sctd.formats.meshes.texture import Texture
from sctd.triangle_mesh import Mesh

LOSES = "colours stay; opacity, reflection, animations are lost, and light that surfaces with a picture emit"
"""Of triangles that another program wrote."""
UNLIT = "KHR_materials_unlit"
_NEAREST, _LINEAR, _LINEAR_MIPMAPS = 9728, 9729, 9987
_WRAPS = {"repeat": 10497, "clamp": 33071, "mirror": 33648}


def write_mesh_glb(path: Path, mesh: Mesh) -> None:
    """Write a mesh as .glb, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    scene = _Scene()
    (surface,) = Triangles.of_mesh(mesh).surfaces
    gloss = None if mesh.gloss is None else Texture(torch.from_numpy(mesh.gloss), ("clamp", "clamp"))
    scene.add(surface, normals=mesh.normals, gloss=gloss)
    _write(path, scene.container())


def write_triangles_glb(path: Path, triangles: Triangles) -> None:
    """Write what another file showed as .glb, whole or not at all; LOSES says what is not kept.

    Raises:
        OSError: the file cannot be written.
    """
    _write(path, triangles_glb(triangles))


def triangles_glb(triangles: Triangles) -> bytes:
    """The file of :func:`write_triangles_glb`. The same triangles give the same bytes."""
    scene = _Scene()
    for surface in triangles.surfaces:
        scene.add(surface)
    return scene.container()


def _write(path: Path, data: bytes) -> None:
    with whole_file(Path(path)) as temporary:
        temporary.write_bytes(data)


class _Scene:
    """One node, one mesh; a primitive a surface."""

    def __init__(self) -> None:
        self._buffer = Buffer()
        self._tree: dict[str, list[Any]] = {
            name: [] for name in ("materials", "textures", "samplers", "images")
        }
        self._primitives: list[dict[str, Any]] = []
        self._pictures: dict[int, int] = {}

    def add(
        self, surface: Surface, normals: NDArray[np.float32] | None = None, gloss: Texture | None = None
    ) -> None:
        """Vertices, faces, colours and the picture of a surface; one with ``gloss`` is lit."""
        add = self._buffer.accessor
        attributes = {"POSITION": add(surface.vertices.float().numpy(), bounds=True)}
        if normals is not None:
            attributes["NORMAL"] = add(normals)
        layer, glow = surface.texture, surface.glow
        colors = surface.colors.double()
        if glow is not None and glow.layer is None and layer is None:
            colors = colors + glow.color
        if not bool((colors == 1).all()):
            attributes["COLOR_0"] = add(colors.clamp(0, 1).float().numpy())
        if layer is not None:
            attributes["TEXCOORD_0"] = add(layer.uvs.float().numpy())
        faces = surface.faces.reshape(-1, 1).numpy().astype(np.uint32)
        self._primitives.append(
            {
                "attributes": attributes,
                "indices": add(faces, INDICES),
                "material": self._material(
                    None if layer is None else layer.texture, gloss, double=normals is None
                ),
            }
        )

    def container(self) -> bytes:
        """The file."""
        there = {name: items for name, items in self._tree.items() if items}
        unlit = any("extensions" in material for material in self._tree["materials"])
        used = {"extensionsUsed": [UNLIT]} if unlit else {}
        return self._buffer.container({**used, "meshes": [{"primitives": self._primitives}], **there})

    def _material(self, texture: Texture | None, gloss: Texture | None, double: bool) -> int:
        looks: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 0.9}
        if texture is not None:
            looks = {"baseColorTexture": {"index": self._texture(texture)}, **looks}
        material: dict[str, Any] = {"pbrMetallicRoughness": looks}
        if gloss is None:
            material["extensions"] = {UNLIT: {}}
        else:  # factors are 1 where none is given
            picture = {"index": self._texture(gloss)}
            material["pbrMetallicRoughness"] = {
                "baseColorTexture": looks["baseColorTexture"],
                "metallicRoughnessTexture": picture,
            }
        if double:  # what another program wrote may be an open sheet
            material["doubleSided"] = True
        return self._index("materials", material)

    def _texture(self, texture: Texture) -> int:
        key = texture.pixels.data_ptr()  # surfaces may share a picture
        if key not in self._pictures:
            data = as_png(texture.pixels[..., :3].numpy())
            self._tree["images"].append({"mimeType": "image/png", "bufferView": self._buffer.view(data)})
            self._pictures[key] = len(self._tree["images"]) - 1
        u, v = texture.wrap
        sampler = {
            "magFilter": _NEAREST if texture.nearest else _LINEAR,
            "minFilter": _NEAREST if texture.nearest else _LINEAR_MIPMAPS,
            "wrapS": _WRAPS[u],
            "wrapT": _WRAPS[v],
        }
        return self._index(
            "textures", {"sampler": self._index("samplers", sampler), "source": self._pictures[key]}
        )

    def _index(self, name: str, item: dict[str, Any]) -> int:
        """Of an item, which is added where there is no equal one."""
        items = self._tree[name]
        if item not in items:
            items.append(item)
        return items.index(item)


def as_png(picture: NDArray[np.uint8]) -> bytes:
    """A picture [H, W, 3] as the bytes of a PNG."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(data, format="PNG")
    return data.getvalue()
