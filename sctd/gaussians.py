"""Step 3 of 9: the Gaussians that a run optimises, and what they start as."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.settings import GaussianSettings

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

    def activated(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """For rendering: means [N, 3], quats [N, 4], scales [N, 3] > 0, opacities [N] 0..1, SH [N, K, 3].

        The rasterizer normalises the quaternions itself.
        """
        colors = torch.cat((self.sh0, self.shN), dim=1) if self.shN.shape[1] else self.sh0
        return self.means, self.quats, torch.exp(self.scales), torch.sigmoid(self.opacities), colors

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
        sh_degree: degree of the colours that is stored, 0..3; the higher coefficients start as zero.

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


def initialise(settings: GaussianSettings, generator: torch.Generator) -> Gaussians:
    """The Gaussians that a run starts from, on the CPU, float32.

    Raises:
        InputError: init_path cannot be read, or holds no points.
    """
    if settings.init == "ply":
        return _from_ply(Path(settings.init_path or ""), settings, generator)
    points = settings.init_radius * _unit_shape(settings.init, settings.count, generator)
    noise = settings.init_color_std * torch.randn(settings.count, 3, generator=generator)
    return _from_points(points, (torch.tensor(settings.init_color) + noise).clamp(0, 1), settings)


def _unit_shape(shape: str, n: int, generator: torch.Generator) -> Tensor:
    """n points, [n, 3]: uniform in the unit ball, on the unit sphere, or in the cube of half edge 1."""
    if shape == "box":
        return 2 * torch.rand(n, 3, generator=generator) - 1
    directions = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator), dim=-1)
    if shape == "sphere":
        return directions
    return directions * torch.rand(n, 1, generator=generator) ** (1 / 3)


def _from_points(points: Tensor, colors: Tensor, settings: GaussianSettings) -> Gaussians:
    return from_points(
        points,
        colors,
        opacity=settings.init_opacity,
        scale_factor=settings.init_scale_factor,
        sh_degree=settings.sh_degree,
    )


def _from_ply(path: Path, settings: GaussianSettings, generator: torch.Generator) -> Gaussians:
    """Gaussians of a splat file as they are, or round ones at the points of a point cloud."""
    import numpy as np
    import plyfile

    try:
        vertices = plyfile.PlyData.read(str(path))["vertex"].data
        names = vertices.dtype.names
        if "f_dc_0" in names:
            from sctd.export.ply import load_ply

            return _fit_sh(load_ply(path), settings.sh_degree)
        points = torch.from_numpy(np.stack([vertices[k] for k in "xyz"], axis=1).astype(np.float32))
        if "red" in names:
            rgb = np.stack([vertices[k] for k in ("red", "green", "blue")], axis=1)
            top = 255.0 if np.issubdtype(rgb.dtype, np.integer) else 1.0
            colors = torch.from_numpy((rgb / top).astype(np.float32)).clamp(0, 1)
        else:
            colors = torch.tensor(settings.init_color).expand_as(points)
    except (OSError, KeyError, ValueError, plyfile.PlyParseError) as exc:
        raise InputError(f"cannot start from {path}: {exc or type(exc).__name__}") from exc
    if len(points) == 0 or not torch.isfinite(points).all():
        raise InputError(f"cannot start from {path}: it must hold at least one point, all of them finite")
    if len(points) > settings.count:
        kept = torch.randperm(len(points), generator=generator)[: settings.count]
        points, colors = points[kept], colors[kept]
    return _from_points(points, colors, settings)


def _fit_sh(gaussians: Gaussians, degree: int) -> Gaussians:
    """The same Gaussians with colours of another degree: coefficients are dropped, or start as zero."""
    wanted = (degree + 1) ** 2 - 1
    have = gaussians.shN[:, :wanted]
    missing = torch.zeros(len(gaussians), wanted - have.shape[1], 3)
    gaussians.shN = torch.cat((have, missing), dim=1)
    return gaussians
