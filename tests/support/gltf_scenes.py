"""A square with a material, as the glTF tests write it, and the expected points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mesh_files import Gltf
from numpy.typing import NDArray
from starts import points_of

SQUARE = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
UVS = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)  # v counts from the top
HALVES = np.array([0, 1, 2, 0, 2, 3], np.uint16)
QUARTERS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8)
PICTURE = QUARTERS.repeat(16, axis=0).repeat(16, axis=1)
"""Red, green; blue, yellow."""
PLAIN = np.array([0.5, 0.5, 0.5])


def square(file: Gltf, **more: Any) -> dict[str, Any]:
    """A primitive; ``attributes`` are added to its own."""
    attributes = {"POSITION": file.accessor(SQUARE), **more.pop("attributes", {})}
    return {"attributes": attributes, "indices": file.accessor(HALVES), **more}


def material(file: Gltf, base: dict[str, Any] | None = None, **more: Any) -> dict[str, int]:
    return {"material": file.add("materials", {"pbrMetallicRoughness": base or {}, **more})}


def show(file: Gltf, path: Path, **settings: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return points_of(file.save(path / "a.glb"), **settings)


def corners_of(points: NDArray[np.float64], colors: NDArray[np.float64]) -> dict[str, list[float]]:
    """Mean colours of the four quarters of the square, away from the seams."""
    found = {}
    for name, sx, sy in (("tl", -1, 1), ("tr", 1, 1), ("bl", -1, -1), ("br", 1, -1)):
        here = (points[:, 0] * sx > 0.07) & (points[:, 1] * sy > 0.07)
        here &= (np.abs(points[:, :2]) < 0.93).all(1)
        assert here.sum() > 20
        np.testing.assert_allclose(colors[here], colors[here].mean(0)[None].repeat(here.sum(), 0), atol=1e-5)
        found[name] = colors[here].mean(0).round(4).tolist()
    return found


UPRIGHT = {"tl": [1, 0, 0], "tr": [0, 1, 0], "bl": [0, 0, 1], "br": [1, 1, 0]}


def textured(file: Gltf, info: dict[str, Any] | None = None, **attributes: int) -> dict[str, Any]:
    base = {"baseColorTexture": {"index": file.texture(PICTURE), **(info or {})}}
    return square(file, attributes=attributes, **material(file, base))
