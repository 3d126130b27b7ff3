"""Step 1 of 9: a prompt and camera directions in, text embeddings that say from where the object is seen, out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sctd.methods.settings import OVERHEAD_ELEVATION_DEG, VIEWS, PerpNegSettings, ViewSettings
from sctd.prior.base import Prior

FRONT, LEFT, RIGHT, BACK, OVERHEAD = range(len(VIEWS))

# Where a view is this close to a direction's own (r of perp_neg_weights), that direction's negative is off: it
# would push along the prompt's own direction with no perpendicular part worth having. Released figures.
_NEAR, _FAR = 0.8, 0.2


def blend_weights(
    azimuth: Tensor, elevation: Tensor, overhead_elevation: float = math.radians(OVERHEAD_ELEVATION_DEG)
) -> Tensor:
    """How much of each view phrase a camera direction gets.

    With a = |azimuth| wrapped to 0..180 deg, the front half blends front and side with r = 1 - a/90, the back half
    side and back with r = 1 - (a - 90)/90. A positive azimuth's side is the left one. From ``overhead_elevation`` on
    the overhead phrase stands alone.

    Args:
        azimuth: [B] radians, any range; 0 sees the front, +pi/2 the object's own left.
        elevation: [B] radians, positive upwards.
        overhead_elevation: radians; pi/2 or more turns the overhead phrase off.

    Returns:
        [B, 5] in the order of :data:`sctd.methods.settings.VIEWS` (front, left, right, back, overhead), each row
        >= 0 with sum 1, in the dtype of ``azimuth``.

    Source: released code of SegmentDreamer, with two sides instead of one.
    """
    turn = torch.remainder(azimuth + math.pi, 2 * math.pi) - math.pi  # -pi..pi
    away = turn.abs() / (math.pi / 2)  # 0 front, 1 side, 2 back
    front = (1 - away).clamp(min=0)
    back = (away - 1).clamp(min=0)
    side = 1 - front - back
    on_left = turn >= 0
    zero = torch.zeros_like(side)
    level = torch.stack(
        (front, torch.where(on_left, side, zero), torch.where(on_left, zero, side), back, zero), dim=1
    )
    if overhead_elevation >= math.pi / 2:
        return level
    above = torch.zeros_like(level)
    above[:, OVERHEAD] = 1
    return torch.where((elevation >= overhead_elevation)[:, None], above, level)


def blend(weights: Tensor, embeddings: Tensor) -> Tensor:
    """Weights [B, 5] and the views' embeddings [5, L, D] => [B, L, D], their weighted sums."""
    return torch.einsum("bv,vld->bld", weights.to(embeddings), embeddings)
