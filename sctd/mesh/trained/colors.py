"""Colours in space: a grid of them over a box, read at places between its points.

A surface that changes its triangles in every iteration keeps no place in a picture, but it keeps its place in
space. So colours are optimised as a function of place, and become a texture once the triangles are final.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import functional as F

MATERIAL = ("red", "green", "blue", "roughness", "metal")
"""Channels of a material, each 0..1: base colour in sRGB, and what glTF 2.0 calls so."""


@dataclass(frozen=True, eq=False)
class ColorGrid:
    """Colours 0..1 at the points of a grid."""

    values: Tensor
    """[3, X, Y, Z]: sRGB at the points of a box, whose corners are the outermost of them. Of a material
    [5, X, Y, Z]: MATERIAL has its channels."""
    box: Tensor
    """Two opposite corners, low and high, [2, 3], world units."""

    def to(self, device: torch.device | str) -> ColorGrid:
        """The same on a device."""
        return ColorGrid(self.values.to(device), self.box.to(device))

    @property
    def is_material(self) -> bool:
        """Whether these are the colours of a material, to be lit."""
        return len(self.values) == len(MATERIAL)

    def as_material(self) -> ColorGrid:
        """The same colours on a surface that is half rough and no metal; a material as it is."""
        if self.is_material:
            return self
        more = [torch.full_like(self.values[:1], value) for value in (0.5, 0.0)]
        return ColorGrid(torch.cat((self.values, *more)), self.box)

    def at(self, places: Tensor) -> Tensor:
        """Colours [N, 3], or materials [N, 5], at places [N, 3]; beyond the box those of its border.

        Differentiable in both.
        """
        low, high = self.box.unbind(0)
        inside = 2 * (places - low) / (high - low) - 1
        read = F.grid_sample(
            self.values[None],
            inside.flip(-1)[None, None, None],  # its x is the last axis
            mode="bilinear",
            padding_mode="border",
            align_corners=True,
        )
        return read[0, :, 0, 0].T


def nearest_colors(places: Tensor, colors: Tensor, box: Tensor, steps: int) -> ColorGrid:
    """A grid in which each point has the colour of the nearest of some places.

    Args:
        places: [N, 3], world units, N > 0.
        colors: theirs, [N, 3], 0..1.
        box: [2, 3].
        steps: of the grid along the longest side of the box.
    """
    extent = (box[1] - box[0]).cpu()
    size = (extent / extent.max() * steps).ceil().long().clamp_min(1) + 1
    axes = [np.linspace(float(box[0, i]), float(box[1, i]), int(size[i])) for i in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    _, nearest = cKDTree(places.cpu().double().numpy()).query(points.reshape(-1, 3))
    found = colors[torch.from_numpy(nearest).to(colors.device)].float().T.reshape(3, *size.tolist())
    return ColorGrid(found.contiguous(), box.to(found))
