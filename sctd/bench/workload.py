"""The workload on which rasterizers are compared: Gaussians in a ball, cameras on a ring.

N Gaussians in the unit ball; cameras at distance 3.2, elevation 20 deg, field 45 deg; plain colours, white
background; scales about 0.01 (1e5 / N)^(1/3), spread log-normally by 0.5; opacity sigmoid(N(0, 1)). The loss
is sum(images * W) with W from N(0, 1), so its gradient on the images is W.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sctd.cameras import orbit_cameras
from sctd.errors import InputError

DEFAULT_CELLS = "1k@128,10k@256,10k@512,100k@128,100k@512"
LEAVES = ("means", "quats", "scales", "opacities", "colors")
"""Leaves of the gradient."""

MOST_GAUSSIANS, LARGEST_EDGE = 10_000_000, 4096
"""Bounds of a cell: a typing error should not fill the memory."""


@dataclass(frozen=True)
class Cell:
    """One size of the workload."""

    count: int
    """Gaussians."""
    size: int
    """Edge of the square pictures, pixels."""

    @property
    def name(self) -> str:
        """For example 10k@256; 1500@64 where the number is not round."""
        thousands, rest = divmod(self.count, 1000)
        return f"{self.count if rest else f'{thousands}k'}@{self.size}"


def parse_cells(text: str) -> list[Cell]:
    """ "1k@128,10k@256" => cells.

    Raises:
        InputError: not of this form, out of range, or twice the same.
    """
    cells = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)(k?)@(\d+)\s*", part)
        if found is None:
            raise InputError(f"--cells takes GAUSSIANS@PIXELS such as 1k@128,1500@64; got {part.strip()!r}")
        cell = Cell(int(found[1]) * (1000 if found[2] else 1), int(found[3]))
        if not (1 <= cell.count <= MOST_GAUSSIANS and 1 <= cell.size <= LARGEST_EDGE):
            raise InputError(
                f"--cells takes 1..{MOST_GAUSSIANS} Gaussians and 1..{LARGEST_EDGE} pixels; got {cell.name}"
            )
        if cell in cells:
            raise InputError(f"--cells names {cell.name} twice; leave one out")
        cells.append(cell)
    return cells


def make_workload(count: int, size: int, cameras: int = 4, seed: int = 0) -> dict[str, Any]:
    """Arguments of sctd.rasterization, float32 on the CPU."""
    g = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=g), dim=1)
    ring = orbit_cameras(cameras, 20.0, 3.2, 45.0, size)
    return {
        "means": directions * torch.rand(count, 1, generator=g) ** (1 / 3),
        "quats": torch.randn(count, 4, generator=g),
        "scales": 0.01 * (1e5 / count) ** (1 / 3) * torch.exp(0.5 * torch.randn(count, 3, generator=g)),
        "opacities": torch.sigmoid(torch.randn(count, generator=g)),
        "colors": torch.rand(count, 3, generator=g),
        "viewmats": ring.viewmats,
        "Ks": ring.Ks,
        "width": size,
        "height": size,
        "backgrounds": torch.ones(cameras, 3),
    }


def make_weights(size: int, cameras: int = 4, seed: int = 100) -> Tensor:
    """W, the gradient of the loss on the images, [cameras, size, size, 3]."""
    return torch.randn(cameras, size, size, 3, generator=torch.Generator().manual_seed(seed))


def in_double(scene: dict[str, Any]) -> dict[str, Any]:
    """The same scene in float64."""
    return {name: v.double() if isinstance(v, Tensor) else v for name, v in scene.items()}


def one_camera(scene: dict[str, Any], camera: int) -> dict[str, Any]:
    """The scene as one of its cameras sees it."""
    part = slice(camera, camera + 1)
    return {**scene, **{name: scene[name][part] for name in ("viewmats", "Ks", "backgrounds")}}
