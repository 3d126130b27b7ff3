"""The points of a mesh file, for the tests: positions, sRGB colours, and messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sctd.config.asset import GaussianSettings
from sctd.gaussians import SH_C0
from sctd.initial.start import initialise


def points_of(
    path: Path, *, count: int = 400, said: list[str] | None = None, **settings: object
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means [count, 3] and colours [count, 3]; messages are only allowed with a list for them."""
    chosen = GaussianSettings.model_validate(
        {"init": "file", "init_path": str(path), "init_fit": False, "count": count, **settings}
    )
    heard: list[str] = []
    made = initialise(chosen, torch.Generator().manual_seed(0), say=heard.append)
    if said is None:
        assert heard == []
    else:
        said.extend(heard)
    return made.means.numpy().astype(np.float64), (0.5 + SH_C0 * made.sh0[:, 0]).numpy().astype(np.float64)


def to_srgb(linear: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """IEC 61966-2-1, written a second time."""
    value = np.asarray(linear, np.float64)
    return np.where(value <= 0.0031308, 12.92 * value, 1.055 * np.maximum(value, 1e-9) ** (1 / 2.4) - 0.055)


def to_linear(encoded: NDArray[np.float64] | float) -> NDArray[np.float64]:
    value = np.asarray(encoded, np.float64)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def inside(points: NDArray[np.float64], corners: list[tuple[float, float]]) -> NDArray[np.bool_]:
    """Which points [n, 2 or 3] lie in a polygon of x and y, by the even-odd rule."""
    x, y = points[:, 0], points[:, 1]
    odd = np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if y0 != y1:
            odd ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return odd


def area(corners: list[tuple[float, float]]) -> float:
    """Of a polygon, by the shoelace formula."""
    x, y = np.array(corners).T
    return float(abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2)
