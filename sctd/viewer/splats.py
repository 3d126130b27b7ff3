"""Gaussians => what viser draws: centres, covariances and one colour each, as a camera sees them.

viser blends a colour and an opacity for each Gaussian. That is enough for all three pictures: a colour from
the harmonics in the camera's direction, white for the coverage, and a grey that falls with the depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sctd.gaussians import Gaussians, rotations
from sctd.ops.reference_raster import sh_basis

Mode = Literal["colour", "alpha", "depth"]


@dataclass(frozen=True)
class Splats:
    """N Gaussians, activated, on the CPU."""

    means: Tensor
    """[N, 3], world units."""
    covariances: Tensor
    """[N, 3, 3]."""
    opacities: Tensor
    """[N, 1], 0..1."""
    sh: Tensor
    """[N, K, 3], coefficients."""

    @classmethod
    def of(cls, gaussians: Gaussians, threshold: float = 0.0) -> Splats:
        """Those whose opacity is at least ``threshold``, 0..1."""
        g = gaussians.detach().to("cpu")
        opacities = torch.sigmoid(g.opacities)
        kept = opacities >= threshold
        axes = rotations(g.quats[kept]) * torch.exp(g.scales[kept])[:, None]
        sh = torch.cat((g.sh0, g.shN), dim=1)[kept]
        return cls(g.means[kept], axes @ axes.mT, opacities[kept, None], sh)

    def __len__(self) -> int:
        return self.means.shape[0]

    def colors(self, mode: Mode, eye: Tensor, forward: Tensor) -> Tensor:
        """[N, 3], 0..1.

        Args:
            eye: [3], where the camera stands.
            forward: [3], where it looks, of length 1; depth is along it.
        """
        if mode == "alpha":
            return torch.ones_like(self.means)
        offsets = self.means - eye
        if mode == "depth":
            return depth_greys(offsets @ forward)
        degree = int(self.sh.shape[1] ** 0.5) - 1
        basis = sh_basis(torch.nn.functional.normalize(offsets, dim=1), degree)
        return (torch.einsum("nk,nkc->nc", basis, self.sh) + 0.5).clamp(0, 1)

    @property
    def depends_on_view(self) -> bool:
        """Whether colours change with the direction of view."""
        return self.sh.shape[1] > 1


def depth_greys(depth: Tensor) -> Tensor:
    """Depths [n] => greys [n, 3], the nearest white; never black, which is the background."""
    near, far = (depth.min(), depth.max()) if len(depth) else (depth.sum(), depth.sum())
    return (1 - 0.85 * (depth - near) / (far - near).clamp_min(1e-9))[:, None].expand(-1, 3)
