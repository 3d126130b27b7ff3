"""The nodes of a glTF scene => transforms of each mesh: hierarchy, instances, skins.

Source: glTF 2.0 specification, sections 3.5 and 3.7.3; EXT_mesh_gpu_instancing; KHR_node_visibility.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sctd.errors import InputError
from sctd.formats.gltf_accessors import numbers
from sctd.formats.gltf_file import Document, Json

Matrices = NDArray[np.float64]
Skin = Matrices
"""A joint's transform times the inverse of its transform at binding, for each joint, [J, 4, 4]."""


class Nodes:
    """Every node of a document with its transform to the world; matrices act on columns."""

    def __init__(self, document: Document) -> None:
        """
        Raises:
            InputError: a node is missing, has two parents, or is its own ancestor.
        """
        self._document = document
        self._nodes = document.items("nodes")
        self._parents = self._find_parents()
        self._places: dict[int, Matrices] = {}

    def meshes(self) -> Iterator[tuple[Json, Matrices]]:
        """Visible nodes of the scene with a mesh, and the transforms of its instances, [instances, 4, 4]."""
        waiting, seen = self._roots()[::-1], set[int]()
        while waiting:
            index = waiting.pop()
            node = self._document.item("nodes", index)
            if index in seen:
                continue
            seen.add(index)
            extensions = node.get("extensions", {})
            if extensions.get("KHR_node_visibility", {}).get("visible", True) is False:
                continue
            waiting += node.get("children", [])[::-1]
            if "mesh" in node:
                place = self.place(index)[None]
                if "EXT_mesh_gpu_instancing" in extensions:
                    place = place @ self._instances(extensions["EXT_mesh_gpu_instancing"], index)
                yield node, place

    def place(self, index: int) -> Matrices:
        """A node's transform to the world, [4, 4]."""
        way = [index]
        while way[-1] not in self._places and way[-1] in self._parents:
            way.append(self._parents[way[-1]])
        for i in reversed(way):
            if i not in self._places:
                above = self._places[self._parents[i]] if i in self._parents else np.eye(4)
                self._places[i] = above @ _local(self._nodes[i], i)
        return self._places[index]

    def skin(self, index: Any) -> Skin:
        """The matrices of a skin's joints."""
        skin = self._document.item("skins", index)
        joints = skin.get("joints", [])
        for joint in joints:
            self._document.item("nodes", joint)
        places = np.stack([self.place(joint) for joint in joints]) if joints else np.zeros((0, 4, 4))
        if "inverseBindMatrices" not in skin:
            return places
        inverse = numbers(self._document, skin["inverseBindMatrices"], (16,))
        if len(inverse) < len(joints):
            raise InputError(
                f"skins[{index}] has {len(joints)} joints and {len(inverse)} inverseBindMatrices"
            )
        matrices: Skin = places @ inverse[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1)
        return matrices

    def _roots(self) -> list[int]:
        scenes, say = self._document.items("scenes"), self._document.say
        if not scenes:
            return [i for i in range(len(self._nodes)) if i not in self._parents]
        chosen = self._document.tree.get("scene", 0)
        if len(scenes) > 1:
            say(f"scene {chosen} of its {len(scenes)} scenes is read")
        roots = self._document.item("scenes", chosen).get("nodes", [])
        return list(roots)

    def _find_parents(self) -> dict[int, int]:
        parents: dict[int, int] = {}
        for i, node in enumerate(self._nodes):
            for child in node.get("children", []):
                self._document.item("nodes", child)
                if child in parents:
                    raise InputError(f"nodes[{child}] is a child of two nodes; the file is damaged")
                parents[child] = i
        fine: set[int] = set()
        for start in parents:
            way: list[int] = []
            i = start
            while i in parents and i not in fine:
                way.append(i)
                i = parents[i]
                if len(way) > len(parents):
                    raise InputError(f"nodes[{start}] is its own ancestor; the file is damaged")
            fine.update(way)
        return parents

    def _instances(self, extension: Json, index: int) -> Matrices:
        """Transforms of instances within their node, [N, 4, 4]."""
        attributes = extension.get("attributes", {})
        read = {
            name: numbers(self._document, attributes[name], (width,))
            for name, width in (("TRANSLATION", 3), ("ROTATION", 4), ("SCALE", 3))
            if name in attributes
        }
        counts = {len(values) for values in read.values()}
        if len(counts) != 1:
            raise InputError(
                f"nodes[{index}].EXT_mesh_gpu_instancing has attributes of lengths {sorted(counts)}"
            )
        count = counts.pop()
        defaults = {"TRANSLATION": (0.0, 0, 0), "ROTATION": (0.0, 0, 0, 1), "SCALE": (1.0, 1, 1)}
        moves = [
            read.get(name, np.broadcast_to(value, (count, len(value)))) for name, value in defaults.items()
        ]
        return _from_parts(f"nodes[{index}].EXT_mesh_gpu_instancing", *moves)


def _local(node: Json, index: int) -> Matrices:
    """A node's matrix, or that of its translation, rotation and scale."""
    if "matrix" in node:
        stated: Matrices = _vector(node, "matrix", 16, ()).reshape(4, 4).T
        return stated
    moves = (
        _vector(node, "translation", 3, (0.0, 0, 0)),
        _vector(node, "rotation", 4, (0.0, 0, 0, 1)),
        _vector(node, "scale", 3, (1.0, 1, 1)),
    )
    local: Matrices = _from_parts(f"nodes[{index}]", *(move[None] for move in moves))[0]
    return local


def _vector(node: Json, field: str, width: int, default: tuple[float, ...]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.asarray(node.get(field, default), np.float64)
    if values.shape != (width,) or not np.isfinite(values).all():
        raise InputError(f"a node's {field} is {node.get(field)!r}, and must be {width} numbers")
    return values


def _from_parts(
    where: str, translation: NDArray[np.float64], rotation: NDArray[np.float64], scale: NDArray[np.float64]
) -> Matrices:
    """Translations [N, 3], rotations [N, 4] as xyzw and scales [N, 3] => [N, 4, 4]."""
    lengths = np.linalg.norm(rotation, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise InputError(f"{where}: a rotation is 0 0 0 0; the file is damaged")
    x, y, z, w = (rotation / lengths).T
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    ).transpose(2, 0, 1)
    matrices: Matrices = np.broadcast_to(np.eye(4), (len(scale), 4, 4)).copy()
    matrices[:, :3, :3] = turn * scale[:, None, :]
    matrices[:, :3, 3] = translation
    return matrices
