"""glTF materials => colours, textures, glow and opacity of a surface.

Factors and vertex colours are linear, textures sRGB (glTF 2.0 specification, section 3.9.2); this leaves
out properties of the reflection (metal, roughness, normals, clear coats), which are not colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.errors import InputError
from sctd.formats.gltf_extensions import instead
from sctd.formats.gltf_file import Document, Json
from sctd.formats.meshes.texture import Texture, Wrap, decode

_WRAPS: dict[int, Wrap] = {10497: "repeat", 33071: "clamp", 33648: "mirror"}
_NEAREST = (9728,)
_SOURCES = ("EXT_texture_webp", "EXT_texture_avif")
_GLOSSY = "KHR_materials_pbrSpecularGlossiness"


@dataclass(frozen=True)
class Placed:
    """A texture, and its coordinates: a set of the primitive's, transformed."""

    texture: Texture
    uv_set: int
    matrix: NDArray[np.float64]
    """[2, 3], acts on coordinates as columns."""

    def uvs(self, given: NDArray[np.float64]) -> Tensor:
        """The primitive's coordinates [V, 2] => the texture's."""
        return torch.from_numpy(given @ self.matrix[:, :2].T + self.matrix[:, 2])


@dataclass(frozen=True)
class Material:
    """The properties that determine a surface's colour."""

    base: Tensor
    """[4], linear red, green, blue and opacity."""
    picture: Placed | None
    glow: Tensor
    """[3], linear."""
    glow_picture: Placed | None
    alpha_mode: str
    cutoff: float


class Materials:
    """The materials of a document, each read once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._read: dict[Any, Material] = {}
        self._pixels: dict[Any, Tensor | None] = {}

    def get(self, index: Any) -> Material:
        """Materials[index].

        Raises:
            InputError: it is missing or damaged, or its texture has an unsupported format.
        """
        if index not in self._read:
            item = self._document.item("materials", index)
            try:
                self._read[index] = self._material(item, f"materials[{index}]")
            except InputError as exc:
                raise InputError(f"materials[{index}]: {exc}") from exc
        return self._read[index]

    def _material(self, item: Json, where: str) -> Material:
        extensions = item.get("extensions", {})
        if _GLOSSY in extensions:
            glossy = extensions[_GLOSSY]
            base, info = _factor(glossy, "diffuseFactor", 4, 1.0), glossy.get("diffuseTexture")
            if not bool(base[:3].any()):
                self._document.say(
                    f"{where}: its diffuse colour is black; a metal's specular one is not read"
                )
        else:
            rough = item.get("pbrMetallicRoughness", {})
            base, info = _factor(rough, "baseColorFactor", 4, 1.0), rough.get("baseColorTexture")
        strength = extensions.get("KHR_materials_emissive_strength", {})
        glow = _factor(item, "emissiveFactor", 3, 0.0) * _number(strength, "emissiveStrength", 1.0)
        shines = bool(glow.any()) and "KHR_materials_unlit" not in extensions
        mode = item.get("alphaMode", "OPAQUE")
        if mode not in ("OPAQUE", "MASK", "BLEND"):
            raise InputError(f"alphaMode is {mode!r}, not OPAQUE, MASK or BLEND")
        glow_picture = self._placed(item.get("emissiveTexture")) if shines else None
        shines = shines and ("emissiveTexture" not in item or glow_picture is not None)
        return Material(
            base=base,
            picture=self._placed(info),
            glow=glow if shines else torch.zeros(3, dtype=torch.float64),
            glow_picture=glow_picture,
            alpha_mode=mode,
            cutoff=_number(item, "alphaCutoff", 0.5),
        )

    def _placed(self, info: Json | None) -> Placed | None:
        if info is None:
            return None
        texture = self._texture(info.get("index"))
        if texture is None:
            return None
        moved = info.get("extensions", {}).get("KHR_texture_transform", {})
        return Placed(texture, int(moved.get("texCoord", info.get("texCoord", 0))), _transform(moved))

    def _texture(self, index: Any) -> Texture | None:
        item = self._document.item("textures", index)
        extensions = item.get("extensions", {})
        source = next((extensions[n].get("source") for n in _SOURCES if n in extensions), item.get("source"))
        if source is None:
            if extensions:
                name = sorted(extensions)[0]
                raise InputError(f"textures[{index}] is stored by {name} alone; {instead(name)}")
            self._document.say(f"textures[{index}] has no image and is left out")
            return None
        pixels = self._image(source)
        if pixels is None:
            return None
        sampler = self._document.item("samplers", item["sampler"]) if "sampler" in item else {}
        return Texture(
            pixels,
            (_wrap(sampler, "wrapS"), _wrap(sampler, "wrapT")),
            nearest=sampler.get("magFilter") in _NEAREST,
        )

    def _image(self, index: Any) -> Tensor | None:
        """Pixels; None, with a message, when the image is missing or damaged."""
        if index not in self._pixels:
            item, document = self._document.item("images", index), self._document
            try:
                inside = "bufferView" in item
                data = (
                    bytes(document.view(item["bufferView"]))
                    if inside
                    else document.resource(item.get("uri"), f"images[{index}].uri")
                )
                self._pixels[index] = torch.from_numpy(decode(data))
            except (InputError, ValueError) as exc:
                document.say(f"images[{index}] cannot be read and is left out: {exc}")
                self._pixels[index] = None
        return self._pixels[index]


def _wrap(sampler: Json, field: str) -> Wrap:
    mode = sampler.get(field, 10497)
    if mode not in _WRAPS:
        raise InputError(f"a sampler's {field} is {mode!r}, not one of {', '.join(map(str, _WRAPS))}")
    return _WRAPS[mode]


def _factor(item: Json, field: str, width: int, default: float) -> Tensor:
    return torch.from_numpy(_vector(item, field, width, default)).clamp_min(0)


def _number(item: Json, field: str, default: float) -> float:
    return float(_vector({field: [item[field]]} if field in item else {}, field, 1, default)[0])


def _vector(item: Json, field: str, width: int, default: float) -> NDArray[np.float64]:
    value = item.get(field, [default] * width)
    fits = isinstance(value, list) and len(value) == width
    if not (fits and all(isinstance(v, int | float) and abs(v) < 1e30 for v in value)):
        raise InputError(f"{field} is {str(value)[:60]}, and must be {width} numbers, none beyond 1e30")
    return np.array(value, np.float64)


def _transform(moved: Json) -> NDArray[np.float64]:
    """KHR_texture_transform: offset, rotation and scale as one matrix, [2, 3].

    The extension's GLSL rotates in the opposite sense of its text and its example, which viewers follow.
    """
    turn = _number(moved, "rotation", 0.0)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    scale, offset = _vector(moved, "scale", 2, 1.0), _vector(moved, "offset", 2, 0.0)
    return np.column_stack([rotation * scale, offset])
