"""The workload on which rasterizers are compared: Gaussians in a ball, cameras on a ring.

N Gaussians in the unit ball; cameras at distance 3.2, elevation 20 deg, field 45 deg; plain colours, white
background; scales about 0.01 (1e5 / N)^(1/3), spread log-normally by 0.5; opacity sigmoid(N(0, 1)).
"""

from __future__ import annotations

from typing import Any

import torch

from sctd.cameras import orbit_cameras


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
