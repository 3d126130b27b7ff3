"""glTF => coloured triangles of its scene, at rest.

Scenes, nodes, primitives: glTF 2.0 specification, sections 3.5 and 3.7. gltf_extensions.py lists
the extensions. Animations are not played: nodes, joints and morph weights have the values of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.errors import InputError
from sctd.formats.gltf_accessors import indices, need_draco, numbers
from sctd.formats.gltf_file import Document, Json, Say
from sctd.formats.gltf_nodes import Nodes, Skin
from sctd.formats.meshes.gltf_materials import Materials, Placed
from sctd.formats.meshes.surface import Glow, Layer, Opacity, Surface
from sctd.formats.srgb import srgb_to_linear

MOST_TRIANGLES = 20_000_000
"""Limit over all instances: a small file can show one mesh in many nodes."""

_POINTS_AND_LINES = {0: "points", 1: "lines", 2: "lines", 3: "lines"}


def read_gltf(path: Path, color: tuple[float, float, float], say: Say) -> list[Surface]:
    """Every triangle of the default scene, metres, y up and the front at +z.

    Args:
        path: .gltf or .glb, distinguished by the first bytes.
        color: of primitives with neither a material nor colours, sRGB 0..1.
        say: gets a message for each part that is left out.

    Raises:
        InputError: it is damaged, or requires an unsupported feature; the message names the place in the
        JSON.
    """
    document = Document(path, say)
    nodes = Nodes(document)
    reader = _Primitives(document, color)
    surfaces: list[Surface] = []
    total = 0
    for node, matrices in nodes.meshes():
        mesh = document.item("meshes", node["mesh"])
        weights: list[float] = node.get("weights") or mesh.get("weights") or []
        skin = nodes.skin(node["skin"]) if "skin" in node else None
        for i, primitive in enumerate(mesh.get("primitives", [])):
            try:
                surface = reader.surface(primitive, weights, skin)
            except InputError as exc:
                raise InputError(f"meshes[{node['mesh']}].primitives[{i}]: {exc}") from exc
            if surface is None:
                continue
            total += len(matrices) * len(surface[1].faces)
            if total > MOST_TRIANGLES:
                raise InputError(
                    f"its scene shows more than {MOST_TRIANGLES} triangles; export fewer, or fewer instances"
                )
            skinned, made = surface
            surfaces += [made] if skinned else [_placed(made, matrix) for matrix in matrices]
    for kind, count in reader.left_out.items():
        say(f"{count} {'primitive' if count == 1 else 'primitives'} {kind}")
    if document.items("animations"):
        say("its animations are not played; it is read at rest")
    return surfaces


def _placed(surface: Surface, matrix: NDArray[np.float64]) -> Surface:
    turned = torch.from_numpy(np.ascontiguousarray(matrix))
    return replace(surface, vertices=surface.vertices @ turned[:3, :3].T + turned[:3, 3])


class _Primitives:
    """Reads primitives; counts those that hold no triangles."""

    def __init__(self, document: Document, color: tuple[float, float, float]) -> None:
        self._document = document
        self._materials = Materials(document)
        self._plain = srgb_to_linear(torch.tensor(color, dtype=torch.float64))
        self.left_out: Counter[str] = Counter()

    def surface(
        self, primitive: Json, weights: list[float], skin: Skin | None
    ) -> tuple[bool, Surface] | None:
        """Whether a skin has placed the primitive in the world, and its triangles; None without triangles."""
        attributes, mode = primitive.get("attributes", {}), primitive.get("mode", 4)
        if mode in _POINTS_AND_LINES:
            self.left_out[f"of {_POINTS_AND_LINES[mode]} left out"] += 1
            return None
        if mode not in (4, 5, 6):
            raise InputError(f"mode is {mode!r}; 0 to 6 are possible")
        if "POSITION" not in attributes:
            self.left_out["without POSITION left out"] += 1
            return None
        need_draco(self._document, primitive)
        vertices = self._attribute(primitive, "POSITION", (3,), weights)
        count = len(vertices)
        corners = (
            indices(self._document, primitive["indices"])[:, 0]
            if "indices" in primitive
            else np.arange(count)
        )
        if len(corners) and corners.max() >= count:
            raise InputError(
                f"an index is {corners.max()}, and there are {count} vertices; the file is damaged"
            )
        faces = _triangles(corners, mode)
        if mode == 4 and len(corners) % 3:
            self.left_out["with a last triangle that is not whole"] += 1
        skinned = skin is not None and "JOINTS_0" in attributes
        if skin is not None and skinned:
            vertices = self._skinned(attributes, vertices, skin)
        colors, texture, glow, opacity = self._look(primitive, weights, count)
        corner_rows = torch.from_numpy(np.ascontiguousarray(faces))
        return skinned, Surface(torch.from_numpy(vertices), corner_rows, colors, texture, glow, opacity)

    def _look(
        self, primitive: Json, weights: list[float], count: int
    ) -> tuple[Tensor, Layer | None, Glow | None, Opacity | None]:
        tint = torch.ones(count, 4, dtype=torch.float64)
        painted = "COLOR_0" in primitive["attributes"]
        if painted:
            given = self._attribute(primitive, "COLOR_0", (3, 4), weights, count)
            tint[:, : given.shape[1]] = torch.from_numpy(given).clamp(0, 1)
        if "material" not in primitive:
            return (tint[:, :3] if painted else self._plain.expand(count, 3)), None, None, None
        material = self._materials.get(primitive["material"])
        tint = tint * material.base
        picture = self._layer(primitive, material.picture, weights, count)
        glow = None
        if bool(material.glow.any()):
            layer = self._layer(primitive, material.glow_picture, weights, count)
            if layer is not None or material.glow_picture is None:
                glow = Glow(material.glow, layer)
        opacity = None
        if material.alpha_mode != "OPAQUE":
            clear = picture is not None and not picture.texture.opaque
            cutoff = material.cutoff if material.alpha_mode == "MASK" else None
            if clear or float(tint[:, 3].min() if count else 1) < 1:
                opacity = Opacity(tint[:, 3].clamp(0, 1), picture if clear else None, cutoff)
        return tint[:, :3], picture, glow, opacity

    def _layer(
        self, primitive: Json, placed: Placed | None, weights: list[float], count: int
    ) -> Layer | None:
        if placed is None:
            return None
        name = f"TEXCOORD_{placed.uv_set}"
        if name not in primitive["attributes"]:
            self.left_out[f"without the {name} that its texture needs, which is left out"] += 1
            return None
        return Layer(placed.texture, placed.uvs(self._attribute(primitive, name, (2,), weights, count)))

    def _attribute(
        self,
        primitive: Json,
        name: str,
        widths: tuple[int, ...],
        weights: list[float],
        count: int | None = None,
    ) -> NDArray[np.float64]:
        """An attribute with its morph targets, [V, width]."""
        values = self._numbers(primitive["attributes"][name], name, widths, count)
        targets = primitive.get("targets", [])
        for weight, target in zip(weights, targets, strict=False):
            if weight and name in target:
                values = values + float(weight) * self._numbers(
                    target[name], f"a target's {name}", widths, len(values)
                )
        return values

    def _numbers(
        self, index: Any, name: str, widths: tuple[int, ...], count: int | None
    ) -> NDArray[np.float64]:
        values = numbers(self._document, index, widths, color=name.endswith("COLOR_0"))
        if count is not None and len(values) != count:
            raise InputError(f"{name} has {len(values)} values for {count} vertices; the file is damaged")
        return values

    def _skinned(self, attributes: Json, vertices: NDArray[np.float64], skin: Skin) -> NDArray[np.float64]:
        """Vertices in the world, by the joints' matrices and weights."""
        count = len(vertices)
        moved, total = np.zeros((count, 3)), np.zeros(count)
        for joints, weights in _joint_sets(attributes):
            named = indices(self._document, joints, 4)
            shares = self._numbers(weights, "WEIGHTS", (4,), count)
            if len(named) != count or (count and named.max() >= len(skin)):
                raise InputError(f"JOINTS names joint {named.max()} of {len(skin)}; the file is damaged")
            for k in range(4):
                matrices = skin[named[:, k]]
                place = np.einsum("vij,vj->vi", matrices[:, :3, :3], vertices) + matrices[:, :3, 3]
                moved += shares[:, k : k + 1] * place
                total += shares[:, k]
        if not (total > 0).all():
            raise InputError("WEIGHTS of a vertex are all 0; export its skin again, or without it")
        return moved / total[:, None]


def _joint_sets(attributes: Json) -> Iterator[tuple[Any, Any]]:
    for i in range(len(attributes)):
        if f"JOINTS_{i}" in attributes and f"WEIGHTS_{i}" in attributes:
            yield attributes[f"JOINTS_{i}"], attributes[f"WEIGHTS_{i}"]


def _triangles(corners: NDArray[np.int64], mode: int) -> NDArray[np.int64]:
    """Lists, strips and fans => [F, 3]; the orientation of faces does not matter here."""
    if mode == 4:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    if len(corners) < 3:
        return np.zeros((0, 3), np.int64)
    first = corners[:-2] if mode == 5 else np.broadcast_to(corners[0], len(corners) - 2)
    return np.stack([first, corners[1:-1], corners[2:]], axis=1)
