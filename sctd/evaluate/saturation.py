"""How saturated pictures are: the share of pixels at the gamut's edge, and the mean chroma."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

NEAR = 0.02
"""Distance to the edge: five of 255 steps."""


class Saturation(NamedTuple):
    """Saturation of the chosen pixels of all pictures."""

    edge: float
    """Share with a channel within NEAR of 0 or of 1."""
    chroma: float
    """Mean of the largest channel less the smallest, 0..1: 0 is grey, 1 a pure colour."""


def saturation(images: Tensor, where: Tensor) -> Saturation:
    """Saturation of pictures [n, 3, H, W], 0..1, at the pixels of a mask ``where`` [n, H, W]; 0 if empty."""
    pixels = images.permute(0, 2, 3, 1)[where]
    if not len(pixels):
        return Saturation(0.0, 0.0)
    low, high = pixels.amin(1), pixels.amax(1)
    edge = (low <= NEAR) | (high >= 1 - NEAR)
    return Saturation(float(edge.float().mean()), float((high - low).mean()))
