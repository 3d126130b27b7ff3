"""Step 3 of 9: the Gaussians that a run optimises; `initial/start.py` makes the first ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sctd.config.asset import GaussianSettings
from sctd.errors import InputError

SH_C0 = 0.5 / math.sqrt(math.pi)
"""The constant spherical harmonic; a base colour c is stored as sh0 = (c - 0.5) / SH_C0."""


@dataclass
class Gaussians:
    """N Gaussians as they are optimised: unbounded numbers, activated when rendered."""

    means: Tensor
    """Centres, [N, 3], world units."""
    scales: Tensor
    """Natural logarithm of the standard deviations, [N, 3]."""
    quats: Tensor
    """Rotations as quaternions wxyz, [N, 4], of any length."""
    opacities: Tensor
    """Logits of the opacities, [N]."""
    sh0: Tensor
    """Base colours as spherical-harmonics coefficients, [N, 1, 3]."""
    shN: Tensor  # noqa: N815 (the field's name for it)
    """Higher coefficients, [N, K - 1, 3], K = (degree + 1)^2."""

    def __post_init__(self) -> None:
        n = self.means.shape[0]
        coefficients = self.shN.shape[1] if self.shN.ndim == 3 else -1
        shapes = {
            "means": (n, 3),
            "scales": (n, 3),
            "quats": (n, 4),
            "opacities": (n,),
            "sh0": (n, 1, 3),
            "shN": (n, coefficients, 3),
        }
        for name, shape in shapes.items():
            got = tuple(getattr(self, name).shape)
            if got != shape:
                raise InputError(f"{name} must have shape {shape}, got {got}")
        if coefficients not in (0, 3, 8, 15):
            raise InputError(f"shN must hold 0, 3, 8 or 15 coefficients (degree 0 to 3), got {coefficients}")

    def __len__(self) -> int:
        return self.means.shape[0]

    @property
    def sh_degree(self) -> int:
        """Highest degree that is stored, 0..3."""
        return math.isqrt(self.shN.shape[1] + 1) - 1

    def parameters(self) -> dict[str, Tensor]:
        """Name => tensor, always in the same order: means, scales, quats, opacities, sh0, shN."""
        return {
            "means": self.means,
            "scales": self.scales,
            "quats": self.quats,
            "opacities": self.opacities,
            "sh0": self.sh0,
            "shN": self.shN,
        }

    def activated(
        self, scale_noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """For rendering: means [N, 3], quats [N, 4], scales [N, 3] > 0, opacities [N] 0..1, SH [N, K, 3].

        The rasterizer normalises the quaternions itself. The last tensor has sums [P, 2] that add up to the
        mean scale and the mean opacity; :func:`sctd.ops.activate` describes them and the noise.
        """
        from sctd.ops import activate

        scales, opacities, colors, sums = activate(
            self.scales, self.opacities, self.sh0, self.shN, scale_noise
        )
        return self.means, self.quats, scales, opacities, colors, sums

    def to(self, device: torch.device | str) -> Gaussians:
        """The same Gaussians on a device."""
        return Gaussians(**{name: p.to(device) for name, p in self.parameters().items()})

    def detach(self) -> Gaussians:
        """The same numbers without gradient."""
        return Gaussians(**{name: p.detach() for name, p in self.parameters().items()})

    def requires_grad_(self) -> Gaussians:
        """Makes every tensor a leaf with gradient, in place."""
        for name, p in self.parameters().items():
            setattr(self, name, p.detach().requires_grad_(True))
        return self

    def state_dict(self) -> dict[str, Tensor]:
        """Name => tensor without gradient; :meth:`from_state_dict` reads it back."""
        return {name: p.detach() for name, p in self.parameters().items()}

    def opaque_from(self, opacity: float) -> Gaussians:
        """Those not below this opacity, 0..1; all of them where that would leave none."""
        kept = ~(self.opacities.sigmoid() < opacity)  # a run that fails shows its NaN, too
        if kept.all() or not kept.any():
            return self
        return Gaussians(**{name: p[kept] for name, p in self.parameters().items()})

    def with_sh_degree(self, degree: int) -> Gaussians:
        """The same with colours of another degree, 0..3: coefficients are dropped, or start as zero."""
        wanted = (degree + 1) ** 2 - 1
        have = self.shN[:, :wanted]
        missing = have.new_zeros(len(self), wanted - have.shape[1], 3)
        return Gaussians(**{**self.parameters(), "shN": torch.cat((have, missing), dim=1)})

    @classmethod
    def from_state_dict(cls, state: dict[str, Tensor]) -> Gaussians:
        """Gaussians from :meth:`state_dict`; shapes are checked."""
        return cls(**{name: state[name] for name in ("means", "scales", "quats", "opacities", "sh0", "shN")})


def from_points(
    points: Tensor, colors: Tensor, *, opacity: float, scale_factor: float, sh_degree: int
) -> Gaussians:
    """Round, equally faint Gaussians at points.

    Args:
        points: [N, 3], world units.
        colors: [N, 3], 0..1.
        opacity: 0..1, exclusive.
        scale_factor: standard deviation over the mean distance to the three nearest points.
        sh_degree: stored degree of the colours, 0..3; the higher coefficients start as zero.

    Source: Kerbl et al. 2023, "3D Gaussian Splatting", section 5.1.
    """
    from sctd.ops import knn_mean_distance

    n = points.shape[0]
    # A lone Gaussian has no neighbour, and coinciding points no distance.
    distance = knn_mean_distance(points, min(3, n - 1)) if n > 1 else points.new_full((1,), 0.1)
    scales = torch.log((distance * scale_factor).clamp_min(1e-4))
    quats = torch.zeros(n, 4)
    quats[:, 0] = 1.0
    return Gaussians(
        means=points.clone(),
        scales=scales[:, None].repeat(1, 3),
        quats=quats,
        opacities=torch.full((n,), math.log(opacity / (1 - opacity))),
        sh0=((colors - 0.5) / SH_C0)[:, None, :].contiguous(),
        shN=torch.zeros(n, (sh_degree + 1) ** 2 - 1, 3),
    )


def round_gaussians(points: Tensor, colors: Tensor, settings: GaussianSettings) -> Gaussians:
    """:func:`from_points` with the opacity, scale and degree of the settings."""
    return from_points(
        points,
        colors,
        opacity=settings.init_opacity,
        scale_factor=settings.init_scale_factor,
        sh_degree=settings.sh_degree,
    )


def rotations(quats: Tensor) -> Tensor:
    """Quaternions wxyz of any length, [N, 4] => rotation matrices, [N, 3, 3]."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
